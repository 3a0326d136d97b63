"""Things in front of what was labelled: what they hide is known exactly, whoever made the labels.

Teachers are often right about where a point is, and seldom about when it is hidden. So pieces of other images
of the same camera are moved across a labelled clip: the points behind them are hidden, and where they are is
known. (Erased rectangles do the same in CoTracker's first stage, but look like nothing a camera sees.)
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.tracking.labelled import LabelledClip

Rng = np.random.Generator

_MOST = 3
_RADIUS = (0.08, 0.24)  # of the image's shorter side
_SPEED = (0.2, 4.0)  # px a frame at 256 px of width
_CORNERS = 9
_SOFT = 0.7  # px, deviation of the blur of edges
_DOUBTFUL = (0.02, 0.98)  # a point between is neither hidden nor seen


def cover(clip: LabelledClip, behind: NDArray[np.uint8], rng: Rng) -> LabelledClip:
    """Move pieces of other images across a clip.

    Args:
        clip: T frames of labelled points.
        behind: (T, H, W, 3) uint8, RGB: other images, as large, whose content the pieces show. It moves with
            them, and its noise is another one in every frame, as that of the clip.
        rng: Decides.

    Returns:
        The clip with covered points hidden, but as well known as before; those at the pieces' edges are
        unknown.
    """
    frames, visible, known = clip.frames.copy(), clip.visible.copy(), clip.known.copy()
    for _ in range(int(rng.integers(1, _MOST + 1))):
        outline = _outline(min(clip.size), rng)
        # Where the piece is cut out, and from there on its way across the clip.
        middle = rng.uniform(0, clip.size)
        way = _way(len(clip), clip.size, rng)
        for t in range(len(clip)):
            share = _mask(outline + way[t], clip.size)
            shift = way[t] - middle
            matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
            piece = cv2.warpAffine(behind[t], matrix, clip.size, borderMode=cv2.BORDER_REFLECT_101)
            mixed = frames[t] + share[..., None] * (piece.astype(np.float32) - frames[t])
            frames[t] = np.round(mixed).astype(np.uint8)
            hidden, doubtful = _behind(share, clip.xy[t])
            visible[t] &= ~hidden
            known[t] &= ~doubtful
    return replace(clip, frames=frames, visible=visible, known=known)


def _outline(side: int, rng: Rng) -> NDArray[np.floating]:
    """(_CORNERS, 2) corners of a random shape around the origin, px."""
    angle = (np.arange(_CORNERS) + rng.uniform(-0.3, 0.3, _CORNERS)) * 2 * np.pi / _CORNERS
    radius = side * rng.uniform(*_RADIUS) * rng.uniform(0.6, 1.4, _CORNERS)
    stretch = np.exp(rng.uniform(-0.5, 0.5)) ** np.array([1, -1])
    return radius[:, None] * stretch * np.stack([np.cos(angle), np.sin(angle)], 1)


def _way(frames: int, size: tuple[int, int], rng: Rng) -> NDArray[np.floating]:
    """(T, 2) positions of a piece, px: on a bent line that is in the image at a random time."""
    speed = np.exp(rng.uniform(*np.log(_SPEED))) * size[0] / 256
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.08, frames))
    steps = speed * np.stack([np.cos(heading), np.sin(heading)], 1)
    way = np.cumsum(steps, 0)
    return way - way[int(rng.integers(frames))] + rng.uniform(0, size)


def _mask(outline: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) share of each pixel that an outline, px, covers."""
    mask = np.zeros(size[::-1], np.float32)
    fraction = 4  # binary digits of a corner's position
    corners = np.round(outline * 2**fraction).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1.0, lineType=cv2.LINE_8, shift=fraction)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), _SOFT), np.float32)


def _behind(
    share: NDArray[np.float32], xy: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which points (N, 2) lie behind a mask (H, W), and for which of them that is in doubt."""
    last = np.array(share.shape[::-1]) - 1
    column, row = np.clip(np.round(xy), 0, last).astype(int).T
    inside = ((xy >= -0.5) & (xy <= last + 0.5)).all(-1)
    at = share[row, column]
    hidden = inside & (at >= _DOUBTFUL[1])
    return hidden, inside & (at > _DOUBTFUL[0]) & ~hidden
