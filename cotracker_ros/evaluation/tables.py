"""Results as Markdown: one row per tracker and kind of answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cotracker_ros.evaluation.gate import Verdict
from cotracker_ros.evaluation.results import Difference, SetResult, TrackerResult, Which, paired_difference
from cotracker_ros.evaluation.tapvid import THRESHOLDS
from cotracker_ros.evaluation.track_metrics import SPEEDS

NOTHING = "–"


class Column(NamedTuple):
    """One metric in a table: its heading, its name, and how a value is written."""

    heading: str
    metric: str
    write: Callable[[float], str]


def percent(value: float) -> str:
    """45.6 for 0.456."""
    return f"{100 * value:.1f}" if math.isfinite(value) else NOTHING


def pixels(value: float) -> str:
    """1.23, or ∞."""
    return "∞" if value == math.inf else f"{value:.2f}" if math.isfinite(value) else NOTHING


_RETURNS = (
    Column("AJ_RD", "return_average_jaccard", percent),
    Column("δ return", "return_pts_within_thresh", percent),
)

MAIN = (
    Column("AJ", "average_jaccard", percent),
    Column("δ", "average_pts_within_thresh", percent),
    *(Column(f"<{t} px", f"pts_within_{t}", percent) for t in THRESHOLDS),
    Column("OA", "occlusion_accuracy", percent),
    Column("visible found", "visible_found", percent),
    Column("hidden found", "hidden_found", percent),
    *_RETURNS,
    Column("survival", "survival", percent),
    Column("last <4 px", "last_within_4", percent),
)

HIDDEN = (
    Column("δ visible", "average_pts_within_thresh", percent),
    Column("δ hidden", "hidden_pts_within_thresh", percent),
    Column("δ all", "all_pts_within_thresh", percent),
)

BY_SPEED = tuple(
    Column(f"over {low:g}" if high == math.inf else f"{low:g}-{high:g}", f"speed_{low:g}", percent)
    for low, high in SPEEDS
)

DIFFERENCES = (
    Column("AJ", "average_jaccard", percent),
    Column("δ", "average_pts_within_thresh", percent),
    Column("<1 px", "pts_within_1", percent),
    Column("OA", "occlusion_accuracy", percent),
    *_RETURNS,
    Column("survival", "survival", percent),
)

HOME = (
    Column("home error, median", "home_error_median", pixels),
    Column("mean", "home_error_mean", pixels),
    Column("median, px of the video", "home_error_median_px", pixels),
    Column("mean, px of the video", "home_error_mean_px", pixels),
    Column("survival", "home_survival", percent),
    Column("visible at the turn", "visible_at_turn", percent),
    Column("travel to the turn", "travel_median", pixels),
)

HOME_DIFFERENCES = (
    Column("home error, median", "home_error_median", pixels),
    Column("survival", "home_survival", percent),
)

EXACT_KINDS = ("synthetic", "dynamic_replica")
"""Data sets that know where hidden points are."""


def summary_table(sets: Sequence[SetResult]) -> str:
    """One row per tracker and kind of answer, one column per data set: AJ, or survival of palindromes."""
    names = list(dict.fromkeys(tracker.name for result in sets for tracker in result.trackers))
    header = [
        "tracker",
        "answers",
        *(f"{result.name}: {'survival' if result.kind == 'palindrome' else 'AJ'}" for result in sets),
        "images/s",
        "delay",
    ]
    rows = []
    for name in names:
        found = {
            index: tracker
            for index, result in enumerate(sets)
            for tracker in result.trackers
            if tracker.name == name and tracker.trials
        }
        told_apart = dict.fromkeys(which for tracker in found.values() for which in tracker.answers)
        for which in told_apart:
            # Where nothing was revised first answers are the final ones.
            values = [
                percent(
                    (found[index].mean(which) or {}).get(result.headline, math.nan)
                    if index in found
                    else math.nan
                )
                for index, result in enumerate(sets)
            ]
            rows.append([name, _called(list(told_apart), which), *values, *_speed(list(found.values()))])
    return markdown_table(header, rows)


def set_tables(result: SetResult) -> str:
    """All tables of one data set."""
    parts = [_about(result)]
    if result.kind == "palindrome":
        parts.append(_metrics(result, HOME))
        parts.append(_differences(result, HOME_DIFFERENCES))
    else:
        parts.append(_metrics(result, MAIN))
        parts.append(f"δ by speed of the true track, px an image:\n\n{_by_speed(result)}")
        if result.kind in EXACT_KINDS:
            parts.append(f"δ by visibility of the point:\n\n{_table(result, HIDDEN)}")
        parts.append(_differences(result, DIFFERENCES))
    if result.skipped:
        parts.append(f"Left out, because there was no point to ask for: {', '.join(result.skipped)}.")
    return "\n\n".join(part for part in parts if part)


def gate_table(verdicts: Sequence[Verdict]) -> str:
    """The criteria a tracker must meet to become the default, and whether it does."""
    words = {True: "yes", False: "no", None: "not measured"}
    rows = [[v.tracker, v.criterion, v.needed, v.reached, words[v.holds]] for v in verdicts]
    return markdown_table(["tracker", "criterion", "needed", "reached", "holds"], rows)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are numbers, right-aligned, but for the first two."""
    rule = ["---", "---", *["---:"] * (len(header) - 2)]
    # A bar in a name would begin a new column.
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (header, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _about(result: SetResult) -> str:
    count = len(result.clips)
    about = {key: value for key, value in result.about.items() if value not in ("", None, [], ())}
    words = [f"{count} clip{'s' if count != 1 else ''}"]
    for key, value in about.items():
        if key == "frames":
            numbers = [str(number) for number in value]
            words.append(f"of {numbers[0] if len(numbers) == 1 else f'{numbers[0]} to {numbers[-1]}'} images")
        elif key == "sizes":
            words.append(f"{' and '.join(value[:3])} px" if len(value) <= 3 else f"{len(value)} sizes")
        else:
            words.append(f"{key} {' '.join(str(v) for v in value) if isinstance(value, list) else value}")
    truth = [score.metrics for score in result.trackers[0].scores("final")] if result.trackers else []
    sentence = ", ".join(words) + "."
    if truth and "true_visible" in truth[0]:
        mean = result.trackers[0].mean("final")
        sentence += (
            f" {percent(mean['true_visible'])} % of the entries are visible (OA of a tracker that says "
            f"'visible' always), {percent(mean['true_returning'])} % of the tracks return."
        )
    return sentence


def _metrics(result: SetResult, columns: Sequence[Column]) -> str:
    """The main table of a data set, with the speed of the trackers."""
    speeds = [_speed([tracker]) for tracker, _ in _rows(result.trackers)]
    rows = [row + speed for row, speed in zip(_values(result, columns), speeds, strict=True)]
    return markdown_table([*_headings(columns), "images/s", "delay"], rows)


def _table(result: SetResult, columns: Sequence[Column]) -> str:
    return markdown_table(_headings(columns), _values(result, columns))


def _by_speed(result: SetResult) -> str:
    mean = result.trackers[0].mean("final")
    share = [percent(mean[f"true_{column.metric}"]) for column in BY_SPEED]
    rows = [["", "share of the points", *share], *_values(result, BY_SPEED)]
    return markdown_table(_headings(BY_SPEED), rows)


def _headings(columns: Sequence[Column]) -> list[str]:
    return ["tracker", "answers", *(column.heading for column in columns)]


def _values(result: SetResult, columns: Sequence[Column]) -> list[list[str]]:
    rows = []
    for tracker, which in _rows(result.trackers):
        mean = tracker.mean(which)
        values = [column.write(mean[column.metric]) for column in columns]
        rows.append([tracker.name, _called(tracker.answers, which), *values])
    return rows


def _differences(result: SetResult, columns: Sequence[Column]) -> str:
    """Each tracker minus the best KLT and, of several others, minus the first: a student minus its start."""
    others = [tracker for tracker in result.trackers if tracker.trials and not tracker.is_klt]
    first = others[0] if others else None
    tables = [_minus(result.best_klt, result.trackers, columns), _minus(first, others, columns)]
    return "\n\n".join(table for table in tables if table)


def _minus(base: TrackerResult | None, trackers: Sequence[TrackerResult], columns: Sequence[Column]) -> str:
    """Trackers minus one of them, clip by clip."""
    if base is None or len(trackers) < 2:
        return ""
    rows = []
    for tracker, which in _rows(trackers):
        if tracker is base:
            continue
        cells = [
            _difference(paired_difference(tracker.scores(which), base.scores("final"), column.metric), column)
            for column in columns
        ]
        rows.append([tracker.name, _called(tracker.answers, which), *cells])
    title = f"Minus {base.name}, clip by clip: mean ± standard error (share of the clips with more):"
    return f"{title}\n\n{markdown_table(_headings(columns), rows)}"


def _difference(difference: Difference, column: Column) -> str:
    if not difference.clips:
        return NOTHING
    sign = "+" if difference.mean >= 0 else ""
    error = f" ± {column.write(difference.error)}" if math.isfinite(difference.error) else ""
    return f"{sign}{column.write(difference.mean)}{error} ({100 * difference.wins:.0f} %)"


def _rows(trackers: Sequence[TrackerResult]) -> Iterator[tuple[TrackerResult, Which]]:
    for tracker in trackers:
        if tracker.trials:
            for which in tracker.answers:
                yield tracker, which


def _called(answers: Sequence[Which], which: Which) -> str:
    return "first = final" if list(answers) == ["first"] else which


def _speed(trackers: Sequence[TrackerResult]) -> list[str]:
    """Images per second over some data sets, and images waited for."""
    trials = [trial for tracker in trackers for trial in tracker.trials]
    whole = TrackerResult("", "", trials)
    delay = whole.delay
    return [f"{whole.images_per_second:.1f}", f"{delay:.1f}" if math.isfinite(delay) else "whole clip"]
