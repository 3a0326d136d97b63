"""Noise of measured points as ellipsoids: long along the viewing ray, thin across it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.matrix_stacks import inverse_symmetric


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
    stack = np.moveaxis(matrices, (-2, -1), (0, 1))
    return np.moveaxis(inverse_symmetric(stack), (0, 1), (-2, -1))
