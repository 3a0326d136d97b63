"""A sparse map of what stands still, from the measured points of the tracks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.ids import rows_of
from cotracker_ros.reconstruction.map_check import compare_with_depth
from cotracker_ros.reconstruction.map_sums import (
    MAX_VOXELS,
    PointSums,
    full_matrices,
    largest_sigma,
    measurement_information,
    outer_products,
    voxel_keys,
)
from cotracker_ros.reconstruction.ply import write_ply
from cotracker_ros.reconstruction.types import DepthSource, PointMotion, Tracks3D
from cotracker_ros.tracking.types import TrackFlag

# So many points of ended tracks, or voxels to forget, wait before the voxels are sorted again: a share of the
# voxels, because the work grows with their number, within bounds.
_MERGE_SHARE, _MERGE_LEAST, _MERGE_MOST = 1 / 32, 64, 2048
_PIXEL = 0.002  # rad: a pixel of a camera of 500 px focal length
_CHECKED = 1000  # voxels compared with each depth image: a quarter of a millisecond
_CONTRADICTIONS = 3  # depth images in a row, as far as they show a voxel, that take it away
# Plain numbers: arrays are several times slower to compare with members of an enumeration.
_NEW, _MEASURED = np.uint8(TrackFlag.NEW), np.uint8(DepthSource.MEASURED)
_STATIC, _MOVING = np.uint8(PointMotion.STATIC), np.uint8(PointMotion.MOVING)
_NEIGHBOURS = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3), axis=-1).reshape(-1, 3)


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
        if self.radius / self.voxel_size > MAX_VOXELS:
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
        sigma: (M,) float32, one standard deviation in the least certain direction, m.
        covariance: (M, 3, 3) float32, m^2, in the axes of the map's frame.
    """

    xyz: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    sigma: NDArray[np.float32]
    covariance: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.sigma)

    def save(self, path: str | Path) -> None:
        """Write a PLY file with colours and the field sigma.

        Raises:
            OSError: The file cannot be written; the message is one sentence.
        """
        write_ply(path, self.xyz, self.rgb, {"sigma": self.sigma})


@dataclass(frozen=True, eq=False)
class _LiveTracks:
    """Estimates of the tracks that still run.

    Attributes:
        sums: Over their measurements, keyed by the track's id.
        still: (N,) bool, it stood still when that could last be told.
        run: (N,) images in a row in which the track moved.
        moved: (N,) bool, it moved long enough to stay out.
    """

    sums: PointSums
    still: NDArray[np.bool_]
    run: NDArray[np.int64]
    moved: NDArray[np.bool_]

    @classmethod
    def empty(cls, ids: NDArray[np.int64] | None = None) -> _LiveTracks:
        sums = PointSums.empty(ids)
        count = len(sums)
        return cls(sums, np.zeros(count, bool), np.zeros(count, np.int64), np.zeros(count, bool))

    def take(self, which: NDArray[np.bool_]) -> _LiveTracks:
        """Return some of the tracks."""
        return _LiveTracks(self.sums.take(which), self.still[which], self.run[which], self.moved[which])

    def for_ids(
        self, ids: NDArray[np.int64], rows: NDArray[np.intp], known: NDArray[np.bool_]
    ) -> _LiveTracks:
        """Return the estimates for `ids` (M,): of those `known` (M,) from `rows` (M,), else empty ones."""
        result = _LiveTracks.empty(ids)
        new = np.flatnonzero(known)
        old = rows[new]
        for name in ("anchor", "table", "seen"):
            getattr(result.sums, name)[new] = getattr(self.sums, name)[old]
        for name in ("still", "run", "moved"):
            getattr(result, name)[new] = getattr(self, name)[old]
        return result

    def static(self, config: StaticMapConfig) -> PointSums:
        """Return those known to stand still, measured often enough, that scatter no more than noise."""
        sums = self.sums.take(self.still & ~self.moved & (self.sums.count >= config.min_measurements))
        if not len(sums):
            return sums
        return sums.take(sums.estimates().spread <= config.max_spread)


class StaticMap:
    """Collects static points; safe to read while another thread adds.

    Each track has a running estimate with covariance. It enters the map when it is known to stand still and
    its measurements scatter no more than their noise explains. When the track ends, its estimate goes to a
    voxel of the map. Where a track is seen to start moving, what the map held there is forgotten, as it
    moved as well; so is what depth images look right through (`check`).

    Args:
        config: What enters and how large the map gets.

    Attributes:
        config: What enters and how large the map gets; may be set at any time.
        focal_sigma: Share by which the camera's focal length may be off: the points are uncertain by that.
    """

    def __init__(self, config: StaticMapConfig | None = None) -> None:
        self.config = config or StaticMapConfig()
        self._lock = Lock()
        self._live = _LiveTracks.empty()
        self._ended = PointSums.empty()
        self._voxels = PointSums.empty()
        self._erased = np.zeros(0, np.int64)  # voxels to leave out, until the next merge takes them away
        self._centre: NDArray[np.float64] | None = None
        self._contradicted = np.zeros(0, np.uint8)  # in a row, for each of the voxels
        self._next_check = 0
        self._updates = 0
        self.focal_sigma = 0.0

    def add(
        self,
        points: Tracks3D,
        *,
        centre: ArrayLike | None = None,
        exclude: NDArray[np.bool_] | None = None,
        ray_sigma: float = _PIXEL,
        lever: NDArray[np.float64] | None = None,
    ) -> None:
        """Take the points of one image; only measured ones count.

        Args:
            points: Points in the map's frame, which is always the same one.
            centre: (3,) position of the camera in the map's frame, m. None leaves far points alone and takes
                points to be as uncertain across their viewing ray as along it.
            exclude: (N,) bool, points that are known to belong to something that moves, whatever their
                flags say.
            ray_sigma: Standard deviation of the direction of a point's viewing ray, rad.
            lever: (N, 3) how the points' places change with the logarithm of the focal length, m; None: they
                do not.
        """
        moving = points.motion == _MOVING
        if exclude is not None:
            moving |= exclude
        with self._lock:
            self._updates += 1
            ids = points.ids.astype(np.int64)
            fresh = (points.flags & _NEW) != 0
            if fresh.any() or not np.array_equal(ids, self._live.sums.key):
                self._follow(ids, fresh)
            if centre is not None:
                self._centre = np.asarray(centre, dtype=np.float64)
            self._watch(points, moving)
            rows = np.flatnonzero((points.source == _MEASURED) & ~moving & ~self._live.moved)
            xyz = points.xyz.take(rows, axis=0).astype(np.float64)
            sigma = points.sigma.take(rows).astype(np.float64)
            information = measurement_information(
                xyz, sigma, None if centre is None else self._centre, ray_sigma
            )
            swayed = np.zeros_like(xyz) if lever is None else lever.take(rows, axis=0)
            rgb = points.rgb.take(rows, axis=0)
            self._live.sums.add(rows, xyz, information, rgb, swayed, self._updates)
            waiting = max(len(self._ended), len(self._erased))
            if waiting >= np.clip(_MERGE_SHARE * len(self._voxels), _MERGE_LEAST, _MERGE_MOST):
                self._merge()

    def check(
        self, depth: NDArray[np.float32], camera: CameraModel, fixed_from_camera: NDArray[np.float64]
    ) -> None:
        """Compare some of the voxels with a depth image; those that it looks through again and again go.

        The next call goes on with the next ones, so that a large map takes more images and not more time.

        Args:
            depth: (H, W) m, registered to the camera; NaN and zero are invalid.
            camera: Its model.
            fixed_from_camera: (4, 4) pose of the camera in the map's frame, m.
        """
        with self._lock:
            voxels = self._voxels
            if len(self._contradicted) != len(voxels):
                self._contradicted = np.zeros(len(voxels), np.uint8)
            first = self._next_check if self._next_check < len(voxels) else 0
            rows = slice(first, first + _CHECKED)
            self._next_check = first + _CHECKED
            through, there = compare_with_depth(voxels.anchor[rows], fixed_from_camera, camera, depth)
            times = self._contradicted[rows]
            times[through] += 1
            times[there] = 0
            gone = times >= _CONTRADICTIONS
            if gone.any():
                times[gone] = 0
                self._erased = np.union1d(self._erased, voxels.key[rows][gone])

    def end_tracks(self) -> None:
        """Close all running tracks, because their ids will not go on (a new epoch)."""
        with self._lock:
            self._follow(np.zeros(0, np.int64), np.zeros(0, bool))

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._live = _LiveTracks.empty()
            self._ended = self._voxels = PointSums.empty()
            self._erased = np.zeros(0, np.int64)
            self._centre = None

    def points(self) -> MapPoints:
        """Return the map as it is now."""
        with self._lock:
            # Copies and arrays that nobody changes: the long part needs no lock.
            recent = self._ended.joined(self._live.static(self.config))
            voxels, erased, centre = self._voxels, self._erased, self._centre
        new = recent.in_voxels(self.config.voxel_size)
        sums = _bounded(voxels.without(erased).absorbed(new), centre, self.config)
        found = sums.estimates()
        covariance = found.covariance + outer_products(found.lever * self.focal_sigma)
        return MapPoints(
            found.xyz.astype(np.float32),
            np.clip(np.rint(found.rgb), 0, 255).astype(np.uint8),
            largest_sigma(covariance).astype(np.float32),
            full_matrices(covariance).astype(np.float32),
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

    def _follow(self, ids: NDArray[np.int64], fresh: NDArray[np.bool_]) -> None:
        """Go on with the tracks `ids` (M,), `fresh` (M,) ones anew, and keep what the others are worth."""
        live = self._live
        rows, known = rows_of(ids, live.sums.key)
        known &= ~fresh
        ended = np.ones(len(live.sums), bool)
        ended[rows[known]] = False
        if ended.any():
            self._ended = self._ended.joined(live.take(ended).static(self.config))
        self._live = live.for_ids(ids, rows, known)

    def _watch(self, points: Tracks3D, moving: NDArray[np.bool_]) -> None:
        """See which tracks move; forget the map where one of them stood."""
        live = self._live
        measured = points.source == _MEASURED
        live.still[:] = (live.still | (points.motion == _STATIC)) & ~moving
        live.run[:] = np.where(measured, np.where(moving, live.run + 1, 0), live.run)
        left = (live.run >= self.config.moving_images) & ~live.moved
        if not left.any():
            return
        live.moved[left] = True
        stood = live.sums.take(left & (live.sums.count >= self.config.min_measurements)).xyz
        near = (stood[:, None] + _NEIGHBOURS * self.config.voxel_size).reshape(-1, 3)
        keys = voxel_keys(near, self.config.voxel_size)
        self._erased = np.union1d(self._erased, keys)
        if len(self._ended):
            of_ended = voxel_keys(self._ended.xyz, self.config.voxel_size)
            self._ended = self._ended.take(~np.isin(of_ended, keys))

    def _merge(self) -> None:
        """Sort the points of ended tracks into the voxels."""
        new = self._ended.in_voxels(self.config.voxel_size)
        voxels = self._voxels.without(self._erased).absorbed(new)
        self._voxels = _bounded(voxels, self._centre, self.config)
        self._contradicted = np.zeros(len(self._voxels), np.uint8)
        self._ended, self._erased = PointSums.empty(), np.zeros(0, np.int64)


def _bounded(voxels: PointSums, centre: NDArray[np.float64] | None, config: StaticMapConfig) -> PointSums:
    """Return the voxels near the camera, no more than allowed."""
    if centre is not None and len(voxels):
        near = np.asarray(((voxels.anchor - centre) ** 2).sum(axis=1) <= config.radius**2)
        if not near.all():
            voxels = voxels.take(near)
    if len(voxels) > config.max_points:
        newest = np.argpartition(-voxels.seen, config.max_points - 1)[: config.max_points]
        voxels = voxels.take(np.sort(newest))
    return voxels
