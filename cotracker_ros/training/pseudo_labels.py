"""From what several teachers say to labels: whom to believe, for which points and in which frames.

Labels are "reliable" by rules, "verified" by a learned verifier (see `label_verifier`), or "random". The rule
of reliable labels, for each point in each frame:

1. A teacher *sees* the point where its visibility is above its own threshold, or else above
   `LabelConfig.min_visibility` (booleans as they are), and its position lies in the image.
2. It *comes home* there when tracking back to the query succeeds: the teacher itself is asked to track from
   its own answers in later (or earlier) frames back to the query's. The cycle error in a frame is the larger
   one of how far it misses the query and how far it passes by its own first answer in that frame; of several
   such checks the best counts. It must be at most `max_cycle`.
3. It must not have *drifted*: matched straight back to the query's image, the point must miss the query by
   at most `max_drift` (see `drift`).
4. It must *agree*: the median distance to the other teachers that see the point as well (the lower one of two
   middle ones, so that one of three may be wrong) must be at most `max_disagreement`. Alone, it need not.
5. Of those that are left the one with the least sum of the three errors, over how sure it is of the
   visibility and averaged over a few neighbouring frames, gives the label. The point is visible.
6. Where no teacher is left, those that call the point hidden and know about hidden points may say where it
   is, by the same rules among themselves, but for the drift. The point is hidden.
7. Else nothing is known of the point there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.training.teachers import TeacherTracks

CHOICES = ("reliable", "random", "verified")
NOBODY = -1
"""Where `PseudoLabels.chosen` names no teacher."""

_NEIGHBOURS = 2
# Farther outside than this many image sides, a position says no more than that the point is gone.
_FAR = 1.0


@dataclass(frozen=True)
class LabelConfig:
    """How teachers' answers become labels.

    Attributes:
        labels: "reliable" chooses the best teacher for each point and frame by rules, "verified" by a learned
            verifier; "random" draws one for each clip, as CoTracker3 does.
        tracks: Points of a clip; clips whose images have fewer SIFT features are skipped.
        query_frames: Frames of a clip's first quarter that the points are taken from.
        min_visibility: A teacher with probabilities calls a point visible above this, unless it has a
            threshold of its own, as the shipped network has.
        checks: Times that each teacher's tracks are checked by tracking back; not with labels "random".
        min_reliability: Least probability that a label is right; with labels "verified".
        max_cycle: Largest error of tracking back, px; with labels "reliable", as the next two.
        max_drift: Largest error of matching straight back to the query's image, px; raise it for cameras that
            go far around or towards things.
        max_disagreement: Largest median distance to the other teachers, px.
        min_known: Clips in which a smaller share of all entries gets a label are left out.
    """

    labels: str = "reliable"
    tracks: int = 64
    query_frames: int = 8
    min_visibility: float = 0.9
    checks: int = 2
    min_reliability: float = 0.6
    max_cycle: float = 2.0
    max_drift: float = 2.0
    max_disagreement: float = 3.0
    min_known: float = 0.1

    def __post_init__(self) -> None:
        if self.labels not in CHOICES:
            raise ValueError(f"labels is '{self.labels}'; give one of {', '.join(CHOICES)}")
        for name in ("tracks", "query_frames", "checks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")
        for name in ("max_cycle", "max_drift", "max_disagreement"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a distance above 0 px")
        for name in ("min_visibility", "min_reliability", "min_known"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share from 0 to below 1")


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Labels of N points in T frames.

    Attributes:
        xy: (T, N, 2) float32, px, finite everywhere; where nothing is known, the last known position.
        visible: (T, N) bool.
        known: (T, N) bool, where there is a label.
        chosen: (T, N) int8, index of the teacher that gave it; `NOBODY` where nothing is known.
    """

    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]
    known: NDArray[np.bool_]
    chosen: NDArray[np.int8]


def seen(tracks: TeacherTracks, size: tuple[int, int], min_visibility: float) -> NDArray[np.bool_]:
    """(T, N) bool: where a teacher sees the points, in images of a width and height."""
    return tracks.called_visible(min_visibility) & inside(tracks.xy, size)


def inside(xy: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(...) bool: which positions (..., 2), px, lie in images of a width and height."""
    with np.errstate(invalid="ignore"):
        return np.asarray(((xy >= 0) & (xy <= np.array(size) - 1)).all(-1), bool)


def usable(tracks: TeacherTracks, sees: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(T, N) bool: where a teacher's position can be a label, visible or hidden."""
    if not tracks.knows_hidden:
        return sees
    far = _FAR * np.array(size)
    with np.errstate(invalid="ignore"):
        near = ((tracks.xy >= -far) & (tracks.xy <= size + far)).all(-1)
    return np.asarray(near, bool)


def label_by_one(
    index: int,
    tracks: TeacherTracks,
    queries: NDArray[np.float32],
    size: tuple[int, int],
    config: LabelConfig,
) -> PseudoLabels:
    """Believe one teacher everything, as CoTracker3's second stage does.

    Args:
        index: Of the teacher, for `PseudoLabels.chosen`.
        tracks: What it says.
        queries: (N, 3) as t, x, y.
        size: Width and height of the images, px.
        config: Gives the least visibility.
    """
    sees = seen(tracks, size, config.min_visibility)
    chosen = np.where(usable(tracks, sees, size), index, NOBODY)
    return with_queries(tracks.xy, sees, chosen, queries)


def label_by_best(
    teachers: Sequence[TeacherTracks],
    cycles: Sequence[NDArray[np.floating]],
    drifts: Sequence[NDArray[np.floating]],
    queries: NDArray[np.float32],
    size: tuple[int, int],
    config: LabelConfig,
) -> PseudoLabels:
    """Believe for each point and frame the most reliable teacher (the rule at the head of this module).

    Args:
        teachers: What each of K teachers says.
        cycles: (T, N) cycle errors of each, px (see `cycle_errors`).
        drifts: (T, N) drift of each where it sees the point, px (see `drift_errors`).
        queries: (N, 3) as t, x, y.
        size: Width and height of the images, px.
        config: Limits.
    """
    sees = np.stack([seen(tracks, size, config.min_visibility) for tracks in teachers])
    can = np.stack([usable(tracks, s, size) for tracks, s in zip(teachers, sees, strict=True)])
    xy = np.stack([tracks.xy for tracks in teachers])
    sure = np.stack([tracks.visibility for tracks in teachers]).astype(np.float32)
    chosen = np.full(xy.shape[1:3], NOBODY)
    # What is sure to be visible and yet not seen is outside the image.
    called = np.stack([tracks.called_visible(config.min_visibility) for tracks in teachers])
    hidden = np.where(called, 1, 1 - sure)
    cycle, drift = np.stack(cycles), np.stack(drifts)
    for group, certainty, drifted in (
        (can & sees, sure, drift),
        (can & ~sees, hidden, np.zeros_like(drift)),
    ):
        apart = disagreement(xy, group)
        candidates = group & (cycle <= config.max_cycle) & (drifted <= config.max_drift)
        candidates &= ~(apart > config.max_disagreement)
        # Never 0: a perfect teacher must still be told from a doubtful one.
        error = (0.1 + cycle + drifted + np.nan_to_num(apart)) / np.maximum(certainty, 0.01)
        best = np.argmin(steady(error, candidates), axis=0)
        chosen = np.where((chosen == NOBODY) & candidates.any(0), best, chosen)
    taken = np.maximum(chosen, 0)[None]
    best_xy = np.take_along_axis(xy, taken[..., None], 0)[0]
    return with_queries(best_xy, np.take_along_axis(sees, taken, 0)[0], chosen, queries)


def disagreement(xy: NDArray[np.floating], counted: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Median distance of each teacher to the others.

    Args:
        xy: (K, T, N, 2) positions of K teachers, px.
        counted: (K, T, N) bool, positions that count.

    Returns:
        (K, T, N) px, the lower one of two middle distances; NaN where it is alone or does not count itself.
    """
    count = len(xy)
    result = np.full(xy.shape[:3], np.nan, np.float32)
    for k in range(count):
        others = [j for j in range(count) if j != k]
        if not others:
            break
        both = counted[k] & counted[others]
        with np.errstate(invalid="ignore"):
            distance = np.where(both, np.linalg.norm(xy[others] - xy[k], axis=-1), np.inf)
        middle = np.maximum(both.sum(0) - 1, 0) // 2
        median = np.take_along_axis(np.sort(distance, axis=0), middle[None], 0)[0]
        result[k] = np.where(both.any(0), median, np.nan)
    return result


def steady(error: NDArray[np.floating], candidates: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Average (K, T, N) errors of candidates over neighbouring frames; infinite for all others.

    Without it labels would jitter between teachers that are equally good.
    """
    value = np.where(candidates, error, 0.0)
    total, weight = np.zeros_like(value), np.zeros(value.shape)
    frames = value.shape[1]
    for shift in range(-min(_NEIGHBOURS, frames - 1), min(_NEIGHBOURS, frames - 1) + 1):
        to, source = (
            slice(max(0, shift), frames + min(0, shift)),
            slice(max(0, -shift), frames - max(0, shift)),
        )
        total[:, to] += value[:, source]
        weight[:, to] += candidates[:, source]
    return np.where(candidates, total / np.maximum(weight, 1), np.inf)


def with_queries(
    xy: NDArray[np.floating],
    visible: NDArray[np.bool_],
    chosen: NDArray[np.integer],
    queries: NDArray[np.float32],
) -> PseudoLabels:
    """Make labels of (T, N) choices; the query itself is known in any case, and exactly."""
    known = chosen != NOBODY
    xy = np.where(known[..., None], xy, 0).astype(np.float32)
    visible = visible & known
    at = queries[:, 0].astype(int), np.arange(len(queries))
    xy[at], visible[at], known[at] = queries[:, 1:], True, True
    return PseudoLabels(hold(xy, known), visible, known, chosen.astype(np.int8))


def hold(xy: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill unknown positions (T, N, 2) with the last known one, or before that with the first."""
    frames = np.arange(len(xy))[:, None]
    last = np.maximum.accumulate(np.where(known, frames, -1), axis=0)
    source = np.where(last < 0, known.argmax(0), last)
    return np.take_along_axis(xy, source[..., None], 0)
