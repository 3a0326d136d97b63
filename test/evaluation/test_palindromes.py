"""Forward and backward: what comes home, and what videos make of it."""

import cv2
import numpy as np
import pytest
from clips import moving_clip

from cotracker_ros.evaluation.candidates import make_candidates
from cotracker_ros.evaluation.following import Answers
from cotracker_ros.evaluation.palindromes import (
    PalindromeError,
    PalindromeTask,
    VideoClip,
    score_home,
    video_clips,
)


@pytest.fixture
def folder(tmp_path):
    """Eleven images, each of one grey level, its own number."""
    for i in range(11):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((32, 48, 3), i, np.uint8))
    return tmp_path


def answers(ends, visible, turn=(100.0, 0.0)):
    """Five images; tracks start at 0, move to ``turn`` and end at ``ends`` px."""
    xy = np.zeros((5, len(ends), 2), np.float32)
    xy[2] = turn
    xy[4, :, 0] = ends
    seen = np.ones((5, len(ends)), bool)
    seen[4] = visible
    return Answers(xy, seen)


class TestScore:
    def test_by_hand(self):
        # At 511 px one px of the metric is 2 px of the video.
        score = score_home(
            answers([0, 15, 16, 40, 2], [1, 1, 1, 1, 0], turn=(100, 0)), np.zeros((5, 2)), (511, 511)
        )
        m = score.metrics
        assert (m["home_error_median_px"], m["home_error_mean_px"]) == (15, pytest.approx(73 / 5))
        assert (m["home_error_median"], m["home_error_mean"]) == (7.5, pytest.approx(73 / 10))
        assert m["home_survival"] == 2 / 5  # 8 px are too far, and what is not visible is not home
        assert m["visible_at_turn"] == 1
        assert m["travel_median"] == 50
        assert score.errors == [7.5, 0.0]

    def test_a_track_without_an_end_is_infinitely_far(self):
        lost = answers([0, 0, 0], [1, 1, 0])
        lost.xy[4, 2] = np.nan
        m = score_home(lost, np.zeros((3, 2)), (256, 256)).metrics
        assert m["home_error_median"] == 0 and m["home_error_mean"] == np.inf
        assert m["home_survival"] == pytest.approx(2 / 3)


class TestTask:
    def test_klt_comes_home(self):
        clip = VideoClip(moving_clip(8), "moving")
        trial = PalindromeTask(points=20).run(make_candidates(["klt"])[0], clip)
        m = trial.first.metrics
        assert trial.images == 15
        assert m["home_error_median_px"] < 0.1
        assert m["home_survival"] > 0.9
        # Seven steps of (1.3, -0.7) px at 160x120.
        assert m["travel_median"] == pytest.approx(7 * np.hypot(1.3 * 255 / 159, 0.7 * 255 / 119), abs=0.3)
        assert len(trial.first.errors) == 7

    def test_what_has_no_corners_is_no_trial(self):
        blank = VideoClip(np.zeros((4, 64, 64, 3), np.uint8), "blank")
        assert PalindromeTask().run(make_candidates(["klt"])[0], blank) is None


class TestClips:
    def contents(self, clips):
        return [(clip.name.split()[-1], clip.frames[:, 0, 0, 0].tolist()) for clip in clips]

    def test_one_after_the_other(self, folder):
        clips = self.contents(video_clips(folder, frames=4))
        assert clips == [("0", [0, 1, 2, 3]), ("4", [4, 5, 6, 7])]

    def test_from_chosen_images_on(self, folder):
        clips = self.contents(video_clips(folder, frames=3, starts=(6, 1, 2)))
        assert clips == [("1", [1, 2, 3]), ("2", [2, 3, 4]), ("6", [6, 7, 8])]

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"frames": 4, "starts": (0, 9)}, "holds 11 images; a palindrome of images 9 to 12 needs 13"),
            ({"frames": 24}, "holds 11 images; a palindrome of images 0 to 23 needs 24"),
            ({"frames": 1}, "goes nowhere"),
        ],
    )
    def test_videos_that_end_early(self, folder, options, sentence):
        with pytest.raises(PalindromeError, match=sentence):
            list(video_clips(folder, **options))
