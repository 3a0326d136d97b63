"""The example programs against the demo: player, tracker and lifter on a short rendered recording."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, Twist
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from cotracker_ros.client import PointClient, Position
from cotracker_ros.messages import stamp_ns
from cotracker_ros.nodes.lifter_node import LifterNode
from cotracker_ros.nodes.player_node import PlayerNode
from cotracker_ros.nodes.tracker_node import TrackerNode
from cotracker_ros.reconstruction import DepthSource
from cotracker_ros.synthetic.sample import CAMERA_FRAME, make_sample
from cotracker_ros.synthetic.truth import Truth

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RATE = 10.0  # images per second
PARCEL = 2  # its number among the sample's bodies
# Boxes x, y, width, height px. In the first image: the cart, which soon drives behind a pillar.
CART = (26, 106, 25, 36)
HOIST = (128, 72, 76, 72)  # where the parcel is lifted
WALL = (180, 16, 64, 48)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    make_sample(folder, seconds=2.6, rate=RATE, size=(256, 192), progress=False)
    return folder


@pytest.fixture
def demo(graph, sample):
    """The demo's nodes, paused at the first image; returns what lets them play to the end."""
    tracker = graph.add(TrackerNode, backend="klt", queue_size=40, **every("image"))
    lifter_node = partial(LifterNode, cli_args=["--ros-args", "--remap", "tracks:=tracker/tracks"])
    lifter = graph.add(lifter_node, target_frame="world", **every("depth"))
    player = graph.add(PlayerNode, path=str(sample / "sample"), start_paused=True)
    finished = graph.listen(Bool, "player/finished", latched=True)
    for node in (tracker, lifter):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert player.trigger_configure() == TransitionCallbackReturn.SUCCESS
    topics = [player._topics[name] for name in ("image", "depth", "camera_info", "/tf", "/tf_static")]
    graph.until(lambda: all(topic.get_subscription_count() for topic in topics))
    assert player.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def play():
        assert graph.call(Trigger, "player/play").success
        finished.wait_for(lambda message: message.data)

    return play


def every(topic):
    """Parameters with which a node asks for every message: nothing may get lost on the way in these tests."""
    return {f"qos_overrides./{topic}.subscription.reliability": "reliable"}


@contextlib.contextmanager
def program(name, *arguments):
    """Run an example until the block ends; it must then end by Ctrl-C without complaint."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=15.0)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, told
    assert "Traceback" not in told, told


def example(name):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def at(x, y):
    return Position(
        xyz=np.array([x, y, 0.3]),
        frame="base_link",
        stamp=0,
        age=0.0,
        source=DepthSource.MEASURED,
        sigma=0.01,
        moving=None,
        points=3,
        total=3,
    )


def test_the_base_turns_to_the_object_and_keeps_its_distance():
    command = example("follow_object").command
    ahead = command(at(3.0, 0.0), 1.0)
    assert ahead.linear.x > 0.2
    assert ahead.angular.z == 0
    assert command(at(2.0, 0.5), 1.0).angular.z > 0, "left is positive"
    assert command(at(2.0, -0.5), 1.0).angular.z < 0
    assert command(at(1.1, 0.0), 1.0).linear.x < 0.2, "slowly when it is nearly there"
    near = command(at(0.5, 0.2), 1.0)
    assert near.linear.x == 0
    assert near.angular.z > 0
    assert command(at(-3.0, 0.1), 1.0).linear.x == 0, "it turns round before it drives"


def test_following_an_object_until_it_hides(graph, demo):
    twists = graph.listen(Twist, "cmd_vel", depth=500)
    with program("follow_object", "--box", *CART, "--label", "cart", "--frame", CAMERA_FRAME):
        twists.wait()  # the box is tracked
        demo()
        driven = [twist for twist in list(twists.messages) if twist != Twist()]
        assert len(driven) >= 0.5 * RATE, "the cart is seen for more than a second"
        assert all(twist.angular.z > 0.05 for twist in driven), "the cart is to the left"
        assert all(twist.linear.x > 0.2 for twist in driven), "and three metres away"
        twists.wait(lambda messages: messages[-1] == Twist())
    assert twists.messages[-1] == Twist()


def test_a_grasp_point_is_where_the_object_is_while_it_is_seen(graph, demo, sample):
    truth = Truth.load(sample / "truth.npz")
    chosen = (truth.body == PARCEL) & (truth.query_frame == 0)
    poses = graph.listen(PoseStamped, "grasp_point", depth=500)
    with (
        program("grasp_point", "--label", "parcel", "--frame", CAMERA_FRAME),
        PointClient(graph.client) as points,
    ):
        points.track_points(truth.queries[chosen, 1:], label="parcel")
        graph.until(lambda: graph.client.count_subscribers("/lifter/tracks_3d") == 2)
        poses.subscription.callback = forget_after(poses, points, count=int(1.2 * RATE))
        demo()
    stamps = [stamp_ns(pose.header.stamp) for pose in poses.messages]
    frames = np.searchsorted(truth.stamps, stamps)
    assert len(frames) >= 1.0 * RATE
    assert frames.max() < 2.0 * RATE, "silent once the object is not tracked any more"
    for pose, k in zip(poses.messages, frames, strict=True):
        assert pose.header.frame_id == CAMERA_FRAME
        x, y, z = np.median(in_optical(truth, k, chosen), axis=0)
        found = pose.pose.position
        np.testing.assert_allclose([found.x, found.y, found.z], [z, -x, -y], atol=0.03)


def test_the_pose_of_a_lifted_object(graph, demo, sample):
    truth = Truth.load(sample / "truth.npz")
    first = truth.query_frame == 0
    parcel = first & (truth.body == PARCEL)
    with PointClient(graph.client) as points:
        points.track_points(truth.queries[first & (truth.body == 0), 1:])
        points.track_points(truth.queries[parcel, 1:], label="parcel")
        graph.until(lambda: graph.client.count_subscribers("/lifter/bodies") == 1)
        playing = threading.Thread(target=demo)
        playing.start()
        assert points.wait_for_motion("parcel", timeout=15.0)
        assert points.where_is("parcel", "world", timeout=5.0).moving
        # The points are known to move before the body is; afterwards it is followed.
        poses = (points.pose_of("parcel", "world", timeout=15.0) for _ in islice(points.updates(), 100))
        found = next(pose for pose in poses if pose.twist[2] > 0.05)
        playing.join()
    k = int(np.searchsorted(truth.stamps, found.stamp))
    middle = truth.xyz[:, parcel].mean(axis=1)
    np.testing.assert_allclose(found.xyz, middle[k], atol=0.06)
    velocity = (middle[k + 1] - middle[k - 1]) / 2 * RATE
    # It has only just begun to move: which way is known, how fast it is not yet.
    np.testing.assert_allclose(found.twist[:2], velocity[:2], atol=0.1)
    assert velocity[2] > 0.05, "it is going up"


def test_a_region_is_watched_from_a_moving_camera(graph, demo):
    hoist = graph.listen(Bool, "hoist", depth=500)
    wall = graph.listen(Bool, "wall", depth=500)
    with (
        program("watch_region", "--box", *HOIST, "--ros-args", "-r", "motion:=hoist"),
        program("watch_region", "--box", *WALL, "--ros-args", "-r", "motion:=wall"),
    ):
        tracker = graph.nodes[0]
        graph.until(lambda: len(tracker._cameras[""].session.tracker.ids) >= 60)
        demo()
        hoist.wait(lambda messages: len(messages) >= RATE)
        wall.wait(lambda messages: len(messages) >= RATE)
    moving = [message.data for message in hoist.messages]
    assert not any(moving[:4]), "the parcel stands on its stool at first"
    assert sum(moving) >= 0.5 * RATE, "then it is lifted"
    assert not any(message.data for message in wall.messages)


def forget_after(poses, points, count):
    """A subscription's callback that has the tracker forget the parcel after so many poses."""

    def receive(message):
        poses.put(message)
        if len(poses.messages) == count:
            points.forget("parcel")

    return receive


def in_optical(truth, k, chosen):
    """(N, 3) true positions of points in image k, in the camera's optical frame."""
    from_world = np.linalg.inv(truth.camera_poses[k])
    return truth.xyz[k, chosen] @ from_world[:3, :3].T + from_world[:3, 3]
