"""Colour, depth and camera pose of one moment, and what reads them from folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.images import read_rgb
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.lifting import depth_fits

Intrinsics = tuple[float, float, float, float]
"""fx, fy, cx, cy of the colour images, px."""

_NOTHING_MEASURED = 65535  # what some Kinect recordings write instead of 0


@dataclass(frozen=True, eq=False)
class RgbdFrame:
    """What an RGB-D camera saw at one moment.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32, m along the optical axis, of the same view; 0 where nothing was measured.
        pose: (4, 4) float64, maps points of the camera's optical frame to the world, m.
        camera: The model of the image.
        stamp: When it was taken, ns; None where the recording tells no times.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    pose: NDArray[np.float64]
    camera: CameraModel
    stamp: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image, px."""
        return self.image.shape[1], self.image.shape[0]


FrameLoader = Callable[[], RgbdFrame]
"""Reads a frame when it is needed: of a long recording only the frames of the wanted clips are."""


def at_image_size(depth: NDArray[np.float32], size: tuple[int, int], name: str) -> NDArray[np.float32]:
    """Bring a depth image of another resolution to the size (width, height) of its colour image.

    Nearest neighbour: the mean of two depths is the depth of nothing.

    Raises:
        DatasetError: It shows another view.
    """
    if not depth_fits(depth, size):
        height, width = depth.shape
        raise DatasetError(
            f"the depth image of {name} is {width}x{height} px, the colour image {size[0]}x{size[1]}: "
            "register the depth to the colour"
        )
    if depth.shape == (size[1], size[0]):
        return depth
    return np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)


def camera_for(size: tuple[int, int], known: CameraModel, intrinsics: Intrinsics | None) -> CameraModel:
    """Return the model of a colour image of (width, height).

    Args:
        size: Of the image, px.
        known: The camera at any resolution.
        intrinsics: What the user gave instead, for this very size.

    Raises:
        DatasetError: The known camera has images of another shape.
    """
    if intrinsics is not None:
        return CameraModel.pinhole(*size, *intrinsics)
    if known.size == size:
        return known
    if abs(known.width * size[1] - known.height * size[0]) > max(known.size):
        raise DatasetError(
            f"the calibration is for images of {known.width}x{known.height} px, these have "
            f"{size[0]}x{size[1]}: give the intrinsics"
        )
    return known.scaled(*size)


def read_frame(
    image_path: Path,
    depth_path: Path,
    pose: NDArray[np.float64],
    known: CameraModel,
    intrinsics: Intrinsics | None,
    *,
    depth_unit: float,
    stamp: int | None = None,
) -> RgbdFrame:
    """Read a frame from two image files.

    Args:
        image_path: The colour image.
        depth_path: 16-bit image.
        pose: See `RgbdFrame`.
        known: See `camera_for`.
        intrinsics: See `camera_for`.
        depth_unit: How many steps of the depth image make a metre.
        stamp: See `RgbdFrame`.

    Raises:
        DatasetError: A file is missing or no such image, or they do not show the same view.
    """
    image = read_rgb(image_path)
    stored = cv2.imread(str(depth_path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 2 or stored.dtype != np.uint16:
        raise DatasetError(f"{depth_path} is missing or no 16-bit depth image: extract the data set again")
    depth = stored.astype(np.float32) / np.float32(depth_unit)
    depth[stored == _NOTHING_MEASURED] = 0
    size = image.shape[1], image.shape[0]
    camera = camera_for(size, known, intrinsics)
    return RgbdFrame(image, at_image_size(depth, size, depth_path.name), pose, camera, stamp)
