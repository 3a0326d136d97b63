"""The sample recording, read back with rosbags."""

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from cotracker_ros.synthetic import sample as sample_module
from cotracker_ros.synthetic.sample import make_sample, sample_exists
from cotracker_ros.synthetic.truth import Truth


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording")
    make_sample(path, seconds=1.0, rate=5.0, size=(128, 96), progress=False)
    return path


@pytest.fixture(scope="module")
def messages(folder):
    found = {}
    with AnyReader([folder / "sample"], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
        for connection, stamp, data in reader.messages():
            found.setdefault(connection.topic, []).append(
                (stamp, reader.deserialize(data, connection.msgtype))
            )
        found["durability"] = {
            c.topic: c.ext.offered_qos_profiles[0].durability.name for c in reader.connections
        }
    return found


def header_stamp(header):
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def matrix(transform):
    q, p = transform.rotation, transform.translation
    x, y, z, w = q.x, q.y, q.z, q.w
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = (p.x, p.y, p.z)
    return pose


def test_topics_stamps_and_encodings(folder, messages):
    assert sample_exists(folder)
    stamps = Truth.load(folder / "truth.npz").stamps.tolist()
    assert len(stamps) == 5
    for topic, encoding in (("/camera/color/image_raw", "rgb8"), ("/camera/depth/image_raw", "16UC1")):
        images = [message for _, message in messages[topic]]
        assert [stamp for stamp, _ in messages[topic]] == stamps
        assert [header_stamp(image.header) for image in images] == stamps
        assert {(i.encoding, i.width, i.height, i.header.frame_id) for i in images} == {
            (encoding, 128, 96, "camera_color_optical_frame")
        }
    assert [header_stamp(m.header) for _, m in messages["/camera/color/camera_info"]] == stamps
    assert messages["durability"]["/tf_static"] == "TRANSIENT_LOCAL"
    assert messages["durability"]["/tf"] == "VOLATILE"


def test_camera_info_and_transforms_say_the_truth(folder, messages):
    truth = Truth.load(folder / "truth.npz")
    for _, info in messages["/camera/color/camera_info"]:
        np.testing.assert_allclose(info.k.reshape(3, 3), truth.K)
        assert info.distortion_model == "plumb_bob" and not info.d.any()
    ((_, static),) = messages["/tf_static"]
    mount = static.transforms[0]
    assert (mount.header.frame_id, mount.child_frame_id) == ("camera_link", "camera_color_optical_frame")
    for (_, message), pose in zip(messages["/tf"], truth.camera_poses, strict=True):
        link = message.transforms[0]
        assert (link.header.frame_id, link.child_frame_id) == ("world", "camera_link")
        np.testing.assert_allclose(matrix(link.transform) @ matrix(mount.transform), pose, atol=1e-9)


def test_measured_depth_agrees_with_the_truth(folder, messages):
    truth = Truth.load(folder / "truth.npz")
    errors = []
    for k, (_, message) in enumerate(messages["/camera/depth/image_raw"]):
        depth = message.data.view(np.uint16).reshape(96, 128) / 1000
        z = ((truth.xyz[k] - truth.camera_poses[k, :3, 3]) @ truth.camera_poses[k, :3, :3])[:, 2]
        seen = truth.visible[k]
        x, y = np.round(truth.xy[k, seen]).astype(int).clip(0, (127, 95)).T
        measured = depth[y, x]
        errors.append((measured - z[seen])[measured > 0])
    error = np.concatenate(errors)
    assert len(error) > 100 and np.median(np.abs(error)) < 0.05


def test_an_interrupted_run_leaves_no_sample_and_can_be_repeated(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sample_module, "measure_depth", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_sample(tmp_path, seconds=0.5, rate=4.0, size=(64, 48), progress=False)
    assert not sample_exists(tmp_path) and not list(tmp_path.iterdir())
    make_sample(tmp_path, seconds=0.5, rate=4.0, size=(64, 48), progress=False)
    assert sample_exists(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sample", "truth.npz"]


def test_an_empty_recording_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ask for a longer one"):
        make_sample(tmp_path, seconds=0.0, progress=False)
