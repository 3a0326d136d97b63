"""One camera of the tracker node: its topics, its services and its tracking session."""

from __future__ import annotations

import re
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from cotracker_ros.messages import (
    decode_compressed_image,
    decode_image,
    decode_mask,
    stamp_ns,
    to_ros,
    track_array_fields,
)
from cotracker_ros.msg import TrackArray
from cotracker_ros.nodes.diagnostics import ERROR, OK, WARN, StreamClock, make_status, resident_memory
from cotracker_ros.nodes.managed_node import ManagedNode
from cotracker_ros.nodes.overlay import OverlayPublisher
from cotracker_ros.nodes.qos import RESULTS, sensor_data, subscribe
from cotracker_ros.nodes.worker import Worker
from cotracker_ros.srv import AddPoints, AddRegion, RemoveTracks
from cotracker_ros.tracking import TrackFlag, TrackingSession, Tracks
from cotracker_ros.tracking.config import BACKENDS, PRECISIONS

_TRANSPORTS = ("raw", "compressed")
Response = TypeVar("Response", AddPoints.Response, AddRegion.Response)

# Images that may wait for their answer (a windowed network answers up to a window later).
_UNANSWERED = 64
_SILENCE = 2.0  # s without an image after which the diagnostics warn


@dataclass(frozen=True)
class TrackerNodeConfig:
    """Where images come from and what tracks them.

    Attributes:
        backend: What tracks: "network", "klt" (Lucas-Kanade: ten times as fast, but loses what is hidden), or
            "auto": the network, or KLT where torch is not installed.
        weights: Weights of the network: a path, or a name such as "scaled_online"; empty: those shipped.
        device: Device of the network: auto, cpu, cuda, cuda:N or mps.
        precision: Precision of the network: auto (what it is made for), fp32, fp16 or bf16.
        compile: Compile the network with torch.compile; the first images take long then.
        cameras: Names of the cameras that share the model; each has its own NAME/image and ~/NAME/tracks.
            One empty name means a single camera on image and ~/tracks.
        image_transport: raw (topic image) or compressed (topic image/compressed).
        queue_size: Images per camera that wait for the tracker; the oldest gives way when it is full.
        query_points: Points to follow from the first image on, "x y; x y; ...", px; empty: none.
        trail_length: Length of the trails on the overlay, images.
    """

    backend: str = "auto"
    weights: str = ""
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    cameras: tuple[str, ...] = ("",)
    image_transport: str = "raw"
    queue_size: int = 2
    query_points: str = ""
    trail_length: int = 24

    def __post_init__(self) -> None:
        for name, choices in (
            ("backend", BACKENDS),
            ("precision", PRECISIONS),
            ("image_transport", _TRANSPORTS),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name} is '{value}'; give one of {', '.join(choices)}")
        if not self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise ValueError(f"cameras is {list(self.cameras)}; give distinct names, or one empty name")
        for camera in self.cameras:
            if (camera or len(self.cameras) > 1) and not re.fullmatch(r"[A-Za-z]\w*(/[A-Za-z]\w*)*", camera):
                raise ValueError(
                    f"the camera name '{camera}' is not fit for a topic; give letters and digits"
                )
        if self.queue_size < 1:
            raise ValueError(f"queue_size is {self.queue_size}; give at least 1 image")
        if self.trail_length < 0:
            raise ValueError(f"trail_length is {self.trail_length}; give 0 (no trails) or more images")
        self.points()

    def points(self) -> NDArray[np.float32]:
        """(N, 2) float32, px: `query_points` as numbers.

        Raises:
            ValueError: It is no list of pairs of numbers.
        """
        try:
            numbers = [float(word) for word in re.split(r"[\s,;]+", self.query_points.strip()) if word]
            return np.array(numbers, np.float32).reshape(-1, 2)
        except ValueError:
            raise ValueError(
                f"query_points is '{self.query_points}'; give pairs of numbers such as '320 240; 100 50'"
            ) from None


@dataclass(frozen=True)
class Arrival:
    """An image message, its stamp (ns) and the ``time.monotonic()`` of its arrival."""

    message: Any
    stamp: int
    at: float


@dataclass(frozen=True, eq=False)
class _Waiting:
    """What is kept of an image until it is answered; the pixels only if somebody watches the overlay."""

    at: float
    pixels: NDArray[np.uint8] | None


class CameraStream:
    """One camera: image in, tracks out.

    Args:
        node: The tracker node.
        name: Prefix of the camera's topics and services, or "" for the only camera.
        session: Its tracking session.
        worker: Where images are handed over under the camera's name; it calls `process`.
        config: Parameters of the node.
    """

    def __init__(
        self,
        node: ManagedNode,
        name: str,
        session: TrackingSession,
        worker: Worker[Arrival],
        config: TrackerNodeConfig,
    ) -> None:
        self.name = name
        self.session = session
        self._clock = StreamClock()
        self._node = node
        self._logger = node.get_logger()
        self._worker = worker
        compressed = config.image_transport == "compressed"
        self._queue_size = config.queue_size
        self._decode = decode_compressed_image if compressed else decode_image
        self._message_class = CompressedImage if compressed else Image
        prefix = f"{name}/" if name else ""
        self._topic = prefix + ("image/compressed" if compressed else "image")
        self._subscription: Subscription | None = None
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self._bad_images = self._bad_told = self._drops_told = 0
        self._last_event = self._qos_problem = ""
        self._tracks = node.create_lifecycle_publisher(TrackArray, f"~/{prefix}tracks", RESULTS)
        self.overlay = OverlayPublisher(node, f"~/{prefix}overlay", config.trail_length)
        self._services = [
            node.create_service(kind, f"~/{prefix}{verb}", callback, callback_group=node.service_group)
            for kind, verb, callback in (
                (AddPoints, "add_points", self._add_points),
                (AddRegion, "add_region", self._add_region),
                (RemoveTracks, "remove_tracks", self._remove_tracks),
                (Trigger, "reset", self._reset),
            )
        ]

    def start(self) -> None:
        """Begin to take images."""
        self._subscription = subscribe(
            self._node,
            self._message_class,
            self._topic,
            self._receive,
            sensor_data(self._queue_size),
            group=self._node.input_group,
            incompatible=self._warn_incompatible,
        )

    def stop(self) -> None:
        """Take no more images; tracks stay as they are."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def destroy(self) -> None:
        """Take topics and services away."""
        self.stop()
        for service in self._services:
            self._node.destroy_service(service)
        self.overlay.destroy()
        self._node.destroy_lifecycle_publisher(self._tracks)

    def process(self, arrival: Arrival) -> None:
        """Decode an image, track through it and publish the answers; called by the worker."""
        try:
            image = self._decode(arrival.message)
            frame_id = arrival.message.header.frame_id
            watched = image if self.overlay.is_watched() else None
            self._waiting[arrival.stamp] = _Waiting(arrival.at, watched)
            answers = self.session.process(image, arrival.stamp)
        except ValueError as error:
            self.drop(str(error))
            return
        for tracks in answers:
            self._publish(tracks, frame_id)
        while len(self._waiting) > _UNANSWERED:
            self._waiting.popitem(last=False)

    def drop(self, reason: str) -> None:
        """Count an image that could not be used, and say why."""
        self._bad_images += 1
        self._last_event = f"An image was dropped: {reason}"
        self._logger.warning(self._last_event, throttle_duration_sec=5.0)

    def diagnose(self) -> DiagnosticStatus:
        """Rate, latency, drops and tracks by state."""
        dropped = self._worker.dropped(self.name)
        values: dict[str, object] = {**self._clock.values()}
        values |= {"images dropped, too slow": dropped, "images dropped, bad": self._bad_images}
        values |= {name.replace("_", " "): value for name, value in asdict(self.session.counters).items()}
        values |= _tracks_by_state(self.session.latest)
        event = self._last_event or self.session.last_event
        values |= {"memory [MB]": resident_memory() / 1e6, "last event": event}
        level, message = self._judge(dropped)
        title = f"{self._node.get_name()}: {self.name}" if self.name else self._node.get_name()
        return make_status(title, level, message, values)

    def _judge(self, dropped: int) -> tuple[bytes, str]:
        """Level and one sentence about what has happened since the last look."""
        new_drops, self._drops_told = dropped - self._drops_told, dropped
        new_bad, self._bad_told = self._bad_images - self._bad_told, self._bad_images
        if new_bad:
            return ERROR, self._last_event
        if self._subscription is None:
            return OK, "inactive"
        silence = self._clock.silence()
        if silence is None or silence > _SILENCE:
            topic = self._node.resolve_topic_name(self._topic)
            return WARN, self._qos_problem or f"No image on {topic}."
        if new_drops:
            return WARN, f"Cannot keep up: {new_drops} images dropped since the last report."
        return OK, "tracking"

    def _receive(self, message: Any) -> None:
        """Subscription callback: hands the image over, nothing else."""
        self._clock.saw_input()
        stamp = stamp_ns(message.header.stamp)
        if stamp == 0:
            self._logger.warning(
                f"The images on {self._topic} carry no stamp: the time of their arrival is used.", once=True
            )
            stamp = self._node.get_clock().now().nanoseconds
        self._worker.put(self.name, Arrival(message, stamp, time.monotonic()))

    def _publish(self, tracks: Tracks, frame_id: str) -> None:
        image = self._waiting.get(tracks.stamp)
        self._tracks.publish(to_ros(TrackArray, track_array_fields(tracks, frame_id)))
        if image is None or tracks.revised:
            return
        self._clock.answered(image.at)
        del self._waiting[tracks.stamp]
        if image.pixels is not None:
            self.overlay.show(image.pixels, tracks, frame_id)

    def _add_points(self, request: AddPoints.Request, response: AddPoints.Response) -> AddPoints.Response:
        if len(request.x) != len(request.y):
            response.message = (
                f"There are {len(request.x)} x but {len(request.y)} y: give one of each per point."
            )
            return response
        labels: str | list[str] | None = list(request.labels) or None
        if labels is not None and len(labels) == 1:
            labels = labels[0]
        points = np.column_stack([request.x, request.y]).astype(np.float32)
        return self._answer_added(response, lambda: self.session.add_points(points, labels))

    def _add_region(self, request: AddRegion.Request, response: AddRegion.Response) -> AddRegion.Response:
        spread = {"spacing": request.spacing, "count": request.count, "label": request.label}
        if request.shape == AddRegion.Request.BOX:
            box = (request.x, request.y, request.width, request.height)
            return self._answer_added(response, lambda: self.session.add_box(box, **spread))
        if request.shape == AddRegion.Request.MASK:
            return self._answer_added(
                response, lambda: self.session.add_mask(decode_mask(request.mask), **spread)
            )
        response.message = f"shape is {request.shape}; give 0 (BOX) or 1 (MASK)."
        return response

    def _answer_added(self, response: Response, add: Callable[[], NDArray[np.uint32]]) -> Response:
        try:
            ids = add()
        except ValueError as error:
            response.message = str(error)
            return response
        response.success = True
        response.ids = array("I", ids.tolist())
        response.message = f"{len(ids)} points added."
        return response

    def _remove_tracks(
        self, request: RemoveTracks.Request, response: RemoveTracks.Response
    ) -> RemoveTracks.Response:
        try:
            response.removed = self.session.remove(
                np.asarray(request.ids, np.uint32), list(request.labels), everything=request.all
            )
        except ValueError as error:
            response.message = str(error)
            return response
        response.success = True
        response.message = f"{response.removed} tracks removed."
        return response

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.session.reset()
        response.success = True
        response.message = "All tracks are gone; a new epoch begins with the next image."
        return response

    def _warn_incompatible(self, sentence: str) -> None:
        self._qos_problem = sentence


def _tracks_by_state(tracks: Tracks | None) -> dict[str, int]:
    """Number of tracks in each state; the states add up to the number of tracks."""
    flags = np.zeros(0, np.uint8) if tracks is None else tracks.flags
    lost = (flags & TrackFlag.LOST) != 0
    visible = ~lost & ((flags & TrackFlag.VISIBLE) != 0)
    outside = ~lost & ~visible & ((flags & TrackFlag.IN_FRAME) == 0)
    return {
        "tracks": len(flags),
        "tracks visible": int(visible.sum()),
        "tracks occluded": int((~lost & ~visible & ~outside).sum()),
        "tracks out of view": int(outside.sum()),
        "tracks lost": int(lost.sum()),
    }
