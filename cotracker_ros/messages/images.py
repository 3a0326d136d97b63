"""Images and depth images in and out of messages.

Works on rclpy's messages and on those of rosbags alike. What comes out never shares memory with a message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.messages.arrays import byte_view
from cotracker_ros.messages.bridge import RawImage, rgb_converter
from cotracker_ros.messages.errors import MessageError
from cotracker_ros.messages.header import header_fields


@dataclass(frozen=True)
class _Layout:
    """How one encoding lies in memory, and the 8-bit encoding it is converted through ("" for depth)."""

    dtype: str
    channels: int
    through: str


_BAYER = ("rggb", "bggr", "gbrg", "grbg")
# Encodings that only count channels are read as OpenCV means them: 1 grey, 3 BGR, 4 BGRA.
_COLOUR: dict[str, _Layout] = {
    **{f"{name}8": _Layout("u1", len(name), f"{name}8") for name in ("rgb", "bgr", "rgba", "bgra")},
    **{f"{name}16": _Layout("u2", len(name), f"{name}8") for name in ("rgb", "bgr", "rgba", "bgra")},
    **{f"bayer_{name}8": _Layout("u1", 1, f"bayer_{name}8") for name in _BAYER},
    **{f"bayer_{name}16": _Layout("u2", 1, f"bayer_{name}8") for name in _BAYER},
    "mono8": _Layout("u1", 1, "mono8"),
    "mono16": _Layout("u2", 1, "mono8"),
    "8UC1": _Layout("u1", 1, "mono8"),
    "16UC1": _Layout("u2", 1, "mono8"),
    "8UC3": _Layout("u1", 3, "bgr8"),
    "8UC4": _Layout("u1", 4, "bgra8"),
    "yuv422": _Layout("u1", 2, "yuv422"),
    "uyvy": _Layout("u1", 2, "yuv422"),
    "yuv422_yuy2": _Layout("u1", 2, "yuv422_yuy2"),
    "yuyv": _Layout("u1", 2, "yuv422_yuy2"),
}
_DEPTH: dict[str, _Layout] = {
    "16UC1": _Layout("u2", 1, ""),
    "mono16": _Layout("u2", 1, ""),
    "32FC1": _Layout("f4", 1, ""),
}
_MASK = {name: _COLOUR[name] for name in ("mono8", "8UC1", "mono16", "16UC1")}
_MILLIMETRE = np.float32(0.001)
_DEPTH_HEADER = np.dtype([("format", "<i4"), ("a", "<f4"), ("b", "<f4")])


def decode_image(message: Any) -> NDArray[np.uint8]:
    """Return a sensor_msgs/Image as (H, W, 3) uint8 RGB.

    16-bit encodings keep their upper 8 bits; grey becomes three equal channels.

    Raises:
        MessageError: The encoding is unknown, the size is zero, the step is too small or data is missing.
    """
    layout = _layout(message, _COLOUR, "colour image")
    pixels = _pixels(message, layout)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if layout.through == "rgb8":
        return pixels.copy()
    height, width = pixels.shape[:2]
    if layout.through.startswith("yuv") and width % 2:
        raise MessageError(f"a {message.encoding} image has an even width, but this one is {width} px wide")
    raw = RawImage(height, width, layout.through, width * layout.channels, pixels.tobytes())
    try:
        rgb = rgb_converter()[1](raw)
    except (cv2.error, RuntimeError) as error:
        raise MessageError(
            f"the {width}x{height} image with encoding '{message.encoding}' cannot be converted: "
            f"{_first_line(error)}"
        ) from error
    return np.array(rgb, dtype=np.uint8, order="C")


def decode_compressed_image(message: Any) -> NDArray[np.uint8]:
    """Return a sensor_msgs/CompressedImage (JPEG, PNG, whatever OpenCV reads) as (H, W, 3) uint8 RGB.

    Raises:
        MessageError: The data is empty, cut off, no image, or a depth image.
    """
    if "compressedDepth" in message.format:
        raise MessageError("this is a compressed depth image, not a colour image: choose a colour topic")
    data = byte_view(message.data)
    # The stored pixels count, not the way a viewer would turn them.
    image = _decode_file(data, message.format, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def decode_depth(message: Any) -> NDArray[np.float32]:
    """Return a sensor_msgs/Image with depth as (H, W) float32 metres, NaN where there is none.

    16UC1 (and mono16) holds millimetres with 0 for invalid, 32FC1 metres; values that are not finite or
    not positive are invalid.

    Raises:
        MessageError: The encoding is no depth, the size is zero, the step is too small or data is missing.
    """
    pixels = _pixels(message, _layout(message, _DEPTH, "depth image"))
    return _metres(pixels)


def decode_compressed_depth(message: Any) -> NDArray[np.float32]:
    """Return a sensor_msgs/CompressedImage of image_transport's compressedDepth as float32 metres.

    Returns:
        (H, W) float32, NaN where invalid.

    Raises:
        MessageError: The format is not compressedDepth as PNG, or the data is cut off or no image.
    """
    encoding, _, transport = message.format.partition(";")
    encoding = encoding.strip()
    if "compressedDepth" not in transport or "rvl" in transport or encoding not in _DEPTH:
        raise MessageError(
            f"compressed depth with format '{message.format}' is not supported: "
            "use '16UC1; compressedDepth png' or '32FC1; compressedDepth png'"
        )
    data = byte_view(message.data)
    if len(data) <= _DEPTH_HEADER.itemsize:
        raise MessageError(f"the compressed depth image holds only {len(data)} bytes")
    header = data[: _DEPTH_HEADER.itemsize].view(_DEPTH_HEADER)[0]
    stored = _decode_file(data[_DEPTH_HEADER.itemsize :], message.format, cv2.IMREAD_UNCHANGED)
    if stored.ndim != 2 or stored.dtype != np.uint16:
        raise MessageError("the compressed depth image does not hold one 16-bit channel")
    if encoding != "32FC1":
        return _metres(stored)
    # Inverse depth, quantised: the coefficients travel in the header.
    with np.errstate(divide="ignore"):
        depth = header["a"] / (stored.astype(np.float32) - header["b"])
    return _metres(np.where(stored == 0, np.float32(np.nan), depth))


def decode_mask(message: Any) -> NDArray[np.bool_]:
    """Return a one-channel sensor_msgs/Image as (H, W) bool: True where it is not 0.

    Raises:
        MessageError: The encoding is not of one channel, the size is zero, or data is missing.
    """
    return _pixels(message, _layout(message, _MASK, "mask")) != 0


def image_fields(rgb: NDArray[np.uint8], stamp: int, frame_id: str) -> dict[str, Any]:
    """Return the fields of sensor_msgs/Image (rgb8) for an (H, W, 3) uint8 RGB image."""
    return _raw_fields(np.ascontiguousarray(rgb, dtype=np.uint8), "rgb8", stamp, frame_id)


def depth_fields(
    depth: NDArray[np.float32], stamp: int, frame_id: str, encoding: str = "16UC1"
) -> dict[str, Any]:
    """Return the fields of sensor_msgs/Image for a depth image.

    Args:
        depth: (H, W) metres, NaN where invalid.
        stamp: Time of the image, ns.
        frame_id: Optical frame.
        encoding: "16UC1" (millimetres, 0 invalid; beyond 65.535 m is invalid) or "32FC1" (metres).

    Raises:
        ValueError: Another encoding.
    """
    if encoding == "32FC1":
        return _raw_fields(np.ascontiguousarray(depth, dtype=np.float32), encoding, stamp, frame_id)
    if encoding != "16UC1":
        raise ValueError(f"depth cannot be written as '{encoding}': use 16UC1 or 32FC1")
    millimetres = np.rint(np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0) * 1000.0)
    millimetres[(millimetres < 0) | (millimetres > 65535)] = 0
    return _raw_fields(millimetres.astype(np.uint16), encoding, stamp, frame_id)


def _layout(message: Any, known: dict[str, _Layout], kind: str) -> _Layout:
    try:
        return known[message.encoding]
    except KeyError:
        raise MessageError(
            f"encoding '{message.encoding}' is not supported for a {kind}: use one of {', '.join(known)}"
        ) from None


def _pixels(message: Any, layout: _Layout) -> NDArray[Any]:
    """Check an image message and view its pixels as (H, W) or (H, W, C) in this machine's byte order.

    The view may share the message's memory.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    if height == 0 or width == 0:
        raise MessageError(f"the image has a size of zero ({width}x{height})")
    dtype = np.dtype((">" if message.is_bigendian else "<") + layout.dtype)
    row = width * layout.channels * dtype.itemsize
    if step < row:
        raise MessageError(
            f"the image's step of {step} bytes is too small: "
            f"{width} px of {message.encoding} take {row} bytes a row"
        )
    data = byte_view(message.data)
    # The padding behind the last row is often left out.
    needed = step * (height - 1) + row
    if len(data) < needed:
        raise MessageError(
            f"the image is truncated: {width}x{height} px of {message.encoding} "
            f"need {needed} bytes, but it holds {len(data)}"
        )
    pixels: NDArray[Any] = np.ndarray(
        (height, width, layout.channels), dtype, buffer=data, strides=(step, row // width, dtype.itemsize)
    )
    if layout.channels == 1:
        pixels = pixels[:, :, 0]
    return pixels.astype(dtype.newbyteorder("="), copy=False)


def _metres(stored: NDArray[Any]) -> NDArray[np.float32]:
    depth = stored.astype(np.float32)
    if stored.dtype == np.uint16:
        depth *= _MILLIMETRE
    depth[~((depth > 0) & np.isfinite(depth))] = np.nan
    return depth


def _decode_file(data: NDArray[np.uint8], name: str, flags: int) -> NDArray[Any]:
    """Decode the bytes of an image file; OpenCV would fill what is cut off with grey and not say so."""
    if len(data) == 0:
        raise MessageError(f"the compressed image ('{name}') is empty")
    tail = data[-64:].tobytes()
    cut_off = (data[:2].tobytes() == b"\xff\xd8" and b"\xff\xd9" not in tail) or (
        data[:4].tobytes() == b"\x89PNG" and b"IEND" not in tail
    )
    if cut_off:
        raise MessageError(f"the compressed image ('{name}') is truncated after {len(data)} bytes")
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise MessageError(
            f"the compressed image ('{name}') cannot be decoded: {_first_line(error)}"
        ) from error
    if image is None:
        raise MessageError(f"the compressed image ('{name}', {len(data)} bytes) cannot be decoded")
    return image


def _raw_fields(pixels: NDArray[Any], encoding: str, stamp: int, frame_id: str) -> dict[str, Any]:
    height, width = pixels.shape[:2]
    return {
        "header": header_fields(stamp, frame_id),
        "height": height,
        "width": width,
        "encoding": encoding,
        "is_bigendian": 0,
        "step": pixels.strides[0],
        "data": pixels.reshape(-1).view(np.uint8),
    }


def _first_line(error: Exception) -> str:
    return re.split(r"[\r\n]", str(error).strip(), maxsplit=1)[0]
