"""PointCloud2 with colour, and with ids, velocities, motion flags and uncertainty where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.messages.arrays import byte_view
from cotracker_ros.messages.errors import MessageError
from cotracker_ros.messages.header import header_fields, stamp_ns
from cotracker_ros.reconstruction.static_map import MapPoints
from cotracker_ros.reconstruction.types import Tracks3D

# PointField's numbers of datatypes.
_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_NUMBERS = {name: number for number, name in _DATATYPES.items()}


@dataclass(frozen=True, eq=False)
class Cloud:
    """A coloured point cloud.

    Attributes:
        stamp: ns.
        frame_id: Frame of `xyz` and `velocity`.
        xyz: (N, 3) float32, m; NaN rows are points whose position is unknown.
        rgb: (N, 3) uint8; black where the message has no colours.
        ids: (N,) uint32 track ids, or None.
        velocity: (N, 3) float32, m/s, or None.
        motion: (N,) uint8, values of `PointMotion`, or None.
        sigma: (N,) float32, one standard deviation, m, or None.
    """

    stamp: int
    frame_id: str
    xyz: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    ids: NDArray[np.uint32] | None = None
    velocity: NDArray[np.float32] | None = None
    motion: NDArray[np.uint8] | None = None
    sigma: NDArray[np.float32] | None = None


def point_cloud_fields(
    xyz: ArrayLike,
    rgb: ArrayLike,
    ids: ArrayLike | None = None,
    velocity: ArrayLike | None = None,
    motion: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    *,
    stamp: int,
    frame_id: str,
) -> dict[str, Any]:
    """Return the fields of sensor_msgs/PointCloud2: x, y, z, rgb and what else is given.

    Further fields are id, vx, vy, vz, motion and sigma.

    The colour is packed as 0x00RRGGBB into a float32, as RViz and PCL read it. The motion is a uint32, so
    that every field takes four bytes, which filters for point clouds expect.

    Args:
        xyz: (N, 3) m; NaN rows are kept (and `is_dense` is false then).
        rgb: (N, 3) uint8.
        ids: (N,) track ids.
        velocity: (N, 3) m/s.
        motion: (N,) values of `PointMotion`.
        sigma: (N,) standard deviations, m.
        stamp: ns.
        frame_id: Frame of the points.
    """
    points = np.asarray(xyz, dtype=np.float32).reshape(-1, 3)
    columns: list[tuple[str, str, NDArray[Any]]] = [
        (name, "f4", points[:, i]) for i, name in enumerate("xyz")
    ]
    columns.append(("rgb", "f4", _packed_colour(rgb)))
    if ids is not None:
        columns.append(("id", "u4", np.asarray(ids, dtype=np.uint32)))
    if velocity is not None:
        speeds = np.asarray(velocity, dtype=np.float32).reshape(-1, 3)
        columns += [(f"v{name}", "f4", speeds[:, i]) for i, name in enumerate("xyz")]
    if motion is not None:
        columns.append(("motion", "u4", np.asarray(motion, dtype=np.uint32)))
    if sigma is not None:
        columns.append(("sigma", "f4", np.asarray(sigma, dtype=np.float32)))
    table = np.empty(len(points), dtype=[(name, kind) for name, kind, _ in columns])
    for name, _, values in columns:
        table[name] = values
    return {
        "header": header_fields(stamp, frame_id),
        "height": 1,
        "width": len(points),
        "fields": [
            {"name": name, "offset": 4 * i, "datatype": _NUMBERS[kind], "count": 1}
            for i, (name, kind, _) in enumerate(columns)
        ],
        "is_bigendian": False,
        "point_step": table.itemsize,
        "row_step": table.itemsize * len(points),
        "data": table.view(np.uint8).reshape(-1),
        "is_dense": bool(np.isfinite(points).all()),
    }


def track_cloud_fields(tracks: Tracks3D) -> dict[str, Any]:
    """Return the fields of sensor_msgs/PointCloud2 for the 3D tracks whose position is known."""
    known = np.isfinite(tracks.xyz).all(axis=1)
    return point_cloud_fields(
        tracks.xyz[known],
        tracks.rgb[known],
        tracks.ids[known],
        tracks.velocity[known],
        tracks.motion[known],
        tracks.sigma[known],
        stamp=tracks.stamp,
        frame_id=tracks.frame_id,
    )


def map_cloud_fields(points: MapPoints, *, stamp: int, frame_id: str) -> dict[str, Any]:
    """Return the fields of sensor_msgs/PointCloud2 for a map; sigma is that of the least certain direction.

    Args:
        points: The map.
        stamp: ns.
        frame_id: Frame of the map.
    """
    return point_cloud_fields(points.xyz, points.rgb, sigma=points.sigma, stamp=stamp, frame_id=frame_id)


def cloud_from_message(message: Any) -> Cloud:
    """Return the points of a sensor_msgs/PointCloud2.

    Raises:
        MessageError: It has no x, y, z, a field has an unknown datatype, or data is missing.
    """
    table = _table(message)
    names = table.dtype.names or ()
    missing = [name for name in "xyz" if name not in names]
    if missing:
        raise MessageError(f"the point cloud has no field '{missing[0]}', only {', '.join(names) or 'none'}")
    colour = _unpacked_colour(table["rgb"]) if "rgb" in names else np.zeros((len(table), 3), np.uint8)
    moving = all(name in names for name in ("vx", "vy", "vz"))
    return Cloud(
        stamp=stamp_ns(message.header.stamp),
        frame_id=str(message.header.frame_id),
        xyz=_columns(table, ("x", "y", "z")),
        rgb=colour,
        ids=table["id"].astype(np.uint32) if "id" in names else None,
        velocity=_columns(table, ("vx", "vy", "vz")) if moving else None,
        motion=table["motion"].astype(np.uint8) if "motion" in names else None,
        sigma=table["sigma"].astype(np.float32) if "sigma" in names else None,
    )


def _table(message: Any) -> NDArray[Any]:
    order = ">" if message.is_bigendian else "<"
    try:
        dtype = np.dtype(
            {
                "names": [field.name for field in message.fields],
                "formats": [order + _DATATYPES[int(field.datatype)] for field in message.fields],
                "offsets": [int(field.offset) for field in message.fields],
                "itemsize": int(message.point_step),
            }
        )
    except (KeyError, ValueError) as error:
        raise MessageError(f"the fields of the point cloud make no sense: {error}") from error
    shape = int(message.height), int(message.width)
    data = byte_view(message.data)
    needed = (shape[0] - 1) * int(message.row_step) + shape[1] * dtype.itemsize if min(shape) else 0
    if len(data) < needed or (shape[0] > 1 and int(message.row_step) < shape[1] * dtype.itemsize):
        raise MessageError(f"the point cloud is truncated: it needs {needed} bytes, but holds {len(data)}")
    if not needed:
        return np.empty(0, dtype)
    return np.ndarray(shape, dtype, data, strides=(int(message.row_step), dtype.itemsize)).reshape(-1)


def _columns(table: NDArray[Any], names: tuple[str, ...]) -> NDArray[np.float32]:
    return np.column_stack([table[name].astype(np.float32) for name in names])


def _packed_colour(rgb: ArrayLike) -> NDArray[np.float32]:
    colour = np.asarray(rgb, dtype=np.uint32).reshape(-1, 3)
    packed = (colour[:, 0] << 16) | (colour[:, 1] << 8) | colour[:, 2]
    return packed.astype(np.uint32).view(np.float32)


def _unpacked_colour(packed: NDArray[Any]) -> NDArray[np.uint8]:
    bits = np.ascontiguousarray(packed.astype(packed.dtype.newbyteorder("="))).view(np.uint32)
    return np.column_stack([(bits >> shift) & 255 for shift in (16, 8, 0)]).astype(np.uint8)
