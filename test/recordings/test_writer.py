import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader
from ruamel.yaml import YAML

from cotracker_ros.messages import header_fields, image_fields, transform_fields
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.writer import BagWriter


def write_some(path, **options):
    with BagWriter(path, **options) as bag:
        bag.write("/chatter", "std_msgs/msg/Header", 5, header_fields(3, "map"))
        transforms = {"transforms": [transform_fields(0, "map", "camera", np.eye(4))]}
        bag.write("/tf_static", "tf2_msgs/msg/TFMessage", 7, transforms, latched=True)
        image = image_fields(np.full((4, 6, 3), 9, np.uint8), 11, "camera")
        bag.write("/image", "sensor_msgs/msg/Image", 11, image)
        bag.write("/tracks", "cotracker_ros/msg/TrackArray", 13, {"ids": [1, 2], "label_names": [""]})


def read_all(path):
    """Read with nothing but what the bag itself says about its types."""
    with AnyReader([path]) as reader:
        return [(c.topic, stamp, reader.deserialize(data, c.msgtype)) for c, stamp, data in reader.messages()]


@pytest.mark.parametrize("name", ["out.mcap", "folder"])
def test_a_bag_says_everything_about_itself(tmp_path, name):
    path = tmp_path / "new" / name
    write_some(path)
    assert path.is_dir() == (name == "folder")
    messages = read_all(path)
    assert [(topic, stamp) for topic, stamp, _ in messages] == [
        ("/chatter", 5),
        ("/tf_static", 7),
        ("/image", 11),
        ("/tracks", 13),
    ]
    assert messages[3][2].ids.tolist() == [1, 2]
    assert list(path.parent.iterdir()) == [path]  # nothing is left beside it


def test_the_folder_is_a_rosbag2_that_humble_can_play(tmp_path):
    path = tmp_path / "bag"
    write_some(path)
    info = YAML(typ="safe").load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert info["relative_file_paths"] == ["bag.mcap"]
    assert (path / "bag.mcap").is_file()
    assert info["version"] == 8
    assert info["storage_identifier"] == "mcap"
    profiles = {
        topic["topic_metadata"]["name"]: YAML(typ="safe").load(
            topic["topic_metadata"]["offered_qos_profiles"]
        )[0]
        for topic in info["topics_with_message_count"]
    }
    transient_local, volatile = 1, 2
    assert profiles["/tf_static"]["durability"] == transient_local
    assert profiles["/image"]["durability"] == volatile


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_a_valid_bag(tmp_path, error):
    path = tmp_path / "out.mcap"
    with pytest.raises(error), BagWriter(path) as bag:
        bag.write("/chatter", "std_msgs/msg/Header", 5, header_fields(3, "map"))
        raise error
    assert len(read_all(path)) == 1


def test_a_bag_without_messages_is_valid(tmp_path):
    with BagWriter(tmp_path / "out.mcap"):
        pass
    with Reader(tmp_path / "out.mcap") as reader:
        assert reader.message_count == 0


@pytest.mark.parametrize("name", ["out.mcap", "folder"])
def test_nothing_is_overwritten_unless_asked(tmp_path, name):
    path = tmp_path / name
    write_some(path)
    with pytest.raises(RecordingError, match="exists already"):
        BagWriter(path)
    write_some(path, overwrite=True)
    assert len(read_all(path)) == 4


def test_a_folder_that_is_no_bag_is_never_overwritten(tmp_path):
    (tmp_path / "thesis").mkdir()
    with pytest.raises(RecordingError, match="it is no bag"):
        BagWriter(tmp_path / "thesis", overwrite=True)


def test_what_a_killed_run_left_behind_does_not_matter(tmp_path):
    (tmp_path / "out.mcap.partial").mkdir()
    write_some(tmp_path / "out.mcap")
    assert len(read_all(tmp_path / "out.mcap")) == 4


def test_a_topic_has_one_type(tmp_path):
    with BagWriter(tmp_path / "out.mcap") as bag:
        bag.write("/a", "std_msgs/msg/Header", 0, {})
        with pytest.raises(RecordingError, match="holds std_msgs/msg/Header"):
            bag.write("/a", "sensor_msgs/msg/Image", 0, {})


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be written"), BagWriter(tmp_path / "file" / "out.mcap"):
        pass
