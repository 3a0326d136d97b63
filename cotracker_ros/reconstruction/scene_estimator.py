"""One image after the other, what is known of a scene: its points, the camera's motion, bodies and a map."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.bodies import BodyTracker
from cotracker_ros.reconstruction.body_points import with_bodies
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.ego_motion import EgoMotion
from cotracker_ros.reconstruction.ego_types import CameraPoints
from cotracker_ros.reconstruction.ids import rows_of
from cotracker_ros.reconstruction.lifter_config import LifterConfig
from cotracker_ros.reconstruction.lifting import (
    Lifted,
    Measured,
    Sight,
    measure_points,
    place_points,
    show_points,
    with_focal_doubt,
)
from cotracker_ros.reconstruction.motion import (
    Motion,
    PointStates,
    at_time,
    feigned_speed,
    for_ids,
    unknown_points,
)
from cotracker_ros.reconstruction.odometry import seen_by
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.scene import Odometry, OdometryState, RigidBodies
from cotracker_ros.reconstruction.static_map import StaticMap
from cotracker_ros.reconstruction.types import DepthSource, PointMotion, Tracks3D
from cotracker_ros.tracking.types import TrackFlag, Tracks

_NS = 1e-9
_NEW = np.uint8(TrackFlag.NEW)
LEVEL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""The optical axes (x right, y down, z forward) of a level camera in x forward, y left, z up (REP 103)."""


@dataclass(frozen=True)
class Frames:
    """Names of the frames of one image.

    Attributes:
        camera: The camera's optical frame.
        fixed: The frame in which the scene is kept; where it is the camera's, nobody knows how that moves.
        target: The frame in which the points are asked for.
    """

    camera: str
    fixed: str
    target: str


@dataclass(frozen=True, eq=False)
class SceneEstimate:
    """What is said about one image, in the fixed frame.

    Attributes:
        lifted: The points.
        fixed_from_camera: (4, 4) pose of the camera, m.
        odometry: The camera's pose by the tracks, or the given one as they judge it; None where the fixed
            frame is the camera's.
        bodies: The moving bodies; None where the fixed frame is the camera's.
    """

    lifted: Lifted
    fixed_from_camera: NDArray[np.float64]
    odometry: Odometry | None
    bodies: RigidBodies | None


class SceneEstimator:
    """Keeps the scene; its memory is bounded.

    Args:
        config: How tracks are lifted.

    Attributes:
        map: Static points, in the fixed frame.
        points: States of the points, in the fixed frame.
        fixed_frame: Name of the fixed frame, "" before any image.
        epoch: Epoch of `points`.
    """

    def __init__(self, config: LifterConfig) -> None:
        self._config = config
        self._ego_motion = EgoMotion(config.ego_motion)
        self._bodies = BodyTracker(config.bodies)
        self.map = StaticMap(config.map)
        self.points: PointStates = unknown_points([])
        self.fixed_frame = ""
        self.epoch: int | None = None
        self._last_pose: tuple[int, NDArray[np.float64]] | None = None
        self._astray = False
        self._focal: float | None = None

    def configure(self, config: LifterConfig) -> None:
        """Take over other settings; what is known stays, but for the scene of another source of poses."""
        if config.camera_pose != self._config.camera_pose:
            self.reset()
        self._config = config
        self._ego_motion.config = config.ego_motion
        self._bodies.config = config.bodies
        self.map.config = config.map

    def reset(self) -> None:
        """Forget everything."""
        self._forget_points()
        self._bodies.reset()
        self.map.reset()
        self.fixed_frame, self.epoch = "", None

    def start_over(self) -> None:
        """Go on with images from before, as when a bag begins again.

        Where the tracks tell the camera's pose, nobody knows any more where that is: all begins anew.
        """
        if self._config.camera_pose == "tracks":
            self.reset()
        else:
            self._forget_points()

    def update(
        self,
        tracks: Tracks,
        sight: Sight,
        frames: Frames,
        given: NDArray[np.float64] | None,
        origin: NDArray[np.float64],
    ) -> SceneEstimate:
        """Take the next image.

        Args:
            tracks: Tracks of the image.
            sight: What the camera saw.
            frames: Names of the frames; another fixed frame starts everything anew.
            given: (4, 4) fixed_from_camera, m, by TF; None where the tracks have to tell.
            origin: (4, 4) fixed_from_camera of the first image, where the tracks have to tell.
        """
        self._follow_stream(frames, tracks.epoch, origin)
        self._follow_calibration(sight.camera)
        config = self._config
        states = for_ids(self.points, tracks.ids, fresh=(tracks.flags & _NEW) != 0)
        before = at_time(states, tracks.stamp, config.motion)
        guess = self._ego_motion.predict(tracks.stamp) if given is None else given
        expected = (before.position - guess[:3, 3]) @ guess[:3, 2]
        measured = measure_points(tracks, sight, expected, config.sampling)
        pixel = 1 / float(sight.camera.K[0, 0])  # rad
        odometry = None
        if frames.fixed != frames.camera:
            odometry = self._follow_camera(tracks, measured, before, frames, given)
        pose = guess if odometry is None else odometry.pose
        if odometry is not None and odometry.found_back:
            self._bodies.begin_anew()
            self._last_pose, states = None, unknown_points(tracks.ids)
        effect = self._ego_motion.focal_effect(given is not None)
        if given is None and odometry is not None and odometry.state is not OdometryState.TRACKING:
            lifted = show_points(tracks, measured, pose, states, config.motion, effect.by_focal)
            bodies = self._carry_bodies_on(tracks, lifted, frames, pose, pixel)
        else:
            feigned = self._feigned(before.position, pose, tracks.stamp)
            pixel_sigma = config.sampling.pixel_sigma * pixel
            lifted = place_points(
                tracks, measured, pose, states, pixel_sigma, config.motion, feigned, effect.by_focal
            )
            lifted, bodies = self._add_bodies(tracks, lifted, frames, pose, pixel)
            self._add_to_map(tracks, lifted, sight, pose, bodies, odometry)
        self.points, self.map.focal_sigma = lifted.states, effect.sigma
        if odometry is not None and bodies is not None:
            bodies = seen_by(bodies, odometry, effect)
        relative = frames.target != frames.fixed
        return SceneEstimate(with_focal_doubt(lifted, pose, effect, relative), pose, odometry, bodies)

    def _follow_camera(
        self,
        tracks: Tracks,
        measured: Measured,
        before: Motion,
        frames: Frames,
        given: NDArray[np.float64] | None,
    ) -> Odometry:
        """Find the camera's pose by the tracks that stand still, or check the given one by them."""
        # Without depth, a ray still tells of the rotation.
        seen = np.isfinite(measured.sigma)
        points = CameraPoints(
            stamp=tracks.stamp,
            epoch=tracks.epoch,
            ids=tracks.ids,
            xyz=np.where(seen[:, None], measured.xyz, measured.rays),
            sigma=np.where(seen, measured.sigma, np.inf),
            image_sigma=measured.image_sigma,
            moving=before.kind == PointMotion.MOVING,
        )
        return self._ego_motion.update(points, frames.fixed, frames.camera, given)

    def _feigned(
        self, position: NDArray[np.float64], pose: NDArray[np.float64], stamp: int
    ) -> NDArray[np.float64] | float:
        """Return the speeds (N,) that the camera's motion since the last image may feign, m/s."""
        last, self._last_pose = self._last_pose, (stamp, pose)
        if last is None or stamp <= last[0]:
            return 0.0
        return feigned_speed(position, last[1], pose, (stamp - last[0]) * _NS)

    def _carry_bodies_on(
        self, tracks: Tracks, lifted: Lifted, frames: Frames, pose: NDArray[np.float64], pixel: float
    ) -> RigidBodies | None:
        """Return the bodies as their twists have them, without a look at the points."""
        unseen = np.where(lifted.source == DepthSource.MEASURED, DepthSource.HELD, lifted.source)
        in_fixed = tracks_3d(tracks, lifted, frames.fixed)
        return self._bodies.update(replace(in_fixed, source=unseen.astype(np.uint8)), pose, pixel)

    def _add_bodies(
        self, tracks: Tracks, lifted: Lifted, frames: Frames, pose: NDArray[np.float64], pixel: float
    ) -> tuple[Lifted, RigidBodies | None]:
        """Take an image's points into the bodies; return both as the bodies have them."""
        if frames.fixed == frames.camera:
            return lifted, None
        in_fixed = tracks_3d(tracks, lifted, frames.fixed)
        bodies = self._bodies.update(in_fixed, pose, pixel)
        if bodies.bodies:
            speed = self._config.motion.moving_speed
            lifted = with_bodies(lifted, tracks.ids, bodies.bodies, pose[:3, 3], speed)
        return lifted, bodies

    def _add_to_map(
        self,
        tracks: Tracks,
        lifted: Lifted,
        sight: Sight,
        pose: NDArray[np.float64],
        bodies: RigidBodies | None,
        odometry: Odometry | None,
    ) -> None:
        """Take an image's points into the map, unless the camera is astray.

        When nobody waits any longer for it to be found back, the map begins anew: the old one lies nobody
        knows where.
        """
        astray = odometry is not None and odometry.astray
        was_astray, self._astray = self._astray, astray
        if astray:
            return
        if was_astray and odometry is not None and not odometry.found_back:
            self.map.reset()
        held = None
        if bodies is not None and bodies.bodies:
            rows, found = rows_of(np.concatenate([body.members for body in bodies.bodies]), tracks.ids)
            held = np.zeros(len(tracks), np.bool_)
            held[rows[found]] = True
        in_fixed = tracks_3d(tracks, lifted, self.fixed_frame)
        pixel = self._config.sampling.pixel_sigma / float(sight.camera.K[0, 0])  # rad
        self.map.add(in_fixed, centre=pose[:3, 3], exclude=held, ray_sigma=pixel, lever=lifted.lever)
        if sight.depth is not None:
            self.map.check(sight.depth, sight.camera, pose)

    def _follow_stream(self, frames: Frames, epoch: int, origin: NDArray[np.float64]) -> None:
        if frames.fixed == self.fixed_frame and epoch == self.epoch:
            return
        self._forget_points()
        if frames.fixed != self.fixed_frame:
            self._bodies.begin_anew()
            self._ego_motion.reset(origin)
            self.map.reset()
        self.fixed_frame, self.epoch = frames.fixed, epoch

    def _follow_calibration(self, camera: CameraModel) -> None:
        """Begin to judge the focal length anew when it changes by more than a lens that focuses does."""
        focal = float(camera.K[0, 0]) / camera.width
        before, little = self._focal or focal, self._config.ego_motion.focal_sigma
        if abs(np.log(focal / before)) > little:
            self._ego_motion.recalibrate()
            before = focal
        self._focal = before

    def _forget_points(self) -> None:
        """Forget the points, because their ids will not go on; the map stays."""
        self.points = unknown_points([])
        self._last_pose = None
        self.map.end_tracks()


def tracks_3d(
    tracks: Tracks, lifted: Lifted, frame_id: str, matrix: NDArray[np.float64] | None = None
) -> Tracks3D:
    """Return points in the frame `frame_id`; `matrix` (4, 4) maps the fixed frame to it, if it is another."""
    xyz, velocity = lifted.xyz, lifted.velocity
    if matrix is not None:
        xyz, velocity = transform_points(matrix, xyz), velocity @ matrix[:3, :3].T
    return Tracks3D(
        frame=tracks.frame,
        stamp=tracks.stamp,
        epoch=tracks.epoch,
        frame_id=frame_id,
        ids=tracks.ids,
        xyz=xyz.astype(np.float32),
        velocity=velocity.astype(np.float32),
        sigma=lifted.sigma.astype(np.float32),
        source=lifted.source,
        motion=lifted.motion,
        flags=tracks.flags,
        rgb=tracks.rgb,
        labels=tracks.labels,
    )
