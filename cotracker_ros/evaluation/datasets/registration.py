"""Depth images as another camera would have seen them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.poses import transform_points


def register_depth(
    depth: NDArray[np.float32],
    depth_camera: CameraModel,
    colour_camera: CameraModel,
    colour_from_depth: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Bring a depth image into the view of a colour camera beside it.

    Each reading goes to the pixel where the colour camera sees its point; the nearest of several wins, as it
    hides the others. Pixels that none goes to stay without depth.

    Args:
        depth: (H, W) m; 0 or NaN where nothing was measured.
        depth_camera: Of the depth image.
        colour_camera: Of the result.
        colour_from_depth: (4, 4) pose of the depth camera in the colour camera's frame, m.

    Returns:
        (H', W') float32, m, 0 where there is no reading.
    """
    rows, columns = np.nonzero(depth > 0)
    rays = depth_camera.unproject(np.column_stack([columns, rows]).astype(np.float64))
    points = transform_points(colour_from_depth, rays * depth[rows, columns, None])
    places = colour_camera.project(points)
    width, height = colour_camera.size
    seen = np.isfinite(places).all(axis=1) & (points[:, 2] > 0)
    column, row = np.rint(np.where(seen[:, None], places, -1)).astype(np.int64).T
    seen &= (column >= 0) & (column < width) & (row >= 0) & (row < height)
    far_first = np.flatnonzero(seen)[np.argsort(-points[seen, 2], kind="stable")]
    registered = np.zeros((height, width), np.float32)
    registered[row[far_first], column[far_first]] = points[far_first, 2]
    return registered
