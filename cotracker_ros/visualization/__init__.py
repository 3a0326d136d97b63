"""Overlays, videos and plots of tracks."""

from cotracker_ros.visualization.overlay import OverlayDrawer
from cotracker_ros.visualization.video import VideoWriter

__all__ = ["OverlayDrawer", "VideoWriter"]
