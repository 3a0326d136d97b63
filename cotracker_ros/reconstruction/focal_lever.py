"""How places in the fixed frame depend on the focal length that was taken for right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.rigid import skew


@dataclass(frozen=True, eq=False)
class FocalEffect:
    """What a focal length that may be off does to what the camera tells of one image.

    Attributes:
        by_focal: (6,) derivative of the `delta` of the camera's pose by the logarithm of the focal length; 0
            where somebody else knows the pose.
        sigma: Share by which the focal length may be off.
    """

    by_focal: NDArray[np.float64]
    sigma: float


def lever_of(
    xyz: NDArray[np.float64], pose: NDArray[np.float64], by_focal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how points seen by the camera move with the logarithm of the focal length, (M, 3) m.

    A longer one brings them nearer to the optical axis; then the camera's own pose changes.

    Args:
        xyz: (M, 3) of the points in the camera's optical frame, m.
        pose: (4, 4) fixed_from_camera.
        by_focal: (6,) see `FocalEffect`.
    """
    axes = pose[:3, :3].T
    matrix = axes @ skew(by_focal[3:]).T
    matrix[:2] -= axes[:2]
    return np.asarray(xyz @ matrix + by_focal[:3])


def carried(arm: NDArray[np.float64], by_focal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how points that the camera carries along move with it, (M, 3) m.

    Args:
        arm: (M, 3) from the camera to the points, in the axes of the fixed frame, m.
        by_focal: (6,) see `FocalEffect`.
    """
    return np.asarray(by_focal[:3] + arm @ skew(by_focal[3:]).T)
