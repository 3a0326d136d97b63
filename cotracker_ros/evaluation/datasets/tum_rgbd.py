"""The layout of the TUM RGB-D benchmark (Sturm et al. 2012): lists of files and of poses, joined by time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.rgbd import FrameLoader, Intrinsics, read_frame
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.poses import interpolate_pose, pose_matrix

# "ROS default" of the benchmark, which its authors recommend.
_CAMERA = CameraModel.pinhole(640, 480, 525.0, 525.0, 319.5, 239.5)
_STEPS_PER_METRE = 5000.0
_TOGETHER = 0.02  # s; the benchmark's own limit for a colour and a depth image of one moment
_POSE_GAP = 0.1  # s; motion capture that was lost for longer is not interpolated
_LISTS = ("rgb.txt", "depth.txt", "groundtruth.txt")


def is_tum_rgbd(folder: Path) -> bool:
    """Say whether a folder has this layout."""
    return all((folder / name).is_file() for name in _LISTS)


def tum_rgbd_frames(folder: Path, intrinsics: Intrinsics | None = None) -> Iterator[FrameLoader]:
    """List the colour images that have a depth image within 20 ms and poses on both sides.

    The pose is interpolated to the time of the colour image; depth images are in steps of 0.2 mm, 0 where
    nothing was measured.

    Args:
        folder: The sequence.
        intrinsics: Of the colour images, instead of the ones that are known.

    Raises:
        DatasetError: A list is damaged, or nothing in it belongs together.
    """
    colour_times, colours = _read_list(folder / _LISTS[0], columns=1)
    depth_times, depths = _read_list(folder / _LISTS[1], columns=1)
    pose_times, poses = _read_list(folder / _LISTS[2], columns=7)
    matrices = _matrices(folder / _LISTS[2], poses)
    loaders: list[FrameLoader] = []
    for time, (colour,) in zip(colour_times.tolist(), colours, strict=True):
        nearest = int(np.argmin(np.abs(depth_times - time)))
        pose = _pose_at(time, pose_times, matrices)
        if abs(depth_times[nearest] - time) > _TOGETHER or pose is None:
            continue
        files = folder / colour, folder / depths[nearest][0]
        frame = partial(read_frame, *files, pose, _CAMERA, intrinsics, depth_unit=_STEPS_PER_METRE)
        loaders.append(partial(frame, stamp=round(time * 1e9)))
    if not loaders:
        raise DatasetError(
            f"no colour image of {folder} has a depth image within {_TOGETHER * 1e3:.0f} ms and poses around "
            "it: the lists are of different recordings"
        )
    return iter(loaders)


def _read_list(path: Path, columns: int) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Return the times of the lines, s, rising, and the other words of each."""
    rows = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            time = float(words[0])
        except ValueError:
            time = np.nan
        if len(words) != columns + 1 or not np.isfinite(time):
            raise DatasetError(f"{path}, line {number} is not a time and {columns} more: extract it again")
        rows.append((time, words[1:]))
    if not rows:
        raise DatasetError(f"{path} is empty: extract the data set again")
    rows.sort(key=lambda row: row[0])
    return np.array([time for time, _ in rows]), [words for _, words in rows]


def _matrices(path: Path, poses: list[list[str]]) -> list[NDArray[np.float64]]:
    try:
        numbers = np.array(poses, np.float64)
        return [pose_matrix(row[:3], row[3:]) for row in numbers]
    except ValueError as error:
        raise DatasetError(f"{path} holds a line that is no pose: {error}") from error


def _pose_at(
    time: float, times: NDArray[np.float64], poses: list[NDArray[np.float64]]
) -> NDArray[np.float64] | None:
    after = int(np.searchsorted(times, time))
    if after < len(times) and times[after] == time:
        return poses[after]
    if after in (0, len(times)) or times[after] - times[after - 1] > _POSE_GAP:
        return None
    fraction = (time - times[after - 1]) / (times[after] - times[after - 1])
    return interpolate_pose(poses[after - 1], poses[after], float(fraction))
