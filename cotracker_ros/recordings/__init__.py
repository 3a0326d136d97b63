"""Bags, videos and image folders in; bags and tables of tracks out; replay in between."""

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
from cotracker_ros.recordings.open import open_recording
from cotracker_ros.recordings.writer import BagWriter

__all__ = [
    "BagWriter",
    "CameraEvent",
    "DepthEvent",
    "DropEvent",
    "Event",
    "ImageEvent",
    "Recording",
    "RecordingError",
    "RecordingSummary",
    "TransformEvent",
    "open_recording",
]
