"""What a demonstration has recorded and still has to report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotracker_ros.evaluation.summary import TrueTracks
from cotracker_ros.recordings import Recording


@dataclass(frozen=True, eq=False)
class DemoRun:
    """A run that has been recorded and waits for its report.

    Attributes:
        name: What was played, for the reader.
        recording: What was played.
        output: Folder with the recorded bag (``output``) and ``arrivals.csv``; the files are written here.
        truth: True tracks of the points asked for in the first image, or None.
        truth_ids: Their ids, in the order of the truth's points.
        topics: Number of recorded messages by topic.
        parameters: Parameters of the nodes that differ from their defaults, by node.
        rate: Speed of the player.
    """

    name: str
    recording: Recording
    output: Path
    truth: TrueTracks | None
    truth_ids: list[int]
    topics: dict[str, int]
    parameters: Mapping[str, Mapping[str, Any]]
    rate: float
