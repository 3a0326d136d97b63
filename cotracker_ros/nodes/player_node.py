"""Plays a recording onto topics: bags, videos and image folders look like a live camera."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from rclpy.lifecycle import LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.service import Service
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from cotracker_ros.messages.build import to_ros
from cotracker_ros.messages.geometry import camera_info_fields, transform_fields
from cotracker_ros.messages.images import depth_fields, image_fields
from cotracker_ros.nodes.diagnostics import OK, WARN, make_status
from cotracker_ros.nodes.managed_node import ManagedNode, run_node
from cotracker_ros.nodes.parameters import Configs, ParameterGroup
from cotracker_ros.nodes.qos import LATCHED
from cotracker_ros.recordings import Recording, open_recording
from cotracker_ros.recordings.events import (
    CameraEvent,
    DepthEvent,
    DropEvent,
    Event,
    ImageEvent,
    TransformEvent,
)

_DEPTH_ENCODINGS = ("16UC1", "32FC1")
# Nothing of a recording should get lost between player and subscriber: reliable, and deep enough for
# a subscriber that stops for a moment.
_PLAYED = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
_TRANSFORMS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
_LATE = 0.1  # s behind the recording's pace that count as late
_PATIENCE = 2.0  # s at most that the start waits for a subscriber


@dataclass(frozen=True)
class PlayerConfig:
    """What is played, and how.

    Attributes:
        path: Bag (MCAP, sqlite3, ROS 1), video file or image folder.
        rate: Speed; 1 is the speed of the recording.
        loop: Begin again at the end; the stamps jump back then.
        start_paused: Publish the first image with what belongs to it, then wait for ~/play.
        image_topic: Topic of the colour images in the bag; empty: found by type.
        depth_topic: Topic of the depth images in the bag; empty: found by type; "none": no depth.
        camera_info_topic: Topic of the camera's calibration in the bag; empty: found by type.
        depth_encoding: Encoding in which depth is published: 16UC1 (mm, up to 65 m) or 32FC1 (m).
        read_ahead: Messages that are read and converted ahead of their time.
    """

    path: str = ""
    rate: float = 1.0
    loop: bool = False
    start_paused: bool = False
    image_topic: str = ""
    depth_topic: str = ""
    camera_info_topic: str = ""
    depth_encoding: str = "16UC1"
    read_ahead: int = 60

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate:g}; give a speed above 0")
        if self.depth_encoding not in _DEPTH_ENCODINGS:
            raise ValueError(
                f"depth_encoding is '{self.depth_encoding}'; give one of {', '.join(_DEPTH_ENCODINGS)}"
            )
        if self.read_ahead < 1:
            raise ValueError(f"read_ahead is {self.read_ahead}; give at least 1 message")


GROUPS = (
    ParameterGroup(
        PlayerConfig,
        live=frozenset({"rate", "loop"}),
        ranges={"rate": (0.001, 1000.0), "read_ahead": (1, 10_000)},
    ),
)


@dataclass(frozen=True)
class _Due:
    """Messages of one moment, ready to be published, and whether they hold an image.

    `logged` is when they were recorded, ns: the player follows this time, since stamps are not in order.
    """

    logged: int
    messages: list[tuple[LifecyclePublisher, Any]]
    is_image: bool


class PlayerNode(ManagedNode):
    """Publishes a recording at its own pace; see `PlayerConfig` for the parameters."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("player", GROUPS, **node_arguments)
        self._config = PlayerConfig()
        self._recording: Recording | None = None
        self._topics: dict[str, LifecyclePublisher] = {}
        self._service: Service | None = None
        self._playback: _Playback | None = None

    def prepare(self, configs: Configs) -> None:
        """Open the recording and offer its topics."""
        self._config = config = configs[PlayerConfig]
        if not config.path:
            raise ValueError("path is empty; give a bag, a video file or an image folder")
        self._recording = open_recording(
            config.path,
            image_topic=config.image_topic or None,
            depth_topic=config.depth_topic or None,
            camera_info_topic=config.camera_info_topic or None,
        )
        offered = [
            ("image", Image, _PLAYED),
            ("/tf", TFMessage, _TRANSFORMS),
            ("/tf_static", TFMessage, LATCHED),
        ]
        if self._recording.summary.depths:
            offered.append(("depth", Image, _PLAYED))
        if self._recording.summary.camera_info_topic:
            offered.append(("camera_info", CameraInfo, _PLAYED))
        for topic, message_class, qos in [*offered, ("~/finished", Bool, LATCHED)]:
            self._topics[topic] = self.create_lifecycle_publisher(message_class, topic, qos)
        self._service = self.create_service(Trigger, "~/play", self._play, callback_group=self.service_group)

    def start(self) -> None:
        """Begin to play, or to wait for ~/play."""
        assert self._recording is not None
        self._playback = _Playback(self, self._recording, self._topics, self._config)

    def stop(self) -> None:
        """Stop playing; the next activation begins at the start."""
        if self._playback is not None:
            self._playback.stop()
            self._playback = None

    def release(self) -> None:
        """Take the topics away."""
        for publisher in self._topics.values():
            self.destroy_lifecycle_publisher(publisher)
        self._topics.clear()
        if self._service is not None:
            self.destroy_service(self._service)
        self._recording = self._service = None

    def apply(self, configs: Configs) -> None:
        """Change speed and looping."""
        self._config = configs[PlayerConfig]
        if self._playback is not None:
            self._playback.config = self._config

    def diagnose(self) -> list[DiagnosticStatus]:
        """Where the player is."""
        playback = self._playback
        if playback is None:
            return [make_status(self.get_name(), OK, self.lifecycle_state, {})]
        level, message = (WARN, playback.last_event) if playback.last_event else (OK, playback.state)
        values = {"images": playback.images, "late": playback.late, "unreadable": playback.unreadable}
        return [make_status(self.get_name(), level, message, {"state": playback.state, **values})]

    def _play(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        playback = self._playback
        if playback is None:
            response.message = "The player is not active: activate it first."
        else:
            response.success, response.message = playback.play()
        return response


class _Playback:
    """One run through a recording: a thread reads ahead, another publishes when the time has come."""

    def __init__(
        self,
        node: PlayerNode,
        recording: Recording,
        topics: dict[str, LifecyclePublisher],
        config: PlayerConfig,
    ) -> None:
        self.config = config
        self.state = "paused" if config.start_paused else "playing"
        self.images = self.late = self.unreadable = 0
        self.last_event = ""
        self._logger = node.get_logger()
        self._recording = recording
        self._topics = topics
        self._ready: queue.Queue[_Due | None] = queue.Queue(config.read_ahead)
        self._stopped = threading.Event()
        self._go = threading.Event()
        self._read_ahead = threading.Event()
        if not config.start_paused:
            self._go.set()
        self._threads = [
            threading.Thread(target=self._read, name="player_reader", daemon=True),
            threading.Thread(target=self._publish, name="player_publisher", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def play(self) -> tuple[bool, str]:
        """Go on from a pause; says whether that was possible, and what happens."""
        if self.state == "finished":
            return (
                False,
                "The recording has been played: activate the player anew to play it again.",
            )
        self._go.set()
        return True, "Playing."

    def stop(self) -> None:
        """End both threads."""
        self._stopped.set()
        self._go.set()
        self._read_ahead.set()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        """Thread: turn events into messages, ahead of time."""
        try:
            for run in itertools.count():
                if run and not self.config.loop:
                    break
                for due in self._messages(self._recording.events()):
                    if not self._hand_over(due):
                        return
        except (ValueError, OSError) as error:
            self._note(str(error))
        self._hand_over(None)

    def _messages(self, events: Iterator[Event]) -> Iterator[_Due]:
        camera: CameraEvent | None = None
        static: dict[str, TransformStamped] = {}
        topics = self._topics
        for event in events:
            messages: list[tuple[LifecyclePublisher, Any]] = []
            match event:
                case ImageEvent(stamp=stamp, frame_id=frame_id, image=image):
                    # As from a driver: calibration with every image, with its stamp.
                    if camera is not None:
                        fields = camera_info_fields(camera.camera, stamp, camera.frame_id)
                        messages.append((topics["camera_info"], to_ros(CameraInfo, fields)))
                    messages.append((topics["image"], to_ros(Image, image_fields(image, stamp, frame_id))))
                case DepthEvent(stamp=stamp, frame_id=frame_id, depth=depth):
                    fields = depth_fields(depth, stamp, frame_id, encoding=self.config.depth_encoding)
                    messages.append((topics["depth"], to_ros(Image, fields)))
                case CameraEvent():
                    camera = event
                case TransformEvent():
                    fields = transform_fields(event.stamp, event.parent, event.child, event.matrix)
                    transform = to_ros(TransformStamped, fields)
                    if event.static:
                        static[event.child] = transform
                        messages.append((topics["/tf_static"], TFMessage(transforms=list(static.values()))))
                    else:
                        messages.append((topics["/tf"], TFMessage(transforms=[transform])))
                case DropEvent(topic=topic, reason=reason):
                    self.unreadable += 1
                    self._note(f"A message of {topic} could not be read: {reason}")
            if messages:
                yield _Due(event.logged, messages, isinstance(event, ImageEvent))

    def _hand_over(self, due: _Due | None) -> bool:
        """Wait for room; False when the playback has been stopped."""
        while not self._stopped.is_set():
            try:
                self._ready.put(due, timeout=0.1)
            except queue.Full:
                continue
            if due is None or self._ready.full():
                self._read_ahead.set()
            return True
        return False

    def _publish(self) -> None:
        """Thread: publish each message when its time has come."""
        self._topics["~/finished"].publish(Bool(data=False))
        self._read_ahead.wait()
        self._await_listener()
        due_at = time.monotonic()
        previous: int | None = None
        while (due := self._next()) is not None:
            if due.is_image and self.images == 1 and not self._go.is_set():
                self._go.wait()
                self.state, due_at, previous = "playing", time.monotonic(), None
            # What comes before a pause is published at once. A time that goes back (loop) does not wait.
            if previous is not None and self._go.is_set():
                due_at += max(0, due.logged - previous) * 1e-9 / self.config.rate
            if self._stopped.wait(max(0.0, due_at - time.monotonic())):
                return
            self.late += due.is_image and time.monotonic() - due_at > _LATE
            for publisher, message in due.messages:
                publisher.publish(message)
            self.images += due.is_image
            previous = due.logged
        if not self._stopped.is_set():
            self.state = "finished"
            self._logger.info(f"The recording has been played: {self.images} images.")
            self._topics["~/finished"].publish(Bool(data=True))

    def _await_listener(self) -> None:
        """Wait a while for somebody to hear: discovery takes its time, and what comes before is lost."""
        deadline = time.monotonic() + _PATIENCE
        while self._topics["image"].get_subscription_count() == 0 and time.monotonic() < deadline:
            if self._stopped.wait(0.02):
                return

    def _next(self) -> _Due | None:
        while not self._stopped.is_set():
            try:
                return self._ready.get(timeout=0.1)
            except queue.Empty:
                continue
        return None

    def _note(self, sentence: str) -> None:
        self.last_event = sentence
        self._logger.warning(sentence, throttle_duration_sec=5.0)


def main(args: Sequence[str] | None = None) -> int:
    """Run the player."""
    return run_node(PlayerNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
