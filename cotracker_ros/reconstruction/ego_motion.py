"""The camera's motion from tracks that stand still: visual odometry against landmarks, one image at a time.

Every track that stands still becomes a landmark, a point in the fixed frame with a running estimate. The pose
of an image is measured against the landmarks, not against the image before: errors do not add up from image
to image, only as landmarks die and later ones, placed from poses already uncertain, take over. These have to
stand still for a time before they have a say (see `probation`).

What no tracks can tell: depth that is scaled from the start scales all motion (a given pose shows it), and a
rigid thing that fills most of the view from the start and sets off slowly is taken for the world.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ego_state import (
    carried_on,
    follow_twist,
    free_twist,
    grown_covariance,
    judged_noise,
    new_state,
    prediction_covariance,
    systematic_covariance,
)
from cotracker_ros.reconstruction.ego_types import CameraPoints, EgoMotionConfig
from cotracker_ros.reconstruction.landmarks import (
    PoseFit,
    Sighting,
    admit,
    doubt,
    fit_pose,
    fuse,
    give_up,
    in_order,
    no_landmarks,
)
from cotracker_ros.reconstruction.pose_check import PoseHistory, PosePair, compare
from cotracker_ros.reconstruction.pose_search import Candidates, Finding, Outlook, find_pose
from cotracker_ros.reconstruction.probation import examine, grown_view, is_obstructed
from cotracker_ros.reconstruction.rigid import about_other_point
from cotracker_ros.reconstruction.scene import Odometry, OdometryState

_NS = 1e-9
_UNMEASURED = 1e3  # 1/m: sigma of an inverse depth that was not measured
_NEAREST = 0.01  # m: nearer measurements are none
_USEFUL_DEPTH = 0.2  # share of itself by which a depth may be uncertain that places a landmark
_ENOUGH = 20  # values whose statistics say something
_FLAT = 5e-4  # spread of depths, as a share of them, below which they come from no sensor
_TRUSTED = 10  # hits from which on a landmark counts no more for more of them
_DOUBT = 0.5  # what a miss leaves of what a landmark counts ...
_STRUCK = 0.01  # ... and what having been given up leaves, until it is pardoned
_BELIEVED_MOVING = 0.1  # what a track counts that is believed to move
_ALIKE = 4.0  # times the variance when the view is obstructed: voters beside what moves slip alike
_SEASONED = 3  # hits of the landmarks by whose errors the noise is judged


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
        return odometry if given is None else self._checked(odometry, given)

    def _checked(self, odometry: Odometry, given: NDArray[np.float64]) -> Odometry:
        """Return the given pose with what the tracks say of it."""
        state, config = self.state, self.config
        tracking = odometry.state is OdometryState.TRACKING
        if odometry.state is OdometryState.LOST:
            state.history = PoseHistory()  # the tracks' poses before and after do not belong together
        now = PosePair(odometry.stamp, given, odometry.pose, np.diagonal(odometry.covariance).copy())
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
        )

    def _estimate(self, points: CameraPoints, frame_id: str, child_frame_id: str) -> Odometry:
        """Say by the tracks alone where the camera was."""
        state = self.state
        sighting, seen = _sighting(points, state.noise)
        state.view = grown_view(state.view, sighting, seen)
        count = 0
        if state.keyframe is None:
            reason = self._begin(points, sighting, seen)
        elif points.epoch != state.epoch or points.stamp <= state.stamp:
            reason = self._start_over(points, sighting, seen)
        else:
            state.landmarks = in_order(state.landmarks, points.ids)
            rows = np.flatnonzero(seen & state.landmarks.votes)
            finding = self._find(points, sighting.take(rows), rows)
            reason = finding.reason
            if finding.fit is not None and not reason:
                self._measured(points, sighting, seen, rows, finding.fit, finding.agrees)
                count = int(finding.agrees.sum())
            else:
                reason = self._unmeasured(points, sighting, seen, rows, finding)
        state.stamp, state.epoch = points.stamp, points.epoch
        return self._odometry(points.stamp, frame_id, child_frame_id, reason, count)

    def _begin(self, points: CameraPoints, sighting: Sighting, seen: NDArray[np.bool_]) -> str:
        """Put the fixed frame where the camera is; return why that cannot be done yet."""
        rows = _placeable(points, sighting, seen)
        state = self.state
        state.measured = points.stamp
        if len(rows) < self.config.min_points:
            state.status = OdometryState.LOST
            return f"{len(rows)} points with depth are too few to start from"
        state.status = OdometryState.TRACKING
        state.landmarks = no_landmarks(points.ids)
        self._admit(points.stamp, sighting, rows, votes=True)
        # Later images are as far off together as the places of these landmarks by one image are.
        placed, count = state.landmarks, len(rows)
        fit = fit_pose(
            state.pose,
            sighting.take(rows),
            placed.position[rows],
            np.zeros((count, 3, 3)),
            np.ones(count),
            self.config.cutoff_sigmas,
            wide=False,
        )
        placed.inherited[rows] += about_other_point(fit.covariance, -state.pose[:3, 3])
        return ""

    def _start_over(self, points: CameraPoints, sighting: Sighting, seen: NDArray[np.bool_]) -> str:
        """Go on with tracks of which none was known before."""
        state = self.state
        state.landmarks = no_landmarks(points.ids)
        back = points.stamp <= state.stamp
        self._settle(points.stamp, lost=back)
        rows = _placeable(points, sighting, seen)
        if len(rows) >= self.config.min_points:
            self._admit(points.stamp, sighting, rows, votes=True)
        what = "the stamps jumped back" if back else "the tracks began anew"
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

    def _find(self, points: CameraPoints, sighting: Sighting, rows: NDArray[np.intp]) -> Finding:
        """Look for the pose among the landmarks in `rows` (M,)."""
        state, config = self.state, self.config
        if len(rows) < config.min_points:
            nothing = np.zeros(len(rows), dtype=bool)
            return Finding(None, nothing, f"only {len(rows)} known points are seen")
        known = state.landmarks
        trust = (1.0 + np.minimum(known.hits[rows], _TRUSTED)) * _DOUBT ** known.misses[rows]
        trust = trust * np.where(known.strikes[rows] > 0, _STRUCK, 1.0)
        trust = trust * np.where(points.moving[rows], _BELIEVED_MOVING, 1.0)
        gap = (points.stamp - state.measured) * _NS
        outlook = Outlook(
            pose=self.predict(points.stamp),
            covariance=prediction_covariance(state.twist_covariance, gap, config),
            reach=np.array([config.max_speed, config.max_turn]) * gap,
            last=state.pose,
        )
        sighting = _as_followed(sighting, known.first[rows], config.image_drift)
        candidates = Candidates(sighting, known.position[rows], known.covariance[rows], trust)
        lost = state.status is OdometryState.LOST
        return find_pose(candidates, outlook, config, state.generator, lost)

    def _measured(
        self,
        points: CameraPoints,
        sighting: Sighting,
        seen: NDArray[np.bool_],
        rows: NDArray[np.intp],
        fit: PoseFit,
        agrees: NDArray[np.bool_],
    ) -> None:
        """Take over a measured pose, and what it says of the landmarks in `rows`, of which some agree."""
        state, config = self.state, self.config
        gap = (points.stamp - state.measured) * _NS
        if state.status is OdometryState.LOST:
            state.twist, state.twist_covariance = np.zeros(6), free_twist(config)
        else:
            follow_twist(state, fit, gap, config)
        state.pose, state.measured, state.status = fit.pose, points.stamp, OdometryState.TRACKING
        weight = 1 / (fit.spread[agrees, 0, 0] + fit.spread[agrees, 1, 1])
        common = np.tensordot(weight / weight.sum(), state.landmarks.inherited[rows[agrees]], axes=1)
        way = np.linalg.norm(sighting.uvw[rows, :2] - state.landmarks.first[rows], axis=1)
        depth = 1 / float(sighting.uvw[rows[agrees], 2].mean())
        state.covariance = (
            fit.covariance * (_ALIKE if state.obstructed else 1.0)
            + about_other_point(common, fit.pose[:3, 3])
            + systematic_covariance(float(weight @ way[agrees] / weight.sum()), depth, config)
        )
        far = config.image_drift * way > np.broadcast_to(points.image_sigma, len(points.ids))[rows]
        seasoned = agrees & (state.landmarks.hits[rows] >= _SEASONED)
        state.noise = judged_noise(state.noise, fit, seasoned, far)
        state.landmarks = fuse(state.landmarks, rows, fit, agrees, config.memory)
        self._examine(points, sighting, seen, rows[agrees], fit)
        wrong = state.landmarks.misses > config.max_misses
        if wrong.any():
            state.landmarks = give_up(state.landmarks, wrong)
        self._refill(points, sighting, seen)

    def _examine(
        self,
        points: CameraPoints,
        sighting: Sighting,
        seen: NDArray[np.bool_],
        agreeing: NDArray[np.intp],
        fit: PoseFit,
    ) -> None:
        """See whether the voters are still the view, and compare those on probation with their pose."""
        state, config = self.state, self.config
        agrees = np.zeros(len(seen), dtype=bool)
        agrees[agreeing] = True
        few = 2 * len(agreeing) < int(np.count_nonzero(seen & ~points.moving))
        hidden = is_obstructed(state.landmarks, fit.pose, state.view, agrees, state.obstructed, config)
        state.obstructed = hidden or (state.obstructed and few)
        rows = np.flatnonzero(seen & state.landmarks.known & ~state.landmarks.votes)
        if len(rows):
            state.landmarks = examine(
                state.landmarks,
                rows,
                _as_followed(sighting.take(rows), state.landmarks.first[rows], config.image_drift),
                fit.pose,
                fit.covariance,
                ~points.moving[rows],
                points.stamp,
                config.obstructed_seconds if state.obstructed else config.probation_seconds,
                config,
            )

    def _refill(self, points: CameraPoints, sighting: Sighting, seen: NDArray[np.bool_]) -> None:
        """Make landmarks of the tracks that are none, if it is time for a keyframe."""
        state, config = self.state, self.config
        known = state.landmarks.known
        rows = _placeable(points, sighting, seen & ~known & ~points.moving)
        few = np.count_nonzero(known & seen) < config.keyframe_share * np.count_nonzero(seen)
        late = points.stamp - (state.keyframe or 0) > config.keyframe_seconds / _NS
        if len(rows) and (few or late):
            self._admit(points.stamp, sighting, rows, votes=False)

    def _admit(self, stamp: int, sighting: Sighting, rows: NDArray[np.intp], votes: bool) -> None:
        """Make landmarks of the tracks in `rows` at the state's pose."""
        state = self.state
        inherited = about_other_point(state.covariance, -state.pose[:3, 3])
        state.landmarks = admit(
            state.landmarks, rows, sighting.take(rows), state.pose, inherited, stamp, votes
        )
        state.keyframe = stamp

    def _unmeasured(
        self,
        points: CameraPoints,
        sighting: Sighting,
        seen: NDArray[np.bool_],
        rows: NDArray[np.intp],
        finding: Finding,
    ) -> str:
        """Carry the pose on, and give up waiting after a time; return the reason to be told."""
        state, config = self.state, self.config
        gap = (points.stamp - state.measured) * _NS
        if finding.fit is None and len(rows) >= config.min_points:
            state.landmarks = doubt(state.landmarks, rows[~finding.agrees])
        lost = gap > config.lost_seconds or state.status is OdometryState.LOST
        state.status = OdometryState.LOST if lost else OdometryState.PREDICTED
        nothing = np.zeros(len(seen), dtype=bool)
        state.obstructed |= is_obstructed(
            state.landmarks, self.predict(points.stamp), state.view, nothing, state.obstructed, config
        )
        reason = finding.reason
        if state.obstructed:
            reason += ", most of those that should be in view are hidden or contradict"
        gone = len(rows) < config.min_points and not state.obstructed
        if not lost or not (gone or gap > config.restart_seconds):
            return reason
        placeable = _placeable(points, sighting, seen)
        if len(placeable) < config.min_points:
            return reason
        self._settle(points.stamp, lost=True)
        state.landmarks, state.obstructed = no_landmarks(points.ids), False
        self._admit(points.stamp, sighting, placeable, votes=True)
        return f"{reason}: after {gap:.1f} s the pose goes on from the one expected"

    def _odometry(self, stamp: int, frame_id: str, child_frame_id: str, reason: str, count: int) -> Odometry:
        state, config = self.state, self.config
        gap = (stamp - state.measured) * _NS
        lost = state.status is OdometryState.LOST
        fade = np.exp(-gap / config.coast_seconds)
        return Odometry(
            stamp=stamp,
            frame_id=frame_id,
            child_frame_id=child_frame_id,
            pose=self.predict(stamp),
            covariance=grown_covariance(state, gap, lost, config)
            if gap > 0 or lost
            else state.covariance.copy(),
            twist=state.twist * fade,
            twist_covariance=state.twist_covariance + (1 - fade) * free_twist(config),
            state=state.status,
            reason=reason,
            points=count,
        )


def _sighting(points: CameraPoints, noise: NDArray[np.float64]) -> tuple[Sighting, NDArray[np.bool_]]:
    """Return how all N tracks are seen, and (N,) bool, which of them are; the others' numbers are made up."""
    with np.errstate(invalid="ignore"):
        seen = np.isfinite(points.xyz).all(axis=1) & (points.xyz[:, 2] > _NEAREST) & (points.sigma > 0)
    xyz = np.where(seen[:, None], points.xyz, 1.0)
    w = 1 / xyz[:, 2]
    trusted = seen & ~_constant(points.xyz[seen, 2], points.sigma[seen])
    depth = np.minimum(np.where(trusted, points.sigma, np.inf) * w * w * noise[1], _UNMEASURED)
    image = np.broadcast_to(points.image_sigma * noise[0], len(w))
    variance = np.stack([image, image, depth], axis=1) ** 2
    return Sighting(np.stack([xyz[:, 0] * w, xyz[:, 1] * w, w], axis=1), variance), np.asarray(seen)


def _constant(z: NDArray[np.float64], sigma: NDArray[np.float64]) -> bool:
    """Say whether all depths `z` that are measured, m, are the same, as no sensor sees even a flat wall."""
    measured = z[np.isfinite(sigma)]
    if len(measured) < _ENOUGH:
        return False
    low, middle, high = np.percentile(measured, [10, 50, 90])
    return bool(high - low < _FLAT * middle)


def _as_followed(sighting: Sighting, first: NDArray[np.float64], drift: float) -> Sighting:
    """Return a sighting less certain by how far each track has come in the image since `first` (M, 2)."""
    variance = sighting.variance.copy()
    variance[:, :2] += (drift**2 * ((sighting.uvw[:, :2] - first) ** 2).sum(axis=1))[:, None]
    return Sighting(sighting.uvw, variance)


def _placeable(points: CameraPoints, sighting: Sighting, seen: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the rows of the tracks that can become landmarks: those whose depth is worth something."""
    certain = np.sqrt(sighting.variance[:, 2]) < _USEFUL_DEPTH * sighting.uvw[:, 2]
    rows = seen & certain
    still = rows & ~points.moving
    # Where nearly everything is believed to move, that belief may come from a wrong pose.
    return np.flatnonzero(still if 2 * still.sum() >= rows.sum() else rows)
