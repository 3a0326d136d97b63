"""Points and camera poses of a whole recording of a scene that stands still, against its depth and poses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.rgbd import RgbdFrame
from cotracker_ros.evaluation.scene_metrics import median_p95
from cotracker_ros.evaluation.scene_run import (
    CAMERA_POSES,
    RgbdInput,
    ScenePipeline,
    SceneRun,
)
from cotracker_ros.evaluation.scene_scores import OdometryScore, score_odometry, world_from_fixed
from cotracker_ros.evaluation.tracking3d import ErrorSummary, summarise_distances
from cotracker_ros.evaluation.trajectory_metrics import TrajectoryErrors, trajectory_errors
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.types import DepthSource
from cotracker_ros.tracking import PointTracker
from cotracker_ros.tracking.types import Tracks

FEWEST_IMAGES = 30
"""Shorter recordings say nothing about drift."""

_RATE = 30  # images/s, of recordings that tell no times
_FLAT_SQUARE = 9  # px; the depth around a point must not jump, or which surface it is on is not certain
_FLAT = 0.06  # m, or ...
_FLAT_SHARE = 0.03  # ... this part of the distance, as noise grows with it
_KEPT = 64  # images whose depth is kept for answers that come late


@dataclass(frozen=True)
class RecordedScore:
    """One tracker on one recording, with the camera's pose from one source.

    Attributes:
        measured: Distance of measured points, from their second image on, to where the depth of their first
            image and the given poses put them.
        held: The same of held points.
        odometry: The camera's pose by the tracks; None if it was not given.
        milliseconds: Median and 95th percentile of the processor time for lifting, odometry, bodies and
            map, an image.
    """

    measured: ErrorSummary
    held: ErrorSummary
    odometry: OdometryScore | None
    milliseconds: tuple[float, float]


@dataclass(frozen=True)
class RgbdOdometryScore:
    """Open3D's RGB-D odometry on the same images.

    Attributes:
        errors: Of its poses.
        milliseconds: Mean processor time of an image, of all cores together.
    """

    errors: TrajectoryErrors
    milliseconds: float


def score_recording(
    frames: Iterable[RgbdFrame], tracker: PointTracker, *, points: int = 300
) -> dict[str, RecordedScore]:
    """Run the pipeline over a recording, once with each source of the camera's pose.

    Args:
        frames: The recording; each frame is asked for once.
        tracker: Is reset first.
        points: Corners to follow.

    Returns:
        Scores by the names in `CAMERA_POSES`; empty for fewer than `FEWEST_IMAGES` images.
    """
    pipeline = ScenePipeline(tracker, list(CAMERA_POSES.values()), points=points)
    anchors = _Anchors()
    poses: list[NDArray[np.float64]] = []
    stamps: list[int] = []
    for item in recording_inputs(frames):
        if item.pose is not None:
            poses.append(item.pose)
            stamps.append(item.stamp)
        anchors.take(item, pipeline.take(item))
    anchors.look(pipeline.finish())
    if len(poses) < FEWEST_IMAGES:
        return {}
    path, times = np.array(poses), np.array(stamps)
    return {
        name: _score(run, path, times, anchors) for name, run in zip(CAMERA_POSES, pipeline.runs, strict=True)
    }


def recording_inputs(frames: Iterable[RgbdFrame]) -> Iterator[RgbdInput]:
    """Play a recording at its own times, or at 30 images/s where it tells none."""
    for k, frame in enumerate(frames):
        yield RgbdInput(_stamp(frame, k), frame.image, frame.depth, frame.camera, _rigid(frame.pose))


def _stamp(frame: RgbdFrame, number: int) -> int:
    """Return the stamp of a frame, ns, which is the one of this `number`."""
    return round(number * 1e9 / _RATE) if frame.stamp is None else frame.stamp


def _rigid(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest pose with an exact rotation: those of files are rounded."""
    u, _, vt = np.linalg.svd(pose[:3, :3])
    rigid = pose.copy()
    rigid[:3, :3] = u @ vt
    return rigid


def score_rgbd_odometry(frames: Callable[[], Iterable[RgbdFrame]]) -> RgbdOdometryScore:
    """Run Open3D's RGB-D odometry over a recording.

    Raises:
        Open3dError: Open3D is not there.
    """
    from cotracker_ros.evaluation.rgbd_odometry import rgbd_odometry

    true: list[NDArray[np.float64]] = []
    stamps: list[int] = []

    def noted() -> Iterator[RgbdFrame]:
        for frame in frames():
            stamps.append(_stamp(frame, len(true)))
            true.append(frame.pose)
            yield frame

    poses, seconds = rgbd_odometry(noted())
    return RgbdOdometryScore(trajectory_errors(np.array(true), poses, stamps), seconds * 1e3)


class _Anchors:
    """Where in the world the points are, by the depth of their first image."""

    def __init__(self) -> None:
        self._images: dict[int, RgbdInput] = {}
        self._seen: set[int] = set()
        self.world: dict[int, NDArray[np.float64]] = {}
        self.begun: dict[int, int] = {}

    def take(self, item: RgbdInput, answers: list[Tracks]) -> None:
        """Keep an image and look for points that are new."""
        self._images[item.stamp] = item
        while len(self._images) > _KEPT:
            self._images.pop(next(iter(self._images)))
        self.look(answers)

    def look(self, answers: list[Tracks]) -> None:
        """Look for points that are new in the answers."""
        for tracks in answers:
            new = [row for row, track in enumerate(tracks.ids.tolist()) if track not in self._seen]
            self._seen.update(tracks.ids[new].tolist())
            if new and tracks.stamp in self._images:
                self._fix(tracks, new, self._images[tracks.stamp])

    def _fix(self, tracks: Tracks, rows: list[int], item: RgbdInput) -> None:
        if item.depth is None or item.pose is None:
            return
        xy = tracks.xy[rows].astype(np.float64)
        last = np.array([item.depth.shape[1], item.depth.shape[0]]) - 1
        column, row = xy.round().astype(int).clip(0, last).T
        depth = np.nan_to_num(item.depth)
        square = np.ones((_FLAT_SQUARE, _FLAT_SQUARE), np.uint8)
        # Holes say nothing about how flat it is around them.
        nearest = cv2.erode(np.where(depth > 0, depth, np.float32(np.inf)), square)[row, column]
        farthest = cv2.dilate(depth, square)[row, column]
        local = item.camera.unproject(xy) * depth[row, column, None]
        world = transform_points(item.pose, local)
        flat = np.maximum(_FLAT, _FLAT_SHARE * farthest)
        good = (depth[row, column] > 0) & (farthest - nearest < flat) & np.isfinite(world).all(axis=1)
        for track, place in zip(tracks.ids[rows][good].tolist(), world[good], strict=True):
            self.world[track], self.begun[track] = place, tracks.stamp


def _score(
    run: SceneRun, poses: NDArray[np.float64], stamps: NDArray[np.int64], anchors: _Anchors
) -> RecordedScore:
    image_of = {stamp: k for k, stamp in enumerate(stamps.tolist())}
    fixed = world_from_fixed(run, poses, image_of)
    distances: dict[int, list[NDArray[np.float64]]] = {DepthSource.MEASURED: [], DepthSource.HELD: []}
    for update in run.updates:
        tracks = update.tracks
        known = [
            row
            for row, track in enumerate(tracks.ids.tolist())
            if track in anchors.world and anchors.begun[track] != tracks.stamp
        ]
        if not known:
            continue
        true = np.array([anchors.world[track] for track in tracks.ids[known].tolist()])
        given = transform_points(fixed, tracks.xyz[known].astype(np.float64))
        error = np.linalg.norm(given - true, axis=1)
        for source, found in distances.items():
            found.append(error[(tracks.source[known] == source) & np.isfinite(error)])
    measured, held = (
        summarise_distances(np.concatenate([np.zeros(0), *distances[source]]))
        for source in (DepthSource.MEASURED, DepthSource.HELD)
    )
    return RecordedScore(
        measured,
        held,
        score_odometry(poses, stamps, run),
        median_p95(np.array(run.seconds) * 1e3),
    )
