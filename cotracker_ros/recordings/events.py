"""What a recording is made of, whatever its file format.

``stamp`` is the sensor's time from the message's header, which may jump back (a bag that was looped).
``logged`` is the time at which the message was recorded, ns; events come in its order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.camera import CameraModel


@dataclass(frozen=True, eq=False)
class ImageEvent:
    """A colour image: ``image`` (H, W, 3) uint8 RGB, at ``stamp`` ns in the optical frame ``frame_id``."""

    stamp: int
    frame_id: str
    image: NDArray[np.uint8]
    logged: int = 0


@dataclass(frozen=True, eq=False)
class DepthEvent:
    """A depth image: ``depth`` (H, W) float32 metres, NaN where invalid, taken at ``stamp`` ns."""

    stamp: int
    frame_id: str
    depth: NDArray[np.float32]
    logged: int = 0


@dataclass(frozen=True, eq=False)
class CameraEvent:
    """The camera's model as it holds from ``stamp`` ns on."""

    stamp: int
    frame_id: str
    camera: CameraModel
    logged: int = 0


@dataclass(frozen=True, eq=False)
class TransformEvent:
    """Pose of frame ``child`` in frame ``parent``: ``matrix`` (4, 4) float64, metres."""

    stamp: int
    parent: str
    child: str
    matrix: NDArray[np.float64]
    static: bool
    logged: int = 0


@dataclass(frozen=True)
class DropEvent:
    """A message that could not be read; ``reason`` is one sentence."""

    stamp: int
    topic: str
    reason: str
    logged: int = 0


Event = ImageEvent | DepthEvent | CameraEvent | TransformEvent | DropEvent
