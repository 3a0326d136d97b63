"""The Python client over DDS: with the real tracker, and with what a lifter would say."""

import threading
import time

import numpy as np
import pytest
import rclpy
from cotracker_ros.msg import RigidBodyArray, Track3DArray, TrackArray
from geometry_msgs.msg import TransformStamped
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from cotracker_ros.client import ClientError, PointClient
from cotracker_ros.messages import (
    image_fields,
    rigid_body_array_fields,
    to_ros,
    track3d_array_fields,
    transform_fields,
)
from cotracker_ros.nodes.qos import LATCHED
from cotracker_ros.nodes.tracker_node import TrackerNode
from cotracker_ros.reconstruction import DepthSource, PointMotion, Tracks3D
from cotracker_ros.reconstruction.scene import RigidBodies, RigidBody
from cotracker_ros.tracking.types import TrackFlag

START = 1_700_000_000_000_000_000
PERIOD = 33_000_000  # ns
SIZE = (320, 240)
IN_BASE = np.array([[0.0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])


@pytest.fixture
def points(graph):
    with PointClient(graph.client) as client:
        yield client


@pytest.fixture
def camera(graph, texture):
    """Sends image number i to a tracker that runs."""
    topic = "qos_overrides./image.subscription.reliability"
    node = graph.add(TrackerNode, **{"backend": "klt", "queue_size": 20, topic: "reliable"})
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    publisher = graph.publisher(Image, "image")

    def send(i):
        crop = np.ascontiguousarray(texture[30 : 30 + SIZE[1], 20 + i : 20 + i + SIZE[0]])
        publisher.publish(to_ros(Image, image_fields(crop, START + i * PERIOD, "camera")))

    return send


def lifted(i, *, source=DepthSource.MEASURED, motion=PointMotion.STATIC, speed=0.0):
    """What a lifter says about image i: two points of a cup, 2 m before the camera."""
    tracks = Tracks3D(
        frame=i,
        stamp=START + i * PERIOD,
        epoch=0,
        frame_id="camera",
        ids=np.array([1, 2], np.uint32),
        xyz=np.array([[0, 0, 2], [0.2, 0, 2]], np.float32),
        velocity=np.array([[speed, 0, 0]] * 2, np.float32),
        sigma=np.full(2, 0.01, np.float32),
        source=np.full(2, source, np.uint8),
        motion=np.full(2, motion, np.uint8),
        flags=np.full(2, TrackFlag.VISIBLE, np.uint8),
        rgb=np.zeros((2, 3), np.uint8),
        labels=("cup", "cup"),
    )
    return to_ros(Track3DArray, track3d_array_fields(tracks))


def stand(graph, parent="base_link"):
    """Say where the camera is on the robot."""
    publisher = graph.client.create_publisher(TFMessage, "/tf_static", LATCHED)
    fields = transform_fields(START, parent, "camera", IN_BASE)
    publisher.publish(TFMessage(transforms=[to_ros(TransformStamped, fields)]))


class Aside:
    """A call in another thread: its answer or what it raised."""

    def __init__(self, call):
        self._call = call
        self.answer = self.error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self.answer = self._call()
        except ClientError as error:
            self.error = error

    def wait(self):
        self._thread.join(15.0)
        assert not self._thread.is_alive(), "it waits for ever"
        return self.answer


def test_points_boxes_and_masks_are_tracked_seen_and_forgotten(camera, points):
    early = points.track_points([(150, 80), (200, 180)], label="handle")
    assert early.tolist() == [1, 2]
    camera(0)
    assert points.wait_until_visible("handle", timeout=10.0, share=1.0)
    box = points.track_box(40, 40, 60, 60, count=9, label="cup")
    mask = np.zeros(SIZE[::-1], bool)
    mask[100:140, 200:260] = True
    marked = points.track_mask(mask, count=6, label="plate")
    assert len(box) >= 9
    camera(1)
    assert points.wait_until_visible(marked, timeout=10.0)
    tracks, tracks_3d = points.latest()
    assert tracks_3d is None
    assert set(tracks.ids) == {*early, *box, *marked}
    inside = tracks.xy[np.isin(tracks.ids, marked)]
    assert np.all((inside > (195, 95)) & (inside < (265, 145)))
    assert set(points.seen_in((35, 35, 70, 70))) == set(box)
    points.forget("cup")
    points.forget(early)
    camera(2)
    assert points.wait_until_visible("plate", timeout=10.0)
    with pytest.raises(ClientError, match="there is no track"):
        points.forget("cup")
    points.forget_all()


def test_a_box_waits_for_the_first_image(camera, points):
    asked = Aside(lambda: points.track_box(40, 40, 60, 60, count=9))
    timer = threading.Timer(0.4, camera, [0])
    timer.start()
    assert len(asked.wait()) >= 9
    timer.join()


def test_the_trackers_refusal_is_passed_on(camera, points):
    points.track_points([(10, 10)])
    camera(0)
    assert points.wait_until_visible([1], timeout=10.0)
    with pytest.raises(ClientError, match="lies outside the image of 320x240 px"):
        points.track_box(1000, 40, 60, 60)
    with pytest.raises(ClientError, match="the mask is 3x2 px"):
        points.track_mask(np.ones((2, 3)))
    with pytest.raises(ClientError, match="count is 0"):
        points.track_box(0, 0, 60, 60, count=0)
    with pytest.raises(ClientError, match="one row x, y per point"):
        points.track_points([1, 2])
    with pytest.raises(ClientError, match="no track is labelled 'pan'"):
        points.wait_until_visible("pan", timeout=0.05)


def test_without_a_tracker_it_says_which_node_to_start(graph):
    with PointClient(graph.client, timeout=0.3) as points:
        with pytest.raises(ClientError, match=r"no service /tracker/add_points .* start the tracker node"):
            points.track_points([(1, 2)])
        with pytest.raises(ClientError, match="no 3D tracks have come: start the lifter node"):
            points.where_is("cup", timeout=0.0)
        with pytest.raises(ClientError, match="no moving bodies have come"):
            points.pose_of("cup", timeout=0.0)


def test_where_things_are_is_told_in_the_robots_frame(graph, points):
    stand(graph)
    lifter = graph.publisher(Track3DArray, "lifter/tracks_3d")
    asked = Aside(lambda: points.where_is("cup", timeout=10.0))
    lifter.publish(lifted(0))
    position = asked.wait()
    np.testing.assert_allclose(position.xyz, [2.5, -0.1, 1], atol=1e-6)
    assert position.frame == "base_link"
    assert position.stamp == START
    assert position.measured
    assert position.moving is False
    assert 0 <= position.age < 5.0
    assert points.wait_for_update(0.0)
    lifter.publish(lifted(1, source=DepthSource.HELD))
    assert points.wait_for_update(10.0)
    held = points.where_is([1, 2], timeout=0.0, max_age=10.0)
    assert not held.measured
    assert held.age > PERIOD * 1e-9


def test_a_transform_that_comes_late_is_waited_for(graph, points):
    graph.publisher(Track3DArray, "lifter/tracks_3d").publish(lifted(0))
    assert points.wait_for_update(10.0)
    asked = Aside(lambda: points.where_is("cup", timeout=60.0, max_age=60.0))
    stand(graph)
    assert asked.wait().frame == "base_link"


def test_an_answer_is_waited_for_in_a_callback_of_the_users_node(graph, points):
    stand(graph)
    lifter = graph.publisher(Track3DArray, "lifter/tracks_3d")
    began = threading.Event()
    answers = []

    def callback():
        timer.cancel()
        began.set()
        answers.append(points.where_is("cup", timeout=10.0))
        ended.set()

    ended = threading.Event()
    timer = graph.client.create_timer(0.0, callback)
    assert began.wait(10.0)
    lifter.publish(lifted(0))  # the user's executor is busy with the callback
    assert ended.wait(15.0)
    assert answers[0].stamp == START


def test_motion_is_waited_for(graph, points):
    lifter = graph.publisher(Track3DArray, "lifter/tracks_3d")
    lifter.publish(lifted(0))
    assert points.wait_for_update(10.0)
    assert not points.wait_for_motion("cup", timeout=0.05)
    asked = Aside(lambda: points.wait_for_motion("cup", speed=0.2, timeout=10.0))
    lifter.publish(lifted(1, motion=PointMotion.MOVING, speed=0.1))
    lifter.publish(lifted(2, motion=PointMotion.MOVING, speed=0.3))
    assert asked.wait() is True
    assert points.moving([1]).tolist() == [1]
    with pytest.raises(ClientError, match="give one of them"):
        points.moving("cup", box=(0, 0, 10, 10))


def test_the_pose_of_a_moving_body(graph, points):
    stand(graph, "robot")
    lifter = graph.publisher(RigidBodyArray, "lifter/bodies")
    pose = np.eye(4)
    pose[2, 3] = 2
    body = RigidBody(
        id=1,
        label="cup",
        pose=pose,
        covariance=np.eye(6),
        twist=np.array([0, 0, 0.5, 0, 0, 0]),
        twist_covariance=np.eye(6),
        predicted=True,
        since=START,
        members=np.array([1, 2], np.uint32),
        points=np.zeros((2, 3)),
    )
    bodies = RigidBodies(frame=0, stamp=START, epoch=0, frame_id="camera", bodies=(body,))
    lifter.publish(to_ros(RigidBodyArray, rigid_body_array_fields(bodies)))
    found = points.pose_of("cup", "robot", timeout=10.0)
    np.testing.assert_allclose(found.xyz, [2.5, 0, 1], atol=1e-6)
    np.testing.assert_allclose(found.twist, [0.5, 0, 0, 0, 0, 0], atol=1e-6)
    assert found.predicted
    assert (found.id, found.points) == (1, 2)


def test_a_message_that_makes_no_sense_is_left_out(graph, points):
    lifter = graph.publisher(Track3DArray, "lifter/tracks_3d")
    broken = lifted(0)
    broken.source = broken.source[:1]
    lifter.publish(broken)
    lifter.publish(lifted(1))
    assert points.wait_for_update(10.0)
    assert points.latest()[1].frame == 1


def test_names_of_nodes_and_cameras_can_be_chosen(graph):
    with PointClient(graph.client, tracker="eyes/left", lifter="arm/lifter"):
        graph.publisher(TrackArray, "eyes/left/tracks")  # returns once the client has subscribed
        graph.publisher(Track3DArray, "arm/lifter/tracks_3d")


def test_closing_frees_who_waits(graph):
    points = PointClient(graph.client)
    asked = Aside(lambda: points.wait_for_update(30.0))
    points.close()
    asked.wait()
    assert "the client is closed" in str(asked.error)
    with pytest.raises(ClientError, match="closed"):
        points.latest()
    points.close()
    assert rclpy.ok(), "the user's ROS goes on"


def test_on_its_own_it_begins_and_ends_ros():
    with PointClient() as points:
        assert rclpy.ok()
        began = time.monotonic()
        assert not next(iter(points.updates(silence=0.05)))
        assert time.monotonic() - began < 5.0
    assert not rclpy.ok()


def test_a_loop_ends_when_ros_is_shut_down():
    rclpy.init()
    with PointClient() as points:
        looped = Aside(lambda: list(points.updates(silence=30.0)))
        rclpy.shutdown()
        assert looped.wait() == []
