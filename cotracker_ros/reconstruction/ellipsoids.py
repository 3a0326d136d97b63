"""Noise of measured points as ellipsoids: long along the viewing ray, thin across it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.matrix_stacks import UPPER, inverse_entries

_EYE = np.eye(3)


def ellipsoids(
    ray: NDArray[np.float64], across: NDArray[np.float64], along: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (..., 3, 3) matrices with eigenvalue `along` for unit vectors `ray` (..., 3), else `across`.

    Variances give covariances, inverse variances give information.
    """
    longer = ray * (along - across)[..., None]
    return np.asarray(ray[..., :, None] * longer[..., None, :] + across[..., None, None] * _EYE)


def inverse(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverses of symmetric positive definite (..., 3, 3) matrices.

    By cofactors of all at once, several times faster than LAPACK at this size.
    """
    upper = matrices.reshape(-1, 9).T.take(UPPER, axis=0)
    return inverse_entries(upper).T.reshape(matrices.shape)
