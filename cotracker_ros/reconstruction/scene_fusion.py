"""A stream of images, depth images and scenes becomes a dense map of what stands still."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body_masks import moving_mask, moving_points
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.dense import DenseError, DenseMap
from cotracker_ros.reconstruction.depth_history import DepthHistory, DepthImage
from cotracker_ros.reconstruction.lifter import Lifter
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.scene import Odometry, OdometryState, SceneUpdate
from cotracker_ros.reconstruction.transforms import TransformError
from cotracker_ros.reconstruction.types import DepthSource

_NS = 1_000_000_000


class SceneFusion:
    """Fuses each image when its scene has come: with it come the camera's pose and the moving bodies.

    Images are fused in the lifter's fixed frame. Threads may share it.

    Args:
        dense: The map to fuse into. It is reset when the fixed frame becomes another one.
        lifter: Where the scenes come from.

    Attributes:
        dense: The map.
        fused: Number of images fused.
        skipped: Number of images that could not be used.
        last_event: Why the last of them could not, one sentence, or "".
    """

    def __init__(self, dense: DenseMap, lifter: Lifter) -> None:
        self.dense = dense
        self.fused = 0
        self.skipped = 0
        self.last_event = ""
        self._lifter = lifter
        self._lock = Lock()
        self._images: OrderedDict[int, tuple[str, NDArray[np.uint8]]] = OrderedDict()
        self._depth = DepthHistory(lifter.config.history_seconds, lifter.config.history_images)
        self._camera: CameraModel | None = None
        self._fixed_frame = ""
        self._astray = False

    def add_image(self, stamp: int, rgb: NDArray[np.uint8], frame_id: str) -> None:
        """Keep an image until its scene comes; the oldest of too many that wait is let go.

        Args:
            stamp: ns.
            rgb: (H, W, 3) uint8; kept, not copied.
            frame_id: The camera's optical frame.
        """
        with self._lock:
            self._images[stamp] = frame_id, rgb
            while len(self._images) > self._lifter.config.max_pending:
                self._images.popitem(last=False)

    def add_depth(self, stamp: int, depth: NDArray[np.float32], frame_id: str) -> None:
        """Take a depth image, as `Lifter.add_depth` does."""
        with self._lock:
            newest = self._depth.newest
            if newest is not None and stamp < newest - int(self._lifter.config.jump_back * _NS):
                self._depth.clear()
            self._depth.add(DepthImage(stamp, frame_id, depth))

    def set_camera(self, camera: CameraModel) -> None:
        """Take the camera's model, which holds for all scenes from now on."""
        self._camera = camera

    def add_scene(self, scene: SceneUpdate) -> bool:
        """Fuse the image of a scene; images from before it are let go.

        Returns:
            Whether it was fused; when not, it was passed over (`DenseConfig.every`) or counted in `skipped`.
        """
        self._follow_odometry(scene.odometry)
        with self._lock:
            stamp = scene.tracks.stamp
            found = self._images.pop(stamp, None)
            for earlier in [waiting for waiting in self._images if waiting < stamp]:
                del self._images[earlier]
            depth = self._depth.find(stamp, int(self._lifter.config.tolerance * _NS))
        try:
            if found is None:
                raise DenseError("the image of a scene is no longer there")
            # What the lifter could not use, because it is not registered or lies, will not do here either.
            if depth is None or depth.depth is None or not _measured(scene):
                raise DenseError("no point of the image was measured in its depth image")
            return self._fuse(scene, *found, depth.depth)
        except (DenseError, TransformError) as error:
            self.skipped += 1
            self.last_event = str(error)
            return False

    def _follow_odometry(self, odometry: Odometry | None) -> None:
        """Begin anew when nobody waits any longer for a lost camera: the map then lies elsewhere."""
        astray = odometry is not None and odometry.astray
        if self._astray and odometry is not None and not (astray or odometry.found_back):
            self.dense.reset()
        self._astray = astray

    def _fuse(
        self, scene: SceneUpdate, frame_id: str, rgb: NDArray[np.uint8], depth: NDArray[np.float32]
    ) -> bool:
        if self._camera is None:
            raise DenseError("no camera_info came")
        fixed, stamp = self._lifter.map_frame, scene.tracks.stamp
        pose = self._camera_pose(scene, fixed, frame_id)
        moving = moving_points(scene.tracks)
        if scene.tracks.frame_id != fixed:
            moving = transform_points(pose @ self._lookup(frame_id, scene.tracks.frame_id, stamp), moving)
        mask = moving_mask(depth, self._camera, pose, scene.bodies, moving)
        if fixed != self._fixed_frame:
            self.dense.reset()
            self._fixed_frame = fixed
        fused = self.dense.add(depth, rgb, self._camera, pose, mask)
        self.fused += fused
        return fused

    def _camera_pose(self, scene: SceneUpdate, fixed: str, frame_id: str) -> NDArray[np.float64]:
        if self._lifter.config.camera_pose == "transforms":
            return self._lookup(fixed, frame_id, scene.tracks.stamp)
        odometry = scene.odometry
        if odometry is None or odometry.state != OdometryState.TRACKING:
            raise DenseError("the camera's pose was not measured in the image")
        if odometry.astray:
            raise DenseError("the camera was lost, and its pose goes on from a guess")
        # The odometry may be the robot's.
        return odometry.pose @ self._lookup(odometry.child_frame_id, frame_id, odometry.stamp)

    def _lookup(self, target: str, source: str, stamp: int) -> NDArray[np.float64]:
        return np.eye(4) if target == source else self._lifter.transforms.lookup(target, source, stamp)


def _measured(scene: SceneUpdate) -> bool:
    return bool(np.any(scene.tracks.source == DepthSource.MEASURED))
