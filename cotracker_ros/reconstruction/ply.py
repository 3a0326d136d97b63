"""Point clouds and meshes as PLY files that MeshLab, CloudCompare and Open3D open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "<i2",
    "ushort": "<u2",
    "int": "<i4",
    "uint": "<u4",
    "float": "<f4",
    "double": "<f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "float32": "<f4",
    "float64": "<f8",
}
_MAX_HEADER_LINES = 1000


class PlyError(ValueError):
    """The file is not a PLY file that can be read here; the message is one sentence."""


@dataclass(frozen=True, eq=False)
class PlyCloud:
    """The vertices of a PLY file.

    Attributes:
        xyz: (N, 3) float32, m.
        rgb: (N, 3) uint8, or None when the file has no colours.
        fields: All other properties by name, (N,) each.
    """

    xyz: NDArray[np.float32]
    rgb: NDArray[np.uint8] | None
    fields: dict[str, NDArray[np.generic]]


def write_ply(
    path: str | Path,
    xyz: ArrayLike,
    rgb: ArrayLike | None = None,
    fields: Mapping[str, ArrayLike] | None = None,
    triangles: ArrayLike | None = None,
) -> None:
    """Write a point cloud or mesh as binary little-endian PLY; points of a cloud with NaN are left out.

    The file appears whole or not at all: a full disk does not leave half a cloud under the name.

    Args:
        path: File to write; its folder is made when missing.
        xyz: (N, 3) m.
        rgb: (N, 3) colours, 0 to 255.
        fields: Further numbers by name, (N,) each, stored as float.
        triangles: (F, 3) rows of `xyz`, for a mesh; then all points must be finite.

    Raises:
        ValueError: The arrays have different lengths or wrong shapes, or a triangle has a corner that is no
            point.
        OSError: The file cannot be written; the message is one sentence.
    """
    vertices = _vertices(xyz, rgb, fields or {})
    names = {"<f4": "float", "|u1": "uchar"}
    layout = vertices.dtype
    properties = [f"property {names[layout[name].str]} {name}" for name in layout.names or ()]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}", *properties]
    data = vertices.tobytes()
    if triangles is not None:
        faces = _faces(triangles, len(np.asarray(xyz)), len(vertices))
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
        data += faces.tobytes()
    target = Path(path)
    partial = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(("\n".join(header) + "\nend_header\n").encode("ascii"))
            file.write(data)
        os.replace(partial, target)
    except OSError as error:
        if partial.is_file():
            partial.unlink()
        kind = "point cloud" if triangles is None else "mesh"
        raise OSError(f"cannot write the {kind} {target}: {error.strerror or error}") from error


def read_ply(path: str | Path) -> PlyCloud:
    """Read the vertices of a binary little-endian PLY file.

    Raises:
        OSError: The file cannot be read; the message is one sentence.
        PlyError: It is no PLY file, of another format, or cut short.
    """
    source = Path(path)
    try:
        with source.open("rb") as file:
            count, layout = _read_header(file, source)
            data = file.read(count * layout.itemsize)
    except OSError as error:
        raise OSError(f"cannot read the point cloud {source}: {error.strerror or error}") from error
    if len(data) < count * layout.itemsize:
        raise PlyError(f"{source} ends before its {count} points: it was cut short")
    vertices = np.frombuffer(data, dtype=layout, count=count)
    names = layout.names or ()
    if not {"x", "y", "z"} <= set(names):
        raise PlyError(f"{source} has no x, y, z: it is no point cloud")
    colour = ("red", "green", "blue")
    coloured = set(colour) <= set(names)
    rgb = np.stack([vertices[name] for name in colour], axis=1).astype(np.uint8) if coloured else None
    others = [name for name in names if name not in ("x", "y", "z") and not (coloured and name in colour)]
    return PlyCloud(
        np.stack([vertices[name] for name in "xyz"], axis=1).astype(np.float32),
        rgb,
        {name: vertices[name].copy() for name in others},
    )


def _vertices(xyz: ArrayLike, rgb: ArrayLike | None, fields: Mapping[str, ArrayLike]) -> NDArray[np.void]:
    points = np.asarray(xyz, dtype=np.float32)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"the points have the shape {points.shape}: give (N, 3)")
    columns: list[tuple[str, str, NDArray[np.generic]]] = [
        (name, "<f4", points[:, axis]) for axis, name in enumerate("xyz")
    ]
    if rgb is not None:
        colours = np.asarray(rgb)
        if colours.shape != points.shape:
            raise ValueError(f"the colours have the shape {colours.shape}: give {points.shape}")
        columns += [(name, "|u1", colours[:, axis]) for axis, name in enumerate(("red", "green", "blue"))]
    for name, values in fields.items():
        numbers = np.asarray(values)
        if numbers.shape != points.shape[:1]:
            raise ValueError(f"the field {name!r} has the shape {numbers.shape}: give {points.shape[:1]}")
        if not name.isidentifier() or any(name == known for known, _, _ in columns):
            raise ValueError(f"{name!r} cannot name a field: give another name, without spaces")
        columns.append((name, "<f4", numbers))
    finite = np.isfinite(points).all(axis=1)
    vertices = np.zeros(int(finite.sum()), dtype=[(name, kind) for name, kind, _ in columns])
    for name, _, numbers in columns:
        vertices[name] = numbers[finite]
    return vertices


def _faces(triangles: ArrayLike, points: int, finite: int) -> NDArray[np.void]:
    corners = np.asarray(triangles)
    if corners.ndim != 2 or corners.shape[1] != 3:
        raise ValueError(f"the triangles have the shape {corners.shape}: give (F, 3)")
    if finite < points or (corners.size and not (corners.min() >= 0 and corners.max() < points)):
        raise ValueError(f"a triangle has a corner that is none of the {points} points, or one is not finite")
    faces = np.zeros(len(corners), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, corners
    return faces


def _read_header(file: BinaryIO, source: Path) -> tuple[int, np.dtype[np.void]]:
    """Return the number of vertices and how one is laid out; the file stands at the first one."""
    if file.readline(16).strip() != b"ply":
        raise PlyError(f"{source} is no PLY file")
    count: int | None = None
    layout: list[tuple[str, str]] = []
    element = ""
    for _ in range(_MAX_HEADER_LINES):
        words = file.readline(1000).decode("ascii", "replace").split()
        if words == ["end_header"]:
            break
        if words[:1] == ["format"] and words[1:2] != ["binary_little_endian"]:
            raise PlyError(f"{source} is not binary little-endian: convert it")
        if words[:1] == ["element"] and len(words) == 3:
            if words[1] != "vertex" and count is None:
                raise PlyError(f"the first element of {source} is {words[1]!r} and not its vertices")
            element = words[1]
            count = int(words[2]) if element == "vertex" and words[2].isdigit() else count
        if words[:1] == ["property"] and element == "vertex":
            if len(words) != 3 or words[1] not in _TYPES:
                raise PlyError(f"{source} has a vertex property that is no number: {' '.join(words)!r}")
            layout.append((words[2], _TYPES[words[1]]))
    else:
        raise PlyError(f"{source} has no end of its header: it is no PLY file or cut short")
    if count is None or not layout or len({name for name, _ in layout}) < len(layout):
        raise PlyError(f"{source} describes no vertices that can be read")
    return count, np.dtype(layout)
