"""Pyramidal Lucas-Kanade: how points move from one image to the next, and for which of them that is known."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.tracking.config import KltConfig

# How many followed points around a lost one say how it may have moved on.
NEIGHBOURS = 5
# What a point that does not come home loses of its confidence's logit.
NOT_HOME = 4.0
# Visibility times confidence below which a point is hidden: what Lucas-Kanade follows there is what hides it.
HIDDEN = 0.15


class Followed(NamedTuple):
    """Points followed from one image to the next.

    Attributes:
        xy: (N, 2) float32 positions in the next image, px.
        error: (N,) float32 how far following the point back misses its start, px; infinite if not found.
        home: (N,) bool, whether it comes home: the error is below `KltConfig.max_error`.
    """

    xy: NDArray[np.float32]
    error: NDArray[np.float32]
    home: NDArray[np.bool_]


def follow(
    first: NDArray[np.uint8], second: NDArray[np.uint8], xy: NDArray[np.float32], config: KltConfig
) -> Followed:
    """Follow points forward and back (Lucas and Kanade 1981; check by Kalal et al. 2010).

    Args:
        first: (H, W) grey image.
        second: (H, W) the next one.
        xy: (N, 2) positions in the first, px.
        config: Settings.
    """
    if not len(xy):
        return Followed(xy, np.zeros(0, np.float32), np.zeros(0, bool))
    forward, found = _flow(first, second, xy, config)
    back, found_back = _flow(second, first, forward, config)
    error = np.where(found & found_back, np.linalg.norm(back - xy, axis=1), np.inf).astype(np.float32)
    return Followed(forward, error, error < config.max_error)


def carry_on(
    xy: NDArray[np.float32], followed: Followed, belief: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Guess where points are in the next image: hidden ones and strays move as their neighbours did.

    Args:
        xy: (N, 2) positions in the first image, px.
        followed: What `follow` says of them.
        belief: (N,) visibility times confidence in the first image.

    Returns:
        (N, 2) float32 positions in the next image; where nobody can be relied on, points stay.
    """
    sure = followed.home & (belief > HIDDEN)
    guess = np.where(sure[:, None], followed.xy, xy).astype(np.float32)
    lost, known = np.flatnonzero(~sure), np.flatnonzero(sure)
    if len(lost) and len(known):
        squared = np.square(xy[lost, None] - xy[None, known]).sum(-1)
        count = min(NEIGHBOURS, len(known))
        nearest = np.argpartition(squared, count - 1, axis=1)[:, :count]
        moved = (followed.xy - xy)[known]
        guess[lost] += np.median(moved[nearest], axis=1)
    return guess


def _flow(
    first: NDArray[np.uint8], second: NDArray[np.uint8], xy: NDArray[np.float32], config: KltConfig
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        xy[:, None],
        np.empty(0),
        winSize=(config.window, config.window),
        maxLevel=config.levels,
    )
    return np.asarray(moved, np.float32)[:, 0], np.asarray(found)[:, 0] > 0
