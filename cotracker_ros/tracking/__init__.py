"""A stream of frames becomes tracks with lasting ids.

Names that need torch are imported when they are asked for, so that KLT and the types stay cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cotracker_ros.tracking.base import PointTracker
from cotracker_ros.tracking.config import KltConfig, SessionConfig, TrackerConfig
from cotracker_ros.tracking.factory import create_tracker
from cotracker_ros.tracking.klt import KltTracker
from cotracker_ros.tracking.queries import box_points, corner_points, grid_points, mask_points
from cotracker_ros.tracking.session import SessionCounters, TrackingSession
from cotracker_ros.tracking.types import TrackFlag, Tracks

if TYPE_CHECKING:
    from cotracker_ros.tracking.network import load_model
    from cotracker_ros.tracking.state import StreamState
    from cotracker_ros.tracking.stream import StreamTracker
    from cotracker_ros.tracking.video import TrackResult, track_video

_WITH_TORCH = {
    "StreamTracker": "stream",
    "StreamState": "state",
    "TrackResult": "video",
    "track_video": "video",
    "load_model": "network",
}

__all__ = [
    "KltConfig",
    "KltTracker",
    "PointTracker",
    "SessionConfig",
    "SessionCounters",
    "StreamState",
    "StreamTracker",
    "TrackFlag",
    "TrackResult",
    "TrackerConfig",
    "TrackingSession",
    "Tracks",
    "box_points",
    "corner_points",
    "create_tracker",
    "grid_points",
    "load_model",
    "mask_points",
    "track_video",
]


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(import_module(f"cotracker_ros.tracking.{_WITH_TORCH[name]}"), name)
    raise AttributeError(f"module 'cotracker_ros.tracking' has no attribute '{name}'")
