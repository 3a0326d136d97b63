import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from cotracker_ros.messages import camera_info_fields, depth_fields, header_fields, image_fields
from cotracker_ros.recordings import (
    CameraEvent,
    DepthEvent,
    DropEvent,
    ImageEvent,
    RecordingError,
    TransformEvent,
    open_recording,
)

from .conftest import (
    CAMERA,
    FRAME,
    SIZE,
    STEP,
    compressed_depth_fields,
    compressed_fields,
    distance,
    picture,
    rgbd_messages,
    write_rosbag1,
    write_rosbag2,
)

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def bag_of(tmp_path, *messages):
    return write_rosbag2(tmp_path / "bag", messages)


def colour(topic, i=0, stamp=None):
    stamp = 1_000_000_000 + i * STEP if stamp is None else stamp
    return topic, IMAGE, 1_000_000_000 + i * STEP, image_fields(picture(i), stamp, FRAME)


def depth(topic, i=0):
    stamp = 1_000_000_000 + i * STEP
    return topic, IMAGE, stamp, depth_fields(distance(i), stamp, FRAME)


def info(topic):
    return topic, INFO, 1_000_000_000, camera_info_fields(CAMERA, 0, FRAME)


def test_every_kind_of_bag_tells_the_same_story(rgbd_bag):
    recording = open_recording(rgbd_bag)
    summary = recording.summary
    assert (summary.images, summary.depths, summary.has_depth) == (4, 4, True)
    assert summary.image_topic == "/camera/color/image_raw"
    assert summary.depth_topic == "/camera/depth/image_raw"
    assert summary.camera_info_topic == "/camera/color/camera_info"
    assert summary.duration == pytest.approx(0.3, abs=1e-3)

    events = list(recording.events())
    assert not of(DropEvent, events)
    images, depths = of(ImageEvent, events), of(DepthEvent, events)
    for i, event in enumerate(images):
        assert (event.stamp, event.frame_id) == (1_000_000_000 + i * STEP, FRAME)
        np.testing.assert_array_equal(event.image, picture(i))
    for i, event in enumerate(depths):
        np.testing.assert_allclose(event.depth, distance(i), atol=1e-6)
    for event in of(CameraEvent, events):
        np.testing.assert_array_equal(event.camera.K, CAMERA.K)
    transforms = of(TransformEvent, events)
    assert [(t.parent, t.child, t.static) for t in transforms[:2]] == [
        ("base", FRAME, True),
        ("map", "base", False),
    ]
    assert transforms[-1].matrix[0, 3] == pytest.approx(0.03)
    logged = [event.logged for event in events]
    assert logged == sorted(logged)


def test_a_recording_can_be_read_again_and_says_the_same(rgbd_bag):
    recording = open_recording(rgbd_bag)
    first, second = list(recording.events()), list(recording.events())
    assert [type(e) for e in first] == [type(e) for e in second]
    assert [e.stamp for e in first] == [e.stamp for e in second]


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_folder_whose_recorder_wrote_no_metadata(tmp_path, plugin):
    write_rosbag2(tmp_path / "bag", rgbd_messages(), plugin)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    assert len(of(ImageEvent, open_recording(tmp_path / "bag").events())) == 4


class TestTopics:
    def test_compressed_colour_and_depth(self, tmp_path):
        path = bag_of(
            tmp_path,
            ("/cam/image_raw/compressed", COMPRESSED, 5, compressed_fields(picture(0), 5, FRAME)),
            ("/cam/depth/compressedDepth", COMPRESSED, 6, compressed_depth_fields(distance(0), 5, FRAME)),
            info("/cam/camera_info"),
        )
        recording = open_recording(path)
        assert recording.summary.camera_info_topic == "/cam/camera_info"
        image, depth_event = of((ImageEvent, DepthEvent), recording.events())
        np.testing.assert_array_equal(image.image, picture(0))
        np.testing.assert_allclose(depth_event.depth, distance(0))

    def test_of_raw_and_compressed_the_raw_one_is_read(self, tmp_path):
        path = bag_of(
            tmp_path,
            ("/cam/image/compressed", COMPRESSED, 5, compressed_fields(picture(0), 5, FRAME)),
            colour("/cam/image"),
        )
        assert open_recording(path).summary.image_topic == "/cam/image"

    def test_several_cameras_need_a_choice(self, tmp_path):
        path = bag_of(tmp_path, colour("/left/image"), colour("/right/image"))
        with pytest.raises(
            RecordingError, match=r"several colour .*image_topic \(/left/image, /right/image\)"
        ):
            open_recording(path)
        assert open_recording(path, image_topic="/right/image").summary.image_topic == "/right/image"

    def test_several_depth_topics_need_a_choice_or_none(self, tmp_path):
        path = bag_of(tmp_path, colour("/c"), depth("/d1"), depth("/d2"), info("/camera_info"))
        with pytest.raises(RecordingError, match=r"several depth .*depth_topic \(/d1, /d2\)"):
            open_recording(path)
        assert open_recording(path, depth_topic="/d2").summary.depth_topic == "/d2"
        assert not open_recording(path, depth_topic="none").summary.has_depth

    def test_the_calibration_beside_the_images_is_taken(self, tmp_path):
        infos = [info("/depth/camera_info"), info("/color/camera_info")]
        path = bag_of(tmp_path, colour("/color/image"), depth("/depth/image"), *infos)
        assert open_recording(path).summary.camera_info_topic == "/color/camera_info"

    def test_calibrations_elsewhere_need_a_choice_only_for_depth(self, tmp_path):
        infos = [info("/a/camera_info"), info("/b/camera_info")]
        path = bag_of(tmp_path, colour("/color/image"), depth("/depth/image"), *infos)
        with pytest.raises(RecordingError, match="several camera_info"):
            open_recording(path)
        chosen = open_recording(path, camera_info_topic="/b/camera_info")
        assert chosen.summary.camera_info_topic == "/b/camera_info"
        assert open_recording(path, depth_topic="none").summary.camera_info_topic == ""

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (
                {"image_topic": "/nowhere"},
                "image_topic /nowhere is not in the bag; its topics are /c, /camera_info",
            ),
            (
                {"image_topic": "/camera_info"},
                "image_topic /camera_info is a sensor_msgs/msg/CameraInfo, not",
            ),
            ({"camera_info_topic": "/c"}, "camera_info_topic /c is a sensor_msgs/msg/Image"),
            ({"depth_topic": "/camera_info"}, "depth_topic"),
        ],
    )
    def test_wrong_choices_are_said(self, tmp_path, options, sentence):
        path = bag_of(tmp_path, colour("/c"), info("/camera_info"))
        with pytest.raises(RecordingError, match=sentence):
            open_recording(path, **options)

    def test_rectified_images_use_p(self, tmp_path):
        fields = camera_info_fields(CAMERA, 0, FRAME)
        fields["p"] = fields["p"] + np.array([5.0] + [0.0] * 11)
        path = bag_of(tmp_path, colour("/cam/image_rect"), ("/cam/camera_info", INFO, 1, fields))
        [event] = of(CameraEvent, open_recording(path).events())
        assert event.camera.K[0, 0] == 25.0

    def test_a_bag_without_images_lists_what_it_has(self, tmp_path):
        path = bag_of(tmp_path, ("/chatter", "std_msgs/msg/Header", 0, header_fields(0, "")))
        with pytest.raises(RecordingError, match=r"no colour image topic; it holds /chatter \(std_msgs"):
            open_recording(path)


class TestBadBags:
    def test_a_path_that_does_not_exist(self, tmp_path):
        with pytest.raises(RecordingError, match="does not exist"):
            open_recording(tmp_path / "no.mcap")

    @pytest.mark.parametrize("name", ["a.mcap", "a.db3", "a.bag"])
    @pytest.mark.parametrize("content", [b"", b"this is a text, not a bag, though it is called one" * 10])
    def test_files_that_are_no_bags(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RecordingError, match="cannot be read as a bag") as caught:
            open_recording(tmp_path / name)
        assert "\n" not in str(caught.value)

    def test_a_folder_with_broken_metadata(self, tmp_path):
        write_rosbag2(tmp_path / "bag", rgbd_messages())
        (tmp_path / "bag" / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 8}")
        with pytest.raises(RecordingError, match="cannot be read as a bag"):
            open_recording(tmp_path / "bag")

    def test_a_recorder_that_crashed(self, tmp_path):
        path = write_rosbag2(tmp_path / "bag", rgbd_messages())
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(RecordingError, match="did not close the file; repair it with `mcap recover"):
            open_recording(path)

    @pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
    def test_a_bag_without_messages(self, tmp_path, plugin):
        write_rosbag2(tmp_path / "bag", [], plugin)
        with pytest.raises(RecordingError, match="is empty: it holds no messages"):
            open_recording(tmp_path / "bag")

    def test_a_ros1_bag_without_messages(self, tmp_path):
        write_rosbag1(tmp_path / "a.bag", [])
        with pytest.raises(RecordingError, match="is empty"):
            open_recording(tmp_path / "a.bag")

    def test_messages_that_cannot_be_decoded_are_dropped_and_reading_goes_on(self, tmp_path):
        truncated = colour("/c", 1)
        truncated[3]["data"] = truncated[3]["data"][:-7]
        unknown = colour("/c", 2)
        unknown[3]["encoding"] = "nv12"
        events = list(
            open_recording(bag_of(tmp_path, colour("/c", 0), truncated, unknown, colour("/c", 3))).events()
        )
        assert [type(event) for event in events] == [ImageEvent, DropEvent, DropEvent, ImageEvent]
        assert "truncated" in events[1].reason
        assert "nv12" in events[2].reason
        assert events[1].topic == "/c"

    def test_an_uncalibrated_camera_is_dropped(self, tmp_path):
        bad = ("/camera_info", INFO, 1, camera_info_fields(CAMERA, 0, FRAME) | {"k": np.zeros(9)})
        events = list(open_recording(bag_of(tmp_path, bad, colour("/c"))).events())
        assert [type(event) for event in events] == [DropEvent, ImageEvent]

    def test_a_bag_damaged_in_the_middle_is_read_up_to_there(self, tmp_path):
        big = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
        messages = [("/c", IMAGE, i, image_fields(big, i + 1, FRAME)) for i in range(12)]
        path = write_rosbag2(tmp_path / "bag", messages)
        data = bytearray(path.read_bytes())
        middle = len(data) * 2 // 3
        data[middle : middle + 20_000] = bytes(20_000)
        record = data.rfind(b"\x06", 0, middle)  # also break the lengths after it
        path.write_bytes(data)
        assert record > 0
        events = list(open_recording(path).events())
        images = of(ImageEvent, events)
        assert len(images) >= 3
        np.testing.assert_array_equal(images[0].image, big)


def test_stamps_that_jump_back_are_passed_on(tmp_path):
    path = bag_of(tmp_path, colour("/c", 0), colour("/c", 1), colour("/c", 2, stamp=1_000_000_000))
    events = list(open_recording(path).events())
    assert [event.stamp for event in events] == [1_000_000_000, 1_100_000_000, 1_000_000_000]
    assert [event.logged for event in events] == [1_000_000_000, 1_100_000_000, 1_200_000_000]


def test_a_stamp_of_zero_means_the_time_of_recording(tmp_path):
    [event] = open_recording(bag_of(tmp_path, colour("/c", 3, stamp=0))).events()
    assert event.stamp == event.logged == 1_000_000_000 + 3 * STEP


def test_size_changes_are_passed_on(tmp_path):
    other = image_fields(np.zeros((20, 30, 3), np.uint8), 9, FRAME)
    events = list(open_recording(bag_of(tmp_path, colour("/c"), ("/c", IMAGE, 2**40, other))).events())
    assert [event.image.shape for event in events] == [(*SIZE[::-1], 3), (20, 30, 3)]
