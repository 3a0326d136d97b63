"""The files of an evaluation: tables in Markdown, all numbers as JSON, and one plot per data set."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cotracker_ros.evaluation.gate import gate
from cotracker_ros.evaluation.results import SetResult, TrackerResult, Which, to_json
from cotracker_ros.evaluation.scene_tables import (
    SceneResults,
    recorded_table,
    rendered_tables,
    scenes_json,
)
from cotracker_ros.evaluation.tables import BY_SPEED, gate_table, set_tables, summary_table
from cotracker_ros.evaluation.tapvid import THRESHOLDS
from cotracker_ros.visualization.accuracy_plots import TrackerCurves, plot_accuracy, plot_home
from cotracker_ros.visualization.plots import save

_READING = """\
Shares are percent, distances px at 256x256. *First* answers are what a tracker said of an image at once, \
*final* ones what it said in the end; *delay*: images waited for. \
AJ, δ, OA: TAP-Vid's. AJ_RD and δ return: the same from the frame on in which a point is visible again after \
it was hidden. Survival: never yet off by more than 50 px while visible. Means over clips."""


def write_report(
    folder: Path,
    results: Sequence[SetResult],
    about: dict[str, Any],
    scenes: SceneResults | None = None,
) -> str:
    """Write ``evaluate.md``, ``evaluate.json`` and the plots.

    Args:
        folder: Exists; files of an earlier run are replaced.
        results: Of all data sets; those without a clip are left out.
        about: The machine and the run.
        scenes: Points in space, poses and bodies, if they were judged.

    Returns:
        The text of ``evaluate.md``.
    """
    results = [result for result in results if result.clips]
    scenes = scenes or SceneResults()
    numbers = to_json(results, about) | scenes_json(scenes)
    parts = ["# Evaluation", ", ".join(f"{key} {value}" for key, value in about.items()) + "."]
    if scenes.rendered:
        parts.append(f"## Rendered sequences\n\n{rendered_tables(scenes.rendered)}")
    for recording in scenes.recorded:
        parts.append(f"## {recording.name}: points and poses\n\n{recorded_table(recording)}")
    if results:
        parts += [_READING, f"## Summary\n\n{summary_table(results)}"]
    verdicts = gate(numbers)
    if verdicts:
        parts.append(f"## Fit to be the default on a CPU?\n\n{gate_table(verdicts)}")
    for number, result in enumerate(results):
        plot = f"{number}_{re.sub(r'[^A-Za-z0-9]+', '_', result.name).strip('_')}.png"
        save(_figure(result), folder / plot)
        parts.append(f"## {result.name}\n\n{set_tables(result)}\n\n![{result.name}]({plot})")
    text = "\n\n".join(parts)
    (folder / "evaluate.md").write_text(text + "\n", encoding="utf-8")
    (folder / "evaluate.json").write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n")
    return text


def _figure(result: SetResult) -> Figure:
    """Draw the data set's trackers; of KLT only the best settings, unless there is nothing else."""
    rows: dict[str, tuple[TrackerResult, Which]] = {}
    for tracker in result.trackers:
        if not tracker.trials or (tracker.is_klt and tracker is not result.best_klt):
            continue
        for which in tracker.answers:
            name = tracker.name if len(tracker.answers) == 1 else f"{tracker.name}, {which}"
            rows[name] = (tracker, which)
    if result.kind == "palindrome":
        return plot_home(
            {name: tracker.curve(which) for name, (tracker, which) in rows.items()},
            {name: tracker.mean(which)["home_survival"] for name, (tracker, which) in rows.items()},
        )
    curves = {name: _curves(tracker, which) for name, (tracker, which) in rows.items()}
    return plot_accuracy(curves, THRESHOLDS, [column.heading for column in BY_SPEED])


def _curves(tracker: TrackerResult, which: Which) -> TrackerCurves:
    mean = tracker.mean(which)
    return TrackerCurves(
        within=[mean[f"pts_within_{threshold}"] for threshold in THRESHOLDS],
        errors=tracker.curve(which),
        by_speed=[mean[column.metric] for column in BY_SPEED],
    )
