"""Conversions between ROS messages and this package's values, with or without ROS.

Messages are duck-typed: those of rclpy and those of rosbags are read alike. To make one, build its fields
(``*_fields``), then the message of either library (`to_ros`, `to_bag`).
"""

from cotracker_ros.messages.build import Fields, to_bag, to_ros
from cotracker_ros.messages.clouds import (
    Cloud,
    cloud_from_message,
    map_cloud_fields,
    point_cloud_fields,
    track_cloud_fields,
)
from cotracker_ros.messages.definitions import definition_texts, ros2_typestore
from cotracker_ros.messages.errors import MessageError
from cotracker_ros.messages.geometry import (
    camera_from_message,
    camera_info_fields,
    pose_fields,
    pose_from_message,
    transform_fields,
    transforms_from_message,
)
from cotracker_ros.messages.header import header_fields, stamp_ns, time_fields
from cotracker_ros.messages.images import (
    decode_compressed_depth,
    decode_compressed_image,
    decode_depth,
    decode_image,
    decode_mask,
    depth_fields,
    image_fields,
)
from cotracker_ros.messages.markers import scene_marker_fields
from cotracker_ros.messages.scene import (
    bodies_from_message,
    body_pose_fields,
    odometry_fields,
    rigid_body_array_fields,
)
from cotracker_ros.messages.tracks import (
    track3d_array_fields,
    track_array_fields,
    tracks3d_from_message,
    tracks_from_message,
)

__all__ = [
    "Cloud",
    "Fields",
    "MessageError",
    "bodies_from_message",
    "body_pose_fields",
    "camera_from_message",
    "camera_info_fields",
    "cloud_from_message",
    "decode_compressed_depth",
    "decode_compressed_image",
    "decode_depth",
    "decode_image",
    "decode_mask",
    "definition_texts",
    "depth_fields",
    "header_fields",
    "image_fields",
    "map_cloud_fields",
    "odometry_fields",
    "point_cloud_fields",
    "pose_fields",
    "pose_from_message",
    "rigid_body_array_fields",
    "ros2_typestore",
    "scene_marker_fields",
    "stamp_ns",
    "time_fields",
    "to_bag",
    "to_ros",
    "track3d_array_fields",
    "track_array_fields",
    "track_cloud_fields",
    "tracks3d_from_message",
    "tracks_from_message",
    "transform_fields",
    "transforms_from_message",
]
