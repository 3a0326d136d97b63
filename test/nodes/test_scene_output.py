"""Odometry, bodies and their transforms: a camera that moves to the right past points of which some move."""

import sys

import cv2
import numpy as np
import pytest
from cotracker_ros.msg import RigidBodyArray, TrackArray
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from cotracker_ros.messages import (
    bodies_from_message,
    camera_info_fields,
    depth_fields,
    pose_from_message,
    stamp_ns,
    to_ros,
    track_array_fields,
    transform_fields,
    transforms_from_message,
)
from cotracker_ros.nodes.lifter_node import LifterNode
from cotracker_ros.reconstruction import CameraModel
from cotracker_ros.tracking.types import TrackFlag, Tracks

CAMERA = CameraModel.pinhole(320, 240, 300.0, 300.0, 159.5, 119.5)
FRAME = "camera_optical_frame"
START, STEP = 1_000_000_000, 50_000_000  # ns
SPEED = 0.2  # m/s of the camera to the right
FALL = 0.4  # m/s of the labelled points downwards
IMAGES = 24
STILL, MOVING = 40, 8


def scene():
    """(N, 3) points in the first camera's frame; the last ones move."""
    rng = np.random.default_rng(3)
    still = rng.uniform((-0.9, -0.7, 1.8), (1.2, 0.7, 2.6), (STILL, 3))
    moving = np.array([0.2, -0.35, 1.2]) + rng.uniform(-0.12, 0.12, (MOVING, 3))
    return np.concatenate([still, moving])


POINTS = scene()
LABELS = ("",) * STILL + ("cup",) * MOVING


def seen(i):
    """Return depth image and tracks of image `i`."""
    seconds = i * STEP * 1e-9
    local = POINTS - [SPEED * seconds, 0, 0]
    local[STILL:, 1] += FALL * seconds
    xy = CAMERA.project(local).astype(np.float32)
    inside = (xy > 3).all(axis=1) & (xy[:, 0] < 316) & (xy[:, 1] < 236)
    depth = np.full((240, 320), np.nan, np.float32)
    for n in np.argsort(-local[:, 2]):  # the nearest last: it is in front
        if inside[n]:
            centre = tuple(int(v) for v in np.rint(xy[n]))
            cv2.rectangle(
                depth, (centre[0] - 3, centre[1] - 3), (centre[0] + 3, centre[1] + 3), float(local[n, 2]), -1
            )
    count = len(POINTS)
    flags = np.where(inside, TrackFlag.VISIBLE | TrackFlag.IN_FRAME, 0).astype(np.uint8)
    if i == 0:
        flags |= np.uint8(TrackFlag.NEW)
    tracks = Tracks(
        frame=i,
        stamp=START + i * STEP,
        newest=START + i * STEP,
        epoch=0,
        image_size=(320, 240),
        revised=False,
        ids=np.arange(count, dtype=np.uint32),
        xy=xy,
        visibility=np.ones(count, np.float32),
        confidence=np.ones(count, np.float32),
        flags=flags,
        age=np.full(count, i, np.uint32),
        rgb=np.full((count, 3), 200, np.uint8),
        labels=LABELS,
    )
    return depth, tracks


@pytest.fixture
def rig(graph):
    reliable = {
        f"qos_overrides./{topic}.subscription.reliability": "reliable" for topic in ("depth", "camera_info")
    }
    node = graph.add(
        LifterNode,
        camera_pose="tracks",
        target_frame="odom",
        pose_label="cup",
        odometry_tf=True,
        body_tf=True,
        diagnostics_period=0.05,
        **reliable,
    )
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    graph.publisher(CameraInfo, "camera_info").publish(
        to_ros(CameraInfo, camera_info_fields(CAMERA, START, FRAME))
    )
    return node


def play(graph, numbers):
    depths, tracks = graph.publisher(Image, "depth"), graph.publisher(TrackArray, "tracks")
    for i in numbers:
        depth, answer = seen(i)
        depths.publish(to_ros(Image, depth_fields(depth, answer.stamp, FRAME, encoding="32FC1")))
        tracks.publish(to_ros(TrackArray, track_array_fields(answer, FRAME)))


def test_the_camera_and_a_body_are_followed_in_the_robots_axes(graph, rig):
    odometry = graph.listen(Odometry, "lifter/odometry")
    bodies = graph.listen(RigidBodyArray, "lifter/bodies")
    poses = graph.listen(PoseStamped, "lifter/body_pose")
    transforms = graph.listen(TFMessage, "/tf")
    play(graph, range(IMAGES))
    end = START + (IMAGES - 1) * STEP
    seconds = (end - START) * 1e-9

    message = odometry.wait_for(lambda m: stamp_ns(m.header.stamp) == end)
    assert (message.header.frame_id, message.child_frame_id) == ("odom", FRAME)
    pose = pose_from_message(message.pose.pose)
    # To the right of a level camera is -y; its optical axis looks along x.
    np.testing.assert_allclose(pose[:3, 3], [0, -SPEED * seconds, 0], atol=0.03)
    np.testing.assert_allclose(pose[:3, 2], [1, 0, 0], atol=0.01)
    np.testing.assert_allclose(message.twist.twist.linear.x, SPEED, atol=0.05)

    found = bodies_from_message(bodies.wait_for(lambda m: stamp_ns(m.header.stamp) == end))
    assert found.frame_id == "odom"
    (cup,) = found.bodies
    assert cup.label == "cup"
    assert set(cup.members.tolist()) <= set(range(STILL, STILL + MOVING))
    np.testing.assert_allclose(cup.twist[:3], [0, 0, -FALL], atol=0.08)  # down is -z

    posed = poses.wait_for(lambda m: stamp_ns(m.header.stamp) == end)
    np.testing.assert_allclose(pose_from_message(posed.pose), cup.pose, atol=1e-9)

    def at_end(message):
        return any(stamp_ns(t.header.stamp) == end for t in message.transforms)

    told = {
        child: (parent, matrix)
        for _, parent, child, matrix in transforms_from_message(transforms.wait_for(at_end))
    }
    assert set(told) == {FRAME, f"cup_{cup.id}"}
    assert {parent for parent, _ in told.values()} == {"odom"}
    np.testing.assert_allclose(told[FRAME][1], pose, atol=1e-9)


def test_a_camera_that_sees_nothing_says_so_and_has_no_transform(graph, rig):
    odometry = graph.listen(Odometry, "lifter/odometry")
    transforms = graph.listen(TFMessage, "/tf")
    play(graph, range(5))
    odometry.wait_for(lambda m: stamp_ns(m.header.stamp) == START + 4 * STEP)
    depths, tracks = graph.publisher(Image, "depth"), graph.publisher(TrackArray, "tracks")
    for i in range(5, 25):  # a second of darkness
        _, answer = seen(i)
        answer.flags[:] = 0
        nothing = np.full((240, 320), np.nan, np.float32)
        depths.publish(to_ros(Image, depth_fields(nothing, answer.stamp, FRAME, encoding="32FC1")))
        tracks.publish(to_ros(TrackArray, track_array_fields(answer, FRAME)))
    last = odometry.wait_for(lambda m: stamp_ns(m.header.stamp) == START + 24 * STEP)
    assert last.pose.covariance[0] > 1.0, "a metre or more"
    assert not any(
        stamp_ns(t.header.stamp) == START + 24 * STEP and t.child_frame_id == FRAME
        for message in transforms.messages
        for t in message.transforms
    )
    counters = rig._stream._lifter.counters
    assert counters.odometry_lost > 0
    assert "camera's pose" in rig._stream._lifter.last_event


def test_a_frame_that_tf_places_already_gets_no_second_parent(graph, rig):
    static = graph.publisher(TFMessage, "/tf_static", latched=True)
    mount = transform_fields(START, "camera_link", FRAME, np.eye(4))
    static.publish(to_ros(TFMessage, {"transforms": [mount]}))
    graph.until(lambda: rig._stream._transforms.parent(FRAME) == "camera_link")
    odometry = graph.listen(Odometry, "lifter/odometry")
    transforms = graph.listen(TFMessage, "/tf")
    play(graph, range(5))
    odometry.wait_for(lambda m: stamp_ns(m.header.stamp) == START + 4 * STEP)
    assert not any(t.child_frame_id == FRAME for m in transforms.messages for t in m.transforms)
    (status,) = rig.diagnose()
    assert status.level == DiagnosticStatus.WARN and '"camera_link"' in status.message

    # The top of the tree is free.
    assert rig.set_parameters([Parameter("base_frame", value="camera_link")])[0].successful
    play(graph, range(5, 10))
    transforms.wait_for(lambda m: any(t.child_frame_id == "camera_link" for t in m.transforms))
    (status,) = rig.diagnose()
    assert status.level == DiagnosticStatus.OK


def test_a_surface_without_open3d_fails_to_configure_with_a_sentence(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    node = graph.add(LifterNode, dense="raw")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "open3d" in node.problem.lower()
    assert node.set_parameters([Parameter("dense", value="off")])[0].successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


def test_an_empty_surface_is_not_saved(graph, tmp_path):
    pytest.importorskip("open3d")
    node = graph.add(
        LifterNode,
        dense="raw",
        target_frame="odom",
        camera_pose="tracks",
        mesh_path=str(tmp_path / "mesh.ply"),
    )
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    empty = graph.call(Trigger, "lifter/save_mesh")
    assert not empty.success
    assert not (tmp_path / "mesh.ply").exists()
