"""Training clips out of a folder of labels: random pieces of labelled clips at a training run's sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.config import DataConfig
from cotracker_ros.training.covers import cover
from cotracker_ros.training.cutting import ping_pong
from cotracker_ros.training.label_cache import LabelFolder


def label_source(config: DataConfig) -> Callable[[np.random.Generator], LabelledClip]:
    """Open a folder of labels as a source of clips (see `clips.ClipSource`).

    Raises:
        LabelCacheError: The folder is not finished, or empty.
    """
    folder = LabelFolder(Path(config.path))

    def piece(frames: int, size: tuple[int, int], rng: np.random.Generator) -> LabelledClip:
        clip: LabelledClip = folder[int(rng.integers(len(folder)))]
        if config.covers:
            clip = replace(clip, known=clip.known & clip.visible)
        return random_piece(clip, frames, size, rng)

    def make(rng: np.random.Generator) -> LabelledClip:
        size = config.sizes[int(rng.integers(len(config.sizes)))]
        frames = config.frames
        if config.least_frames:
            frames = int(rng.integers(config.least_frames, frames + 1))
        clip = piece(frames, size, rng)
        return cover(clip, piece(frames, size, rng).frames, rng) if config.covers else clip

    return make


def random_piece(
    clip: LabelledClip, frames: int, size: tuple[int, int], rng: np.random.Generator
) -> LabelledClip:
    """Cut a piece out of a clip, in time and space.

    The piece shows more or less of the image: its scale is drawn between the clip's own and the one at which
    the whole image just covers it. A clip with too few frames is played forward and backward. Half of the
    queries of a clip that says where they are are in frames of the piece, at least.

    Args:
        clip: The clip.
        frames: Frames of the piece.
        size: Width and height of the piece, px.
        rng: Draws scale and place; a point that is visible in the first frame lies in the piece.
    """
    last = max(0, len(clip) - frames)
    if clip.query_frames is not None and clip.query_frames.size:
        last = min(last, int(np.median(clip.query_frames)))
    start = int(rng.integers(last + 1))
    clip = clip.in_frames(start + ping_pong(frames, len(clip) - start))
    xy = clip.xy
    covering = max(size[0] / clip.size[0], size[1] / clip.size[1])
    factor = float(np.exp(rng.uniform(np.log(covering), max(0.0, np.log(covering)))))
    scaled = np.maximum(np.round(np.array(clip.size) * factor).astype(int), size)
    per_pixel = scaled / np.array(clip.size)
    # Pixel (0, 0) is the centre of the first pixel, at any scale.
    xy = (xy + 0.5) * per_pixel - 0.5
    corner = _corner(xy[0][clip.visible[0] & clip.known[0]], scaled, np.array(size), rng)
    left, top = corner.tolist()
    shown = [
        np.asarray(_resized(image, scaled))[top : top + size[1], left : left + size[0]]
        for image in clip.frames
    ]
    xy = (xy - corner).astype(np.float32)
    inside = ((xy >= 0) & (xy <= np.array(size) - 1)).all(-1)
    return replace(clip, frames=np.stack(shown), xy=xy, visible=clip.visible & inside)


def _corner(
    points: NDArray[np.floating],
    scaled: NDArray[np.integer],
    size: NDArray[np.integer],
    rng: np.random.Generator,
) -> NDArray[np.integer]:
    """Draw the corner of a piece, in an image of a scaled width and height, that holds one of the points."""
    last = scaled - size
    if not len(points):
        return rng.integers(0, last + 1)
    point = points[int(rng.integers(len(points)))]
    low = np.clip(np.ceil(point - size + 1), 0, last).astype(int)
    high = np.clip(np.floor(point), low, last).astype(int)
    return rng.integers(low, high + 1)


def _resized(image: NDArray[np.uint8], size: NDArray[np.integer]) -> NDArray[np.uint8]:
    width, height = size.tolist()
    if (width, height) == (image.shape[1], image.shape[0]):
        return image
    smaller = width < image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)
