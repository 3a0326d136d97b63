"""Where training clips come from: made on the spot, or read from a folder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cotracker_ros.evaluation.datasets import KubricSequences
from cotracker_ros.synthetic.photographs import installed_photographs, photographs
from cotracker_ros.synthetic.training_clip import ClipConfig, training_clip
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.augment import augment
from cotracker_ros.training.config import DataConfig, TrainingError
from cotracker_ros.training.label_clips import label_source

ClipSource = Callable[[np.random.Generator], LabelledClip]
"""Makes or reads the clip that a random generator says."""


def clip_source(config: DataConfig) -> ClipSource:
    """Open a source of clips.

    Raises:
        LabelCacheError: The folder of labels is not finished, or empty.
        DatasetError: The folder holds no sequences of TAP-Vid-Kubric.
    """
    if config.source == "labels":
        return label_source(config)
    if config.source == "kubric":
        return _kubric(config)
    return _synthetic(config)


def _synthetic(config: DataConfig) -> ClipSource:
    folders = installed_photographs() if config.photographs else ""
    if config.photographs and not photographs(folders, held_out=False):
        raise TrainingError("data.photographs is set but no picture was found; install scikit-image")

    def make(rng: np.random.Generator) -> LabelledClip:
        width, height = _size(config, rng)
        clip = ClipConfig(config.frames, width, height, tracks=config.tracks, photographs=folders)
        return training_clip(int(rng.integers(2**62)), clip)

    return make


def _kubric(config: DataConfig) -> ClipSource:
    sequences = KubricSequences(config.path)

    def make(rng: np.random.Generator) -> LabelledClip:
        index = int(rng.integers(len(sequences)))
        frames = int(rng.integers(config.least_frames or config.frames, config.frames + 1))
        length = sequences.length(index)
        if length < frames:
            raise TrainingError(
                f"{config.path} has a sequence of {length} frames, {sequences.names[index]}; give a "
                "data.frames of at most that"
            )
        stride = int(rng.integers(1, min(config.max_stride, length // frames) + 1))
        span = (frames - 1) * stride + 1
        start = int(rng.integers(0, length - span + 1))
        clip = sequences.read(index, slice(start, start + span, stride))
        return augment(clip, _size(config, rng), rng)

    return make


def _size(config: DataConfig, rng: np.random.Generator) -> tuple[int, int]:
    return config.sizes[int(rng.integers(len(config.sizes)))]
