from dataclasses import fields

import numpy as np
import pytest

from cotracker_ros.messages import (
    MessageError,
    bodies_from_message,
    body_pose_fields,
    odometry_fields,
    pose_from_message,
    rigid_body_array_fields,
    ros2_typestore,
    to_bag,
    to_ros,
)
from cotracker_ros.reconstruction import Odometry, OdometryState, RigidBodies, RigidBody, pose_matrix

TYPESTORE = ros2_typestore()
POSE = pose_matrix((1.0, -2.0, 0.5), (0.5, -0.5, 0.5, 0.5))
TWIST = np.array([0.1, 0.2, 0.3, -0.4, 0.5, -0.6])
COVARIANCE = np.arange(36.0).reshape(6, 6)


def odometry():
    return Odometry(
        stamp=1_234_567_890,
        frame_id="odom",
        child_frame_id="camera",
        pose=POSE,
        covariance=COVARIANCE,
        twist=TWIST,
        twist_covariance=COVARIANCE + 1,
        state=OdometryState.TRACKING,
        reason="",
        points=7,
    )


def body(number, members):
    return RigidBody(
        id=number,
        label="cup",
        pose=POSE,
        covariance=COVARIANCE,
        twist=TWIST,
        twist_covariance=COVARIANCE + 1,
        predicted=number == 2,
        since=987_654_321,
        members=np.arange(members, dtype=np.uint32),
        points=np.arange(3.0 * members).reshape(-1, 3),
    )


BODIES = RigidBodies(frame=3, stamp=1_234_567_890, epoch=2, frame_id="odom", bodies=(body(1, 4), body(2, 0)))


def through_cdr(typename, message_fields):
    message = to_bag(TYPESTORE, typename, message_fields)
    return TYPESTORE.deserialize_cdr(TYPESTORE.serialize_cdr(message, typename), typename)


def through_ros(package, name, message_fields):
    serialization = pytest.importorskip("rclpy.serialization")
    kind = getattr(pytest.importorskip(package), name)
    return serialization.deserialize_message(
        serialization.serialize_message(to_ros(kind, message_fields)), kind
    )


def check_odometry(message):
    assert (message.header.frame_id, message.child_frame_id) == ("odom", "camera")
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 234_567_890)
    np.testing.assert_allclose(pose_from_message(message.pose.pose), POSE, atol=1e-12)
    np.testing.assert_array_equal(message.pose.covariance, COVARIANCE.reshape(-1))
    twist = message.twist.twist
    given = [getattr(part, axis) for part in (twist.linear, twist.angular) for axis in "xyz"]
    assert given == TWIST.tolist()
    np.testing.assert_array_equal(message.twist.covariance, (COVARIANCE + 1).reshape(-1))


def check_bodies(read):
    assert (read.frame, read.stamp, read.epoch, read.frame_id) == (3, 1_234_567_890, 2, "odom")
    assert len(read.bodies) == 2
    for actual, expected in zip(read.bodies, BODIES.bodies, strict=True):
        assert actual.label == expected.label
        for field in fields(RigidBody):
            if field.name != "label":
                np.testing.assert_allclose(getattr(actual, field.name), getattr(expected, field.name))


def test_odometry_survives_a_bag():
    check_odometry(through_cdr("nav_msgs/msg/Odometry", odometry_fields(odometry())))


def test_odometry_survives_a_ros_message():
    check_odometry(through_ros("nav_msgs.msg", "Odometry", odometry_fields(odometry())))


def test_bodies_survive_a_bag():
    message = through_cdr("cotracker_ros/msg/RigidBodyArray", rigid_body_array_fields(BODIES))
    check_bodies(bodies_from_message(message))


def test_bodies_survive_a_ros_message():
    message = through_ros("cotracker_ros.msg", "RigidBodyArray", rigid_body_array_fields(BODIES))
    check_bodies(bodies_from_message(message))


def test_the_pose_of_a_body_carries_the_bodies_stamp_and_frame():
    message = through_cdr("geometry_msgs/msg/PoseStamped", body_pose_fields(BODIES, BODIES.bodies[0]))
    assert (message.header.frame_id, message.header.stamp.nanosec) == ("odom", 234_567_890)
    np.testing.assert_allclose(pose_from_message(message.pose), POSE, atol=1e-12)


def test_a_pose_without_rotation_is_refused():
    message = through_cdr("geometry_msgs/msg/Pose", {"orientation": {"w": 0.0}})
    with pytest.raises(MessageError, match="no rigid motion"):
        pose_from_message(message)
