"""Drift: does what a teacher points at still look like what was asked for?

A tracker that slides onto something else slides back as well, and comes home none the wiser. Lucas-Kanade
that goes straight from a frame to the query's image, without the frames between, does not.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_WINDOW = (21, 21)
_LEVELS = 1


def drift_errors(
    frames: NDArray[np.uint8],
    queries: NDArray[np.float32],
    xy: NDArray[np.floating],
    sees: NDArray[np.bool_],
) -> NDArray[np.floating]:
    """Match points straight back to the images of their queries.

    Args:
        frames: (T, H, W, 3) uint8, RGB.
        queries: (N, 3) as t, x, y.
        xy: (T, N, 2) positions, px.
        sees: (T, N) bool, which of them are looked at.

    Returns:
        (T, N) distance by which the match misses the query, px; infinite where there is none.
    """
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in frames]
    time = queries[:, 0].astype(int)
    error = np.full(sees.shape, np.inf)
    for query_frame in np.unique(time):
        mine = time == query_frame
        for frame in range(len(frames)):
            rows = np.flatnonzero(mine & sees[frame])
            if len(rows):
                start, home = xy[frame, rows], queries[rows, 1:]
                error[frame, rows] = _missed_by(grey[frame], grey[query_frame], start, home)
    return error


def _missed_by(
    image: NDArray[np.uint8],
    query_image: NDArray[np.uint8],
    start: NDArray[np.floating],
    home: NDArray[np.float32],
) -> NDArray[np.floating]:
    """(n,) distance, px, from ``home`` to where Lucas-Kanade, looking there first, finds ``start`` again."""
    found_at, found, _ = cv2.calcOpticalFlowPyrLK(
        image,
        query_image,
        start.astype(np.float32).reshape(-1, 1, 2),
        home.reshape(-1, 1, 2).copy(),  # where it begins to look; overwritten
        winSize=_WINDOW,
        maxLevel=_LEVELS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    distance = np.linalg.norm(np.asarray(found_at)[:, 0] - home, axis=1)
    return np.where(np.asarray(found)[:, 0] > 0, distance, np.inf)
