"""Trails as RViz markers: two markers however many tracks there are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.messages.header import header_fields

# visualization_msgs/Marker's numbers of shapes.
_LINE_LIST = 5
_SPHERE_LIST = 7
_IDENTITY = {"orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}}


def trail_marker_fields(
    trails: NDArray[np.floating[Any]],
    rgb: NDArray[np.uint8],
    *,
    stamp: int,
    frame_id: str,
    line_width: float = 0.004,
    point_size: float = 0.02,
) -> dict[str, Any]:
    """Return the fields of visualization_msgs/MarkerArray: trails as lines, newest positions as spheres.

    Args:
        trails: (T, N, 3) positions in ``frame_id``, m, oldest first; NaN where a track has none.
        rgb: (N, 3) uint8 colours.
        stamp: ns.
        frame_id: Frame of the positions.
        line_width: m.
        point_size: Diameter of the spheres, m.
    """
    known = np.isfinite(trails).all(axis=2)
    step, track = np.nonzero(known[:-1] & known[1:])
    # A LINE_LIST takes its points in pairs.
    ends = np.stack([trails[step, track], trails[step + 1, track]], axis=1).reshape(-1, 3)
    (heads,) = np.nonzero(known[-1]) if len(trails) else (np.zeros(0, np.intp),)
    colours = np.column_stack([rgb / 255.0, np.ones(len(rgb))])
    shared = {"header": header_fields(stamp, frame_id), "pose": _IDENTITY, "frame_locked": False}
    lines = {
        "ns": "trails",
        "type": _LINE_LIST,
        "scale": {"x": line_width, "y": 0.0, "z": 0.0},
        "points": ends,
        "colors": np.repeat(colours[track], 2, axis=0),
    }
    points = {
        "ns": "points",
        "type": _SPHERE_LIST,
        "scale": {"x": point_size, "y": point_size, "z": point_size},
        "points": trails[-1, heads] if len(trails) else np.zeros((0, 3)),
        "colors": colours[heads],
    }
    return {"markers": [shared | lines, shared | points]}
