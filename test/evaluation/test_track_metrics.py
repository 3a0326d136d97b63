"""The metrics beyond TAP-Vid's against cases worked by hand."""

import numpy as np
import pytest

from cotracker_ros.evaluation.tapvid import compare, tapvid_metrics
from cotracker_ros.evaluation.track_metrics import (
    errors_by_age,
    lost,
    mean_speeds,
    returned,
    track_metrics,
)


def one_point(true_visible, off=0.0, visible=None, *, query=0, known=None, mode="first", step=0.0):
    """Compare one track that is off by ``off`` px (a number or one per frame) at 256x256."""
    truth = np.array(true_visible, bool)[:, None]
    true_xy = np.full((len(truth), 1, 2), 100.0)
    true_xy[..., 0] += step * np.arange(len(truth))[:, None]
    xy = true_xy.copy()
    xy[:, 0, 1] += off
    visible = truth if visible is None else np.array(visible, bool)[:, None]
    known = None if known is None else np.array(known, bool)[:, None]
    return compare([query], true_xy, truth, xy, visible, known=known, mode=mode)


class TestReturn:
    def test_counts_from_the_first_return_on(self):
        comparison = one_point([1, 1, 0, 1, 1, 0, 1])
        assert returned(comparison)[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 1]

    def test_by_hand(self):
        # Returned are frames 3 to 6: visible, visible, hidden, visible; off by 3 px in frame 4 alone.
        off = [0, 90, 90, 0, 3, 0, 0]
        m = track_metrics(one_point([1, 1, 0, 1, 1, 0, 1], off, visible=[1, 0, 1, 1, 1, 1, 0]))
        # Below 4 px: 1 hit of 3 visible, false alarms in frames 4 and 5; from 4 px on 2 hits, one alarm.
        assert m["return_average_jaccard"] == pytest.approx((2 * 1 / 5 + 3 * 2 / 4) / 5)
        assert m["return_pts_within_thresh"] == pytest.approx((2 * 2 / 3 + 3 * 1) / 5)
        assert m["true_returning"] == 1

    @pytest.mark.parametrize("true_visible", [[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1]])
    def test_nothing_that_returns_is_nan(self, true_visible):
        m = track_metrics(one_point(true_visible, query=true_visible.index(1)))
        assert np.isnan(m["return_average_jaccard"]) and np.isnan(m["return_pts_within_thresh"])
        assert m["true_returning"] == 0

    def test_a_frame_that_nobody_knows_hides_nothing(self):
        comparison = one_point([1, 1, 0, 1, 1], known=[1, 1, 0, 1, 1])
        assert not returned(comparison).any()

    def test_strided_looks_both_ways_from_the_query(self):
        comparison = one_point([1, 0, 1, 1, 1, 0, 1], query=3, mode="strided")
        assert returned(comparison)[:, 0].tolist() == [1, 0, 0, 0, 0, 0, 1]


class TestSurvival:
    def test_by_hand(self):
        # Off by 60 px while hidden does no harm; off by 51 px while visible ends it for good.
        off = [0, 0, 60, 50, 51, 0]
        comparison = one_point([1, 1, 0, 1, 1, 1], off)
        assert lost(comparison)[:, 0].tolist() == [0, 0, 0, 0, 1, 1]
        assert track_metrics(comparison)["survival"] == pytest.approx(3 / 5)

    def test_no_position_is_off(self):
        assert track_metrics(one_point([1, 1, 1], [0, np.nan, 0]))["survival"] == 0

    def test_unknown_frames_are_left_out(self):
        comparison = one_point([1, 1, 1, 1, 1], [0, 0, 99, 0, 0], known=[1, 1, 0, 1, 1])
        assert track_metrics(comparison)["survival"] == 1

    def test_is_measured_at_256_pixels(self):
        xy = np.zeros((2, 1, 2))
        moved = np.array([[[0.0, 0.0]], [[100.0, 0.0]]])  # 100 px of 511 are 49.9 of 255
        visible = np.ones((2, 1), bool)
        assert not lost(compare([0], xy, visible, moved, visible, image_size=(512, 512))).any()
        assert lost(compare([0], xy, visible, moved, visible, image_size=(509, 512))).any()


def test_found_and_last_frame():
    m = track_metrics(one_point([1, 1, 1, 0, 0, 1], [0, 0, 0, 0, 7, 4], visible=[0, 1, 0, 1, 0, 1]))
    assert m["visible_found"] == pytest.approx(2 / 3)
    assert m["hidden_found"] == 1 / 2
    assert m["hidden_pts_within_thresh"] == pytest.approx((3 * 1 / 2 + 2 * 1) / 5)
    assert m["all_pts_within_thresh"] == pytest.approx((3 * 3 / 5 + 2) / 5)
    assert m["last_within_4"] == 0  # 4 px are not within 4 px
    assert m["true_visible"] == 3 / 5


def test_the_last_frame_counts_only_where_the_point_is_visible():
    assert np.isnan(track_metrics(one_point([1, 1, 0]))["last_within_4"])


class TestSpeed:
    @pytest.mark.parametrize(
        ("step", "name"), [(0.0, "speed_0"), (0.5, "speed_0.5"), (1.5, "speed_1.5"), (3.0, "speed_3")]
    )
    def test_each_track_has_one_class(self, step, name):
        m = track_metrics(one_point([1, 1, 1], step=step))
        assert {key for key, value in m.items() if key.startswith("speed_") and value == 1} == {name}
        assert sum(np.isnan(value) for key, value in m.items() if key.startswith("speed_")) == 3

    def test_steps_into_hiding_do_not_count(self):
        true_xy = np.zeros((4, 1, 2))
        true_xy[:, 0, 0] = [0, 1, 50, 51]
        truth = np.array([[1], [1], [0], [1]], bool)
        comparison = compare([0], true_xy, truth, true_xy, truth)
        assert mean_speeds(comparison).tolist() == [1]

    def test_a_track_that_cannot_be_measured_has_none(self):
        assert np.isnan(mean_speeds(one_point([1, 0, 1]))).all()


def test_errors_by_age():
    comparison = one_point([1, 1, 1, 0], [9, 9, 2, 2], query=1, mode="strided")
    np.testing.assert_equal(errors_by_age(comparison), [5.5, np.nan, np.nan])
    comparison = one_point([1, 1, 1], [0, np.nan, 1])
    assert errors_by_age(comparison) == [np.inf, 1]


def test_unknown_entries_change_no_tapvid_metric():
    rng = np.random.default_rng(0)
    true_xy, xy = rng.uniform(90, 110, (2, 6, 5, 2))
    truth, visible = rng.random((2, 6, 5)) < 0.6
    known = np.ones((6, 5), bool)
    known[3], known[2, 4] = False, False
    expected = tapvid_metrics([0] * 5, true_xy, truth, xy, visible, known=known)
    xy[~known], true_xy[~known], truth[~known], visible[~known] = 0, 1e6, True, True
    assert tapvid_metrics([0] * 5, true_xy, truth, xy, visible, known=known) == expected
    # A frame of which all is unknown might as well not be there.
    known[2] = False
    rest = [0, 1, 4, 5]
    cut = (array[rest] for array in (true_xy, truth, xy, visible))
    whole = tapvid_metrics([0] * 5, true_xy, truth, xy, visible, known=known)
    assert tapvid_metrics([0] * 5, *cut) == whole
