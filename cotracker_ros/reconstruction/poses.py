"""Rigid poses as 4x4 matrices, and the quaternions (x, y, z, w) that messages carry.

Convention: ``matrix`` of a frame "child" in a frame "parent" maps points of the child to the parent,
``p_parent = matrix @ p_child``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pose_matrix(translation: ArrayLike, quaternion: ArrayLike) -> NDArray[np.float64]:
    """Return the (4, 4) pose of a translation (x, y, z), m, and a quaternion (x, y, z, w).

    Raises:
        ValueError: A number is not finite or the quaternion is zero.
    """
    position = np.asarray(translation, dtype=np.float64).reshape(3)
    if not np.isfinite(position).all():
        raise ValueError(f"the translation {position.tolist()} is not finite: give metres")
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_quaternion(quaternion)
    matrix[:3, 3] = position
    return matrix


def rotation_from_quaternion(quaternion: ArrayLike) -> NDArray[np.float64]:
    """Return the (3, 3) rotation of a quaternion (x, y, z, w) of any length but zero.

    Raises:
        ValueError: The quaternion is zero or not finite.
    """
    given = np.asarray(quaternion, dtype=np.float64).reshape(4)
    length = float(np.linalg.norm(given))
    if not np.isfinite(length) or length < 1e-9:
        raise ValueError(f"the quaternion {given.tolist()} is no rotation: give x, y, z, w of length 1")
    x, y, z, w = given / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_rotation(rotation: ArrayLike) -> NDArray[np.float64]:
    """Return the quaternion (x, y, z, w) with w >= 0 of a (3, 3) rotation or a (4, 4) pose.

    Raises:
        ValueError: The matrix is not a rotation.
    """
    m = np.asarray(rotation, dtype=np.float64)[:3, :3]
    if not np.allclose(m @ m.T, np.eye(3), atol=1e-4) or np.linalg.det(m) < 0:
        raise ValueError(f"the matrix {m.tolist()} is no rotation: its columns must be orthonormal")
    # Of the four ways to divide by one component, take the one with the largest: the others lose digits.
    squares = np.array(
        [
            1 + m[0, 0] - m[1, 1] - m[2, 2],
            1 - m[0, 0] + m[1, 1] - m[2, 2],
            1 - m[0, 0] - m[1, 1] + m[2, 2],
            1 + m[0, 0] + m[1, 1] + m[2, 2],
        ]
    )
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    xw, yw, zw = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    products = np.array(
        [
            [squares[0], xy, xz, xw],
            [xy, squares[1], yz, yw],
            [xz, yz, squares[2], zw],
            [xw, yw, zw, squares[3]],
        ]
    )
    quaternion = products[int(np.argmax(squares))]
    quaternion = quaternion / np.linalg.norm(quaternion)
    return np.asarray(-quaternion if quaternion[3] < 0 else quaternion)


def slerp(start: ArrayLike, end: ArrayLike, fraction: float) -> NDArray[np.float64]:
    """Return the unit quaternion `fraction` (0 to 1) of the shorter way from `start` to `end`."""
    a = np.asarray(start, dtype=np.float64)
    b = np.asarray(end, dtype=np.float64)
    cosine = float(a @ b)
    if cosine < 0:
        b, cosine = -b, -cosine
    if cosine > 1 - 1e-9:  # so close that the sine vanishes, and the chord is the arc
        mixed = a + fraction * (b - a)
    else:
        angle = np.arccos(cosine)
        mixed = np.sin((1 - fraction) * angle) * a + np.sin(fraction * angle) * b
    return np.asarray(mixed / np.linalg.norm(mixed))


def interpolate_pose(start: ArrayLike, end: ArrayLike, fraction: float) -> NDArray[np.float64]:
    """Return the (4, 4) pose between two: positions on the straight line, rotations by slerp."""
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    rotation = slerp(quaternion_from_rotation(a), quaternion_from_rotation(b), fraction)
    return pose_matrix((1 - fraction) * a[:3, 3] + fraction * b[:3, 3], rotation)


def invert_pose(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return the inverse of a (4, 4) rigid pose."""
    given = np.asarray(matrix, dtype=np.float64)
    inverse = np.eye(4)
    inverse[:3, :3] = given[:3, :3].T
    inverse[:3, 3] = -given[:3, :3].T @ given[:3, 3]
    return inverse


def transform_points(matrix: ArrayLike, xyz: ArrayLike) -> NDArray[np.float64]:
    """Return `xyz` (N, 3), m, mapped by the (4, 4) `matrix`; NaN stays NaN."""
    given = np.asarray(matrix, dtype=np.float64)
    return np.asarray(np.asarray(xyz, dtype=np.float64) @ given[:3, :3].T + given[:3, 3])
