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
_REGULAR = 1e-9 * np.eye(6)  # of the normal matrix: what the points do not tell does not change
_STEPS = 3
SOFT = 3.0  # sigmas: beyond them an error counts for less in the first step


@dataclass(frozen=True, eq=False)
class BodyPoints:
    """Measured points of B bodies, M of each; where a body has fewer, the rest are without information.

    Attributes:
        model: (B, M, 3) or (M, 3) position in the body's frame, m.
        xyz: (B, M, 3) measured position in the fixed frame, m.
        information: (B, M, 3, 3) inverse covariance of where they are seen less where the body has them,
            1/m^2; zero where there is no point.
    """

    model: NDArray[np.float64]
    xyz: NDArray[np.float64]
    information: NDArray[np.float64]

    def errors(
        self, pose: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return offsets from the origins, weighted residuals, both (B, M, 3), and squared errors (B, M).

        `pose` is (B, 4, 4), that of the bodies; the errors are in sigmas.
        """
        offsets = self.model @ pose[:, :3, :3].transpose(0, 2, 1)
        residuals = self.xyz - pose[:, None, :3, 3] - offsets
        pull = (self.information @ residuals[..., None])[..., 0]
        return offsets, pull, (residuals[..., None, :] @ pull[..., None])[..., 0, 0]

    def normal_equations(
        self, offsets: NDArray[np.float64], pull: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (B, 6, 6) normal matrices and (B, 6) right sides.

        Args:
            offsets: (B, M, 3), see `errors`.
            pull: (B, M, 3) weighted residuals.
            weights: (B, M) how much each counts.
        """
        bodies, members = weights.shape
        jacobian = np.empty((bodies, members, 3, 6))
        jacobian[..., :3] = _AXES
        jacobian[..., 3:] = (offsets @ -_CROSS).reshape(bodies, members, 3, 3)
        weighted = (self.information * weights[..., None, None]) @ jacobian
        columns = jacobian.reshape(bodies, -1, 6).transpose(0, 2, 1)
        right = columns @ (pull * weights[..., None]).reshape(bodies, -1, 1)
        return columns @ weighted.reshape(bodies, -1, 6), right[..., 0]


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
    start: NDArray[np.float64], points: BodyPoints, cutoff: float, *, far: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (B, 4, 4) poses that suit the points best, and Tukey's weights (B, M) of the points.

    Args:
        start: (B, 4, 4) poses, within about the cutoff of the solution unless `far`.
        points: The points.
        cutoff: Errors of so many sigmas have no weight.
        far: The start may be far off; in the first step all points have a weight (Cauchy's).
    """
    pose = start
    for step in range(_STEPS):
        offsets, pull, squared = points.errors(pose)
        if far and step == 0:
            weights = 1.0 / (1.0 + squared / SOFT**2)
        else:
            weights = np.maximum(1 - squared / cutoff**2, 0.0) ** 2
        normal, right = points.normal_equations(offsets, pull, weights)
        normal += _REGULAR * np.maximum(np.trace(normal, axis1=1, axis2=2), 1.0)[:, None, None]
        pose = turned(pose, np.asarray(np.linalg.solve(normal, right[..., None])[..., 0]))
    return pose, weights
