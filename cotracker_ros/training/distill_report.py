"""The report of a distillation: who taught what, which clips were left out and why, and who failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cotracker_ros.evaluation.track_metrics import SPEEDS
from cotracker_ros.training.label_cache import load_labels
from cotracker_ros.training.labelling import RecordingResult
from cotracker_ros.training.tally import Counts, tally, total
from cotracker_ros.visualization import plots
from cotracker_ros.visualization.share_plot import plot_shares

NAME = "distill"
_NOBODY = "nobody"


WAYS = {
    "reliable": "for each point and frame the most reliable teacher by rules",
    "verified": "for each point and frame the teacher that a learned verifier finds most likely to be right",
    "random": "one teacher drawn for each clip",
}
"""How teachers were chosen, by `LabelConfig.labels`."""


def write_report(
    folder: Path, recordings: Sequence[RecordingResult], teachers: Sequence[str], labels: str
) -> str:
    """Write ``distill.md``, ``distill.json`` and ``distill.png``.

    Args:
        folder: Where to.
        recordings: What became of them.
        teachers: Names, in the order in which they were asked.
        labels: `LabelConfig.labels`.

    Returns:
        The Markdown.
    """
    tallies = [
        total([tally(load_labels(clip.path)) for clip in recording.clips if clip.path], len(teachers))
        for recording in recordings
    ]
    folder.mkdir(parents=True, exist_ok=True)
    values = {"labels": labels} | summary(recordings, teachers, tallies)
    (folder / f"{NAME}.json").write_text(json.dumps(values, indent=2) + "\n")
    text = markdown(values)
    (folder / f"{NAME}.md").write_text(text)
    owners = {name: list(entry["labels"].values()) for name, entry in values["teachers"].items()}
    groups = list(values["teachers"][_NOBODY]["labels"])
    plots.save(plot_shares("Whose labels", groups, owners, _NOBODY), folder / f"{NAME}.png")
    return text


def summary(
    recordings: Sequence[RecordingResult], teachers: Sequence[str], tallies: Sequence[Counts]
) -> dict[str, Any]:
    """Return everything in the report, of which each recording has its counts, as plain values."""
    clips = [clip for recording in recordings for clip in recording.clips]
    failures: dict[str, Counter[str]] = {name: Counter() for name in teachers}
    for clip in clips:
        for name, error in clip.failures.items():
            failures[name][error] += 1
    groups = _groups(total(tallies, len(teachers)))
    names = [*teachers, _NOBODY]
    return {
        "recordings": [
            {
                "path": recording.path,
                "images": recording.images,
                "kept": recording.kept,
                "clips": len(recording.clips),
                "labelled": sum(clip.path is not None for clip in recording.clips),
                "reused": recording.reused,
                "refused": recording.refused,
                "left_out": recording.left_out,
                "labels": dict(zip(names, counts.sum((1, 2)).tolist(), strict=True)),
            }
            for recording, counts in zip(recordings, tallies, strict=True)
        ],
        "skipped": dict(Counter(clip.skipped for clip in clips if clip.skipped)),
        "teachers": {
            name: {
                "labels": {group: int(values[row]) for group, values in groups.items()},
                "failed": sum(failures[name].values()) if name in failures else 0,
                "errors": dict(failures.get(name, {})),
            }
            for row, name in enumerate(names)
        },
    }


def markdown(values: dict[str, Any]) -> str:
    """Write the report for people."""
    lines = ["# Distillation", "", "| recording | images | worth having | clips | labelled | from before | |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for entry in values["recordings"]:
        cells = [entry[key] for key in ("path", "images", "kept", "clips", "labelled", "reused")]
        remark = entry["refused"] or entry["left_out"]
        lines.append(f"| {' | '.join(map(str, [*cells, remark]))} |")
    if values["skipped"]:
        parts = [f"{count} {reason}" for reason, count in sorted(values["skipped"].items())]
        lines += ["", f"Clips left out: {', '.join(parts)}."]
    lines += ["", "## Whose labels", "", f"Labels are {values['labels']}: {WAYS[values['labels']]}."]
    lines += ["", "Share of all points and frames but the queries themselves.", ""]
    groups = list(values["teachers"][_NOBODY]["labels"])
    lines.append(f"| teacher | {' | '.join(groups)} | failed on clips |")
    lines.append("| --- |" + " --- |" * (len(groups) + 1))
    sums = {group: sum(t["labels"][group] for t in values["teachers"].values()) for group in groups}
    for name, entry in values["teachers"].items():
        cells = [_percent(entry["labels"][group], sums[group]) for group in groups]
        failed = "" if name == _NOBODY else entry["failed"]
        lines.append(f"| {name} | {' | '.join(cells)} | {failed} |")
    lines += ["", "Speeds are px a frame at 256x256, of the clip's frames."]
    labelled = [entry for entry in values["recordings"] if entry["labelled"]]
    if len(labelled) > 1:
        lines += ["", f"| recording | {' | '.join(values['teachers'])} |"]
        lines.append("| --- |" + " --- |" * len(values["teachers"]))
        for entry in labelled:
            cells = [_percent(count, sum(entry["labels"].values())) for count in entry["labels"].values()]
            lines.append(f"| {entry['path']} | {' | '.join(cells)} |")
    lines += ["", f"![Whose labels]({NAME}.png)"]
    failed = [(name, entry["errors"]) for name, entry in values["teachers"].items() if entry["errors"]]
    if failed:
        lines += ["", "## What teachers failed with", ""]
        lines += [f"- {name}: {error} ({n}x)" for name, errors in failed for error, n in errors.items()]
    return "\n".join(lines) + "\n"


def _groups(counts: Counts) -> dict[str, Any]:
    """Counts (K + 1,) of each group of entries that the report tells apart."""
    groups = {"all": counts.sum((1, 2))}
    for index, (low, high) in enumerate(SPEEDS):
        name = f"{low:g}-{high:g} px" if high != float("inf") else f"over {low:g} px"
        groups[name] = counts[:, index].sum(-1)
    # Of nobody's entries it is not known whether they are visible.
    hidden, visible = counts[:-1, :, 0].sum(1), counts[:-1, :, 1].sum(1)
    return groups | {"visible": [*visible, 0], "hidden": [*hidden, 0]}


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""
