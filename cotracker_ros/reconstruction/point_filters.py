"""The arithmetic of constant-velocity Kalman filters, for each axis by itself, for many points at once.

Filters are arrays (5, 2, N, 3): a row for each quantity, two filters, N points, three axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

POSITION, VELOCITY, VARIANCE, COVARIANCE, SPEED_VARIANCE = range(5)


def on_axes(values: NDArray[Any]) -> NDArray[Any]:
    """Return (N,) values as (N, 3), the same for each axis.

    Unlike by broadcasting a column, arithmetic with (N, 3) runs along all of the memory in one go.
    """
    return np.repeat(values, 3).reshape(-1, 3)


def predicted(
    filters: NDArray[np.float64], dt: NDArray[np.float64], noise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Take filters (5, 2, N, 3) ahead by `dt` (N,) s, by constant velocity and white acceleration.

    `noise` (2, 1, 1) is the spectral density of the acceleration.
    """
    step = on_axes(dt)
    ahead = filters.copy()
    position, velocity, variance, covariance, speed_variance = ahead
    slope = step * speed_variance
    wander = noise * step
    position += velocity * step
    variance += step * (2 * covariance + slope + wander * step / 3)
    covariance += slope + wander * step / 2
    speed_variance += wander
    return ahead


def correct(
    filters: NDArray[np.float64], innovation: NDArray[np.float64], variance: NDArray[np.float64]
) -> None:
    """Correct predicted filters (5, 2, N, 3) in place by how far the measurements are off, (2, N, 3)."""
    position, velocity, p00, p01, p11 = filters
    total = p00 + variance
    k0, k1 = p00 / total, p01 / total
    position += k0 * innovation
    velocity += k1 * innovation
    p11 -= k1 * p01
    p00 *= 1 - k0
    p01 *= 1 - k0


def squares(values: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums (..., N) of squares of (..., N, 3) over their variances."""
    return np.asarray(np.einsum("...i,...i->...", values, values / variance))


def length(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lengths (..., N) of vectors (..., N, 3)."""
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", values, values)))


def largest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest component (N,) of each row (N, 3)."""
    return np.asarray(np.maximum(np.maximum(values[:, 0], values[:, 1]), values[:, 2]))
