"""The lifter's dense surface: colour and depth images fused, saved as mesh and cloud on request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from std_srvs.srv import Trigger

from cotracker_ros.nodes.managed_node import ManagedNode
from cotracker_ros.nodes.worker import Worker
from cotracker_ros.reconstruction import CameraModel, Lifter, SceneUpdate
from cotracker_ros.reconstruction.dense import DenseMap
from cotracker_ros.reconstruction.dense_config import DenseConfig
from cotracker_ros.reconstruction.scene_fusion import SceneFusion

_WAITING = 2  # scenes that wait for fusion; more are passed over, as the next ones show the same


class DenseOutput:
    """Fuses images beside the critical path, and writes the surface for ~/save_mesh.

    Args:
        node: The lifter node.
        lifter: Where the scenes come from.
        config: How images are fused.
        path: Gives the file that ~/save_mesh writes.

    Raises:
        Open3dError: Open3D is not there.
    """

    def __init__(
        self, node: ManagedNode, lifter: Lifter, config: DenseConfig, path: Callable[[], str]
    ) -> None:
        self._node = node
        self._lifter = lifter
        self._path = path
        self._fusion = SceneFusion(DenseMap(config), lifter)
        self._worker: Worker[SceneUpdate] = Worker("dense", _WAITING, self._fuse, self._failed)
        self._service = node.create_service(
            Trigger, "~/save_mesh", self._save, callback_group=node.service_group
        )

    def add_image(self, stamp: int, rgb: NDArray[np.uint8], frame_id: str) -> None:
        """Take a colour image."""
        self._fusion.add_image(stamp, rgb, frame_id)

    def add_depth(self, stamp: int, depth: NDArray[np.float32], frame_id: str) -> None:
        """Take a depth image."""
        self._fusion.add_depth(stamp, depth, frame_id)

    def set_camera(self, camera: CameraModel) -> None:
        """Take the camera's model."""
        self._fusion.set_camera(camera)

    def add_scene(self, scene: SceneUpdate) -> None:
        """Have a scene's image fused."""
        self._worker.put("scene", scene)

    def reset(self) -> None:
        """Forget the surface."""
        self._fusion.dense.reset()

    def values(self) -> dict[str, object]:
        """What the diagnostics tell."""
        return {
            "images fused": self._fusion.fused,
            "images not fused": self._fusion.skipped,
            "last image not fused": self._fusion.last_event,
        }

    def destroy(self) -> None:
        """End the thread and take the service away."""
        self._worker.stop()
        self._node.destroy_service(self._service)

    def _fuse(self, _: str, scene: SceneUpdate) -> None:
        self._fusion.add_scene(scene)

    def _failed(self, _: str, error: Exception) -> None:
        self._node.get_logger().error(f"An image could not be fused: {error}", throttle_duration_sec=5.0)

    def _save(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        path = Path(self._path()).expanduser().absolute()
        if not self._fusion.fused:
            why = self._fusion.last_event or "no image came"
            response.message = f"The surface is empty, nothing was saved: {why}."
            return response
        try:
            mesh = self._fusion.dense.save(path)
        except (ValueError, OSError) as error:
            response.message = str(error)
            return response
        response.success = True
        response.message = (
            f"{len(mesh)} points and {len(mesh.triangles)} triangles "
            f"in frame '{self._lifter.map_frame}' saved to {path}."
        )
        return response
