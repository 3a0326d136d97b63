"""Where the steps of a replay go: a bag, tables."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tqdm import tqdm

from cotracker_ros.messages import (
    camera_info_fields,
    depth_fields,
    image_fields,
    map_cloud_fields,
    odometry_fields,
    rigid_body_array_fields,
    scene_marker_fields,
    track3d_array_fields,
    track_array_fields,
    track_cloud_fields,
    transform_fields,
)
from cotracker_ros.reconstruction import Lifter, Odometry, invert_pose
from cotracker_ros.recordings.base import RecordingSummary
from cotracker_ros.recordings.events import (
    CameraEvent,
    DepthEvent,
    DropEvent,
    Event,
    ImageEvent,
    TransformEvent,
)
from cotracker_ros.recordings.interrupt import stop_on_interrupt
from cotracker_ros.recordings.replay import ReplayStep
from cotracker_ros.recordings.tables import TrackTable
from cotracker_ros.recordings.topics import raw_name
from cotracker_ros.recordings.writer import BagWriter
from cotracker_ros.visualization.scene_history import SceneHistory

if TYPE_CHECKING:
    from cotracker_ros.tracking import TrackingSession

_CLOUD = "sensor_msgs/msg/PointCloud2"
_MAP_PERIOD = 1_000_000_000  # ns
# As the lifter node's markers are by default.
_MARKER_PERIOD = 200_000_000  # ns
_TRAIL_LENGTH = 15  # images


class Output(Protocol):
    """Takes the steps of a replay one by one."""

    def take(self, step: ReplayStep) -> None:
        """Take the next step."""

    def finish(self, step: ReplayStep) -> None:
        """Take leave; ``step`` is the last one that was taken."""


@dataclass
class ReplayReport:
    """What happened in a replay.

    Attributes:
        images: Images that were read.
        answers: First answers to images.
        answers_3d: Answers in space.
        tracks: Distinct track ids.
        drops: How often each reason made a message unreadable.
        interrupted: True when Ctrl-C ended it early.
    """

    images: int = 0
    answers: int = 0
    answers_3d: int = 0
    ids: set[int] = field(default_factory=set)
    drops: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False

    def take(self, step: ReplayStep) -> None:
        """Count the next step."""
        self.images += isinstance(step.event, ImageEvent)
        self.answers += sum(not tracks.revised for tracks in step.tracks)
        self.answers_3d += len(step.scenes)
        for tracks in step.tracks:
            self.ids.update(tracks.ids.tolist())
        if isinstance(step.event, DropEvent):
            topic = step.event.topic
            self.drops[f"{topic}: {step.event.reason}" if topic else step.event.reason] += 1

    def sentence(self, seconds: float) -> str:
        """Say in one line what was done in ``seconds``."""
        space = f", {self.answers_3d} in 3D" if self.answers_3d else ""
        early = "; stopped early, all up to there is written" if self.interrupted else ""
        return (
            f"{self.images} images, {self.answers} answered{space}, {len(self.ids)} tracks, "
            f"{self.images / max(seconds, 1e-9):.1f} images/s{early}"
        )


def print_troubles(report: ReplayReport, session: TrackingSession, lifter: Lifter | None) -> None:
    """Print on stderr what could not be used, one line per reason."""
    for reason, count in report.drops.items():
        print(f"dropped {count} times: {reason}" if count > 1 else f"dropped: {reason}", file=sys.stderr)
    if session.last_event:
        print(f"tracker: {session.last_event}", file=sys.stderr)
    if lifter is not None and lifter.last_event:
        lost = lifter.counters.images_dropped
        images = f"{lost} images gave no 3D tracks; the last reason: " if lost else ""
        print(f"lifter: {images}{lifter.last_event}", file=sys.stderr)


def run_steps(
    steps: Generator[ReplayStep, None, None], outputs: Sequence[Output], *, images: int, progress: bool
) -> ReplayReport:
    """Pass all steps to all outputs, until the end or Ctrl-C.

    Args:
        steps: See `replay`.
        outputs: Where they go.
        images: Number of images expected, for the progress bar.
        progress: Show a progress bar, if stderr is a terminal.
    """
    report = ReplayReport()
    bar = tqdm(total=images or None, unit="image", disable=None if progress else True)
    with bar, stop_on_interrupt() as stop, closing(steps):
        for step in steps:
            report.take(step)
            for output in outputs:
                output.take(step)
            bar.update(isinstance(step.event, ImageEvent))
            if stop.is_set():
                report.interrupted = True
                break
        for output in outputs:
            output.finish(step)
    return report


class TableOutput:
    """Collects the answers in a table and writes it at the end.

    Args:
        csv: File for one row per image and track, or None.
        npz: File for arrays over images and tracks, or None.
    """

    def __init__(self, csv: Path | None, npz: Path | None) -> None:
        for path in (csv, npz):
            if path is not None:  # better now than after an hour of tracking
                path.parent.mkdir(parents=True, exist_ok=True)
        self._csv = csv
        self._npz = npz
        self._table = TrackTable()

    def take(self, step: ReplayStep) -> None:
        """Take the next step."""
        for tracks in step.tracks:
            self._table.add(tracks)
        for scene in step.scenes:
            self._table.add_3d(scene.tracks)

    def finish(self, step: ReplayStep) -> None:
        """Write the files."""
        if self._csv is not None:
            self._table.write_csv(self._csv)
        if self._npz is not None:
            self._table.write_npz(self._npz)


class BagOutput:
    """Writes the topics that the nodes publish, under the time at which their cause was recorded."""

    def __init__(
        self,
        bag: BagWriter,
        summary: RecordingSummary,
        lifter: Lifter | None = None,
        *,
        with_inputs: bool = False,
    ) -> None:
        """Say where to write.

        Args:
            bag: An open bag.
            summary: Of the recording; its topic names are kept for inputs.
            lifter: Whose map is written, once a second and at the end.
            with_inputs: Write images, depth, calibration and transforms too (decoded), so that a viewer
                shows all from one file.
        """
        self._bag = bag
        self._lifter = lifter
        self._with_inputs = with_inputs
        self._map_written: int | None = None
        self._markers_written: int | None = None
        self._history = SceneHistory(_TRAIL_LENGTH)
        self._placed: set[str] = set()  # frames that have a parent in the recording
        self._image = raw_name(summary.image_topic) or "/camera/image_raw"
        self._depth = raw_name(summary.depth_topic)
        self._camera_info = summary.camera_info_topic

    def take(self, step: ReplayStep) -> None:
        """Take the next step."""
        if self._with_inputs and step.event is not None:
            self._write_input(step.event)
        for tracks in step.tracks:
            fields = track_array_fields(tracks, step.frame_id)
            self._bag.write("/tracker/tracks", "cotracker_ros/msg/TrackArray", step.logged, fields)
        for scene in step.scenes:
            lifted = scene.tracks
            fields = track3d_array_fields(lifted)
            self._bag.write("/lifter/tracks_3d", "cotracker_ros/msg/Track3DArray", step.logged, fields)
            cloud = track_cloud_fields(lifted)
            self._bag.write("/lifter/points", _CLOUD, step.logged, cloud)
            if scene.odometry is not None:
                fields = odometry_fields(scene.odometry)
                self._bag.write("/lifter/odometry", "nav_msgs/msg/Odometry", step.logged, fields)
            if scene.bodies is not None:
                fields = rigid_body_array_fields(scene.bodies)
                self._bag.write("/lifter/bodies", "cotracker_ros/msg/RigidBodyArray", step.logged, fields)
            if self._with_inputs and scene.odometry is not None and not scene.odometry.given:
                self._write_pose(scene.odometry, step.logged)
            self._history.add(scene)
            self._write_markers(step.logged)
            if self._map_written is None or step.logged - self._map_written >= _MAP_PERIOD:
                self._write_map(step.logged, lifted.stamp)

    def finish(self, step: ReplayStep) -> None:
        """Write what comes once, at the end; ``step`` is the last one that was taken."""
        if self._map_written is not None:
            self._write_map(step.logged, step.scenes[-1].tracks.stamp if step.scenes else step.logged)

    def _write_markers(self, logged: int) -> None:
        if self._markers_written is not None and logged - self._markers_written < _MARKER_PERIOD:
            return
        self._markers_written = logged
        fields = scene_marker_fields(self._history.view())
        self._bag.write("/lifter/markers", "visualization_msgs/msg/MarkerArray", logged, fields)

    def _write_pose(self, odometry: Odometry, logged: int) -> None:
        """Write where the camera is as a transform, so that a viewer shows all frames in one."""
        parent, child, pose = odometry.frame_id, odometry.child_frame_id, odometry.pose
        if child in self._placed:  # a frame has one parent: hang the fixed frame from the camera
            parent, child, pose = child, parent, invert_pose(pose)
        self._write_transform(logged, transform_fields(odometry.stamp, parent, child, pose))

    def _write_transform(self, logged: int, transform: dict[str, Any], *, static: bool = False) -> None:
        topic = "/tf_static" if static else "/tf"
        fields = {"transforms": [transform]}
        self._bag.write(topic, "tf2_msgs/msg/TFMessage", logged, fields, latched=static)

    def _write_map(self, logged: int, stamp: int) -> None:
        if self._lifter is None:
            return
        self._map_written = logged
        points = self._lifter.map.points()
        fields = map_cloud_fields(points, stamp=stamp, frame_id=self._lifter.map_frame)
        self._bag.write("/lifter/map", _CLOUD, logged, fields, latched=True)

    def _write_input(self, event: Event) -> None:
        if isinstance(event, ImageEvent):
            fields = image_fields(event.image, event.stamp, event.frame_id)
            self._bag.write(self._image, "sensor_msgs/msg/Image", event.logged, fields)
        elif isinstance(event, DepthEvent):
            fields = depth_fields(event.depth, event.stamp, event.frame_id, "32FC1")
            self._bag.write(self._depth, "sensor_msgs/msg/Image", event.logged, fields)
        elif isinstance(event, CameraEvent):
            fields = camera_info_fields(event.camera, event.stamp, event.frame_id)
            self._bag.write(self._camera_info, "sensor_msgs/msg/CameraInfo", event.logged, fields)
        elif isinstance(event, TransformEvent):
            self._placed.add(event.child)
            transform = transform_fields(event.stamp, event.parent, event.child, event.matrix)
            self._write_transform(event.logged, transform, static=event.static)
