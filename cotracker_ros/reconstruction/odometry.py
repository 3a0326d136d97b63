"""What the odometry of a camera means for other frames of the robot, and for the bodies that it sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.poses import invert_pose
from cotracker_ros.reconstruction.rigid import about_other_point, skew
from cotracker_ros.reconstruction.scene import Odometry, RigidBodies


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


def seen_by(bodies: RigidBodies, odometry: Odometry) -> RigidBodies:
    """Return bodies, placed as surely as the camera sees them, with the uncertainty of its own pose added."""
    eye = odometry.pose[:3, 3]
    return replace(
        bodies,
        bodies=tuple(
            replace(
                body,
                covariance=body.covariance + about_other_point(odometry.covariance, body.pose[:3, 3] - eye),
            )
            for body in bodies.bodies
        ),
    )
