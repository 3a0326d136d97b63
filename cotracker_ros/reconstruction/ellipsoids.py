"""Noise of measured points as ellipsoids: long along the viewing ray, thin across it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EYE = np.eye(3)
_UPPER = (0, 1, 2, 4, 5, 8)  # of the nine entries of a symmetric matrix, those that tell the others
_FULL = (0, 1, 2, 1, 3, 4, 2, 4, 5)  # which of these six each of the nine is
_COFACTORS = np.array([(3, 5, 4, 4), (2, 4, 1, 5), (1, 4, 2, 3), (0, 5, 2, 2), (1, 2, 0, 4), (0, 3, 1, 1)]).T
"""Of which of the six, by pairs, the products are, whose difference is the cofactor of each."""
_NO_MATRIX = 1e-300  # determinant: what is less is that of zeros


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
    upper = matrices.reshape(-1, 9).T.take(_UPPER, axis=0)
    return inverse_entries(upper).T.reshape(matrices.shape)


def inverse_entries(upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nine entries (9, N) of the inverses of symmetric matrices by six (6, N) of theirs.

    These are the entries on and above the diagonal, row by row. What is zero throughout stays so.
    """
    first, second, third, fourth = (upper.take(entries, axis=0) for entries in _COFACTORS)
    cofactors = first * second - third * fourth
    determinant = (upper[:3] * cofactors[:3]).sum(axis=0)
    cofactors /= np.maximum(determinant, _NO_MATRIX)
    return cofactors.take(_FULL, axis=0)
