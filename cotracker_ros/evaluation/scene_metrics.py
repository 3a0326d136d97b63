"""How well moving bodies and moving points are told: assignment, pose of bodies, flags, consistency.

Truth comes as arrays over images and tracks; what is judged as the values of `SceneUpdate`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.types import PointMotion

THREE_SIGMA = (9.0, 11.829, 14.156, 16.251, 18.205, 20.062)
"""Squared Mahalanobis distance that 99.73 % of the errors of 1 to 6 dimensions stay below (chi-square)."""

STILL_BELOW, MOVING_ABOVE = 0.01, 0.05
"""m/s; what is slower truly stands still, what is faster truly moves, in between either answer is right."""


@dataclass(frozen=True)
class BodyAssignment:
    """How well the tracks of one true body were put together.

    Attributes:
        body: Index of the true body.
        precision: Share of the matched body's members that are points of this body; NaN if never matched.
        recall: Share of this body's counted tracks that are members of the matched body.
        switches: How often the matched body was another one than before.
        ids: The bodies it was matched with, in order of their first match.
        images: Images in which it had counted tracks.
    """

    body: int
    precision: float
    recall: float
    switches: int
    ids: tuple[int, ...]
    images: int


@dataclass(frozen=True, eq=False)
class Assignment:
    """The assignment of all tracks to bodies.

    Attributes:
        bodies: One entry for each true body that had counted tracks, by index.
        matched: (T, B) id of the body matched with each true body in each image; 0 is none.
        precision: Share of all memberships, in whatever body, that are right; NaN if there are none.
        recall: Share of all counted tracks that are members of the matched body; NaN if there are none.
        static_members: Share of all memberships that are points of the static world.
    """

    bodies: tuple[BodyAssignment, ...]
    matched: NDArray[np.int64]
    precision: float
    recall: float
    static_members: float


def body_assignment(
    true_body: ArrayLike, assigned: ArrayLike, counted: ArrayLike, judged: ArrayLike
) -> Assignment:
    """Match bodies with true ones in each image, one to one, those with most tracks in common first.

    Args:
        true_body: (N,) index of the true body of each track; 0 is the static world.
        assigned: (T, N) id of the body that each track is a member of; 0 is none.
        counted: (T, N) bool, tracks that should be members of a body: measured, on a body that moves.
        judged: (N,) bool, tracks of which the true body is certain; others are left out.

    Raises:
        ValueError: The shapes do not belong together.
    """
    owner, ids = np.asarray(true_body, np.int64), np.asarray(assigned, np.int64)
    wanted, certain = np.asarray(counted, bool), np.asarray(judged, bool)
    if not (ids.shape == wanted.shape and ids.shape[1:] == owner.shape == certain.shape):
        raise ValueError(
            f"true bodies {owner.shape}, assigned ones {ids.shape}, counted {wanted.shape} and judged "
            f"{certain.shape} do not belong together; give (N,), (T, N), (T, N) and (N,)"
        )
    owner, ids = owner[certain], ids[:, certain]
    wanted = wanted[:, certain] & (owner > 0)
    count = int(owner.max(initial=0)) + 1
    matched = np.zeros((len(ids), count), np.int64)
    previous: dict[int, int] = {}
    for t, row in enumerate(ids):
        for body, identity in _match(owner, row, previous).items():
            matched[t, body] = previous[body] = identity
    members = ids > 0
    right = members & (owner > 0) & (ids == matched[:, owner])
    bodies = tuple(
        _one_body(body, matched[:, body], owner == body, ids, wanted)
        for body in range(1, count)
        if wanted[:, owner == body].any()
    )
    return Assignment(
        bodies,
        matched,
        precision=_share(right.sum(), members.sum()),
        recall=_share((right & wanted).sum(), wanted.sum()),
        static_members=_share((members & (owner == 0)).sum(), members.sum()),
    )


def _match(true_body: NDArray[np.int64], ids: NDArray[np.int64], previous: dict[int, int]) -> dict[int, int]:
    """Return the id matched with each true body in one image; of equal ones the match of before stays."""
    member = (ids > 0) & (true_body > 0)
    pairs, common = np.unique(np.stack([true_body[member], ids[member]]), axis=1, return_counts=True)
    ranked = sorted(
        zip(pairs.T.tolist(), common.tolist(), strict=True),
        key=lambda item: (-item[1], previous.get(item[0][0]) != item[0][1], item[0]),
    )
    found: dict[int, int] = {}
    for (body, identity), _ in ranked:
        if body not in found and identity not in found.values():
            found[body] = identity
    return found


def _one_body(
    body: int,
    matched: NDArray[np.int64],
    own: NDArray[np.bool_],
    assigned: NDArray[np.int64],
    wanted: NDArray[np.bool_],
) -> BodyAssignment:
    in_match = (assigned == matched[:, None]) & (matched[:, None] > 0)
    sequence = matched[matched > 0]
    return BodyAssignment(
        body,
        precision=_share((in_match & own).sum(), in_match.sum()),
        recall=_share((in_match & own & wanted).sum(), (wanted & own).sum()),
        switches=int((sequence[1:] != sequence[:-1]).sum()),
        ids=tuple(dict.fromkeys(sequence.tolist())),
        images=int((wanted & own).any(axis=1).sum()),
    )


@dataclass(frozen=True)
class MotionFlags:
    """Speed flags against the truth, as counts of track-images.

    Attributes:
        moving: Truly moving points called unknown, static, moving.
        static: Truly static points called unknown, static, moving.
    """

    moving: tuple[int, int, int]
    static: tuple[int, int, int]

    @property
    def moving_found(self) -> float:
        """Share of the moving points that are called moving."""
        return _share(self.moving[PointMotion.MOVING], sum(self.moving))

    @property
    def moving_called_static(self) -> float:
        """Share of the moving points that are called static: a robot would build them into its map."""
        return _share(self.moving[PointMotion.STATIC], sum(self.moving))

    @property
    def static_found(self) -> float:
        """Share of the static points that are called static."""
        return _share(self.static[PointMotion.STATIC], sum(self.static))

    @property
    def static_called_moving(self) -> float:
        """Share of the static points that are called moving."""
        return _share(self.static[PointMotion.MOVING], sum(self.static))


def motion_flags(flags: ArrayLike, speed: ArrayLike, judged: ArrayLike) -> MotionFlags:
    """Compare speed flags with true speeds.

    Args:
        flags: (T, N) values of `PointMotion`.
        speed: (T, N) true speed in the fixed frame, m/s, NaN where unknown.
        judged: (T, N) bool, entries that count.
    """
    said, true, counted = np.asarray(flags), np.asarray(speed, np.float64), np.asarray(judged, bool)
    moving, static = (
        np.bincount(said[chosen], minlength=3)[:3].tolist()
        for chosen in (counted & (true > MOVING_ABOVE), counted & (true < STILL_BELOW))
    )
    return MotionFlags((moving[0], moving[1], moving[2]), (static[0], static[1], static[2]))


def point_speeds(xyz: ArrayLike, stamps: ArrayLike) -> NDArray[np.float64]:
    """Return (T, N) speeds, m/s, of points (T, N, 3) at stamps (T,) ns, by central differences."""
    seconds = (np.asarray(stamps, np.int64) - np.asarray(stamps, np.int64)[0]) * 1e-9
    return np.asarray(np.linalg.norm(np.gradient(np.asarray(xyz, np.float64), seconds, axis=0), axis=-1))


def pose_errors(poses: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Return (T, 6) errors of poses (T, 4, 4): translation, m, and rotation vector, rad, in fixed axes.

    The rotation vector turns the true pose into the given one about the axes of the fixed frame: the
    convention of the covariances in `reconstruction.scene`.
    """
    given, true = np.asarray(poses, np.float64), np.asarray(truth, np.float64)
    turn = given[:, :3, :3] @ true[:, :3, :3].transpose(0, 2, 1)
    return np.concatenate([given[:, :3, 3] - true[:, :3, 3], rotation_vectors(turn)], axis=1)


def rotation_vectors(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (T, 3) axis times angle, rad, of rotation matrices (T, 3, 3)."""
    skew = np.stack([matrices[:, k, j] - matrices[:, j, k] for j, k in ((1, 2), (2, 0), (0, 1))], axis=1) / 2
    sine = np.linalg.norm(skew, axis=1)
    angle = np.arctan2(sine, (np.trace(matrices, axis1=1, axis2=2) - 1) / 2)
    small = sine < 1e-9  # no turn; half a turn, of which the axis is not told here, keeps its size
    axis = np.where(small[:, None], np.array([1.0, 0.0, 0.0]), skew / np.where(small, 1.0, sine)[:, None])
    return axis * angle[:, None]


def squared_distances(errors: ArrayLike, covariances: ArrayLike) -> NDArray[np.float64]:
    """Return (T,) squared Mahalanobis distances of errors (T, D) by covariances (T, D, D).

    Its mean over many images (NEES) is D where the covariance tells the truth. A covariance that is not
    positive definite promises certainty: inf, unless the error is nothing at all.
    """
    rows, matrices = np.asarray(errors, np.float64), np.asarray(covariances, np.float64)
    result = np.empty(len(rows))
    for t, (error, covariance) in enumerate(zip(rows, matrices, strict=True)):
        if not np.isfinite(covariance).all() or not np.isfinite(error).all():
            result[t] = math.inf
            continue
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        # A nanometre (nanorad) is nothing: the first pose of a trajectory is exact by definition.
        result[t] = float((((vectors.T @ error) ** 2) / np.maximum(values, 1e-18)).sum())
    return result


@dataclass(frozen=True)
class PoseConsistency:
    """Whether poses are as exact as they say.

    Attributes:
        nees: Median squared Mahalanobis distance over dimensions: 1 is honest, above is too sure of itself
            (the median of an honest one is 0.89 for 6 dimensions).
        beyond: Share of the poses that are wrong by more than 3 sigma.
        count: Poses.
    """

    nees: float
    beyond: float
    count: int


def pose_consistency(errors: ArrayLike, covariances: ArrayLike) -> PoseConsistency:
    """Compare errors (T, D) with their covariances (T, D, D)."""
    rows = np.asarray(errors, np.float64)
    if not len(rows):
        return PoseConsistency(math.nan, math.nan, 0)
    dimensions = rows.shape[1]
    distances = squared_distances(rows, covariances)
    return PoseConsistency(
        nees=float(np.median(distances)) / dimensions,
        beyond=float((distances > THREE_SIGMA[dimensions - 1]).mean()),
        count=len(rows),
    )


def carried_along(first: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Return (T, 4, 4) where a frame must be that moves with a body from its first pose on.

    Args:
        first: (4, 4) the frame in the first image.
        truth: (T, 4, 4) true poses of the body, beginning in that image.
    """
    poses = np.asarray(truth, np.float64)
    return np.asarray(poses @ np.linalg.inv(poses[0]) @ np.asarray(first, np.float64))


def median_p95(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Return median and 95th percentile; NaN when there is nothing."""
    if not len(values):
        return math.nan, math.nan
    median, p95 = np.percentile(values, [50, 95])
    return float(median), float(p95)


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan
