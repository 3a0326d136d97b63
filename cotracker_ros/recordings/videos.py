"""Video files and image folders as recordings: colour only, stamps from the frame rate."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.recordings.base import Recording, RecordingSummary
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.events import DropEvent, Event, ImageEvent

FRAME_ID = "camera_optical_frame"
DEFAULT_FPS = 30.0
_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


class VideoRecording(Recording):
    """A video file, read by OpenCV."""

    def __init__(self, path: Path) -> None:
        """Look into the file.

        Raises:
            RecordingError: OpenCV cannot read it, or it holds no image.
        """
        self._path = path
        capture = _open_video(path)
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._fps = fps if math.isfinite(fps) and fps > 0 else DEFAULT_FPS
        count = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        readable = capture.grab()
        capture.release()
        if not readable:
            raise RecordingError(f"{path} holds no image that can be read")
        self._summary = RecordingSummary(path, "video", count, duration=count / self._fps)

    @property
    def summary(self) -> RecordingSummary:
        """What it holds; the number of images comes from the file's header and may be wrong."""
        return self._summary

    def events(self) -> Iterator[Event]:
        """Read it from the start; a file that ends before its header says so ends with a `DropEvent`."""
        capture = _open_video(self._path)
        try:
            frame = 0
            while True:
                ok, image = capture.read()
                stamp = _stamp(frame, self._fps)
                if not ok:
                    break
                yield ImageEvent(stamp, FRAME_ID, _rgb(image), stamp)
                frame += 1
        finally:
            capture.release()
        counted = self._summary.images
        # A header that says how long it is, and not how many, may mean one less.
        if frame < counted - 1:
            reason = f"the video ends after {frame} images, but its header counts {counted}"
            yield DropEvent(stamp, self._path.name, reason, stamp)


class ImageFolder(Recording):
    """A folder of images in the natural order of their names (2 before 10)."""

    def __init__(self, path: Path, fps: float = DEFAULT_FPS) -> None:
        """List the images; those with "depth" in their names are left out.

        Raises:
            RecordingError: There are none.
        """
        self._fps = fps
        self._files = sorted(
            (
                file
                for file in path.iterdir()
                if file.suffix.lower() in _IMAGE_SUFFIXES and "depth" not in file.name.lower()
            ),
            key=lambda file: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", file.name)],
        )
        if not self._files:
            raise RecordingError(f"{path} is neither a bag nor a folder of images")
        count = len(self._files)
        self._summary = RecordingSummary(path, "images", count, duration=count / fps)

    @property
    def summary(self) -> RecordingSummary:
        """What it holds."""
        return self._summary

    def events(self) -> Iterator[Event]:
        """Read it from the start; a file that is no image is dropped."""
        for frame, file in enumerate(self._files):
            stamp = _stamp(frame, self._fps)
            image = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if image is None:
                yield DropEvent(stamp, file.name, f"{file.name} cannot be read as an image", stamp)
            else:
                yield ImageEvent(stamp, FRAME_ID, _rgb(image), stamp)


def _open_video(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise RecordingError(f"{path} cannot be read: it is no bag, and OpenCV does not know it as a video")
    return capture


def _rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _stamp(frame: int, fps: float) -> int:
    # Not from 0 on: to ROS that means no stamp at all.
    return round((frame + 1) * 1e9 / fps)
