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
from cotracker_ros.reconstruction.landmarks import Landmarks
from cotracker_ros.reconstruction.observation import Observation
from cotracker_ros.reconstruction.sighting import seen_from

_MARGIN = 0.92  # of the view's half width: what is nearer to its edge may be out of view
_FEW = 20  # voters, fewer of which say nothing of the view as a whole


def grown_view(view: NDArray[np.float64] | None, observed: Observation) -> NDArray[np.float64] | None:
    """Return the least and the largest (u, v), as (2, 2), of all that was seen so far; None: nothing was."""
    if not observed.seen.any():
        return view
    uv = observed.sighting.uvw[observed.seen, :2]
    low, high = uv.min(axis=0), uv.max(axis=0)
    return np.stack([low, high] if view is None else [np.minimum(low, view[0]), np.maximum(high, view[1])])


def obstructed_voters(
    landmarks: Landmarks,
    pose: NDArray[np.float64],
    view: NDArray[np.float64] | None,
    agrees: NDArray[np.bool_],
    before: int,
    config: EgoMotionConfig,
) -> int:
    """Return how many voters should be in view of which most are hidden or contradict; 0 where most stand.

    Args:
        landmarks: N of them.
        pose: (4, 4) fixed_from_camera, as measured or expected.
        view: See `grown_view`.
        agrees: (N,) bool, landmarks that are seen and agree with the pose.
        before: What was returned for the last image; while the view stays obstructed, that is returned again.
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
    hidden = standing < config.obstructed_share * expected.sum()
    return (before or int(expected.sum())) if hidden else 0


def examine(
    landmarks: Landmarks,
    rows: NDArray[np.intp],
    still: NDArray[np.bool_],
    stamp: int,
    wait: int,
) -> Landmarks:
    """Let those on probation vote that have agreed for long enough with a pose that they had no say in.

    Args:
        landmarks: N of them.
        rows: (M,) those on probation that are seen.
        still: (M,) bool, those that agree with the pose and that nobody believes to move.
        stamp: Of the image, ns.
        wait: How long they have to agree, ns.
    """
    since, votes = landmarks.since.copy(), landmarks.votes.copy()
    since[rows[~still]] = stamp
    votes[rows] = stamp - since[rows] >= wait
    return replace(landmarks, since=since, votes=votes)
