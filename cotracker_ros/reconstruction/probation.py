"""Which tracks may say where the camera is: those that have proved to stand still.

The tracks of the beginning all vote, as nobody knows better. Every later one has to agree for a time with the
pose that others tell before it votes, too; otherwise something that is carried into the view, and rests there
for a moment, would soon outvote the room behind it.

While most of the voters that should be in view are hidden or contradict, the view is obstructed: then what
is new is probably what hides them, and has to stand still for much longer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.landmarks import Landmarks, Sighting, errors_from, fuse, seen_from

_NS = 1e-9
_MARGIN = 0.92  # of the view's half width: what is nearer to its edge may be out of view
_FEW = 20  # voters, fewer of which say nothing of the view as a whole


def grown_view(
    view: NDArray[np.float64] | None, sighting: Sighting, seen: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Return the least and the largest (u, v), as (2, 2), of all that was seen so far; None: nothing was."""
    if not seen.any():
        return view
    uv = sighting.uvw[seen, :2]
    low, high = uv.min(axis=0), uv.max(axis=0)
    return np.stack([low, high] if view is None else [np.minimum(low, view[0]), np.maximum(high, view[1])])


def is_obstructed(
    landmarks: Landmarks,
    pose: NDArray[np.float64],
    view: NDArray[np.float64] | None,
    agrees: NDArray[np.bool_],
    before: bool,
    config: EgoMotionConfig,
) -> bool:
    """Say whether most of the voters that should be in view are hidden or contradict.

    Args:
        landmarks: N of them.
        pose: (4, 4) fixed_from_camera, as measured or expected.
        view: See `grown_view`.
        agrees: (N,) bool, landmarks that are seen and agree with the pose.
        before: Whether the view was obstructed.
        config: Knows the share.
    """
    voters = np.flatnonzero(landmarks.votes)
    if view is None or len(voters) < _FEW:
        return before
    uvw, ahead = seen_from(pose, landmarks.position[voters])
    middle, half = view.mean(axis=0), (view[1] - view[0]) / 2 * _MARGIN
    expected = ahead & (np.abs(uvw[:2].T - middle) < half).all(axis=1)
    if expected.sum() < _FEW:
        return before
    standing = np.count_nonzero(agrees[voters] & expected)
    return bool(standing < config.obstructed_share * expected.sum())


def examine(
    landmarks: Landmarks,
    rows: NDArray[np.intp],
    sighting: Sighting,
    pose: NDArray[np.float64],
    covariance: NDArray[np.float64],
    believed: NDArray[np.bool_],
    stamp: int,
    seconds: float,
    config: EgoMotionConfig,
) -> Landmarks:
    """Compare landmarks on probation with a pose that they had no say in; those that passed vote from now on.

    Args:
        landmarks: N of them.
        rows: (M,) those on probation that are seen.
        sighting: Of the M.
        pose: (4, 4) fixed_from_camera.
        covariance: (6, 6) of the pose.
        believed: (M,) bool, those that nobody believes to move.
        stamp: Of the image, ns.
        seconds: How long they have to agree.
        config: What agreeing means.
    """
    errors = errors_from(pose, covariance, sighting, landmarks.position[rows], landmarks.covariance[rows])
    agrees = errors.squared < config.cutoff_sigmas**2
    result = fuse(landmarks, rows, errors, agrees, config.memory)
    since, votes = result.since.copy(), result.votes.copy()
    since[rows[~(agrees & believed)]] = stamp
    votes[rows] = (stamp - since[rows]) * _NS >= seconds
    return replace(result, since=since, votes=votes)
