"""The real pipeline, tracker to scene, over RGB-D images in memory: what it says, and how fast."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction import CameraModel, Lifter, LifterConfig, SceneUpdate, TransformBuffer
from cotracker_ros.synthetic.sequences import RgbdSequence
from cotracker_ros.tracking import KltTracker, PointTracker, SessionConfig, TrackingSession
from cotracker_ros.tracking.types import Tracks

WORLD, ODOM, OPTICAL = "world", "odom", "camera_optical_frame"

CAMERA_POSES = {
    "tracks": LifterConfig(camera_pose="tracks", target_frame=ODOM, fixed_frame=ODOM),
    "transforms": LifterConfig(camera_pose="transforms", target_frame=WORLD, fixed_frame=WORLD),
}
"""Where the camera's pose comes from, and the lifter's settings for it."""

_REPLENISH_EVERY = 5  # images
_RETIRE_AFTER = 40  # images, where the tracker does not find hidden points again


@dataclass(frozen=True, eq=False)
class RgbdInput:
    """What an RGB-D camera and the transforms give at one moment.

    Attributes:
        stamp: ns.
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32, m, NaN or 0 where nothing was measured; None: no depth image came.
        camera: Model of the camera, as camera_info gives it.
        pose: (4, 4) world from optical frame, m, as TF gives it; None: TF does not know.
    """

    stamp: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32] | None
    camera: CameraModel
    pose: NDArray[np.float64] | None = None


@dataclass(eq=False)
class SceneRun:
    """What the pipeline said.

    Attributes:
        lifter: The lifter as it is in the end.
        transforms: What it knows of poses.
        tracks: 2D tracks of each image.
        updates: What is said of the scene in each image.
        seconds: Processor time that lifting, odometry, bodies and map took for each image together, s.
    """

    lifter: Lifter
    transforms: TransformBuffer
    tracks: list[Tracks] = field(default_factory=list)
    updates: list[SceneUpdate] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class ScenePipeline:
    """A tracker whose tracks are lifted by several lifters, image by image.

    Attributes:
        runs: What the lifters said so far, in the order of their settings.
    """

    def __init__(self, tracker: PointTracker, configs: Sequence[LifterConfig], *, points: int = 300) -> None:
        """Begin a stream.

        Args:
            tracker: Is reset first.
            configs: Settings of the lifters.
            points: Corners to follow; regions that run empty get new ones.
        """
        tracker.reset()
        settings = SessionConfig(
            seed="corners",
            seed_count=points,
            budget=points,
            replenish_every=_REPLENISH_EVERY,
            retire_after=_RETIRE_AFTER if isinstance(tracker, KltTracker) else 0,
        )
        self._session = TrackingSession(tracker, settings)
        buffers = [TransformBuffer() for _ in configs]
        self.runs = [SceneRun(Lifter(*pair), pair[1]) for pair in zip(configs, buffers, strict=True)]

    def take(self, item: RgbdInput) -> list[Tracks]:
        """Take the next image and return what the tracker said, first answers only."""
        answers = _first(self._session.process(item.image, item.stamp))
        for run in self.runs:
            begin = time.process_time()
            _give(run, item, answers)
            run.seconds.append(time.process_time() - begin)
        return answers

    def finish(self) -> list[Tracks]:
        """End the stream and return what the tracker still had to say."""
        answers = _first(self._session.finish())
        for run in self.runs:
            _lift(run, answers)
            run.updates += run.lifter.flush()
        return answers


def run_scene(
    inputs: Iterable[RgbdInput],
    tracker: PointTracker,
    configs: Sequence[LifterConfig],
    *,
    points: int = 300,
) -> list[SceneRun]:
    """Run the pipeline over images; see `ScenePipeline`."""
    pipeline = ScenePipeline(tracker, configs, points=points)
    for item in inputs:
        pipeline.take(item)
    pipeline.finish()
    return pipeline.runs


def sequence_inputs(sequence: RgbdSequence) -> Iterator[RgbdInput]:
    """Play a rendered sequence."""
    camera = CameraModel(sequence.view.width, sequence.view.height, sequence.view.matrix)
    for k, stamp in enumerate(sequence.stamps.tolist()):
        yield RgbdInput(stamp, sequence.images[k], sequence.metres(k), camera, sequence.camera_poses[k])


def _give(run: SceneRun, item: RgbdInput, answers: list[Tracks]) -> None:
    lifter = run.lifter
    lifter.set_camera(item.camera, OPTICAL, item.stamp)
    if lifter.config.camera_pose == "transforms" and item.pose is not None:
        run.transforms.set(WORLD, OPTICAL, item.stamp, item.pose, False)
    if item.depth is not None:
        lifter.add_depth(item.stamp, item.depth, OPTICAL)
    _lift(run, answers)
    run.updates += lifter.ready()


def _lift(run: SceneRun, answers: list[Tracks]) -> None:
    run.tracks += answers
    for tracks in answers:
        run.updates += run.lifter.add_tracks(tracks, OPTICAL)


def _first(answers: list[Tracks]) -> list[Tracks]:
    return [tracks for tracks in answers if not tracks.revised]
