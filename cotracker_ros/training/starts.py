"""Where a stream would start its estimates of a clip, so that a network learns to go on from there.

A network that answers every image starts each frame from what Lucas-Kanade makes of its last answer. Here the
answers of a network that is not yet there are played by the truth: a track stays where Lucas-Kanade took it,
and now and then is put back near to where it belongs. Whatever goes wrong on the way (drift, sliding onto the
thing that hides the point, being left behind) is then in the data, without running the network.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.tracking.config import KltConfig
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.tracking.lucas_kanade import NOT_HOME, carry_on, follow

CLOSE = 8.0
"""Distance below which an estimate is one to be confident of, px at 256 px of image width."""


class Starts(NamedTuple):
    """First guesses of a window.

    Attributes:
        xy: (T, N, 2) float32, px.
        visibility: (T, N) float32 logits.
        confidence: (T, N) float32 logits.
    """

    xy: NDArray[np.float32]
    visibility: NDArray[np.float32]
    confidence: NDArray[np.float32]


def lucas_kanade_starts(clip: LabelledClip, rng: np.random.Generator) -> Starts:
    """Play a stream of the clip; a track begins in the frame of its query, or else in the first.

    Args:
        clip: T frames, all tracks visible where they begin; before that they stay there.
        rng: Decides when tracks are put back, how well, and what is believed of them.
    """
    length, tracks = clip.visible.shape
    scale = clip.size[0] / 256
    config = KltConfig(window=int(rng.choice((11, 15, 21))), levels=int(rng.integers(2, 5)), max_error=1.5)
    # Some tracks are answered well and some badly; a whole stream may be one of an untrained network.
    spread = scale * np.exp(rng.uniform(np.log(0.1), np.log(1.5), tracks))
    put_back = np.where(rng.random(tracks) < 0.2, 0.0, rng.uniform(0.05, 0.6))
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in clip.frames]
    begin = np.zeros(tracks, int) if clip.query_frames is None else clip.query_frames
    queries = clip.xy[begin, np.arange(tracks)]
    xy = np.repeat(queries[None], length, 0).astype(np.float32)
    visibility, confidence = np.zeros((2, length, tracks), np.float32)
    answer = xy[0]
    for t in range(1, length):
        followed = follow(grey[t - 1], grey[t], answer, config)
        close = np.linalg.norm(answer - clip.xy[t - 1], axis=1) < CLOSE * scale
        visibility[t], confidence[t] = _belief(clip.visible[t - 1], rng), _belief(close, rng)
        belief = 1 / ((1 + np.exp(-visibility[t])) * (1 + np.exp(-confidence[t])))
        xy[t] = carry_on(answer, followed, belief)
        confidence[t] -= NOT_HOME * ~followed.home
        # A hidden point is put back less often, and less well.
        seen = clip.visible[t]
        again = rng.random(tracks) < np.where(seen, put_back, put_back / 3)
        noise = rng.standard_normal((tracks, 2)) * (spread * np.where(seen, 1, 4))[:, None]
        answer = np.where(again[:, None], clip.xy[t] + noise, xy[t]).astype(np.float32)
        waiting = begin >= t
        xy[t, waiting] = answer[waiting] = queries[waiting]
        visibility[t, waiting] = confidence[t, waiting] = 0
    return Starts(xy, visibility, confidence)


def _belief(truth: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """(N,) logits of what is believed, wrong for one in ten."""
    wrong = rng.random(len(truth)) < 0.1
    return np.where(truth ^ wrong, 1, -1) * rng.uniform(0.5, 5, len(truth)).astype(np.float32)
