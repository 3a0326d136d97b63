import time
from dataclasses import fields as dataclass_fields
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cotracker_ros.messages import (
    MessageError,
    ros2_typestore,
    to_bag,
    to_ros,
    track3d_array_fields,
    track_array_fields,
    tracks3d_from_message,
    tracks_from_message,
)
from cotracker_ros.reconstruction.types import Tracks3D
from cotracker_ros.tracking.types import Tracks

TYPESTORE = ros2_typestore()
LABELS = st.sampled_from(["", "cup", "Tasse", "門", "a b"])
STAMPS = st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1)
UINT32 = st.integers(0, 2**32 - 1)
ANY_FLOAT32 = {"elements": st.floats(width=32)}  # NaN and infinity travel too


def arrays(dtype, shape, **options):
    return hnp.arrays(dtype, shape, **options)


@st.composite
def tracks_2d(draw):
    n = draw(st.integers(0, 6))
    return Tracks(
        frame=draw(st.integers(0, 2**64 - 1)),
        stamp=draw(STAMPS),
        newest=draw(STAMPS),
        epoch=draw(UINT32),
        image_size=(draw(UINT32), draw(UINT32)),
        revised=draw(st.booleans()),
        ids=draw(arrays(np.uint32, n)),
        xy=draw(arrays(np.float32, (n, 2), **ANY_FLOAT32)),
        visibility=draw(arrays(np.float32, n, **ANY_FLOAT32)),
        confidence=draw(arrays(np.float32, n, **ANY_FLOAT32)),
        flags=draw(arrays(np.uint8, n)),
        age=draw(arrays(np.uint32, n)),
        rgb=draw(arrays(np.uint8, (n, 3))),
        labels=tuple(draw(st.lists(LABELS, min_size=n, max_size=n))),
    )


@st.composite
def tracks_3d(draw):
    n = draw(st.integers(0, 6))
    return Tracks3D(
        frame=draw(st.integers(0, 2**64 - 1)),
        stamp=draw(STAMPS),
        epoch=draw(UINT32),
        frame_id=draw(st.sampled_from(["", "map", "camera_optical_frame"])),
        ids=draw(arrays(np.uint32, n)),
        xyz=draw(arrays(np.float32, (n, 3), **ANY_FLOAT32)),
        velocity=draw(arrays(np.float32, (n, 3), **ANY_FLOAT32)),
        sigma=draw(arrays(np.float32, n, **ANY_FLOAT32)),
        source=draw(arrays(np.uint8, n)),
        motion=draw(arrays(np.uint8, n)),
        flags=draw(arrays(np.uint8, n)),
        rgb=draw(arrays(np.uint8, (n, 3))),
        labels=tuple(draw(st.lists(LABELS, min_size=n, max_size=n))),
    )


def assert_same(actual, expected):
    for field in dataclass_fields(expected):
        left, right = getattr(actual, field.name), getattr(expected, field.name)
        if isinstance(right, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right, field.name


def through_cdr(typename, fields):
    message = to_bag(TYPESTORE, typename, fields)
    return TYPESTORE.deserialize_cdr(TYPESTORE.serialize_cdr(message, typename), typename)


def ros_class(name):
    return getattr(pytest.importorskip("cotracker_ros.msg"), name)


@settings(deadline=None)
@given(tracks_2d())
def test_tracks_survive_a_bag(tracks):
    message = through_cdr("cotracker_ros/msg/TrackArray", track_array_fields(tracks, "camera"))
    back, frame_id = tracks_from_message(message)
    assert frame_id == "camera"
    assert_same(back, tracks)


@settings(deadline=None)
@given(tracks_3d())
def test_tracks_3d_survive_a_bag(tracks):
    message = through_cdr("cotracker_ros/msg/Track3DArray", track3d_array_fields(tracks))
    assert_same(tracks3d_from_message(message), tracks)


@settings(deadline=None)
@given(tracks_2d())
def test_tracks_survive_a_ros_message(tracks):
    from_ros = pytest.importorskip("rclpy.serialization")
    message_class = ros_class("TrackArray")
    message = to_ros(message_class, track_array_fields(tracks, "camera"))
    received = from_ros.deserialize_message(from_ros.serialize_message(message), message_class)
    back, frame_id = tracks_from_message(received)
    assert frame_id == "camera"
    assert_same(back, tracks)


@settings(deadline=None)
@given(tracks_3d())
def test_tracks_3d_survive_a_ros_message(tracks):
    message = to_ros(ros_class("Track3DArray"), track3d_array_fields(tracks))
    assert_same(tracks3d_from_message(message), tracks)


def some_tracks(n, labels=None):
    rng = np.random.default_rng(0)
    return Tracks(
        frame=3,
        stamp=1_700_000_000_000_000_001,
        newest=1_700_000_000_100_000_000,
        epoch=1,
        image_size=(640, 480),
        revised=False,
        ids=np.arange(n, dtype=np.uint32),
        xy=rng.uniform(0, 480, (n, 2)).astype(np.float32),
        visibility=rng.uniform(size=n).astype(np.float32),
        confidence=rng.uniform(size=n).astype(np.float32),
        flags=np.ones(n, np.uint8),
        age=np.zeros(n, np.uint32),
        rgb=rng.integers(0, 255, (n, 3), dtype=np.uint8),
        labels=labels or ("",) * n,
    )


def test_labels_are_stored_once_and_the_empty_one_first():
    fields = track_array_fields(some_tracks(4, ("cup", "", "cup", "door")), "camera")
    assert fields["label_names"] == ["", "cup", "door"]
    assert fields["label"].tolist() == [1, 0, 1, 2]


def test_too_many_labels_are_refused():
    n = (1 << 16) + 1
    with pytest.raises(MessageError, match="at most 65,535"):
        track_array_fields(some_tracks(n, tuple(map(str, range(n)))), "camera")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": np.zeros(2, np.float32)}, "has 3 ids, so 'x' must have 3 entries, not 2"),
        ({"rgb": np.zeros(3, np.uint8)}, "'rgb' must have 9 entries, not 3"),
        ({"label": np.array([0, 1, 0], np.uint16)}, "label index beyond its 1 label_names"),
    ],
)
def test_messages_that_contradict_themselves_are_refused(change, sentence):
    fields = track_array_fields(some_tracks(3), "camera") | change
    with pytest.raises(MessageError, match=sentence):
        tracks_from_message(to_bag(TYPESTORE, "cotracker_ros/msg/TrackArray", fields))


def test_the_result_does_not_follow_the_message():
    message = to_bag(TYPESTORE, "cotracker_ros/msg/TrackArray", track_array_fields(some_tracks(3), ""))
    tracks, _ = tracks_from_message(message)
    message.ids[:] = 99
    assert tracks.ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize("count", [0, 1000])
def test_a_thousand_tracks_take_less_than_a_millisecond(count):
    """Both ways, without CDR; the best of many runs, because the machine may be busy."""
    tracks = some_tracks(count)

    def ros_round_trip():
        tracks_from_message(to_ros(ros_class("TrackArray"), track_array_fields(tracks, "camera")))

    ros_round_trip()
    durations = []
    for _ in range(50):
        start = time.perf_counter()
        ros_round_trip()
        durations.append(time.perf_counter() - start)
    assert min(durations) < 1e-3


def test_fields_that_do_not_exist_are_an_error():
    with pytest.raises(KeyError, match="colour"):
        to_bag(TYPESTORE, "std_msgs/msg/Header", {"colour": 1})
    with pytest.raises(KeyError, match="colour"):
        to_ros(ros_class("TrackArray"), {"colour": 1})


def test_bag_messages_fill_what_is_left_out():
    marker = to_bag(TYPESTORE, "visualization_msgs/msg/Marker", {"ns": "trails"})
    assert (marker.ns, marker.scale.x, marker.points, marker.text) == ("trails", 0.0, [], "")
    info = to_bag(TYPESTORE, "sensor_msgs/msg/CameraInfo", {})
    assert info.k.shape == (9,)
    TYPESTORE.serialize_cdr(marker, "visualization_msgs/msg/Marker")


def test_definitions_agree_with_the_generated_messages():
    for name in ("TrackArray", "Track3DArray"):
        generated = ros_class(name).get_fields_and_field_types()
        defined = [field for field, _ in TYPESTORE.fielddefs[f"cotracker_ros/msg/{name}"][1]]
        assert list(generated) == defined


def test_plain_objects_are_messages_too():
    fields = track_array_fields(some_tracks(2), "camera")
    header = SimpleNamespace(stamp=SimpleNamespace(**fields["header"]["stamp"]), frame_id="camera")
    plain = SimpleNamespace(**fields | {"header": header, "newest": SimpleNamespace(**fields["newest"])})
    assert_same(tracks_from_message(plain)[0], some_tracks(2))
