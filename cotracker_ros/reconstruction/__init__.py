"""Tracks in space: 2D tracks, depth images and the camera's model become 3D tracks and a map."""

from cotracker_ros.reconstruction.body_config import BodiesConfig
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.depth import DepthNoise, DepthSampling, sample_depth
from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.lifter import Lifter, LifterState, TransformSource
from cotracker_ros.reconstruction.lifter_config import LifterConfig, LifterCounters
from cotracker_ros.reconstruction.motion import MotionConfig
from cotracker_ros.reconstruction.ply import PlyCloud, PlyError, read_ply, write_ply
from cotracker_ros.reconstruction.poses import (
    interpolate_pose,
    invert_pose,
    pose_matrix,
    quaternion_from_rotation,
    rotation_from_quaternion,
    slerp,
    transform_points,
)
from cotracker_ros.reconstruction.scene import Odometry, OdometryState, RigidBodies, RigidBody, SceneUpdate
from cotracker_ros.reconstruction.static_map import MapPoints, StaticMap, StaticMapConfig
from cotracker_ros.reconstruction.transforms import TransformBuffer, TransformError
from cotracker_ros.reconstruction.types import DepthSource, PointMotion, Tracks3D

__all__ = [
    "BodiesConfig",
    "CameraModel",
    "DepthNoise",
    "DepthSampling",
    "DepthSource",
    "EgoMotionConfig",
    "Lifter",
    "LifterConfig",
    "LifterCounters",
    "LifterState",
    "MapPoints",
    "MotionConfig",
    "Odometry",
    "OdometryState",
    "PlyCloud",
    "PlyError",
    "PointMotion",
    "RigidBodies",
    "RigidBody",
    "SceneUpdate",
    "StaticMap",
    "StaticMapConfig",
    "Tracks3D",
    "TransformBuffer",
    "TransformError",
    "TransformSource",
    "interpolate_pose",
    "invert_pose",
    "pose_matrix",
    "quaternion_from_rotation",
    "read_ply",
    "rotation_from_quaternion",
    "sample_depth",
    "slerp",
    "transform_points",
    "write_ply",
]
