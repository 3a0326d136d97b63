"""Points as the camera sees them, and where landmarks should be seen from a pose.

A point is measured as (u, v, w): its place in the image in normalised coordinates (x / z, y / z) and its
inverse depth 1 / z, 1/m. In these, noise is nearly Gaussian: that of the tracker is the same everywhere in
the image, and that of depth sensors, which grows with z squared, becomes even (Civera et al. 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NEAREST = 0.01  # m: a landmark that would be nearer to the camera's plane, or behind it, is not looked at


@dataclass(frozen=True, eq=False)
class Sighting:
    """M tracks as the camera sees them, see the module's docstring.

    Attributes:
        uvw: (M, 3) normalised image coordinates and inverse depth, 1/m.
        variance: (M, 3) of them; that of an inverse depth that was not measured is huge.
    """

    uvw: NDArray[np.float64]
    variance: NDArray[np.float64]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Sighting:
        """Return the sighting of some of the tracks."""
        return Sighting(self.uvw[rows], self.variance[rows])

    @property
    def xyz(self) -> NDArray[np.float64]:
        """(M, 3) positions in the camera's optical frame, m."""
        z = 1 / self.uvw[:, 2]
        return np.stack([self.uvw[:, 0] * z, self.uvw[:, 1] * z, z], axis=1)

    def xyz_covariance(self) -> NDArray[np.float64]:
        """Return the (M, 3, 3) covariances of `xyz`, m^2."""
        u, v, w = self.uvw.T
        jacobian = np.zeros((len(w), 3, 3))
        jacobian[:, 0, 0] = jacobian[:, 1, 1] = 1 / w
        jacobian[:, 0, 2], jacobian[:, 1, 2], jacobian[:, 2, 2] = -u / w**2, -v / w**2, -1 / w**2
        return np.asarray((jacobian * self.variance[:, None, :]) @ np.swapaxes(jacobian, 1, 2))


@dataclass(frozen=True, eq=False)
class Projection:
    """Where M landmarks should be seen from a pose.

    Derivatives have the landmark as their last axis, which makes them fast.

    Attributes:
        uvw: (3, M).
        by_point: (3, 3, M) derivative of each of (u, v, w) by the landmark's position.
        by_pose: (6, 3, M) derivative by each of the six of the pose's `delta` of each of (u, v, w).
    """

    uvw: NDArray[np.float64]
    by_point: NDArray[np.float64]
    by_pose: NDArray[np.float64]


def seen_from(
    pose: NDArray[np.float64], position: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Say where landmarks at `position` (M, 3), m, are seen from fixed_from_camera `pose` (4, 4).

    Returns:
        (3, M) of u, v, w, and (M,) bool, which lie in front of the camera; the others' values mean nothing.
    """
    uvw = pose[:3, :3].T @ (position - pose[:3, 3]).T
    ahead = uvw[2] > _NEAREST
    w = 1 / np.maximum(uvw[2], _NEAREST)
    uvw *= w
    uvw[2] = w
    return uvw, ahead


def project(pose: NDArray[np.float64], position: NDArray[np.float64]) -> Projection:
    """Say where landmarks at `position` (M, 3), m, are seen from `pose`, and how that changes with both."""
    uvw, _ = seen_from(pose, position)
    u, v, w = uvw
    # Derivatives of u, v and w by the camera's shift and turn, in its own axes; the arm of the turn is
    # (u, v, 1) / w.
    own = np.zeros((3, 6, len(position)))
    own[0, 0] = own[1, 1] = -w
    own[2, 0], own[2, 1], own[2, 2] = u * w, v * w, w * w
    own[0, 3], own[1, 4] = u * v, -u * v
    own[1, 3], own[0, 4] = -1 - u * u, 1 + v * v
    own[2, 3], own[2, 4] = v, -u
    own[0, 5], own[1, 5] = v * w, -u * w
    by_axes = (pose[:3, :3] @ own.reshape(3, -1)).reshape(own.shape)
    by_pose = np.concatenate([by_axes[:, :3], by_axes[:, 3:]])
    return Projection(uvw, -by_pose[:3].swapaxes(0, 1), by_pose)


def derivatives_by_point(pose: NDArray[np.float64], uvw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, 3, M), see `Projection`, of landmarks that are seen at `uvw` (3, M) from `pose`."""
    u, v, w = uvw
    # Rows of the camera's axes, as the chain rule of a division wants them.
    right, down, forward = pose[:3, :3].T[:, :, None]
    by_point = np.empty((3, 3, uvw.shape[1]))
    by_point[0] = (right - u * forward) * w
    by_point[1] = (down - v * forward) * w
    by_point[2] = -forward * (w * w)
    return by_point
