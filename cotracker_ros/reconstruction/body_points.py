"""What bodies tell of the points that are their members: whether they move, and where hidden ones are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body_window import places
from cotracker_ros.reconstruction.lifting import Lifted
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.scene import RigidBody
from cotracker_ros.reconstruction.types import DepthSource, PointMotion


def with_bodies(
    lifted: Lifted,
    ids: NDArray[np.uint32],
    bodies: tuple[RigidBody, ...],
    centre: NDArray[np.float64],
    moving_speed: float,
) -> Lifted:
    """Return the points as their bodies have them.

    A member of a body that moves is not static; it moves when the body, as it was measured in this image,
    takes it along. Its own measurements tell so later, or not at all where it is new or hidden. A hidden
    member is where its body has it: a body turns and stops, which a point that coasts does not.

    Args:
        lifted: The points, in the fixed frame.
        ids: (N,) their ids.
        bodies: The bodies in this image.
        centre: (3,) position of the camera in the fixed frame, m.
        moving_speed: Slower points count as standing still, m/s.
    """
    xyz, velocity = lifted.xyz.copy(), lifted.velocity.copy()
    sigma, motion = lifted.sigma.copy(), lifted.motion.copy()
    for body in bodies:
        at, found = places(ids, body.members)
        rows, points = at[found], transform_points(body.pose, body.points[found])
        arm = points - body.pose[:3, 3]
        along = body.twist[:3] + np.cross(body.twist[3:], arm)
        moves = np.linalg.norm(along, axis=1) > moving_speed
        if moves.any():
            motion[rows[motion[rows] == PointMotion.STATIC]] = PointMotion.UNKNOWN
        if moves.any() and not body.predicted:
            motion[rows[moves]] = PointMotion.MOVING
            untold = moves & np.isnan(velocity[rows, 0])
            velocity[rows[untold]] = along[untold]
        hidden = lifted.source[rows] == DepthSource.HELD
        xyz[rows[hidden]] = points[hidden]
        ray_sigma = _along_rays(body.covariance, points[hidden], arm[hidden], centre)
        sigma[rows[hidden]] = np.hypot(lifted.states.sigma[rows[hidden]], ray_sigma)
    return replace(lifted, xyz=xyz, velocity=velocity, sigma=sigma, motion=motion)


def _along_rays(
    covariance: NDArray[np.float64],
    points: NDArray[np.float64],
    arm: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return one standard deviation (N,) along the rays of points that a pose puts `arm` from its origin."""
    ray = points - centre
    ray /= np.maximum(np.linalg.norm(ray, axis=1), 1e-6)[:, None]
    # A small turn w moves a point by w x arm, along the ray by w . (arm x ray).
    lever = np.concatenate((ray, np.cross(arm, ray)), axis=1)
    return np.sqrt(np.maximum(((lever @ covariance) * lever).sum(axis=1), 0.0))
