"""Plots that set trackers side by side say what they are given."""

import math

import pytest

from cotracker_ros.visualization.accuracy_plots import TrackerCurves, plot_accuracy, plot_home
from cotracker_ros.visualization.plots import save

THRESHOLDS = (1, 2, 4, 8, 16)
SPEEDS = ("slow", "fast")


def test_each_tracker_has_a_line_and_bars(tmp_path):
    a = TrackerCurves([0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 2.0, math.nan], [0.6, 0.3])
    b = TrackerCurves([0.2, 0.3, 0.4, 0.5, 0.6], [0.01, math.inf], [0.7, math.nan])
    figure = plot_accuracy({"a": a, "b": b}, THRESHOLDS, SPEEDS)
    within, errors, speed = figure.axes
    assert [list(line.get_ydata()) for line in within.lines] == [a.within, b.within]
    assert errors.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert errors.lines[1].get_ydata()[0] == 0.05  # as low as the logarithmic axis goes
    assert [bar.get_height() for bar in speed.patches] == [0.6, 0.3, 0.7, 0.0]
    save(figure, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_more_trackers_than_can_be_told_apart_are_not_drawn():
    curves = TrackerCurves([0.1] * 5, [1.0], [0.1, 0.1])
    figure = plot_accuracy({str(i): curves for i in range(12)}, THRESHOLDS, SPEEDS)
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(figure.axes[0].lines) == len(looks) == 8


def test_home_is_on_the_right(tmp_path):
    figure = plot_home({"a": [4.0, 1.0, 0.2]}, {"a": 0.75})
    way, survival = figure.axes
    assert way.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert way.xaxis_inverted()
    assert survival.patches[0].get_width() == pytest.approx(0.75)
    save(figure, tmp_path / "home.png")
