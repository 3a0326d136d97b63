"""What the tracker node adds to its engine: ``python -m cotracker_ros.nodes.overhead [TRACKS]``.

One image after the other goes to the real node over DDS. Of the time from its publication to the arrival of
its tracks, what passed inside the tracker is taken away; messages, DDS and threads are left. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any
from unittest.mock import patch

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from cotracker_ros.messages import image_fields, stamp_ns, to_ros
from cotracker_ros.msg import TrackArray
from cotracker_ros.nodes.executor import ServicesAsideExecutor
from cotracker_ros.nodes.qos import RESULTS
from cotracker_ros.nodes.tracker_node import TrackerNode
from cotracker_ros.tracking import KltTracker, Tracks

_SIZE = (640, 480)
_IMAGES, _WARM = 120, 20
_PERIOD_NS = 33_333_333
_PATIENCE = 5.0  # s for one answer


def measure(tracks: int) -> dict[str, float]:
    """Return median and 95th percentile of the overhead and of the tracker's own time, ms.

    Raises:
        RuntimeError: An image stayed without an answer.
    """
    engine: list[float] = []
    track = KltTracker.track

    def timed(self: KltTracker, image: NDArray[np.uint8], stamp: int = 0) -> list[Tracks]:
        before = time.perf_counter()
        answers = track(self, image, stamp)
        engine.append(time.perf_counter() - before)
        return answers

    with patch.object(KltTracker, "track", timed):
        whole = _ask_node(tracks)
    overhead = np.array(whole) - np.array(engine)
    result: dict[str, float] = {}
    for name, seconds in (("overhead", overhead), ("tracker", np.array(engine))):
        p50, p95 = np.percentile(seconds[_WARM:] * 1e3, [50, 95])
        result |= {f"{name} p50 ms": float(p50), f"{name} p95 ms": float(p95)}
    return result


def _ask_node(tracks: int) -> list[float]:
    """Return the time from before each image's publication to the arrival of its tracks, s."""
    tracker = TrackerNode(
        parameter_overrides=[
            Parameter("autostart", value=True),
            Parameter("backend", value="klt"),
            Parameter("seed", value="grid"),
            Parameter("seed_count", value=tracks),
            Parameter("qos_overrides./image.subscription.reliability", value="reliable"),
        ],
    )
    executor = ServicesAsideExecutor()
    executor.add_node(tracker)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    client = rclpy.create_node("overhead")
    publisher = client.create_publisher(Image, "image", 5)
    answered: list[int] = []

    def take(message: Any) -> None:
        answered.append(stamp_ns(message.header.stamp))

    client.create_subscription(TrackArray, "tracker/tracks", take, RESULTS)
    image = np.random.default_rng(0).integers(0, 255, (_SIZE[1], _SIZE[0], 3), dtype=np.uint8)
    taken: list[float] = []
    try:
        while publisher.get_subscription_count() == 0 or client.count_publishers("tracker/tracks") == 0:
            rclpy.spin_once(client, timeout_sec=0.05)
        for index in range(1, _IMAGES + 1):
            stamp = index * _PERIOD_NS
            message = to_ros(Image, image_fields(np.roll(image, index, 1), stamp, "camera"))
            begin = time.perf_counter()
            publisher.publish(message)
            while stamp not in answered:
                if time.perf_counter() - begin > _PATIENCE:
                    raise RuntimeError(f"image {index} got no answer within {_PATIENCE} s")
                rclpy.spin_once(client, timeout_sec=0.05)
            taken.append(time.perf_counter() - begin)
    finally:
        executor.shutdown()
        thread.join()
        client.destroy_node()
        tracker.destroy_node()
    return taken


def main() -> int:
    """Measure once and print."""
    rclpy.init()
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)))
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
