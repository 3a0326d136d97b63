"""Queries where tracking makes sense: SIFT features in sharp images near a clip's beginning."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def sift_queries(
    frames: NDArray[np.uint8], count: int, *, query_frames: int, seed: int, allowed: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Choose points to follow, as CoTracker3's second stage does.

    Random frames of the first quarter give an equal share of SIFT features each (Lowe 2004), the strongest
    first, at whole pixels. The same pixel of the same frame is asked for once.

    Args:
        frames: (T, H, W, 3) uint8, RGB.
        count: Points wanted.
        query_frames: Frames drawn, with repetition.
        seed: Same seed, same queries.
        allowed: (T,) bool, frames that may be drawn (sharp ones); if none of the first quarter is, all are.

    Returns:
        (N, 3) float32 as t, x, y; fewer than ``count`` where the frames have too little texture.
    """
    rng = np.random.default_rng(seed)
    quarter = np.arange(len(frames) // 4 + 1)
    good = quarter[allowed[quarter]]
    drawn = rng.choice(good if len(good) else quarter, query_frames)
    share = -(-count // query_frames)
    queries: list[NDArray[np.float32]] = []
    for frame, times in zip(*np.unique(drawn, return_counts=True), strict=True):
        points = _features(frames[frame])[: share * int(times)]
        queries.append(np.concatenate([np.full((len(points), 1), frame), points], 1).astype(np.float32))
    # The first ones are kept, and those of one frame stand together: mixed, no frame loses all of its own.
    found = np.concatenate(queries)
    return found[np.sort(rng.permutation(len(found))[:count])]


def _features(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 2) whole pixels x, y of SIFT features, the strongest first."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = cv2.SIFT.create().detect(grey, None)
    found = sorted(found, key=lambda feature: feature.response, reverse=True)
    # A feature of several orientations is reported several times.
    pixels = dict.fromkeys((int(feature.pt[0]), int(feature.pt[1])) for feature in found)
    return np.array(list(pixels), np.float32).reshape(-1, 2)
