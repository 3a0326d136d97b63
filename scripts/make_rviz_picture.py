"""Make the README's picture of the sample recording in RViz, as whoever starts RViz with rviz:=true sees it.

docs/rviz.jpg: screenshot of RViz with config/cotracker.rviz, on a display that nobody sees, while topics tell
what `scripts/make_scene_pictures.py` recorded.

Needs rviz2 and Xvfb (Debian, Ubuntu: apt install ros-$ROS_DISTRO-rviz2 xvfb); no graphics card.

Usage: scripts/in_env.sh kilted python scripts/make_rviz_picture.py
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any

from make_scene_pictures import DOCS, OUTPUT, STILL, save
from PIL import ImageGrab
from rosbags.highlevel import AnyReader

from cotracker_ros.evaluation.network import private_network
from cotracker_ros.evaluation.processes import DemoError, Processes
from cotracker_ros.messages import decode_image, image_fields, to_ros, tracks_from_message
from cotracker_ros.visualization.overlay import OverlayDrawer

try:
    import rclpy
    from geometry_msgs.msg import TransformStamped
    from nav_msgs.msg import Odometry
    from rclpy.node import Node
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import Image, PointCloud2
    from tf2_msgs.msg import TFMessage
    from visualization_msgs.msg import MarkerArray

    from cotracker_ros.nodes.qos import LATCHED, RESULTS
except ImportError as error:
    sys.exit(f"{error.name} is missing: run this where ROS 2 is, or by scripts/in_env.sh")

LAYOUT = DOCS.parent / "config" / "cotracker.rviz"
RECORDING = OUTPUT / "scene.mcap"
FRAME = "odom"  # what the launch file chooses with camera_pose:=tracks
IMAGE, TRACKS, OVERLAY = "/camera/color/image_raw", "/tracker/tracks", "/tracker/overlay"
SHOWN = {
    "/lifter/markers": MarkerArray,
    "/lifter/points": PointCloud2,
    "/lifter/odometry": Odometry,
    "/lifter/map": PointCloud2,
    "/tf": TFMessage,
    "/tf_static": TFMessage,
}
KEPT = ("/lifter/map", "/tf_static")
SIZE = (1400, 900)  # px, the layout's window
DRAWN, PATIENCE = 25.0, 60.0  # s; without a graphics card it draws slowly, and nothing says when all is there


def main() -> None:
    """Show RViz what was recorded, and keep what it shows."""
    missing = [name for name in ("rviz2", "Xvfb") if shutil.which(name) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)} cannot be found: apt install ros-$ROS_DISTRO-rviz2 xvfb")
    if not RECORDING.exists():
        sys.exit(f"{RECORDING} is missing: scripts/make_scene_pictures.py makes it")
    messages = newest(STILL)
    os.environ.update(private_network())
    rclpy.init()
    try:
        with Processes(OUTPUT / "logs", {"LIBGL_ALWAYS_SOFTWARE": "1"}) as processes:
            screen = "x".join(map(str, SIZE)) + "x24"
            server = processes.start("Xvfb", ["Xvfb", "-displayfd", "1", "-screen", "0", screen], read=True)
            assert server.stdout is not None
            display = f":{server.stdout.readline().strip()}"  # a free one
            rviz = ["rviz2", "-d", str(LAYOUT), "-f", FRAME]
            processes.start("rviz2", ["env", f"DISPLAY={display}", *rviz])
            tell(messages, processes)
            save(ImageGrab.grab(xdisplay=display), "rviz.jpg")
    except (DemoError, OSError) as error:
        sys.exit(str(error))
    finally:
        rclpy.shutdown()


def newest(seconds: float) -> dict[str, Any]:
    """Return what each topic has said of a moment of the recording: messages, ready to be sent."""
    told: dict[str, Any] = {}
    frames: dict[str, TransformStamped] = {}
    drawer = OverlayDrawer()
    image: Any = None
    with AnyReader([RECORDING]) as reader:
        for connection, stamp, data in reader.messages():
            if stamp > reader.start_time + int(seconds * 1e9):
                break
            topic = connection.topic
            if topic in SHOWN:
                told[topic] = message = deserialize_message(bytes(data), SHOWN[topic])
                if topic == "/tf":  # each message tells of one frame
                    frames |= {transform.child_frame_id: transform for transform in message.transforms}
                    message.transforms = list(frames.values())
            elif topic == IMAGE:
                image = reader.deserialize(data, connection.msgtype)
            elif topic == TRACKS:
                tracks, frame = tracks_from_message(reader.deserialize(data, connection.msgtype))
                picture = drawer.draw(decode_image(image), tracks)
                told[OVERLAY] = to_ros(Image, image_fields(picture, tracks.stamp, frame))
    return told


def tell(messages: dict[str, Any], processes: Processes) -> None:
    """Publish messages, each second anew, until RViz has had the time to draw them."""
    node = Node("recording")
    publishers = {
        topic: node.create_publisher(type(message), topic, LATCHED if topic in KEPT else RESULTS)
        for topic, message in messages.items()
    }
    until = time.monotonic() + PATIENCE
    while unheard := [topic for topic in messages if not publishers[topic].get_subscription_count()]:
        processes.check("Xvfb", "rviz2")
        if time.monotonic() > until:
            raise DemoError(f"RViz does not listen to {', '.join(unheard)}; see {processes.log('rviz2')}")
        time.sleep(0.5)
    until = time.monotonic() + DRAWN
    while time.monotonic() < until:
        for topic, message in messages.items():
            if isinstance(message, TFMessage):
                for transform in message.transforms:  # RViz fades frames of which it hears nothing new
                    transform.header.stamp = node.get_clock().now().to_msg()
            publishers[topic].publish(message)
        time.sleep(1.0)
        processes.check("Xvfb", "rviz2")


if __name__ == "__main__":
    main()
