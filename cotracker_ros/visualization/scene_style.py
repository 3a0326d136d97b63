"""Colours and shapes of 3D scenes, the same in every viewer."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.scene import RigidBody
from cotracker_ros.reconstruction.types import PointMotion

MOTION_COLOURS = {  # RGB of trails
    PointMotion.STATIC: (70, 150, 190),
    PointMotion.MOVING: (255, 140, 30),
    PointMotion.UNKNOWN: (130, 130, 130),
}
AXIS_COLOURS = ((220, 50, 50), (60, 180, 60), (60, 90, 230))  # x, y, z
PATH_COLOUR = (240, 220, 60)
AXIS_LENGTH = 0.15  # m, of a body's drawn axes

_GOLDEN = 0.618034  # turns of the hue from body to body: any few in a row are easy to tell apart
_PALETTE = np.array(
    [[round(255 * c) for c in colorsys.hsv_to_rgb(i * _GOLDEN % 1.0, 0.65, 1.0)] for i in range(64)], np.uint8
)
_THIN = 0.005  # m: half of the least edge of a box, as bodies seen from one side are flat
# Corners of a box, in units of its half edges, and the pairs of them that its edges join.
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
_EDGES = np.array([(a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit])


def body_colour(number: int) -> tuple[int, int, int]:
    """Return the RGB colour of the body with that id."""
    red, green, blue = _PALETTE[number % len(_PALETTE)].tolist()
    return red, green, blue


def id_colours(ids: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return (N, 3) RGB colours by which tracks are told apart in an image."""
    return _PALETTE[ids % len(_PALETTE)]


def body_name(body: RigidBody) -> str:
    """Return what is written beside a body: its id, its label, and whether it is only predicted."""
    name = f"{body.id} {body.label}".strip()
    return f"{name} (predicted)" if body.predicted else name


def body_box(body: RigidBody) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the box around the points of a body, along the axes of its own frame (no convex hull).

    Returns:
        (3,) middle and (3,) half edges in the body's frame, m.
    """
    points = body.points[np.isfinite(body.points).all(axis=1)]
    if not len(points):
        return np.zeros(3), np.full(3, _THIN)
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, np.maximum((high - low) / 2, _THIN)


def box_corners(body: RigidBody) -> NDArray[np.float64]:
    """Return the corners of `body_box`, (8, 3) in the fixed frame, m."""
    middle, half = body_box(body)
    return transform_points(body.pose, middle + _CORNERS * half)


def name_place(body: RigidBody, height: float) -> NDArray[np.float64]:
    """Return the middle of a body's name: outside the box, by the name's height, so that nothing crosses it.

    Args:
        body: The body.
        height: Height of the letters, m.

    Returns:
        (3,) position in the fixed frame, m.
    """
    corners = box_corners(body)
    outward = corners[-1] - corners.mean(axis=0)
    return corners[-1] + height * outward / np.linalg.norm(outward)


def box_edges(body: RigidBody) -> NDArray[np.float64]:
    """Return both ends of the edges of `body_box`, (12, 2, 3) in the fixed frame, m."""
    return box_corners(body)[_EDGES]


def body_axes(body: RigidBody) -> NDArray[np.float64]:
    """Return both ends of a body's axes x, y, z, (3, 2, 3) in the fixed frame, m."""
    origin = body.pose[:3, 3]
    tips = origin + AXIS_LENGTH * body.pose[:3, :3].T
    return np.stack([np.broadcast_to(origin, (3, 3)), tips], axis=1)


def segments(lines: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    """Cut polylines into segments, with nothing where a position is unknown.

    Args:
        lines: (T, N, 3) positions of N lines, oldest first; NaN where there is none.

    Returns:
        (M, 2, 3) ends of the segments and (M,) the line of each.
    """
    known = np.isfinite(lines).all(axis=2)
    step, line = np.nonzero(known[:-1] & known[1:])
    return np.stack([lines[step, line], lines[step + 1, line]], axis=1), line
