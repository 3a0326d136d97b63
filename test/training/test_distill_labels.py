"""Whom to believe: the rule on cases worked by hand."""

from pathlib import Path

import numpy as np
import pytest
from clips import moving_clip

from cotracker_ros.training.cycles import NO_CHECK, check_error, check_frames, cycle_errors
from cotracker_ros.training.drift import drift_errors
from cotracker_ros.training.label_cache import CachedLabels, ClipRecord
from cotracker_ros.training.pseudo_labels import (
    NOBODY,
    LabelConfig,
    disagreement,
    hold,
    label_by_best,
    label_by_one,
    seen,
    steady,
    usable,
)
from cotracker_ros.training.tally import speed_classes, tally
from cotracker_ros.training.teachers import CallableTeacher, TeacherTracks

SIZE = (100, 80)
CONFIG = LabelConfig()
AT = np.array([[0, 50, 40]], np.float32)  # one query, in frame 0


def tracks(xy, visibility) -> TeacherTracks:
    """One point: (T, 2) and (T,)."""
    return TeacherTracks(np.array(xy, np.float32)[:, None], np.array(visibility)[:, None])


def at(x: float, frames: int = 4) -> list[list[float]]:
    return [[x, 40.0]] * frames


def best(teachers, cycles, drifts=None):
    """Labels of the best teacher, by default without any drift."""
    drifts = drifts or [np.zeros((4, 1))] * len(teachers)
    return label_by_best(teachers, cycles, drifts, AT, SIZE, CONFIG)


def errors(*values: float) -> np.ndarray:
    return np.array(values, float)[:, None]


def test_probabilities_are_visible_above_nine_tenths_and_booleans_as_they_are() -> None:
    sure = tracks(at(50), np.array([1.0, 0.91, 0.9, 0.2]))
    assert seen(sure, SIZE, 0.9)[:, 0].tolist() == [True, True, False, False]
    said = tracks(at(50), np.array([True, False, True, True]))
    assert seen(said, SIZE, 0.9)[:, 0].tolist() == [True, False, True, True]


def test_nothing_is_seen_outside_the_image_or_where_there_is_no_position() -> None:
    xy = [[99.0, 40], [99.1, 40], [np.nan, 40], [50, -0.1]]
    assert seen(tracks(xy, np.ones(4, bool)), SIZE, 0.9)[:, 0].tolist() == [True, False, False, False]


def test_only_probabilities_teach_positions_of_hidden_points() -> None:
    hidden = np.zeros(4, bool)[:, None]
    assert usable(tracks([[50, 40], [np.nan, 0], [250, 40], [-90, 40]], np.zeros(4)), hidden, SIZE)[
        :, 0
    ].tolist() == [True, False, False, True]
    assert not usable(tracks(at(50), np.zeros(4, bool)), hidden, SIZE).any()


def test_a_drawn_teacher_is_believed_everything_but_the_query() -> None:
    said = tracks([[51, 40], [52, 40], [53, 40], [54, 40]], np.array([0.2, 0.95, 0.5, 0.99]))
    labels = label_by_one(1, said, AT, SIZE, CONFIG)
    assert labels.known.all()
    assert labels.visible[:, 0].tolist() == [True, True, False, True]
    assert labels.xy[:, 0, 0].tolist() == [50, 52, 53, 54]
    assert (labels.chosen == 1).all()


def test_a_drawn_teacher_of_booleans_teaches_nothing_of_hidden_points() -> None:
    labels = label_by_one(0, tracks(at(51), np.array([True, True, False, True])), AT, SIZE, CONFIG)
    assert labels.known[:, 0].tolist() == [True, True, False, True]
    assert labels.xy[2, 0].tolist() == [51, 40]  # held


def test_the_teacher_that_comes_home_best_wins() -> None:
    two = [tracks(at(50), np.ones(4, bool)), tracks(at(51), np.ones(4, bool))]
    labels = best(two, [errors(0, 1, 1, 1), errors(0, 0.2, 0.2, 0.2)])
    assert labels.chosen[1:, 0].tolist() == [1, 1, 1]
    assert labels.xy[1:, 0, 0].tolist() == [51, 51, 51]


def test_who_does_not_come_home_is_not_believed() -> None:
    one = [tracks(at(50), np.ones(4, bool))]
    labels = best(one, [errors(0, 1, 2.1, np.inf)])
    assert labels.chosen[:, 0].tolist() == [0, 0, NOBODY, NOBODY]
    assert labels.known[:, 0].tolist() == [True, True, False, False]


def test_who_slid_onto_something_else_is_not_believed() -> None:
    two = [tracks(at(50), np.ones(4, bool)), tracks(at(51), np.ones(4, bool))]
    good, slid = errors(0, 1, 1, 1), errors(0, 0, 2.1, np.inf)
    labels = best(two, [np.zeros((4, 1))] * 2, [slid, good])
    assert labels.chosen[:, 0].tolist() == [0, 0, 1, 1]
    labels = best(two[:1], [np.zeros((4, 1))], [slid])
    assert labels.known[:, 0].tolist() == [True, True, False, False]


def test_two_that_disagree_teach_nothing() -> None:
    two = [tracks(at(50), np.ones(4, bool)), tracks(at(54), np.ones(4, bool))]
    labels = best(two, [np.zeros((4, 1))] * 2)
    assert labels.known[:, 0].tolist() == [True, False, False, False]


def test_one_of_three_may_be_wrong() -> None:
    three = [tracks(at(x), np.ones(4, bool)) for x in (80, 50, 50.5)]
    cycles = [errors(0, 0, 0, 0), errors(0, 1, 1, 1), errors(0, 1.5, 1.5, 1.5)]
    labels = best(three, cycles)
    assert labels.chosen[1:, 0].tolist() == [1, 1, 1]


def test_a_teacher_that_does_not_see_the_point_is_not_asked_where_it_is() -> None:
    two = [tracks(at(50), np.ones(4, bool)), tracks(at(90), np.zeros(4, bool))]
    labels = best(two, [np.zeros((4, 1)), np.full((4, 1), np.inf)])
    assert (labels.chosen == 0).all()
    assert labels.visible.all()


def test_a_sure_teacher_beats_a_doubtful_one() -> None:
    two = [tracks(at(50), np.full(4, 0.91)), tracks(at(51), np.full(4, 1.0))]
    labels = best(two, [np.full((4, 1), 1.0)] * 2)
    assert (labels.chosen[1:] == 1).all()


def test_hidden_points_are_labelled_by_those_who_know_of_them_and_come_home() -> None:
    klt = tracks(at(50), np.array([True, True, False, False]))
    network = tracks([[50, 40], [50, 40], [52, 40], [54, 40]], np.array([1, 1, 0.1, 0.1]))
    labels = best([klt, network], [errors(0, 0, np.inf, np.inf), errors(0, 1, 1, 5)])
    assert labels.chosen[:, 0].tolist() == [0, 0, 1, NOBODY]
    assert labels.visible[:, 0].tolist() == [True, True, False, False]
    assert labels.known[:, 0].tolist() == [True, True, True, False]
    assert labels.xy[:, 0, 0].tolist() == [50, 50, 52, 52]


def test_disagreement_is_the_lower_median_to_those_that_count() -> None:
    xy = np.zeros((4, 1, 1, 2))
    xy[:, 0, 0, 0] = [0, 1, 3, 9]
    counted = np.ones((4, 1, 1), bool)
    assert disagreement(xy, counted)[:, 0, 0].tolist() == [3, 2, 3, 8]
    counted[3] = False
    assert disagreement(xy, counted)[:3, 0, 0].tolist() == [1, 1, 2]
    assert np.isnan(disagreement(xy, counted)[3]).all()
    counted[1:] = False
    assert np.isnan(disagreement(xy, counted)).all()


def test_errors_are_averaged_over_neighbouring_candidates_only() -> None:
    error = np.array([1.0, 2, 3, 4, 100, 6])[None, :, None]
    candidates = np.array([1, 1, 1, 1, 0, 1], bool)[None, :, None]
    assert steady(error, candidates)[0, :, 0].tolist() == [2, 2.5, 2.5, 3.75, np.inf, 5]


def test_unknown_positions_are_held_and_the_first_known_one_goes_back() -> None:
    xy = np.array([[0, 0], [1, 1], [9, 9], [3, 3]], np.float32)[:, None]
    known = np.array([False, True, False, True])[:, None]
    assert hold(xy, known)[:, 0, 0].tolist() == [1, 1, 1, 3]


def test_checks_begin_where_the_point_is_seen() -> None:
    sees = np.ones((9, 3), bool)
    sees[7:, 1] = False
    sees[:, 2] = False
    sees[4, 2] = True
    middle, end, before = check_frames(np.array([0, 2, 4]), sees, 2)
    assert middle.tolist() == [4, 5, NO_CHECK]
    assert end.tolist() == [8, 6, NO_CHECK]
    assert before.tolist() == [NO_CHECK, 0, NO_CHECK]


def test_the_error_of_a_check_holds_between_its_frame_and_the_query() -> None:
    there = np.array([[0, 0], [0, 0], [1, 0], [2, 0], [3, 0], [4, 0]], float)[:, None]
    back = tracks([[0, 0], [0, 3], [1, 1], [2, 4], [3, 0], [4, 0]], np.ones(6))
    error = check_error(np.array([[1, 0, 0]], np.float32), there, np.array([4]), back)
    # It misses the query by 3, and passes by the way there at 4 in frame 3.
    assert error[:, 0].tolist() == [np.inf, 3, 3, 4, 3, np.inf]


def test_a_check_that_lost_the_point_shows_nothing() -> None:
    there = np.zeros((4, 1, 2))
    query = np.zeros((1, 3), np.float32)
    lost = tracks(np.zeros((4, 2)), np.array([False, True, True, True]))
    assert np.isinf(check_error(query, there, np.array([3]), lost)).all()
    passed = tracks(np.zeros((4, 2)), np.array([True, True, False, True]))
    assert check_error(query, there, np.array([3]), passed)[:, 0].tolist() == [0, 0, np.inf, 0]


def test_drift_is_found_by_tracking_back_and_what_was_good_before_it_is_kept() -> None:
    """A teacher whose point jumps onto something else in frame 6, where it stays going back as well."""

    def teacher(frames, queries):
        time = np.arange(len(frames))[:, None]
        jumped = np.where(
            queries[:, 0] >= 6, True, time >= 6
        )  # asked from frame 6 on, it follows the other thing
        xy = np.stack(np.broadcast_arrays(np.where(jumped, 30.0, 50.0), 40.0), -1)
        return xy, np.ones(xy.shape[:2], bool)

    frames = np.zeros((9, 80, 100, 3), np.uint8)
    asked = CallableTeacher("drifts", "", teacher)
    said = TeacherTracks(*teacher(frames, AT))
    error = cycle_errors(asked, frames, AT, said, seen(said, SIZE, 0.9), checks=2)
    # From the end it misses the query by 20; the check from the middle, frame 4, comes home.
    assert error[:, 0].tolist() == [0] * 5 + [20] * 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"labels": "best"}, "labels is 'best'; give one of reliable, random, verified"),
        ({"checks": 0}, "checks is 0"),
        ({"max_cycle": 0}, "max_cycle is 0"),
        ({"min_visibility": 1}, "min_visibility is 1"),
        ({"min_reliability": 1}, "min_reliability is 1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LabelConfig(**settings)


def test_drift_is_the_distance_to_the_query_when_matched_straight_back() -> None:
    frames = moving_clip(6, (1.3, -0.7))
    queries = np.array([[1, 60, 60], [1, 90, 50]], np.float32)
    truth = queries[:, 1:] + (np.arange(6)[:, None, None] - 1) * np.array([1.3, -0.7])
    slid = truth + [0.0, 1.5] * np.arange(6)[:, None, None]
    sees = np.ones((6, 2), bool)
    sees[4] = False
    good, bad = drift_errors(frames, queries, truth, sees), drift_errors(frames, queries, slid, sees)
    assert good[sees].max() < 0.1
    assert np.abs(bad - 1.5 * np.arange(6)[:, None])[sees].max() < 0.1
    assert np.isinf(good[4]).all()


def test_labels_are_counted_by_teacher_speed_and_visibility() -> None:
    klt = TeacherTracks(np.zeros((3, 2, 2), np.float32), np.ones((3, 2), bool))
    klt.xy[:, 0, 0] = [0, 1, 2]  # 1 px of 256 a frame
    klt.xy[:, 1, 0] = [0, 4, 8]
    klt.visibility[2, 1] = False
    queries = np.zeros((2, 3), np.float32)
    labels = label_by_one(1, klt, queries, (256, 256), CONFIG)
    record = ClipRecord(str(Path("a.bag")), (0, 1, 2), (256, 256), ("default", "klt"), {}, "")
    cached = CachedLabels(record, queries, labels)
    assert speed_classes(cached).tolist() == [1, 3]
    counts = tally(cached)
    assert counts.sum() == 4  # the two queries do not count
    assert counts[1, 1].tolist() == [0, 2]
    assert counts[1, 3].tolist() == [0, 1]
    assert counts[2, 3].tolist() == [1, 0]
