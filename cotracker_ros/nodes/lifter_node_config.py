"""The lifter node's own settings, and how the lifter's are put together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cotracker_ros.nodes.parameters import Configs
from cotracker_ros.reconstruction import (
    BodiesConfig,
    DepthNoise,
    DepthSampling,
    EgoMotionConfig,
    LifterConfig,
    MotionConfig,
    StaticMapConfig,
)

_TRANSPORTS = ("raw", "compressedDepth")
_DENSE = ("off", "raw", "compressed")


@dataclass(frozen=True)
class LifterNodeConfig:
    """Where depth comes from and what is shown.

    Attributes:
        depth_transport: raw (topic depth) or compressedDepth (topic depth/compressedDepth).
        rectified: The images are rectified: use the matrix P of camera_info, without distortion.
        queue_size: Messages of each kind that wait for the lifter; the oldest gives way when it is full.
        trail_length: Images that the trails of ~/markers go back.
        marker_period: Least time between two messages on ~/markers, s.
        map_period: Time between two messages on ~/map, s; only a changed map is published.
        map_path: File that ~/save_map writes.
        pose_label: Label whose body's pose is published on ~/body_pose; "" is none.
        odometry_tf: Publish the odometry as a transform on /tf too, with camera_pose tracks.
        body_tf: Publish the frames of the bodies on /tf, named after label (or "body") and id: cup_3.
        dense: Fuse depth and colour into a surface for ~/save_mesh, with colour from raw (topic image) or
            compressed (topic image/compressed); off does without. Needs Open3D.
        mesh_path: File that ~/save_mesh writes; the cloud is written beside it.
    """

    depth_transport: str = "raw"
    rectified: bool = False
    queue_size: int = 30
    trail_length: int = 15
    marker_period: float = 0.2
    map_period: float = 2.0
    map_path: str = "map.ply"
    pose_label: str = ""
    odometry_tf: bool = False
    body_tf: bool = False
    dense: str = "off"
    mesh_path: str = "mesh.ply"

    def __post_init__(self) -> None:
        if self.depth_transport not in _TRANSPORTS:
            raise ValueError(
                f"depth_transport is '{self.depth_transport}'; give one of {', '.join(_TRANSPORTS)}"
            )
        if self.dense not in _DENSE:
            raise ValueError(f"dense is '{self.dense}'; give one of {', '.join(_DENSE)}")
        for name in ("queue_size", "trail_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")
        for name in ("marker_period", "map_period"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a time above 0 s")
        for name in ("map_path", "mesh_path"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; give a file name that ends in .ply")


def lifter_config(configs: Configs) -> LifterConfig:
    """Put the lifter's configuration together from its parts."""
    return replace(
        configs[LifterConfig],
        sampling=replace(configs[DepthSampling], noise=configs[DepthNoise]),
        motion=configs[MotionConfig],
        ego_motion=configs[EgoMotionConfig],
        bodies=configs[BodiesConfig],
        map=configs[StaticMapConfig],
    )
