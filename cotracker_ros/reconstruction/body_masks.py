"""Which pixels of a depth image see something that moves and must stay out of a map of what stands still."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.poses import invert_pose, transform_points
from cotracker_ros.reconstruction.scene import RigidBodies, RigidBody
from cotracker_ros.reconstruction.types import DepthSource, PointMotion, Tracks3D

_BORDER = np.ones((5, 5), np.uint8)  # px: around edges, depths are mixed from both sides
_FAR_OUTSIDE = 10  # image sizes: corners farther out are drawn there, where OpenCV can count the pixels


@dataclass(frozen=True)
class MaskConfig:
    """How far around the tracked points of a moving thing its surface is looked for.

    Attributes:
        margin: Sideways, m.
        depth_margin: Before the nearest and behind the farthest of its points, m.
    """

    margin: float = 0.06
    depth_margin: float = 0.06

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"the mask's {item.name} is {value} m: give a positive number")


def moving_points(tracks: Tracks3D) -> NDArray[np.float64]:
    """Return the positions (M, 3), m, of the tracks that move, in the frame of `tracks`."""
    moving = (tracks.motion == PointMotion.MOVING) & (tracks.source != DepthSource.NONE)
    return tracks.xyz[moving].astype(np.float64)


def moving_mask(
    depth: NDArray[np.float32],
    camera: CameraModel,
    fixed_from_camera: ArrayLike,
    bodies: RigidBodies | None,
    points: ArrayLike = (),
    config: MaskConfig | None = None,
) -> NDArray[np.bool_]:
    """Mark the pixels of moving bodies and around single moving points.

    A body is looked for in the convex hull of its points in the image, widened by the margin, and at the
    depths of its points, so that what lies behind it or before it stays.

    Args:
        depth: (H, W) float32, m; NaN and zero are invalid and never marked for their own sake.
        camera: Model of the view, at any resolution.
        fixed_from_camera: (4, 4) pose of the camera in the fixed frame, m.
        bodies: The bodies when the image was taken, in the fixed frame; None: there are none.
        points: (M, 3) moving points in the fixed frame, m.
        config: How far around.

    Returns:
        (H, W) bool.
    """
    config = config or MaskConfig()
    view = camera.scaled(depth.shape[1], depth.shape[0])
    camera_from_fixed = invert_pose(fixed_from_camera)
    marked: NDArray[np.uint8] = np.zeros(depth.shape, np.uint8)
    for body in bodies.bodies if bodies is not None else ():
        _mark(marked, depth, view, _in_camera(body, camera_from_fixed), config)
    singles = np.asarray(points, np.float64).reshape(-1, 3)
    for point in transform_points(camera_from_fixed, singles):
        _mark(marked, depth, view, point[None], config)
    return np.asarray(cv2.dilate(marked, _BORDER) > 0)


def _in_camera(body: RigidBody, camera_from_fixed: NDArray[np.float64]) -> NDArray[np.float64]:
    return transform_points(camera_from_fixed @ body.pose, body.points)


def _mark(
    marked: NDArray[np.uint8],
    depth: NDArray[np.float32],
    view: CameraModel,
    points: NDArray[np.float64],
    config: MaskConfig,
) -> None:
    """Mark, in place, what has the depth of `points` (M, 3), in the camera's frame, and lies around them."""
    xy = view.project(points)
    seen = np.isfinite(xy).all(axis=1)
    if not seen.any():
        return
    z = points[seen, 2]
    size = np.array(view.size)
    corners = np.rint(np.clip(xy[seen], -_FAR_OUTSIDE * size, _FAR_OUTSIDE * size)).astype(np.int32)
    radius = int(min(np.ceil(config.margin * view.K[0, 0] / z.min()), size.max()))
    low, high = corners.min(axis=0) - radius, corners.max(axis=0) + radius + 1
    left, top = np.clip(low, 0, size)
    right, bottom = np.clip(high, 0, size)
    if left >= right or top >= bottom:
        return
    region = np.zeros((bottom - top, right - left), np.uint8)
    hull = cv2.convexHull((corners - (left, top)).astype(np.int32))
    cv2.fillPoly(region, [hull], 1)
    # A thick line has round ends, so this widens the hull by a disc.
    cv2.polylines(region, [hull], True, 1, thickness=2 * radius + 1)
    part = depth[top:bottom, left:right]
    near = (part >= z.min() - config.depth_margin) & (part <= z.max() + config.depth_margin)
    marked[top:bottom, left:right] |= region & near.astype(np.uint8)
