"""What every recording can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cotracker_ros.recordings.events import Event


@dataclass(frozen=True)
class RecordingSummary:
    """What a recording holds, known before it is read through.

    Attributes:
        path: Where it is.
        kind: "mcap", "sqlite3", "ros1", "video" or "images".
        images: Number of colour images; for some videos an estimate.
        depths: Number of depth images.
        duration: s, from the first message to the last.
        image_topic: Topic of the colour images; "" where there are no topics.
        depth_topic: Topic of the depth images, or "".
        camera_info_topic: Topic of the camera's calibration, or "".
        topics: Message type of every topic, "sensor_msgs/msg/Image".
    """

    path: Path
    kind: str
    images: int
    depths: int = 0
    duration: float = 0.0
    image_topic: str = ""
    depth_topic: str = ""
    camera_info_topic: str = ""
    topics: dict[str, str] = field(default_factory=dict)

    @property
    def has_depth(self) -> bool:
        """True when points can be lifted: there are depth images and the camera's calibration."""
        return self.depths > 0 and self.camera_info_topic != ""


class Recording(ABC):
    """A bag, a video or an image folder: a stream of events that can be read again and again."""

    @property
    @abstractmethod
    def summary(self) -> RecordingSummary:
        """What it holds."""

    @abstractmethod
    def events(self) -> Iterator[Event]:
        """Read it from the start, in the order in which it was recorded.

        What cannot be read comes as a `DropEvent`; a file that is damaged from somewhere on ends there,
        with a `DropEvent` that says so.
        """
