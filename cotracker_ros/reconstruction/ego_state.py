"""What ego-motion remembers, and how certain it is of what it makes of that."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.calibration_check import FocalEvidence
from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.landmarks import Landmarks, no_landmarks
from cotracker_ros.reconstruction.observation import Observation
from cotracker_ros.reconstruction.pose_check import PoseHistory
from cotracker_ros.reconstruction.pose_fit import PoseFit, Vote
from cotracker_ros.reconstruction.rigid import about_other_point, rotation_exp, rotation_log
from cotracker_ros.reconstruction.scene import OdometryState

_NS = 1e-9
_SEED = 4
_TWIST_GAIN = 0.5  # of a new velocity against the ones before
_NOISE_GAIN = 0.05  # of the noise of one image against the images before
_NOISES = (0.5, 5.0)  # bounds of `EgoMotionState.noise`
_HALF = 0.455  # median of a squared standard normal
_ENOUGH = 20  # landmarks whose errors say something of the noise
_SEASONED = 3  # hits of the landmarks by whose errors the noise is judged


@dataclass
class EgoMotionState:
    """Everything that is remembered; its size is bounded by that of the list of tracks.

    Attributes:
        generator: Where chance comes from.
        landmarks: Of all tracks.
        pose: (4, 4) fixed_from_camera of the last measured image.
        covariance: (6, 6) of it, apart from what the focal length may do to it, see `by_focal`.
        filtered: See `PoseFit`.
        twist: (6,) velocity in the camera's axes, m/s and rad/s.
        twist_covariance: (6, 6) of it.
        epoch: Of the tracks; None where nothing that was measured before counts any longer.
        stamp: Of the last image, ns.
        measured: Stamp of the last image whose pose was measured, ns.
        keyframe: Stamp of the last image that gave landmarks, ns; None before the first.
        status: Of the last image.
        history: Given poses of the last seconds, with the tracks'.
        by_focal: (6,) how the pose depends on the focal length, see `calibration_check`.
        focal: What the landmarks say of the focal length ...
        focal_wrong: ... and whether that means that it is certainly wrong.
        noise: (2,) how many times larger than said the noise of tracks and of depths is.
        view: See `probation.grown_view`.
        obstructed: Voters that should have been in view when most of them became hidden, see `probation`;
            0: the view is free.
        astray: Stamp of the image from which on the pose goes on from a guess, ns; None where it does not.
        former: The voters of the time before that, see `finding_back`; None where there are too few.
        searched: Stamp of the last image in which these were looked for, ns.
    """

    generator: np.random.Generator
    landmarks: Landmarks = field(default_factory=lambda: no_landmarks([]))
    pose: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((6, 6)))
    filtered: NDArray[np.float64] = field(default_factory=lambda: np.zeros((6, 6)))
    twist: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))
    twist_covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((6, 6)))
    epoch: int | None = None
    stamp: int = 0
    measured: int = 0
    keyframe: int | None = None
    status: OdometryState = OdometryState.TRACKING
    history: PoseHistory = field(default_factory=PoseHistory)
    by_focal: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))
    focal: FocalEvidence = field(default_factory=FocalEvidence)
    focal_wrong: bool = False
    noise: NDArray[np.float64] = field(default_factory=lambda: np.ones(2))
    view: NDArray[np.float64] | None = None
    obstructed: int = 0
    astray: int | None = None
    former: Landmarks | None = None
    searched: int = 0


def new_state() -> EgoMotionState:
    """Return what is known before the first image; chance is always the same."""
    return EgoMotionState(np.random.default_rng(_SEED))


def carried_on(state: EgoMotionState, stamp: int, config: EgoMotionConfig) -> NDArray[np.float64]:
    """Return the (4, 4) pose expected at `stamp` ns by the last one and its velocity, which dies away."""
    gap = (stamp - state.measured) * _NS
    if gap <= 0:
        return state.pose.copy()
    way = state.twist * (config.coast_seconds * -np.expm1(-gap / config.coast_seconds))
    pose = state.pose.copy()
    pose[:3, 3] += pose[:3, :3] @ way[:3]
    pose[:3, :3] = pose[:3, :3] @ rotation_exp(way[3:])
    return pose


def prediction_covariance(
    twist_covariance: NDArray[np.float64], gap: float, config: EgoMotionConfig
) -> NDArray[np.float64]:
    """Return the (6, 6) covariance of a prediction over `gap` s; all axes are taken as alike."""
    wander = np.array([config.acceleration] * 3 + [config.turn_acceleration] * 3) * gap**2 / 2
    variance = np.repeat(np.diagonal(twist_covariance).reshape(2, 3).max(axis=1), 3)
    return np.diag(variance * gap**2 + wander**2)


def grown_covariance(
    state: EgoMotionState, gap: float, lost: bool, config: EgoMotionConfig
) -> NDArray[np.float64]:
    """Return the (6, 6) covariance of the pose carried on for `gap` s."""
    covariance = state.covariance + prediction_covariance(
        state.twist_covariance, min(gap, config.lost_seconds), config
    )
    if not lost:
        return covariance
    return covariance + np.diag([config.lost_distance**2] * 3 + [config.lost_angle**2] * 3)


def free_twist(config: EgoMotionConfig) -> NDArray[np.float64]:
    """Return the (6, 6) covariance of a velocity that nobody measured: what a second's acceleration makes."""
    return np.diag([config.acceleration**2] * 3 + [config.turn_acceleration**2] * 3)


def follow_twist(state: EgoMotionState, fit: PoseFit, gap: float, config: EgoMotionConfig) -> None:
    """Take the motion since the last measured image into the velocity."""
    turn = state.pose[:3, :3]
    way = turn.T @ (fit.pose[:3, 3] - state.pose[:3, 3])
    spin = rotation_log(turn.T @ fit.pose[:3, :3])
    state.twist = state.twist + _TWIST_GAIN * (np.concatenate([way, spin]) / gap - state.twist)
    # What two noisy poses make of a velocity, less by the filter's gain, and by how much the filter lags.
    axes = np.zeros((6, 6))
    axes[:3, :3] = axes[3:, 3:] = fit.pose[:3, :3].T
    noise = axes @ fit.covariance @ axes.T * (2 / gap**2 * _TWIST_GAIN / (2 - _TWIST_GAIN))
    state.twist_covariance = noise + free_twist(config) * (gap / _TWIST_GAIN) ** 2


def measured_covariance(
    state: EgoMotionState, observed: Observation, vote: Vote, config: EgoMotionConfig
) -> NDArray[np.float64]:
    """Return the (6, 6) covariance of a pose: by the noise of this image, and by what its landmarks share.

    What the focal length may do to it is not in it.

    Args:
        state: What is remembered.
        observed: The image.
        vote: What its landmarks say.
        config: Knows by how much tracks drift.
    """
    fit, used = vote.fit, vote.agreeing
    across = fit.errors.spread[0, 0] + fit.errors.spread[1, 1]
    weight = 1 / across[vote.agrees]
    weight = weight / weight.sum()
    of_all = np.zeros(len(state.landmarks))
    of_all[used] = weight
    common = (of_all @ state.landmarks.inherited.reshape(-1, 36)).reshape(6, 6)
    depth = 1 / float(observed.sighting.uvw[used, 2].mean())
    way = float(weight @ _ways(state, observed, used))
    return (
        fit.covariance
        + about_other_point(common, fit.pose[:3, 3])
        + systematic_covariance(way, depth, state.twist, config)
    )


def with_focal(
    covariance: NDArray[np.float64], by_focal: NDArray[np.float64], sigma: float
) -> NDArray[np.float64]:
    """Return the (6, 6) covariance of a pose, with what the focal length may do to it.

    A shorter focal length makes more angle of the same noise in px. How the pose changes with it is known to
    the first order; the second one may go in any direction.

    Args:
        covariance: (6, 6) as if the focal length were right.
        by_focal: (6,) see `EgoMotionState`.
        sigma: Share by which the focal length may be off.
    """
    off = by_focal * sigma
    beyond = np.repeat((off.reshape(2, 3) ** 2).sum(axis=1) * sigma**2, 3)
    return covariance * (1 + sigma) ** 2 + np.outer(off, off) + np.diag(beyond)


def judged_noise(
    state: EgoMotionState, observed: Observation, vote: Vote, config: EgoMotionConfig
) -> NDArray[np.float64]:
    """Return `EgoMotionState.noise` after what an image says of it; the arguments as before."""
    rows, errors = vote.rows, vote.fit.errors
    squared = errors.residual**2 / np.einsum("aam->am", errors.spread)
    seasoned = vote.agrees & (state.landmarks.hits[rows] >= _SEASONED)
    # Tracks that have come far in the image say nothing of the tracks' noise.
    image_sigma = np.broadcast_to(observed.points.image_sigma, len(observed.seen))[rows]
    near = seasoned & (config.image_drift * _ways(state, observed, rows) <= image_sigma)
    judged = state.noise.copy()
    for index, told in enumerate((squared[:2, near], squared[2:, seasoned])):
        if told.shape[1] >= _ENOUGH:
            # NumPy's median takes longer for so few than sorting them.
            middle = float(np.sort(told, axis=None)[told.size // 2])
            judged[index] *= (middle / _HALF) ** (_NOISE_GAIN / 2)
    return np.clip(judged, *_NOISES)


def _ways(state: EgoMotionState, observed: Observation, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how far the landmarks in `rows` have come in the image since they are landmarks, rad."""
    way = observed.sighting.uvw[rows, :2] - state.landmarks.first[rows]
    return np.sqrt((way * way).sum(axis=1))


def systematic_covariance(
    way: float, depth: float, twist: NDArray[np.float64], config: EgoMotionConfig
) -> NDArray[np.float64]:
    """Return the (6, 6) covariance of a pose by what is wrong with all tracks alike: calibration and clocks.

    An error in the image of `EgoMotionConfig.image_drift` times the tracks' way is taken for a turn, or
    for a shift that looks the same at the landmarks' depth. Depth images that are late tell where the camera
    was `EgoMotionConfig.depth_lag` before.

    Args:
        way: Of the tracks since they became landmarks, rad.
        depth: Of the landmarks, m.
        twist: (6,) velocity of the camera, m/s and rad/s.
        config: Knows both.
    """
    turn = config.image_drift * way
    shift_late, turn_late = config.depth_lag * np.linalg.norm(twist.reshape(2, 3), axis=1)
    return np.diag([(turn * depth) ** 2 + shift_late**2] * 3 + [turn**2 + turn_late**2] * 3)
