"""Which surface each pixel sees, and how far away it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.motion import Matrix
from cotracker_ros.synthetic.scene import Intrinsics
from cotracker_ros.synthetic.surfaces import Components, Surface

NEAR = 0.05  # m; nothing may come nearer to the camera

Region = tuple[int, int, int, int]  # left, top, right, bottom, px; right and bottom excluded


def ray_directions(
    surface_from_camera: Matrix, view: Intrinsics, x: NDArray[Any], y: NDArray[Any]
) -> Components:
    """Return rays (z = 1 in the optical frame) in a surface's frame, components (len(y), len(x)) float32.

    Args:
        surface_from_camera: (4, 4) pose.
        view: The camera.
        x: Pixel columns.
        y: Pixel rows.
    """
    r = surface_from_camera[:3, :3]
    right = ((x - view.cx) / view.fx)[None, :]
    down = ((y - view.cy) / view.fy)[:, None]
    dx, dy, dz = (
        np.add((r[i, 0] * right).astype(np.float32), (r[i, 1] * down + r[i, 2]).astype(np.float32))
        for i in range(3)
    )
    return dx, dy, dz


def region_of(surface: Surface, surface_from_camera: Matrix, view: Intrinsics) -> Region | None:
    """Return the part of the image that a surface can cover, None where it cannot be seen."""
    if not surface.sees(surface_from_camera[:3, 3]):
        return None
    offset = surface.corners - surface_from_camera[:3, 3]
    corners = offset @ surface_from_camera[:3, :3]
    corners = _in_front(corners)
    if len(corners) == 0:
        return None
    xy = corners[:, :2] / corners[:, 2:] * (view.fx, view.fy) + (view.cx, view.cy)
    left, top = np.floor(xy.min(axis=0))
    right, bottom = np.ceil(xy.max(axis=0)) + 1
    region = max(0, int(left)), max(0, int(top)), min(view.width, int(right)), min(view.height, int(bottom))
    return region if region[0] < region[2] and region[1] < region[3] else None


def _in_front(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the part of a convex hull that lies beyond the near plane, and perhaps some inner points."""
    front = corners[:, 2] >= NEAR
    if front.all() or not front.any():
        return corners[front]
    a, b = corners[front][:, None], corners[~front][None]
    share = (NEAR - b[..., 2:]) / (a[..., 2:] - b[..., 2:])
    return np.concatenate([corners[front], (b + share * (a - b)).reshape(-1, 3)])


def cast_view(
    surfaces: Sequence[Surface],
    transforms: Matrix,
    view: Intrinsics,
    *,
    chosen: NDArray[np.bool_] | None = None,
    behind: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Find the nearest surface for the centre of each pixel.

    Args:
        surfaces: P shapes.
        transforms: (P, 4, 4) surface from camera.
        view: The camera.
        chosen: (P,) which shapes take part; None for all.
        behind: (H, W) depth to start from, for shapes that were cast before.

    Returns:
        (H, W) depth along the optical axis in m, inf where there is nothing; (H, W) index of the surface, -1
        where there is none.
    """
    shape = (view.height, view.width)
    depth = np.full(shape, np.inf, np.float32) if behind is None else behind.copy()
    index = np.full(shape, -1, np.int16)
    for i, (surface, transform) in enumerate(zip(surfaces, transforms, strict=True)):
        region = None if chosen is not None and not chosen[i] else region_of(surface, transform, view)
        if region is None:
            continue
        left, top, right, bottom = region
        rays = ray_directions(transform, view, np.arange(left, right), np.arange(top, bottom))
        # In single precision throughout: errors stay in the micrometres, and it is twice as fast.
        hit = surface.cast(transform[:3, 3].astype(np.float32), rays)
        known = depth[top:bottom, left:right]
        nearer = hit < known
        np.copyto(known, hit, where=nearer)
        index[top:bottom, left:right][nearer] = i
    return depth, index
