"""Colour conversion of raw images: cv_bridge where it works, else rosbags-image.

A cv_bridge that was compiled for NumPy 1 fails at import or at the first conversion once NumPy 2 is
installed, so a tiny image is converted before it is trusted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.messages.errors import MessageError


@dataclass(frozen=True)
class RawImage:
    """An image of 8 bits per channel without row padding, with the field names of sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    step: int
    data: bytes
    is_bigendian: int = 0


Converter = Callable[[RawImage], NDArray[np.uint8]]


@lru_cache(maxsize=1)
def rgb_converter() -> tuple[str, Converter]:
    """Return the name of the library that converts images on this machine, and its conversion to RGB.

    Raises:
        MessageError: None can be used.
    """
    for name, find in (("cv_bridge", _cv_bridge), ("rosbags-image", _rosbags_image)):
        convert = _proven(find)
        if convert is not None:
            return name, convert
    raise MessageError("images cannot be converted: install cv_bridge (ROS) or rosbags-image (pip)")


def _cv_bridge() -> Converter:
    bridge = importlib.import_module("cv_bridge").CvBridge()
    return lambda image: bridge.imgmsg_to_cv2(image, desired_encoding="rgb8")


def _rosbags_image() -> Converter:
    image_to_cvimage = importlib.import_module("rosbags.image").image_to_cvimage
    return lambda image: image_to_cvimage(image, "rgb8")


def _proven(find: Callable[[], Converter]) -> Converter | None:
    """Return the converter if it turns one known pixel into the right one."""
    pixel = RawImage(height=1, width=1, encoding="bgr8", step=3, data=bytes((1, 2, 3)))
    try:
        convert = find()
        return convert if np.asarray(convert(pixel)).tolist() == [[[3, 2, 1]]] else None
    except Exception:  # a broken binary module fails in its own ways; all mean that it is not there
        return None
