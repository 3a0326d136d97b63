"""What an image of known pose does to the landmarks: they are placed, judged, improved and given up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ego_state import EgoMotionState
from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.landmarks import admit, fuse, give_up
from cotracker_ros.reconstruction.observation import Observation
from cotracker_ros.reconstruction.pose_fit import Vote, errors_from
from cotracker_ros.reconstruction.probation import examine, obstructed_voters
from cotracker_ros.reconstruction.rigid import about_other_point

_NS = 1e-9
_BACK = 0.6  # of the voters that were in view when it became obstructed: when so many stand, it is free


def learn(state: EgoMotionState, observed: Observation, vote: Vote, config: EgoMotionConfig) -> None:
    """Take what an image says of the landmarks into them, and see which are to vote from now on.

    Args:
        state: Has the pose of the image already.
        observed: The image.
        vote: What its landmarks say of the pose.
        config: Knows for how long newcomers have to agree.
    """
    landmarks, fit = state.landmarks, vote.fit
    newcomers = np.flatnonzero(observed.seen & landmarks.known & ~landmarks.votes)
    errors = errors_from(
        fit.pose,
        fit.covariance,
        observed.followed(newcomers, landmarks.first, config.image_drift),
        landmarks.position[newcomers],
        landmarks.covariance[newcomers],
    )
    passed = errors.squared < config.cutoff_sigmas**2
    both, either = np.concatenate([vote.rows, newcomers]), np.concatenate([vote.agrees, passed])
    landmarks = fuse(landmarks, both, fit, fit.errors.joined(errors), either, config.memory)
    _look_for_obstruction(state, observed, vote.agreeing, config)
    seconds = config.obstructed_seconds if state.obstructed else config.probation_seconds
    still = passed & ~observed.points.moving[newcomers]
    landmarks = examine(landmarks, newcomers, still, observed.stamp, round(seconds / _NS))
    wrong = landmarks.misses > config.max_misses
    state.landmarks = give_up(landmarks, wrong) if wrong.any() else landmarks


def _look_for_obstruction(
    state: EgoMotionState, observed: Observation, agreeing: NDArray[np.intp], config: EgoMotionConfig
) -> None:
    """See whether the voters, of which those in the rows `agreeing` stand, are still the view.

    Voters that stay hidden are given up in time, so that most of the rest stand again while the view is as
    obstructed as before. It is free when there are many of them beside what else is seen, or most of those
    that were in view before: a blurred image, or a jerk, hides them for a moment only.
    """
    agrees = np.zeros(len(observed.seen), dtype=bool)
    agrees[agreeing] = True
    few = 2 * len(agreeing) < int(np.count_nonzero(observed.seen & ~observed.points.moving))
    hidden = obstructed_voters(state.landmarks, state.pose, state.view, agrees, state.obstructed, config)
    stays = few and len(agreeing) < _BACK * state.obstructed
    state.obstructed = hidden or (state.obstructed if stays else 0)


def refill(state: EgoMotionState, observed: Observation, config: EgoMotionConfig) -> None:
    """Make landmarks of the tracks that are none, if it is time for a keyframe."""
    seen, known = observed.seen, state.landmarks.known
    few = np.count_nonzero(known & seen) < config.keyframe_share * np.count_nonzero(seen)
    late = observed.stamp - (state.keyframe or 0) > config.keyframe_seconds / _NS
    if few or late:
        rows = observed.placeable(~known & ~observed.points.moving)
        if len(rows):
            place(state, observed, rows, votes=False)


def place(state: EgoMotionState, observed: Observation, rows: NDArray[np.intp], votes: bool) -> None:
    """Make landmarks of the tracks in `rows` (M,) where they are seen from the state's pose."""
    inherited = about_other_point(state.covariance, -state.pose[:3, 3])
    sighting = observed.sighting.take(rows)
    state.landmarks = admit(
        state.landmarks, rows, sighting, state.pose, state.by_focal, inherited, observed.stamp, votes
    )
    state.keyframe = observed.stamp
