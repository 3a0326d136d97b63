"""2D and 3D: follow points and know where they are in space, for an RGB-D camera.

ros2 launch cotracker_ros reconstruction.launch.py image:=/camera/color/image_raw \
    depth:=/camera/aligned_depth_to_color/image_raw camera_info:=/camera/color/camera_info target_frame:=map
"""

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from cotracker_ros.bringup import given, is_true, lifecycle_node

SHARE = Path(get_package_share_directory("cotracker_ros"))

# Arguments that stand for a parameter of the lifter; left empty, the parameter file decides.
PARAMETERS = (
    "target_frame",
    "fixed_frame",
    "camera_pose",
    "base_frame",
    "pose_label",
    "dense",
    "depth_transport",
)


def start(context: LaunchContext) -> list[Action]:
    depth = LaunchConfiguration("depth").perform(context)
    image = LaunchConfiguration("image").perform(context)
    parameters: list[str | dict[str, Any]] = [
        LaunchConfiguration("lifter_params").perform(context),
        given(context, PARAMETERS),
    ]
    if LaunchConfiguration("odometry_tf").perform(context):
        parameters.append({"odometry_tf": is_true(context, "odometry_tf")})
    return lifecycle_node(
        context,
        "lifter",
        parameters=parameters,
        remappings=[
            ("tracks", "tracker/tracks"),
            ("image", image),
            ("image/compressed", f"{image}/compressed"),
            ("depth", depth),
            ("depth/compressedDepth", f"{depth}/compressedDepth"),
            ("camera_info", LaunchConfiguration("camera_info").perform(context)),
        ],
    )


def choose_rviz_frame(context: LaunchContext) -> list[Action]:
    """Let RViz stand where the scene does, unless it is told where."""
    wanted = given(context, ("fixed_frame", "target_frame", "camera_pose"))
    frame = wanted.get("fixed_frame") or wanted.get("target_frame", "")
    if not frame and wanted.get("camera_pose") == "tracks":
        frame = "odom"  # the lifter's fixed frame then
    if context.launch_configurations.get("rviz_frame") or not frame:
        return []
    return [SetLaunchConfiguration("rviz_frame", frame)]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "depth",
                default_value="/camera/depth/image_raw",
                description="Topic of the depth images, registered to the camera's images.",
            ),
            DeclareLaunchArgument(
                "depth_transport",
                default_value="",
                description="raw, or compressedDepth (the depth topic with /compressedDepth at its end); "
                "empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "camera_info",
                default_value="/camera/camera_info",
                description="Topic of the camera's calibration.",
            ),
            DeclareLaunchArgument(
                "target_frame",
                default_value="",
                description="Frame of the 3D points, e.g. map or base_link; empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "fixed_frame",
                default_value="",
                description="Frame in which things stand still, e.g. odom; empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "camera_pose",
                default_value="",
                description="Who knows where the camera is: transforms (TF) or tracks (visual odometry); "
                "empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "base_frame",
                default_value="",
                description="With camera_pose:=tracks, the robot's frame, e.g. base_link, which the odometry "
                "is told of; empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "odometry_tf",
                default_value="",
                description="true: publish the odometry on /tf too; empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "pose_label",
                default_value="",
                description="Label whose body's pose goes to body_pose; empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "dense",
                default_value="",
                description="raw or compressed: fuse the camera's images into a surface (needs Open3D); "
                "empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "lifter_params",
                default_value=str(SHARE / "config" / "lifter.yaml"),
                description="Parameter file of the lifter.",
            ),
            OpaqueFunction(function=choose_rviz_frame),
            # Declares the tracker's arguments, and those that all nodes share.
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "tracker.launch.py"))
            ),
            OpaqueFunction(function=start),
        ]
    )
