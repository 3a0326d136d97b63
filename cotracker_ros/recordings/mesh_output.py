"""A replay's dense surface, as mesh and cloud."""

from __future__ import annotations

from pathlib import Path

from cotracker_ros.reconstruction import Lifter
from cotracker_ros.reconstruction.dense import DenseMap
from cotracker_ros.reconstruction.dense_config import DenseConfig
from cotracker_ros.reconstruction.scene_fusion import SceneFusion
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.events import CameraEvent, DepthEvent, ImageEvent
from cotracker_ros.recordings.replay import ReplayStep


class MeshOutput:
    """Fuses the depth images of a replay and writes the surface at the end.

    Args:
        path: PLY file of the mesh; the cloud is written beside it (mesh.ply, mesh_cloud.ply).
        lifter: That of the replay.
        config: How images are fused.

    Attributes:
        sentence: What was written, "" before the end.

    Raises:
        Open3dError: Open3D is not there.
    """

    def __init__(self, path: Path, lifter: Lifter, config: DenseConfig) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)  # better now than after an hour of tracking
        self.sentence = ""
        self._path = path
        self._fusion = SceneFusion(DenseMap(config), lifter)

    def take(self, step: ReplayStep) -> None:
        """Take the next step."""
        event = step.event
        if isinstance(event, ImageEvent):
            self._fusion.add_image(event.stamp, event.image, event.frame_id)
        elif isinstance(event, DepthEvent):
            self._fusion.add_depth(event.stamp, event.depth, event.frame_id)
        elif isinstance(event, CameraEvent):
            self._fusion.set_camera(event.camera)
        for scene in step.scenes:
            self._fusion.add_scene(scene)

    def finish(self, step: ReplayStep) -> None:
        """Write the files."""
        fusion = self._fusion
        mesh = fusion.dense.save(self._path)
        lost = f"; {fusion.skipped} could not be used, the last because {fusion.last_event}"
        self.sentence = (
            f"{self._path}: {len(mesh)} points and {len(mesh.triangles)} triangles "
            f"from {fusion.fused} images{lost if fusion.skipped else ''}"
        )


def mesh_output(path: Path, lifter: Lifter | None, config: DenseConfig) -> MeshOutput:
    """Make the output, if the recording can give a surface.

    Args:
        path: See `MeshOutput`.
        lifter: That of the replay; None: the recording has no depth or no calibration.
        config: How images are fused.

    Raises:
        RecordingError: There is no depth, or nothing says how the camera moved.
        Open3dError: Open3D is not there.
    """
    if lifter is None:
        raise RecordingError("a mesh needs depth images and camera_info: the recording lacks one of them")
    lifting = lifter.config
    if lifting.camera_pose == "transforms" and not (lifting.fixed_frame or lifting.target_frame):
        raise RecordingError(
            "a mesh needs to know how the camera moved: give --fixed-frame, a frame of the recording's "
            "transforms such as map or odom, or --camera-pose tracks"
        )
    return MeshOutput(path, lifter, config)
