"""A scene as RViz markers: few of them, however many tracks there are, each kind in its own namespace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.messages.header import header_fields
from cotracker_ros.reconstruction.scene import Odometry, RigidBodies, RigidBody
from cotracker_ros.reconstruction.types import PointMotion, Tracks3D
from cotracker_ros.visualization.scene_history import SceneView
from cotracker_ros.visualization.scene_style import (
    AXIS_COLOURS,
    MOTION_COLOURS,
    PATH_COLOUR,
    body_axes,
    body_colour,
    body_name,
    box_edges,
    name_place,
    segments,
)

Marker = dict[str, Any]

# visualization_msgs/Marker's numbers of shapes and actions.
_LINE_LIST = 5
_SPHERE_LIST = 7
_TEXT = 9
_DELETE_ALL = 3
_IDENTITY = {"orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}}
_TRAIL_WIDTH = 0.004  # m
_POINT_SIZE = 0.02  # m
_BODY_WIDTH = 0.006  # m
_PATH_WIDTH = 0.01  # m
_TEXT_HEIGHT = 0.1  # m, to be read from some metres away
_PREDICTED = 0.4  # opacity of what was not measured in this image


def scene_marker_fields(view: SceneView) -> dict[str, Any]:
    """Return the fields of visualization_msgs/MarkerArray for all of a scene.

    The first marker deletes those of earlier messages, so that nothing stale stays, also when a message got
    lost. The namespaces: trails_static, trails_moving, trails_unknown, points, ids (of labelled tracks),
    bodies (the boxes of their points), body_axes, body_names, camera_path.
    """
    scene = view.scene
    markers = trail_markers(view.trails(), scene.tracks) + id_markers(scene.tracks)
    if scene.bodies is not None:
        markers += body_markers(scene.bodies)
    if scene.odometry is not None:
        markers += path_markers(view.path, scene.odometry)
    return {"markers": [{"action": _DELETE_ALL}, *markers]}


def trail_markers(trails: NDArray[np.floating[Any]], tracks: Tracks3D) -> list[Marker]:
    """Return trails as lines, coloured by motion, and the newest positions as spheres in their own colour.

    Args:
        trails: (T, N, 3) positions of the tracks, m, oldest first; NaN where one has none.
        tracks: The N tracks at the newest image.
    """
    shared = _shared(tracks.stamp, tracks.frame_id)
    markers = []
    for motion in PointMotion:
        ends, _ = segments(trails[:, tracks.motion == motion])
        name = f"trails_{motion.name.lower()}"
        markers += _lines(shared, name, ends, _TRAIL_WIDTH, _rgba(MOTION_COLOURS[motion]))
    known = np.isfinite(tracks.xyz).all(axis=1)
    if known.any():
        spheres = {
            "ns": "points",
            "type": _SPHERE_LIST,
            "scale": dict.fromkeys("xyz", _POINT_SIZE),
            "points": tracks.xyz[known],
            "colors": np.column_stack([tracks.rgb[known] / 255.0, np.ones(known.sum())]),
        }
        markers.append(shared | spheres)
    return markers


def id_markers(tracks: Tracks3D) -> list[Marker]:
    """Return id and label of the labelled tracks as text; hundreds of unlabelled ones nobody could read."""
    shared = _shared(tracks.stamp, tracks.frame_id)
    return [
        _text(shared, "ids", number, f"{number} {label}", place, (235, 235, 235), _TEXT_HEIGHT / 2)
        for number, label, place in zip(tracks.ids.tolist(), tracks.labels, tracks.xyz.tolist(), strict=True)
        if label and np.isfinite(place).all()
    ]


def body_markers(bodies: RigidBodies) -> list[Marker]:
    """Return axes, name and the box of its points of each body; predicted ones are faint."""
    shared = _shared(bodies.stamp, bodies.frame_id)
    boxes = [box_edges(body) for body in bodies.bodies]
    axes = [body_axes(body) for body in bodies.bodies]
    box_colours = _for_ends(bodies.bodies, [[body_colour(body.id)] * 12 for body in bodies.bodies])
    axis_colours = _for_ends(bodies.bodies, [AXIS_COLOURS] * len(axes))
    return [
        *_lines(shared, "bodies", _joined(boxes), _BODY_WIDTH, colours=box_colours),
        *_lines(shared, "body_axes", _joined(axes), 2 * _BODY_WIDTH, colours=axis_colours),
        *(
            _text(
                shared,
                "body_names",
                body.id,
                body_name(body),
                name_place(body, _TEXT_HEIGHT).tolist(),
                body_colour(body.id),
            )
            for body in bodies.bodies
        ),
    ]


def path_markers(path: NDArray[np.float64], odometry: Odometry) -> list[Marker]:
    """Return the path of the camera as lines.

    Args:
        path: (K, 3) positions in the odometry's fixed frame, m; a row of NaN is a gap.
        odometry: The newest.
    """
    ends, _ = segments(path[:, None])
    shared = _shared(odometry.stamp, odometry.frame_id)
    return _lines(shared, "camera_path", ends, _PATH_WIDTH, _rgba(PATH_COLOUR))


def _shared(stamp: int, frame_id: str) -> Marker:
    return {"header": header_fields(stamp, frame_id), "pose": _IDENTITY, "frame_locked": False}


def _lines(
    shared: Marker,
    name: str,
    ends: NDArray[np.floating[Any]],
    width: float,
    colour: Marker | None = None,
    colours: NDArray[np.float64] | None = None,
) -> list[Marker]:
    """Return one LINE_LIST of (M, 2, 3) ends, or none where there are no lines: RViz calls that an error."""
    if not len(ends):
        return []
    marker = {
        "ns": name,
        "type": _LINE_LIST,
        "scale": {"x": width, "y": 0.0, "z": 0.0},
        "points": ends.reshape(-1, 3),
    }
    paint = {"color": colour} if colours is None else {"colors": colours}
    return [shared | marker | paint]


def _text(
    shared: Marker,
    name: str,
    number: int,
    text: str,
    place: Sequence[float],
    rgb: ArrayLike,
    height: float = _TEXT_HEIGHT,
) -> Marker:
    marker = {
        "ns": name,
        "id": number % (1 << 31),  # int32 in the message
        "type": _TEXT,
        "scale": {"x": 0.0, "y": 0.0, "z": height},
        "pose": _IDENTITY | {"position": dict(zip("xyz", place, strict=True))},
        "color": _rgba(rgb),
        "text": text,
    }
    return shared | marker


def _rgba(rgb: ArrayLike, opacity: float = 1.0) -> Marker:
    red, green, blue = (np.asarray(rgb) / 255.0).tolist()
    return {"r": red, "g": green, "b": blue, "a": opacity}


def _for_ends(bodies: Iterable[RigidBody], rgb: Sequence[Any]) -> NDArray[np.float64]:
    """Return (2M, 4) colours of the ends of all bodies' lines, from the RGB of each line of each body."""
    rows = [
        np.column_stack([np.array(lines) / 255.0, np.full(len(lines), _PREDICTED if body.predicted else 1.0)])
        for body, lines in zip(bodies, rgb, strict=True)
    ]
    return np.repeat(np.concatenate(rows), 2, axis=0) if rows else np.zeros((0, 4))


def _joined(lines: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(lines) if lines else np.zeros((0, 2, 3))
