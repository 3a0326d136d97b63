"""How a recording is cut into clips: which images they are made of, and reading those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Clip = tuple[int, ...]
"""The numbers of a clip's images, in the order in which it shows them."""


@dataclass(frozen=True)
class CutConfig:
    """How recordings are cut into clips.

    Attributes:
        frames: Images of a clip; a recording that has fewer is played forward and backward.
        max_stride: A clip takes every s-th image, s random from 1 to this.
        clips: Clips of each recording; 0: as many as use every image about once.
        longest_side: Larger images are scaled down until their longer side is this, px.
        min_images: Recordings with fewer images that differ from one another are refused.
        min_motion: Recordings, and clips, whose fastest corners move less, px an image, are refused.
    """

    frames: int = 32
    max_stride: int = 3
    clips: int = 0
    longest_side: int = 512
    min_images: int = 12
    min_motion: float = 0.2

    def __post_init__(self) -> None:
        for name, least in (
            ("frames", 4),
            ("max_stride", 1),
            ("clips", 0),
            ("longest_side", 32),
            ("min_images", 4),
            ("min_motion", 0),
        ):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} is {value}; give at least {least}")


def plan_clips(numbers: NDArray[np.int64], config: CutConfig, seed: int) -> list[NDArray[np.int64]]:
    """Choose the images of every clip, spread over the whole recording.

    Strides are random (CoTracker3, stage 2: 1 to 3), as far as the recording is long enough; a recording that
    is shorter than one clip is extended forward and backward.

    Args:
        numbers: (K,) numbers of the images that may be used, ascending.
        config: Lengths and strides.
        seed: Same seed, same clips.

    Returns:
        For each clip, (frames,) indices into ``numbers``.
    """
    rng = np.random.default_rng(seed)
    available = len(numbers)
    count = config.clips or max(1, round(available / config.frames))
    plans = []
    for index in range(count):
        stride = int(rng.integers(1, max(1, min(config.max_stride, available // config.frames)) + 1))
        room = max(0, available - 1 - (config.frames - 1) * stride)
        # One start in each of as many equal parts, so that no part of the recording is left out by chance.
        start = int(min(room, (index + rng.random()) / count * (room + 1)))
        plans.append(start + ping_pong(config.frames, available - start, stride))
    return plans


def ping_pong(frames: int, available: int, stride: int = 1) -> NDArray[np.int64]:
    """Return (frames,) indices 0, s, 2s, ... that turn round at either end of ``available`` images."""
    if available == 1:
        return np.zeros(frames, np.int64)
    period = 2 * (available - 1)
    at = np.arange(frames, dtype=np.int64) * stride % period
    return np.minimum(at, period - at)


def read_clips(
    images: Iterable[tuple[int, NDArray[np.uint8]]], clips: Sequence[Clip], longest_side: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Read clips out of a stream of images, in one pass, holding only what unfinished clips need.

    Args:
        images: Numbered images, (H, W, 3) uint8 RGB, in order.
        clips: The clips to read.
        longest_side: See `CutConfig`.

    Yields:
        The index of a clip and its frames (T, H, W, 3) uint8, as soon as its last image has come.
    """
    wanted: dict[int, list[int]] = {}
    for index, clip in enumerate(clips):
        for number in set(clip):
            wanted.setdefault(number, []).append(index)
    missing = [len(set(clip)) for clip in clips]
    held: dict[int, dict[int, NDArray[np.uint8]]] = {}
    for number, image in images:
        owners = wanted.get(number, ())
        small = shrink(image, longest_side) if owners else image
        for index in owners:
            held.setdefault(index, {})[number] = small
            missing[index] -= 1
            if not missing[index]:
                parts = held.pop(index)
                yield index, np.stack([parts[number] for number in clips[index]])
        if not any(missing):
            return


def shrink(image: NDArray[np.uint8], longest_side: int) -> NDArray[np.uint8]:
    """Scale an image down until its longer side is at most ``longest_side`` px."""
    height, width = image.shape[:2]
    factor = longest_side / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
