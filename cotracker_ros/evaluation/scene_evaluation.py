"""Running trackers and the reconstruction over rendered sequences and over whole recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from tqdm import tqdm

from cotracker_ros.evaluation.candidates import Candidate, OnlineCandidate
from cotracker_ros.evaluation.datasets.rgbd import Intrinsics, RgbdFrame
from cotracker_ros.evaluation.datasets.static_scene import registered_static_scene
from cotracker_ros.evaluation.recorded_scenes import (
    RgbdOdometryScore,
    score_recording,
    score_rgbd_odometry,
)
from cotracker_ros.evaluation.scene_run import CAMERA_POSES, RgbdInput, run_scene, sequence_inputs
from cotracker_ros.evaluation.scene_scores import score_scene
from cotracker_ros.evaluation.scene_tables import RecordedResult, RenderedResult
from cotracker_ros.reconstruction.open3d_library import Open3dError
from cotracker_ros.synthetic.sequences import SEQUENCES, RgbdSequence, rendered_sequence
from cotracker_ros.tracking.names import TrackerNameError

RATE = 20.0
"""Images per second of the rendered sequences."""


def evaluate_rendered(
    names: Sequence[str],
    candidates: Sequence[Candidate],
    results: list[RenderedResult],
    *,
    size: tuple[int, int] = (320, 240),
    points: int = 300,
    seconds: float | None = None,
    stop: Event | None = None,
    progress: bool = False,
) -> None:
    """Run every tracker, with the camera's pose from either source, over rendered sequences.

    Args:
        names: Of the sequences; empty means all.
        candidates: The trackers; those that have to see the whole clip are left out.
        results: One result per sequence and tracker is appended.
        size: Width and height of the images, px.
        points: Corners to follow.
        seconds: Length of the sequences; None for all of it.
        stop: When set, ends after the run in hand.
        progress: Show a progress bar for each run.

    Raises:
        SequenceError: A name is unknown.
        TrackerNameError: No tracker answers image by image.
    """
    online = online_candidates(candidates)
    for name in names or SEQUENCES:
        sequence = rendered_sequence(name, size=size, rate=RATE, seconds=seconds)
        for candidate in online:
            if stop is not None and stop.is_set():
                return
            inputs = tqdm(
                sequence_inputs(sequence),
                total=len(sequence),
                desc=f"{name}, {candidate.name}",
                unit="image",
                disable=not progress,
            )
            results.append(_run(sequence, candidate, inputs, points))


def _run(
    sequence: RgbdSequence, candidate: OnlineCandidate, inputs: Iterator[RgbdInput], points: int
) -> RenderedResult:
    runs = run_scene(inputs, candidate.tracker, list(CAMERA_POSES.values()), points=points)
    return RenderedResult(
        sequence=sequence.name,
        about=SEQUENCES[sequence.name].about,
        size=(sequence.view.width, sequence.view.height),
        images=len(sequence),
        rate=RATE,
        tracker=candidate.name,
        scores={source: score_scene(sequence, run) for source, run in zip(CAMERA_POSES, runs, strict=True)},
    )


def evaluate_recording(
    path: Path,
    candidates: Sequence[Candidate],
    *,
    points: int = 300,
    intrinsics: Intrinsics | None = None,
    progress: bool = False,
    **bag_options: str | None,
) -> RecordedResult | None:
    """Run every tracker over a whole recording of a scene that stands still, and Open3D's odometry if there.

    Args:
        path: See `static_scene_clips`.
        candidates: The trackers; those that have to see the whole clip are left out.
        points: Corners to follow.
        intrinsics: See `static_scene_clips`.
        progress: Show a progress bar for each run.
        bag_options: See `static_scene_clips`.

    Returns:
        The result; None if the recording is too short to say anything about poses.

    Raises:
        DatasetError, RecordingError: The recording cannot be read.
        TrackerNameError: No tracker answers image by image.
    """

    def frames(who: str) -> Iterator[RgbdFrame]:
        bar = tqdm(
            registered_static_scene(path, intrinsics, **bag_options),
            desc=f"{path.resolve().name}, poses by {who}",
            unit="image",
            disable=not progress,
        )
        return (load() for load in bar)

    trackers = {}
    for candidate in online_candidates(candidates):
        scores = score_recording(frames(candidate.name), candidate.tracker, points=points)
        if not scores:
            return None
        trackers[candidate.name] = scores
    compared: RgbdOdometryScore | None = None
    with suppress(Open3dError):  # an extra, and only there to compare with
        compared = score_rgbd_odometry(lambda: frames("Open3D"))
    return RecordedResult(path.resolve().name, trackers, compared)


def online_candidates(candidates: Sequence[Candidate]) -> list[OnlineCandidate]:
    """Return the trackers that answer image by image.

    Raises:
        TrackerNameError: There is none.
    """
    online = [candidate for candidate in candidates if isinstance(candidate, OnlineCandidate)]
    if not online:
        names = ", ".join(candidate.name for candidate in candidates)
        raise TrackerNameError(f"{names} must see the whole clip at once: name a tracker that takes images")
    return online
