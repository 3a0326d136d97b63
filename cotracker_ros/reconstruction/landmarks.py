"""Landmarks: static points in the fixed frame that tell the camera where it is, and the pose they tell.

A landmark is measured as (u, v, w): its place in the image in normalised coordinates (x / z, y / z) and
its inverse depth 1 / z, 1/m. In these, noise is nearly Gaussian: that of the tracker is the same everywhere
in the image, and that of depth sensors, which grows with z squared, becomes even (Civera et al. 2008).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.rigid import covariance_of, moved, robust_inflation, solve_normal

_NEAREST = 0.01  # m: a landmark that would be nearer to the camera's plane, or behind it, is not looked at
_STEPS = 8  # Gauss-Newton steps at most; from the predicted pose, four or five do
_WIDE_STEPS = 2  # the first ones, with weights that pull in what a wrong start makes look like outliers
_WIDE = 3.0  # sigmas: scale of Cauchy's weights in those steps
_PARDONED = 12  # hits after which it is forgotten that a landmark was given up
_PLAIN = 10.0  # a landmark with a tenth of the trust of the best counts in full once the outliers are known
_STILL = 5e-5  # m, rad: a step that changes nothing


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What is known of N tracks as landmarks in the fixed frame, as parallel arrays.

    Attributes:
        ids: (N,) uint32, ids of the tracks.
        position: (N, 3) m; NaN where the track is no landmark.
        covariance: (N, 3, 3) of the position, apart from what all landmarks of one time have in common, m^2.
        first: (N, 2) where in the image, in normalised coordinates, the track became a landmark.
        inherited: (N, 6, 6) covariance of the camera's pose when the landmark was made, as the `delta` of a
            body with its origin at that of the fixed frame: how uncertain all landmarks of that time are
            together.
        hits: (N,) how often it agreed with the pose.
        misses: (N,) how often in a row it contradicted.
        strikes: (N,) how often it was given up because it contradicted, until it agreed for long.
        since: (N,) stamp of the image from which on it has always agreed, ns.
        votes: (N,) bool, whether it is a landmark that may say where the camera is, see `probation`.
    """

    ids: NDArray[np.uint32]
    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    first: NDArray[np.float64]
    inherited: NDArray[np.float64]
    hits: NDArray[np.int64]
    misses: NDArray[np.int64]
    strikes: NDArray[np.int64]
    since: NDArray[np.int64]
    votes: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) which tracks are landmarks."""
        return np.asarray(np.isfinite(self.position[:, 0]))


def no_landmarks(ids: ArrayLike) -> Landmarks:
    """Return tracks none of which is a landmark."""
    names = np.asarray(ids, dtype=np.uint32)
    count = len(names)
    return Landmarks(
        ids=names,
        position=np.full((count, 3), np.nan),
        covariance=np.zeros((count, 3, 3)),
        first=np.zeros((count, 2)),
        inherited=np.zeros((count, 6, 6)),
        hits=np.zeros(count, dtype=np.int64),
        misses=np.zeros(count, dtype=np.int64),
        strikes=np.zeros(count, dtype=np.int64),
        since=np.zeros(count, dtype=np.int64),
        votes=np.zeros(count, dtype=bool),
    )


def in_order(landmarks: Landmarks, ids: ArrayLike) -> Landmarks:
    """Return the landmarks in the order of `ids` (M,); tracks not among them are forgotten."""
    wanted = np.asarray(ids, dtype=np.uint32)
    if np.array_equal(wanted, landmarks.ids):
        return landmarks
    result = no_landmarks(wanted)
    if not len(landmarks) or not len(wanted):
        return result
    order = np.argsort(landmarks.ids)
    place = np.minimum(np.searchsorted(landmarks.ids, wanted, sorter=order), len(landmarks) - 1)
    source = order[place]
    same = landmarks.ids[source] == wanted
    for item in fields(Landmarks):
        getattr(result, item.name)[same] = getattr(landmarks, item.name)[source[same]]
    return result


@dataclass(frozen=True, eq=False)
class Sighting:
    """M tracks as the camera sees them, see the module's docstring.

    Attributes:
        uvw: (M, 3) normalised image coordinates and inverse depth, 1/m.
        variance: (M, 3) of them; that of an inverse depth that was not measured is huge.
    """

    uvw: NDArray[np.float64]
    variance: NDArray[np.float64]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Sighting:
        """Return the sighting of some of the tracks."""
        return Sighting(self.uvw[rows], self.variance[rows])

    @property
    def xyz(self) -> NDArray[np.float64]:
        """(M, 3) positions in the camera's optical frame, m."""
        z = 1 / self.uvw[:, 2]
        return np.stack([self.uvw[:, 0] * z, self.uvw[:, 1] * z, z], axis=1)

    def xyz_covariance(self) -> NDArray[np.float64]:
        """Return the (M, 3, 3) covariances of `xyz`, m^2."""
        u, v, w = self.uvw.T
        jacobian = np.zeros((len(w), 3, 3))
        jacobian[:, 0, 0] = jacobian[:, 1, 1] = 1 / w
        jacobian[:, 0, 2], jacobian[:, 1, 2], jacobian[:, 2, 2] = -u / w**2, -v / w**2, -1 / w**2
        return np.asarray((jacobian * self.variance[:, None, :]) @ np.swapaxes(jacobian, 1, 2))


@dataclass(frozen=True, eq=False)
class Projection:
    """Where M landmarks should be seen from a pose.

    Derivatives have the landmark as their last axis, which makes them fast.

    Attributes:
        uvw: (3, M).
        by_point: (3, 3, M) derivative of each of (u, v, w) by the landmark's position.
        by_pose: (6, 3, M) derivative by each of the six of the pose's `delta` of each of (u, v, w).
    """

    uvw: NDArray[np.float64]
    by_point: NDArray[np.float64]
    by_pose: NDArray[np.float64]

    @property
    def by_each_point(self) -> NDArray[np.float64]:
        """(M, 3, 3) `by_point`, a matrix for each landmark."""
        return np.ascontiguousarray(np.moveaxis(self.by_point, 2, 0))


def seen_from(
    pose: NDArray[np.float64], position: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Say where landmarks at `position` (M, 3), m, are seen from fixed_from_camera `pose` (4, 4).

    Returns:
        (3, M) of u, v, w, and (M,) bool, which lie in front of the camera; the others' values mean nothing.
    """
    x, y, z = pose[:3, :3].T @ (position - pose[:3, 3]).T
    ahead = z > _NEAREST
    w = 1 / np.where(ahead, z, 1.0)
    return np.stack([x * w, y * w, w]), ahead


def project(pose: NDArray[np.float64], position: NDArray[np.float64]) -> Projection:
    """Say where landmarks at `position` (M, 3), m, are seen from `pose`, and how that changes with both."""
    uvw, _ = seen_from(pose, position)
    by_point = derivatives_by_point(pose, uvw)
    by_pose = np.empty((6, 3, len(position)))
    a, b, c = by_point[:, 0], by_point[:, 1], by_point[:, 2]
    p, q, r = (position - pose[:3, 3]).T
    by_pose[0], by_pose[1], by_pose[2] = -a, -b, -c
    by_pose[3] = b * r - c * q
    by_pose[4] = c * p - a * r
    by_pose[5] = a * q - b * p
    return Projection(uvw, by_point, by_pose)


def derivatives_by_point(pose: NDArray[np.float64], uvw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, 3, M), see `Projection`, of landmarks that are seen at `uvw` (3, M) from `pose`."""
    u, v, w = uvw
    # Rows of the camera's axes, as the chain rule of a division wants them.
    right, down, forward = pose[:3, :3].T[:, :, None]
    by_point = np.empty((3, 3, uvw.shape[1]))
    by_point[0] = (right - u * forward) * w
    by_point[1] = (down - v * forward) * w
    by_point[2] = -forward * (w * w)
    return by_point


def inverse_symmetric(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverses of (M, 3, 3) symmetric positive matrices, by cofactors."""
    a, b, c = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 0, 2]
    d, e, f = matrices[:, 1, 1], matrices[:, 1, 2], matrices[:, 2, 2]
    ca, cb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    cd, ce, cf = a * f - c * c, b * c - a * e, a * d - b * b
    inverse = np.stack([ca, cb, cc, cb, cd, ce, cc, ce, cf], axis=1).reshape(-1, 3, 3)
    return np.asarray(inverse / (a * ca + b * cb + c * cc)[:, None, None])


@dataclass(frozen=True, eq=False)
class PoseFit:
    """The pose that landmarks tell.

    Attributes:
        pose: (4, 4) fixed_from_camera.
        covariance: (6, 6) of its `delta` given the landmarks; infinite where they do not fix it.
        squared: (M,) squared errors of the landmarks, sigmas; infinite behind the camera.
        residual: (M, 3) measured less expected (u, v, w).
        spread: (M, 3, 3) covariance of `residual` ...
        noise: (M, 3, 3) ... and the part of it that is not from the landmarks' places.
    """

    pose: NDArray[np.float64]
    covariance: NDArray[np.float64]
    squared: NDArray[np.float64]
    residual: NDArray[np.float64]
    spread: NDArray[np.float64]
    noise: NDArray[np.float64]


def fit_pose(
    start: NDArray[np.float64],
    sighting: Sighting,
    position: NDArray[np.float64],
    covariance: NDArray[np.float64],
    trust: NDArray[np.float64],
    cutoff: float,
    wide: bool,
) -> PoseFit:
    """Find the camera's pose from M landmarks by Gauss-Newton with Tukey's weights, which pass over outliers.

    Args:
        start: (4, 4) fixed_from_camera to begin with.
        sighting: Of the landmarks.
        position: (M, 3) of the landmarks in the fixed frame, m.
        covariance: (M, 3, 3) of the positions, m^2.
        trust: (M,) how much each counts, 0 to 1.
        cutoff: Errors of so many sigmas have no weight in the end.
        wide: Take the first steps with Cauchy's weights, which look far: for a start that may be far off.
    """
    pose = start
    seen = project(pose, position)
    by_point = seen.by_each_point
    noise = sighting.variance[:, :, None] * np.eye(3)
    spread = by_point @ covariance @ np.swapaxes(by_point, 1, 2) + noise
    information = np.ascontiguousarray(np.moveaxis(inverse_symmetric(spread), 0, 2))
    measured = np.ascontiguousarray(sighting.uvw.T)
    plain = np.minimum(_PLAIN * trust, 1.0)
    weighted = np.einsum("abm,kbm->kam", information, seen.by_pose)
    residual, squared = _errors(pose, position, measured, information)
    first_tight = _WIDE_STEPS if wide else 0
    for step in range(_STEPS):
        if step < first_tight:
            weight = trust / (1 + squared / _WIDE**2)
        else:
            weight = plain * np.maximum(1 - squared / cutoff**2, 0.0) ** 2
        if step == _WIDE_STEPS:  # from here on the pose hardly changes, nor do the derivatives
            seen = project(pose, position)
            weighted = np.einsum("abm,kbm->kam", information, seen.by_pose)
        normal = (weighted * weight).reshape(6, -1) @ seen.by_pose.reshape(6, -1).T
        change = solve_normal(normal, weighted.reshape(6, -1) @ (residual * weight).reshape(-1))
        pose = moved(pose, change)
        residual, squared = _errors(pose, position, measured, information)
        if step >= first_tight and np.abs(change).max() < _STILL:
            break
    agrees = squared < cutoff**2
    normal = (weighted * np.where(agrees, plain, 0.0)).reshape(6, -1) @ seen.by_pose.reshape(6, -1).T
    inflation = robust_inflation(squared[agrees], cutoff, dimensions=3)
    return PoseFit(pose, covariance_of(normal) * inflation, squared, residual.T, spread, noise)


def errors_from(
    pose: NDArray[np.float64],
    pose_covariance: NDArray[np.float64],
    sighting: Sighting,
    position: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> PoseFit:
    """Return the errors of M landmarks against a pose that they had no say in, whose own error counts, too.

    Args:
        pose: (4, 4) fixed_from_camera.
        pose_covariance: (6, 6) of it.
        sighting: Of the landmarks.
        position: (M, 3) m.
        covariance: (M, 3, 3) of the positions, m^2.
    """
    seen = project(pose, position)
    by_point, by_pose = seen.by_each_point, np.moveaxis(seen.by_pose, 2, 0)
    noise = np.swapaxes(by_pose, 1, 2) @ pose_covariance @ by_pose + sighting.variance[:, :, None] * np.eye(3)
    spread = by_point @ covariance @ np.swapaxes(by_point, 1, 2) + noise
    information = np.moveaxis(inverse_symmetric(spread), 0, 2)
    residual, squared = _errors(pose, position, sighting.uvw.T, information)
    return PoseFit(pose, pose_covariance, squared, residual.T, spread, noise)


def _errors(
    pose: NDArray[np.float64],
    position: NDArray[np.float64],
    measured: NDArray[np.float64],
    information: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (3, M) measured less expected (u, v, w) and (M,) its square in sigmas, infinite behind it.

    Args:
        pose: (4, 4) fixed_from_camera.
        position: (M, 3) of the landmarks, m.
        measured: (3, M).
        information: (3, 3, M).
    """
    expected, ahead = seen_from(pose, position)
    residual = np.where(ahead, measured - expected, 0.0)
    squared = np.einsum("am,abm,bm->m", residual, information, residual)
    return residual, np.where(ahead, squared, np.inf)


def fuse(
    landmarks: Landmarks, rows: NDArray[np.intp], fit: PoseFit, agrees: NDArray[np.bool_], memory: float
) -> Landmarks:
    """Take what an image says about landmarks into their running estimates (a Kalman filter each).

    Args:
        landmarks: N of them.
        rows: (M,) those that were seen.
        fit: The pose, and the errors of the M landmarks.
        agrees: (M,) bool, those that agree with the pose; the others are only counted.
        memory: Estimates are worth at most about so many images: the errors of one track, and of the depth
            of one place, are much the same from one image to the next, so more images do not help as much.
    """
    used = rows[agrees]
    uvw, _ = seen_from(fit.pose, landmarks.position[used])
    by_point = np.ascontiguousarray(np.moveaxis(derivatives_by_point(fit.pose, uvw), 2, 0))
    covariance = landmarks.covariance[used] * (1 + 1 / memory)
    # Not the fit's spread, which is of another covariance and pose: what is left could become negative.
    across = by_point @ covariance
    spread = across @ np.swapaxes(by_point, 1, 2) + fit.noise[agrees]
    gain = np.ascontiguousarray(np.swapaxes(inverse_symmetric(spread) @ across, 1, 2))
    result = replace(
        landmarks,
        position=landmarks.position.copy(),
        covariance=landmarks.covariance.copy(),
        hits=landmarks.hits.copy(),
        misses=landmarks.misses.copy(),
        strikes=landmarks.strikes.copy(),
    )
    result.position[used] += (gain @ fit.residual[agrees][:, :, None])[:, :, 0]
    result.covariance[used] = covariance - gain @ across
    result.hits[used] += 1
    result.strikes[result.hits >= _PARDONED] = 0
    result.misses[rows] = np.where(agrees, 0, landmarks.misses[rows] + 1)
    return result


def doubt(landmarks: Landmarks, rows: NDArray[np.intp]) -> Landmarks:
    """Count a miss against the landmarks in `rows`."""
    misses = landmarks.misses.copy()
    misses[rows] += 1
    return replace(landmarks, misses=misses)


def give_up(landmarks: Landmarks, rows: NDArray[np.bool_]) -> Landmarks:
    """Make landmarks ordinary tracks again; `rows` is (N,) bool."""
    return replace(
        landmarks,
        position=np.where(rows[:, None], np.nan, landmarks.position),
        hits=np.where(rows, 0, landmarks.hits),
        misses=np.where(rows, 0, landmarks.misses),
        strikes=landmarks.strikes + rows,
        votes=landmarks.votes & ~rows,
    )


def admit(
    landmarks: Landmarks,
    rows: NDArray[np.intp],
    sighting: Sighting,
    pose: NDArray[np.float64],
    inherited: NDArray[np.float64],
    stamp: int,
    votes: bool,
) -> Landmarks:
    """Make tracks landmarks where they are seen now.

    Args:
        landmarks: N tracks.
        rows: (M,) the tracks.
        sighting: Of the M tracks, with depth.
        pose: (4, 4) fixed_from_camera.
        inherited: (6, 6) see `Landmarks`.
        stamp: Of the image, ns.
        votes: Whether they vote at once.
    """
    position, covariance = landmarks.position.copy(), landmarks.covariance.copy()
    first, common = landmarks.first.copy(), landmarks.inherited.copy()
    turn = pose[:3, :3]
    position[rows] = sighting.xyz @ turn.T + pose[:3, 3]
    covariance[rows] = turn @ sighting.xyz_covariance() @ turn.T
    first[rows], common[rows] = sighting.uvw[:, :2], inherited
    since, voters = landmarks.since.copy(), landmarks.votes.copy()
    since[rows], voters[rows] = stamp, votes
    return replace(
        landmarks,
        position=position,
        covariance=covariance,
        first=first,
        inherited=common,
        since=since,
        votes=voters,
    )
