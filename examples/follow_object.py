"""Let a mobile base follow an object that its camera sees.

    python3 follow_object.py --box 200 150 80 60            # what is in this box (x y width height) now
    python3 follow_object.py --label cart --distance 1.2    # what is tracked under this label already

Publishes geometry_msgs/Twist on cmd_vel: turns towards the object and drives until it is `--distance` m away;
stops when it is lost or its position is old. Needs the nodes of reconstruction.launch.py.
"""

import argparse
import math

import rclpy
from geometry_msgs.msg import Twist, Vector3
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from cotracker_ros.client import ClientError, PointClient, Position


def command(target: Position, distance: float, fastest: float = 0.5) -> Twist:
    """Turn towards the target, and drive as far as it is ahead and farther than `distance` m."""
    x, y, _ = target.xyz
    bearing, gap = math.atan2(y, x), math.hypot(x, y) - distance
    speed = max(0.0, min(gap, fastest)) * max(0.0, math.cos(bearing))
    return Twist(linear=Vector3(x=speed), angular=Vector3(z=max(-fastest, min(bearing, fastest))))


def main() -> None:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--box", type=float, nargs=4)
    parser.add_argument("--label", default="followed")
    parser.add_argument("--distance", type=float, default=1.0)
    parser.add_argument("--frame", default="base_link")
    args = parser.parse_args(remove_ros_args()[1:])
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C must leave time to stop the base
    node = rclpy.create_node("follow_object")
    publisher = node.create_publisher(Twist, "cmd_vel", 10)
    try:
        with PointClient(node) as points:
            if args.box:
                points.track_box(*args.box, label=args.label)
            for _ in points.updates(silence=0.2):
                try:
                    target = points.where_is(args.label, args.frame, timeout=0.0, max_age=0.4)
                    publisher.publish(command(target, args.distance))
                except ClientError as reason:
                    publisher.publish(Twist())
                    node.get_logger().warning(f"Stopped: {reason}", throttle_duration_sec=2.0)
    finally:
        publisher.publish(Twist())


if __name__ == "__main__":
    try:
        main()
    except (ClientError, KeyboardInterrupt) as reason:
        raise SystemExit(str(reason) or 0) from None
