"""TAP-Vid metrics against the benchmark's own numbers and against cases worked by hand."""

from pathlib import Path

import numpy as np
import pytest

from cotracker_ros.evaluation.tapvid import THRESHOLDS, mean_metrics, tapvid_metrics

REFERENCE = Path(__file__).parent / "data" / "tapvid_reference.npz"


@pytest.mark.parametrize("mode", ["first", "strided"])
def test_agrees_with_the_benchmark(mode):
    with np.load(REFERENCE) as file:
        prefix = f"tap_{mode}_"
        case = {k.removeprefix(prefix): file[k][0] for k in file.files if k.startswith(prefix)}
    metrics = tapvid_metrics(
        case["queries"][:, 0],
        case["gt"].transpose(1, 0, 2),
        ~case["gt_occ"].T,
        case["pred_tracks"].transpose(1, 0, 2),
        ~case["pred_occ"].T,
        mode=mode,
    )
    expected = {k.removeprefix("metric_"): float(v) for k, v in case.items() if k.startswith("metric_")}
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-9), name


def four_frames():
    """One point, asked for in frame 1 of 4; seen in frames 0, 1 and 3."""
    true_xy = np.zeros((4, 1, 2)) + 100.0
    true_visible = np.array([[True], [True], [False], [True]])
    return true_xy, true_visible


def test_by_hand_first():
    true_xy, true_visible = four_frames()
    xy = true_xy.copy()
    xy[0] += 50  # before the query: does not count
    xy[3, 0, 0] += 3  # 3 px off: within 4, 8, 16
    visible = np.array([[False], [False], [True], [True]])  # frame 2 is a false alarm
    m = tapvid_metrics([1], true_xy, true_visible, xy, visible)
    assert m["occlusion_accuracy"] == 1 / 2
    assert [m[f"pts_within_{t}"] for t in THRESHOLDS] == [0, 0, 1, 1, 1]
    # Threshold 1: no hit, one positive, two false alarms. Threshold 4: one of each.
    assert [m[f"jaccard_{t}"] for t in THRESHOLDS] == [0, 0, 1 / 2, 1 / 2, 1 / 2]
    assert m["average_jaccard"] == pytest.approx(0.3)
    assert m["average_pts_within_thresh"] == pytest.approx(0.6)


def test_by_hand_strided_counts_the_frames_before_the_query():
    true_xy, true_visible = four_frames()
    xy = true_xy.copy()
    xy[0] += 50
    m = tapvid_metrics([1], true_xy, true_visible, xy, true_visible, mode="strided")
    assert m["occlusion_accuracy"] == 1
    assert m["pts_within_16"] == 1 / 2
    assert m["jaccard_16"] == 1 / 3  # one hit, two positives, one false alarm


def test_a_distance_equal_to_the_threshold_is_not_within():
    true_xy, true_visible = np.zeros((2, 1, 2)), np.ones((2, 1), bool)
    xy = true_xy + np.array([4.0, 0.0])
    m = tapvid_metrics([0], true_xy, true_visible, xy, true_visible)
    assert (m["pts_within_4"], m["pts_within_8"]) == (0, 1)


def test_distances_are_measured_at_256_pixels():
    true_xy, true_visible = np.zeros((2, 1, 2)), np.ones((2, 1), bool)
    xy = true_xy + np.array(
        [[[0.0, 0.0]], [[9.0, 0.0]]]
    )  # 9 px of 511 are 4.49 px of 255; 9 of 1021 are 2.25
    m = tapvid_metrics([0], true_xy, true_visible, xy, true_visible, image_size=(512, 384))
    assert (m["pts_within_4"], m["pts_within_8"]) == (0, 1)
    m = tapvid_metrics([0], true_xy, true_visible, xy, true_visible, image_size=(1022, 384))
    assert (m["pts_within_2"], m["pts_within_4"]) == (0, 1)


def test_a_missing_position_is_a_miss_and_nothing_visible_is_nan():
    true_xy = np.zeros((3, 2, 2))
    xy = np.full((3, 2, 2), np.nan)
    seen = tapvid_metrics([0, 0], true_xy, np.ones((3, 2), bool), xy, np.zeros((3, 2), bool))
    assert (seen["average_pts_within_thresh"], seen["average_jaccard"]) == (0, 0)
    hidden = tapvid_metrics([0, 0], true_xy, np.zeros((3, 2), bool), xy, np.zeros((3, 2), bool))
    assert np.isnan(hidden["average_jaccard"]) and hidden["occlusion_accuracy"] == 1
    mean = mean_metrics([seen, hidden])
    assert mean["average_jaccard"] == 0 and mean["occlusion_accuracy"] == 1 / 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"xy": np.zeros((3, 2, 2))}, "xy has the shape"),
        ({"query_frames": [0, 7]}, "do not fit a video of 4 frames"),
        ({"query_frames": [0]}, "query_frames has the shape"),
        ({"mode": "last"}, "choose 'first' or 'strided'"),
    ],
)
def test_what_does_not_fit_is_said(change, sentence):
    arguments = {
        "query_frames": [0, 0],
        "true_xy": np.zeros((4, 2, 2)),
        "true_visible": np.ones((4, 2), bool),
        "xy": np.zeros((4, 2, 2)),
        "visible": np.ones((4, 2), bool),
    }
    with pytest.raises(ValueError, match=sentence):
        tapvid_metrics(**(arguments | change))
