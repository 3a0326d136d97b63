"""``cotracker_ros track``: a video in, an overlay video and tables of the tracks out."""

from __future__ import annotations

import argparse
import time
from collections import deque
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.recordings.base import Recording
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.events import ImageEvent
from cotracker_ros.recordings.open import open_recording
from cotracker_ros.recordings.options import (
    OptionError,
    add_points_argument,
    add_tracker_arguments,
    session_from,
)
from cotracker_ros.recordings.outputs import Output, TableOutput, print_troubles, run_steps
from cotracker_ros.recordings.replay import ReplayStep, replay
from cotracker_ros.tracking.config import SessionConfig
from cotracker_ros.tracking.queries import corner_points, grid_points
from cotracker_ros.visualization import OverlayDrawer, VideoWriter

_INTERRUPTED = 130
_DEFAULT_COLUMNS = 24
_DEFAULT_FPS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.usage = "%(prog)s VIDEO [options]"
    parser.add_argument("video", type=Path, metavar="VIDEO", help="video file, image folder or bag")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the results [VIDEO's name + _tracks]"
    )
    queries = parser.add_mutually_exclusive_group()
    add_points_argument(queries)
    queries.add_argument(
        "--grid", type=float, metavar="SPACING", help="a grid over the first image, px apart"
    )
    queries.add_argument("--corners", type=int, metavar="N", help="so many corners of the first image")
    parser.add_argument("--image-topic", metavar="TOPIC", help="colour images, if a bag holds several")
    parser.add_argument("--trail-length", type=int, default=24, metavar="IMAGES", help="of the overlay [24]")
    add_tracker_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    recording = open_recording(args.video, image_topic=args.image_topic, depth_topic="none")
    summary = recording.summary
    drawer = _drawer(args.trail_length)
    session = session_from(args, SessionConfig(), _queries(args, _first_image(recording)))
    out = args.out or args.video.with_name(f"{args.video.stem}_tracks")
    table = TableOutput(out / "tracks.csv", out / "tracks.npz")
    fps = summary.images / summary.duration if summary.images and summary.duration > 0 else _DEFAULT_FPS
    start = time.perf_counter()
    with VideoWriter(out / "overlay.mp4", fps) as video:
        outputs: list[Output] = [table, OverlayOutput(video, drawer)]
        report = run_steps(replay(recording, session), outputs, images=summary.images, progress=True)
    print(f"{out}: {report.sentence(time.perf_counter() - start)}")
    print_troubles(report, session, None)
    return _INTERRUPTED if report.interrupted else 0


def _first_image(recording: Recording) -> NDArray[np.uint8]:
    for event in recording.events():
        if isinstance(event, ImageEvent):
            return event.image
    raise RecordingError(f"{recording.summary.path} holds no image that can be read")


def _queries(args: argparse.Namespace, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    size = image.shape[1], image.shape[0]
    try:
        if args.points:
            return _inside(np.array(args.points, np.float32), size)
        if args.corners is not None:
            return corner_points(image, args.corners)
        spacing = max(size) / _DEFAULT_COLUMNS if args.grid is None else args.grid
        return grid_points(size, spacing=spacing)
    except ValueError as error:
        raise OptionError(str(error)) from error


def _inside(points: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    for x, y in points.tolist():
        if not (-0.5 <= x <= size[0] - 0.5 and -0.5 <= y <= size[1] - 0.5):
            raise OptionError(f"the point {x:g},{y:g} is outside the image of {size[0]}x{size[1]} px")
    return points


def _drawer(trail_length: int) -> OverlayDrawer:
    try:
        return OverlayDrawer(trail_length=trail_length)
    except ValueError as error:
        raise OptionError(str(error)) from error


class OverlayOutput:
    """Draws the first answer to each image over it and writes a video; images without one stay plain."""

    def __init__(self, video: VideoWriter, drawer: OverlayDrawer) -> None:
        self._video = video
        self._drawer = drawer
        self._waiting: deque[ImageEvent] = deque()
        self._size: tuple[int, int] | None = None

    def take(self, step: ReplayStep) -> None:
        """Take the next step."""
        if isinstance(step.event, ImageEvent):
            self._waiting.append(step.event)
        for tracks in step.tracks:
            if tracks.revised:
                continue
            # Answers come in the order of their images; images passed over got none.
            while self._waiting and self._waiting[0].stamp != tracks.stamp:
                self._write(self._waiting.popleft().image)
            if self._waiting:
                self._write(self._drawer.draw(self._waiting.popleft().image, tracks))

    def finish(self, step: ReplayStep) -> None:
        """Write the images that were never answered."""
        while self._waiting:
            self._write(self._waiting.popleft().image)

    def _write(self, image: NDArray[np.uint8]) -> None:
        size = image.shape[1], image.shape[0]
        self._size = self._size or size
        if size != self._size:  # a video has one size
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        self._video.write(image)
