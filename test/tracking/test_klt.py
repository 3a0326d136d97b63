import numpy as np
import pytest
from clips import moving_clip, texture

from cotracker_ros.tracking import KltConfig, KltTracker, TrackerConfig, TrackFlag, track_video


def test_a_moving_picture_is_followed_to_a_twentieth_of_a_pixel():
    """Also fixes the pixel convention: the truth is a pure shift of positions."""
    step = np.array([1.3, -0.7])
    frames = moving_clip(12, tuple(step))
    start = np.array([[40.0, 60.0], [75.25, 80.5], [60.5, 50.75], [90, 90]])
    queries = np.concatenate([np.zeros((4, 1)), start], 1)
    result = track_video(frames, queries, tracker="klt")
    truth = start + step * np.arange(12)[:, None, None]
    assert result.visible.all()
    assert np.abs(result.xy - truth).max() < 0.05


def test_a_covered_point_is_lost_and_stays_where_it_was_seen():
    frames = moving_clip(10, (0.5, 0.0))
    frames[6:, 40:80, 50:90] = texture((40, 40), seed=9)
    tracker = KltTracker(TrackerConfig(lost_after=2))
    covered, free = tracker.add_points([[66, 60], [30, 90]])
    answers = [tracker.track(frame)[0] for frame in frames]
    assert answers[5].visible.tolist() == [True, True]
    assert answers[6].visible.tolist() == [False, True]
    assert np.array_equal(answers[9].xy[0], answers[5].xy[0])
    assert answers[9].visibility[0] == 0
    lost = [bool(answer.flags[0] & TrackFlag.LOST) for answer in answers]
    assert lost == [False] * 7 + [True] * 3
    assert tracker.ids.tolist() == [covered, free]


def test_points_added_later_begin_at_the_newest_image():
    step = np.array([1.0, 0.5])
    frames = moving_clip(6, tuple(step))
    tracker = KltTracker()
    for frame in frames[:3]:
        tracker.track(frame)
    tracker.add_points([[60, 60]])
    for frame in frames[3:]:
        (answer,) = tracker.track(frame)
    assert np.abs(answer.xy[0] - ([60, 60] + 3 * step)).max() < 0.05
    assert answer.age.tolist() == [3]
    assert answer.rgb[0].tolist() == frames[2][60, 60].tolist()


def test_a_point_that_leaves_the_image_is_not_in_it():
    frames = moving_clip(12, (-2.0, 0.0))
    tracker = KltTracker()
    tracker.add_points([[6, 60]])
    answers = [tracker.track(frame)[0] for frame in frames]
    assert answers[0].visible[0]
    assert not answers[-1].visible[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"window": 20}, "window is 20"), ({"levels": 9}, "levels is 9"), ({"max_error": 0}, "max_error is 0")],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        KltConfig(**settings)
