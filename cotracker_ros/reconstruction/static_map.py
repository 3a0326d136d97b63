"""A sparse map of what stands still, from the measured points of the tracks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.types import DepthSource, PointMotion, Tracks3D

_MIN_SIGMA = 0.001  # m: averaging does not remove what the camera's calibration gets wrong
_MERGE_AFTER = 2048  # points of ended tracks that wait before they are sorted into voxels
_VOXEL_BITS = 21  # per axis in a 64-bit key: a million voxels each way


@dataclass(frozen=True)
class StaticMapConfig:
    """What enters the map and how large it gets.

    Attributes:
        voxel_size: Edge of the cubes that hold one point each, m.
        max_points: Largest number of points; those longest not seen go first.
        radius: Points further than this from the camera are forgotten, m.
        min_measurements: A track counts from so many measurements on.
        max_spread: A track whose measurements scatter by more than so many of their standard deviations
            does not stand still.
        moving_images: A track seen moving in so many images in a row stays out for good.
    """

    voxel_size: float = 0.01
    max_points: int = 200_000
    radius: float = 50.0
    min_measurements: int = 5
    max_spread: float = 2.5
    moving_images: int = 5

    def __post_init__(self) -> None:
        for item in fields(self):
            if not getattr(self, item.name) > 0:
                raise ValueError(
                    f"the map setting {item.name} is {getattr(self, item.name)}: give a positive number"
                )
        if self.radius / self.voxel_size > 2 ** (_VOXEL_BITS - 2):
            raise ValueError(
                f"a map of radius {self.radius} m has too many voxels of {self.voxel_size} m: "
                "give larger voxels or a smaller radius"
            )


@dataclass(frozen=True, eq=False)
class MapPoints:
    """Points of the map, as parallel arrays.

    Attributes:
        xyz: (M, 3) float32, m, in the map's frame.
        rgb: (M, 3) uint8.
        sigma: (M,) float32, one standard deviation, m.
    """

    xyz: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    sigma: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.sigma)


@dataclass
class _Sums:
    """Running sums of points: weight is the inverse variance.

    Attributes:
        key: (M,) int64, what the sums belong to: a track's id or a voxel.
        weight: (M,) sum of the weights, 1/m^2.
        xyz: (M, 3) weighted mean.
        rgb: (M, 3) weighted mean.
        seen: (M,) int64, number of the update that last added something.
    """

    key: NDArray[np.int64]
    weight: NDArray[np.float64]
    xyz: NDArray[np.float64]
    rgb: NDArray[np.float64]
    seen: NDArray[np.int64]

    @classmethod
    def empty(cls) -> _Sums:
        return cls(
            np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int64)
        )

    def __len__(self) -> int:
        return len(self.key)

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> _Sums:
        return _Sums(*(getattr(self, item.name)[which] for item in fields(self)))

    def joined(self, other: _Sums) -> _Sums:
        """Return both after each other."""
        parts = [(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)]
        return _Sums(*(np.concatenate(pair) for pair in parts))

    def in_voxels(self, voxel_size: float) -> _Sums:
        """Return one row for each voxel that holds any, sorted by voxel."""
        key, row = np.unique(_voxel_keys(self.xyz, voxel_size), return_inverse=True)
        row = row.ravel()
        weight = np.asarray(np.bincount(row, self.weight, len(key)), dtype=np.float64)
        mean = [
            np.bincount(row, self.weight * column, len(key)) / weight for column in (*self.xyz.T, *self.rgb.T)
        ]
        seen = np.zeros(len(key), np.int64)
        np.maximum.at(seen, row, self.seen)
        return _Sums(key, weight, np.stack(mean[:3], axis=1), np.stack(mean[3:], axis=1), seen)

    def absorbed(self, other: _Sums) -> _Sums:
        """Return the union of two sets of voxels, both sorted by voxel; neither is changed."""
        if not len(self):
            return other
        place = np.searchsorted(self.key, other.key)
        known = self.key[np.minimum(place, len(self) - 1)] == other.key
        row = place[known]
        result = self.take(np.arange(len(self)))
        added = other.weight[known]
        result.weight[row] += added
        share = (added / result.weight[row])[:, None]
        result.xyz[row] += share * (other.xyz[known] - result.xyz[row])
        result.rgb[row] += share * (other.rgb[known] - result.rgb[row])
        result.seen[row] = np.maximum(result.seen[row], other.seen[known])
        new = other.take(~known)
        arrays = ((getattr(result, item.name), getattr(new, item.name)) for item in fields(self))
        return _Sums(*(np.insert(old, place[~known], rows, axis=0) for old, rows in arrays))


@dataclass
class _LiveTracks:
    """Estimates of the tracks that still run.

    Attributes:
        sums: Weighted means, keyed by the track's id.
        scatter: (N,) weighted sum of squared distances from the mean, in variances.
        count: (N,) measurements.
        run: (N,) images in a row in which the track moved.
        moved: (N,) bool, it moved long enough to stay out.
    """

    sums: _Sums
    scatter: NDArray[np.float64]
    count: NDArray[np.int64]
    run: NDArray[np.int64]
    moved: NDArray[np.bool_]

    @classmethod
    def empty(cls) -> _LiveTracks:
        zero = np.zeros(0, np.int64)
        return cls(_Sums.empty(), np.zeros(0), zero, zero, np.zeros(0, bool))

    def for_ids(self, ids: NDArray[np.int64]) -> _LiveTracks:
        """Return the estimates in the order of `ids`, empty ones for ids not known."""
        count = len(ids)
        zero = np.zeros(count, np.int64)
        sums = _Sums(ids, np.zeros(count), np.zeros((count, 3)), np.zeros((count, 3)), zero.copy())
        result = _LiveTracks(sums, np.zeros(count), zero, zero.copy(), np.zeros(count, bool))
        _, new, old = np.intersect1d(ids, self.sums.key, assume_unique=True, return_indices=True)
        for item in fields(_Sums):
            getattr(sums, item.name)[new] = getattr(self.sums, item.name)[old]
        for name in ("scatter", "count", "run", "moved"):
            getattr(result, name)[new] = getattr(self, name)[old]
        return result

    def static(self, config: StaticMapConfig) -> NDArray[np.bool_]:
        """(N,) bool: measured often enough and never seen to move."""
        # Three degrees of freedom per measurement, of which the depth's is nearly all of the variance.
        spread = np.sqrt(self.scatter / np.maximum(self.count, 1))
        return (self.count >= config.min_measurements) & (spread <= config.max_spread) & ~self.moved


class StaticMap:
    """Collects static points; safe to read while another thread adds.

    Each track has a running mean, weighted by inverse variance. When the track ends, its mean goes to a
    voxel of the map, if the track stood still. The points of running tracks are part of the map, too.

    Args:
        config: What enters and how large the map gets.
    """

    def __init__(self, config: StaticMapConfig | None = None) -> None:
        self.config = config or StaticMapConfig()
        self._lock = Lock()
        self._live = _LiveTracks.empty()
        self._ended = _Sums.empty()
        self._voxels = _Sums.empty()
        self._centre: NDArray[np.float64] | None = None
        self._updates = 0

    def add(
        self,
        points: Tracks3D,
        *,
        centre: ArrayLike | None = None,
    ) -> None:
        """Take the points of one image; only measured ones count.

        Args:
            points: Points in the map's frame, which is always the same one.
            centre: (3,) position of the camera in the map's frame, m; None leaves far points alone.
        """
        with self._lock:
            self._updates += 1
            ids = points.ids.astype(np.int64)
            if not np.array_equal(ids, self._live.sums.key):
                ended = self._live.sums.take(
                    self._live.static(self.config) & ~np.isin(self._live.sums.key, ids)
                )
                self._ended = self._ended.joined(ended)
                self._live = self._live.for_ids(ids)
            self._accumulate(points, points.motion == PointMotion.MOVING)
            if centre is not None:
                self._centre = np.asarray(centre, dtype=np.float64)
            if len(self._ended) >= _MERGE_AFTER:
                self._merge()

    def end_tracks(self) -> None:
        """Close all running tracks, because their ids will not go on (a new epoch)."""
        with self._lock:
            self._ended = self._ended.joined(self._live.sums.take(self._live.static(self.config)))
            self._live = _LiveTracks.empty()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._live = _LiveTracks.empty()
            self._ended = _Sums.empty()
            self._voxels = _Sums.empty()
            self._centre = None

    def points(self) -> MapPoints:
        """Return the map as it is now."""
        with self._lock:
            # Copies and arrays that nobody changes: the long part needs no lock.
            live = self._live.sums.take(self._live.static(self.config))
            recent, voxels, centre = self._ended.joined(live), self._voxels, self._centre
        sums = _bounded(voxels.absorbed(recent.in_voxels(self.config.voxel_size)), centre, self.config)
        sigma = np.maximum(1.0 / np.sqrt(sums.weight), _MIN_SIGMA)
        return MapPoints(
            sums.xyz.astype(np.float32),
            np.clip(np.rint(sums.rgb), 0, 255).astype(np.uint8),
            sigma.astype(np.float32),
        )

    @property
    def xyz(self) -> NDArray[np.float32]:
        """(M, 3) m, in the map's frame."""
        return self.points().xyz

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(M, 3) colours."""
        return self.points().rgb

    @property
    def sigma(self) -> NDArray[np.float32]:
        """(M,) standard deviations, m."""
        return self.points().sigma

    def _accumulate(self, points: Tracks3D, moving: NDArray[np.bool_]) -> None:
        live, sums = self._live, self._live.sums
        measured = points.source == DepthSource.MEASURED
        live.run = np.where(measured, np.where(moving, live.run + 1, 0), live.run)
        live.moved |= live.run >= self.config.moving_images
        rows = np.flatnonzero(measured & ~moving)
        xyz = points.xyz[rows].astype(np.float64)
        weight = 1.0 / np.maximum(points.sigma[rows].astype(np.float64), _MIN_SIGMA) ** 2
        total = sums.weight[rows] + weight
        share = (weight / total)[:, None]
        offset = xyz - sums.xyz[rows]
        # Welford's update: the product of the distances to the old and to the new mean.
        live.scatter[rows] += weight * (1 - share[:, 0]) * (offset**2).sum(axis=1) * (live.count[rows] > 0)
        sums.xyz[rows] += share * offset
        sums.rgb[rows] += share * (points.rgb[rows] - sums.rgb[rows])
        sums.weight[rows] = total
        sums.seen[rows] = self._updates
        live.count[rows] += 1

    def _merge(self) -> None:
        voxels = self._voxels.absorbed(self._ended.in_voxels(self.config.voxel_size))
        self._voxels = _bounded(voxels, self._centre, self.config)
        self._ended = _Sums.empty()


def _bounded(sums: _Sums, centre: NDArray[np.float64] | None, config: StaticMapConfig) -> _Sums:
    """Return the voxels near the camera, no more than allowed."""
    if centre is not None and len(sums):
        near = np.asarray(((sums.xyz - centre) ** 2).sum(axis=1) <= config.radius**2)
        if not near.all():
            sums = sums.take(near)
    if len(sums) > config.max_points:
        newest = np.argpartition(-sums.seen, config.max_points - 1)[: config.max_points]
        sums = sums.take(np.sort(newest))
    return sums


def _voxel_keys(xyz: NDArray[np.float64], voxel_size: float) -> NDArray[np.int64]:
    """Pack the three voxel numbers of each point into one integer."""
    half = 1 << (_VOXEL_BITS - 1)
    cell = np.clip(np.floor(xyz / voxel_size), -half, half - 1).astype(np.int64) + half
    return np.asarray((cell[:, 0] << (2 * _VOXEL_BITS)) | (cell[:, 1] << _VOXEL_BITS) | cell[:, 2])
