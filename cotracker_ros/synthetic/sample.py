"""The sample recording of the demo: an RGB-D camera in a workshop, as a rosbag2 with its truth beside it.

The images are those of a pinhole camera without distortion, so `camera_info` says plumb_bob with zeros.
Depth is aligned to colour. The robot's frames: world -> camera_link moves (`/tf`), camera_link -> the optical
frame does not (`/tf_static`); REP 103 axes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cotracker_ros.messages import camera_info_fields, depth_fields, image_fields, transform_fields
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.recordings.writer import BagWriter
from cotracker_ros.synthetic.clip import FOCAL_PER_WIDTH, Recorder, even_stamps
from cotracker_ros.synthetic.motion import Matrix, invert
from cotracker_ros.synthetic.scene import Intrinsics
from cotracker_ros.synthetic.sensor import measure_depth
from cotracker_ros.synthetic.workshop import workshop

BAG_NAME = "sample"
TRUTH_NAME = "truth.npz"

IMAGE_TOPIC = "/camera/color/image_raw"
DEPTH_TOPIC = "/camera/depth/image_raw"
CAMERA_INFO_TOPIC = "/camera/color/camera_info"

WORLD_FRAME = "world"
CAMERA_FRAME = "camera_link"
OPTICAL_FRAME = "camera_color_optical_frame"

# camera_link (x forward, y left, z up) from the optical frame (x right, y down, z forward).
_LINK_FROM_OPTICAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])


def sample_exists(path: Path) -> bool:
    """Tell whether `path` holds a finished sample."""
    return (path / BAG_NAME / "metadata.yaml").is_file() and (path / TRUTH_NAME).is_file()


def make_sample(
    path: Path,
    *,
    seed: int = 0,
    seconds: float = 10.0,
    rate: float = 20.0,
    size: tuple[int, int] = (640, 480),
    progress: bool = True,
) -> None:
    """Render the sample recording and write it with its truth; replaces an earlier sample.

    Everything is written into a temporary folder beside and moved at the end, so that an interrupted run
    leaves nothing that looks finished.

    Args:
        path: Folder for ``sample/`` (rosbag2 with MCAP) and ``truth.npz`` (see `Truth`).
        seed: Textures, noise and choice of points.
        seconds: Length of the recording.
        rate: Images per second.
        size: Width and height of the images, px.
        progress: Show a progress bar.

    Raises:
        ValueError: The recording would be empty.
        OSError: The folder cannot be written.
    """
    count = round(seconds * rate) if seconds > 0 and rate > 0 else 0
    if count < 1:
        raise ValueError(f"{seconds} s at {rate} images/s make no recording; ask for a longer one")
    view = Intrinsics.centred(*size, focal=FOCAL_PER_WIDTH * size[0])
    recorder = Recorder(
        workshop(seed),
        view,
        even_stamps(count, rate),
        query_frames=tuple(sorted({0, count // 4, count // 2, (3 * count) // 4})),
        static=80,
        moving=16,
        seed=seed,
    )
    partial = path / ".sample.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write_bag(partial / BAG_NAME, recorder, view, progress)
        recorder.truth().save(partial / TRUTH_NAME)
        # The truth goes first and comes last: while it is missing the sample counts as unfinished.
        (path / TRUTH_NAME).unlink(missing_ok=True)
        shutil.rmtree(path / BAG_NAME, ignore_errors=True)
        (partial / BAG_NAME).rename(path / BAG_NAME)
        (partial / TRUTH_NAME).rename(path / TRUTH_NAME)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_bag(path: Path, recorder: Recorder, view: Intrinsics, progress: bool) -> None:
    camera = CameraModel(view.width, view.height, view.matrix)
    first = int(recorder.stamps[0])
    with BagWriter(path) as bag:
        mount = transform_fields(first, CAMERA_FRAME, OPTICAL_FRAME, _LINK_FROM_OPTICAL)
        _write_transform(bag, "/tf_static", first, mount)
        images = tqdm(
            recorder.images(),
            total=len(recorder.stamps),
            desc="rendering the sample recording",
            unit="image",
            disable=not progress,
        )
        for k, (stamp, image, frame) in enumerate(images):
            depth = measure_depth(frame.depth, view, recorder.rng(2, k))
            link = transform_fields(stamp, WORLD_FRAME, CAMERA_FRAME, _link_pose(frame.pose))
            _write_transform(bag, "/tf", stamp, link)
            info = camera_info_fields(camera, stamp, OPTICAL_FRAME)
            bag.write(CAMERA_INFO_TOPIC, "sensor_msgs/msg/CameraInfo", stamp, info)
            colour = image_fields(image, stamp, OPTICAL_FRAME)
            bag.write(IMAGE_TOPIC, "sensor_msgs/msg/Image", stamp, colour)
            distance = depth_fields(_metres(depth), stamp, OPTICAL_FRAME)
            bag.write(DEPTH_TOPIC, "sensor_msgs/msg/Image", stamp, distance)


def _write_transform(bag: BagWriter, topic: str, stamp: int, transform: dict[str, Any]) -> None:
    fields = {"transforms": [transform]}
    bag.write(topic, "tf2_msgs/msg/TFMessage", stamp, fields, latched=topic == "/tf_static")


def _link_pose(pose: Matrix) -> Matrix:
    """World from camera_link, given world from the optical frame."""
    return pose @ invert(_LINK_FROM_OPTICAL)


def _metres(depth: NDArray[np.uint16]) -> NDArray[np.float32]:
    return np.where(depth > 0, depth.astype(np.float32) / 1000, np.float32(np.nan))
