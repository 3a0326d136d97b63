"""The poses that suit measured points of several bodies best, for all at once: least squares' parts.

Errors of a pose are small changes as in `rigid`, in the axes of the fixed frame. There are few bodies and few
points, so that what counts is how few arrays are made, not how large they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.rigid import skew

_AXES = np.eye(3)
_CROSS = skew(np.eye(3)).reshape(3, 9)  # vectors @ this are the matrices of their cross products
_TURNS = -_CROSS  # ... and of what a small change of the orientation adds to a vector
_REGULAR = 1e-9 * np.eye(6)  # of the normal matrix: what the points do not tell does not change
_STEPS = 3
SOFT = 3.0  # sigmas: beyond them an error counts for less in the first step


@dataclass(frozen=True, eq=False)
class BodyPoints:
    """Measured points of B bodies, M of each; where a body has fewer, the rest are without information.

    Attributes:
        model: (B, M, 3) or (M, 3) position in the body's frame, m.
        xyz: (B, M, 3) or (1, M, 3) measured position in the fixed frame, m.
        information: (B, M, 3, 3) or (1, M, 3, 3) inverse covariance of where they are seen less where the
            body has them, 1/m^2; zero where there is no point.
    """

    model: NDArray[np.float64]
    xyz: NDArray[np.float64]
    information: NDArray[np.float64]

    def errors(self, pose: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return squared errors (B, M) of the points by the poses (B, 4, 4) of the bodies, in sigmas."""
        residuals = self.xyz - pose[:, None, :3, 3] - self._offsets(pose)
        return _products(residuals, (self.information @ residuals[..., None])[..., 0])

    def linearised(self, pose: NDArray[np.float64]) -> Equations:
        """Return the equations of the points about the poses (B, 4, 4) of the bodies."""
        bodies, members = len(pose), self.xyz.shape[1]
        offsets = self._offsets(pose)
        rows = np.empty((bodies, members, 3, 7))
        rows[..., :3] = _AXES
        rows[..., 3:6] = (offsets @ _TURNS).reshape(bodies, members, 3, 3)
        rows[..., 6] = self.xyz - pose[:, None, :3, 3] - offsets
        weighted = self.information @ rows
        return Equations(rows, weighted, _products(rows[..., 6], weighted[..., 6]))

    def _offsets(self, pose: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points are from the origins of their bodies, in the axes of the fixed frame."""
        return np.asarray(self.model @ pose[:, :3, :3].transpose(0, 2, 1))


@dataclass(frozen=True, eq=False)
class Equations:
    """What tells how poses of B bodies must change to suit M points of each better.

    Attributes:
        rows: (B, M, 3, 7) derivatives by the change of the pose and, last, the residuals, m.
        weighted: (B, M, 3, 7) the same times the information.
        squared: (B, M) squared errors, in sigmas.
    """

    rows: NDArray[np.float64]
    weighted: NDArray[np.float64]
    squared: NDArray[np.float64]

    def normal(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (B, 6, 6) normal matrices and (B, 6) right sides of points counted by `weights` (B, M)."""
        bodies = len(weights)
        weighted = (self.weighted * weights[..., None, None]).reshape(bodies, -1, 7)
        product = self.rows.reshape(bodies, -1, 7).transpose(0, 2, 1) @ weighted
        return product[:, :6, :6], product[:, :6, 6]


def median(values: NDArray[np.float64]) -> float:
    """Return the median of a few values (N,), several times faster than NumPy's."""
    ordered, last = np.sort(values), len(values) - 1
    return float(ordered[last // 2] + ordered[len(values) // 2]) / 2


def _products(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scalar products (B, M) of vectors (B, M, 3)."""
    return np.asarray((one[..., None, :] @ other[..., None])[..., 0, 0])


def turned(pose: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (B, 4, 4) poses changed by small steps (B, 6), as `rigid.moved` does for one."""
    return moved_by(pose, rotations(steps[:, 3:]), steps[:, :3])


def moved_by(
    pose: NDArray[np.float64], turn: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (B, 4, 4) poses turned by rotations (B, 3, 3) about their origins and shifted by (B, 3)."""
    result = pose.copy()
    result[:, :3, 3] += shift
    result[:, :3, :3] = turn @ pose[:, :3, :3]
    return result


def rotations(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (B, 3, 3) rotations of rotation vectors (B, 3); `rigid.rotation_exp` for many."""
    square = np.maximum(vectors[:, None] @ vectors[..., None], 1e-16)
    angle = np.sqrt(square)
    cross = (vectors @ _CROSS).reshape(-1, 3, 3)
    turn = np.sin(angle) / angle * cross + (1 - np.cos(angle)) / square * (cross @ cross)
    return np.asarray(turn + _AXES)


def aligned(
    start: NDArray[np.float64], points: BodyPoints, cutoff: float, *, far: bool = False, steps: int = _STEPS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (B, 4, 4) poses that suit the points best, and Tukey's weights (B, M) of the points.

    Args:
        start: (B, 4, 4) poses, within about the cutoff of the solution unless `far`.
        points: The points.
        cutoff: Errors of so many sigmas have no weight.
        far: The start may be far off; in the first step all points have a weight (Cauchy's).
        steps: How often the poses are improved.
    """
    pose = start
    for step in range(steps):
        equations = points.linearised(pose)
        if far and step == 0:
            weights = 1.0 / (1.0 + equations.squared / SOFT**2)
        else:
            weights = _tukey(equations.squared, cutoff)
        normal, right = equations.normal(weights)
        normal += _REGULAR * np.maximum(normal.trace(axis1=1, axis2=2), 1.0)[:, None, None]
        pose = turned(pose, np.asarray(np.linalg.solve(normal, right[..., None])[..., 0]))
    return pose, weights


def weighed(
    start: NDArray[np.float64], points: BodyPoints, cutoff: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights (B, M) of `aligned`, and the poses (B, 4, 4) without its last step."""
    pose, _ = aligned(start, points, cutoff, steps=_STEPS - 1)
    return _tukey(points.errors(pose), cutoff), pose


def _tukey(squared: NDArray[np.float64], cutoff: float) -> NDArray[np.float64]:
    """Return Tukey's weights for squared errors in sigmas."""
    return np.asarray(np.maximum(1 - squared / cutoff**2, 0.0) ** 2)
