"""The arithmetic of constant-velocity Kalman filters, for each axis by itself, for many points at once.

Filters are arrays (5, 2, N, 3): a row for each quantity, two filters, N points, three axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

POSITION, VELOCITY, VARIANCE, COVARIANCE, SPEED_VARIANCE = range(5)


def predicted(
    filters: NDArray[np.float64], dt: NDArray[np.float64], noise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Take filters (5, 2, N, 3) ahead by `dt` (N, 1) s, by constant velocity and white acceleration.

    `noise` (2, 1, 1) is the spectral density of the acceleration.
    """
    position, velocity, variance, covariance, speed_variance = filters
    ahead = np.empty_like(filters)
    ahead[POSITION] = position + velocity * dt
    ahead[VELOCITY] = velocity
    ahead[VARIANCE] = variance + dt * (2 * covariance + dt * speed_variance) + noise * dt**3 / 3
    ahead[COVARIANCE] = covariance + dt * speed_variance + noise * dt**2 / 2
    ahead[SPEED_VARIANCE] = speed_variance + noise * dt
    return ahead


def updated(
    ahead: NDArray[np.float64], innovation: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Correct predicted filters (5, 2, N, 3) by how far the measurements are off, (2, N, 3)."""
    position, velocity, p00, p01, p11 = ahead
    total = p00 + variance
    k0, k1 = p00 / total, p01 / total
    corrected = np.empty_like(ahead)
    corrected[POSITION] = position + k0 * innovation
    corrected[VELOCITY] = velocity + k1 * innovation
    corrected[VARIANCE] = (1 - k0) * p00
    corrected[COVARIANCE] = (1 - k0) * p01
    corrected[SPEED_VARIANCE] = p11 - k1 * p01
    return corrected


def squares(values: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums (..., N) of squares of (..., N, 3) over their variances."""
    return np.asarray(np.einsum("...i,...i->...", values, values / variance))


def length(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lengths (..., N) of vectors (..., N, 3)."""
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", values, values)))


def largest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest component (N,) of each row (N, 3)."""
    return np.asarray(np.maximum(np.maximum(values[:, 0], values[:, 1]), values[:, 2]))
