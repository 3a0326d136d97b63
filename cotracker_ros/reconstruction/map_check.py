"""Whether a depth image confirms points of a map or looks right through them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.poses import invert_pose, transform_points

_MARGIN = 0.05  # m: what is this much nearer than the depth image says is not there
_MARGIN_SHARE = 0.03  # ... or this share of the distance, as depth gets noisier
# Where the depth must agree, px: next to an edge the point may only have been placed a little off.
_AROUND = np.array([(0, 0), (-3, 0), (3, 0), (0, -3), (0, 3)])


def compare_with_depth(
    xyz: NDArray[np.float64],
    fixed_from_camera: NDArray[np.float64],
    camera: CameraModel,
    depth: NDArray[np.float32],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Look for points in a depth image.

    Args:
        xyz: (N, 3) points in the fixed frame, m.
        fixed_from_camera: (4, 4) pose of the camera, m.
        camera: Its model.
        depth: (H, W) m, registered to the camera, of any size of the same aspect ratio; NaN and zero are
            invalid.

    Returns:
        (N,) bool, the camera sees something further away where the point should be, and (N,) bool, it sees
        a surface where the point is. What is out of sight, hidden or without depth is neither.
    """
    through, there = np.zeros(len(xyz), bool), np.zeros(len(xyz), bool)
    points = transform_points(invert_pose(fixed_from_camera), xyz)
    height, width = depth.shape
    pixels = (camera.project(points) + 0.5) * [width / camera.width, height / camera.height] - 0.5
    inside = (pixels > 3) & (pixels < [width - 4, height - 4])  # false for NaN
    rows = np.flatnonzero(inside.all(axis=1))
    at = np.rint(pixels[rows]).astype(np.intp)[:, None] + _AROUND
    seen = depth[at[..., 1], at[..., 0]]
    z = points[rows, 2]
    margin = np.maximum(_MARGIN, _MARGIN_SHARE * z)
    through[rows] = (seen > (z + margin)[:, None]).all(axis=1)
    there[rows] = np.abs(seen[:, 0] - z) <= margin
    return through, there
