"""What one image tells ego-motion: how its tracks are seen, and which of them can become landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ego_types import CameraPoints
from cotracker_ros.reconstruction.sighting import Sighting

_UNMEASURED = 1e3  # 1/m: sigma of an inverse depth that was not measured
_NEAREST = 0.01  # m: nearer measurements are none
_USEFUL_DEPTH = 0.2  # share of itself by which a depth may be uncertain that places a landmark
_ENOUGH = 20  # depths whose spread says something
_FLAT = 5e-4  # spread of depths, as a share of them, below which they come from no sensor


@dataclass(frozen=True, eq=False)
class Observation:
    """The N tracks of one image.

    Attributes:
        points: As they were given.
        sighting: How they are seen; the numbers of those that are not seen are made up.
        seen: (N,) bool, which are seen.
    """

    points: CameraPoints
    sighting: Sighting
    seen: NDArray[np.bool_]

    @property
    def stamp(self) -> int:
        """Stamp of the image, ns."""
        return self.points.stamp

    def placeable(self, among: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the rows of those `among` (N,) the tracks that can become landmarks: with a useful depth."""
        certain = np.sqrt(self.sighting.variance[:, 2]) < _USEFUL_DEPTH * self.sighting.uvw[:, 2]
        rows = self.seen & among & certain
        still = rows & ~self.points.moving
        # Where nearly everything is believed to move, that belief may come from a wrong pose.
        return np.flatnonzero(still if 2 * still.sum() >= rows.sum() else rows)

    def followed(self, rows: NDArray[np.intp], first: NDArray[np.float64], drift: float) -> Sighting:
        """Return the sighting of `rows` (M,), less certain by how far each track has come in the image.

        Args:
            rows: Of the tracks.
            first: (N, 2) where each track set out, in normalised coordinates.
            drift: Share of its way by which a track is off.
        """
        uvw, variance = self.sighting.uvw.take(rows, axis=0), self.sighting.variance.take(rows, axis=0)
        u, v = (uvw[:, :2] - first.take(rows, axis=0)).T
        off = drift**2 * (u * u + v * v)
        variance[:, 0] += off
        variance[:, 1] += off
        return Sighting(uvw, variance)


def observe(points: CameraPoints, noise: NDArray[np.float64]) -> Observation:
    """Return how the tracks of an image are seen.

    Args:
        points: The tracks.
        noise: (2,) how many times larger than said the noise of tracks and of depths is.
    """
    with np.errstate(invalid="ignore"):
        x, y, z = points.xyz.T
        seen = np.isfinite(x + y + z) & (z > _NEAREST) & (points.sigma > 0)
    trusted = seen & ~_constant(z[seen], points.sigma[seen])
    w = 1 / np.where(seen, z, 1.0)
    depth = np.minimum(np.where(trusted, points.sigma, np.inf) * w * w * noise[1], _UNMEASURED)
    uvw, sigma = np.empty((len(w), 3)), np.empty((len(w), 3))
    uvw[:, 0], uvw[:, 1], uvw[:, 2] = np.where(seen, x, 1.0) * w, np.where(seen, y, 1.0) * w, w
    sigma[:, 0] = sigma[:, 1] = points.image_sigma * noise[0]
    sigma[:, 2] = depth
    return Observation(points, Sighting(uvw, sigma**2), np.asarray(seen))


def _constant(z: NDArray[np.float64], sigma: NDArray[np.float64]) -> bool:
    """Say whether all depths `z` that are measured, m, are the same, as no sensor sees even a flat wall."""
    measured = np.sort(z[np.isfinite(sigma)])
    count = len(measured)
    if count < _ENOUGH:
        return False
    low, middle, high = measured[[count // 10, count // 2, count - 1 - count // 10]]
    return bool(high - low < _FLAT * middle)
