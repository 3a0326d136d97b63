"""The last measured positions of all tracks.

The noise of a measurement is an ellipsoid: long along the viewing ray, by the depth sensor, and thin across
it, by the tracker. It is kept as two information values (inverse variances), which are zero where nothing was
measured, so that sums over a window need no masks, and as a quadric, see `body_paths`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ellipsoids import ellipsoids
from cotracker_ros.reconstruction.ids import rows_of
from cotracker_ros.reconstruction.types import DepthSource, Tracks3D

_NS = 1e-9
ROWS, COLUMNS = np.triu_indices(4)
"""Where the ten entries of a quadric, as it is kept here, are in the symmetric (4, 4) matrix."""
_SQUARES = np.flatnonzero((ROWS == COLUMNS) & (ROWS < 3))  # of the ten
_BOTH = np.flatnonzero(COLUMNS < 3)
_LINEAR = np.flatnonzero((ROWS < 3) & (COLUMNS == 3))
_CONSTANT = 9
_ARRAYS = ("xyz", "ray", "across", "along", "quadric")
_ROOM = 64  # columns by which a window grows


@dataclass(frozen=True, eq=False)
class Measured:
    """The tracks of one image as measurements in the fixed frame.

    Attributes:
        xyz: (N, 3) m, zero where not measured.
        ray: (N, 3) unit vectors from the camera, zero where not measured.
        across: (N,) information across the ray, 1/m^2; zero where not measured.
        along: (N,) information along the ray, 1/m^2; zero where not measured.
    """

    xyz: NDArray[np.float64]
    ray: NDArray[np.float64]
    across: NDArray[np.float64]
    along: NDArray[np.float64]

    def quadrics(self) -> NDArray[np.float64]:
        """Return the measurements as quadrics, see `body_paths`: (N, 10) entries of the matrices.

        They are zero where not measured.
        """
        ray, xyz = np.ascontiguousarray(self.ray.T), np.ascontiguousarray(self.xyz.T)
        excess = self.along - self.across
        # The information is across * I + excess * ray * ray^T.
        stretched = ray * excess
        linear = self.across * xyz + (ray * xyz).sum(axis=0) * stretched
        result = np.empty((len(ROWS), len(self.xyz)))
        result[_BOTH] = ray[ROWS[_BOTH]] * stretched[COLUMNS[_BOTH]]
        result[_SQUARES] += self.across
        result[_LINEAR] = -linear
        result[_CONSTANT] = (linear * xyz).sum(axis=0)
        return result.T

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(N,) bool, measured in this image."""
        return self.across > 0

    def covariance(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return (..., 3, 3) covariances of measured tracks by their rows (...), m^2."""
        return ellipsoids(self.ray[rows], 1.0 / self.across[rows], 1.0 / self.along[rows])

    def information(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the (..., 3, 3) inverses of the covariances, 1/m^2."""
        return ellipsoids(self.ray[rows], self.across[rows], self.along[rows])

    def sigmas(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return (M, 3) standard deviations along the axes of the camera, for rays near its axis, m."""
        across, along = self.across[rows] ** -0.5, self.along[rows] ** -0.5
        return np.stack([across, across, along], axis=1)


def measured(
    tracks: Tracks3D,
    camera: NDArray[np.float64],
    bearing_sigma: float,
    sigma_floor: float,
    noise: float,
) -> Measured:
    """Return the measurements among `tracks`, seen from the (4, 4) pose `camera`.

    Args:
        tracks: Tracks in the fixed frame.
        camera: fixed_from_camera, m.
        bearing_sigma: rad.
        sigma_floor: m.
        noise: Variance as a multiple of all that.
    """
    xyz = tracks.xyz.astype(np.float64)
    offset = xyz - camera[:3, 3]
    squared = np.einsum("ni,ni->n", offset, offset)
    seen = (tracks.source == DepthSource.MEASURED) & np.isfinite(squared + tracks.sigma)
    xyz[~seen] = offset[~seen] = squared[~seen] = 0.0
    distance = np.maximum(np.sqrt(squared), 1e-6)
    across = bearing_sigma**2 * squared + sigma_floor**2
    along = tracks.sigma.astype(np.float64) ** 2 + sigma_floor**2
    return Measured(
        xyz=xyz,
        ray=offset / distance[:, None],
        across=np.where(seen, 1.0 / (noise * across), 0.0),
        along=np.where(seen, 1.0 / (noise * along), 0.0),
    )


@dataclass
class TrackWindow:
    """The measurements of the last images, as a ring of at most `size` of them.

    A track keeps its column of the arrays for as long as it is followed; another one takes it over then.

    Attributes:
        size: W, images.
        ids: (N,) ids of the tracks.
        column: (N,) their columns, of C.
        stamps: (W,) int64 of the images, ns; negative where there is none.
        xyz: (W, C, 3), see `Measured`.
        ray: (W, C, 3).
        across: (W, C).
        along: (W, C).
        quadric: (W, C, 10), see `Measured.quadrics`.
        slot: Place of the newest image.
        noted: Images taken since the window was made.
    """

    size: int
    ids: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    column: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    stamps: NDArray[np.int64] = field(init=False)
    xyz: NDArray[np.float64] = field(init=False)
    ray: NDArray[np.float64] = field(init=False)
    across: NDArray[np.float64] = field(init=False)
    along: NDArray[np.float64] = field(init=False)
    quadric: NDArray[np.float64] = field(init=False)
    slot: int = -1
    noted: int = 0

    def __post_init__(self) -> None:
        self.stamps = np.full(self.size, -1, np.int64)
        self.xyz = np.zeros((self.size, 0, 3))
        self.ray = np.zeros((self.size, 0, 3))
        self.across = np.zeros((self.size, 0))
        self.along = np.zeros((self.size, 0))
        self.quadric = np.zeros((self.size, 0, len(ROWS)))

    def follow(self, ids: NDArray[np.uint32]) -> None:
        """Put the tracks into the order of `ids`; others are forgotten, new ones have no past."""
        rows, known = rows_of(ids, self.ids)
        column = np.empty(len(ids), np.intp)
        column[known] = self.column[rows[known]]
        self._make_room(len(ids))
        free = np.ones(self.across.shape[1], np.bool_)
        free[column[known]] = False
        taken = np.flatnonzero(free)[: len(ids) - int(known.sum())]
        column[~known] = taken
        for name in _ARRAYS:
            getattr(self, name)[:, taken] = 0.0
        self.ids, self.column = ids, column

    def _make_room(self, count: int) -> None:
        """Have columns for `count` tracks."""
        columns = self.across.shape[1]
        if count <= columns:
            return
        for name in _ARRAYS:
            old = getattr(self, name)
            new = np.zeros((self.size, count + _ROOM, *old.shape[2:]))
            new[:, :columns] = old
            setattr(self, name, new)

    def push(self, stamp: int, points: Measured) -> int:
        """Take the measurements of an image in place of the oldest ones and return their slot."""
        self.slot = (self.slot + 1) % self.size
        self.noted += 1
        self.stamps[self.slot] = stamp
        slot, column = self.slot, self.column
        self.xyz[slot, column], self.ray[slot, column] = points.xyz, points.ray
        self.across[slot, column], self.along[slot, column] = points.across, points.along
        self.quadric[slot, column] = points.quadrics()
        return slot

    def at(self, slots: NDArray[np.intp], rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], ...]:
        """Return what picks tracks, by their rows (N,), in images (F,) from the arrays: (F, N, ...)."""
        return slots[:, None], self.column[rows]

    def seconds(self, slots: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return times (F,) of images, s, before the last of them."""
        return np.asarray((self.stamps[slots] - self.stamps[slots[-1]]) * _NS)

    def recent(self, seconds: float, count: int) -> NDArray[np.intp]:
        """Return slots of at most `count` images of the last `seconds`, spread evenly, oldest first."""
        order = (self.slot + 1 + np.arange(self.size)) % self.size
        stamps = self.stamps[order]
        order = order[(stamps >= 0) & (stamps >= self.stamps[self.slot] - seconds / _NS)]
        if len(order) > count:
            order = order[np.arange(count) * (len(order) - 1) // (count - 1)]
        return np.asarray(order, np.intp)
