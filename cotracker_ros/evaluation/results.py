"""What an evaluation found: trials of every tracker on every data set, their means and their differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from cotracker_ros.evaluation.tapvid import mean_metrics
from cotracker_ros.evaluation.trials import Score, Trial
from cotracker_ros.tracking.names import KLT

Which = Literal["first", "final"]
WHICH: tuple[Which, ...] = ("first", "final")


@dataclass
class TrackerResult:
    """All trials of one tracker on one data set.

    Attributes:
        name: What the user called the tracker.
        weights: The part of the name before its settings.
        trials: One per clip, in the order of the clips.
    """

    name: str
    weights: str
    trials: list[Trial] = field(default_factory=list)

    @property
    def is_klt(self) -> bool:
        """Whether it is Lucas-Kanade, with whatever settings."""
        return self.weights == KLT

    @property
    def answers(self) -> tuple[Which, ...]:
        """The answers worth telling apart: first ones only where nothing was revised."""
        if all(trial.first is None for trial in self.trials):
            return ("final",)
        same = all(trial.first is not None and _same(trial.first, trial.final) for trial in self.trials)
        return ("first",) if same else WHICH

    def scores(self, which: Which) -> list[Score]:
        """First or final scores, one per clip; empty if there are no first answers."""
        chosen = [trial.first if which == "first" else trial.final for trial in self.trials]
        return [score for score in chosen if score is not None]

    def mean(self, which: Which) -> dict[str, float]:
        """Mean of each metric over the clips in which it could be counted."""
        scores = self.scores(which)
        return mean_metrics([score.metrics for score in scores]) if scores else {}

    def curve(self, which: Which) -> list[float]:
        """Mean of the curves over the clips, as long as the longest."""
        curves = [score.errors for score in self.scores(which)]
        padded = np.full((len(curves), max((len(curve) for curve in curves), default=0)), np.nan)
        for row, curve in zip(padded, curves, strict=True):
            row[: len(curve)] = curve
        return [_mean_of_known(column) for column in padded.T]

    @property
    def images_per_second(self) -> float:
        """Images over the time spent in the tracker, all runs together."""
        return sum(trial.images for trial in self.trials) / max(sum(t.seconds for t in self.trials), 1e-9)

    @property
    def delay(self) -> float:
        """Mean number of later images that an image waits for before it is answered."""
        return _mean_of_known(np.array([trial.delay for trial in self.trials]))


@dataclass
class SetResult:
    """All trials on one data set.

    Attributes:
        name: Of the data set.
        kind: "tapvid", "dynamic_replica", "synthetic", "static_scene" or "palindrome".
        about: How it was measured: numbers and words for the reader.
        trackers: One result per tracker, in the order in which they were named.
        skipped: Clips in which there was no point to ask for.
    """

    name: str
    kind: str
    about: dict[str, Any]
    trackers: list[TrackerResult]
    skipped: list[str] = field(default_factory=list)

    @property
    def clips(self) -> list[str]:
        """Names of the clips that were scored."""
        return [trial.clip for trial in self.trackers[0].trials] if self.trackers else []

    @property
    def headline(self) -> str:
        """The metric by which trackers are ranked."""
        return "home_survival" if self.kind == "palindrome" else "average_jaccard"

    @property
    def best_klt(self) -> TrackerResult | None:
        """The KLT settings that do best by `headline`."""
        return max(
            (tracker for tracker in self.trackers if tracker.is_klt),
            key=lambda tracker: np.nan_to_num(tracker.mean("final").get(self.headline, 0.0), nan=-1.0),
            default=None,
        )


@dataclass(frozen=True)
class Difference:
    """Paired difference of two trackers over clips.

    Attributes:
        mean: Mean difference.
        error: Its standard error; NaN for a single clip.
        wins: Share of the clips in which it is above 0.
        clips: Clips in which both could be counted.
    """

    mean: float
    error: float
    wins: float
    clips: int


def paired_difference(ours: Sequence[Score], others: Sequence[Score], metric: str) -> Difference:
    """Compare a metric of two trackers clip by clip: ours minus the other's.

    Clips in which either could not be counted are left out.
    """
    pairs = np.array(
        [(a.metrics[metric], b.metrics[metric]) for a, b in zip(ours, others, strict=True)], float
    ).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(1)]
    if not len(pairs):
        return Difference(math.nan, math.nan, math.nan, 0)
    difference = pairs[:, 0] - pairs[:, 1]
    error = difference.std(ddof=1) / math.sqrt(len(pairs)) if len(pairs) > 1 else math.nan
    return Difference(float(difference.mean()), float(error), float((difference > 0).mean()), len(difference))


def to_json(sets: Sequence[SetResult], about: dict[str, Any]) -> dict[str, Any]:
    """Turn results into what `json.dump` writes; numbers that are not finite become null.

    Returns:
        ``about``, and ``sets``: each with ``name``, ``kind``, ``about``, ``clips``, ``skipped`` and
        ``trackers``: each with ``name``, ``weights``, ``images_per_second``, ``delay``, and for ``first``
        and ``final`` answers (null where there are none) ``mean``, ``curve`` and ``clips``.
    """
    found = [
        {
            "name": result.name,
            "kind": result.kind,
            "about": result.about,
            "clips": result.clips,
            "skipped": result.skipped,
            "trackers": [_tracker_json(tracker) for tracker in result.trackers],
        }
        for result in sets
    ]
    return finite({"about": about, "sets": found})


def _tracker_json(tracker: TrackerResult) -> dict[str, Any]:
    return {
        "name": tracker.name,
        "weights": tracker.weights,
        "images_per_second": tracker.images_per_second,
        "delay": tracker.delay,
    } | {
        which: {
            "mean": tracker.mean(which),
            "curve": tracker.curve(which),
            "clips": [asdict(score) for score in tracker.scores(which)],
        }
        if tracker.scores(which)
        else None
        for which in WHICH
    }


def finite(value: Any) -> Any:
    """Return lists, dictionaries and numbers for JSON, with None for what is not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _same(a: Score, b: Score) -> bool:
    left = [*a.metrics.values(), *a.errors]
    right = [*b.metrics.values(), *b.errors]
    return bool(np.array_equal(left, right, equal_nan=True))


def _mean_of_known(values: Any) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else math.nan
