"""Groups of tracks that move as one rigid structure: a robust multi-model fit over a window of images.

Hypotheses come from triples of neighbouring tracks between the oldest and the newest useful image, the best
are grown by robust least squares (as LO-RANSAC does, Chum et al. 2003), and what remains must follow one path
through all images of the window, and much better than standing still. The next group is looked for among the
rest, in a later image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body_filter import BodyStates, MemberPoints, correct
from cotracker_ros.reconstruction.body_window import PathFit, TrackWindow, along_path, at_rest
from cotracker_ros.reconstruction.ellipsoids import ellipsoids
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.rigid import (
    Refined,
    align_triples,
    difference,
    moved,
    refine,
    squared_errors,
)

_HYPOTHESES = 64
_NEIGHBOURS = 10
_GROWN = 2  # hypotheses that are grown
_WORTHWHILE = 3.5  # score: a triple alone has three
_CUTOFF = 4.0  # sigmas between two images
_PATH_GATE = 6.0  # sigmas in each image of those that make the path; which of them follow it is seen later
FOLLOWS = 2.5  # squared error for each degree of freedom of a track that follows a path, at most
SLIDES = 20.0  # squared sigmas of a straight motion away from the path, three degrees of freedom, at most
EVIDENCE = 30.0  # how much better, in squared sigmas, a path must explain a track than rest does
MIN_SEEN = 4  # images of the window in which a track must have been measured to be judged
_FLATNESS = 0.01  # m: points nearer to a common line than this give no orientation
_REACH = 3.0  # times as far as the third neighbours are apart: what is further from all others is elsewhere


@dataclass(frozen=True, eq=False)
class Group:
    """Tracks that move together.

    Attributes:
        columns: (M,) columns of the window.
        slots: (F,) images, oldest first; the last one is the newest.
        poses: (F, 4, 4) in these images of a frame that moves with the tracks and that lies, in the newest
            image, in their middle with the axes of the fixed frame, m.
        place: (M, 3) where they are in the newest image, by all of the images, m.
        information: (M, 3, 3) inverse covariances of `place`, 1/m^2.
    """

    columns: NDArray[np.intp]
    slots: NDArray[np.intp]
    poses: NDArray[np.float64]
    place: NDArray[np.float64]
    information: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seeds:
    """Tracks that moved alike between two images, and to the one half way.

    Attributes:
        columns: (M,) columns of the window.
        pose: (4, 4) their motion from the newest of `slots` to the first, in the fixed frame.
        slots: (F,) images from the one to the other, oldest first.
    """

    columns: NDArray[np.intp]
    pose: NDArray[np.float64]
    slots: NDArray[np.intp]


def find_seeds(
    window: TrackWindow,
    slots: NDArray[np.intp],
    columns: NDArray[np.intp],
    min_members: int,
    generator: np.random.Generator,
) -> Seeds | None:
    """Find tracks that share the motion that most of them share; a quick look, for `grow_group`.

    Args:
        window: The measurements.
        slots: (F,) images, oldest first.
        columns: (N,) tracks that move and are in no body, measured in the last of the images.
        min_members: Smaller groups are none.
        generator: Where chance comes from.
    """
    first = _reference(window, slots, columns)
    both = columns[window.across[slots[first], columns] > 0]
    if len(both) < min_members:
        return None
    seeds = _between(window, slots[first:], both, generator)
    return seeds if seeds is not None and _halfway(window, seeds, min_members) else None


def grow_group(
    window: TrackWindow, columns: NDArray[np.intp], seeds: Seeds, min_members: int
) -> Group | None:
    """Find the tracks that follow the path of seeds through all of their images.

    Args:
        window: The measurements.
        columns: (N,) tracks that move and are in no body.
        seeds: Some of them.
        min_members: Smaller groups are none.
    """
    members, slots = seeds.columns, seeds.slots
    place = window.xyz[slots[-1], members]
    centre = np.eye(4)
    centre[:3, 3] = place.mean(axis=0)
    change = difference(seeds.pose @ centre, centre)
    now = window.stamps[slots[-1]]
    # Every other image is enough to see which tracks belong to it, all of them tell how it moved.
    for used in (np.append(slots[:-1:2], slots[-1]), slots):
        useful = (window.across[np.ix_(used, members)] > 0).sum(axis=1) >= 3
        if useful.sum() < MIN_SEEN or not useful[-1]:
            return None
        used = used[useful]
        parts = (now - window.stamps[used]) / float(now - window.stamps[slots[0]])
        start = np.stack([moved(centre, part * change) for part in parts])
        poses = _path(window, used, members, place - centre[:3, 3], start)
        fit = along_path(window, used, columns, poses)
        keep = follows(fit, at_rest(window, used, columns).chi2)
        # Another thing far away that seems to go along is a body of its own until both are merged.
        part = connected_parts(fit.place[keep])
        keep[keep] = part == np.argmax(np.bincount(part, minlength=1))
        if keep.sum() < min_members:
            return None
        # The moving frame is put where it is in the newest image, turned as the fixed one.
        members, place = columns[keep], transform_points(poses[-1], fit.place[keep])
        turn = poses[-1, :3, :3]
        poses[:, :3, :3] = poses[:, :3, :3] @ turn.T
        centre[:3, 3] = poses[-1, :3, 3]
    if spread(place) < _FLATNESS:
        return None
    return Group(members, used, poses, place, turn @ fit.information[keep] @ turn.T)


def follows(path: PathFit, rest: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which of N tracks follow a path and do not stand still.

    Args:
        path: How well the path explains them.
        rest: (N,) chi2 of standing still in the same images.
    """
    return judged(path) & stays(path) & (rest - path.chi2 > EVIDENCE)


def judged(path: PathFit) -> NDArray[np.bool_]:
    """Say which of N tracks were measured often enough to be judged."""
    return path.freedom >= 3 * (MIN_SEEN - 1)


def stays(path: PathFit) -> NDArray[np.bool_]:
    """Say which of N tracks keep their places in the moving frame."""
    return (path.ratio < FOLLOWS) & (path.slide < SLIDES)


def spread(points: NDArray[np.float64]) -> float:
    """Return how far, rms, points (N, 3) are from the line that fits them best, m."""
    offset = points - points.mean(axis=0)
    values = np.linalg.eigvalsh(offset.T @ offset / len(points))
    return float(np.sqrt(max(values[0] + values[1], 0.0)))


def reach(points: NDArray[np.float64]) -> float:
    """Return how far from the nearest of points (N, 3) another one may be to be of the same thing, m.

    A track far away from the rest agrees with nearly any motion of theirs: a small turn explains it, and its
    lever makes the turn wrong.
    """
    if len(points) < 2:
        return np.inf
    squares = np.sort(_squared_distances(points, points), axis=1)
    return float(_REACH * np.sqrt(np.median(squares[:, min(3, len(points) - 1)])))


def connected_parts(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return (N,) numbers of the parts of points (N, 3) that are within reach of each other, step by step.

    Points of one part have the same number.
    """
    near = _squared_distances(points, points) <= reach(points) ** 2
    part = np.arange(len(points))
    while True:
        lower = np.where(near, part, len(points)).min(axis=1, initial=len(points))
        if (lower == part).all():
            return part
        part = lower


def within_reach(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which of points (N, 3) are within reach of others (M, 3)."""
    if not len(others):
        return np.zeros(len(points), np.bool_)
    return np.asarray(_squared_distances(points, others).min(axis=1) <= reach(others) ** 2)


def _squared_distances(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, M) m^2 between points (N, 3) and others (M, 3)."""
    offset = points[:, None] - others
    return np.asarray(np.einsum("nmi,nmi->nm", offset, offset))


def _reference(window: TrackWindow, slots: NDArray[np.intp], columns: NDArray[np.intp]) -> int:
    """Return the oldest of the images in which nearly as many of the tracks were measured as in any."""
    counts = (window.across[np.ix_(slots[:-1], columns)] > 0).sum(axis=1)
    return int(np.argmax(counts >= 0.7 * counts.max()))


def _between(
    window: TrackWindow, slots: NDArray[np.intp], columns: NDArray[np.intp], generator: np.random.Generator
) -> Seeds | None:
    """Return the tracks that agree on the motion from the last image to the first on which most agree."""
    then, now = slots[0], slots[-1]
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
    best: Refined | None = None
    for row in np.argsort(-scores, kind="stable")[:_GROWN]:
        if not scores[row] > _WORTHWHILE:
            break
        grown = refine(poses[row], after, before, information, iterations=3, cutoff=_CUTOFF)
        if best is None or grown.weights.sum() > best.weights.sum():
            best = grown
    return None if best is None else Seeds(columns[best.weights > 0], best.pose, slots)


def _halfway(window: TrackWindow, seeds: Seeds, min_members: int) -> bool:
    """Say, at little cost, whether enough of the seeds moved alike to the middle of the window, too."""
    slots = seeds.slots
    middle, now = slots[len(slots) // 2], slots[-1]
    columns = seeds.columns[window.across[middle, seeds.columns] > 0]
    if len(columns) < min_members:
        return False
    source, target = window.xyz[now, columns], window.xyz[middle, columns]
    information = _difference_information(window, middle, now, columns)
    part = (window.stamps[now] - window.stamps[middle]) / float(window.stamps[now] - window.stamps[slots[0]])
    centre = np.eye(4)
    centre[:3, 3] = source.mean(axis=0)
    start = moved(centre, part * difference(seeds.pose @ centre, centre))
    found = refine(start, source - centre[:3, 3], target, information, iterations=3, cutoff=2 * _CUTOFF)
    return int((found.weights > 0).sum()) >= min_members


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
    return np.stack([seeds, nearest[rows, first], nearest[rows, second]], axis=1)


def _path(
    window: TrackWindow,
    slots: NDArray[np.intp],
    columns: NDArray[np.intp],
    model: NDArray[np.float64],
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (F, 4, 4) poses that lay `model` (M, 3) on the measurements in images (F,), from `start` on."""
    at = np.ix_(slots, columns)
    seen = window.across[at] > 0
    owner, member = np.nonzero(seen)
    across, along = window.across[at][seen], window.along[at][seen]
    points = MemberPoints(
        owner=owner,
        model=model[member],
        model_covariance=np.zeros((len(owner), 3, 3)),
        xyz=window.xyz[at][seen],
        covariance=ellipsoids(window.ray[at][seen], 1.0 / across, 1.0 / along),
    )
    count = len(slots)
    unknown = np.broadcast_to(np.eye(12), (count, 12, 12))
    states = BodyStates(start, np.zeros((count, 6)), unknown)
    return correct(states, points, _PATH_GATE, 1.0).states.pose
