"""The camera's motion from tracks that stand still: visual odometry against landmarks, one image at a time.

Every track that stands still becomes a landmark, a point in the fixed frame with a running estimate. The pose
of an image is measured against the landmarks, not against the image before: errors do not add up from image
to image, only as landmarks die and later ones, placed from poses already uncertain, take over. These have to
stand still for a time before they have a say (see `probation`). A camera that was lost goes on, uncertain by
metres, until it is found back (see `finding_back`).

What no tracks can tell: depth that is scaled from the start scales all motion (a given pose shows it), and a
rigid thing that fills most of the view from the start and sets off slowly is taken for the world.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.calibration_check import FocalEvidence, consider, doubt_after, is_wrong
from cotracker_ros.reconstruction.ego_state import (
    carried_on,
    follow_twist,
    free_twist,
    grown_covariance,
    judged_noise,
    measured_covariance,
    new_state,
    prediction_covariance,
    with_focal,
)
from cotracker_ros.reconstruction.ego_types import CameraPoints, EgoMotionConfig
from cotracker_ros.reconstruction.finding_back import find_back, left_behind
from cotracker_ros.reconstruction.focal_lever import FocalEffect
from cotracker_ros.reconstruction.landmark_upkeep import learn, place, refill
from cotracker_ros.reconstruction.landmarks import doubt, in_order, no_landmarks
from cotracker_ros.reconstruction.observation import Observation, observe
from cotracker_ros.reconstruction.pose_check import PoseHistory, PosePair, compare
from cotracker_ros.reconstruction.pose_fit import Vote, fit_pose
from cotracker_ros.reconstruction.pose_search import Finding, Outlook, candidates_among, find_pose
from cotracker_ros.reconstruction.probation import grown_view, obstructed_voters
from cotracker_ros.reconstruction.rigid import about_other_point
from cotracker_ros.reconstruction.scene import Odometry, OdometryState

_NS = 1e-9
_ALIKE = 4.0  # times the variance when the view is obstructed: voters beside what moves slip alike


class EgoMotion:
    """Follows the camera through the images of a stream.

    The fixed frame is put where the camera is in the first image, unless `reset` says otherwise. The same
    calls give the same results.

    Args:
        config: How the motion is found.

    Attributes:
        config: How the motion is found; may be set at any time.
        state: What is remembered.
    """

    def __init__(self, config: EgoMotionConfig | None = None) -> None:
        self.config = config or EgoMotionConfig()
        self.state = new_state()

    def reset(self, pose: NDArray[np.float64] | None = None) -> None:
        """Forget everything; the next image is taken from `pose` (4, 4), by default the identity."""
        self.state = new_state()
        if pose is not None:
            self.state.pose = np.array(pose, dtype=np.float64)

    def predict(self, stamp: int) -> NDArray[np.float64]:
        """Return the (4, 4) pose fixed_from_camera that is expected at `stamp` ns.

        The camera goes on with its velocity, which dies away: nothing is carried on for long.
        """
        return carried_on(self.state, stamp, self.config)

    def update(
        self,
        points: CameraPoints,
        frame_id: str,
        child_frame_id: str,
        given: NDArray[np.float64] | None = None,
    ) -> Odometry:
        """Say where the camera was when an image was taken.

        Args:
            points: The tracks of the image.
            frame_id: Name of the fixed frame.
            child_frame_id: Name of the camera's optical frame.
            given: (4, 4) fixed_from_camera as somebody else knows it, e.g. TF. Then this is the pose that is
                returned, TRACKING where the tracks confirm its motion of the last seconds, PREDICTED where
                they cannot tell, LOST where they contradict; the covariance is that of the comparison.
        """
        if self.state.keyframe is None and given is not None:
            self.state.pose = np.array(given, dtype=np.float64)
        odometry = self._estimate(points, frame_id, child_frame_id)
        if given is not None:
            odometry = self._checked(odometry, given)
        doubtful = odometry.state is OdometryState.TRACKING or odometry.given
        if not (doubtful and self.state.focal_wrong):
            return odometry
        return replace(odometry, state=OdometryState.LOST, reason=self.state.focal.sentence)

    def focal_effect(self, given: bool) -> FocalEffect:
        """Return what the focal length may do to what the last image tells.

        Args:
            given: Whether somebody else knows the camera's pose.
        """
        by_focal = np.zeros(6) if given else self.state.by_focal
        return FocalEffect(by_focal, doubt_after(self.state.focal, self.config).sigma)

    def recalibrate(self) -> None:
        """Judge the focal length anew, as camera_info gives another one.

        New landmarks go on from the expected pose, which is still what the one before made of it.
        """
        state = self.state
        doubt = doubt_after(state.focal, self.config)
        state.covariance = with_focal(state.covariance, state.by_focal, doubt.sigma)
        state.by_focal, state.focal, state.focal_wrong = np.zeros(6), FocalEvidence(), False
        state.epoch = None

    def _checked(self, odometry: Odometry, given: NDArray[np.float64]) -> Odometry:
        """Return the given pose with what the tracks say of it."""
        state, config = self.state, self.config
        tracking = odometry.state is OdometryState.TRACKING
        if odometry.state is OdometryState.LOST:
            state.history = PoseHistory()  # the tracks' poses before and after do not belong together
        # A wrong focal length is to be noticed here as well, not to be allowed for.
        variance = np.diagonal(state.covariance) + (config.focal_sigma * state.by_focal) ** 2
        now = PosePair(odometry.stamp, given, odometry.pose, variance)
        found = compare(state.history, now, config) if tracking else None
        if tracking:
            state.history.add(now, config.check_seconds)
        status, reason = OdometryState.TRACKING, ""
        if not tracking:
            status, reason = OdometryState.PREDICTED, f"the given pose is not checked: {odometry.reason}"
        elif found is not None and not found.agrees:
            status, reason = OdometryState.LOST, found.sentence
        apart = np.zeros(2) if found is None else np.array([found.shift, found.turn])
        return replace(
            odometry,
            pose=given,
            covariance=odometry.covariance + np.diag(np.repeat(apart**2, 3)),
            state=status,
            reason=reason,
            given=True,
            astray=False,
            found_back=False,
        )

    def _estimate(self, points: CameraPoints, frame_id: str, child_frame_id: str) -> Odometry:
        """Say by the tracks alone where the camera was."""
        state = self.state
        observed = observe(points, state.noise)
        state.view = grown_view(state.view, observed)
        count = back = 0
        if state.keyframe is None:
            reason = self._begin(observed)
        elif points.epoch != state.epoch or points.stamp <= state.stamp:
            reason = self._start_over(observed)
        else:
            state.landmarks = in_order(state.landmarks, points.ids)
            rows = np.flatnonzero(observed.seen & state.landmarks.votes)
            finding = self._find(observed, rows)
            reason = finding.reason
            if finding.fit is not None and not reason:
                self._measured(observed, rows, finding)
                count = int(finding.agrees.sum())
            else:
                reason = self._unmeasured(observed, rows, finding)
            back = find_back(state, observed, self.config)
            if back:
                count, reason = back, ""
        state.stamp, state.epoch = points.stamp, points.epoch
        odometry = self._odometry(points.stamp, frame_id, child_frame_id)
        return replace(odometry, reason=reason, points=count, found_back=back > 0)

    def _begin(self, observed: Observation) -> str:
        """Put the fixed frame where the camera is; return why that cannot be done yet."""
        rows = observed.placeable(observed.seen)
        state = self.state
        state.measured = observed.stamp
        if len(rows) < self.config.min_points:
            state.status = OdometryState.LOST
            return f"{len(rows)} points with depth are too few to start from"
        state.status = OdometryState.TRACKING
        state.landmarks = no_landmarks(observed.points.ids)
        place(state, observed, rows, votes=True)
        # Later images are as far off together as the places of these landmarks by one image are.
        placed, count = state.landmarks, len(rows)
        fit = fit_pose(
            state.pose,
            observed.sighting.take(rows),
            placed.position[rows],
            np.zeros((count, 3, 3)),
            np.ones(count),
            self.config.cutoff_sigmas,
            wide=False,
        )
        placed.inherited[rows] += about_other_point(fit.covariance, -state.pose[:3, 3])
        return ""

    def _start_over(self, observed: Observation) -> str:
        """Go on with tracks of which none was known before."""
        state = self.state
        state.landmarks, state.former = no_landmarks(observed.points.ids), None
        back = observed.stamp <= state.stamp
        self._settle(observed.stamp, lost=back)
        rows = observed.placeable(observed.seen)
        if len(rows) >= self.config.min_points:
            place(state, observed, rows, votes=True)
        what = "the stamps jumped back" if back else "the tracks or the camera's model are new"
        return f"{what}: the pose goes on from the one expected"

    def _settle(self, stamp: int, lost: bool) -> None:
        """Take the expected pose for the one at `stamp`, with all its uncertainty."""
        state, config = self.state, self.config
        gap = max((stamp - state.measured) * _NS, 0.0)
        lost = lost or gap > config.lost_seconds
        pose = self.predict(stamp)
        state.covariance = grown_covariance(state, gap, lost, config)
        state.pose, state.measured = pose, stamp
        state.status = OdometryState.LOST if lost else OdometryState.PREDICTED
        if lost:
            state.twist, state.twist_covariance = np.zeros(6), free_twist(config)
            state.astray = stamp

    def _find(self, observed: Observation, rows: NDArray[np.intp]) -> Finding:
        """Look for the pose among the landmarks in `rows` (M,)."""
        state, config = self.state, self.config
        if len(rows) < config.min_points:
            nothing = np.zeros(len(rows), dtype=bool)
            return Finding(None, nothing, f"only {len(rows)} known points are seen")
        gap = (observed.stamp - state.measured) * _NS
        outlook = Outlook(
            pose=self.predict(observed.stamp),
            covariance=state.filtered + prediction_covariance(state.twist_covariance, gap, config),
            alike=_ALIKE if state.obstructed else 1.0,
            reach=np.array([config.max_speed, config.max_turn]) * gap,
            last=state.pose,
        )
        candidates = candidates_among(state.landmarks, observed, rows, config)
        lost = state.status is OdometryState.LOST
        return find_pose(candidates, outlook, config, state.generator, lost)

    def _measured(self, observed: Observation, rows: NDArray[np.intp], finding: Finding) -> None:
        """Take over a measured pose, and what it says of the landmarks in `rows`, of which some agree."""
        state, config = self.state, self.config
        assert finding.fit is not None
        vote, said = consider(state.landmarks, Vote(rows, finding.fit, finding.agrees))
        fit = vote.fit
        gap = (observed.stamp - state.measured) * _NS
        if state.status is OdometryState.LOST:
            state.twist, state.twist_covariance = np.zeros(6), free_twist(config)
        else:
            follow_twist(state, fit, gap, config)
        state.filtered = fit.filtered
        state.pose, state.measured, state.status = fit.pose, observed.stamp, OdometryState.TRACKING
        state.by_focal = fit.by_focal
        if vote.agrees.mean() >= config.clear_share:  # otherwise something moves and may sway them
            state.focal = state.focal.and_then(said)
            state.focal_wrong = is_wrong(state.focal, config, state.focal_wrong)
        state.covariance = measured_covariance(state, observed, vote, config)
        state.noise = judged_noise(state, observed, vote, config)
        learn(state, observed, vote, config)
        refill(state, observed, config)

    def _unmeasured(self, observed: Observation, rows: NDArray[np.intp], finding: Finding) -> str:
        """Carry the pose on, and give up waiting after a time; return the reason to be told."""
        state, config = self.state, self.config
        gap = (observed.stamp - state.measured) * _NS
        if finding.fit is None and len(rows) >= config.min_points:
            state.landmarks = doubt(state.landmarks, rows[~finding.agrees])
        lost = gap > config.lost_seconds or state.status is OdometryState.LOST
        state.status = OdometryState.LOST if lost else OdometryState.PREDICTED
        nothing = np.zeros(len(observed.seen), dtype=bool)
        expected = self.predict(observed.stamp)
        state.obstructed = obstructed_voters(
            state.landmarks, expected, state.view, nothing, state.obstructed, config
        )
        reason = finding.reason
        if state.obstructed:
            reason += ", most of those that should be in view are hidden or contradict"
        gone = len(rows) < config.min_points and not state.obstructed
        if not lost or not (gone or gap > config.restart_seconds):
            return reason
        placeable = observed.placeable(observed.seen)
        if len(placeable) < config.min_points:
            return reason
        self._settle(observed.stamp, lost=True)
        state.former = left_behind(state, config)
        state.landmarks, state.obstructed = no_landmarks(observed.points.ids), 0
        place(state, observed, placeable, votes=True)
        return f"{reason}: after {gap:.1f} s the pose goes on from the one expected"

    def _odometry(self, stamp: int, frame_id: str, child_frame_id: str) -> Odometry:
        """Return what the state says of the camera at `stamp` ns."""
        state, config = self.state, self.config
        gap = (stamp - state.measured) * _NS
        lost = state.status is OdometryState.LOST
        covariance = grown_covariance(state, gap, lost, config) if gap > 0 or lost else state.covariance
        fade = np.exp(-gap / config.coast_seconds)
        return Odometry(
            stamp=stamp,
            frame_id=frame_id,
            child_frame_id=child_frame_id,
            pose=self.predict(stamp),
            covariance=with_focal(covariance, state.by_focal, doubt_after(state.focal, config).sigma),
            twist=state.twist * fade,
            twist_covariance=state.twist_covariance + (1 - fade) * free_twist(config),
            state=state.status,
            reason="",
            points=0,
            astray=state.astray is not None,
        )
