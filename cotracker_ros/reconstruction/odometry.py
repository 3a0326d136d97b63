"""What the odometry of a camera means for other frames of the robot, and for the bodies that it sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.focal_lever import FocalEffect, lever_of
from cotracker_ros.reconstruction.poses import invert_pose
from cotracker_ros.reconstruction.rigid import about_other_point, skew
from cotracker_ros.reconstruction.scene import Odometry, RigidBodies, RigidBody


def odometry_of(odometry: Odometry, frame_id: str, frame_from_child: NDArray[np.float64]) -> Odometry:
    """Return the odometry of another frame on the same rigid robot.

    Args:
        odometry: Of its child frame, such as the camera's.
        frame_id: Name of the other frame, such as base_link.
        frame_from_child: (4, 4) pose of the child frame in it, m. That it changes (a camera on a moving head)
            is taken into the pose, but not into the twist.
    """
    child_from_frame = invert_pose(frame_from_child)
    pose = odometry.pose @ child_from_frame
    turn, place = frame_from_child[:3, :3], child_from_frame[:3, 3]
    # A point at `place` in the child's axes moves with v + w x place; then everything is turned.
    carry = np.zeros((6, 6))
    carry[:3, :3] = carry[3:, 3:] = turn
    carry[:3, 3:] = -turn @ skew(place)
    return replace(
        odometry,
        child_frame_id=frame_id,
        pose=pose,
        covariance=about_other_point(odometry.covariance, pose[:3, 3] - odometry.pose[:3, 3]),
        twist=carry @ odometry.twist,
        twist_covariance=carry @ odometry.twist_covariance @ carry.T,
    )


def seen_by(bodies: RigidBodies, odometry: Odometry, effect: FocalEffect) -> RigidBodies:
    """Return bodies, placed as surely as the camera sees them, with what is uncertain about the camera added.

    Args:
        bodies: As the camera sees them.
        odometry: Of the camera; what is uncertain about a pose that is somebody else's is left to them.
        effect: What the focal length may do, which is in the covariance of the pose already: what it does to
            pose and sight is not independent.
    """
    turn, eye = odometry.pose[:3, :3], odometry.pose[:3, 3]
    off = effect.by_focal * effect.sigma
    own = np.zeros((6, 6)) if odometry.given else odometry.covariance - np.outer(off, off)

    def seen(body: RigidBody) -> RigidBody:
        arm = body.pose[:3, 3] - eye
        lever = lever_of(arm[None] @ turn, odometry.pose, effect.by_focal)[0]
        swayed = np.concatenate([lever * effect.sigma, off[3:]])
        covariance = body.covariance + about_other_point(own, arm) + np.outer(swayed, swayed)
        return replace(body, covariance=covariance)

    return replace(bodies, bodies=tuple(seen(body) for body in bodies.bodies))
