"""Watch a part of the image for things that move, however the camera moves.

    python3 watch_region.py --box 200 150 80 60 --speed 0.1     # x, y, width, height px; m/s

Publishes std_msgs/Bool on motion for each image: whether points in the box move in space. Needs the nodes of
reconstruction.launch.py, with a fixed frame (target_frame:=odom).
"""

import argparse
from contextlib import suppress

import numpy as np
import rclpy
from rclpy.utilities import remove_ros_args
from std_msgs.msg import Bool

from cotracker_ros.client import ClientError, PointClient

COUNT = 40  # points in the box
MOVING = 3  # of them that are a motion: one may be wrong


def refill(points: PointClient, ids: np.ndarray, box: list[float]) -> np.ndarray:
    """Put new points where things have carried the old ones away or hidden them; return all ids."""
    inside = points.seen_in(box)
    if len(inside) >= COUNT // 2:
        return ids
    with suppress(ClientError):  # the tracker may have retired some of them itself
        points.forget(np.setdiff1d(ids, inside))
    new = points.track_box(*box, count=COUNT, label="watched")
    points.wait_until_visible(new, timeout=1.0)
    return np.concatenate([np.intersect1d(ids, inside), new])


def main() -> None:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--box", type=float, nargs=4, required=True)
    parser.add_argument("--speed", type=float, default=0.1)
    args = parser.parse_args(remove_ros_args()[1:])
    rclpy.init()
    node = rclpy.create_node("watch_region")
    publisher = node.create_publisher(Bool, "motion", 10)
    with PointClient(node) as points:
        ids = points.track_box(*args.box, count=COUNT, label="watched")
        for _ in points.updates():
            try:
                ids = refill(points, ids, args.box)
                publisher.publish(Bool(data=len(points.moving(box=args.box, speed=args.speed)) >= MOVING))
            except ClientError as reason:
                node.get_logger().warning(f"Cannot watch: {reason}", throttle_duration_sec=2.0)


if __name__ == "__main__":
    try:
        main()
    except (ClientError, KeyboardInterrupt) as reason:
        raise SystemExit(str(reason) or 0) from None
