"""Plots that set trackers side by side: how many points are close enough, at what time and what speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cotracker_ros.visualization.plots import (
    MUTED,
    SERIES,
    _in_style,
    _log_axis,
    _share_axis,
)

_SIZE = (10.5, 3.3)
_MOST_LINES = 2 * len(SERIES)
_LEAST_ERROR = 0.05  # px; a logarithmic axis has no 0


@dataclass(frozen=True)
class TrackerCurves:
    """What is drawn of one tracker.

    Attributes:
        within: Share of the visible points within each threshold, 0 to 1.
        errors: Error at each time, px.
        by_speed: Share within the thresholds on average, for each class of speed, 0 to 1.
    """

    within: Sequence[float]
    errors: Sequence[float]
    by_speed: Sequence[float]


@_in_style
def plot_accuracy(
    trackers: Mapping[str, TrackerCurves], thresholds: Sequence[float], speeds: Sequence[str]
) -> Figure:
    """Three panels: share of points within each distance, error over time since the query, share by speed.

    Args:
        trackers: By name; at most eight are drawn.
        thresholds: Distances, px at 256x256.
        speeds: Names of the classes of speed.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    drawn = dict(list(trackers.items())[:_MOST_LINES])
    for index, (name, curves) in enumerate(drawn.items()):
        left.plot(thresholds, curves.within, marker="o", ms=4, label=name, **_look(index))
        _plot_over_time(middle, curves.errors, index, first=1)
        width = 0.8 / len(drawn)
        at = np.arange(len(speeds)) + (index - (len(drawn) - 1) / 2) * width
        right.bar(
            at, np.nan_to_num(curves.by_speed), width * 0.92, color=_look(index)["color"],
            alpha=0.55 if index >= len(SERIES) else 1.0,
        )  # fmt: skip
    left.set(title="Visible points within a distance", xlabel="distance at 256x256 [px]", xscale="log")
    left.set_xticks(list(thresholds), [f"{threshold:g}" for threshold in thresholds])
    _share_axis(left)
    middle.set(title="Median error", xlabel="images since the query", ylabel="px at 256x256")
    _log_axis(middle, "y", _LEAST_ERROR, 256)
    right.set(title="δ by speed of the point", xlabel="px per image at 256x256")
    right.set_xticks(range(len(speeds)), list(speeds))
    _share_axis(right)
    figure.legend(loc="outside lower center", ncols=4)
    return figure


@_in_style
def plot_home(trackers: Mapping[str, Sequence[float]], survival: Mapping[str, float]) -> Figure:
    """Palindromes: how far way there and way back are apart, and how many tracks come home.

    Args:
        trackers: For each tracker, the median distance between both ways at 0, 1, ... images from home, px.
        survival: For each tracker, the share of tracks that come home.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    names = list(trackers)[:_MOST_LINES]
    for index, name in enumerate(names):
        _plot_over_time(left, trackers[name], index, first=0, label=name)
        right.barh(index, survival[name], color=_look(index)["color"], height=0.7)
        right.annotate(
            f" {100 * survival[name]:.0f} %", (survival[name], index), va="center", color=MUTED, fontsize=8
        )
    left.set(
        title="Way there and way back: median distance", xlabel="images from home", ylabel="px at 256x256"
    )
    _log_axis(left, "y", _LEAST_ERROR, 256)
    left.invert_xaxis()
    right.set(title="Tracks that come home", xlim=(0, 1.12), yticks=[])
    right.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _plot_over_time(
    axes: Axes, errors: Sequence[float], index: int, *, first: int, label: str | None = None
) -> None:
    values = np.maximum(np.array(errors, float), _LEAST_ERROR)
    axes.plot(first + np.arange(len(values)), values, label=label, **_look(index))


def _look(index: int) -> dict[str, Any]:
    """Colour and dashes of the line of a tracker."""
    return {"color": SERIES[index % len(SERIES)], "linestyle": "-" if index < len(SERIES) else "--"}
