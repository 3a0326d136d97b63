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
    *,
    limit: int = 0,
    stop: Event | None = None,
    progress: bool = False,
) -> list[SetResult]:
    """Run every tracker on every clip.

    Args:
        sets: The data sets, one after the other.
        candidates: The trackers.
        limit: Clips of each data set; 0 means all.
        stop: When set, ends after the clip in hand; what is done until then counts.
        progress: Show a progress bar for each data set.

    Returns:
        One result per data set of which a clip was run.

    Raises:
        DatasetError, RecordingError, PalindromeError: A data set cannot be read.
    """
    results = []
    for data_set in sets:
        if stop is not None and stop.is_set():
            break
        result = _evaluate_set(data_set, candidates, limit, stop, progress)
        if result.clips or result.skipped:
            results.append(result)
    return results


def _evaluate_set(
    data_set: DataSet, candidates: Sequence[Candidate], limit: int, stop: Event | None, progress: bool
) -> SetResult:
    everyone = [*candidates, *data_set.extra]
    trackers = [TrackerResult(candidate.name, candidate.weights) for candidate in everyone]
    result = SetResult(data_set.name, data_set.kind, dict(data_set.about), trackers)
    frames: set[int] = set()
    sizes: set[str] = set()
    total = min(data_set.total or limit, limit) if limit else data_set.total
    runs = total * len(everyone) if total else None
    with tqdm(total=runs, desc=data_set.name, unit="run", disable=not progress) as bar:
        for clip in islice(data_set.clips(), limit or None):
            frames.add(len(clip.frames))
            sizes.add(f"{clip.frames.shape[2]}x{clip.frames.shape[1]}")
            trials = []
            for candidate in everyone:
                trials.append(data_set.task.run(candidate, clip))
                bar.update()
            for tracker, trial in zip(trackers, trials, strict=True):
                if trial is not None:
                    tracker.trials.append(trial)
            if None in trials:
                result.skipped.append(clip.name)
            if stop is not None and stop.is_set():
                break
    result.about |= {"frames": sorted(frames), "sizes": sorted(sizes)}
    return result
