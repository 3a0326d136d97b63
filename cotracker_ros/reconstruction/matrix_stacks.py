"""Many small matrices at once, as (A, B, M) arrays of M of them.

With the matrices' number as the last axis, every operation runs along contiguous memory: several times faster
than NumPy's own products of (M, A, B) arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UPPER = (0, 1, 2, 4, 5, 8)
"""Of the nine entries of a symmetric matrix, those that tell the others."""
_FULL = (0, 1, 2, 1, 3, 4, 2, 4, 5)  # which of these six each of the nine is
_COFACTORS = np.array([(3, 5, 4, 4), (2, 4, 1, 5), (1, 4, 2, 3), (0, 5, 2, 2), (1, 2, 0, 4), (0, 3, 1, 1)]).T
"""Of which of the six, by pairs, the products are, whose difference is the cofactor of each."""
_NO_MATRIX = 1e-300  # determinant: what is less is that of zeros


def stacked(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (M, A, B) matrices as a stack (A, B, M)."""
    return np.ascontiguousarray(matrices.transpose(1, 2, 0))


def unstacked(stack: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a stack (A, B, M) as (M, A, B) matrices."""
    return np.ascontiguousarray(stack.transpose(2, 0, 1))


def diagonals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the stack (A, A, M) of diagonal matrices with `values` (M, A)."""
    count, size = values.shape
    stack = np.zeros((size, size, count))
    rows = np.arange(size)
    stack[rows, rows] = values.T
    return stack


def product(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the products (A, C, M) of stacks (A, B, M) and (B, C, M)."""
    return np.asarray(np.einsum("abm,bcm->acm", one, other))


def propagated(jacobian: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariances J C J^T (A, A, M) of what depends by `jacobian` (A, B, M) on C (B, B, M)."""
    return np.asarray(np.einsum("abm,cbm->acm", product(jacobian, covariance), jacobian))


def inverse_symmetric(stack: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverses of a stack (3, 3, M) of symmetric positive matrices, by cofactors."""
    return inverse_entries(stack.reshape(9, -1).take(UPPER, axis=0)).reshape(stack.shape)


def inverse_entries(upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nine entries (9, N) of the inverses of symmetric matrices by six (6, N) of theirs.

    See `inverse_upper`.
    """
    return inverse_upper(upper).take(_FULL, axis=0)


def inverse_upper(upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert symmetric matrices, given and returned as six entries of each, (6, N).

    These are the entries on and above the diagonal, row by row. What is zero throughout stays so.
    """
    first, second, third, fourth = (upper.take(entries, axis=0) for entries in _COFACTORS)
    cofactors = first * second - third * fourth
    determinant = (upper[:3] * cofactors[:3]).sum(axis=0)
    cofactors /= np.maximum(determinant, _NO_MATRIX)
    return cofactors
