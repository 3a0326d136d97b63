"""The launch files started for real, where launch is installed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("launch_ros", reason="launch comes with a ROS installation only")
rclpy = pytest.importorskip("rclpy")
pytest.importorskip("cotracker_ros.msg", reason="the messages are built by colcon")

from cotracker_ros.msg import TrackArray  # noqa: E402
from launch import LaunchContext  # noqa: E402
from launch.actions import IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from rclpy.node import Node  # noqa: E402

LAUNCH = Path(__file__).parents[2] / "launch"
PATIENCE = 60.0  # s for a node to come up on a busy machine

LAUNCHER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


@contextmanager
def launched(name: str, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A launch file running in a process of its own, with its output in a file."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(LAUNCH / f"{name}.launch.py"), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROS_LOG_DIR": str(log.parent)},
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    rclpy.init()
    node = rclpy.create_node("launch_test")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def ask(node: Node, kind: type, service: str, request: object, patience: float) -> object:
    """The answer of a service, or None when it does not come: it may not be there yet, or not any more."""
    client = node.create_client(kind, service)
    try:
        if not client.wait_for_service(timeout_sec=patience):
            return None
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=patience)
        return future.result() if future.done() else None
    finally:
        node.destroy_client(client)


def wait_for_state(node: Node, name: str, wanted: str, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    state = "absent"
    while time.monotonic() < until:
        response = ask(node, GetState, f"{name}/get_state", GetState.Request(), 2.0)
        state = response.current_state.label if response else "absent"
        if state == wanted:
            return
        rclpy.spin_once(node, timeout_sec=0.1)
    pytest.fail(f"{name} is {state}, not {wanted}:\n{log.read_text()}")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images to be played: a pattern that moves."""
    folder = tmp_path_factory.mktemp("images")
    noise = np.random.default_rng(0).integers(0, 256, (30, 48, 3), np.uint8)
    pattern = cv2.resize(noise, (192, 120), interpolation=cv2.INTER_CUBIC)
    for frame in range(90):
        cv2.imwrite(str(folder / f"{frame:04d}.png"), np.roll(pattern, frame, axis=1))
    return folder


@pytest.mark.parametrize("name", ["tracker", "reconstruction", "replay"])
def test_descriptions_can_be_made(name: str) -> None:
    source = PythonLaunchDescriptionSource(str(LAUNCH / f"{name}.launch.py"))
    description = source.get_launch_description(LaunchContext())
    names = [argument.name for argument in description.get_launch_arguments()]
    assert {"image", "namespace", "respawn", "rviz", "use_sim_time"} <= set(names)
    assert len(set(names)) == len(names)


def test_reconstruction_brings_both_nodes_up_in_a_namespace(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with launched("reconstruction", log, "backend:=klt", "namespace:=arm", "image:=/eye/image"):
        wait_for_state(node, "/arm/tracker", "active", log)
        wait_for_state(node, "/arm/lifter", "active", log)
        inputs = dict(node.get_subscriber_names_and_types_by_node("tracker", "/arm"))
        assert "/eye/image" in inputs
        inputs = dict(node.get_subscriber_names_and_types_by_node("lifter", "/arm"))
        assert {"/arm/tracker/tracks", "/camera/depth/image_raw", "/camera/camera_info"} <= set(inputs)


def test_arguments_arrive_as_parameters_of_their_types(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "log"
    given = {
        "camera_pose": "tracks",
        "target_frame": "odom",
        "fixed_frame": "odom",
        "base_frame": "base_link",
        "pose_label": "1",  # a text, though it looks like a number
    }
    arguments = [f"{name}:={value}" for name, value in given.items()]
    with launched("reconstruction", log, "backend:=klt", "dense:=off", "odometry_tf:=true", *arguments):
        wait_for_state(node, "/lifter", "active", log)
        request = GetParameters.Request(names=[*given, "dense", "odometry_tf"])
        answer = ask(node, GetParameters, "/lifter/get_parameters", request, PATIENCE)
    assert answer is not None
    *texts, odometry_tf = answer.values
    assert [value.string_value for value in texts] == [*given.values(), "off"]
    assert odometry_tf.bool_value is True


@pytest.mark.parametrize(
    ("arguments", "frame"),
    [
        ({}, ""),
        ({"target_frame": "map"}, "map"),
        ({"target_frame": "base_link", "fixed_frame": "odom"}, "odom"),
        ({"camera_pose": "tracks"}, "odom"),
        ({"camera_pose": "tracks", "rviz_frame": "here"}, "here"),
    ],
)
def test_rviz_stands_where_the_scene_does(arguments: dict[str, str], frame: str) -> None:
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    source = PythonLaunchDescriptionSource(str(LAUNCH / "reconstruction.launch.py"))
    # The launch file's own entities, down to what it includes.
    for entity in source.get_launch_description(context).entities:
        if isinstance(entity, IncludeLaunchDescription):
            break
        for action in entity.visit(context) or []:
            action.visit(context)
    assert context.launch_configurations.get("rviz_frame", "") == frame


def test_a_tracker_that_cannot_be_configured_says_why_and_lives(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with launched("tracker", log, "weights:=/no/such/file.pth", "backend:=network") as process:
        wait_for_state(node, "/tracker", "unconfigured", log)
        request = ChangeState.Request()
        request.transition.id = 1  # configure
        answer = ask(node, ChangeState, "/tracker/change_state", request, PATIENCE)
        assert answer is not None and not answer.success
        assert process.poll() is None
    assert "/no/such/file.pth" in log.read_text()


def test_a_tracker_that_has_died_comes_back(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with launched("tracker", log, "backend:=klt", "respawn:=true"):
        wait_for_state(node, "/tracker", "active", log)
        os.kill(int(log.read_text().split("process started with pid [")[1].split("]")[0]), signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while log.read_text().count("process started with pid") < 2 and time.monotonic() < until:
            rclpy.spin_once(node, timeout_sec=0.1)
        wait_for_state(node, "/tracker", "active", log)


def test_replay_tracks_and_ends_with_its_player(node: Node, images: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    received: list[TrackArray] = []
    subscription = node.create_subscription(TrackArray, "/tracker/tracks", received.append, 100)
    parameters = tmp_path / "tracker.yaml"
    parameters.write_text("/**:\n  ros__parameters:\n    seed: grid\n    backend: klt\n")
    # In a loop: on a busy machine the first round may be over before this test's subscription is found.
    arguments = (f"recording:={images}", f"tracker_params:={parameters}", "loop:=true")
    with launched("replay", log, *arguments) as process:
        until = time.monotonic() + PATIENCE
        while len(received) < 60 and time.monotonic() < until:
            rclpy.spin_once(node, timeout_sec=0.1)
        assert len(received) >= 60, log.read_text()
        assert len(received[0].ids) > 0
        line = next(line for line in log.read_text().splitlines() if "player_node" in line and "pid" in line)
        os.kill(int(line.split("pid [")[1].split("]")[0]), signal.SIGKILL)
        assert process.wait(timeout=30) is not None
    node.destroy_subscription(subscription)
