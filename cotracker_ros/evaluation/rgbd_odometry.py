"""Open3D's RGB-D odometry, frame to frame, to have something to compare ego-motion with."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.rgbd import RgbdFrame
from cotracker_ros.reconstruction.open3d_library import load_open3d
from cotracker_ros.reconstruction.undistortion import Undistortion

_ITERATIONS = (10, 5, 3)  # Open3D's own, from coarse to fine
_METRES = 1.0  # depth images are in metres already


def rgbd_odometry(
    frames: Iterable[RgbdFrame], *, max_depth: float = 4.0
) -> tuple[NDArray[np.float64], float]:
    """Follow the camera by hybrid (colour and depth) odometry from each frame to the next.

    Method: Park, Zhou and Koltun (2017) as in ``open3d.t.pipelines.odometry``, with its own settings.

    Args:
        frames: T frames of one camera, in order; each is asked for once. Distortion is taken out.
        max_depth: Depths beyond are not used, m.

    Returns:
        poses (T, 4, 4) of the camera, m, the first one that of the first frame, NaN from where the motion
        could not be told; and the mean processor time of a frame, s, all cores together, NaN for fewer than
        two. Reading the frames and taking out distortion are not counted.

    Raises:
        Open3dError: Open3D is not there.
    """
    o3d = load_open3d("RGB-D odometry")
    odometry = o3d.t.pipelines.odometry
    criteria = [odometry.OdometryConvergenceCriteria(count) for count in _ITERATIONS]
    poses: list[NDArray[np.float64]] = []
    undistortion: Undistortion | None = None
    previous: Any = None
    seconds = 0.0
    for frame in frames:
        depth, colour = frame.depth, frame.image
        if frame.camera.distorted:
            if undistortion is None or not undistortion.fits(frame.camera):
                undistortion = Undistortion(frame.camera)
            depth, colour = undistortion.depth(depth), undistortion.colour(colour)
        start = time.process_time()
        current = _rgbd_image(o3d, depth, colour)
        if previous is None:
            poses.append(np.array(frame.pose))
        else:
            try:
                result = odometry.rgbd_odometry_multi_scale(
                    current,
                    previous,
                    o3d.core.Tensor(frame.camera.K),
                    depth_scale=_METRES,
                    depth_max=max_depth,
                    criteria_list=criteria,
                    method=odometry.Method.Hybrid,
                )
                poses.append(poses[-1] @ result.transformation.numpy())
            except RuntimeError:  # a singular system: too little in common
                poses.append(np.full((4, 4), np.nan))
            seconds += time.process_time() - start
        previous = current
    mean = seconds / (len(poses) - 1) if len(poses) > 1 else float("nan")
    return np.array(poses).reshape(-1, 4, 4), mean


def _rgbd_image(o3d: Any, depth: NDArray[np.float32], colour: NDArray[np.uint8]) -> Any:
    image = o3d.t.geometry.Image
    known = np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)
    return o3d.t.geometry.RGBDImage(
        image(np.ascontiguousarray(colour)), image(np.ascontiguousarray(known, np.float32))
    )
