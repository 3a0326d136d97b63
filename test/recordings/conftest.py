"""Small bags of every kind, written on the fly."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

from cotracker_ros.messages import (
    camera_info_fields,
    depth_fields,
    header_fields,
    image_fields,
    ros2_typestore,
    to_bag,
    transform_fields,
)
from cotracker_ros.reconstruction.camera import CameraModel

SIZE = (16, 12)
CAMERA = CameraModel(*SIZE, np.array([[20.0, 0, 7.5], [0, 20, 5.5], [0, 0, 1]]))
STEP = 100_000_000  # ns between two images
FRAME = "camera_optical_frame"


def picture(i):
    """A picture that tells its number."""
    width, height = SIZE
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = (10 + i, 100, 200 - i)
    return image


def distance(i):
    depth = np.full(SIZE[::-1], 1.0 + i / 8, np.float32)
    depth[0, 0] = np.nan
    return depth


def compressed_fields(image, stamp, frame_id):
    data = cv2.imencode(".png", image[:, :, ::-1])[1]
    return {
        "header": header_fields(stamp, frame_id),
        "format": "rgb8; png compressed bgr8",
        "data": data.reshape(-1),
    }


def compressed_depth_fields(depth, stamp, frame_id):
    stored = np.nan_to_num(depth * 1000).astype(np.uint16)
    data = np.concatenate([np.zeros(12, np.uint8), cv2.imencode(".png", stored)[1].reshape(-1)])
    name = "16UC1; compressedDepth png"
    return {"header": header_fields(stamp, frame_id), "format": name, "data": data}


def rgbd_messages(images=4, start=1_000_000_000):
    """What an RGB-D camera on a moving robot publishes: (topic, type, time, fields)."""
    static = {"transforms": [transform_fields(0, "base", FRAME, np.eye(4))]}
    yield "/tf_static", "tf2_msgs/msg/TFMessage", start, static
    for i in range(images):
        stamp = start + i * STEP
        info = camera_info_fields(CAMERA, stamp, FRAME)
        yield "/camera/color/camera_info", "sensor_msgs/msg/CameraInfo", stamp, info
        pose = np.eye(4)
        pose[0, 3] = 0.01 * i
        moving = {"transforms": [transform_fields(stamp, "map", "base", pose)]}
        yield "/tf", "tf2_msgs/msg/TFMessage", stamp, moving
        image = image_fields(picture(i), stamp, FRAME)
        yield "/camera/color/image_raw", "sensor_msgs/msg/Image", stamp, image
        depth = depth_fields(distance(i), stamp, FRAME)
        yield "/camera/depth/image_raw", "sensor_msgs/msg/Image", stamp + 1, depth


def write_rosbag2(path, messages, plugin=StoragePlugin.MCAP):
    """Write a rosbag2 folder and return the storage file in it."""
    typestore = ros2_typestore()
    with Writer2(path, version=8, storage_plugin=plugin) as writer:
        connections = {}
        for topic, typename, stamp, fields in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, typename, typestore=typestore)
            message = to_bag(typestore, typename, fields)
            writer.write(connections[topic], stamp, typestore.serialize_cdr(message, typename))
    return next(file for file in Path(path).iterdir() if file.suffix != ".yaml")


def write_rosbag1(path, messages):
    """Write a ROS 1 bag: other definitions (upper-case K, a sequence number in headers)."""
    typestore = get_typestore(Stores.ROS1_NOETIC)
    tf = ros2_typestore().fielddefs
    typestore.register({name: tf[name] for name in ["tf2_msgs/msg/TFMessage"]})
    with Writer1(path) as writer:
        connections = {}
        for topic, typename, stamp, fields in messages:
            if typename == "sensor_msgs/msg/CameraInfo":
                fields = {name.upper() if name in "dkrp" else name: v for name, v in fields.items()}
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, typename, typestore=typestore)
            message = to_bag(typestore, typename, fields)
            writer.write(connections[topic], stamp, typestore.serialize_ros1(message, typename))


@pytest.fixture(params=["mcap file", "mcap folder", "sqlite3 file", "sqlite3 folder", "ros1"])
def rgbd_bag(request, tmp_path):
    """The same recording in every format."""
    if request.param == "ros1":
        write_rosbag1(tmp_path / "bag.bag", rgbd_messages())
        return tmp_path / "bag.bag"
    plugin = StoragePlugin.MCAP if "mcap" in request.param else StoragePlugin.SQLITE3
    storage = write_rosbag2(tmp_path / "bag", rgbd_messages(), plugin)
    return storage if "file" in request.param else tmp_path / "bag"


def textured_messages(images=8, start=1_000_000_000):
    """A camera that moves sideways along a flat wall: 2 px to the right between two images."""
    rng = np.random.default_rng(3)
    wall = cv2.GaussianBlur(rng.integers(0, 255, (96, 128 + 2 * images, 3), dtype=np.uint8), (0, 0), 2.0)
    wall = cv2.normalize(wall, None, 0, 255, cv2.NORM_MINMAX)
    camera = CameraModel(128, 96, np.array([[100.0, 0, 63.5], [0, 100, 47.5], [0, 0, 1]]))
    static = {"transforms": [transform_fields(0, "base", FRAME, np.eye(4))]}
    yield "/tf_static", "tf2_msgs/msg/TFMessage", start, static
    for i in range(images):
        stamp = start + i * STEP
        yield (
            "/camera/color/camera_info",
            "sensor_msgs/msg/CameraInfo",
            stamp,
            camera_info_fields(camera, stamp, FRAME),
        )
        pose = np.eye(4)
        pose[0, 3] = 0.02 * 2 * i  # at 2 m, 100 px focal length, a pixel is 2 cm wide
        moving = {"transforms": [transform_fields(stamp, "map", "base", pose)]}
        yield "/tf", "tf2_msgs/msg/TFMessage", stamp, moving
        image = image_fields(wall[:, 2 * i : 2 * i + 128], stamp, FRAME)
        yield "/camera/color/image_raw", "sensor_msgs/msg/Image", stamp, image
        depth = depth_fields(np.full((96, 128), 2.0, np.float32), stamp, FRAME)
        yield "/camera/depth/image_raw", "sensor_msgs/msg/Image", stamp, depth
