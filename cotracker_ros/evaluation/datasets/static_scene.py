"""True tracks without labels: in a scene that stands still, depth and poses say where points go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.rgbd import FrameLoader, Intrinsics, RgbdFrame
from cotracker_ros.evaluation.datasets.rgbd_bag import bag_frames
from cotracker_ros.evaluation.datasets.seven_scenes import is_seven_scenes, registered, seven_scenes_frames
from cotracker_ros.evaluation.datasets.tum_rgbd import is_tum_rgbd, tum_rgbd_frames
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.recordings.bagfile import bag_kind
from cotracker_ros.tracking.labelled import LabelledClip

_CORNER_QUALITY, _CORNER_DISTANCE = 0.005, 8  # px
_FLAT_SQUARE = 9  # px, side of the neighbourhood in which a point's depth must not jump
_FLAT = 0.06  # m
_SAME = 0.06  # m; depth that agrees with the point's: it is seen
_BEFORE = 0.12  # m; depth that is nearer than the point's by more: it is hidden
_AROUND = (-3, 0, 3)  # px; depth and colour are aligned to within a few pixels
_NEAREST = 0.1  # m
_FEWEST_TRACKS = 8
_LEAST_MOTION = 1.0  # px; depth and poses are not more accurate than that


class CameraStandsStillError(DatasetError):
    """Nothing moves in a clip, so that every tracker would be right."""


def static_scene_clips(
    source: str | Path,
    *,
    starts: Sequence[int] = (),
    length: int = 48,
    count: int = 150,
    seed: int = 0,
    max_depth: float = 6.0,
    intrinsics: Intrinsics | None = None,
    **bag_options: str | None,
) -> Iterator[LabelledClip]:
    """Cut clips with true tracks from a recording of a scene in which only the camera moves.

    Args:
        source: A folder in the layout of 7-Scenes or TUM RGB-D, or a bag with colour, depth registered to
            it, camera_info and TF.
        starts: First frame of each clip, in any order; empty: one clip after the other as far as the
            recording goes, but those in which the camera stands still.
        length: Frames of a clip.
        count: Points of a clip, at most; see `static_tracks`.
        seed: Of their choice.
        max_depth: Depth readings beyond are left out, m.
        intrinsics: fx, fy, cx, cy of the colour images, px; None: the bag's camera_info, or what is known
            of the data set.
        bag_options: ``world``, ``image_topic``, ``depth_topic`` and ``camera_info_topic`` of `bag_frames`.

    Returns:
        The clips, in the order of their starts; each is read when its turn comes.

    Raises:
        DatasetError: At once: the source is none of these, or a number makes no sense. When its turn comes:
            the recording is too short for a clip, the camera stands still in it, too little depth is known,
            or a file is missing or damaged.
        RecordingError: A bag cannot be read.
    """
    if any(start < 0 for start in starts):
        raise DatasetError(f"the clips start at the frames {list(starts)}: give numbers from 0 on")
    if length < 2 or count < 1 or not max_depth > 0:
        raise DatasetError(
            f"length is {length} frames, count {count} points and max_depth {max_depth} m: "
            "give at least 2 frames, 1 point and a distance above 0"
        )
    if intrinsics is not None and not (np.isfinite(intrinsics).all() and min(intrinsics[:2]) > 0):
        raise DatasetError(f"the intrinsics are {intrinsics}: give fx, fy, cx, cy in px, fx and fy above 0")
    path = Path(source)
    loaders = open_static_scene(path, intrinsics, **bag_options)
    return _clips(path, loaders, sorted(set(starts)), length, count, seed, max_depth)


def static_tracks(
    frames: Sequence[RgbdFrame], *, count: int = 150, seed: int = 0, max_depth: float = 6.0
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Follow points of the first frame by depth and poses.

    The points are corners whose depth is known and flat within 0.06 m over 9x9 pixels. In another frame, a
    point is visible if one of nine depths around its position (3 px apart) agrees with its own within
    0.06 m; hidden if it is outside the image, or if all nine are known and nearer by more than 0.12 m.
    Anything else, such as holes in the depth, leaves its visibility unknown.

    Args:
        frames: T frames of one size.
        count: At most so many points, drawn at random.
        seed: Of the draw.
        max_depth: Depth readings beyond are left out, m.

    Returns:
        xy (T, N, 2), px, where a point that is behind the camera stays at its last position; visible (T, N);
        known (T, N).

    Raises:
        DatasetError: The first frame has fewer than 8 such points.
    """
    depths = [np.where(frame.depth > max_depth, np.float32(0), frame.depth) for frame in frames]
    points = _world_points(frames[0], depths[0], count, seed)
    xy = np.zeros((len(frames), len(points), 2), np.float32)
    visible = np.zeros(xy.shape[:2], bool)
    known = np.zeros(xy.shape[:2], bool)
    for t, (frame, depth) in enumerate(zip(frames, depths, strict=True)):
        # Poses from files are rounded: no exact rotations, of which the transpose would be the inverse.
        local = transform_points(np.linalg.inv(frame.pose), points)
        projected = frame.camera.project(local)
        xy[t] = np.where(np.isfinite(projected), projected, xy[max(t - 1, 0)])
        visible[t], known[t] = _seen(depth, projected, local[:, 2])
    return xy, visible, known


def _world_points(frame: RgbdFrame, depth: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float64]:
    """Return (N, 3) points in the world, m."""
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    # Four times as many as wanted, because some have no depth.
    found = cv2.goodFeaturesToTrack(grey, 4 * count, _CORNER_QUALITY, _CORNER_DISTANCE)
    corners = np.zeros((0, 2), np.float32) if found is None else found[:, 0]
    column, row = corners.round().astype(int).clip(0, np.array(frame.size) - 1).T
    square = np.ones((_FLAT_SQUARE, _FLAT_SQUARE), np.uint8)
    nearest, farthest = cv2.erode(depth, square)[row, column], cv2.dilate(depth, square)[row, column]
    rays = frame.camera.unproject(corners)
    usable = np.flatnonzero((nearest > 0) & (farthest - nearest < _FLAT) & np.isfinite(rays[:, 0]))
    if len(usable) < _FEWEST_TRACKS:
        raise DatasetError(
            f"of {len(corners)} corners only {len(usable)} have a depth that is known and flat around them, "
            f"{_FEWEST_TRACKS} are needed: start at another frame, or check the unit of the depth"
        )
    chosen = usable[np.random.default_rng(seed).permutation(len(usable))[:count]]
    return transform_points(frame.pose, rays[chosen] * depth[row[chosen], column[chosen], None])


def _seen(
    depth: NDArray[np.float32], xy: NDArray[np.float64], z: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which points at `xy` (N, 2), px, and distance `z` (N,), m, are visible, and where that is known."""
    last = np.array([depth.shape[1] - 1, depth.shape[0] - 1])
    # Comparisons with NaN, which points behind the camera have, are false.
    inside = (z > _NEAREST) & ((xy >= 0) & (xy <= last)).all(axis=1)
    column, row = np.nan_to_num(xy).round().clip(0, last).astype(int).T
    around = np.stack(
        [
            depth[(row + dy).clip(0, last[1]), (column + dx).clip(0, last[0])]
            for dy in _AROUND
            for dx in _AROUND
        ]
    )
    measured = around > 0
    agrees = (measured & (np.abs(around - z) < _SAME)).any(axis=0)
    covered = (measured & (around < z - _BEFORE)).all(axis=0)
    return inside & agrees, ~inside | agrees | covered


def open_static_scene(
    path: Path, intrinsics: Intrinsics | None = None, **bag_options: str | None
) -> Iterator[FrameLoader]:
    """List the frames of a recording of a scene that stands still; see `static_scene_clips`."""
    if not path.exists():
        raise DatasetError(f"{path} does not exist: give a folder of RGB-D frames or a bag")
    if bag_kind(path):
        return bag_frames(path, intrinsics=intrinsics, **bag_options)
    if path.is_dir() and is_seven_scenes(path):
        return seven_scenes_frames(path, intrinsics)
    if path.is_dir() and is_tum_rgbd(path):
        return tum_rgbd_frames(path, intrinsics)
    raise DatasetError(
        f"{path} is no static scene: give a bag, a 7-Scenes sequence (frame-*.color.png, .depth.png, "
        ".pose.txt) or a TUM RGB-D one (rgb.txt, depth.txt, groundtruth.txt)"
    )


def registered_static_scene(
    path: Path, intrinsics: Intrinsics | None = None, **bag_options: str | None
) -> Iterator[FrameLoader]:
    """List the frames of a recording with depth that is registered to the colour images.

    It is as the recording gives it, but for 7-Scenes; see `seven_scenes.registered`.
    """
    loaders = open_static_scene(path, intrinsics, **bag_options)
    if bag_kind(path) or not is_seven_scenes(path):
        return loaders
    return (partial(_registered, load, intrinsics) for load in loaders)


def _registered(load: FrameLoader, intrinsics: Intrinsics | None) -> RgbdFrame:
    return registered(load(), intrinsics)


def _clips(
    path: Path,
    loaders: Iterator[FrameLoader],
    starts: list[int],
    length: int,
    count: int,
    seed: int,
    max_depth: float,
) -> Iterator[LabelledClip]:
    found = False
    for start, frames in _windows(path, loaders, starts, length):
        name = f"{path.name}, frames {start} to {start + length - 1}"
        try:
            yield _clip(frames, name, count, seed, max_depth)
            found = True
        except CameraStandsStillError:
            if starts:
                raise
    if not found:
        raise DatasetError(f"{path}: the camera stands still in all clips of {length} frames: move it")


def _windows(
    path: Path, loaders: Iterator[FrameLoader], starts: list[int], length: int
) -> Iterator[tuple[int, list[RgbdFrame]]]:
    """Yield the start and the frames of each clip, as soon as its last frame was read."""
    growing: dict[int, list[RgbdFrame]] = {}
    total = 0
    for index, load in enumerate(loaders):
        total = index + 1
        if index in starts or (not starts and index % length == 0):
            growing[index] = []
        if growing:
            frame = load()
            for frames in growing.values():
                frames.append(frame)
        for start in [start for start, frames in growing.items() if len(frames) == length]:
            yield start, growing.pop(start)
        if starts and total >= starts[-1] + length:
            return
    if starts or total < length:
        missing = next((start for start in starts if start + length > total), 0)
        raise DatasetError(
            f"{path} has {total} frames that can be used: {length} from frame {missing} on are too many, "
            "give earlier starts or a smaller length"
        )


def _clip(frames: list[RgbdFrame], name: str, count: int, seed: int, max_depth: float) -> LabelledClip:
    if len({frame.size for frame in frames}) > 1:
        raise DatasetError(f"{name}: the images differ in size")
    try:
        xy, visible, known = static_tracks(frames, count=count, seed=seed, max_depth=max_depth)
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error
    motion = float(np.median(np.linalg.norm(xy - xy[0], axis=-1).max(axis=0)))
    if motion < _LEAST_MOTION:
        raise CameraStandsStillError(
            f"{name}: the camera stands still (points move by {motion:.1f} px): start elsewhere"
        )
    return LabelledClip(np.stack([frame.image for frame in frames]), xy, visible, known, name)
