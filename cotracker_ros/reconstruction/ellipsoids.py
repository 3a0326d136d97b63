"""Noise of measured points as ellipsoids: long along the viewing ray, thin across it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ellipsoids(
    ray: NDArray[np.float64], across: NDArray[np.float64], along: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (..., 3, 3) matrices with eigenvalue `along` for unit vectors `ray` (..., 3), else `across`.

    Variances give covariances, inverse variances give information.
    """
    outer = ray[..., :, None] * (ray * (along - across)[..., None])[..., None, :]
    outer[..., (0, 1, 2), (0, 1, 2)] += across[..., None]
    return outer


def inverse(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverses of symmetric positive definite (..., 3, 3) matrices.

    By cofactors, several times faster than LAPACK at this size.
    """
    a, b, c = matrices[..., 0, 0], matrices[..., 0, 1], matrices[..., 0, 2]
    d, e, f = matrices[..., 1, 1], matrices[..., 1, 2], matrices[..., 2, 2]
    result = np.empty_like(matrices)
    result[..., 0, 0] = d * f - e * e
    result[..., 0, 1] = result[..., 1, 0] = c * e - b * f
    result[..., 0, 2] = result[..., 2, 0] = b * e - c * d
    result[..., 1, 1] = a * f - c * c
    result[..., 1, 2] = result[..., 2, 1] = b * c - a * e
    result[..., 2, 2] = a * d - b * b
    determinant = a * result[..., 0, 0] + b * result[..., 0, 1] + c * result[..., 0, 2]
    result /= determinant[..., None, None]
    return result
