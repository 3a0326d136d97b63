"""The player: a bag looks like a live camera."""

import time

import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from cotracker_ros.messages import (
    camera_info_fields,
    decode_depth,
    decode_image,
    depth_fields,
    image_fields,
    stamp_ns,
    transform_fields,
)
from cotracker_ros.nodes.player_node import PlayerNode
from cotracker_ros.reconstruction import CameraModel
from cotracker_ros.recordings import BagWriter

START = 1_700_000_000_000_000_000
PERIOD = 20_000_000  # ns
IMAGES = 12
CAMERA = CameraModel(64, 48, np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]))


def pixels(i):
    return np.full((48, 64, 3), 10 * i, np.uint8)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "small.mcap"
    eye = np.eye(4)
    with BagWriter(path) as writer:
        static = {"transforms": [transform_fields(START, "base", "camera", eye)]}
        writer.write("/tf_static", "tf2_msgs/msg/TFMessage", START, static)
        for i in range(IMAGES):
            stamp = START + i * PERIOD
            moving = {"transforms": [transform_fields(stamp, "map", "base", eye)]}
            depth = np.full((48, 64), 1.5, np.float32)
            info = camera_info_fields(CAMERA, stamp, "camera")
            writer.write("/tf", "tf2_msgs/msg/TFMessage", stamp, moving)
            writer.write("/camera_info", "sensor_msgs/msg/CameraInfo", stamp, info)
            writer.write("/image", "sensor_msgs/msg/Image", stamp, image_fields(pixels(i), stamp, "camera"))
            fields = depth_fields(depth, stamp, "camera", encoding="16UC1")
            writer.write("/depth", "sensor_msgs/msg/Image", stamp, fields)
    return str(path)


@pytest.fixture
def listening(graph):
    """Inboxes for all topics of a player."""
    return {
        "image": graph.listen(Image, "image"),
        "depth": graph.listen(Image, "depth"),
        "camera_info": graph.listen(CameraInfo, "camera_info"),
        "tf": graph.listen(TFMessage, "/tf"),
        "tf_static": graph.listen(TFMessage, "/tf_static", latched=True),
        "finished": graph.listen(Bool, "player/finished", latched=True),
    }


def activate(graph, node):
    """Activate once the client's subscriptions have been matched: nothing is missed then."""
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    names = ("image", "depth", "camera_info", "/tf")
    graph.until(lambda: all(node._topics[name].get_subscription_count() for name in names))
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS


def test_everything_is_played_with_its_stamp_and_says_when_it_is_over(graph, listening, bag):
    node = graph.add(PlayerNode, path=bag)
    began = time.monotonic()
    activate(graph, node)
    listening["finished"].wait_for(lambda m: m.data)
    took = time.monotonic() - began
    images = listening["image"].wait(lambda m: len(m) == IMAGES)
    depths = listening["depth"].wait(lambda m: len(m) == IMAGES)
    infos = listening["camera_info"].wait(lambda m: len(m) == IMAGES)
    transforms = listening["tf"].wait(lambda m: len(m) == IMAGES)
    stamps = [START + i * PERIOD for i in range(IMAGES)]
    assert [stamp_ns(m.header.stamp) for m in images] == stamps
    assert [stamp_ns(m.header.stamp) for m in infos] == stamps
    assert [stamp_ns(m.transforms[0].header.stamp) for m in transforms] == stamps
    assert [decode_image(m)[0, 0, 0] for m in images] == [10 * i for i in range(IMAGES)]
    assert depths[0].encoding == "16UC1"
    np.testing.assert_allclose(decode_depth(depths[0]), 1.5, rtol=1e-6)
    assert listening["tf_static"].wait()[0].transforms[0].child_frame_id == "camera"
    assert took >= (IMAGES - 1) * PERIOD * 1e-9, "at the recording's pace"


def test_paused_it_shows_the_first_image_and_waits_for_play(graph, listening, bag):
    node = graph.add(PlayerNode, path=bag, start_paused=True, rate=100.0)
    activate(graph, node)
    for topic in ("image", "depth", "camera_info", "tf", "tf_static"):
        listening[topic].wait()
    graph.until(lambda: node.diagnose()[0].message == "paused")
    assert len(listening["image"].messages) == 1
    assert not listening["finished"].wait()[0].data
    assert graph.call(Trigger, "player/play").success
    listening["image"].wait(lambda m: len(m) == IMAGES)
    listening["finished"].wait_for(lambda m: m.data)
    assert not graph.call(Trigger, "player/play").success, "there is nothing left to play"


def test_looping_starts_over_and_can_be_ended_live(graph, listening, bag):
    node = graph.add(PlayerNode, path=bag, loop=True, rate=20.0, read_ahead=2)
    activate(graph, node)
    images = listening["image"].wait(lambda m: len(m) > IMAGES)
    assert stamp_ns(images[IMAGES].header.stamp) == START
    assert node.set_parameters([Parameter("loop", value=False)])[0].successful
    listening["finished"].wait_for(lambda m: m.data)


def test_32fc1_on_request(graph, listening, bag):
    activate(graph, graph.add(PlayerNode, path=bag, depth_encoding="32FC1", rate=100.0))
    assert listening["depth"].wait()[0].encoding == "32FC1"


def test_deactivating_stops_and_activating_begins_anew(graph, listening, bag):
    node = graph.add(PlayerNode, path=bag, start_paused=True)
    activate(graph, node)
    listening["image"].wait()
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert not graph.call(Trigger, "player/play").success
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    images = listening["image"].wait(lambda m: len(m) == 2)
    assert images[0].header.stamp == images[1].header.stamp


@pytest.mark.parametrize("content", [None, b"", b"no bag at all"])
def test_an_unreadable_recording_fails_at_configure_and_can_be_mended(graph, tmp_path, bag, content):
    path = tmp_path / "broken.mcap"
    if content is not None:
        path.write_bytes(content)
    node = graph.add(PlayerNode, path=str(path))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "broken.mcap" in node.problem
    assert node.set_parameters([Parameter("path", value=bag)])[0].successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


def test_nonsense_is_refused_with_a_sentence(graph):
    node = graph.add(PlayerNode)
    refused = node.set_parameters([Parameter("depth_encoding", value="8UC1")])[0]
    assert not refused.successful
    assert refused.reason == "depth_encoding is '8UC1'; give one of 16UC1, 32FC1"
