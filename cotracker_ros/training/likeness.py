"""Likeness: does the image look like the query's where a teacher says the point is, turned and scaled or not?

`drift` matches without any warp, which fails when the camera turns or comes near. Here the query's patch is
fitted with a warp, which goes on from image to image.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.tracking.affine import ALIKE, Patches, fit_affine, identity_warps
from cotracker_ros.tracking.polish import cut_patches


class Likeness(NamedTuple):
    """How alike the images are to those of the queries at N points in T frames.

    Attributes:
        alike: (T, N) float32, correlation of the fitted patch, 0 where nothing was looked at.
        moved: (T, N) distance from the point to where the patch fits, px; infinite where it does not.
    """

    alike: NDArray[np.float32]
    moved: NDArray[np.floating]


def likeness(
    frames: NDArray[np.uint8],
    queries: NDArray[np.float32],
    xy: NDArray[np.floating],
    looked: NDArray[np.bool_],
) -> Likeness:
    """Fit the queries' patches to the images at given places.

    Args:
        frames: (T, H, W, 3) uint8, RGB.
        queries: (N, 3) as t, x, y.
        xy: (T, N, 2) positions, px.
        looked: (T, N) bool, which of them are looked at.
    """
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in frames]
    patches, time = _patches(grey, queries), queries[:, 0].astype(int)
    found = Likeness(np.zeros(looked.shape, np.float32), np.full(looked.shape, np.inf))
    for way in (range(len(frames)), range(len(frames) - 1, -1, -1)):
        warps = identity_warps(len(queries))
        for frame in way:
            mine = time <= frame if way.step > 0 else time > frame
            rows = np.flatnonzero(mine & looked[frame])
            start = xy[frame, rows].astype(np.float32)
            fit = fit_affine(patches.take(rows), grey[frame], start, warps[rows])
            fits = fit.alike > ALIKE
            warps[rows[fits]] = fit.warp[fits]
            found.alike[frame, rows] = fit.alike
            found.moved[frame, rows] = np.where(fits, np.linalg.norm(fit.xy - start, axis=1), np.inf)
    return found


def _patches(grey: list[NDArray[np.uint8]], queries: NDArray[np.float32]) -> Patches:
    cut = [cut_patches(grey[int(query[0])], query[None, 1:]) for query in queries]
    return Patches.around(*(np.concatenate(part) for part in zip(*cut, strict=True)))
