"""Depth of single points from a depth image, without mixing what lies in front with what lies behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MIN_SURFACE_PIXELS = 3  # fewer neighbours of one depth are noise, not a surface
_MIX_RATIO = 4  # a surface with a neighbour smaller than this part of itself is not mixed from it
_FOREGROUND_BONUS = 0.5  # px: corners that trackers like sit on the nearer surface, so it wins close calls
_EXPECTED_BONUS = 1.0  # px: the surface that the point was on before wins close calls
_TINY_MOMENT = 1e-4  # px^2: keeps the plane fit solvable when all pixels lie on one line
_BEND = 1.5  # of an edge's step; the mean of two depths is nearer to the middle's than either
_ANGLES = np.arange(4) * np.pi / 4
_PAIRS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)[:, None] * np.array([[[1.0], [-1.0]]])
_CIRCLES = np.concatenate([np.zeros((1, 2)), 0.5 * _PAIRS.reshape(-1, 2), _PAIRS.reshape(-1, 2)])
_BLOCK = 1024  # points at once: their neighbourhoods stay in the processor's cache


@dataclass(frozen=True)
class DepthNoise:
    """How far a depth sensor is off, one standard deviation: ``base + quadratic * max(z - offset, 0)^2``.

    The defaults are Nguyen et al.'s (2012) for structured light; stereo cameras have the same shape.

    Attributes:
        base: At and below the distance `offset`, m.
        quadratic: Growth with the square of the distance, 1/m.
        offset: Where the growth begins, m.
    """

    base: float = 0.0012
    quadratic: float = 0.0019
    offset: float = 0.4

    def __post_init__(self) -> None:
        if not (self.base > 0 and self.quadratic >= 0 and np.isfinite(self.offset)):
            raise ValueError(
                f"the depth noise got base={self.base}, quadratic={self.quadratic}, offset={self.offset}: "
                "give a positive base and no negative growth"
            )

    def sigma(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one standard deviation, m, at the depths `z`, m."""
        return np.asarray(self.base + self.quadratic * np.maximum(z - self.offset, 0.0) ** 2)


@dataclass(frozen=True)
class DepthSampling:
    """How a depth image is read at a point.

    Attributes:
        radius: Half the size of the square of pixels that is looked at, px (2 looks at 5x5).
        hole_radius: A point further than this from the nearest pixel of its surface has no depth, px.
        edge_relative: Depths further apart than this part of their distance belong to two surfaces.
        edge_sigmas: ... if they are also further apart than this many standard deviations of the sensor.
        pixel_sigma: How far the point's position may be off, px: what a slanted surface makes of it adds to
            the uncertainty.
        patch: Half the size of what a tracker compares around a point, px. Where two surfaces share it, as at
            the rim of an object, tracks slide along the rim ...
        patch_sigma: ... and their position may be off by this, px.
        min_depth: Nearer readings are invalid, m.
        max_depth: Farther readings are invalid, m.
        noise: The sensor's noise.
    """

    radius: int = 2
    hole_radius: float = 1.5
    edge_relative: float = 0.02
    edge_sigmas: float = 4.0
    pixel_sigma: float = 0.5
    patch: float = 10.0
    patch_sigma: float = 3.0
    min_depth: float = 0.05
    max_depth: float = 100.0
    noise: DepthNoise = field(default_factory=DepthNoise)

    def __post_init__(self) -> None:
        if not 1 <= self.radius <= 8:
            raise ValueError(f"the radius of depth sampling is {self.radius} px: give 1 to 8")
        if not (self.hole_radius > 0 and self.edge_relative > 0 and self.edge_sigmas >= 0):
            raise ValueError(
                f"depth sampling got hole_radius={self.hole_radius}, edge_relative={self.edge_relative}, "
                f"edge_sigmas={self.edge_sigmas}: give positive numbers"
            )
        if not (self.patch > 0 and self.patch_sigma > 0):
            raise ValueError(
                f"depth sampling got patch={self.patch} px and patch_sigma={self.patch_sigma} px: "
                "give positive numbers"
            )
        if not self.pixel_sigma >= 0:
            raise ValueError(f"depth sampling got pixel_sigma={self.pixel_sigma}: give 0 px or more")
        if not 0 <= self.min_depth < self.max_depth:
            raise ValueError(
                f"depth sampling got min_depth={self.min_depth}, max_depth={self.max_depth}: "
                "give 0 <= min_depth < max_depth, m"
            )

    def edge(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the step, m, from which on two depths near `z`, m, belong to two surfaces."""
        return np.maximum(self.edge_relative * z, self.edge_sigmas * self.noise.sigma(z))


def sample_depth(
    depth: NDArray[np.float32],
    xy: ArrayLike,
    config: DepthSampling | None = None,
    expected: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a depth image at sub-pixel positions.

    The pixels around a point are divided into surfaces where their sorted depths leave a gap. Surfaces of
    fewer than three pixels are noise; one that lies between two others and is not the largest is the mix that
    sensors put on edges (unless a neighbour is so small that it is itself the noise). Of the rest, the point
    is on the one with the nearest pixel; in close calls the one that was expected, then the one in front. Its
    depth is read from a plane through the pixels of that surface alone, weighted by distance; planes are
    linear in inverse depth, so this is exact for them.

    Convention: depth along the optical axis (z), not along the ray. Pixel (0, 0) is the centre of the first.

    Args:
        depth: (H, W) m; NaN and zero are invalid.
        xy: (N, 2) positions in the depth image, px.
        config: How to read; defaults suit RGB-D cameras.
        expected: (N,) depths that the points should have, m, NaN where unknown.

    Returns:
        (N,) depths, m, and (N,) standard deviations, m: the sensor's noise or the scatter about the plane,
        whichever is larger, and what a position error makes of the slope. NaN in holes and outside the image.
    """
    config = config or DepthSampling()
    points = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    z, sigma = np.full(len(points), np.nan), np.full(len(points), np.nan)
    height, width = depth.shape
    x, y = points.T
    with np.errstate(invalid="ignore"):
        inside = (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)
    rows = np.flatnonzero(inside)
    wanted = np.full(len(points), np.nan) if expected is None else np.asarray(expected, dtype=np.float64)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        z[block], sigma[block] = _sample_block(depth, points.take(block, axis=0), wanted.take(block), config)
    return z, sigma


def at_rims(
    depth: NDArray[np.float32], xy: ArrayLike, radius: ArrayLike, config: DepthSampling | None = None
) -> NDArray[np.bool_]:
    """Tell (N,) around which points more than one surface is seen.

    On a plane the inverse depth of a pixel is the mean of those of two pixels on opposite sides. Eight such
    pairs, on circles of `radius` and half of it, are looked at; pairs with a hole say nothing.

    Args:
        depth: (H, W) m; NaN and zero are invalid.
        xy: (N, 2) positions in the depth image, px.
        radius: Of the circle, px, or one number for each axis.
        config: How depth is read.
    """
    config = config or DepthSampling()
    points = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    circles = _CIRCLES * np.asarray(radius)
    height, width = depth.shape
    x = np.rint(points[:, 0] + circles[:, :1]).clip(0, width - 1)
    y = np.rint(points[:, 1] + circles[:, 1:]).clip(0, height - 1)
    z = depth.ravel().take((y * width + x).astype(np.intp))
    z[~(z > 0)] = np.nan
    inverse = 1 / z.astype(np.float64)
    middle = inverse[0]
    bend = np.abs(inverse[1::2] + inverse[2::2] - 2 * middle)
    return np.asarray((bend > 2 * _BEND * config.edge(1 / middle) * middle**2).any(axis=0))


@dataclass(frozen=True, eq=False)
class _Stencil:
    """The pixels around a central one, row by row.

    Attributes:
        steps: Of a row or column from the central one, px.
        xy: (K, 2) float32, of the pixels from the central one, px.
        weight: (K, 1) float32, of the pixels in fits.
        moments: (6, K) float32: 1, x, y, xx, xy, yy.
    """

    steps: NDArray[np.int_]
    xy: NDArray[np.float32]
    weight: NDArray[np.float32]
    moments: NDArray[np.float32]

    @classmethod
    @cache
    def of(cls, radius: int) -> _Stencil:
        """Return the stencil of all pixels no more than `radius` rows and columns away."""
        steps = np.arange(-radius, radius + 1)
        x, y = (grid.ravel().astype(np.float32) for grid in np.meshgrid(steps, steps))
        weight = np.exp(-0.5 * (x * x + y * y))[:, None]
        moments = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
        return cls(steps, np.stack([x, y], axis=1), weight, moments)


def _sample_block(
    depth: NDArray[np.float32],
    points: NDArray[np.float64],
    expected: NDArray[np.float64],
    config: DepthSampling,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample M points inside an image.

    Neighbourhoods are (K, M): the same pixel of all points is contiguous, which is what makes this fast.
    """
    stencil = _Stencil.of(config.radius)
    steps = stencil.steps[:, None]
    centre = np.floor(points + 0.5)
    fx, fy = (points - centre).T.astype(np.float32)
    x, y = centre.T.astype(np.intp)
    around, inside = _around(depth, x, y, stencil.steps)
    around[~(inside & (around >= config.min_depth) & (around <= config.max_depth))] = np.nan
    off = fx * fx + fy * fy  # squared distance from the nearest pixel of the surface
    # Most neighbourhoods are one surface without a hole; only the others are looked at pixel by pixel.
    lowest = around.min(axis=0)
    torn = np.flatnonzero(~(around.max(axis=0) - lowest <= config.edge(lowest)))
    if len(torn):
        squared = ((steps - fx[torn]) ** 2)[None] + ((steps - fy[torn]) ** 2)[:, None]
        squared = squared.reshape(-1, len(torn))
        found = around.take(torn, axis=1)
        surface = _choose_surface(found, np.sqrt(squared), expected[torn], config)
        around[:, torn] = np.where(surface, found, np.nan)
        off[torn] = np.where(surface, squared, np.inf).min(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z, sigma = _fit(around, stencil, (fx, fy), config)
    hole = off > config.hole_radius**2
    z[hole] = sigma[hole] = np.nan
    return z, sigma


def _around(
    depth: NDArray[np.float32], x: NDArray[np.intp], y: NDArray[np.intp], steps: NDArray[np.int_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the depths (K, M) around columns x (M,) and rows y (M,) of an image, and which are inside it."""
    height, width = depth.shape
    aside = (steps[:, None] * width + steps).reshape(-1, 1)
    found = depth.ravel().take(y * width + x + aside, mode="clip")  # outside it, of any pixel
    columns, rows = x + steps[:, None], y + steps[:, None]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    return found, inside.reshape(found.shape)


def _choose_surface(
    around: NDArray[np.float32],
    distance: NDArray[np.float64],
    expected: NDArray[np.float64],
    config: DepthSampling,
) -> NDArray[np.bool_]:
    """Return (K, E) bool for points whose neighbourhood holds several surfaces or outliers.

    Args:
        around: (K, E) depths of the neighbouring pixels, m, NaN where invalid.
        distance: (K, E) of the neighbouring pixels from the point, px.
        expected: (E,) depths that the points should have, m, NaN where unknown.
        config: Says what an edge is.
    """
    # NaN come last; as places in the flattened arrays.
    column = np.arange(around.shape[1])
    order = np.argsort(around, axis=0) * len(column) + column
    depths = around.ravel()[order].astype(np.float64)
    edge = config.edge(depths)
    with np.errstate(invalid="ignore"):
        label, eligible = _surfaces(depths, edge)
        as_expected = np.abs(depths - expected) < edge
    handicap = np.where(eligible, 0.0, np.inf)
    handicap[eligible.argmax(axis=0), column] -= _FOREGROUND_BONUS
    cost = distance.ravel()[order] + handicap.ravel()[label * len(column) + column]
    cost -= _EXPECTED_BONUS * as_expected
    chosen = label[cost.argmin(axis=0), column]
    surface = np.empty(depths.shape, dtype=bool)
    surface.ravel()[order] = (label == chosen) & (cost < np.inf)
    return surface


def _surfaces(
    depths: NDArray[np.float64], edge: NDArray[np.float64]
) -> tuple[NDArray[np.int_], NDArray[np.bool_]]:
    """Divide columns of sorted depths at their gaps.

    Args:
        depths: (K, E) m, rising, NaN last.
        edge: (K, E) what a gap behind them is, m.

    Returns:
        (K, E) numbers of their surfaces, from the nearest on, and (K, E) bool, whether the surface of each
        number is one: it has enough pixels, and is not likely the mix of those before and behind it.
    """
    count, points = depths.shape
    label = np.zeros((count, points), dtype=np.int_)
    gap = ~(depths[1:] - depths[:-1] <= edge[:-1])  # NaN ends a surface, too
    np.cumsum(gap, axis=0, out=label[1:])
    # Sizes of the surfaces with an empty one before and behind; NaNs have labels of their own of size 0.
    flat = (label + 1) * points + np.arange(points)
    sizes = np.bincount(flat.ravel(), weights=(~np.isnan(depths)).ravel(), minlength=(count + 2) * points)
    sizes = sizes.reshape(count + 2, points)
    own = sizes[1:-1]
    between = (_MIX_RATIO * np.minimum(sizes[:-2], sizes[2:]) >= own) & (own < sizes.max(axis=0))
    return label, (own >= _MIN_SURFACE_PIXELS) & ~between


def _fit(
    around: NDArray[np.float32],
    stencil: _Stencil,
    fraction: tuple[NDArray[np.float32], NDArray[np.float32]],
    config: DepthSampling,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a plane to the inverse depths of each surface and read it at the point.

    Args:
        around: (K, M) depths of the pixels to use, m; NaN for the others.
        stencil: The pixels.
        fraction: (M,) x and y of the points from the central pixel, px.
        config: Knows the noise.

    Returns:
        (M,) depths and standard deviations, m; not finite where no pixel is to be used.
    """
    surface = ~np.isnan(around)
    weight = surface * stencil.weight
    inverse = 1.0 / np.where(surface, around, np.inf)
    # Moments of the pixels' positions and of their inverse depths, relative to the centres of gravity.
    s, sx, sy, sxx, sxy, syy = stencil.moments @ weight
    mx, my = sx / s, sy / s
    mean = (weight * inverse).sum(axis=0) / s
    centred = inverse - mean
    cx, cy = stencil.moments[1:3] @ (weight * centred)
    cxx, cxy, cyy = sxx - s * mx * mx + _TINY_MOMENT, sxy - s * mx * my, syy - s * my * my + _TINY_MOMENT
    determinant = cxx * cyy - cxy * cxy
    slope_x, slope_y = (cx * cyy - cy * cxy) / determinant, (cy * cxx - cx * cxy) / determinant
    at_point = mean + slope_x * (fraction[0] - mx) + slope_y * (fraction[1] - my)
    # Two rows of noisy pixels must not be extrapolated beyond the depths that any of them has.
    at_point = np.minimum(at_point, 1 / np.fmin.reduce(around, axis=0))
    at_point = np.maximum(at_point, 1 / np.fmax.reduce(around, axis=0))
    z = 1.0 / at_point.astype(np.float64)
    plane = stencil.xy @ np.stack([slope_x, slope_y]) - (slope_x * mx + slope_y * my)
    scatter = np.sqrt((weight * (centred - plane) ** 2).sum(axis=0) / s) * z * z
    slope = np.hypot(slope_x, slope_y) * z * z  # m per px
    return z, np.hypot(np.maximum(config.noise.sigma(z), scatter), slope * config.pixel_sigma)
