"""What bodies tell of the points that are their members: whether they move, and where hidden ones are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ids import rows_of
from cotracker_ros.reconstruction.lifting import Lifted
from cotracker_ros.reconstruction.point_filters import length
from cotracker_ros.reconstruction.rigid import cross_products
from cotracker_ros.reconstruction.scene import RigidBody
from cotracker_ros.reconstruction.types import DepthSource, PointMotion

# Plain numbers: arrays are several times slower to compare with members of an enumeration.
_HELD = np.uint8(DepthSource.HELD)
_UNKNOWN, _STATIC, _MOVING = map(np.uint8, PointMotion)


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
        bodies: The bodies in this image, one or more.
        centre: (3,) position of the camera in the fixed frame, m.
        moving_speed: Slower points count as standing still, m/s.
    """
    rows, found = rows_of(np.concatenate([body.members for body in bodies]), ids)
    known = np.flatnonzero(found)
    rows = rows[known]
    owner = np.repeat(np.arange(len(bodies)), [len(body.members) for body in bodies])[known]
    arm = np.concatenate([body.points @ body.pose[:3, :3].T for body in bodies]).take(known, axis=0)
    twist = np.stack([body.twist for body in bodies]).take(owner, axis=0)
    along = twist[:, :3] + cross_products(twist[:, 3:], arm)
    moves = length(along) > moving_speed
    taken = moves & ~np.array([body.predicted for body in bodies])[owner]
    motion, velocity = lifted.motion.copy(), lifted.velocity.copy()
    doubtful = (np.bincount(owner[moves], minlength=len(bodies)) > 0)[owner]
    doubtful &= motion[rows] == _STATIC
    motion[rows[doubtful]] = _UNKNOWN
    motion[rows[taken]] = _MOVING
    untold = np.flatnonzero(taken & np.isnan(velocity[rows, 0]))
    velocity[rows[untold]] = along[untold]
    hidden = np.flatnonzero(lifted.source[rows] == _HELD)
    if not len(hidden):
        return replace(lifted, velocity=velocity, motion=motion)
    rows, owner, arm = rows[hidden], owner[hidden], arm[hidden]
    xyz, sigma = lifted.xyz.copy(), lifted.sigma.copy()
    xyz[rows] = places = np.stack([body.pose[:3, 3] for body in bodies])[owner] + arm
    covariance = np.stack([body.covariance for body in bodies])[owner]
    sigma[rows] = np.hypot(lifted.states.sigma[rows], _along_rays(covariance, places, arm, centre))
    return replace(lifted, xyz=xyz, velocity=velocity, sigma=sigma, motion=motion)


def _along_rays(
    covariance: NDArray[np.float64],
    points: NDArray[np.float64],
    arm: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return one standard deviation (N,) along the rays of points.

    Args:
        covariance: (N, 6, 6) of the poses that put them there.
        points: (N, 3) m.
        arm: (N, 3) their offsets from the origins of these poses, m.
        centre: (3,) position of the camera, m.
    """
    ray = points - centre
    ray /= np.maximum(length(ray), 1e-6)[:, None]
    # A small turn w moves a point by w x arm, along the ray by w . (arm x ray).
    lever = np.concatenate((ray, cross_products(arm, ray)), axis=1)
    squared = ((covariance @ lever[..., None])[..., 0] * lever).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))
