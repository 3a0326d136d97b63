"""A look through a recording: which of its images are worth learning from, and is there enough of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.recordings.base import Recording
from cotracker_ros.recordings.events import DropEvent, ImageEvent
from cotracker_ros.tracking.klt import KltTracker
from cotracker_ros.tracking.queries import corner_points
from cotracker_ros.training.cutting import CutConfig, shrink

# Longer side of the small images that are looked at, px.
_LOOK_SIDE = 256
# Two images in which no pixel differs by more than this, when they are small, are one image twice.
_SAME = 2
_CORNERS = 100
# Motion is that of the fastest tenth: a camera on a stand that watches an arm is not still.
_FASTEST = 90
# An image is blurred when it is this much less sharp than the median of so many images around it.
_BLURRED = 0.4
_AROUND = 31


class FootageError(ValueError):
    """A recording that holds too little to learn from; the text is one sentence that says why."""


@dataclass(frozen=True, eq=False)
class Footage:
    """What a look through a recording found, about the K images that are kept.

    Images that repeat the one before them, or have another size than the first, are not kept.

    Attributes:
        numbers: (K,) int64, which images of the recording they are, counted from 0 over those it yields.
        sharp: (K,) bool, False for images that are blurred as compared with those around them.
        motion: (K,) float32, how far the fastest tenth of the corners moved since the image kept before, px
            of a clip's images; inf where most corners were lost, 0 in the first.
        images: Images that the recording yields.
        unreadable: Messages or files that could not be read.
        reason: Why not the last of them, in one sentence.
    """

    numbers: NDArray[np.int64]
    sharp: NDArray[np.bool_]
    motion: NDArray[np.float32]
    images: int
    unreadable: int
    reason: str = ""

    @property
    def left_out(self) -> str:
        """What could not be read; "" if all could."""
        if self.unreadable < 2:
            return self.reason
        return f"{self.unreadable} times something could not be read, last: {self.reason}"

    @property
    def median_motion(self) -> float:
        """Median of `motion` over all pairs of neighbours, px; 0 without any."""
        return float(np.median(self.motion[1:])) if len(self.motion) > 1 else 0.0


def numbered_images(recording: Recording) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the images of a recording, (H, W, 3) uint8 RGB, numbered from 0."""
    images = (event.image for event in recording.events() if isinstance(event, ImageEvent))
    yield from enumerate(images)


def look_through(recording: Recording, longest_side: int) -> Footage:
    """Read a recording once and judge its images.

    Args:
        recording: The recording.
        longest_side: Longer side of the images of clips, px: the unit of the motion.
    """
    numbers: list[int] = []
    sharpness: list[float] = []
    motion: list[float] = []
    shape: tuple[int, ...] | None = None
    before: NDArray[np.uint8] | None = None
    images = unreadable = 0
    reason = ""
    for event in recording.events():
        if isinstance(event, DropEvent):
            unreadable, reason = unreadable + 1, event.reason
        if not isinstance(event, ImageEvent):
            continue
        number, images = images, images + 1
        shape = shape or event.image.shape
        if event.image.shape != shape:
            continue
        small = shrink(event.image, _LOOK_SIDE)
        if before is not None and np.abs(small.astype(np.int16) - before).max() <= _SAME:
            continue
        unit = min(longest_side, max(shape[:2])) / max(small.shape[:2])
        motion.append(0.0 if before is None else unit * fastest_motion(before, small))
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        sharpness.append(float(cv2.Laplacian(grey, cv2.CV_32F).var()))
        numbers.append(number)
        before = small
    return Footage(
        np.array(numbers, np.int64),
        is_sharp(np.array(sharpness)),
        np.array(motion, np.float32),
        images,
        unreadable,
        reason,
    )


def check_footage(footage: Footage, name: str, config: CutConfig) -> None:
    """Refuse a recording that is too short or too still.

    Args:
        footage: What was found in it.
        name: What to call it.
        config: The least it must have.

    Raises:
        FootageError: It is refused; says why.
    """
    kept = len(footage.numbers)
    if kept < config.min_images:
        problem = "short" if footage.images < config.min_images else "still"
        raise FootageError(
            f"{name} is too {problem}: {kept} of its {footage.images} images differ from the one before, "
            f"at least {config.min_images} are needed; record more, while something moves"
        )
    if footage.median_motion < config.min_motion:
        raise FootageError(
            f"{name} is too still: its fastest corners move by {footage.median_motion:.2f} px an image "
            f"(median), at least {config.min_motion:g} px are needed; move the camera or what it watches"
        )


def fastest_motion(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return how far the fastest tenth of the corners moved between two images (H, W, 3) RGB.

    Returns:
        px; 0 without corners, inf when Lucas-Kanade lost most of them.
    """
    corners = corner_points(first, _CORNERS)
    if not len(corners):
        return 0.0
    tracker = KltTracker()
    tracker.add_points(corners)
    tracker.track(first)
    (answer,) = tracker.track(second)
    if answer.visible.mean() < 0.5:
        return float("inf")
    steps = np.linalg.norm(answer.xy - corners, axis=1)[answer.visible]
    return float(np.percentile(steps, _FASTEST))


def is_sharp(sharpness: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Compare (K,) sharpnesses (variances of the Laplacian) with the median of their neighbours.

    A plain wall is no blurred image: only neighbours, which show much the same, can be compared.
    """
    half = _AROUND // 2
    around = [np.median(sharpness[max(0, k - half) : k + half + 1]) for k in range(len(sharpness))]
    return sharpness >= _BLURRED * np.array(around)
