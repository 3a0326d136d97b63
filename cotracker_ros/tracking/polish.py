"""Sub-pixel refinement: a point is put where its query's patch fits best.

Lucas-Kanade from image to image drifts, and a network on a coarse grid of features is not exact. The patch
around the query is compared with the patch around the present estimate, for all points in one call: the
patches lie side by side in one picture.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 48
"""Side of the patches that are kept, px."""
_WINDOW = 15
_HOME = 1.0  # px by which going back may miss the query
_CONTRAST = 4.0  # standard deviation of a window below which it shows nothing, grey levels


class Fit(NamedTuple):
    """How a patch may be fitted.

    Attributes:
        most: Px that a point may be moved; more would be another thing.
        levels: Halvings of the patch to get so far.
        alike: Normalised correlation from which two windows show the same.
    """

    most: float
    levels: int
    alike: float


CLOSE = Fit(most=3.0, levels=1, alike=0.8)
"""For estimates."""
ANYWHERE = Fit(most=8.0, levels=2, alike=0.9)
"""For places where a lost point might be."""


def cut_patches(
    grey: NDArray[np.uint8], xy: NDArray[np.floating]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut the patch around each point.

    Args:
        grey: (H, W) image; beyond its edge the edge goes on.
        xy: (N, 2) positions, px.

    Returns:
        (N, SIDE, SIDE) patches, and (N, 2) positions of the points in them.
    """
    height, width = grey.shape
    corner = np.floor(np.nan_to_num(xy)).clip(-SIDE, [width + SIDE, height + SIDE]).astype(int) - SIDE // 2
    reach = np.arange(SIDE)
    rows = (corner[:, 1:] + reach).clip(0, height - 1)
    columns = (corner[:, :1] + reach).clip(0, width - 1)
    return grey[rows[:, :, None], columns[:, None]], (xy - corner).astype(np.float32)


def polish(
    templates: NDArray[np.uint8],
    template_xy: NDArray[np.floating],
    grey: NDArray[np.uint8],
    xy: NDArray[np.float32],
    fit: Fit = CLOSE,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Move points to where their query's patch fits best.

    Args:
        templates: (N, SIDE, SIDE) patches around the queries.
        template_xy: (N, 2) positions of the queries in them.
        grey: (H, W) the present image.
        xy: (N, 2) estimates in it, px.
        fit: How far to go, and what to accept.

    Returns:
        (N, 2) float32 positions, where the patch cannot be fitted those that were given; and (N,) bool,
        whether what is there looks like the query.
    """
    if not len(xy):
        return xy, np.zeros(0, bool)
    patches, patch_xy = cut_patches(grey, xy)
    columns = int(np.ceil(np.sqrt(len(xy))))
    index = np.arange(len(xy))
    tile = (SIDE * np.stack([index % columns, index // columns], 1)).astype(np.float32)
    first, second = _picture(templates, columns), _picture(patches, columns)
    query, guess = (template_xy + tile).astype(np.float32), patch_xy + tile
    found, ok = _match(first, second, query, guess, fit.levels)
    back, ok_back = _match(second, first, found, query, fit.levels)
    moved = found - guess
    home = np.linalg.norm(back - query, axis=1) < _HOME
    fits = ok & ok_back & home & (np.linalg.norm(moved, axis=1) < fit.most)
    alike = fits & (_likeness(_windows(first, query), _windows(second, found)) > fit.alike)
    return (xy + np.where(fits[:, None], moved, 0)).astype(np.float32), alike


def _picture(patches: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    rows = -(-len(patches) // columns)
    picture = np.zeros((rows * columns, SIDE, SIDE), np.uint8)
    picture[: len(patches)] = patches
    tiled = picture.reshape(rows, columns, SIDE, SIDE).swapaxes(1, 2)
    return np.ascontiguousarray(tiled.reshape(rows * SIDE, columns * SIDE))


def _match(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    xy: NDArray[np.float32],
    guess: NDArray[np.float32],
    levels: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        xy[:, None],
        guess[:, None].copy(),
        winSize=(_WINDOW, _WINDOW),
        maxLevel=levels,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(moved, np.float32)[:, 0], np.asarray(found)[:, 0] > 0


def _windows(picture: NDArray[np.uint8], xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample the window around each point, (N, window^2)."""
    reach = np.arange(_WINDOW, dtype=np.float32) - _WINDOW // 2
    x = np.tile(xy[:, :1] + reach, (1, _WINDOW))
    y = np.repeat(xy[:, 1:] + reach, _WINDOW, axis=1)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR), np.float32)


def _likeness(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) normalised correlation of windows; 0 where one of them shows nothing."""
    first, second = (part - part.mean(1, keepdims=True) for part in (first, second))
    spread = first.std(1), second.std(1)
    correlation = (first * second).mean(1) / np.maximum(spread[0] * spread[1], 1e-6)
    return np.where(np.minimum(*spread) > _CONTRAST, correlation, 0)
