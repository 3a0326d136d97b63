"""Speed and memory of the shipped network, in a process that holds nothing else.

``python -m cotracker_ros.evaluation.default_speed WEIGHTS``: every image is answered. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from cotracker_ros.tracking import TrackerConfig, create_tracker, grid_points
from cotracker_ros.tracking.config import PRECISIONS

SIZE = (256, 256)
TRACKS = 100
_WARM = 20


def moving_picture(size: tuple[int, int], length: int = 8) -> NDArray[np.uint8]:
    """A textured picture that drifts, (T, H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.standard_normal((size[1] + 64, size[0] + 64, 3)), (0, 0), 2)
    image = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    return np.stack([image[t : t + size[1], 2 * t : 2 * t + size[0]] for t in range(length)])


def spread_queries(size: tuple[int, int], tracks: int) -> NDArray[np.float32]:
    """So many points (N, 2) all over an image of a width and height, px."""
    points = grid_points(size, count=tracks + tracks // 2 + 16)
    return points[np.linspace(0, len(points) - 1, tracks).astype(int)]


def measure(
    weights: str,
    images: int = 200,
    precision: str = "auto",
    size: tuple[int, int] = SIZE,
    tracks: int = TRACKS,
) -> dict[str, float]:
    """Return images/s, median and 95th percentile of the time per image (ms) and resident memory (MB)."""
    config = TrackerConfig(update_every=1, max_tracks=tracks)
    tracker = create_tracker("network", weights=weights, precision=precision, config=config)
    frames = moving_picture(size)
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]  # to and fro, so that nothing jumps
    tracker.add_points(spread_queries(size, tracks))
    taken = []
    for index in range(_WARM + images):
        before = time.perf_counter()
        tracker.track(frames[order[index % len(order)]], stamp=index)
        taken.append(time.perf_counter() - before)
    seconds = np.array(taken[_WARM:])
    p50, p95 = np.percentile(seconds * 1e3, [50, 95])
    return {
        "images/s": images / float(seconds.sum()),
        "p50 ms": float(p50),
        "p95 ms": float(p95),
        "memory MB": psutil.Process().memory_info().rss / 1e6,
    }


def main() -> int:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description="Speed and memory of a causal network.")
    parser.add_argument("weights", help="default, or a checkpoint")
    parser.add_argument("--images", type=int, default=200, help="after some to warm up [200]")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the network [auto]")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("W", "H"), help="px [256 256]")
    parser.add_argument("--tracks", type=int, default=TRACKS, help="points to follow [100]")
    args = parser.parse_args()
    print(json.dumps(measure(args.weights, args.images, args.precision, tuple(args.size), args.tracks)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
