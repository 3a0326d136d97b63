"""Teachers: whatever can track points through a clip, forward and backward in time.

A teacher of your own is any callable that takes the frames of a clip and queries, and returns `TeacherTracks`
or a pair (positions, visibility):

    def my_teacher(frames, queries):  # (T, H, W, 3) uint8 RGB; (N, 3) float32 as t, x, y
        ...
        return xy, visible            # (T, N, 2) px; (T, N) bool, or probabilities from 0 to 1

named ``package.module:my_teacher`` (a class will do as well: it is made once, without arguments, and its
instance called). `both_ways` makes one out of a tracker that only goes forward. Pixel (0, 0) is the centre of
the first pixel. What the visibility is decides how a teacher is understood, as in CoTracker3's second stage:
probabilities come from trackers of CoTracker's kind, whose positions of hidden points are taught too;
booleans from trackers that know nothing of a point they do not see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.model import CoTracker3
from cotracker_ros.tracking.config import KltConfig, TrackerConfig, visible_from
from cotracker_ros.tracking.klt import KltTracker
from cotracker_ros.tracking.video import TrackResult, track_video

# Support points, as the published teachers get them: a grid in the first frame, or random ones anywhere.
_ONLINE_SUPPORT = 5
_OFFLINE_SUPPORT = 100
_ITERATIONS = 4


class TeacherError(ValueError):
    """A teacher that cannot be found or does not do what teachers do; the text is one sentence."""


@dataclass(frozen=True, eq=False)
class TeacherTracks:
    """What a teacher says about N queries in T frames.

    Attributes:
        xy: (T, N, 2) positions, px; not finite where the teacher has none.
        visibility: (T, N) float probabilities from 0 to 1, or bool.
        threshold: Probability above which this teacher itself calls a point visible; None leaves that to
            `LabelConfig.min_visibility`.
    """

    xy: NDArray[np.floating]
    visibility: NDArray[np.floating] | NDArray[np.bool_]
    threshold: float | None = None

    @property
    def knows_hidden(self) -> bool:
        """Whether positions mean something where the point is not seen."""
        return self.visibility.dtype != np.bool_

    def called_visible(self, min_visibility: float) -> NDArray[np.bool_]:
        """(T, N) bool: where it calls points visible; a probability must be above the threshold."""
        if not self.knows_hidden:
            return self.visibility.astype(bool)
        least = min_visibility if self.threshold is None else self.threshold
        return np.asarray(self.visibility > least, bool)


class Teacher(Protocol):
    """A tracker to learn from.

    Attributes:
        name: What to call it; two teachers of a run have different names.
        identity: Says which teacher it is exactly (settings, digest of weights or code): labels made by
            another are made again.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102

    def __call__(self, frames: NDArray[np.uint8], queries: NDArray[np.float32]) -> TeacherTracks:
        """Track queries (N, 3), t, x, y, through frames (T, H, W, 3) uint8 RGB, both ways in time."""


ForwardTracker = Callable[[NDArray[np.uint8], NDArray[np.float32]], TeacherTracks]
"""Tracks as a `Teacher` does; what it says about frames before a query is not used."""


def both_ways(
    forward: ForwardTracker, frames: NDArray[np.uint8], queries: NDArray[np.float32]
) -> TeacherTracks:
    """Let a tracker that follows points forward follow them backward too, through the clip played backward.

    Only the frames from the first query on, or back from the last one, are given to it.

    Args:
        forward: The tracker.
        frames: (T, H, W, 3) uint8, RGB.
        queries: (N, 3) as t, x, y.
    """
    time, count = queries[:, 0].astype(int), len(queries)
    first, last = (int(time.min()), int(time.max())) if count else (0, 0)
    ahead = forward(frames[first:], _at(queries, time - first))
    xy = np.full((len(frames), count, 2), np.nan, np.float32)
    visibility = np.zeros((len(frames), count), ahead.visibility.dtype)
    xy[first:], visibility[first:] = ahead.xy, ahead.visibility
    if last > 0:
        back = forward(np.ascontiguousarray(frames[last::-1]), _at(queries, last - time))
        before = np.arange(last + 1)[:, None] < time
        xy[: last + 1][before] = back.xy[::-1][before]
        visibility[: last + 1][before] = back.visibility[::-1][before]
    return replace(ahead, xy=xy, visibility=visibility)


def _at(queries: NDArray[np.float32], time: NDArray[np.integer]) -> NDArray[np.float32]:
    return np.concatenate([time[:, None], queries[:, 1:]], 1).astype(np.float32)


@dataclass(frozen=True)
class KltTeacher:
    """Lucas-Kanade both ways: exact as long as it sees the point, and silent afterwards."""

    name: str
    config: KltConfig

    @property
    def identity(self) -> str:
        """See `Teacher`."""
        return repr(self.config)

    def __call__(self, frames: NDArray[np.uint8], queries: NDArray[np.float32]) -> TeacherTracks:
        """See `Teacher`."""
        return both_ways(self._forward, frames, queries)

    def _forward(self, frames: NDArray[np.uint8], queries: NDArray[np.float32]) -> TeacherTracks:
        tracker = KltTracker(TrackerConfig(max_tracks=max(1, len(queries))), self.config)
        result = track_video(frames, queries, tracker=tracker)
        return TeacherTracks(result.xy, result.visible)


@dataclass(frozen=True, eq=False)
class NetworkTeacher:
    """A network of this package or a published checkpoint, with support points that are dropped again.

    Online networks get a 5x5 grid in the first frame, offline ones 100 random points in random frames; they
    run with 4 iterations unless told otherwise (CoTracker3, stage 2). Causal ones run as ever: more passes
    and support points made their labels worse (AJ 66.7 became 65.8). The confidence is used of causal ones
    only, whose visibility alone says little: what they call visible is.

    Attributes:
        name: See `Teacher`.
        identity: See `Teacher`.
        model: The network.
        config: How it is run.
    """

    name: str
    identity: str
    model: CoTracker3
    config: TrackerConfig

    @staticmethod
    def settings(model: CoTracker3) -> TrackerConfig:
        """Return how a network teaches unless told otherwise."""
        if model.config.causal:
            return TrackerConfig()
        support = 0 if model.config.offline else _ONLINE_SUPPORT
        step = min(model.config.window // 2, TrackerConfig.update_every)
        return TrackerConfig(iterations=_ITERATIONS, support_grid=support, update_every=step)

    def __call__(self, frames: NDArray[np.uint8], queries: NDArray[np.float32]) -> TeacherTracks:
        """See `Teacher`."""
        if self.model.config.offline:
            return self._track(frames, np.concatenate([queries, _random_points(frames)]), len(queries))
        return both_ways(lambda f, q: self._track(f, q, len(q)), frames, queries)

    def _track(self, frames: NDArray[np.uint8], queries: NDArray[np.float32], count: int) -> TeacherTracks:
        config = replace(self.config, max_tracks=max(1, len(queries)))
        result: TrackResult = track_video(frames, queries, tracker=self.model, config=config)
        xy, sure = result.xy[:, :count].astype(np.float32), result.visibility[:, :count].astype(np.float32)
        if not self.model.config.causal:
            return TeacherTracks(xy, sure)
        sure = sure * result.confidence[:, :count].astype(np.float32)
        verified = self.model.verifier is not None
        return TeacherTracks(xy, sure, visible_from(config, causal=True, verified=verified))


def _random_points(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    length, height, width = frames.shape[:3]
    points = np.random.default_rng(0).random((_OFFLINE_SUPPORT, 3))
    points *= (length, width - 1, height - 1)
    points[:, 0] = np.floor(points[:, 0])
    return points.astype(np.float32)


@dataclass(frozen=True, eq=False)
class CallableTeacher:
    """A user's own teacher (see the head of this module)."""

    name: str
    identity: str
    function: Callable[[NDArray[np.uint8], NDArray[np.float32]], Any]

    def __call__(self, frames: NDArray[np.uint8], queries: NDArray[np.float32]) -> TeacherTracks:
        """See `Teacher`."""
        # Copies: a teacher that scales its queries in place must not move everybody's.
        result = self.function(frames.copy(), queries.copy())
        if isinstance(result, TeacherTracks):
            return result
        xy, visibility = result
        return TeacherTracks(np.asarray(xy), np.asarray(visibility))


def ask(teacher: Teacher, frames: NDArray[np.uint8], queries: NDArray[np.float32]) -> TeacherTracks:
    """Ask a teacher and check its answer.

    Raises:
        TeacherError: It answered something else than tracks.
        Exception: Whatever the teacher raises.
    """
    tracks = teacher(frames, queries)
    shape = (len(frames), len(queries))
    if tracks.xy.shape != (*shape, 2) or tracks.visibility.shape != shape:
        raise TeacherError(
            f"teacher '{teacher.name}' answered positions {tracks.xy.shape} and visibility "
            f"{tracks.visibility.shape}; for {shape[0]} frames and {shape[1]} queries give {(*shape, 2)} "
            f"and {shape}"
        )
    if not (tracks.visibility.dtype == np.bool_ or np.issubdtype(tracks.visibility.dtype, np.floating)):
        raise TeacherError(
            f"teacher '{teacher.name}' answered visibility of type {tracks.visibility.dtype}; give bool, or "
            "probabilities as floats"
        )
    if tracks.knows_hidden and not bool(np.all((tracks.visibility >= 0) & (tracks.visibility <= 1))):
        raise TeacherError(
            f"teacher '{teacher.name}' answered visibilities that are no probabilities; give 0 to 1, or bool"
        )
    return replace(tracks, xy=tracks.xy.astype(np.float32))


def told(error: Exception) -> str:
    """Return an error's kind and the first line of what it says."""
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
