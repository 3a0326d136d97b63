"""nav_msgs/Odometry, RigidBodyArray and the poses of single bodies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.messages.arrays import owned
from cotracker_ros.messages.geometry import pose_fields, pose_from_message
from cotracker_ros.messages.header import header_fields, stamp_ns, time_fields
from cotracker_ros.reconstruction.scene import Odometry, RigidBodies, RigidBody


def odometry_fields(odometry: Odometry) -> dict[str, Any]:
    """Return the fields of nav_msgs/Odometry."""
    return {
        "header": header_fields(odometry.stamp, odometry.frame_id),
        "child_frame_id": odometry.child_frame_id,
        "pose": _with_covariance("pose", pose_fields(odometry.pose), odometry.covariance),
        "twist": _with_covariance("twist", _twist_fields(odometry.twist), odometry.twist_covariance),
    }


def rigid_body_array_fields(bodies: RigidBodies) -> dict[str, Any]:
    """Return the fields of cotracker_ros/RigidBodyArray."""
    return {
        "header": header_fields(bodies.stamp, bodies.frame_id),
        "epoch": bodies.epoch,
        "frame": bodies.frame,
        "bodies": [_body_fields(body) for body in bodies.bodies],
    }


def bodies_from_message(message: Any) -> RigidBodies:
    """Return the bodies of a cotracker_ros/RigidBodyArray.

    Raises:
        MessageError: A pose is no rigid motion.
    """
    return RigidBodies(
        frame=int(message.frame),
        stamp=stamp_ns(message.header.stamp),
        epoch=int(message.epoch),
        frame_id=str(message.header.frame_id),
        bodies=tuple(_body(item) for item in message.bodies),
    )


def body_pose_fields(bodies: RigidBodies, body: RigidBody) -> dict[str, Any]:
    """Return the fields of geometry_msgs/PoseStamped for one of the bodies."""
    return {"header": header_fields(bodies.stamp, bodies.frame_id), "pose": pose_fields(body.pose)}


def _body_fields(body: RigidBody) -> dict[str, Any]:
    points = body.points.astype(np.float32)
    return {
        "id": body.id,
        "label": body.label,
        "pose": _with_covariance("pose", pose_fields(body.pose), body.covariance),
        "twist": _with_covariance("twist", _twist_fields(body.twist), body.twist_covariance),
        "predicted": body.predicted,
        "since": time_fields(body.since),
        "members": body.members,
        **{name: points[:, i] for i, name in enumerate("xyz")},
    }


def _body(message: Any) -> RigidBody:
    twist = message.twist.twist
    return RigidBody(
        id=int(message.id),
        label=str(message.label),
        pose=pose_from_message(message.pose.pose),
        covariance=owned(message.pose.covariance, np.float64).reshape(6, 6),
        twist=np.array([getattr(part, name) for part in (twist.linear, twist.angular) for name in "xyz"]),
        twist_covariance=owned(message.twist.covariance, np.float64).reshape(6, 6),
        predicted=bool(message.predicted),
        since=stamp_ns(message.since),
        members=owned(message.members, np.uint32),
        points=np.column_stack([owned(getattr(message, name), np.float64) for name in "xyz"]),
    )


def _with_covariance(name: str, value: dict[str, Any], covariance: NDArray[np.float64]) -> dict[str, Any]:
    return {name: value, "covariance": np.asarray(covariance, np.float64).reshape(-1)}


def _twist_fields(twist: NDArray[np.float64]) -> dict[str, Any]:
    linear, angular = (dict(zip("xyz", part.tolist(), strict=True)) for part in (twist[:3], twist[3:]))
    return {"linear": linear, "angular": angular}
