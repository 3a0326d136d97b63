"""Many small matrices at once, as (A, B, M) arrays of M of them.

With the matrices' number as the last axis, every operation runs along contiguous memory: several times faster
than NumPy's own products of (M, A, B) arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    """Return the inverses of a stack (3, 3, ...) of symmetric positive matrices, by cofactors."""
    (a, b, c), (_, d, e), (_, _, f) = stack
    inverse = np.empty_like(stack)
    inverse[0, 0], inverse[1, 1], inverse[2, 2] = d * f - e * e, a * f - c * c, a * d - b * b
    inverse[0, 1] = inverse[1, 0] = c * e - b * f
    inverse[0, 2] = inverse[2, 0] = b * e - c * d
    inverse[1, 2] = inverse[2, 1] = b * c - a * e
    inverse /= a * inverse[0, 0] + b * inverse[0, 1] + c * inverse[0, 2]
    return inverse
