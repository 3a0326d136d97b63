"""Pictures of data sets: decoded, read and resized as their benchmarks do."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cotracker_ros.evaluation.datasets.errors import DatasetError

Size = tuple[int, int]
"""Width and height, px."""


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """Decode an image file's bytes to (H, W, 3) uint8 RGB.

    Raises:
        DatasetError: They are no image, or not a whole one.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"), np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"an image of {len(data)} bytes cannot be decoded: {error}") from error


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) uint8 RGB.

    Raises:
        DatasetError: It is missing or no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{path} is missing or no image: extract the data set again")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def lanczos(image: NDArray[np.uint8], size: Size | None) -> NDArray[np.uint8]:
    """Resize an image (H, W, 3) with the Lanczos filter that the TAP-Vid benchmark uses; None keeps it."""
    if size is None or size == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS), np.uint8)


def check_size(size: Size | None) -> None:
    """Refuse a size in which no image can be seen.

    Raises:
        DatasetError: A side is below 2 px.
    """
    if size is not None and min(size) < 2:
        raise DatasetError(f"the size of the frames is {size[0]}x{size[1]} px: give at least 2x2")
