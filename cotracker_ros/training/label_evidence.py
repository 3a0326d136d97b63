"""What a verifier of labels judges teachers' answers by, whoever gave them: numbers that are always bounded.

Distances are px at 256x256, on a scale that is finer near nothing and ends at `_FARTHEST`. One that cannot be
measured (no way back came by, nothing matched, nobody else sees the point) is as large as can be, and a
column of its own says so.

Speed and how it changes were tried as well, and made no difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.training.answers import Answer
from cotracker_ros.training.likeness import likeness
from cotracker_ros.training.pseudo_labels import disagreement, inside

EVIDENCE = (
    "cycle",  # error of the ways back
    "no cycle",
    "drift",  # error of the match with the query's image
    "no drift",
    "moved",  # from the answer to where the query's patch fits
    "no fit",
    "alike",  # correlation of that patch
    "apart",  # median distance to the others that see the point
    "alone",  # none sees it
    "others",  # mean certainty of the others that the point is visible; a half if there are none
    "certain",  # its own
    "sees",
    "inside",  # the image
    "age",  # log of the frames since the query, or before it
    "lasting",  # share of these in which it sees the point
    "company",  # its motion against that of its neighbours
    "no company",
)
"""Columns of `evidence`."""

_FARTHEST = 64.0
_SIDE = 256.0  # px, of the image in which distances are measured
_LAG = 3  # frames over which motions are compared
_NEIGHBOURS = 6


def evidence(
    answers: Sequence[Answer],
    frames: NDArray[np.uint8],
    queries: NDArray[np.float32],
    min_visibility: float,
) -> NDArray[np.float32]:
    """Return what speaks for and against each answer.

    Args:
        answers: Of K teachers.
        frames: (T, H, W, 3) uint8, RGB.
        queries: (N, 3) as t, x, y.
        min_visibility: As in `LabelConfig`.

    Returns:
        (K, T, N, len(EVIDENCE)), from 0 to 1 but for "age".
    """
    height, width = frames.shape[1:3]
    per_pixel = _SIDE / np.sqrt(width * height)
    xy = np.stack([answer.tracks.xy for answer in answers])
    sees = np.stack([answer.sees for answer in answers])
    can = np.stack([answer.can for answer in answers])
    sure = np.stack([certainty(answer, min_visibility) for answer in answers])
    time = queries[:, 0].astype(int)
    result = []
    for k, answer in enumerate(answers):
        within = inside(answer.tracks.xy, (width, height))
        alike = likeness(frames, queries, answer.tracks.xy, answer.can & within)
        others = np.arange(len(answers)) != k
        apart = disagreement(xy, np.where(others[:, None, None], sees, can))[k]
        company = apart_from_neighbours(answer.tracks.xy, answer.sees, time)
        columns = {
            "alike": np.clip(alike.alike, 0, 1),
            "alone": np.isnan(apart),
            "others": sure[others].mean(0) if others.any() else np.full(within.shape, 0.5),
            "certain": sure[k],
            "sees": answer.sees,
            "inside": within,
            "age": np.log1p(np.abs(np.arange(len(frames))[:, None] - time)),
            "lasting": lasting(answer.sees, time),
            "cycle": near(answer.cycle * per_pixel),
            "no cycle": ~np.isfinite(answer.cycle),
            "drift": near(answer.drift * per_pixel),
            "no drift": ~np.isfinite(answer.drift),
            "moved": near(alike.moved * per_pixel),
            "no fit": ~np.isfinite(alike.moved),
            "apart": near(apart * per_pixel),
            "company": near(company * per_pixel),
            "no company": ~np.isfinite(company),
        }
        result.append(np.stack([columns[name] for name in EVIDENCE], -1).astype(np.float32))
    return np.stack(result)


def near(distance: NDArray[np.floating]) -> NDArray[np.floating]:
    """Bring distances, px at 256x256, to a scale from 0 to 1; 1 where they are not finite."""
    bounded = np.minimum(np.where(np.isfinite(distance), distance, _FARTHEST), _FARTHEST)
    return np.log1p(4 * bounded) / np.log1p(4 * _FARTHEST)


def certainty(answer: Answer, min_visibility: float) -> NDArray[np.floating]:
    """(T, N) how sure a teacher is that points are visible: a half where it begins to call them that."""
    tracks = answer.tracks
    if not tracks.knows_hidden:
        return tracks.visibility.astype(np.float32)
    least = min_visibility if tracks.threshold is None else tracks.threshold
    below = tracks.visibility / max(least, 1e-6) / 2
    above = 0.5 + (tracks.visibility - least) / max(1 - least, 1e-6) / 2
    return np.where(tracks.visibility > least, above, below)


def lasting(sees: NDArray[np.bool_], time: NDArray[np.integer]) -> NDArray[np.floating]:
    """(T, N) share of the frames from the query's neighbour to each in which the point is seen; 1 at it."""
    frames, columns = np.arange(len(sees))[:, None], np.arange(sees.shape[1])
    count = np.cumsum(sees, axis=0)
    at = count[time, columns]
    seen = np.where(frames > time, count - at, at - sees[time, columns] - (count - sees))
    length = np.abs(frames - time)
    return np.where(length > 0, seen / np.maximum(length, 1), 1.0)


def apart_from_neighbours(
    xy: NDArray[np.floating], sees: NDArray[np.bool_], time: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Compare the motion of each point with the median one of those around it, over a few frames.

    Args:
        xy: (T, N, 2) positions, px.
        sees: (T, N) bool; neighbours are those that are seen in both frames.
        time: (N,) frames of the queries, from whose side the motion comes.

    Returns:
        (T, N) px; infinite where there are no neighbours, and 0 in the query's own frame.
    """
    xy = np.where(np.isfinite(xy), xy, np.nan)
    frames, columns = len(xy), np.arange(xy.shape[1])
    result = np.full(sees.shape, np.inf)
    for frame in range(frames):
        since = frame + np.clip(time - frame, -_LAG, _LAG)
        counted = sees[since] & sees[frame]
        counted[columns, columns] = False
        distance = np.linalg.norm(xy[frame] - xy[frame][:, None], axis=-1)
        distance = np.where(counted & np.isfinite(distance), distance, np.inf)
        nearest = np.argsort(distance, axis=1)[:, :_NEIGHBOURS]
        moved = xy[frame] - xy[since]
        own = moved[columns, columns]
        theirs = np.take_along_axis(moved, nearest[..., None], 1)
        usual = np.isfinite(np.take_along_axis(distance, nearest, 1))
        some = usual.any(1)
        middle = np.nanmedian(np.where(usual[..., None], theirs, np.nan)[some], axis=1)
        result[frame, some] = np.linalg.norm(own[some] - middle, axis=-1)
    return np.where(np.isnan(result), np.inf, result)
