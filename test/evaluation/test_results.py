"""Means and differences of trials, and the tables and JSON that are made of them."""

import json
import math

import numpy as np
import pytest

from cotracker_ros.evaluation.results import SetResult, TrackerResult, paired_difference, to_json
from cotracker_ros.evaluation.tables import markdown_table, set_tables, summary_table
from cotracker_ros.evaluation.tapvid import accuracy, compare
from cotracker_ros.evaluation.track_metrics import track_metrics
from cotracker_ros.evaluation.trials import Score, Trial

NAN = math.nan


def all_metrics(**values):
    """Every metric of a labelled clip, 0.5 unless given."""
    xy, seen = np.zeros((3, 1, 2)), np.ones((3, 1), bool)
    comparison = compare([0], xy, seen, xy, seen)
    names = accuracy(comparison, comparison.counted) | track_metrics(comparison)
    return dict.fromkeys(names, 0.5) | values


def tracker(name, first, final=None, **trial):
    """A result whose trials have these AJs; the final ones are the first ones unless given."""
    final = first if final is None else final
    trials = []
    for index, (early, late) in enumerate(zip(first, final, strict=True)):
        scores = [
            None if aj is None else Score(all_metrics(average_jaccard=aj), [1.0, aj]) for aj in (late, early)
        ]
        timing = {"seconds": 2.0, "images": 48, "delay": 0.0} | trial
        trials.append(Trial(f"clip {index}", scores[0], scores[1], **timing))
    return TrackerResult(name, name.partition(":")[0], trials)


class TestTrackerResult:
    def test_means_leave_out_what_could_not_be_counted(self):
        result = tracker("net", [0.2, NAN, 0.6])
        assert result.mean("first")["average_jaccard"] == pytest.approx(0.4)
        assert result.curve("first") == pytest.approx([1.0, 0.4])

    def test_curves_of_unlike_length(self):
        result = tracker("net", [0.2, 0.6])
        result.trials[1].first.errors.append(7.0)
        assert result.curve("first") == pytest.approx([1.0, 0.4, 7.0])

    def test_answers_are_told_apart_only_if_they_differ(self):
        assert tracker("net", [0.2, NAN]).answers == ("first",)
        assert tracker("net", [0.2, 0.3], [0.2, 0.4]).answers == ("first", "final")
        assert tracker("net", [None, None], [0.2, 0.4]).answers == ("final",)
        assert tracker("net", [None, None], [0.2, 0.4]).mean("first") == {}

    def test_speed_is_that_of_all_images_together(self):
        result = tracker("net", [0.1, 0.1])
        assert result.images_per_second == 24
        result.trials.append(Trial("long", Score({}), None, seconds=8.0, images=24, delay=NAN))
        assert result.images_per_second == 10
        assert result.delay == 0


class TestDifference:
    def scores(self, *values):
        return [Score({"m": value}) for value in values]

    def test_by_hand(self):
        d = paired_difference(self.scores(0.5, 0.6, 0.9), self.scores(0.4, 0.7, 0.6), "m")
        # Differences 0.1, -0.1 and 0.3: mean 0.1, standard deviation 0.2.
        assert d.mean == pytest.approx(0.1)
        assert d.error == pytest.approx(0.2 / math.sqrt(3))
        assert (d.wins, d.clips) == (pytest.approx(2 / 3), 3)

    def test_only_pairs_count(self):
        d = paired_difference(self.scores(0.5, NAN, 0.9), self.scores(NAN, 0.7, 0.6), "m")
        assert (d.mean, d.clips) == (pytest.approx(0.3), 1)
        assert math.isnan(d.error)
        assert paired_difference(self.scores(NAN), self.scores(1.0), "m").clips == 0


def results():
    trackers = [
        tracker("klt", [0.3, 0.5]),
        tracker("klt:max_error=2", [0.5, 0.7]),
        tracker("net", [0.4, 0.8], [0.6, 0.9], delay=3.5),
        tracker("off", [None, None], [0.7, 0.7], delay=NAN),
    ]
    about = {"queries": "first", "starts": [], "frames": [24, 48], "sizes": ["256x256"]}
    return SetResult("boxes", "synthetic", about, trackers, ["empty"])


def test_the_best_klt_is_the_one_with_most_aj():
    assert results().best_klt.name == "klt:max_error=2"


def test_tables():
    text = set_tables(results())
    assert "2 clips, queries first, of 24 to 48 images, 256x256 px." in text
    assert "| net | first | 60.0 | 50.0 |" in text
    assert "| net | final | 75.0 |" in text
    assert "| klt | first = final | 40.0 |" in text
    assert "| 24.0 | 3.5 |" in text and "| 24.0 | whole clip |" in text
    assert "Minus klt:max_error=2" in text
    assert "| net | first | +0.0 ± 10.0 (50 %) | +0.0 ± 0.0 (0 %) |" in text
    assert "| off | final | +10.0 ± 10.0 (50 %) |" in text
    assert "no point to ask for: empty." in text
    # The first that is not KLT is what others, that learned from it perhaps, are compared with.
    _, beside_first = text.split("Minus net, clip by clip")
    assert "| off | final | -5.0 ± 15.0 (50 %) |" in beside_first
    assert "klt" not in beside_first


def test_a_single_tracker_beside_klt_is_compared_with_klt_only():
    text = set_tables(SetResult("boxes", "synthetic", {}, [tracker("klt", [0.1]), tracker("net", [0.2])]))
    assert text.count("clip by clip") == 1


def test_the_summary_has_a_row_for_each_tracker_and_answer():
    other = SetResult("more", "tapvid", {}, [tracker("klt", [0.1]), tracker("net", [0.2])])
    lines = summary_table([results(), other]).splitlines()
    assert lines[0] == "| tracker | answers | boxes: AJ | more: AJ | images/s | delay |"
    assert [line.split(" | ")[:4] for line in lines[2:]] == [
        ["| klt", "first = final", "40.0", "10.0"],
        ["| klt:max_error=2", "first = final", "60.0", "–"],
        ["| net", "first", "60.0", "20.0"],
        ["| net", "final", "75.0", "20.0"],
        ["| off", "final", "70.0", "–"],
    ]


def test_bars_do_not_break_a_table():
    assert markdown_table(["a", "b"], [["x|y", "1"]]).splitlines()[2] == "| x\\|y | 1 |"


def test_json_is_strict_and_complete():
    result = results()
    result.trackers[0].trials[0].first.metrics["return_average_jaccard"] = NAN
    content = json.loads(json.dumps(to_json([result], {"cores": 2}), allow_nan=False))
    (found,) = content["sets"]
    assert content["about"] == {"cores": 2}
    assert (found["clips"], found["skipped"]) == (["clip 0", "clip 1"], ["empty"])
    klt, _, net, off = found["trackers"]
    assert klt["first"]["clips"][0]["metrics"]["return_average_jaccard"] is None
    assert net["first"]["mean"]["average_jaccard"] == pytest.approx(0.6)
    assert net["final"]["mean"]["average_jaccard"] == pytest.approx(0.75)
    assert (net["delay"], off["delay"], off["first"]) == (3.5, None, None)
