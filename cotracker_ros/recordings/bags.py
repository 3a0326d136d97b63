"""Bags as recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotracker_ros.messages.errors import MessageError
from cotracker_ros.messages.geometry import camera_from_message, transforms_from_message
from cotracker_ros.messages.header import stamp_ns
from cotracker_ros.messages.images import (
    decode_compressed_depth,
    decode_compressed_image,
    decode_depth,
    decode_image,
)
from cotracker_ros.recordings.bagfile import BagFile, bag_kind, open_bag
from cotracker_ros.recordings.base import Recording, RecordingSummary
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.events import (
    CameraEvent,
    DepthEvent,
    DropEvent,
    Event,
    ImageEvent,
    TransformEvent,
)
from cotracker_ros.recordings.topics import (
    COMPRESSED_IMAGE,
    TRANSFORMS,
    ChosenTopics,
    choose_topics,
    is_rectified,
)

_ToEvents = Callable[[Any, int], list[Event]]


class BagRecording(Recording):
    """A bag of ROS 2 (MCAP or sqlite3, file or folder) or ROS 1."""

    def __init__(self, path: Path, *, image: str | None, depth: str | None, camera_info: str | None) -> None:
        """Look into the bag and choose its topics (see `choose_topics`).

        Raises:
            RecordingError: The bag cannot be read, is empty, or its topics cannot be chosen.
        """
        self._path = path
        with open_bag(path) as bag:
            self._topics = choose_topics(
                bag.topics,
                lambda name: _first_format(bag, name),
                image=image,
                depth=depth,
                camera_info=camera_info,
            )
            self._summary = self._summarize(bag)

    @property
    def summary(self) -> RecordingSummary:
        """What it holds."""
        return self._summary

    def events(self) -> Iterator[Event]:
        """Read it from the start, in the order in which it was recorded."""
        with open_bag(self._path) as bag:
            converters = _converters(bag, self._topics)
            logged = 0
            messages = bag.messages(converters)
            while True:
                try:
                    topic, logged, data = next(messages)
                except StopIteration:
                    return
                except RecordingError as error:  # what was read so far stays good
                    yield DropEvent(logged, "", str(error), logged)
                    return
                try:
                    events = converters[topic](bag.decode(topic, data), logged)
                except (MessageError, RecordingError) as error:
                    yield DropEvent(logged, topic, str(error), logged)
                else:
                    yield from events

    def _summarize(self, bag: BagFile) -> RecordingSummary:
        chosen = self._topics
        return RecordingSummary(
            path=self._path,
            kind=bag_kind(self._path) or "",
            images=bag.topics[chosen.image].count,
            depths=bag.topics[chosen.depth].count if chosen.depth else 0,
            duration=bag.duration,
            image_topic=chosen.image,
            depth_topic=chosen.depth,
            camera_info_topic=chosen.camera_info,
            topics={name: topic.typename for name, topic in bag.topics.items()},
        )


def _first_format(bag: BagFile, topic: str) -> str:
    for _, _, data in bag.messages([topic]):
        message = bag.decode(topic, data)
        return str(message.format if bag.topics[topic].typename == COMPRESSED_IMAGE else message.encoding)
    return ""


def _converters(bag: BagFile, chosen: ChosenTopics) -> dict[str, _ToEvents]:
    """Return what turns the messages of each topic that is read into events."""
    compressed = {name for name, topic in bag.topics.items() if topic.typename == COMPRESSED_IMAGE}
    converters: dict[str, _ToEvents] = {
        name: _TransformReader(name.endswith("tf_static"))
        for name, topic in bag.topics.items()
        if topic.typename in TRANSFORMS
    }
    converters[chosen.image] = _ImageReader(
        ImageEvent, decode_compressed_image if chosen.image in compressed else decode_image
    )
    if chosen.depth:
        converters[chosen.depth] = _ImageReader(
            DepthEvent, decode_compressed_depth if chosen.depth in compressed else decode_depth
        )
    if chosen.camera_info:
        converters[chosen.camera_info] = _CameraReader(is_rectified(chosen.image))
    return converters


@dataclass(frozen=True)
class _ImageReader:
    event: type[ImageEvent] | type[DepthEvent]
    decode: Callable[[Any], Any]

    def __call__(self, message: Any, logged: int) -> list[Event]:
        return [self.event(_stamp(message, logged), _frame(message), self.decode(message), logged)]


@dataclass(frozen=True)
class _CameraReader:
    rectified: bool

    def __call__(self, message: Any, logged: int) -> list[Event]:
        camera = camera_from_message(message, rectified=self.rectified)
        return [CameraEvent(_stamp(message, logged), _frame(message), camera, logged)]


@dataclass(frozen=True)
class _TransformReader:
    static: bool

    def __call__(self, message: Any, logged: int) -> list[Event]:
        return [
            TransformEvent(stamp, parent, child, matrix, self.static, logged)
            for stamp, parent, child, matrix in transforms_from_message(message)
        ]


def _stamp(message: Any, logged: int) -> int:
    # Some drivers leave the stamp at zero: the time of recording is the best guess then.
    return stamp_ns(message.header.stamp) or logged


def _frame(message: Any) -> str:
    return str(message.header.frame_id).lstrip("/")
