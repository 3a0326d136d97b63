from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cotracker_ros.messages import (
    MessageError,
    camera_from_message,
    camera_info_fields,
    cloud_from_message,
    map_cloud_fields,
    point_cloud_fields,
    ros2_typestore,
    to_bag,
    to_ros,
    transform_fields,
    transforms_from_message,
)
from cotracker_ros.reconstruction import MapPoints
from cotracker_ros.reconstruction.camera import CameraModel

TYPESTORE = ros2_typestore()
K = np.array([[500.0, 0, 319.5], [0, 510.0, 239.5], [0, 0, 1]])


def camera_info(**changes):
    camera = CameraModel(640, 480, K, "plumb_bob", np.array([0.1, -0.2, 0.001, 0.002, 0.05]))
    fields = camera_info_fields(camera, 7, "camera_optical_frame")
    return to_bag(TYPESTORE, "sensor_msgs/msg/CameraInfo", fields | changes)


class TestCamera:
    def test_round_trip(self):
        camera = camera_from_message(camera_info())
        assert camera.size == (640, 480)
        np.testing.assert_array_equal(camera.K, K)
        assert camera.distortion_model == "plumb_bob"
        np.testing.assert_array_equal(camera.coefficients, [0.1, -0.2, 0.001, 0.002, 0.05])

    def test_a_camera_without_distortion(self):
        fields = camera_info_fields(CameraModel(640, 480, K), 7, "camera")
        camera = camera_from_message(to_bag(TYPESTORE, "sensor_msgs/msg/CameraInfo", fields))
        assert camera.distortion_model == "none"
        np.testing.assert_array_equal(camera.K, K)

    def test_an_unknown_model_without_coefficients_is_a_pinhole(self):
        for model in ("", "inverse_brown_conrady"):
            camera = camera_from_message(camera_info(distortion_model=model, d=np.zeros(5)))
            assert camera.distortion_model == "none"

    def test_rectified_images_have_p_and_no_distortion(self):
        p = np.array([[400.0, 0, 310, -40], [0, 400, 230, 0], [0, 0, 1, 0]])
        camera = camera_from_message(camera_info(p=p.reshape(-1)), rectified=True)
        np.testing.assert_array_equal(camera.K, p[:, :3])
        assert not camera.distorted

    def test_region_of_interest_and_binning(self):
        roi = {"x_offset": 100, "y_offset": 40, "width": 400, "height": 200, "do_rectify": False}
        camera = camera_from_message(camera_info(d=np.zeros(5), roi=roi, binning_x=2, binning_y=2))
        assert camera.size == (200, 100)
        full = CameraModel(640, 480, K)
        point = np.array([[0.1, -0.15, 1.0]])
        # Two pixels become one: their common border moves to the centre of the new one.
        expected = (full.project(point) - (100, 40) + 0.5) / 2 - 0.5
        np.testing.assert_allclose(camera.project(point), expected)

    def test_ros_1_names(self):
        info = vars(camera_info()).copy()
        upper = {name.upper(): info.pop(name) for name in "dkrp"}
        camera = camera_from_message(SimpleNamespace(**info, **upper))
        np.testing.assert_array_equal(camera.K, K)

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"k": np.zeros(9)}, r"no calibration \(K is zero\)"),
            ({"width": 0}, "makes no sense"),
            ({"distortion_model": "thin_prism"}, "makes no sense"),
            ({"d": np.ones(3)}, "makes no sense"),
        ],
    )
    def test_bad_camera_info_is_refused(self, changes, sentence):
        with pytest.raises(MessageError, match=sentence):
            camera_from_message(camera_info(**changes))


def pose(quaternion, shift):
    x, y, z, w = np.asarray(quaternion) / np.linalg.norm(quaternion)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = shift
    return matrix


def tf_message(*items):
    return to_bag(TYPESTORE, "tf2_msgs/msg/TFMessage", {"transforms": list(items)})


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, 4, elements=st.floats(-1, 1)),
    hnp.arrays(np.float64, 3, elements=st.floats(-100, 100)),
)
def test_transforms_round_trip(quaternion, shift):
    assume(np.linalg.norm(quaternion) > 1e-3)
    matrix = pose(quaternion, shift)
    message = tf_message(transform_fields(12, "map", "camera", matrix))
    [(stamp, parent, child, back)] = transforms_from_message(message)
    assert (stamp, parent, child) == (12, "map", "camera")
    np.testing.assert_allclose(back, matrix, atol=1e-9)


def test_half_a_turn():
    for axis in np.vstack([np.eye(3), [[0.6, 0.8, 0.0]]]):
        matrix = pose([*axis, 0.0], (1, 2, 3))
        [(_, _, _, back)] = transforms_from_message(tf_message(transform_fields(0, "a", "b", matrix)))
        np.testing.assert_allclose(back, matrix, atol=1e-9)


def test_leading_slashes_of_ros_1_frames_are_dropped():
    message = tf_message(transform_fields(0, "/map", "/camera", np.eye(4)))
    assert transforms_from_message(message)[0][1:3] == ("map", "camera")


def test_a_rotation_that_is_none_is_refused():
    item = transform_fields(0, "map", "camera", np.eye(4))
    item["transform"]["rotation"] = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 0.0}
    with pytest.raises(MessageError, match="from 'map' to 'camera' is no rigid motion"):
        transforms_from_message(tf_message(item))
    item = transform_fields(0, "map", "camera", np.eye(4))
    item["transform"]["translation"]["x"] = float("nan")
    with pytest.raises(MessageError, match="no rigid motion"):
        transforms_from_message(tf_message(item))


EXTRA = {
    "ids": [7, 2**32 - 1],
    "velocity": np.ones((2, 3)),
    "motion": np.array([2, 0], np.uint8),
    "sigma": np.array([0.25, np.nan]),
}


class TestCloud:
    def cloud(self, **extra):
        xyz = np.array([[0, 1, 2], [3, np.nan, 5]], np.float32)
        rgb = np.array([[255, 128, 1], [0, 0, 255]], np.uint8)
        return xyz, rgb, point_cloud_fields(xyz, rgb, stamp=9, frame_id="map", **extra)

    @pytest.mark.parametrize("extra", [{}, EXTRA])
    def test_round_trip(self, extra):
        xyz, rgb, fields = self.cloud(**extra)
        message = to_bag(TYPESTORE, "sensor_msgs/msg/PointCloud2", fields)
        data = TYPESTORE.serialize_cdr(message, "sensor_msgs/msg/PointCloud2")
        cloud = cloud_from_message(TYPESTORE.deserialize_cdr(data, "sensor_msgs/msg/PointCloud2"))
        assert (cloud.stamp, cloud.frame_id) == (9, "map")
        np.testing.assert_array_equal(cloud.xyz, xyz)
        np.testing.assert_array_equal(cloud.rgb, rgb)
        if extra:
            assert cloud.ids.tolist() == [7, 2**32 - 1]
            np.testing.assert_array_equal(cloud.velocity, np.ones((2, 3)))
            assert cloud.motion.dtype == np.uint8
            assert cloud.motion.tolist() == [2, 0]
            np.testing.assert_array_equal(cloud.sigma, np.array([0.25, np.nan], np.float32))
        else:
            assert cloud.motion is None
            assert cloud.sigma is None
            assert cloud.ids is None
            assert cloud.velocity is None

    def test_no_points(self):
        fields = point_cloud_fields(np.zeros((0, 3)), np.zeros((0, 3)), stamp=0, frame_id="map")
        assert fields["is_dense"]
        assert len(cloud_from_message(to_bag(TYPESTORE, "sensor_msgs/msg/PointCloud2", fields)).xyz) == 0

    def test_layout_is_what_rviz_reads(self):
        _, _, fields = self.cloud(ids=[1, 2])
        assert [(f["name"], f["offset"], f["datatype"]) for f in fields["fields"]] == [
            ("x", 0, 7),
            ("y", 4, 7),
            ("z", 8, 7),
            ("rgb", 12, 7),
            ("id", 16, 6),
        ]
        assert fields["point_step"] == 20
        assert fields["data"][12:16].tolist() == [1, 128, 255, 0]
        assert fields["is_dense"] is False

    def test_every_field_takes_four_bytes(self):
        _, _, fields = self.cloud(**EXTRA)
        assert [f["name"] for f in fields["fields"]][4:] == ["id", "vx", "vy", "vz", "motion", "sigma"]
        assert [f["offset"] for f in fields["fields"]] == list(range(0, 40, 4))
        assert fields["point_step"] == 40

    def test_a_flag_of_one_byte_from_elsewhere_is_read_too(self):
        _, _, fields = self.cloud(motion=[1, 2])
        fields["fields"][4]["datatype"] = 2  # PointField.UINT8, padded
        assert cloud_from_message(
            to_bag(TYPESTORE, "sensor_msgs/msg/PointCloud2", fields)
        ).motion.tolist() == [1, 2]

    def test_the_map_carries_its_uncertainty(self):
        covariance = np.diag([1e-4, 1e-4, 9e-4])[None].astype(np.float32)
        rgb, sigma = np.array([[1, 2, 3]], np.uint8), np.array([0.03], np.float32)
        points = MapPoints(np.ones((1, 3), np.float32), rgb, sigma, covariance)
        fields = map_cloud_fields(points, stamp=4, frame_id="map")
        cloud = cloud_from_message(to_bag(TYPESTORE, "sensor_msgs/msg/PointCloud2", fields))
        assert (cloud.stamp, cloud.frame_id, cloud.ids) == (4, "map", None)
        np.testing.assert_array_equal(cloud.sigma, sigma)
        np.testing.assert_array_equal(cloud.rgb, rgb)

    def test_ros_message(self):
        messages = pytest.importorskip("sensor_msgs.msg")
        xyz, _, fields = self.cloud(ids=[1, 2])
        np.testing.assert_array_equal(cloud_from_message(to_ros(messages.PointCloud2, fields)).xyz, xyz)

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"data": np.zeros(31, np.uint8)}, "truncated: it needs 32 bytes, but holds 31"),
            ({"fields": []}, "no field 'x', only none"),
            ({"fields": [{"name": "x", "offset": 0, "datatype": 99, "count": 1}]}, "make no sense"),
            ({"fields": [{"name": "x", "offset": 40, "datatype": 7, "count": 1}]}, "make no sense"),
        ],
    )
    def test_bad_clouds_are_refused(self, change, sentence):
        _, _, fields = self.cloud()
        with pytest.raises(MessageError, match=sentence):
            cloud_from_message(to_bag(TYPESTORE, "sensor_msgs/msg/PointCloud2", fields | change))
