"""Landmarks: static points in the fixed frame that tell the camera where it is; one record for each track."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.focal_lever import carried, lever_of
from cotracker_ros.reconstruction.ids import rows_of
from cotracker_ros.reconstruction.matrix_stacks import (
    inverse_symmetric,
    product,
    propagated,
    stacked,
    unstacked,
)
from cotracker_ros.reconstruction.pose_fit import LandmarkErrors, PoseFit
from cotracker_ros.reconstruction.sighting import (
    Sighting,
    derivatives_by_point,
    seen_from,
)

_PARDONED = 12  # hits after which it is forgotten that a landmark was given up


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What is known of N tracks as landmarks in the fixed frame, as parallel arrays.

    Attributes:
        ids: (N,) uint32, ids of the tracks.
        position: (N, 3) m; NaN where the track is no landmark.
        covariance: (N, 3, 3) of the position, apart from what all landmarks of one time have in common, m^2.
        first: (N, 2) where in the image, in normalised coordinates, the track became a landmark.
        lever: (N, 3) how its position changes with the logarithm of the focal length, m.
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
    lever: NDArray[np.float64]
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
        lever=np.zeros((count, 3)),
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
    if not len(landmarks):
        return no_landmarks(wanted)
    rows, known = rows_of(wanted, landmarks.ids)
    new = np.flatnonzero(~known)
    blank = no_landmarks(wanted[new])
    taken = {}
    for item in fields(Landmarks):
        taken[item.name] = getattr(landmarks, item.name).take(rows, axis=0)
        taken[item.name][new] = getattr(blank, item.name)
    return Landmarks(**taken)


def either(one: Landmarks, other: Landmarks) -> Landmarks:
    """Return what `one` knows of each track, and where that is nothing, what `other` does; same tracks."""
    known = one.known

    def chosen(name: str) -> Any:
        mine, theirs = getattr(one, name), getattr(other, name)
        return np.where(known.reshape(-1, *(1,) * (mine.ndim - 1)), mine, theirs)

    return Landmarks(**{item.name: chosen(item.name) for item in fields(Landmarks)})


def fuse(
    landmarks: Landmarks,
    rows: NDArray[np.intp],
    fit: PoseFit,
    errors: LandmarkErrors,
    agrees: NDArray[np.bool_],
    memory: float,
) -> Landmarks:
    """Take what an image says about landmarks into their running estimates (a Kalman filter each).

    Args:
        landmarks: N of them.
        rows: (M,) those that were seen.
        fit: The pose.
        errors: Of the M landmarks against it.
        agrees: (M,) bool, those that agree with the pose; the others are only counted.
        memory: Estimates are worth at most about so many images: the errors of one track, and of the depth
            of one place, are much the same from one image to the next, so more images do not help as much.
    """
    used = rows[agrees]
    uvw, _ = seen_from(fit.pose, landmarks.position.take(used, axis=0))
    by_point = derivatives_by_point(fit.pose, uvw)
    covariance = stacked(landmarks.covariance.take(used, axis=0)) * (1 + 1 / memory)
    residual, noise = errors.residual.compress(agrees, axis=1), errors.noise.compress(agrees, axis=2)
    inverse = inverse_symmetric(propagated(by_point, covariance) + noise)
    gain = product(np.einsum("abm,cbm->acm", covariance, by_point), inverse)
    result = replace(
        landmarks,
        position=landmarks.position.copy(),
        covariance=landmarks.covariance.copy(),
        lever=landmarks.lever.copy(),
        hits=landmarks.hits.copy(),
        misses=landmarks.misses.copy(),
        strikes=landmarks.strikes.copy(),
    )
    swayed = sway(landmarks, used, uvw + residual, fit.by_focal, fit.pose, by_point)
    result.position[used] += np.einsum("abm,bm->ma", gain, residual)
    # What depth adds lies along the ray, which itself is nearer to the optical axis with a longer one.
    across = fit.pose[:3, :2]
    along = (gain[:, 2] * residual[2]).T
    result.lever[used] += np.einsum("abm,bm->ma", gain, swayed) - along @ across @ across.T
    # Joseph's form: however inexact the gain of a badly known landmark is, nothing becomes negative.
    left = np.eye(3)[:, :, None] - product(gain, by_point)
    result.covariance[used] = unstacked(propagated(left, covariance) + propagated(gain, noise))
    result.hits[used] += 1
    result.strikes[result.hits >= _PARDONED] = 0
    result.misses[rows] = np.where(agrees, 0, landmarks.misses[rows] + 1)
    return result


def sway(
    landmarks: Landmarks,
    rows: NDArray[np.intp],
    uvw: NDArray[np.float64],
    by_focal: NDArray[np.float64],
    pose: NDArray[np.float64],
    by_point: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the derivatives (3, M) of landmarks' errors in (u, v, w) by the logarithm of the focal length.

    A longer one brings what is seen nearer to the middle, and changes where landmark and camera are taken to
    be.

    Args:
        landmarks: N of them.
        rows: (M,) the landmarks.
        uvw: (3, M) where they are seen; or, where the errors are to tell of the focal length, where they
            should be seen: otherwise noise would look like a wrong one.
        by_focal: (6,) see `PoseFit`.
        pose: (4, 4) fixed_from_camera.
        by_point: (3, 3, M) see `Projection`.
    """
    arm = landmarks.position[rows] - pose[:3, 3]
    apart = landmarks.lever[rows] - carried(arm, by_focal)
    error = -np.einsum("abm,mb->am", by_point, apart)
    error[:2] -= uvw[:2]
    return np.asarray(error)


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
    by_focal: NDArray[np.float64],
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
        by_focal: (6,) see `PoseFit`.
        inherited: (6, 6) see `Landmarks`.
        stamp: Of the image, ns.
        votes: Whether they vote at once.
    """
    position, covariance = landmarks.position.copy(), landmarks.covariance.copy()
    first, common = landmarks.first.copy(), landmarks.inherited.copy()
    lever = landmarks.lever.copy()
    turn, xyz = pose[:3, :3], sighting.xyz
    position[rows] = xyz @ turn.T + pose[:3, 3]
    lever[rows] = lever_of(xyz, pose, by_focal)
    covariance[rows] = turn @ sighting.xyz_covariance() @ turn.T
    first[rows], common[rows] = sighting.uvw[:, :2], inherited
    since, voters = landmarks.since.copy(), landmarks.votes.copy()
    since[rows], voters[rows] = stamp, votes
    return replace(
        landmarks,
        position=position,
        covariance=covariance,
        first=first,
        lever=lever,
        inherited=common,
        since=since,
        votes=voters,
    )
