"""What the reconstruction says about the tracks of one image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class DepthSource(IntEnum):
    """Where the depth of a 3D track came from (the values of ``Track3DArray.source``)."""

    NONE = 0  # never measured: the position is NaN
    MEASURED = 1  # measured in the depth image of this stamp
    HELD = 2  # no measurement now (occluded, hole, edge): last position held, sigma grows


class PointMotion(IntEnum):
    """Whether a 3D track moves in the fixed frame (the values of ``Track3DArray.motion``)."""

    UNKNOWN = 0  # not measured long enough, or too long ago, to tell
    STATIC = 1
    MOVING = 2


@dataclass(frozen=True, eq=False)
class Tracks3D:
    """The tracks of one image in space, as parallel arrays.

    Attributes:
        frame: Number of the image in its epoch.
        stamp: Stamp of the image, ns.
        epoch: Epoch of the 2D tracks.
        frame_id: Name of the coordinate frame of `xyz` and `velocity`.
        ids: (N,) uint32, ids of the 2D tracks.
        xyz: (N, 3) float32, m, NaN where `source` is NONE.
        velocity: (N, 3) float32, m/s, NaN while unknown.
        sigma: (N,) float32, one standard deviation of the position, m; NaN while unknown: along the viewing
            ray by depth, and across it by as much as the focal length is in doubt.
        source: (N,) uint8, values of `DepthSource`.
        motion: (N,) uint8, values of `PointMotion`.
        flags: (N,) uint8, flags of the 2D tracks (`cotracker_ros.tracking.TrackFlag`).
        rgb: (N, 3) uint8, colour of the point.
        labels: N labels, "" where none was given.
    """

    frame: int
    stamp: int
    epoch: int
    frame_id: str
    ids: NDArray[np.uint32]
    xyz: NDArray[np.float32]
    velocity: NDArray[np.float32]
    sigma: NDArray[np.float32]
    source: NDArray[np.uint8]
    motion: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    rgb: NDArray[np.uint8]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)
