"""A recording instead of a camera, through the same nodes.

ros2 launch cotracker_ros replay.launch.py recording:=/path/to/bag rviz:=true

The player of this package plays it, not `ros2 bag play`: it reads MCAP, sqlite3 and ROS 1 bags, videos and
image folders alike wherever the package is installed (a ROS installation may lack rosbag2's MCAP plug-in),
and finds the topics by their type. For a result that holds every frame, `cotracker_ros replay` needs no
nodes at all.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from lifecycle_msgs.msg import Transition

from cotracker_ros.bringup import given, is_true, lifecycle_node, request

LAUNCH = Path(get_package_share_directory("cotracker_ros"), "launch")


class PlayWhenReady:
    """Activates the player once tracker and lifter are active: what it plays before that would be lost.

    It is running and configured by then. A process that starts only then would play its first second to
    nobody, because that is how long others need to find it.
    """

    def __init__(self) -> None:
        self._waited_for = {("player", "inactive"), ("tracker", "active"), ("lifter", "active")}
        self._player: LifecycleNode | None = None

    def __call__(self, context: LaunchContext) -> list[Action]:
        """Called at every transition of a node."""
        event = context.locals.event
        name = event.action.node_name.rpartition("/")[2]
        if name == "player":
            self._player = event.action
        step = (name, event.goal_state)
        if step not in self._waited_for:
            return []
        self._waited_for.remove(step)
        return [] if self._waited_for else [request(self._player, Transition.TRANSITION_ACTIVATE)]


def play(context: LaunchContext) -> list[Action]:
    return lifecycle_node(
        context,
        "player",
        parameters=[
            {
                **given(context, ("image_topic", "depth_topic", "camera_info_topic")),
                "path": LaunchConfiguration("recording").perform(context),
                "rate": float(LaunchConfiguration("rate").perform(context)),
                "loop": is_true(context, "loop"),
            }
        ],
        activate=False,
    )


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "recording", default_value="", description="Bag, video file or image folder to play."
            ),
            DeclareLaunchArgument(
                "rate", default_value="1.0", description="Speed; 1.0 is the speed of the recording."
            ),
            DeclareLaunchArgument("loop", default_value="false", description="true: begin again at the end."),
            DeclareLaunchArgument(
                "image_topic",
                default_value="",
                description="Topic of the images in a bag; empty: found by type.",
            ),
            DeclareLaunchArgument(
                "depth_topic",
                default_value="",
                description="Topic of the depth images in a bag; empty: found by type.",
            ),
            DeclareLaunchArgument(
                "camera_info_topic",
                default_value="",
                description="Topic of the calibration in a bag; empty: found by type.",
            ),
            # A recording is played to be looked at: when a node dies, there is nothing more to see.
            RegisterEventHandler(
                OnProcessExit(on_exit=[EmitEvent(event=Shutdown(reason="a process of the replay has ended"))])
            ),
            RegisterEventHandler(OnStateTransition(entities=[OpaqueFunction(function=PlayWhenReady())])),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(LAUNCH / "reconstruction.launch.py")),
                launch_arguments={
                    "image": "image",
                    "depth": "depth",
                    "camera_info": "camera_info",
                    "respawn": "false",
                }.items(),
            ),
            OpaqueFunction(function=play),
        ]
    )
