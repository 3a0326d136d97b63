"""The layout of the 7-Scenes data set (Shotton et al. 2013): three files a frame, numbered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.registration import register_depth
from cotracker_ros.evaluation.datasets.rgbd import (
    FrameLoader,
    Intrinsics,
    RgbdFrame,
    camera_for,
    read_frame,
)
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.poses import invert_pose, pose_matrix

# The nominal focal length of 585 px is that of the depth camera; 520 px fits what the colour images show.
_CAMERA = CameraModel.pinhole(640, 480, 520.0, 520.0, 320.0, 240.0)
# The nominal Kinect: the depth camera, whose poses these are, sits 25 mm beside the colour camera.
_DEPTH_CAMERA = CameraModel.pinhole(640, 480, 585.0, 585.0, 320.0, 240.0)
_COLOUR_CAMERA = CameraModel.pinhole(640, 480, 525.0, 525.0, 320.0, 240.0)
_COLOUR_FROM_DEPTH = pose_matrix((-0.025, 0, 0), (0, 0, 0, 1))
_MILLIMETRES = 1000.0
_COLOUR = "frame-*.color.*"
_COLOUR_SUFFIXES = {".png", ".jpg"}


def is_seven_scenes(folder: Path) -> bool:
    """Say whether a folder has this layout."""
    return next(folder.glob(_COLOUR), None) is not None


def seven_scenes_frames(folder: Path, intrinsics: Intrinsics | None = None) -> Iterator[FrameLoader]:
    """List the frames in the order of their numbers.

    A frame is ``frame-NNNNNN.color.png`` (or ``.jpg``), ``.depth.png`` in mm, 0 and 65535 where nothing was
    measured, and ``.pose.txt``, the 4x4 pose of the camera in the world, m. A file that is missing or wrong
    is a `DatasetError` when the frame is loaded.

    Args:
        folder: The sequence.
        intrinsics: Of the colour images, instead of the ones that are known.
    """
    files = sorted(file for file in folder.glob(_COLOUR) if file.suffix in _COLOUR_SUFFIXES)
    return (partial(_load, file, intrinsics) for file in files)


def registered(frame: RgbdFrame, intrinsics: Intrinsics | None = None) -> RgbdFrame:
    """Return a frame of this data set with its depth registered to its colour image.

    The depth images are as the depth camera saw them: some 20 px off at the sides of the colour images.

    Args:
        frame: As `seven_scenes_frames` gives it.
        intrinsics: Of the colour images, instead of the nominal ones.
    """
    size = frame.size
    camera = camera_for(size, _COLOUR_CAMERA, intrinsics)
    depth_camera = camera_for(size, _DEPTH_CAMERA, None)
    return replace(
        frame,
        depth=register_depth(frame.depth, depth_camera, camera, _COLOUR_FROM_DEPTH),
        pose=frame.pose @ invert_pose(_COLOUR_FROM_DEPTH),
        camera=camera,
    )


def _load(colour: Path, intrinsics: Intrinsics | None) -> RgbdFrame:
    stem = colour.name.split(".")[0]
    pose = _read_pose(colour.with_name(f"{stem}.pose.txt"))
    depth = colour.with_name(f"{stem}.depth.png")
    return read_frame(colour, depth, pose, _CAMERA, intrinsics, depth_unit=_MILLIMETRES)


def _read_pose(path: Path) -> NDArray[np.float64]:
    if not path.is_file():
        raise DatasetError(f"{path} is missing: extract the data set again")
    try:
        pose = np.array(path.read_text().split(), np.float64)
    except ValueError:
        pose = np.zeros(0)
    if pose.size != 16 or not np.isfinite(pose).all() or abs(np.linalg.det(pose.reshape(4, 4)) - 1) > 0.01:
        raise DatasetError(f"{path} holds no 4x4 pose: leave out the clips with this frame")
    return pose.reshape(4, 4)
