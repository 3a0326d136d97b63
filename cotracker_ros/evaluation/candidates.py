"""The trackers of an evaluation, made from what a user calls them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.following import Answers, Followed, follow
from cotracker_ros.tracking.base import PointTracker
from cotracker_ros.tracking.config import PRECISIONS, KltConfig, TrackerConfig
from cotracker_ros.tracking.factory import create_tracker
from cotracker_ros.tracking.names import KLT, TrackerNameError, parse_name

if TYPE_CHECKING:
    from cotracker_ros.model import CoTracker3
    from cotracker_ros.training.teachers import Teacher

BEST_OF_KLT = tuple(
    KLT
    if KltConfig(window=window, max_error=error) == KltConfig()
    else f"{KLT}:max_error={error},window={window}"
    for window in (21, 31)
    for error in (1, 2, 4)
)
"""Settings of KLT of which the best is what a network has to beat on synthetic clips."""


_VISIBLE = 0.5  # probability above which a user's own tracker calls a point visible


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


class FunctionCandidate(Candidate):
    """A tracker of the user's own, as `cotracker_ros.training.teachers` describes it.

    It sees the whole clip at once; what it says with a probability above a half is visible.
    """

    def __init__(self, name: str, teacher: Teacher) -> None:
        super().__init__(name, name, joint=True, both_ways=True)
        self._teacher = teacher

    def follow(self, frames: NDArray[np.uint8], points: NDArray[np.float64]) -> Followed:
        """See `Candidate.follow`.

        Raises:
            TrackerNameError: The function failed, or answered something else than tracks.
        """
        from cotracker_ros.training.teachers import ask, told

        begin = time.perf_counter()
        try:
            tracks = ask(self._teacher, frames, points.astype(np.float32))
        except Exception as error:  # whatever a user's function raises
            raise TrackerNameError(f"the tracker '{self.name}' failed: {told(error)}") from error
        seconds = time.perf_counter() - begin
        answers = Answers(tracks.xy.astype(np.float32), tracks.called_visible(_VISIBLE))
        return Followed(answers, None, seconds, len(frames))


def make_candidates(names: Sequence[str], *, device: str = "auto") -> list[Candidate]:
    """Make trackers; those with the same weights share one network.

    Args:
        names: Each ``klt``, ``default``, the name of a published checkpoint or a path, and after a colon
            settings such as ``klt:max_error=2,window=31`` or ``default:update_every=1,iterations=1``: fields
            of `TrackerConfig`, and of `KltConfig` for KLT, ``precision`` for networks; or a function,
            ``package.module:function``. A name that comes twice counts once.
        device: Where networks run, see `pick_device`.

    Raises:
        TrackerNameError: A setting is unknown or has a wrong value, or the network cannot have it.
        TeacherError: There is no such function.
        WeightsError: There are no such weights, or they cannot be read.
        DeviceError: The device or the precision cannot be had.
    """
    networks: dict[tuple[str, str], CoTracker3] = {}
    return [_make(name, device, networks) for name in dict.fromkeys(names)]


@dataclass(frozen=True)
class _Loading:
    """What concerns the network itself; those of one precision are shared."""

    precision: str = PRECISIONS[0]


def _make(name: str, device: str, networks: dict[tuple[str, str], CoTracker3]) -> Candidate:
    named = parse_name(name)
    weights = named.weights
    if named.kind == "function":
        from cotracker_ros.training.named_teachers import make_teacher

        return FunctionCandidate(name, make_teacher(name))
    if named.kind == KLT:
        klt, config = named.configure(KltConfig(), TrackerConfig())
        return OnlineCandidate(name, weights, create_tracker(KLT, config=config, klt=klt))

    from cotracker_ros.tracking.network import load_model

    config, loading = named.configure(TrackerConfig(), _Loading())
    key = weights, loading.precision
    if key not in networks:
        networks[key] = load_model(weights, device=device, precision=loading.precision)
    model = networks[key]
    if model.config.offline:
        return OfflineCandidate(name, weights, model, config)
    try:
        return OnlineCandidate(name, weights, create_tracker("network", model=model, config=config))
    except ValueError as error:
        raise TrackerNameError(f"the tracker '{name}': {error}") from error
