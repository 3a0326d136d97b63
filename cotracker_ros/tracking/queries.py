"""Where to put queries: grids, boxes, masks and corners. Positions are pixels, (0, 0) is a pixel's centre."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]


def grid_points(image_size: tuple[int, int], *, spacing: float = 0.0, count: int = 0) -> Points:
    """Return an even grid over the whole image.

    Args:
        image_size: Width and height, px.
        spacing: Distance between neighbours, px; or
        count: about how many points. Exactly one of the two is given.

    Returns:
        (N, 2) float32, px.

    Raises:
        ValueError: Neither or both of spacing and count are given, or one is not positive.
    """
    return box_points(
        (0.0, 0.0, image_size[0] - 1.0, image_size[1] - 1.0), image_size, spacing=spacing, count=count
    )


def box_points(
    box: tuple[float, float, float, float],
    image_size: tuple[int, int],
    *,
    spacing: float = 0.0,
    count: int = 0,
) -> Points:
    """Return an even grid inside a box, centred, clipped to the image.

    Args:
        box: Left, top, width and height, px.
        image_size: Width and height of the image, px.
        spacing: Distance between neighbours, px; or
        count: about how many points. Exactly one of the two is given.

    Returns:
        (N, 2) float32, px; at least one point.

    Raises:
        ValueError: The box does not overlap the image, or spacing and count are wrong.
    """
    left, top, width, height = box
    if not np.isfinite(box).all() or width < 0 or height < 0:
        raise ValueError(f"the box {box} is not a box; give finite left, top, width and height in px")
    right, bottom = min(left + width, image_size[0] - 1.0), min(top + height, image_size[1] - 1.0)
    left, top = max(left, 0.0), max(top, 0.0)
    if right < left or bottom < top:
        raise ValueError(f"the box {box} lies outside the image of {image_size[0]}x{image_size[1]} px")
    spacing = _spacing((right - left) * (bottom - top), spacing, count)
    x, y = _axis(left, right, spacing), _axis(top, bottom, spacing)
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)


def mask_points(mask: NDArray[np.bool_], *, spacing: float = 0.0, count: int = 0) -> Points:
    """Return an even grid over the pixels where a mask holds.

    Args:
        mask: (H, W) bool.
        spacing: Distance between neighbours, px; or
        count: about how many points. Exactly one of the two is given.

    Returns:
        (N, 2) float32, px; at least one point.

    Raises:
        ValueError: The mask is empty, or spacing and count are wrong.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise ValueError("the mask is empty; mark at least one pixel")
    spacing = _spacing(float(len(rows)), spacing, count)
    left, top = float(columns.min()), float(rows.min())
    box = (left, top, float(columns.max()) - left, float(rows.max()) - top)
    points = box_points(box, (mask.shape[1], mask.shape[0]), spacing=spacing)
    pixel = points.round().astype(int)
    inside = mask[pixel[:, 1], pixel[:, 0]]
    if inside.any():
        return points[inside]
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return np.array([[columns[middle], rows[middle]]], np.float32)


def corner_points(
    image: NDArray[np.uint8],
    count: int,
    *,
    min_distance: float = 8.0,
    mask: NDArray[np.bool_] | None = None,
) -> Points:
    """Return the strongest Shi-Tomasi corners, refined below a pixel.

    Args:
        image: (H, W, 3) uint8 RGB.
        count: At most so many.
        min_distance: Least distance between two corners, px.
        mask: (H, W) bool, where corners are wanted; everywhere if None.

    Returns:
        (N, 2) float32, px; empty in an image without texture.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    allowed = None if mask is None else mask.astype(np.uint8)
    corners = cv2.goodFeaturesToTrack(grey, count, 0.01, min_distance, mask=allowed)
    if corners is None or min(grey.shape) < 16:
        return np.zeros((0, 2), np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.01)
    refined = cv2.cornerSubPix(grey, corners.copy(), (3, 3), (-1, -1), criteria)
    refined = np.where(np.abs(refined - corners).max(-1, keepdims=True) > 3, corners, refined)
    limit = np.array([image.shape[1] - 1, image.shape[0] - 1], np.float32)
    return refined.reshape(-1, 2).clip(0, limit).astype(np.float32)


def _spacing(area: float, spacing: float, count: int) -> float:
    if (spacing > 0) == (count > 0):
        raise ValueError(f"spacing is {spacing} px and count is {count}; give exactly one of them, above 0")
    return spacing if spacing > 0 else max(float(np.sqrt(area / count)), 1e-3)


def _axis(low: float, high: float, spacing: float) -> NDArray[np.floating]:
    """Positions on one axis, centred, with half a spacing left free at either end."""
    count = max(1, round((high - low) / spacing))
    return (low + high) / 2 + spacing * (np.arange(count) - (count - 1) / 2)
