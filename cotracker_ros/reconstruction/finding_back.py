"""Finding back after the camera was lost: by the landmarks of before, when their tracks are seen again.

A lost camera goes on from where it is expected, uncertain by metres, with new landmarks. Those of before are
kept for a time, as far as their tracks are; when enough of them are seen again and agree on one pose, what
was placed since is moved so that the newest pose is the one they tell.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.calibration_check import consider
from cotracker_ros.reconstruction.ego_state import EgoMotionState, carried_on, free_twist, measured_covariance
from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.focal_lever import carried
from cotracker_ros.reconstruction.landmarks import Landmarks, either, give_up, in_order
from cotracker_ros.reconstruction.observation import Observation
from cotracker_ros.reconstruction.pose_check import PoseHistory
from cotracker_ros.reconstruction.pose_fit import Vote
from cotracker_ros.reconstruction.pose_search import Outlook, candidates_among, find_pose
from cotracker_ros.reconstruction.poses import invert_pose
from cotracker_ros.reconstruction.rigid import about_other_point
from cotracker_ros.reconstruction.scene import OdometryState

_NS = 1e-9
_PAUSE = 0.1  # s from one search to the next, which takes long
_PROVEN = 3  # hits of a landmark that is worth waiting for


def left_behind(state: EgoMotionState, config: EgoMotionConfig) -> Landmarks | None:
    """Return the landmarks by which a camera that is lost now may be found back; None: there are too few.

    Those of an earlier loss are better: they are in the frame as it was at first.
    """
    if state.former is not None:
        return state.former
    unproven = ~state.landmarks.votes | (state.landmarks.hits < _PROVEN)
    kept = give_up(state.landmarks, unproven)
    return kept if kept.known.sum() >= config.min_points else None


def find_back(state: EgoMotionState, observed: Observation, config: EgoMotionConfig) -> int:
    """Put the camera where the landmarks of before tell it is, and all newer ones with it.

    Args:
        state: What is known after the image, by newer landmarks.
        observed: The image.
        config: What makes a pose.

    Returns:
        How many landmarks tell that; 0: it is not told, and nothing changes.
    """
    if state.astray is None or state.astray == observed.stamp:
        return 0
    former = None if state.former is None else in_order(state.former, observed.points.ids)
    late = (observed.stamp - state.astray) * _NS > config.astray_seconds
    if late or former is None or former.known.sum() < config.min_points:
        state.astray = state.former = None
        return 0
    state.former = former
    rows = np.flatnonzero(observed.seen & former.known)
    if len(rows) < config.min_points or (observed.stamp - state.searched) * _NS < _PAUSE:
        return 0
    state.searched = observed.stamp
    outlook = Outlook(state.pose, state.covariance, 1.0, np.full(2, np.inf), state.pose)
    candidates = candidates_among(former, observed, rows, config)
    finding = find_pose(candidates, outlook, config, state.generator, lost=True)
    agrees = finding.agrees
    if finding.fit is None or finding.reason or agrees.mean() < config.clear_share:
        return 0
    here = carried_on(state, observed.stamp, config)
    if state.measured < observed.stamp:
        state.twist, state.twist_covariance = np.zeros(6), free_twist(config)
    state.measured, state.status = observed.stamp, OdometryState.TRACKING
    newer, state.landmarks = state.landmarks, former
    state.pose, state.obstructed, state.astray, state.former = finding.fit.pose, 0, None, None
    vote, _ = consider(former, Vote(rows, finding.fit, agrees))
    by_focal, state.by_focal = state.by_focal, vote.fit.by_focal
    state.covariance = measured_covariance(state, observed, vote, config)
    state.landmarks = either(former, _put_right(newer, state, here, by_focal))
    state.history = PoseHistory()
    return int(agrees.sum())


def _put_right(
    newer: Landmarks, state: EgoMotionState, here: NDArray[np.float64], by_focal: NDArray[np.float64]
) -> Landmarks:
    """Return landmarks that were placed while the camera was taken to be at `here` (4, 4), for where it is.

    They are on probation from now on: they may be those of what hid the view. `by_focal` (6,) is how the pose
    `here` depended on the focal length.
    """
    jump = state.pose @ invert_pose(here)
    turn = jump[:3, :3]
    inherited = about_other_point(state.covariance, -state.pose[:3, 3])
    position = newer.position @ turn.T + jump[:3, 3]
    change = state.by_focal - np.concatenate([turn @ by_focal[:3], turn @ by_focal[3:]])
    return replace(
        newer,
        position=position,
        covariance=turn @ newer.covariance @ turn.T,
        lever=newer.lever @ turn.T + carried(position - state.pose[:3, 3], change),
        inherited=np.broadcast_to(inherited, newer.inherited.shape),
        since=np.full_like(newer.since, state.measured),
        votes=np.zeros_like(newer.votes),
    )
