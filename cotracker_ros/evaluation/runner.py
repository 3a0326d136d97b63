"""Running all trackers over all data sets: the same images for everyone, clip by clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from threading import Event
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cotracker_ros.evaluation.candidates import Candidate
from cotracker_ros.evaluation.results import SetResult, TrackerResult
from cotracker_ros.evaluation.trials import Trial


class Clip(Protocol):
    """What every task works on: ``frames`` (T, H, W, 3) uint8 RGB with a ``name``."""

    @property
    def frames(self) -> NDArray[np.uint8]:
        """The images."""

    @property
    def name(self) -> str:
        """What to call it in a report."""


class Task(Protocol):
    """What trackers have to do with each clip, and how it is scored."""

    def run(self, candidate: Candidate, clip: Any) -> Trial | None:
        """Run one tracker on one clip; None if there is nothing to ask for in it."""


@dataclass(frozen=True)
class DataSet:
    """Clips and what is done with them.

    Attributes:
        name: For tables.
        kind: See `SetResult`.
        clips: Opens the data set from its start; clips come one at a time.
        task: What trackers have to do.
        total: Number of clips, if it is known.
        about: How it is measured, for the reader; ``frames`` and ``sizes`` of the clips are added.
        extra: Trackers that run on this data set only, beside the others.
    """

    name: str
    kind: str
    clips: Callable[[], Iterable[Clip]]
    task: Task
    total: int | None = None
    about: dict[str, Any] = field(default_factory=dict)
    extra: Sequence[Candidate] = ()


def evaluate(
    sets: Sequence[DataSet],
    candidates: Sequence[Candidate],
    results: list[SetResult],
    *,
    limit: int = 0,
    stop: Event | None = None,
    progress: bool = False,
) -> None:
    """Run every tracker on every clip.

    Args:
        sets: The data sets, one after the other.
        candidates: The trackers.
        results: One result per data set is appended and filled clip by clip, so that what is done stands
            even if a later clip cannot be read.
        limit: Clips of each data set; 0 means all.
        stop: When set, ends after the clip in hand.
        progress: Show a progress bar for each data set.

    Raises:
        DatasetError, RecordingError, PalindromeError: A data set cannot be read.
    """
    for data_set in sets:
        if stop is not None and stop.is_set():
            return
        # A name that comes twice runs once.
        everyone = list({candidate.name: candidate for candidate in (*candidates, *data_set.extra)}.values())
        trackers = [TrackerResult(candidate.name, candidate.weights) for candidate in everyone]
        results.append(SetResult(data_set.name, data_set.kind, dict(data_set.about), trackers))
        total = min(data_set.total or limit, limit) if limit else data_set.total
        runs = total * len(everyone) if total else None
        with tqdm(total=runs, desc=data_set.name, unit="run", disable=not progress) as bar:
            for clip in islice(data_set.clips(), limit or None):
                _run_clip(clip, data_set.task, everyone, results[-1], bar)
                if stop is not None and stop.is_set():
                    return


def _run_clip(
    clip: Clip, task: Task, candidates: Sequence[Candidate], result: SetResult, bar: tqdm[Any]
) -> None:
    """Run all trackers on one clip, and note what came of it when all are done."""
    trials: list[Trial] = []
    for candidate in candidates:
        trial = task.run(candidate, clip)
        bar.update()
        if trial is None:  # which is up to the clip, not to the tracker
            result.skipped.append(clip.name)
            return
        trials.append(trial)
    for tracker, trial in zip(result.trackers, trials, strict=True):
        tracker.trials.append(trial)
    size = f"{clip.frames.shape[2]}x{clip.frames.shape[1]}"
    for key, value in (("frames", len(clip.frames)), ("sizes", size)):
        result.about[key] = sorted({*result.about.get(key, []), value})
