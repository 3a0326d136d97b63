"""2D and 3D: follow points and know where they are in space, for an RGB-D camera.

ros2 launch cotracker_ros reconstruction.launch.py image:=/camera/color/image_raw \
    depth:=/camera/aligned_depth_to_color/image_raw camera_info:=/camera/color/camera_info target_frame:=map
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from cotracker_ros.bringup import given, lifecycle_node

SHARE = Path(get_package_share_directory("cotracker_ros"))

# Arguments that stand for a parameter of the lifter; left empty, the parameter file decides.
PARAMETERS = ("target_frame", "depth_transport")


def start(context: LaunchContext) -> list[Action]:
    depth = LaunchConfiguration("depth").perform(context)
    return lifecycle_node(
        context,
        "lifter",
        parameters=[LaunchConfiguration("lifter_params").perform(context), given(context, PARAMETERS)],
        remappings=[
            ("tracks", "tracker/tracks"),
            ("depth", depth),
            ("depth/compressedDepth", f"{depth}/compressedDepth"),
            ("camera_info", LaunchConfiguration("camera_info").perform(context)),
        ],
    )


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
                "lifter_params",
                default_value=str(SHARE / "config" / "lifter.yaml"),
                description="Parameter file of the lifter.",
            ),
            # Declares the tracker's arguments, and those that all nodes share.
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "tracker.launch.py"))
            ),
            OpaqueFunction(function=start),
        ]
    )
