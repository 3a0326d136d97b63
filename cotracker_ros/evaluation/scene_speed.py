"""Speed and memory of everything in 3D but the mesh, on one core, in a process that holds nothing else.

``python -m cotracker_ros.evaluation.scene_speed [IMAGES]``: lifting, odometry, bodies, points' motion and map
at 640x480 with 500 tracks, 30 images a second. A rendered sequence is tracked once; then its tracks and depth
images are given to and fro. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import psutil

from cotracker_ros.evaluation.scene_run import CAMERA_POSES, OPTICAL, RgbdInput, run_scene, sequence_inputs
from cotracker_ros.reconstruction import Lifter
from cotracker_ros.synthetic.sequences import rendered_sequence
from cotracker_ros.tracking import KltTracker, TrackerConfig
from cotracker_ros.tracking.types import TrackFlag, Tracks

SIZE = (640, 480)
TRACKS = 500
RATE = 30.0
_SECONDS = 3.0  # of the sequence


def measure(images: int) -> dict[str, float]:
    """Return the time per image, ms, and what is remembered after a tenth of the images and after all."""
    sequence = rendered_sequence("workshop", size=SIZE, rate=RATE, seconds=_SECONDS)
    inputs = list(sequence_inputs(sequence))
    (run,) = run_scene(inputs, KltTracker(TrackerConfig()), [CAMERA_POSES["tracks"]], points=TRACKS)
    lifter = Lifter(CAMERA_POSES["tracks"])
    lifter.set_camera(inputs[0].camera, OPTICAL, 0)
    taken: list[float] = []
    sizes: dict[str, float] = {}
    counts = []
    for index, (item, tracks) in enumerate(_to_and_fro(inputs, run.tracks, images)):
        assert item.depth is not None
        before = time.perf_counter()
        lifter.add_depth(tracks.stamp, item.depth, OPTICAL)
        lifter.add_tracks(tracks, OPTICAL)
        taken.append(time.perf_counter() - before)
        counts.append(len(tracks))
        if index + 1 in (images // 10, images):
            when = "a tenth" if index + 1 < images else "all"
            sizes[f"map points after {when}"] = len(lifter.map.points())
            sizes[f"memory MB after {when}"] = psutil.Process().memory_info().rss / 1e6
    p50, p95 = np.percentile(np.array(taken) * 1e3, [50, 95])
    return {
        "images": images,
        "tracks": float(np.median(counts)),
        "p50 ms": float(p50),
        "p95 ms": float(p95),
        **sizes,
    }


def _to_and_fro(
    inputs: list[RgbdInput], tracks: list[Tracks], images: int
) -> Iterator[tuple[RgbdInput, Tracks]]:
    """Give depth images and tracks forward and backward; what was gone comes back under a new id."""
    names: dict[int, int] = {}
    next_id = 1
    for index in range(images):
        turn, place = divmod(index, len(inputs))
        given = tracks[place if turn % 2 == 0 else len(inputs) - 1 - place]
        before, names = names, {}
        new = np.zeros(len(given), bool)
        for row, number in enumerate(given.ids.tolist()):
            new[row] = number not in before
            names[number] = next_id if new[row] else before[number]
            next_id += int(new[row])
        old = given.flags & ~np.uint8(TrackFlag.NEW)
        stamp = int((index + 1) * 1e9 / RATE)
        ids = np.array([names[number] for number in given.ids.tolist()], np.uint32)
        flags = np.where(new, old | np.uint8(TrackFlag.NEW), old).astype(np.uint8)
        yield (
            inputs[given.frame],
            replace(given, frame=index, stamp=stamp, newest=stamp, ids=ids, flags=flags),
        )


def main() -> int:
    """Measure once, on one core, and print."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        process.cpu_affinity(process.cpu_affinity()[:1])
    cv2.setNumThreads(1)
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 900)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
