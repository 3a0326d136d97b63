"""Clips to learn tracking from, with exact tracks: flat things in front of each other, and rooms.

Fast enough to be made beside training: the log of a run says how long its steps ``waited`` for clips.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cotracker_ros.synthetic.clip_scene import random_stack
from cotracker_ros.synthetic.clip_space import random_space
from cotracker_ros.synthetic.clip_tracks import choose_tracks
from cotracker_ros.synthetic.degrade import random_look
from cotracker_ros.synthetic.texture_bank import Bank
from cotracker_ros.tracking.labelled import LabelledClip

_TRAINING, _HELD_OUT = 11, 12
_SHARE_IN_SPACE = 0.35


class ClipConfigError(ValueError):
    """A clip that cannot be made."""


@dataclass(frozen=True)
class ClipConfig:
    """What a training clip looks like.

    Attributes:
        frames: Number of images.
        width: Of the images, px.
        height: Of the images, px.
        tracks: Number of tracks.
        held_out: Textures and scenes that training never sees: for evaluation.
        photographs: Folders with pictures in the public domain that are used among the textures, joined by
            the system's path separator: what `installed_photographs` returns. Empty for none.

    Raises:
        ClipConfigError: A number is too small, or a folder does not exist.
    """

    frames: int = 24
    width: int = 192
    height: int = 192
    tracks: int = 64
    held_out: bool = False
    photographs: str = ""

    def __post_init__(self) -> None:
        for name, least in (("frames", 4), ("width", 48), ("height", 48), ("tracks", 1)):
            value = getattr(self, name)
            if value < least:
                raise ClipConfigError(f"{name} is {value}; a training clip needs at least {least}")
        for folder in filter(None, self.photographs.split(os.pathsep)):
            if not Path(folder).is_dir():
                raise ClipConfigError(
                    f"photographs names {folder!r}, which is no folder; leave it empty for none"
                )


def training_clip(seed: int, config: ClipConfig) -> LabelledClip:
    """Make one clip; the same seed and configuration give the same clip.

    The first clips of a process take longer: they fill a stock of textures that it keeps (about 80 MB).

    Args:
        seed: Not negative.
        config: Size and kind.

    Returns:
        The clip. Every track is visible in at least three frames. An entry is not `known` where the point is
        within about a pixel of an edge that begins or ceases to hide it.
    """
    rng = np.random.default_rng([_HELD_OUT if config.held_out else _TRAINING, seed])
    size = (config.width, config.height)
    make = random_space if rng.random() < _SHARE_IN_SPACE else random_stack
    world = make(rng, config.frames, size, Bank(seed, config.held_out, config.photographs))
    look = random_look(rng, config.frames, size)
    exact = [world.draw(frame, size) for frame in range(config.frames)]
    tracks = choose_tracks(rng, world, exact, config.tracks)
    frames = np.stack([look.apply(image, frame, rng) for frame, image in enumerate(exact)])
    return LabelledClip(frames, tracks.xy, tracks.visible, tracks.known, name=f"synthetic {seed}")
