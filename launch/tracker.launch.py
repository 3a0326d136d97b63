"""2D: follow points through the images of one camera.

ros2 launch cotracker_ros tracker.launch.py image:=/camera/image_raw
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from cotracker_ros.bringup import given, is_true, lifecycle_node

CONFIG = Path(get_package_share_directory("cotracker_ros"), "config")

# Arguments that stand for a parameter of the node; left empty, the parameter file decides.
PARAMETERS = ("weights", "backend", "device", "image_transport", "seed")


def start(context: LaunchContext) -> list[Action]:
    image = LaunchConfiguration("image").perform(context)
    return lifecycle_node(
        context,
        "tracker",
        parameters=[LaunchConfiguration("tracker_params").perform(context), given(context, PARAMETERS)],
        remappings=[("image", image), ("image/compressed", f"{image}/compressed")],
    )


def show(context: LaunchContext) -> list[Action]:
    if not is_true(context, "rviz"):
        return []
    frame = LaunchConfiguration("rviz_frame").perform(context)
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(CONFIG / "cotracker.rviz"), *(["-f", frame] if frame else [])],
            namespace=LaunchConfiguration("namespace"),
        )
    ]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "image", default_value="/camera/image_raw", description="Topic of the camera's images."
            ),
            DeclareLaunchArgument(
                "image_transport",
                default_value="",
                description="raw, or compressed (the image topic with /compressed at its end); "
                "empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "weights",
                default_value="",
                description="Weights of the network: a path or a name; empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "backend",
                default_value="",
                description="auto, network or klt; empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "device",
                default_value="",
                description="auto, cpu, cuda, cuda:N or mps; empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "seed",
                default_value="",
                description="Points to begin with: none, grid or corners; empty: as in the parameter file.",
            ),
            DeclareLaunchArgument(
                "tracker_params",
                default_value=str(CONFIG / "tracker.yaml"),
                description="Parameter file of the tracker.",
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of the nodes; empty: none."
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="false",
                description="true: take the time from /clock (simulation, a bag played with --clock).",
            ),
            DeclareLaunchArgument(
                "respawn",
                default_value="false",
                description="true: start a node again that has died, and bring it up.",
            ),
            DeclareLaunchArgument(
                "rviz", default_value="false", description="true: show the results in RViz."
            ),
            DeclareLaunchArgument(
                "rviz_frame",
                default_value="",
                description="RViz's fixed frame; empty: the fixed or the target frame where an argument says "
                "which, else map.",
            ),
            OpaqueFunction(function=start),
            OpaqueFunction(function=show),
        ]
    )
