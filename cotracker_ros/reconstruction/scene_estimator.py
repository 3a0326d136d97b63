"""One image after the other, what is known of a scene: its points, the camera's motion, bodies and a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.lifter_config import LifterConfig
from cotracker_ros.reconstruction.lifting import (
    Lifted,
    Sight,
    measure_points,
    place_points,
)
from cotracker_ros.reconstruction.motion import PointStates, at_time, for_ids, unknown_points
from cotracker_ros.reconstruction.poses import invert_pose, transform_points
from cotracker_ros.reconstruction.scene import Odometry, RigidBodies
from cotracker_ros.reconstruction.static_map import StaticMap
from cotracker_ros.reconstruction.types import Tracks3D
from cotracker_ros.tracking.types import TrackFlag, Tracks


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

    @property
    def moving_camera(self) -> bool:
        """Whether the camera's motion is known, so that the scene's can be told from it."""
        return self.fixed != self.camera


@dataclass(frozen=True, eq=False)
class SceneEstimate:
    """What is said about one image, in the fixed frame.

    Attributes:
        lifted: The points.
        fixed_from_camera: (4, 4) pose of the camera, m.
        odometry: The camera's pose by the tracks; None where the fixed frame is the camera's.
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
        self.map = StaticMap(config.map)
        self.points: PointStates = unknown_points([])
        self.fixed_frame = ""
        self.epoch: int | None = None

    def configure(self, config: LifterConfig) -> None:
        """Take over other settings; what is known stays."""
        self._config = config
        self.map.config = config.map

    def reset(self) -> None:
        """Forget everything."""
        self.forget_points()
        self.map.reset()
        self.fixed_frame, self.epoch = "", None

    def forget_points(self) -> None:
        """Forget the points, because their ids will not go on; the map stays."""
        self.points = unknown_points([])
        self.map.end_tracks()

    def update(
        self, tracks: Tracks, sight: Sight, frames: Frames, fixed_from_camera: NDArray[np.float64]
    ) -> SceneEstimate:
        """Take the next image.

        Args:
            tracks: Tracks of the image.
            sight: What the camera saw.
            frames: Names of the frames; another fixed frame starts everything anew.
            fixed_from_camera: (4, 4) pose of the camera, m.
        """
        self._follow_stream(frames, tracks.epoch)
        config = self._config
        states = for_ids(self.points, tracks.ids, fresh=(tracks.flags & TrackFlag.NEW) != 0)
        before = at_time(states, tracks.stamp, config.motion)
        expected = transform_points(invert_pose(fixed_from_camera), before.position)[:, 2]
        measured = measure_points(tracks, sight, expected, config.sampling)
        pixel_sigma = config.sampling.pixel_sigma / sight.camera.K[0, 0]
        lifted = place_points(tracks, measured, fixed_from_camera, states, pixel_sigma, config.motion)
        self.points = lifted.states
        in_fixed = tracks_3d(tracks, lifted, frames.fixed, np.eye(4))
        self.map.add(in_fixed, centre=fixed_from_camera[:3, 3])
        return SceneEstimate(lifted, fixed_from_camera, None, None)

    def _follow_stream(self, frames: Frames, epoch: int) -> None:
        if frames.fixed == self.fixed_frame and epoch == self.epoch:
            return
        self.forget_points()
        if frames.fixed != self.fixed_frame:
            self.map.reset()
        self.fixed_frame, self.epoch = frames.fixed, epoch


def tracks_3d(tracks: Tracks, lifted: Lifted, frame_id: str, matrix: NDArray[np.float64]) -> Tracks3D:
    """Return points in the frame `frame_id`; `matrix` (4, 4) maps the fixed frame to it."""
    return Tracks3D(
        frame=tracks.frame,
        stamp=tracks.stamp,
        epoch=tracks.epoch,
        frame_id=frame_id,
        ids=tracks.ids,
        xyz=transform_points(matrix, lifted.xyz).astype(np.float32),
        velocity=(lifted.velocity @ matrix[:3, :3].T).astype(np.float32),
        sigma=lifted.sigma.astype(np.float32),
        source=lifted.source,
        motion=lifted.motion,
        flags=tracks.flags,
        rgb=tracks.rgb,
        labels=tracks.labels,
    )
