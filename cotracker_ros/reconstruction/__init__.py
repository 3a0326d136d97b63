"""Tracks in space: 2D tracks, depth images and the camera's model become 3D tracks and a map."""

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.transforms import TransformBuffer, TransformError
from cotracker_ros.reconstruction.types import DepthSource, Tracks3D

__all__ = ["CameraModel", "DepthSource", "Tracks3D", "TransformBuffer", "TransformError"]
