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
from cotracker_ros.recordings.outputs import BagOutput, ReplayReport, TableOutput, run_steps
from cotracker_ros.recordings.replay import ReplayStep, replay
from cotracker_ros.recordings.tables import TrackTable
from cotracker_ros.recordings.writer import BagWriter

__all__ = [
    "BagOutput",
    "BagWriter",
    "CameraEvent",
    "DepthEvent",
    "DropEvent",
    "Event",
    "ImageEvent",
    "Recording",
    "RecordingError",
    "RecordingSummary",
    "ReplayReport",
    "ReplayStep",
    "TableOutput",
    "TrackTable",
    "TransformEvent",
    "open_recording",
    "replay",
    "run_steps",
]
