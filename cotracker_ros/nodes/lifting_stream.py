"""The lifter node's work: its topics, its services and its lifter."""

from __future__ import annotations

import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Trigger

from cotracker_ros.messages import (
    camera_from_message,
    decode_compressed_depth,
    decode_compressed_image,
    decode_depth,
    decode_image,
    stamp_ns,
    tracks_from_message,
)
from cotracker_ros.msg import TrackArray
from cotracker_ros.nodes.dense_output import DenseOutput
from cotracker_ros.nodes.diagnostics import ERROR, OK, WARN, StreamClock, make_status, resident_memory
from cotracker_ros.nodes.lifter_node_config import LifterNodeConfig, lifter_config
from cotracker_ros.nodes.managed_node import ManagedNode
from cotracker_ros.nodes.map_output import MapOutput
from cotracker_ros.nodes.parameters import Configs
from cotracker_ros.nodes.qos import sensor_data, subscribe
from cotracker_ros.nodes.scene_output import SceneOutput
from cotracker_ros.nodes.transforms import listen
from cotracker_ros.nodes.worker import Worker
from cotracker_ros.reconstruction import DepthSource, Lifter, SceneUpdate, Tracks3D
from cotracker_ros.reconstruction.dense_config import DenseConfig

_POLL = 0.02  # s between two looks for transforms that tracks wait for
_SILENCE = 2.0  # s without tracks after which the diagnostics warn
_STREAM_END = 1.0  # s without any input after which nothing is waited for any more
_UNANSWERED = 256  # images whose time of arrival is remembered
# Counters of the lifter that tell of something the user may want to mend.
_PROBLEMS = (
    "camera_missing",
    "camera_mismatch",
    "transform_missing",
    "depth_missing",
    "depth_invalid",
    "depth_size_mismatch",
    "depth_not_registered",
    "hurried",
    "odometry_predicted",
    "odometry_lost",
    "odometry_astray",
    "pose_contradicted",
)


class LiftingStream:
    """Takes tracks, depth, camera_info and transforms, and publishes what the lifter makes of them.

    Everything that the lifter gets goes through one worker, in the order of arrival.

    Args:
        node: The lifter node.
        configs: Its configuration.
    """

    def __init__(self, node: ManagedNode, configs: Configs) -> None:
        self._node = node
        self._logger = node.get_logger()
        self._config: LifterNodeConfig = configs[LifterNodeConfig]
        self._transforms = listen(node)
        self._lifter = Lifter(lifter_config(configs), self._transforms)
        self._clock = StreamClock()
        self._arrivals: OrderedDict[int, float] = OrderedDict()
        self._camera_info: CameraInfo | None = None
        self._latest: Tracks3D | None = None
        self._bad_messages = self._bad_told = self._problems_told = 0
        self._last_event = self._qos_problem = ""
        self._last_input = time.monotonic()
        self._handlers: dict[str, Callable[[Any], None]] = {
            "tracks": self._take_tracks,
            "depth": self._take_depth,
            "image": self._take_image,
            "camera_info": self._take_camera_info,
            "configuration": self._take_configuration,
            "poll": self._look_again,
            "map": lambda _: self._map.publish(),
            "reset": self._forget,
        }
        self._worker: Worker[Any] = Worker(
            "lifter", self._config.queue_size, lambda key, item: self._handlers[key](item), self._failed
        )
        self._subscriptions: list[Subscription] = []
        self._output = SceneOutput(node, self._config, self._transforms)
        self._dense: DenseOutput | None = None
        self._map = MapOutput(
            node,
            self._lifter,
            self._config.map_period,
            path=lambda: self._config.map_path,
            due=lambda: self._worker.put("map", None),
        )
        if self._config.dense != "off":
            self._dense = DenseOutput(
                node, self._lifter, configs[DenseConfig], path=lambda: self._config.mesh_path
            )
        self._reset_service = node.create_service(
            Trigger, "~/reset", self._reset, callback_group=node.service_group
        )
        self._poll = node.create_timer(
            _POLL, self._poll_pending, callback_group=node.timer_group, clock=node.steady_clock
        )

    def start(self) -> None:
        """Begin to take inputs."""
        size = self._config.queue_size
        depth: tuple[type, str] = (Image, "depth")
        if self._config.depth_transport == "compressedDepth":
            depth = (CompressedImage, "depth/compressedDepth")
        images: list[tuple[str, type, str, QoSProfile]] = []
        if self._dense is not None:
            compressed = self._config.dense == "compressed"
            image: tuple[type, str] = (
                (CompressedImage, "image/compressed") if compressed else (Image, "image")
            )
            images.append(("image", *image, sensor_data(size)))
        reliable = QoSProfile(depth=size, reliability=ReliabilityPolicy.RELIABLE)
        for key, message_class, topic, qos in (
            ("camera_info", CameraInfo, "camera_info", sensor_data(1)),
            ("depth", *depth, sensor_data(size)),
            *images,
            ("tracks", TrackArray, "tracks", reliable),
        ):
            self._subscriptions.append(
                subscribe(
                    self._node,
                    message_class,
                    topic,
                    partial(self._receive, key),
                    qos,
                    group=self._node.input_group,
                    incompatible=self._warn_incompatible,
                )
            )

    def stop(self) -> None:
        """Take no more inputs; points and map stay as they are."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._worker.flush()

    def destroy(self) -> None:
        """Take topics and services away."""
        self._node.destroy_timer(self._poll)
        self._worker.stop()
        self._transforms.destroy()
        self._map.destroy()
        self._output.destroy()
        if self._dense is not None:
            self._dense.destroy()
        self._node.destroy_service(self._reset_service)

    def apply(self, configs: Configs) -> None:
        """Take over live parameters, between two inputs."""
        self._worker.put("configuration", configs)

    def diagnose(self) -> DiagnosticStatus:
        """Rate, latency, points by source and what was dropped and why."""
        counters = self._lifter.counters
        latest = np.zeros(0, np.uint8) if self._latest is None else self._latest.source
        values: dict[str, object] = {**self._clock.values()}
        for key in ("tracks", "depth"):
            values[f"{key} messages dropped, too slow"] = self._worker.dropped(key)
        values["messages dropped, bad"] = self._bad_messages
        values |= {name.replace("_", " "): value for name, value in asdict(counters).items()}
        for source in DepthSource:
            values[f"points now {source.name.lower()}"] = int((latest == source).sum())
        if self._dense is not None:
            values |= self._dense.values()
        values["images waiting"] = len(self._lifter.state.pending)
        values |= {"memory [MB]": resident_memory() / 1e6, "last event": self._event()}
        level, message = self._judge(sum(getattr(counters, name) for name in _PROBLEMS))
        return make_status(self._node.get_name(), level, message, values)

    def _judge(self, problems: int) -> tuple[bytes, str]:
        """Level and one sentence about what has happened since the last look."""
        new_bad, self._bad_told = self._bad_messages - self._bad_told, self._bad_messages
        new_problems, self._problems_told = problems - self._problems_told, problems
        if new_bad:
            return ERROR, self._last_event
        if not self._subscriptions:
            return OK, "inactive"
        silence = self._clock.silence()
        if silence is None or silence > _SILENCE:
            topic = self._node.resolve_topic_name("tracks")
            return WARN, self._qos_problem or f"No tracks on {topic}."
        if self._output.conflict:
            return WARN, self._output.conflict
        if new_problems:
            return WARN, self._event()
        return OK, "lifting"

    def _event(self) -> str:
        return self._lifter.last_event or self._last_event

    def _receive(self, key: str, message: Any) -> None:
        """Subscription callback: hands the message over, nothing else."""
        self._last_input = now = time.monotonic()
        if key == "tracks":
            self._clock.saw_input()
        self._worker.put(key, (message, now))

    def _take_tracks(self, arrival: tuple[TrackArray, float]) -> None:
        message, at = arrival
        tracks, frame_id = tracks_from_message(message)
        if not tracks.revised:
            self._arrivals[tracks.stamp] = at
        if len(self._arrivals) > _UNANSWERED:
            self._arrivals.popitem(last=False)
        self._publish(self._lifter.add_tracks(tracks, frame_id))

    def _take_depth(self, arrival: tuple[Image | CompressedImage, float]) -> None:
        message, _ = arrival
        decode = decode_compressed_depth if isinstance(message, CompressedImage) else decode_depth
        header, depth = message.header, decode(message)
        if self._dense is not None:
            self._dense.add_depth(stamp_ns(header.stamp), depth, header.frame_id)
        self._lifter.add_depth(stamp_ns(header.stamp), depth, header.frame_id)
        self._publish(self._lifter.ready())

    def _take_image(self, arrival: tuple[Image | CompressedImage, float]) -> None:
        message, _ = arrival
        assert self._dense is not None
        decode = decode_compressed_image if isinstance(message, CompressedImage) else decode_image
        self._dense.add_image(stamp_ns(message.header.stamp), decode(message), message.header.frame_id)

    def _take_camera_info(self, arrival: tuple[CameraInfo, float]) -> None:
        message, _ = arrival
        stamp = stamp_ns(message.header.stamp)
        message.header.stamp.sec = message.header.stamp.nanosec = 0
        if message == self._camera_info:
            return
        camera = camera_from_message(message, rectified=self._config.rectified)
        self._lifter.set_camera(camera, message.header.frame_id, stamp)
        if self._dense is not None:
            self._dense.set_camera(camera)
        self._camera_info = message
        self._publish(self._lifter.ready())

    def _take_configuration(self, configs: Configs) -> None:
        self._config = configs[LifterNodeConfig]
        self._lifter.config = lifter_config(configs)
        self._output.configure(self._config)

    def _poll_pending(self) -> None:
        """Timer: transforms come without a word, and a stream may end while tracks wait."""
        if self._lifter.state.pending:
            self._worker.put("poll", time.monotonic() - self._last_input > _STREAM_END)

    def _look_again(self, ended: bool) -> None:
        self._publish(self._lifter.flush() if ended else self._lifter.ready())

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._worker.put("reset", None)
        response.success = True
        response.message = "Points and map are forgotten."
        return response

    def _forget(self, _: None) -> None:
        frame = self._lifter.map_frame
        self._lifter.reset()
        self._output.clear()
        if self._dense is not None:
            self._dense.reset()
        self._map.clear(frame)
        self._latest = None

    def _publish(self, ready: list[SceneUpdate]) -> None:
        for scene in ready:
            tracks = scene.tracks
            self._output.publish(scene)
            if self._dense is not None:
                self._dense.add_scene(scene)
            self._latest = tracks
            arrival = self._arrivals.pop(tracks.stamp, None)
            if arrival is not None:
                self._clock.answered(arrival)

    def _failed(self, key: str, error: Exception) -> None:
        """Count a message that could not be used, and say why."""
        if not self._node.context.ok():
            return  # everything ends: nothing can be published any more
        self._bad_messages += 1
        expected = isinstance(error, ValueError)
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        self._last_event = f"A message of {key} was dropped: {reason}"
        self._logger.warning(self._last_event, throttle_duration_sec=5.0)
        if not expected:
            self._logger.error("".join(traceback.format_exception(error)), throttle_duration_sec=5.0)

    def _warn_incompatible(self, sentence: str) -> None:
        self._qos_problem = sentence
