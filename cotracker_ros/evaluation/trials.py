"""One tracker on one clip: run it, and score its first and its final answers apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.candidates import Candidate
from cotracker_ros.evaluation.clip_queries import (
    ClipQueries,
    ClipQueryMode,
    clip_queries,
    global_support,
    local_support,
)
from cotracker_ros.evaluation.following import Answers, Followed, both_ways
from cotracker_ros.evaluation.tapvid import accuracy, compare
from cotracker_ros.evaluation.track_metrics import errors_by_age, track_metrics
from cotracker_ros.tracking.labelled import LabelledClip


@dataclass(frozen=True)
class Score:
    """How good the answers to one clip are.

    Attributes:
        metrics: By name; NaN where nothing can be counted.
        errors: Curve of errors over time, px at 256x256; what time means depends on the data set.
    """

    metrics: dict[str, float]
    errors: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Trial:
    """What one tracker did with one clip.

    Attributes:
        clip: Name of the clip.
        final: Score of the last answers.
        first: Score of the first answers; None from a tracker that has to see the whole clip.
        seconds: Time spent in the tracker.
        images: Images that it was given, in all runs over the clip.
        delay: Mean number of later images that an image waits for before it is answered.
    """

    clip: str
    final: Score
    first: Score | None
    seconds: float
    images: int
    delay: float


@dataclass(frozen=True)
class LabelledTask:
    """Follow the labelled points of a clip.

    Attributes:
        mode: Where points are asked for, see `clip_queries`.
        alone: Track each query in a run of its own, with support points around it; False: all in one run.
    """

    mode: ClipQueryMode = "first"
    alone: bool = False

    def run(self, candidate: Candidate, clip: LabelledClip) -> Trial | None:
        """Run a tracker; None if the clip has no point to ask for."""
        queries = clip_queries(clip, self.mode)
        if not len(queries):
            return None
        run = follow_queries(candidate, clip, queries, alone=self.alone)
        return make_trial(clip.name, run, lambda answers: score(clip, queries, answers))


def score(clip: LabelledClip, queries: ClipQueries, answers: Answers) -> Score:
    """Score answers with `tapvid_metrics` and `track_metrics`; the curve is `errors_by_age`."""
    comparison = compare(
        queries.counted_from,
        clip.xy[:, queries.track],
        clip.visible[:, queries.track],
        answers.xy,
        answers.visible,
        known=clip.known[:, queries.track],
        mode=queries.mode,
        image_size=clip.size,
    )
    metrics = accuracy(comparison, comparison.counted) | track_metrics(comparison)
    return Score(metrics, errors_by_age(comparison))


def make_trial(name: str, run: Followed, scored: Callable[[Answers], Score]) -> Trial:
    """Score a run."""
    return Trial(
        clip=name,
        final=scored(run.final),
        first=scored(run.first) if run.first else None,
        seconds=run.seconds,
        images=run.images,
        delay=float(np.mean(run.delays)) if run.delays else float("nan"),
    )


def follow_queries(
    candidate: Candidate, clip: LabelledClip, queries: ClipQueries, *, alone: bool = False
) -> Followed:
    """Run a tracker over a clip, also against time where frames before the queries count."""
    backward = queries.mode == "strided" and not candidate.both_ways
    frames, points = clip.frames, queries.points
    run = _run(candidate, frames, points, alone)
    if not backward:
        return run
    reverse = points.copy()
    reverse[:, 0] = len(frames) - 1 - points[:, 0]
    against = _run(candidate, np.ascontiguousarray(frames[::-1]), reverse, alone)
    return both_ways(run, against, points[:, 0].astype(np.int64))


def _run(
    candidate: Candidate, frames: NDArray[np.uint8], points: NDArray[np.float64], alone: bool
) -> Followed:
    """Run one way: jointly, or each query on its own where company makes a difference."""
    size = (frames.shape[2], frames.shape[1])
    if not (alone and candidate.joint):
        # As published: offline networks get support points, online ones none.
        support = global_support(size) if candidate.both_ways else np.zeros((0, 3))
        return _without_support(candidate.follow(frames, np.concatenate([points, support])), len(points))
    runs = []
    for point in points:
        company = np.concatenate([point[None], local_support(point, size), global_support(size)])
        runs.append(_without_support(candidate.follow(frames, company), 1))
    return Followed(
        _side_by_side([run.final for run in runs]),
        _side_by_side([run.first for run in runs if run.first]) if runs[0].first else None,
        sum(run.seconds for run in runs),
        sum(run.images for run in runs),
        [delay for run in runs for delay in run.delays],
    )


def _without_support(run: Followed, count: int) -> Followed:
    kept = slice(count)
    return Followed(
        run.final.columns(kept),
        run.first.columns(kept) if run.first else None,
        run.seconds,
        run.images,
        run.delays,
    )


def _side_by_side(parts: list[Answers]) -> Answers:
    return Answers(
        np.concatenate([part.xy for part in parts], axis=1),
        np.concatenate([part.visible for part in parts], axis=1),
    )
