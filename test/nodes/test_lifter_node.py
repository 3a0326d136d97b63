"""The lifter node over DDS: tracks on a wall whose distance is known."""

import importlib
import sys
import types

import cv2
import numpy as np
import pytest
from cotracker_ros.msg import Track3DArray, TrackArray
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from cotracker_ros.messages import (
    camera_info_fields,
    cloud_from_message,
    depth_fields,
    header_fields,
    to_ros,
    track_array_fields,
    tracks3d_from_message,
    transform_fields,
)
from cotracker_ros.nodes.lifter_node import LifterNode
from cotracker_ros.nodes.qos import LATCHED
from cotracker_ros.reconstruction import CameraModel, DepthSource, TransformError, read_ply
from cotracker_ros.tracking.types import TrackFlag, Tracks

START = 1_700_000_000_000_000_000
PERIOD = 33_000_000  # ns
FRAME = "camera_optical_frame"
SIZE = (160, 120)
CAMERA = CameraModel(*SIZE, np.array([[150.0, 0, 79.5], [0, 150, 59.5], [0, 0, 1]]))
XY = np.array([[40.0, 30], [80, 60], [120, 100]], np.float32)
WALL = 2.0  # m
IN_CAMERA = np.column_stack([(XY - (79.5, 59.5)) / 150 * WALL, np.full(3, WALL)])
# The camera looks along x of the map, 1 m above the floor.
IN_MAP = np.array([[0.0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])


def stamp(i):
    return START + i * PERIOD


def tracks_message(i, *, frame=FRAME, epoch=0, xy=XY):
    count = len(xy)
    flags = TrackFlag.VISIBLE | TrackFlag.IN_FRAME | (TrackFlag.NEW if i == 0 else 0)
    tracks = Tracks(
        frame=i,
        stamp=stamp(i),
        newest=stamp(i),
        epoch=epoch,
        image_size=SIZE,
        revised=False,
        ids=np.arange(5, 5 + count, dtype=np.uint32),
        xy=xy,
        visibility=np.ones(count, np.float32),
        confidence=np.ones(count, np.float32),
        flags=np.full(count, flags, np.uint8),
        age=np.full(count, i, np.uint32),
        rgb=np.full((count, 3), 200, np.uint8),
        labels=("",) * count,
    )
    return to_ros(TrackArray, track_array_fields(tracks, frame))


def depth_message(i, *, encoding="16UC1", size=SIZE, metres=WALL):
    depth = np.full(size[::-1], metres, np.float32)
    return to_ros(Image, depth_fields(depth, stamp(i), FRAME, encoding=encoding))


def transform(matrix, parent="map", child=FRAME, at=START):
    return TFMessage(transforms=[to_ros(TransformStamped, transform_fields(at, parent, child, matrix))])


class Rig:
    """An active lifter and everything that talks to it."""

    def __init__(self, graph, *, depth_class=Image, camera_info=True, **parameters):
        defaults = {"diagnostics_period": 0.05, "map_period": 0.1, "marker_period": 0.01}
        # Nothing may get lost on the way in these tests.
        for topic in ("/depth", "/depth/compressedDepth", "/camera_info"):
            defaults[f"qos_overrides.{topic}.subscription.reliability"] = "reliable"
        self.node = graph.add(LifterNode, **defaults | parameters)
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.results = graph.listen(Track3DArray, "lifter/tracks_3d")
        self.diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
        topic = "depth" if depth_class is Image else "depth/compressedDepth"
        self.tracks = graph.publisher(TrackArray, "tracks")
        self.depth = graph.publisher(depth_class, topic)
        self.info = graph.publisher(CameraInfo, "camera_info")
        if camera_info:
            self.info.publish(to_ros(CameraInfo, camera_info_fields(CAMERA, START, FRAME)))

    def play(self, numbers, **arguments):
        """Send depth and tracks and wait for the result of the last image."""
        for i in numbers:
            self.depth.publish(depth_message(i))
            self.tracks.publish(tracks_message(i, **arguments))
        return self.result(numbers[-1])

    def result(self, i):
        return tracks3d_from_message(
            self.results.wait_for(lambda m: tracks3d_from_message(m).stamp == stamp(i))
        )

    def told(self, level, words):
        """Wait for a diagnostic of that level with these words in its message."""
        return self.diagnostics.wait_for(
            lambda m: m.status and m.status[0].level == level and words in m.status[0].message
        )


def test_points_are_where_the_wall_is(graph):
    rig = Rig(graph)
    clouds = graph.listen(PointCloud2, "lifter/points")
    graph.until(lambda: rig.node._stream._output._points.get_subscription_count())
    lifted = rig.play(range(3))
    assert lifted.frame_id == FRAME, "without a target frame it is the camera's"
    assert list(lifted.ids) == [5, 6, 7]
    assert np.all(lifted.source == DepthSource.MEASURED)
    np.testing.assert_allclose(lifted.xyz, IN_CAMERA, atol=2e-3)
    cloud = cloud_from_message(clouds.wait(lambda m: len(m) == 3)[-1])
    np.testing.assert_allclose(cloud.xyz, lifted.xyz)
    assert list(cloud.ids) == [5, 6, 7]
    np.testing.assert_array_equal(cloud.motion, lifted.motion)
    np.testing.assert_allclose(cloud.sigma, lifted.sigma)
    rig.told(DiagnosticStatus.OK, "lifting")


def test_compressed_depth(graph):
    rig = Rig(graph, depth_class=CompressedImage, depth_transport="compressedDepth")
    png = cv2.imencode(".png", np.full(SIZE[::-1], 2000, np.uint16))[1].tobytes()
    message = to_ros(CompressedImage, {"header": header_fields(stamp(0), FRAME)})
    message.format, message.data = "16UC1; compressedDepth", bytes(12) + png
    rig.depth.publish(message)
    rig.tracks.publish(tracks_message(0))
    np.testing.assert_allclose(rig.result(0).xyz, IN_CAMERA, atol=2e-3)


def test_a_static_transform_carries_points_into_the_target_frame(graph):
    static = graph.client.create_publisher(TFMessage, "/tf_static", LATCHED)
    static.publish(transform(IN_MAP))
    rig = Rig(graph, target_frame="map")
    lifted = rig.play([0])
    assert lifted.frame_id == "map"
    np.testing.assert_allclose(lifted.xyz, IN_CAMERA @ IN_MAP[:3, :3].T + IN_MAP[:3, 3], atol=2e-3)


def test_tracks_wait_for_a_transform_that_comes_late(graph):
    rig = Rig(graph, target_frame="map")
    moving = graph.publisher(TFMessage, "/tf")
    moving.publish(transform(IN_MAP, at=stamp(-1)))
    rig.depth.publish(depth_message(0))
    rig.tracks.publish(tracks_message(0))
    graph.until(lambda: rig.node._stream._lifter.state.pending)
    assert not rig.results.messages
    moving.publish(transform(IN_MAP, at=stamp(1)))
    np.testing.assert_allclose(rig.result(0).xyz[:, 0], WALL + 0.5, atol=2e-3)


def test_a_missing_transform_is_told_and_tracks_are_dropped(graph):
    rig = Rig(graph, target_frame="map")
    rig.depth.publish(depth_message(0))
    rig.tracks.publish(tracks_message(0))
    told = rig.told(DiagnosticStatus.WARN, "dropped")
    assert "map" in told.status[0].message or FRAME in told.status[0].message
    assert not rig.results.messages


def test_depth_before_and_after_the_tracks(graph):
    rig = Rig(graph)
    rig.depth.publish(depth_message(0))
    rig.tracks.publish(tracks_message(0))
    assert np.all(rig.result(0).source == DepthSource.MEASURED)
    rig.tracks.publish(tracks_message(1))
    graph.until(lambda: rig.node._stream._lifter.state.pending)
    rig.depth.publish(depth_message(1))
    assert np.all(rig.result(1).source == DepthSource.MEASURED)


def test_without_depth_points_are_held_when_the_stream_ends(graph):
    rig = Rig(graph)
    rig.play([0])
    rig.tracks.publish(tracks_message(1))
    lifted = rig.result(1)  # nothing more comes: not waited for any longer
    assert np.all(lifted.source == DepthSource.HELD)
    rig.told(DiagnosticStatus.WARN, "no depth image")


@pytest.mark.parametrize(
    "size, metres, counter", [((200, 120), WALL, "depth size mismatch"), (SIZE, np.nan, "depth invalid")]
)
def test_useless_depth_is_told_and_points_stay(graph, size, metres, counter):
    rig = Rig(graph)
    rig.play([0])
    rig.depth.publish(depth_message(1, size=size, metres=metres))
    rig.tracks.publish(tracks_message(1))
    assert np.all(rig.result(1).source == DepthSource.HELD)
    rig.told(DiagnosticStatus.WARN, "depth image")
    rig.diagnostics.wait_for(lambda m: {v.key: v.value for v in m.status[0].values}.get(counter) == "1")


def test_without_camera_info_it_says_so(graph):
    rig = Rig(graph, camera_info=False)
    rig.depth.publish(depth_message(0))
    rig.tracks.publish(tracks_message(0))
    rig.told(DiagnosticStatus.WARN, "no camera_info came")
    rig.info.publish(CameraInfo(width=SIZE[0], height=SIZE[1]))
    rig.told(DiagnosticStatus.ERROR, "calibrate")
    rig.info.publish(to_ros(CameraInfo, camera_info_fields(CAMERA, START, FRAME)))
    assert np.all(rig.play([1]).source == DepthSource.MEASURED)


def test_bad_depth_is_an_error_that_passes(graph):
    rig = Rig(graph)
    broken = depth_message(0)
    broken.encoding = "smell8"
    rig.depth.publish(broken)
    rig.told(DiagnosticStatus.ERROR, "smell8")
    rig.play([1])
    rig.told(DiagnosticStatus.OK, "lifting")


def test_the_map_reaches_a_latecomer_is_saved_and_forgotten(graph, tmp_path):
    path = tmp_path / "sub" / "map.ply"
    # This camera stands still, so nothing but the user can confirm its calibration.
    rig = Rig(graph, map_path=str(path), **{"ego_motion.focal_wrong_share": 1e-9})
    assert not graph.call(Trigger, "lifter/save_map").success, "there is nothing to save yet"
    rig.play(range(20))
    graph.until(lambda: rig.node._stream._map._published is not None)
    late = graph.listen(PointCloud2, "lifter/map", latched=True)
    cloud = cloud_from_message(late.wait_for(lambda m: m.width == 3))
    assert cloud.frame_id == FRAME
    np.testing.assert_allclose(cloud.xyz[np.argsort(cloud.xyz[:, 0])], IN_CAMERA, atol=3e-3)
    assert np.all((cloud.sigma > 0) & (cloud.sigma < 0.02))
    saved = graph.call(Trigger, "lifter/save_map")
    assert saved.success, saved.message
    assert str(path) in saved.message
    np.testing.assert_allclose(read_ply(path).fields["sigma"], cloud.sigma, atol=0.01)
    assert graph.call(Trigger, "lifter/reset").success
    late.wait_for(lambda m: m.width == 0)
    assert np.all(rig.play([21]).source == DepthSource.MEASURED), "camera and stream go on"


def test_a_map_that_cannot_be_written_is_refused_with_a_sentence(graph):
    rig = Rig(graph)
    rig.play(range(20))
    assert rig.node.set_parameters([Parameter("map_path", value="/proc/no/map.ply")])[0].successful
    graph.until(lambda: rig.node._stream._config.map_path == "/proc/no/map.ply")
    refused = graph.call(Trigger, "lifter/save_map")
    assert not refused.success
    assert "/proc/no" in refused.message


def test_markers_are_few_however_many_tracks(graph):
    rig = Rig(graph)
    markers = graph.listen(MarkerArray, "lifter/markers")
    graph.until(lambda: rig.node._stream._output._markers._publisher.get_subscription_count())
    for i in range(30):  # one after the other, so that some are drawn when there are trails
        rig.play([i])
    message = markers.wait_for(lambda m: len(m.markers) > 2)
    first, *others = message.markers
    assert first.action == Marker.DELETEALL
    assert {m.header.frame_id for m in others} == {FRAME}
    spaces = {m.ns for m in others}
    assert "points" in spaces
    assert any(space.startswith("trails_") for space in spaces)
    assert len(others) <= 4


def test_live_parameters_change_the_frame_at_once(graph):
    static = graph.client.create_publisher(TFMessage, "/tf_static", LATCHED)
    static.publish(transform(IN_MAP))
    rig = Rig(graph)
    assert rig.play([0]).frame_id == FRAME
    assert rig.node.set_parameters([Parameter("target_frame", value="map")])[0].successful
    graph.until(lambda: rig.node._stream._lifter.config.target_frame == "map")
    assert rig.play([1]).frame_id == "map"


@pytest.mark.parametrize(
    "name, given, wanted",
    [
        ("depth_transport", "theora", "raw, compressedDepth"),
        ("tolerance", -1.0, "tolerance"),
        ("map.voxel_size", 0.0, "voxel_size"),
        ("motion.process_noise", -1.0, "process_noise"),
        ("map_path", "", "map_path is empty"),
    ],
)
def test_parameters_are_refused_with_a_sentence(graph, name, given, wanted):
    node = graph.add(LifterNode)
    result = node.set_parameters([Parameter(name, value=given)])[0]
    assert not result.successful
    assert wanted in result.reason


class FakeTf2(types.ModuleType):
    """tf2_ros as far as the nodes use it: not installed everywhere, but the same on all robots."""

    class TransformException(Exception):  # noqa: N818
        pass

    class Buffer:
        def __init__(self):
            self.cleared = 0
            self.answer = None

        def clear(self):
            self.cleared += 1

        def all_frames_as_yaml(self):
            return "[]" if self.answer is None else f"{FRAME}: \n  parent: 'map'\n  rate: 10.000\n"

        def lookup_transform(self, target, source, time):
            if self.answer is None:
                raise FakeTf2.TransformException("Lookup would require extrapolation into the future")
            return transform(self.answer, target, source, time.nanoseconds).transforms[0]

    class TransformListener:
        def __init__(self, buffer, node):
            self.buffer = buffer

        def unregister(self):
            self.buffer = None


def test_tf2_ros_is_used_where_it_is_installed(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", FakeTf2("tf2_ros"))
    transforms = importlib.import_module("cotracker_ros.nodes.transforms")
    listener = transforms.listen(graph.client)
    assert isinstance(listener, transforms.Tf2Transforms)
    with pytest.raises(TransformError, match="future") as raised:
        listener.lookup("map", FRAME, stamp(10))
    assert raised.value.may_come
    listener._buffer.answer = IN_MAP
    assert (listener.parent(FRAME), listener.parent("map")) == ("map", "")
    np.testing.assert_allclose(listener.lookup("map", FRAME, stamp(10)), IN_MAP, atol=1e-12)
    assert listener._buffer.cleared == 0
    listener.lookup("map", FRAME, stamp(-100))
    assert listener._buffer.cleared == 1, "a bag has started over"
    listener.destroy()


def test_tf2_ros_without_frames_knows_no_parent(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", FakeTf2("tf2_ros"))
    listener = importlib.import_module("cotracker_ros.nodes.transforms").listen(graph.client)
    assert listener.parent(FRAME) == ""
    listener.destroy()
