"""What can be set about lifting, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cotracker_ros.reconstruction.body_config import BodiesConfig
from cotracker_ros.reconstruction.depth import DepthSampling
from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.motion import MotionConfig
from cotracker_ros.reconstruction.static_map import StaticMapConfig

CAMERA_POSES = ("transforms", "tracks")


@dataclass(frozen=True)
class LifterConfig:
    """How tracks are lifted.

    Attributes:
        target_frame: Frame of the result; "" is the camera's optical frame.
        fixed_frame: Frame in which points stand still: they are held, their velocity is measured, bodies are
            found and the map is kept in it. "" is the target frame, or "odom" with camera_pose tracks. Name
            one (odom, map) when the target frame moves.
        camera_pose: Who knows where the camera is in the fixed frame: transforms (TF; the tracks check it) or
            tracks (ego-motion by those that stand still).
        base_frame: With camera_pose tracks, the robot's frame, which TF must know from the camera: the fixed
            frame begins where it is in the first image, and the odometry is told of it. "" is the camera,
            which is taken as level in the first image.
        tolerance: A depth image further than this from the tracks' stamp is not theirs, s.
        max_wait: How long tracks wait for their depth and transforms, in time of the stream, s.
        max_pending: How many images' tracks may wait.
        history_seconds: How long depth images are kept, s; tracks later than this find none.
        history_images: How many are kept (a VGA image takes 1.2 MB).
        assume_registered: Take the depth as registered to the colour image even where transforms say that
            its frame is another one.
        jump_back: A stamp further back than this means that time started over, s.
        sampling: How depth is read at a point.
        motion: How points move.
        ego_motion: How the camera's motion is found.
        bodies: How moving bodies are found.
        map: What enters the map.
    """

    target_frame: str = ""
    fixed_frame: str = ""
    camera_pose: str = "transforms"
    base_frame: str = ""
    tolerance: float = 0.02
    max_wait: float = 0.2
    max_pending: int = 64
    history_seconds: float = 4.0
    history_images: int = 120
    assume_registered: bool = False
    jump_back: float = 1.0
    sampling: DepthSampling = field(default_factory=DepthSampling)
    motion: MotionConfig = field(default_factory=MotionConfig)
    ego_motion: EgoMotionConfig = field(default_factory=EgoMotionConfig)
    bodies: BodiesConfig = field(default_factory=BodiesConfig)
    map: StaticMapConfig = field(default_factory=StaticMapConfig)

    def __post_init__(self) -> None:
        if self.camera_pose not in CAMERA_POSES:
            raise ValueError(
                f"the lifter's camera_pose is '{self.camera_pose}': give one of {', '.join(CAMERA_POSES)}"
            )
        for name in ("tolerance", "max_wait"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"the lifter's {name} is {getattr(self, name)} s: give 0 or more")
        for name in ("history_seconds", "jump_back"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"the lifter's {name} is {getattr(self, name)} s: give more than 0")
        for name in ("max_pending", "history_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"the lifter's {name} is {getattr(self, name)}: give at least 1")


@dataclass(frozen=True)
class LifterCounters:
    """What happened since the lifter was made.

    Attributes:
        depth_images: Depth images received.
        depth_invalid: ... of those, without a single valid pixel, or of an unusable shape.
        depth_size_mismatch: Images whose depth image had another aspect ratio and was not used.
        depth_not_registered: Images whose depth image was in another frame and was not used.
        depth_frame_unknown: Images whose depth image had another frame name, of which no transform tells
            where it is; it was used as registered.
        depth_missing: Images that no depth image belonged to; their points were held.
        images_lifted: Images whose tracks were lifted.
        points_measured: Points measured in a depth image.
        points_held: Points held.
        points_without_depth: Points never measured.
        points_rejected: Measurements that contradicted a point's motion; those points were held.
        camera_missing: Images dropped because no camera model had come.
        camera_mismatch: Images dropped because the camera model is for another aspect ratio.
        transform_missing: Images dropped because a transform was missing.
        out_of_order: Images dropped because a later one had come before.
        revised: Better answers to images already answered; they are passed over.
        hurried: Images that had to stop waiting because too many waited.
        odometry_predicted: Images in which the tracks did not tell the camera's pose; it was carried on.
        odometry_lost: Images in which the camera's pose was only a guess.
        odometry_astray: Images in which the camera's pose, after it was lost, went on from a guess.
        odometry_found_back: Times that the camera was found back by what was known before it was lost.
        pose_contradicted: Images in which the tracks contradicted the camera's pose by TF.
        time_jumps: Times that the stamps of the tracks or of the depth images went back.
    """

    depth_images: int = 0
    depth_invalid: int = 0
    depth_size_mismatch: int = 0
    depth_not_registered: int = 0
    depth_frame_unknown: int = 0
    depth_missing: int = 0
    images_lifted: int = 0
    points_measured: int = 0
    points_held: int = 0
    points_without_depth: int = 0
    points_rejected: int = 0
    camera_missing: int = 0
    camera_mismatch: int = 0
    transform_missing: int = 0
    out_of_order: int = 0
    revised: int = 0
    hurried: int = 0
    odometry_predicted: int = 0
    odometry_lost: int = 0
    odometry_astray: int = 0
    odometry_found_back: int = 0
    pose_contradicted: int = 0
    time_jumps: int = 0

    @property
    def images_dropped(self) -> int:
        """Images whose tracks gave no 3D tracks at all (revised answers apart)."""
        return self.camera_missing + self.camera_mismatch + self.transform_missing + self.out_of_order
