"""Plots say what they are given; they also survive runs in which nothing could be measured."""

import numpy as np
import pytest

from cotracker_ros.visualization import plots


@pytest.fixture
def seconds():
    return np.arange(20) / 10


def test_the_median_error_is_drawn(seconds, tmp_path):
    errors = np.tile([1.0, 2.0, np.nan, 30.0], (20, 1))
    errors[5] = np.nan  # an image in which nothing can be judged is left out
    claimed = np.tile([True, False, True, False], (20, 1))
    claimed[3] = False
    figure = plots.plot_errors(seconds, errors, claimed)
    median, of_claimed = (line.get_ydata() for line in figure.axes[0].lines)
    assert median.tolist() == [2.0] * 19
    np.testing.assert_equal(np.asarray(of_claimed), [1.0] * 3 + [np.nan] + [1.0] * 15)
    plots.save(figure, tmp_path / "errors.png")
    assert (tmp_path / "errors.png").stat().st_size > 5000


def test_visibility_counts_the_four_outcomes(seconds):
    true_visible = np.tile([True, True, False, False], (20, 1))
    visible = np.tile([True, False, True, False], (20, 1))
    figure = plots.plot_visibility(seconds, visible, true_visible)
    assert len(figure.axes[0].collections) == 4
    assert figure.axes[0].get_ylim() == (0, 4)


def test_latency_marks_the_percentiles():
    figure = plots.plot_latency({"2D tracks": np.arange(1, 101.0)}, period=20)
    marked = sorted(line.get_xdata()[0] for line in figure.axes[1].lines if len(line.get_xdata()) == 1)
    assert marked == pytest.approx([50.5, 95.05, 99.01])


def test_what_moves_is_a_line_and_what_stands_still_a_dot():
    xyz = np.zeros((20, 3, 3))
    xyz[:, 1, 0] = np.arange(20)
    xyz[:, 2] = np.nan  # never measured: not drawn
    figure = plots.plot_top_view(xyz, np.zeros((3, 3), np.uint8))
    assert sorted(len(line.get_xdata()) for line in figure.axes[0].lines) == [1, 20]


def test_nothing_measured_gives_empty_plots(seconds, tmp_path):
    nothing = np.full((20, 3), np.nan)
    for figure in (
        plots.plot_errors(seconds, nothing),
        plots.plot_errors_3d({"measured": np.zeros(0), "held": np.zeros(0)}),
        plots.plot_latency({"2D tracks": np.zeros(0)}),
        plots.plot_visibility(seconds, np.zeros((20, 0), bool)),
        plots.plot_top_view(np.full((20, 2, 3), np.nan), np.zeros((2, 3), np.uint8)),
    ):
        plots.save(figure, tmp_path / "plot.png")
