"""Images of a distorted camera as one without distortion would have taken them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.camera import CameraModel


class Undistortion:
    """Resamples images of a camera to the pinhole camera of the same size and intrinsic matrix.

    Args:
        camera: The camera; the tables for it are made here, once.

    Attributes:
        camera: What it was made for.
        pinhole: The camera of the results.
    """

    def __init__(self, camera: CameraModel) -> None:
        self.camera = camera
        self.pinhole = CameraModel(camera.width, camera.height, camera.K)
        column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        rays = self.pinhole.unproject(np.stack([column.ravel(), row.ravel()], axis=1))
        source = camera.project(rays).reshape(camera.height, camera.width, 2)
        # Where the distortion's polynomial turns back, a second picture of the middle would appear.
        x_by_row, x_by_column = np.gradient(source[..., 0])
        y_by_row, y_by_column = np.gradient(source[..., 1])
        folded = x_by_column * y_by_row - x_by_row * y_by_column <= 0
        source[folded] = -2.0  # outside the image
        self._x, self._y = np.ascontiguousarray(np.moveaxis(source, 2, 0), dtype=np.float32)

    def fits(self, camera: CameraModel) -> bool:
        """Say whether it may be used for a camera, which drivers send anew with every image."""
        known = self.camera
        return camera is known or (
            camera.size == known.size
            and camera.distortion_model == known.distortion_model
            and np.array_equal(camera.K, known.K)
            and np.array_equal(camera.coefficients, known.coefficients)
        )

    def depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample (H, W) depths, m, without mixing neighbours; 0 where nothing was seen."""
        return np.asarray(self._resampled(depth, cv2.INTER_NEAREST), np.float32)

    def colour(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resample a (H, W, 3) image."""
        return np.asarray(self._resampled(rgb, cv2.INTER_LINEAR), np.uint8)

    def _resampled(self, image: NDArray[Any], how: int) -> NDArray[Any]:
        return np.asarray(
            cv2.remap(image, self._x, self._y, how, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        )
