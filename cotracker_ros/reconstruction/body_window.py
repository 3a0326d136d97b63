"""The last measured positions of all tracks, and whether they moved as something says they did.

The noise of a measurement is an ellipsoid: long along the viewing ray, by the depth sensor, and thin across
it, by the tracker. It is kept as two information values (inverse variances), which are zero where nothing was
measured, so that sums over a window need no masks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ellipsoids import ellipsoids, inverse
from cotracker_ros.reconstruction.types import DepthSource, Tracks3D

_NS = 1e-9


@dataclass(frozen=True, eq=False)
class Measured:
    """The tracks of one image as measurements in the fixed frame.

    Attributes:
        xyz: (N, 3) m, zero where not measured.
        ray: (N, 3) unit vectors from the camera.
        across: (N,) information across the ray, 1/m^2; zero where not measured.
        along: (N,) information along the ray, 1/m^2; zero where not measured.
    """

    xyz: NDArray[np.float64]
    ray: NDArray[np.float64]
    across: NDArray[np.float64]
    along: NDArray[np.float64]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(N,) bool, measured in this image."""
        return self.across > 0

    def covariance(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return (M, 3, 3) covariances of measured tracks, m^2."""
        return ellipsoids(self.ray[rows], 1.0 / self.across[rows], 1.0 / self.along[rows])

    def information(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the (M, 3, 3) inverses of the covariances, 1/m^2."""
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
    seen = (tracks.source == DepthSource.MEASURED) & np.isfinite(tracks.sigma)
    xyz = tracks.xyz.astype(np.float64)
    seen &= np.isfinite(xyz).all(axis=1)
    xyz[~seen] = 0.0
    offset = xyz - camera[:3, 3]
    distance = np.maximum(np.sqrt((offset * offset).sum(axis=1)), 1e-6)
    across = (bearing_sigma * distance) ** 2 + sigma_floor**2
    along = np.where(seen, tracks.sigma, 0.0).astype(np.float64) ** 2 + sigma_floor**2
    return Measured(
        xyz=xyz,
        ray=offset / distance[:, None],
        across=np.where(seen, 1.0 / (noise * across), 0.0),
        along=np.where(seen, 1.0 / (noise * along), 0.0),
    )


def places(old: NDArray[np.uint32], new: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return for each id of `new` its row in `old` (any row if it has none), and whether it has one."""
    if not len(old):
        return np.zeros(len(new), np.intp), np.zeros(len(new), np.bool_)
    order = np.argsort(old, kind="stable")
    rows = order[np.minimum(np.searchsorted(old, new, sorter=order), len(old) - 1)]
    return rows, old[rows] == new


@dataclass
class TrackWindow:
    """The measurements of the last images, as a ring of at most `size` of them.

    Attributes:
        size: W, images.
        ids: (N,) ids of the tracks.
        stamps: (W,) int64 of the images, ns; negative where there is none.
        xyz: (W, N, 3), see `Measured`.
        ray: (W, N, 3).
        across: (W, N).
        along: (W, N).
        slot: Place of the newest image.
        noted: Images taken since the window was made.
    """

    size: int
    ids: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    stamps: NDArray[np.int64] = field(init=False)
    xyz: NDArray[np.float64] = field(init=False)
    ray: NDArray[np.float64] = field(init=False)
    across: NDArray[np.float64] = field(init=False)
    along: NDArray[np.float64] = field(init=False)
    slot: int = -1
    noted: int = 0

    def __post_init__(self) -> None:
        self.stamps = np.full(self.size, -1, np.int64)
        self.xyz = np.zeros((self.size, len(self.ids), 3))
        self.ray = np.zeros((self.size, len(self.ids), 3))
        self.across = np.zeros((self.size, len(self.ids)))
        self.along = np.zeros((self.size, len(self.ids)))

    def follow(self, ids: NDArray[np.uint32]) -> None:
        """Put the tracks into the order of `ids`; others are forgotten, new ones have no past."""
        rows, known = places(self.ids, ids)
        for name in ("xyz", "ray", "across", "along"):
            old = getattr(self, name)
            new = np.zeros((self.size, len(ids), *old.shape[2:]))
            new[:, known] = old[:, rows[known]]
            setattr(self, name, new)
        self.ids = ids

    def push(self, stamp: int, points: Measured) -> int:
        """Take the measurements of an image in place of the oldest ones and return their slot."""
        self.slot = (self.slot + 1) % self.size
        self.noted += 1
        self.stamps[self.slot] = stamp
        self.xyz[self.slot], self.ray[self.slot] = points.xyz, points.ray
        self.across[self.slot], self.along[self.slot] = points.across, points.along
        return self.slot

    def recent(self, seconds: float, count: int) -> NDArray[np.intp]:
        """Return slots of at most `count` images of the last `seconds`, spread evenly, oldest first."""
        now = self.stamps[self.slot]
        order = np.argsort(self.stamps, kind="stable")
        stamps = self.stamps[order]
        order = order[(stamps >= 0) & (stamps >= now - seconds / _NS)]
        if len(order) > count:
            order = order[np.round(np.linspace(0, len(order) - 1, count)).astype(np.intp)]
        return np.asarray(order, np.intp)


@dataclass(frozen=True, eq=False)
class PathFit:
    """How well N tracks keep their places in a frame that moves along a path.

    Attributes:
        chi2: (N,) sum of squared errors, in sigmas.
        freedom: (N,) its degrees of freedom: three for each measurement after the first.
        slide: (N,) the part of it that a straight motion within the moving frame explains, three degrees of
            freedom: it tells slow motions from noise.
        place: (N, 3) mean position in the moving frame, m.
        information: (N, 3, 3) inverse covariance of `place`, 1/m^2.
    """

    chi2: NDArray[np.float64]
    freedom: NDArray[np.int64]
    slide: NDArray[np.float64]
    place: NDArray[np.float64]
    information: NDArray[np.float64]

    @property
    def ratio(self) -> NDArray[np.float64]:
        """(N,) squared error for each degree of freedom, about 1 for tracks that follow the path."""
        return self.chi2 / np.maximum(self.freedom, 1)


def along_path(
    window: TrackWindow,
    slots: NDArray[np.intp],
    columns: NDArray[np.intp],
    poses: NDArray[np.float64],
) -> PathFit:
    """Ask whether tracks move with a frame.

    Args:
        window: The measurements.
        slots: (F,) images.
        columns: (N,) tracks.
        poses: (F, 4, 4) of the frame in these images.
    """
    at = np.ix_(slots, columns)
    across = window.across[at]
    excess = window.along[at] - across
    turn = poses[:, :3, :3]
    local = (window.xyz[at] - poses[:, None, :3, 3]) @ turn
    ray = window.ray[at] @ turn
    total = across.sum(axis=0)
    start = np.einsum("fn,fni->ni", across, local) / np.maximum(total, 1e-12)[:, None]
    offset = local - start
    weighted = across[..., None] * offset + (excess * (ray * offset).sum(axis=2))[..., None] * ray
    information = np.matmul((ray * excess[..., None]).transpose(1, 2, 0), ray.transpose(1, 0, 2))
    information[:, (0, 1, 2), (0, 1, 2)] += total[:, None]
    pull = weighted.sum(axis=0)
    seen = (across > 0).sum(axis=0)
    covariance = inverse(np.where((seen > 0)[:, None, None], information, np.eye(3)))
    step = (covariance @ pull[..., None])[..., 0]
    chi2 = (offset * weighted).sum(axis=(0, 2)) - (pull * step).sum(axis=1)
    return PathFit(
        chi2=np.maximum(chi2, 0.0),
        freedom=3 * np.maximum(seen - 1, 0),
        slide=_slide(window.stamps[slots], across, weighted, covariance),
        place=start + step,
        information=information,
    )


def _slide(
    stamps: NDArray[np.int64],
    across: NDArray[np.float64],
    weighted: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return `PathFit.slide` of weighted offsets (F, N, 3) from the mean places of `covariance` (N, 3, 3)."""
    seconds = ((stamps - stamps[-1]) * _NS)[:, None]
    total = np.maximum(across.sum(axis=0), 1e-12)
    centred = seconds - (seconds * across).sum(axis=0) / total
    moment = (across * centred * centred).sum(axis=0) / total
    pull = (centred[..., None] * weighted).sum(axis=0)
    chi2 = (pull * (covariance @ pull[..., None])[..., 0]).sum(axis=1)
    return np.asarray(chi2 / np.maximum(moment, 1e-12))


def at_rest(window: TrackWindow, slots: NDArray[np.intp], columns: NDArray[np.intp]) -> PathFit:
    """Ask whether tracks stand still."""
    return along_path(window, slots, columns, np.broadcast_to(np.eye(4), (len(slots), 4, 4)))


def displacement(
    window: TrackWindow, slots: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return how tracks (N,) got on in images (F,) at the constant velocity that fits best, (N, 3) m."""
    at = np.ix_(slots, columns)
    there = window.across[at] > 0
    count = np.maximum(there.sum(axis=0), 1)
    time = ((window.stamps[slots] - window.stamps[slots[-1]]) * _NS)[:, None]
    offset = np.where(there, time - (there * time).sum(axis=0) / count, 0.0)
    moment = np.maximum((offset * offset).sum(axis=0), 1e-12)
    # The times' mean is taken out, so the positions' need not be.
    velocity = (offset[..., None] * window.xyz[at]).sum(axis=0) / moment[:, None]
    return np.asarray(velocity * np.ptp(offset, axis=0)[:, None])
