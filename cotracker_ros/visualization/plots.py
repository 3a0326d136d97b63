"""Plots of tracks and of how good and how fast they are, in one style.

Each function returns a Matplotlib figure; `save` writes it. Nothing here touches pyplot or a display.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

INK, MUTED, GRID = "#1c2733", "#66758a", "#e4e9f0"
BLUE, ORANGE, TEAL, RED, PALE = "#2463d8", "#e6820e", "#12998a", "#d0433f", "#c3cddb"
SERIES = (BLUE, ORANGE, TEAL, RED)

_STYLE: Any = {
    "figure.dpi": 160,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": PALE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}
_WIDE = (7.2, 2.9)
_CLAIMED = "median of those the tracker calls visible"


_in_style = matplotlib.rc_context(_STYLE)


@_in_style
def save(figure: Figure, path: str | Path) -> None:
    """Write a figure; the suffix of the path says how (.png, .svg, .pdf)."""
    figure.savefig(path, facecolor="white")


@_in_style
def plot_errors(
    seconds: NDArray[np.floating], errors: NDArray[np.floating], claimed: NDArray[np.bool_] | None = None
) -> Figure:
    """Position error over time: median, and the bands that hold half and nine tenths of the points.

    Args:
        seconds: (T,) time of each image, s.
        errors: (T, N) distance to the truth, px; NaN for points that do not count.
        claimed: (T, N) bool, points that the tracker claims to see: their median is drawn as well.
    """
    figure, axes = _figure("Position error of the points that can be seen", "time [s]", "error [px]")
    counted = np.isfinite(errors).any(axis=1)
    at, errors = seconds[counted], np.maximum(errors[counted], 0.01)
    if len(at):
        p5, p25, p50, p75, p95 = np.nanpercentile(errors, [5, 25, 50, 75, 95], axis=1)
        axes.fill_between(at, p5, p95, color=BLUE, alpha=0.12, lw=0, label="5 to 95 %")
        axes.fill_between(at, p25, p75, color=BLUE, alpha=0.25, lw=0, label="25 to 75 %")
        axes.plot(at, p50, color=BLUE, label="median")
        if claimed is not None:
            masked = np.ma.masked_invalid(np.where(claimed[counted], errors, np.nan))
            axes.plot(at, np.ma.median(masked, axis=1).filled(np.nan), color=ORANGE, label=_CLAIMED)
        _log_axis(axes, "y", 0.05, max(10.0, 1.2 * float(p95.max())))
        figure.legend(loc="outside lower center", ncols=4)
        axes.margins(x=0)
    return figure


@_in_style
def plot_errors_3d(distances: Mapping[str, NDArray[np.floating]]) -> Figure:
    """Share of the positions that are closer to the truth than a distance.

    Args:
        distances: For each kind of position, its (K,) distances to the truth, m.
    """
    figure, axes = _figure("3D error", "error [cm]", "share of positions")
    for (name, values), colour in zip(distances.items(), SERIES, strict=False):
        _plot_distribution(axes, np.maximum(values * 100, 0.01), colour, f"{name} ({len(values):,})")
    _log_axis(axes, "x", 0.05, 300)
    _share_axis(axes)
    if axes.lines:
        axes.legend(loc="lower right")
    return figure


@_in_style
def plot_latency(latencies: Mapping[str, NDArray[np.floating]], period: float | None = None) -> Figure:
    """Histogram and distribution of latencies.

    Args:
        latencies: For each stage, its (K,) latencies, ms.
        period: Time between two images, ms; drawn as a line, because a stage that stays left of it keeps up.
    """
    figure = Figure(figsize=_WIDE, layout="constrained")
    left, right = figure.subplots(1, 2)
    filled = {name: values for name, values in latencies.items() if len(values)}
    end = 1.15 * max((float(np.percentile(values, 99)) for values in filled.values()), default=1.0)
    for (name, values), colour in zip(filled.items(), SERIES, strict=False):
        bins = np.linspace(0, end, 48).tolist()
        left.hist(values.clip(max=end), bins=bins, color=colour, alpha=0.75, label=name)
        _plot_distribution(right, values, colour, name)
        for percentile, marker in ((50, "o"), (95, "s"), (99, "D")):
            at = np.percentile(values, percentile)
            right.plot(at, percentile / 100, marker, color=colour, ms=4.5, mec="white", mew=0.8)
    if period and period < end:
        for axes in (left, right):
            axes.axvline(period, color=MUTED, lw=1, ls=(0, (4, 3)))
        right.annotate(
            "one image period ", (period, 0.03), ha="right", color=MUTED, fontsize=8, rotation=90, va="bottom"
        )
    for axes, title, label in (
        (left, "Latency", "images"),
        (right, "Share below (p50, p95, p99 marked)", ""),
    ):
        axes.set(title=title, xlabel="published → received [ms]", ylabel=label, xlim=(0, end))
    _share_axis(right)
    if len(filled) > 1:
        left.legend(loc="upper right")
    return figure


@_in_style
def plot_visibility(
    seconds: NDArray[np.floating], visible: NDArray[np.bool_], true_visible: NDArray[np.bool_] | None = None
) -> Figure:
    """What the tracker says about visibility over time, and whether it is right.

    Args:
        seconds: (T,) time of each image, s.
        visible: (T, N) bool, what the tracker says.
        true_visible: (T, N) bool, the truth, where there is one.
    """
    figure, axes = _figure("Visibility", "time [s]", "points")
    if true_visible is None:
        parts = {"visible": (visible, BLUE), "occluded or lost": (~visible, PALE)}
    else:
        parts = {
            "visible, said so": (visible & true_visible, BLUE),
            "hidden, said so": (~visible & ~true_visible, PALE),
            "visible, called hidden": (~visible & true_visible, ORANGE),
            "hidden, called visible": (visible & ~true_visible, RED),
        }
    counts = [mask.sum(axis=1) for mask, _ in parts.values()]
    colours = [colour for _, colour in parts.values()]
    axes.stackplot(seconds, counts, labels=list(parts), colors=colours, lw=0)
    axes.margins(x=0, y=0)
    figure.legend(loc="outside lower center", ncols=len(parts))
    return figure


@_in_style
def plot_top_view(
    xyz: NDArray[np.floating],
    colours: NDArray[np.uint8],
    *,
    true_xyz: NDArray[np.floating] | None = None,
    camera: NDArray[np.floating] | None = None,
    plane: tuple[int, int] = (1, 0),
    moving: float = 0.15,
) -> Figure:
    """3D tracks seen from above: what stands still as dots, what moves as lines.

    Args:
        xyz: (T, N, 3) positions, m; NaN where there is none.
        colours: (N, 3) uint8, RGB.
        true_xyz: (T, N, 3) true positions, m, drawn beneath in grey.
        camera: (T, 3) positions of the camera, m, drawn as a dashed line.
        plane: The axes of the frame that point to the right and to the top of the plot: (1, 0) where x
            points forward and y to the left (y is then drawn the other way round), (0, 2) in an optical
            frame.
        moving: A track that spans more than this moves, m.
    """
    right, forward = plane
    figure, axes = _figure("3D tracks from above", f"{'xyz'[right]} [m]", f"{'xyz'[forward]} [m]", (7.2, 5))
    judged = xyz if true_xyz is None else true_xyz
    known = np.isfinite(judged).all(axis=2).any(axis=0) & np.isfinite(xyz).all(axis=2).any(axis=0)
    for n in np.flatnonzero(known):
        ends = np.nanpercentile(judged[:, n], [5, 95], axis=0)
        if np.linalg.norm(ends[1] - ends[0]) > moving:
            if true_xyz is not None:
                axes.plot(*true_xyz[:, n, plane].T, color="#ccd5e1", lw=3.2, zorder=1)
            axes.plot(*xyz[:, n, plane].T, color=colours[n] / 255, lw=0.9, zorder=3)
        else:
            axes.plot(*np.nanmedian(xyz[:, n, plane], axis=0), ".", color=colours[n] / 255, ms=5, zorder=4)
    if camera is not None:
        axes.plot(*camera[:, plane].T, color=INK, lw=1.2, ls=(0, (4, 2)), zorder=2)
        axes.plot(*camera[0, plane], "o", color=INK, ms=4)
    if plane == (1, 0):
        axes.invert_xaxis()
    axes.set_aspect("equal", adjustable="box")
    marks: dict[str, dict[str, Any]] = {
        "stands still": {"marker": "o", "ls": "", "ms": 3},
        "moves": {"lw": 0.9},
    }
    if true_xyz is not None:
        marks["truth of what moves"] = {"lw": 3.2, "color": "#ccd5e1"}
    if camera is not None:
        marks["camera"] = {"lw": 1.2, "ls": (0, (4, 2))}
    handles = [Line2D([], [], label=label, **({"color": INK} | look)) for label, look in marks.items()]
    figure.legend(handles=handles, loc="outside right upper")
    return figure


def _figure(title: str, xlabel: str, ylabel: str, size: tuple[float, float] = _WIDE) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def _plot_distribution(axes: Axes, values: NDArray[np.floating], colour: str, label: str) -> None:
    if len(values):
        axes.step(np.sort(values), np.arange(1, len(values) + 1) / len(values), color=colour, label=label)


def _log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(low, high)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(lambda value, _: "")


def _share_axis(axes: Axes) -> None:
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
