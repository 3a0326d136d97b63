"""The trackers of an evaluation, made from what a user calls them."""

from __future__ import annotations

import dataclasses
import re
import time
import typing
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.following import Answers, Followed, follow
from cotracker_ros.tracking.base import PointTracker
from cotracker_ros.tracking.config import PRECISIONS, KltConfig, TrackerConfig
from cotracker_ros.tracking.factory import create_tracker

if TYPE_CHECKING:
    from cotracker_ros.model import CoTracker3

KLT = "klt"

BEST_OF_KLT = tuple(
    KLT
    if KltConfig(window=window, max_error=error) == KltConfig()
    else f"{KLT}:max_error={error},window={window}"
    for window in (21, 31)
    for error in (1, 2, 4)
)
"""Settings of KLT of which the best is what a network has to beat on synthetic clips."""

_NAME = re.compile(r"(?P<name>.+?)(:(?P<settings>\w+=[^=]*(,\w+=[^=]*)*))?")


class CandidateError(ValueError):
    """A tracker that cannot be had; the text is one sentence."""


class Candidate(ABC):
    """A tracker under test.

    Attributes:
        name: What the user called it.
        weights: What was named before the colon: ``klt``, ``default``, a checkpoint.
        joint: Whether points influence each other, so that tracking them alone makes a difference.
        both_ways: Whether it also answers images before the query.
    """

    def __init__(self, name: str, weights: str, *, joint: bool, both_ways: bool) -> None:
        self.name, self.weights, self.joint, self.both_ways = name, weights, joint, both_ways

    @property
    def is_klt(self) -> bool:
        """Whether it is Lucas-Kanade, with whatever settings."""
        return self.weights == KLT

    @abstractmethod
    def follow(self, frames: NDArray[np.uint8], points: NDArray[np.float64]) -> Followed:
        """Follow (Q, 3) queries (t, x, y) through (T, H, W, 3) images."""


class OnlineCandidate(Candidate):
    """A tracker that takes one image at a time.

    Attributes:
        tracker: The tracker itself.
    """

    def __init__(self, name: str, weights: str, tracker: PointTracker) -> None:
        super().__init__(name, weights, joint=weights != KLT, both_ways=False)
        self.tracker = tracker

    def follow(self, frames: NDArray[np.uint8], points: NDArray[np.float64]) -> Followed:
        """See `Candidate.follow`."""
        return follow(frames, points, self.tracker)


class OfflineCandidate(Candidate):
    """A network that wants the whole clip at once."""

    def __init__(self, name: str, weights: str, model: CoTracker3, config: TrackerConfig) -> None:
        super().__init__(name, weights, joint=True, both_ways=True)
        self._model = model
        self._config = config

    def follow(self, frames: NDArray[np.uint8], points: NDArray[np.float64]) -> Followed:
        """See `Candidate.follow`."""
        from cotracker_ros.tracking.video import track_video

        begin = time.perf_counter()
        result = track_video(frames, points, tracker=self._model, config=self._config)
        seconds = time.perf_counter() - begin
        answers = Answers(result.xy.astype(np.float32), result.visible)
        return Followed(answers, None, seconds, len(frames))


def make_candidates(names: Sequence[str], *, device: str = "auto") -> list[Candidate]:
    """Make trackers; those with the same weights share one network.

    Args:
        names: Each ``klt``, ``default``, the name of a published checkpoint or a path, and after a colon
            settings such as ``klt:max_error=2,window=31`` or ``default:update_every=1,iterations=1``: fields
            of `TrackerConfig`, and of `KltConfig` for KLT, ``precision`` for networks. A name that comes
            twice counts once.
        device: Where networks run, see `pick_device`.

    Raises:
        CandidateError: A setting is unknown or has a wrong value, or the network cannot have it.
        WeightsError: There are no such weights, or they cannot be read.
        DeviceError: The device or the precision cannot be had.
    """
    networks: dict[tuple[str, str], CoTracker3] = {}
    return [_make(name, device, networks) for name in dict.fromkeys(names)]


def _make(name: str, device: str, networks: dict[tuple[str, str], CoTracker3]) -> Candidate:
    match = _NAME.fullmatch(name)
    if match is None:
        raise CandidateError("a tracker has an empty name; give klt, default or a checkpoint")
    weights, settings = match["name"], _settings(name, match["settings"] or "")
    if weights == KLT:
        klt = _config(name, KltConfig, settings)
        config = _config(name, TrackerConfig, settings)
        _refuse_rest(name, settings, (KltConfig, TrackerConfig))
        return OnlineCandidate(name, weights, create_tracker(KLT, config=config, klt=klt))

    from cotracker_ros.tracking.network import load_model

    precision = settings.pop("precision", PRECISIONS[0])
    config = _config(name, TrackerConfig, settings)
    _refuse_rest(name, settings, (TrackerConfig,))
    if (weights, precision) not in networks:
        networks[weights, precision] = load_model(weights, device=device, precision=precision)
    model = networks[weights, precision]
    if model.config.offline:
        return OfflineCandidate(name, weights, model, config)
    try:
        return OnlineCandidate(name, weights, create_tracker("network", model=model, config=config))
    except ValueError as error:
        raise CandidateError(f"the tracker {name}: {error}") from error


def _settings(name: str, text: str) -> dict[str, str]:
    pairs = [item.partition("=")[::2] for item in text.split(",") if item]
    twice = [key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1]
    if twice:
        raise CandidateError(f"the tracker {name} gives {twice[0]} twice; give it once")
    return dict(pairs)


def _config(name: str, kind: type, settings: dict[str, str]) -> Any:
    """Make a configuration of the settings that it knows."""
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key in settings.keys() & hints.keys():
        try:
            values[key] = hints[key](settings[key])
        except ValueError as error:
            raise CandidateError(
                f"the tracker {name}: {key} is '{settings[key]}'; give a value of type {hints[key].__name__}"
            ) from error
    try:
        return kind(**values)
    except ValueError as error:
        raise CandidateError(f"the tracker {name}: {error}") from error


def _refuse_rest(name: str, settings: dict[str, str], kinds: tuple[type, ...]) -> None:
    known = [field.name for kind in kinds for field in dataclasses.fields(kind)]
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        raise CandidateError(
            f"the tracker {name} has no setting {', '.join(unknown)}; it knows {', '.join(known)}"
        )
