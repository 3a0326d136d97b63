"""Running estimates of points that stand still, in a form that adds up.

A measurement of a point is certain across its viewing ray and less so along it. Its information, the inverse
of its covariance, weights it; sums of informations, of informations times positions and of squares are all
that is kept, so that tracks and voxels are joined by adding rows. Positions are relative to an anchor near
the point, which keeps small numbers small.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.matrix_stacks import inverse_upper

MIN_SIGMA = 0.001  # m: averaging does not remove what the camera's calibration gets wrong
_MIN_ACROSS = 0.0002  # m: of a single measurement; keeps the numbers of near points finite
_MEMORY = 300.0  # measurements: older ones fade, as errors of one view are alike and poses drift
_FAR_AWAY = 1e-6  # 1/m^2: a point of which nothing is known could be a kilometre off
_VOXEL_BITS = 21  # per axis in a 64-bit key: a million voxels each way
MAX_VOXELS = 2 ** (_VOXEL_BITS - 2)  # from the middle to the border

# Columns of a table of sums. Symmetric matrices are kept as xx, xy, xz, yy, yz, zz.
_INFORMATION, _MOMENT, _LEVER, _SQUARE = slice(0, 6), slice(6, 9), slice(9, 12), 12
_RGB, _COUNT = slice(13, 16), 16
_COLUMNS = 17
_ROW, _COLUMN = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 1, 2, 2])
_FULL = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimates:
    """What sums amount to, for M points.

    Attributes:
        xyz: (M, 3) m.
        covariance: (M, 6) m^2, xx, xy, xz, yy, yz, zz; as large as the measurements' scatter asks for.
        rgb: (M, 3) mean colour, 0 to 255.
        spread: (M,) how much the measurements scatter, in their own standard deviations.
        lever: (M, 3) how the positions change with the logarithm of the focal length, m.
    """

    xyz: Floats
    covariance: Floats
    rgb: Floats
    spread: Floats
    lever: Floats


@dataclass(frozen=True, eq=False)
class PointSums:
    """Sums over the measurements of M points.

    Attributes:
        key: (M,) int64, what the sums belong to: a track's id or a voxel.
        anchor: (M, 3) m, what positions are relative to.
        table: (M, 17) information (6), moment (3), moment of the levers (3), square, colours (3) and number
            of the measurements.
        seen: (M,) int64, number of the update that last added something.
    """

    key: NDArray[np.int64]
    anchor: Floats
    table: Floats
    seen: NDArray[np.int64]

    @classmethod
    def empty(cls, key: NDArray[np.int64] | None = None) -> PointSums:
        """Return sums over nothing."""
        names = np.zeros(0, np.int64) if key is None else key
        count = len(names)
        return cls(names, np.zeros((count, 3)), np.zeros((count, _COLUMNS)), np.zeros(count, np.int64))

    def __len__(self) -> int:
        return len(self.key)

    @property
    def count(self) -> Floats:
        """(M,) number of measurements; older ones have faded."""
        return self.table[:, _COUNT]

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> PointSums:
        """Return some of the rows."""
        return PointSums(*(getattr(self, item.name)[which] for item in fields(self)))

    def joined(self, other: PointSums) -> PointSums:
        """Return both after each other."""
        parts = [(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)]
        return PointSums(*(np.concatenate(pair) for pair in parts))

    def add(
        self,
        rows: NDArray[np.intp],
        xyz: Floats,
        information: Floats,
        rgb: NDArray[np.uint8],
        lever: Floats,
        update: int,
    ) -> None:
        """Add one measurement to each of some rows, in place.

        Args:
            rows: (K,) which rows, each once.
            xyz: (K, 3) m.
            information: (K, 6), see `measurement_information`.
            rgb: (K, 3) colours.
            lever: (K, 3) how the positions change with the logarithm of the focal length, m.
            update: Number of the update.
        """
        old, anchor = self.table.take(rows, axis=0), self.anchor.take(rows, axis=0)
        fresh = np.flatnonzero(old[:, _COUNT] == 0)
        self.anchor[rows[fresh]] = anchor[fresh] = xyz[fresh]
        offset = xyz - anchor
        new = np.empty_like(old)
        new[:, _INFORMATION] = information
        moment, new[:, _LEVER] = _times(information, np.stack((offset, lever)))
        new[:, _MOMENT] = moment
        new[:, _SQUARE] = np.einsum("ni,ni->n", offset, moment)
        new[:, _RGB] = rgb
        new[:, _COUNT] = 1.0
        self.table[rows] = _faded(old, _MEMORY - 1) + new
        self.seen[rows] = update

    @property
    def xyz(self) -> Floats:
        """(M, 3) estimated positions, m; rows without measurements have no useful one."""
        return self.anchor + _times(self._covariance(), self.table[:, _MOMENT])

    def estimates(self) -> Estimates:
        """Return what the sums amount to; rows without measurements have no useful position."""
        covariance = self._covariance()
        moment = self.table[:, _MOMENT]
        offset = _times(covariance, moment)
        square = np.maximum(self.table[:, _SQUARE] - (offset * moment).sum(axis=1), 0.0)
        count = np.maximum(self.count, 1.0)
        scatter = square / (3.0 * np.maximum(count - 1.0, 1.0))
        lever = _times(covariance, self.table[:, _LEVER])
        covariance = covariance * np.maximum(scatter, 1.0)[:, None] + MIN_SIGMA**2 * (_ROW == _COLUMN)
        rgb = self.table[:, _RGB] / count[:, None]
        return Estimates(self.anchor + offset, covariance, rgb, np.sqrt(scatter), lever)

    def in_voxels(self, voxel_size: float) -> PointSums:
        """Return one row for each voxel that holds any, sorted by voxel."""
        if not len(self):
            return self
        key = voxel_keys(self.xyz, voxel_size)
        order = np.argsort(key, kind="stable")
        sums = self.take(order)._about(_voxel_centres(key[order], voxel_size))
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        table = _faded(np.add.reduceat(sums.table, starts, axis=0), _MEMORY)
        return PointSums(
            key[order][starts], sums.anchor[starts], table, np.maximum.reduceat(sums.seen, starts)
        )

    def absorbed(self, other: PointSums) -> PointSums:
        """Return the union of two sets of voxels, both sorted by voxel; neither is changed."""
        if not len(self) or not len(other):
            return self if len(self) else other
        place = np.searchsorted(self.key, other.key)
        known = self.key[np.minimum(place, len(self) - 1)] == other.key
        row, new = place[known], other.take(~known)
        table, seen = self.table.copy(), self.seen.copy()
        table[row] = _faded(table[row] + other.table[known], _MEMORY)
        seen[row] = np.maximum(seen[row], other.seen[known])
        at = place[~known]
        return PointSums(
            np.insert(self.key, at, new.key),
            np.insert(self.anchor, at, new.anchor, axis=0),
            np.insert(table, at, new.table, axis=0),
            np.insert(seen, at, new.seen),
        )

    def without(self, keys: NDArray[np.int64]) -> PointSums:
        """Return the rows, which are sorted by key, whose keys are not among `keys`."""
        if not len(keys) or not len(self):
            return self
        place = np.minimum(np.searchsorted(self.key, keys), len(self) - 1)
        return self.take(np.setdiff1d(np.arange(len(self)), place[self.key[place] == keys]))

    def _covariance(self) -> Floats:
        """Return the covariances (M, 6) that the measurements' noise explains, m^2."""
        return inverse_upper((self.table[:, _INFORMATION] + _FAR_AWAY * (_ROW == _COLUMN)).T).T

    def _about(self, anchor: Floats) -> PointSums:
        """Return the same sums about other anchors."""
        shift = self.anchor - anchor
        pull = _times(self.table[:, _INFORMATION], shift)
        table = self.table.copy()
        table[:, _SQUARE] += (shift * (2 * table[:, _MOMENT] + pull)).sum(axis=1)
        table[:, _MOMENT] += pull
        return PointSums(self.key, anchor, table, self.seen)


def measurement_information(xyz: Floats, sigma: Floats, centre: Floats | None, ray_sigma: float) -> Floats:
    """Return the inverse covariances of measurements, (N, 6) 1/m^2.

    Args:
        xyz: (N, 3) positions, m.
        sigma: (N,) standard deviations along the viewing rays, m.
        centre: (3,) position of the camera, m; None makes the uncertainty the same in all directions.
        ray_sigma: Standard deviation of the direction of a ray, rad.
    """
    along = 1.0 / np.maximum(sigma, MIN_SIGMA) ** 2
    if centre is None:
        return along[:, None] * (_ROW == _COLUMN)
    x, y, z = (xyz - centre).T
    distance = np.sqrt(x * x + y * y + z * z)
    across = 1.0 / np.maximum(ray_sigma * distance, _MIN_ACROSS) ** 2
    rest = (along - across) / np.maximum(distance, 1e-9) ** 2
    rest_x, rest_y = rest * x, rest * y
    return np.stack(
        (across + rest_x * x, rest_x * y, rest_x * z, across + rest_y * y, rest_y * z, across + rest * z * z),
        axis=1,
    )


def outer_products(vectors: Floats) -> Floats:
    """Return the products of vectors (M, 3) with themselves, (M, 6)."""
    return np.asarray(vectors[:, _ROW] * vectors[:, _COLUMN])


def largest_sigma(covariance: Floats) -> Floats:
    """Return the standard deviation in the least certain direction, (M,) m, of covariances (M, 6) m^2.

    The largest eigenvalue of a symmetric 3x3 matrix in closed form (Smith, 1961).
    """
    mean = covariance[:, [0, 3, 5]].mean(axis=1)
    rest = covariance - mean[:, None] * (_ROW == _COLUMN)
    size = np.sqrt((rest[:, _FULL].reshape(-1, 9) ** 2).sum(axis=1) / 6.0)
    xx, xy, xz, yy, yz, zz = rest.T / np.maximum(size, 1e-30)
    half = 0.5 * (xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz))
    return np.asarray(np.sqrt(mean + 2.0 * size * np.cos(np.arccos(np.clip(half, -1.0, 1.0)) / 3.0)))


def full_matrices(symmetric: Floats) -> Floats:
    """Return (M, 3, 3) matrices from (M, 6)."""
    return symmetric[:, _FULL]


def voxel_keys(xyz: Floats, voxel_size: float) -> NDArray[np.int64]:
    """Pack the three voxel numbers of each point into one integer."""
    half = 1 << (_VOXEL_BITS - 1)
    cell = np.clip(np.floor(xyz / voxel_size), -half, half - 1).astype(np.int64) + half
    return np.asarray((cell[..., 0] << (2 * _VOXEL_BITS)) | (cell[..., 1] << _VOXEL_BITS) | cell[..., 2])


def _voxel_centres(key: NDArray[np.int64], voxel_size: float) -> Floats:
    mask = (1 << _VOXEL_BITS) - 1
    cell = np.stack([key >> (2 * _VOXEL_BITS), (key >> _VOXEL_BITS) & mask, key & mask], axis=1)
    return np.asarray((cell - (1 << (_VOXEL_BITS - 1)) + 0.5) * voxel_size)


def _faded(table: Floats, most: float) -> Floats:
    """Scale rows down that hold more than `most` measurements."""
    return np.asarray(table * np.minimum(most / np.maximum(table[:, _COUNT:], most), 1.0))


def _times(symmetric: Floats, vector: Floats) -> Floats:
    """Multiply (N, 6) matrices and (..., N, 3) vectors."""
    xx, xy, xz, yy, yz, zz = symmetric.T
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    return np.stack((xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z), axis=-1)
