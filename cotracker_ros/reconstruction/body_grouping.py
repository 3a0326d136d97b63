"""Groups of tracks that move as one rigid structure: a robust multi-model fit over a window of images.

Hypotheses come from triples of neighbouring tracks between the oldest and the newest useful image, the best
are grown by robust least squares (as LO-RANSAC does, Chum et al. 2003), and what remains must follow one path
through all images of the window, and much better than standing still. The next group is looked for among the
rest, in a later image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body_fits import BodyPoints, aligned, median, turned, weighed
from cotracker_ros.reconstruction.body_paths import MIN_SEEN, along_path, rest_errors
from cotracker_ros.reconstruction.body_window import TrackWindow
from cotracker_ros.reconstruction.ellipsoids import ellipsoids
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.rigid import align, align_triples, difference, squared_errors

_HYPOTHESES = 64
_NEIGHBOURS = 10
_GROWN = 2  # hypotheses that are grown
_WORTHWHILE = 3.5  # score: a triple alone has three
_CUTOFF = 4.0  # sigmas between two images
_CHI2_MEDIAN = 2.366  # of three degrees of freedom
_PATH_CUTOFF = 6.0  # ... in each image of a path; which tracks follow it is seen later
_FLATNESS = 0.01  # m: points nearer to a common line than this give no orientation
_NEAR = 3  # neighbours, or half of few: those of two small clusters say nothing of what is in between
_REACH = 3.0  # times as far as these neighbours are apart: what is further from all others is elsewhere


@dataclass(frozen=True, eq=False)
class Group:
    """Tracks that move together.

    Attributes:
        rows: (M,) rows of the tracks.
        slots: (F,) images, oldest first; the last one is the newest.
        poses: (F, 4, 4) in these images of a frame that moves with the tracks and that lies, in the newest
            image, in their middle with the axes of the fixed frame, m.
        place: (M, 3) where they are in the newest image, by all of the images, m.
        information: (M, 3, 3) inverse covariances of `place`, 1/m^2.
    """

    rows: NDArray[np.intp]
    slots: NDArray[np.intp]
    poses: NDArray[np.float64]
    place: NDArray[np.float64]
    information: NDArray[np.float64]


def find_seeds(
    window: TrackWindow,
    slots: NDArray[np.intp],
    rows: NDArray[np.intp],
    min_members: int,
    generator: np.random.Generator,
) -> NDArray[np.intp]:
    """Return tracks (M,) that share the motion that most of them share, as their rows; a quick look.

    Args:
        window: The measurements.
        slots: (F,) images, oldest first; only the first useful one, the last and one half way count.
        rows: (N,) tracks that move and are in no body, measured in the last of the images.
        min_members: Fewer are none.
        generator: Where chance comes from.
    """
    first = _reference(window, slots, rows)
    both = rows[window.across[slots[first], window.column[rows]] > 0]
    if len(both) < min_members:
        return both[:0]
    seeds, pose = _between(window, slots[first], slots[-1], both, generator)
    alike = len(seeds) >= min_members and _halfway(window, slots[first:], seeds, pose) >= min_members
    return seeds if alike else seeds[:0]


def grow_group(
    window: TrackWindow,
    slots: NDArray[np.intp],
    rows: NDArray[np.intp],
    seeds: NDArray[np.intp],
    min_members: int,
) -> Group | None:
    """Find the tracks that follow the path of seeds.

    Args:
        window: The measurements.
        slots: (F,) images, oldest first.
        rows: (N,) tracks that move and are in no body, measured in the last of the images.
        seeds: (S,) some of them.
        min_members: Smaller groups are none.
    """
    slots = slots[(window.across[window.at(slots, seeds)] > 0).sum(axis=1) >= 3]
    if len(slots) < MIN_SEEN:
        return None
    poses = _path(window, slots, seeds)
    if poses is None:
        return None
    fit = along_path(window, slots, rows, poses)
    among = np.zeros(len(window.ids), np.bool_)
    among[seeds] = True
    noise = fit.noise(among[rows])
    keep = fit.follows(rest_errors(window, slots, rows), noise)
    if keep.sum() < min_members:
        return None
    # Another thing far away that seems to go along is a body of its own until both are merged.
    part = connected_parts(fit.place[keep])
    keep[keep] = part == np.argmax(np.bincount(part, minlength=1))
    if keep.sum() < min_members:
        return None
    # The moving frame is put where it is in the newest image, turned as the fixed one.
    place, turn = transform_points(poses[-1], fit.place[keep]), poses[-1, :3, :3]
    poses[:, :3, :3] = poses[:, :3, :3] @ turn.T
    if spread(place) < _FLATNESS:
        return None
    # Where a thing is, most of what moves goes with it; among tracks that move anyhow some agree by chance.
    others = rows[fit.judged & ~fit.stays()]
    if within_reach(window.xyz[slots[-1], window.column[others]], place).sum() > keep.sum():
        return None
    return Group(rows[keep], slots, poses, place, turn @ fit.information(keep) @ turn.T)


def spread(points: NDArray[np.float64]) -> float:
    """Return how far, rms, points (N, 3) are from the line that fits them best, m."""
    offset = points - points.mean(axis=0)
    values = np.linalg.eigvalsh(offset.T @ offset / len(points))
    return float(np.sqrt(max(values[0] + values[1], 0.0)))


def connected_parts(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return (N,) numbers of the parts of points (N, 3) that are within reach of each other, step by step.

    Points of one part have the same number.
    """
    squares = _squared_distances(points, points)
    near = squares <= _squared_reach(squares)
    part = np.arange(len(points))
    while True:
        lower = np.where(near, part, len(points)).min(axis=1, initial=len(points))
        if (lower == part).all():
            return part
        part = lower[lower]  # two steps at once


def within_reach(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which of points (N, 3) are within reach of others (M, 3)."""
    if not len(others):
        return np.zeros(len(points), np.bool_)
    limit = _squared_reach(_squared_distances(others, others))
    return np.asarray(_squared_distances(points, others).min(axis=1) <= limit)


def _squared_reach(squares: NDArray[np.float64]) -> float:
    """Return how far from the nearest of points another one may be to be of the same thing, squared, m^2.

    A track far away from the rest agrees with nearly any motion of theirs: a small turn explains it, and its
    lever makes the turn wrong.

    Args:
        squares: (N, N) squared distances between the points, m^2.
    """
    count = len(squares)
    if count < 2:
        return np.inf
    near = max(min(_NEAR, (count - 1) // 2), 1)
    nearest = np.partition(squares, near, axis=1)[:, near]
    return _REACH**2 * float(np.partition(nearest, count // 2)[count // 2])


def _squared_distances(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, M) m^2 between points (N, 3) and others (M, 3)."""
    middle = others.mean(axis=0)  # what cancels out is small about it
    a, b = points - middle, others - middle
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.maximum(squares, 0.0))


def _reference(window: TrackWindow, slots: NDArray[np.intp], rows: NDArray[np.intp]) -> int:
    """Return the oldest of the images in which nearly as many of the tracks were measured as in any."""
    counts = (window.across[window.at(slots[:-1], rows)] > 0).sum(axis=1)
    return int(np.argmax(counts >= 0.7 * counts.max()))


def _between(
    window: TrackWindow, then: int, now: int, rows: NDArray[np.intp], generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the tracks that agree on the motion on which most agree, and this motion (4, 4).

    It is that from image `now` to image `then`, in the fixed frame.
    """
    columns = window.column[rows]
    before, after = window.xyz[then, columns], window.xyz[now, columns]
    information = _difference_information(window, then, now, columns)
    triples = _neighbours(after, generator)
    turns, shifts = align_triples(after[triples], before[triples])
    poses = np.zeros((len(turns), 4, 4))
    poses[:, :3, :3], poses[:, :3, 3], poses[:, 3, 3] = turns, shifts, 1.0
    # The noise across the ray and along it differ; their mean is good enough to rank hypotheses.
    precision = np.sqrt(np.trace(information, axis1=1, axis2=2) / 3)
    errors = squared_errors(poses, after, before, np.repeat(precision[:, None], 3, axis=1))
    scores = np.maximum(1 - errors / _CUTOFF**2, 0.0).sum(axis=1)
    best = np.argsort(-scores, kind="stable")[:_GROWN]
    best = best[scores[best] > _WORTHWHILE]
    if not len(best):
        return rows[:0], np.eye(4)
    points = BodyPoints(after, before[None], information[None])
    weights, grown = weighed(poses[best], points, _CUTOFF)
    row = int(np.argmax(weights.sum(axis=1)))
    alike = np.flatnonzero(weights[row] > 0)
    points = BodyPoints(after[alike], before[None, alike], information[None, alike])
    return _closest(errors[:, alike], poses, points, rows[alike], grown[row])


def _closest(
    errors: NDArray[np.float64],
    poses: NDArray[np.float64],
    points: BodyPoints,
    rows: NDArray[np.intp],
    pose: NDArray[np.float64],
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the tracks that agree as well as most of them do, and their motion (4, 4).

    Things that part slowly agree on a motion between theirs, within what measurements claim; the tracks of
    one of them agree much better on its own (least median of squares, Rousseeuw and Leroy 1987).

    Args:
        errors: (H, M) squared errors of the tracks, in sigmas, by hypotheses.
        poses: (H, 4, 4) the hypotheses.
        points: The tracks, of one body.
        rows: (M,) their rows.
        pose: (4, 4) the motion on which all of them agree, nearly.
    """
    if len(rows) <= 3:
        return rows, aligned(pose[None], points, _CUTOFF, steps=1)[0][0]
    middle = len(rows) // 2
    best = poses[[np.argmin(np.partition(errors, middle, axis=1)[:, middle])]]
    best, _ = aligned(best, points, _robust_cutoff(points.errors(best)))
    squared = points.errors(best)
    return rows[squared[0] < _robust_cutoff(squared) ** 2], best[0]


def _robust_cutoff(squared: NDArray[np.float64]) -> float:
    """Return beyond how many sigmas one of squared errors (1, M) is not like the rest."""
    noise = median(squared[0]) / _CHI2_MEDIAN * (1 + 5 / (squared.size - 3)) ** 2
    return _CUTOFF * math.sqrt(min(noise, 1.0))


def _halfway(
    window: TrackWindow, slots: NDArray[np.intp], seeds: NDArray[np.intp], pose: NDArray[np.float64]
) -> int:
    """Return, at little cost, how many of the seeds moved alike to the middle of the images, too.

    `pose` (4, 4) is their motion from the last one to the first.
    """
    middle, now = slots[len(slots) // 2], slots[-1]
    columns = window.column[seeds]
    columns = columns[window.across[middle, columns] > 0]
    if len(columns) < 3:
        return len(columns)
    source = window.xyz[now, columns]
    centre = np.eye(4)
    centre[:3, 3] = source.mean(axis=0)
    seconds = window.seconds(slots)
    part = seconds[len(slots) // 2] / seconds[0]
    start = turned(centre[None], part * difference(pose @ centre, centre)[None])
    points = BodyPoints(
        model=source - centre[:3, 3],
        xyz=window.xyz[middle, columns][None],
        information=_difference_information(window, middle, now, columns)[None],
    )
    return int(np.count_nonzero(weighed(start, points, 2 * _CUTOFF)[0]))


def _difference_information(
    window: TrackWindow, then: int, now: int, columns: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return (N, 3, 3) information about differences of positions in two images; the rays are about alike."""
    across = 1.0 / (1.0 / window.across[then, columns] + 1.0 / window.across[now, columns])
    along = 1.0 / (1.0 / window.along[then, columns] + 1.0 / window.along[now, columns])
    return ellipsoids(window.ray[then, columns], across, along)


def _neighbours(points: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.intp]:
    """Draw (H, 3) triples of points, each of a random one and two of those next to it."""
    count = len(points)
    near = min(_NEIGHBOURS, count - 1)
    seeds = generator.integers(0, count, _HYPOTHESES)
    squares = (points * points).sum(axis=1)
    distance = squares[seeds, None] + squares - 2 * points[seeds] @ points.T
    distance[np.arange(_HYPOTHESES), seeds] = np.inf
    nearest = np.argpartition(distance, near - 1, axis=1)[:, :near]
    first = generator.integers(0, near, _HYPOTHESES)
    second = (first + generator.integers(1, near, _HYPOTHESES)) % near
    rows = np.arange(_HYPOTHESES)
    return np.array([seeds, nearest[rows, first], nearest[rows, second]]).T


def _path(window: TrackWindow, slots: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.float64] | None:
    """Return (F, 4, 4) poses in images (F,) of a frame that moves with tracks.

    In the last image it lies in the middle of those measured there, with the axes of the fixed frame. None
    when no three of them were measured in both the first and the last image.
    """
    seen = window.across[window.at(slots, rows)] > 0
    rows = rows[seen[-1]]
    seen = seen[:, seen[-1]]
    if seen[0].sum() < 3:
        return None
    at = window.at(slots, rows)
    place = window.xyz[at]
    centre = np.eye(4)
    centre[:3, 3] = place[-1].mean(axis=0)
    model = place[-1] - centre[:3, 3]
    seconds = window.seconds(slots)
    change = difference(align(model[seen[0]], place[0, seen[0]]), centre)
    start = turned(np.tile(centre, (len(slots), 1, 1)), (seconds / seconds[0])[:, None] * change)
    points = BodyPoints(
        model=model,
        xyz=place,
        information=ellipsoids(window.ray[at], window.across[at], window.along[at]),
    )
    return aligned(start, points, _PATH_CUTOFF, far=True)[0]
