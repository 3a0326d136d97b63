"""Tell a manipulator where to grasp an object.

    python3 grasp_point.py --box 300 200 40 30 --label mug      # what is in this box (x y width height)
    python3 grasp_point.py --label mug --frame panda_link0      # what is tracked under this label already

Publishes geometry_msgs/PoseStamped on grasp_point: the middle of the object's visible points in `--frame`, at
the stamp of their image, with the axes of `--frame`. Silent while the object is hidden or unknown, so that
nobody grasps at where it was. Needs the nodes of reconstruction.launch.py.
"""

import argparse

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.time import Time
from rclpy.utilities import remove_ros_args

from cotracker_ros.client import ClientError, PointClient, Position


def grasp_pose(position: Position) -> PoseStamped:
    """Return the position as a pose with the axes of its frame."""
    pose = PoseStamped()
    pose.header.frame_id = position.frame
    pose.header.stamp = Time(nanoseconds=position.stamp).to_msg()
    pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = position.xyz.tolist()
    pose.pose.orientation.w = 1.0
    return pose


def main() -> None:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--box", type=float, nargs=4)
    parser.add_argument("--label", default="grasped")
    parser.add_argument("--frame", default="base_link")
    args = parser.parse_args(remove_ros_args()[1:])
    rclpy.init()
    node = rclpy.create_node("grasp_point")
    publisher = node.create_publisher(PoseStamped, "grasp_point", 10)
    with PointClient(node) as points:
        if args.box:
            points.track_box(*args.box, label=args.label)
        for _ in points.updates():
            try:
                position = points.where_is(args.label, args.frame, timeout=0.0, max_age=0.2)
            except ClientError as reason:
                node.get_logger().info(f"No grasp point: {reason}", throttle_duration_sec=2.0)
                continue
            if position.measured:
                publisher.publish(grasp_pose(position))


if __name__ == "__main__":
    try:
        main()
    except (ClientError, KeyboardInterrupt) as reason:
        raise SystemExit(str(reason) or 0) from None
