"""Where training clips come from: made on the spot, or read from a folder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cotracker_ros.synthetic.training_clip import ClipConfig, training_clip
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.config import DataConfig
from cotracker_ros.training.label_clips import label_source

ClipSource = Callable[[np.random.Generator], LabelledClip]
"""Makes or reads the clip that a random generator says."""


def clip_source(config: DataConfig) -> ClipSource:
    """Open a source of clips.

    Raises:
        LabelCacheError: The folder of labels is not finished, or empty.
    """
    if config.source == "labels":
        return label_source(config)
    return _synthetic(config)


def _synthetic(config: DataConfig) -> ClipSource:
    def make(rng: np.random.Generator) -> LabelledClip:
        width, height = config.sizes[int(rng.integers(len(config.sizes)))]
        clip = ClipConfig(config.frames, width, height, tracks=config.tracks)
        return training_clip(int(rng.integers(2**62)), clip)

    return make
