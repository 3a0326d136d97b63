"""What a recording is worth, how it is cut, and where its queries are."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import moving_clip, texture
from listed import ListedRecording

from cotracker_ros.training.cutting import CutConfig, ping_pong, plan_clips, read_clips, shrink
from cotracker_ros.training.footage import (
    FootageError,
    check_footage,
    fastest_motion,
    is_sharp,
    look_through,
    numbered_images,
)
from cotracker_ros.training.sift_queries import sift_queries

CONFIG = CutConfig(frames=8, min_images=6)


def recording(images) -> ListedRecording:
    return ListedRecording(images, Path("lab.bag"))


def test_images_that_repeat_cannot_be_read_or_have_another_size_are_not_kept() -> None:
    a, b, c, d = moving_clip(4)
    found = look_through(recording([a, a, b, None, c[:50], c, c, d]), 512)
    assert found.numbers.tolist() == [0, 2, 4, 6]
    assert (found.images, found.unreadable, found.left_out) == (7, 1, "broken")
    assert look_through(recording([a, b]), 512).left_out == ""
    twice = look_through(recording([None, a, b, None]), 512).left_out
    assert twice == "2 times something could not be read, last: broken"


def test_motion_is_that_of_the_corners_in_px_of_the_clips_images() -> None:
    frames = moving_clip(4, (3.0, 4.0))
    assert look_through(recording(frames), 512).median_motion == pytest.approx(5, abs=0.1)
    assert look_through(recording(frames), 80).median_motion == pytest.approx(2.5, abs=0.1)


def test_what_moves_in_front_of_a_camera_on_a_stand_counts_as_motion() -> None:
    first = texture()
    second = first.copy()
    moved = texture(seed=7)
    first[20:80, 20:80], second[20:80, 23:83] = moved[20:80, 20:80], moved[20:80, 20:80]
    assert fastest_motion(first, second) == pytest.approx(3, abs=0.3)


def test_a_cut_to_another_scene_is_no_stillness() -> None:
    assert fastest_motion(texture(), texture(seed=5)) == np.inf


def test_an_image_is_blurred_as_compared_with_its_neighbours() -> None:
    assert is_sharp(np.array([100.0, 90, 20, 95, 100])).tolist() == [True, True, False, True, True]
    assert is_sharp(np.full(5, 3.0)).all()  # a plain wall


def test_short_recordings_and_repeated_images_are_refused_with_their_numbers() -> None:
    a, b, c = moving_clip(3)
    with pytest.raises(FootageError, match=r"kitchen is too short: 3 of its 3 images .* at least 6"):
        check_footage(look_through(recording([a, b, c]), 512), "kitchen", CONFIG)
    with pytest.raises(FootageError, match=r"kitchen is too still: 3 of its 8 images .* at least 6"):
        check_footage(look_through(recording([a, b, c, c, c, c, c, c]), 512), "kitchen", CONFIG)


def test_a_still_camera_is_refused_though_its_sensor_is_noisy() -> None:
    rng = np.random.default_rng(0)
    scene = texture().astype(float)
    images = [np.clip(scene + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    found = look_through(recording(images), 512)
    assert len(found.numbers) == 8
    with pytest.raises(FootageError, match=r"kitchen is too still: .* 0\.\d\d px an image .* at least 0\.2"):
        check_footage(found, "kitchen", CONFIG)


def test_ping_pong_turns_round_at_both_ends() -> None:
    assert ping_pong(9, 4).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert ping_pong(5, 20, 3).tolist() == [0, 3, 6, 9, 12]
    assert ping_pong(3, 1).tolist() == [0, 0, 0]


def test_clips_use_all_strides_and_the_whole_recording() -> None:
    plans = plan_clips(np.arange(200), CutConfig(frames=8, clips=40, max_stride=3), seed=1)
    assert len(plans) == 40
    assert {int(step) for plan in plans for step in np.diff(plan)} == {1, 2, 3}
    assert min(plan.min() for plan in plans) < 10
    assert max(plan.max() for plan in plans) > 190
    assert all(plan.min() >= 0 and plan.max() < 200 for plan in plans)
    again = plan_clips(np.arange(200), CutConfig(frames=8, clips=40, max_stride=3), seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(plans, again, strict=True))


def test_as_many_clips_as_use_every_image_once_and_short_recordings_are_extended() -> None:
    assert len(plan_clips(np.arange(100), CutConfig(frames=10), seed=0)) == 10
    (plan,) = plan_clips(np.arange(6), CutConfig(frames=10), seed=0)
    assert plan.tolist() == [0, 1, 2, 3, 4, 5, 4, 3, 2, 1]


def test_clips_are_read_in_one_pass_with_their_own_images() -> None:
    images = [np.full((8, 10, 3), i, np.uint8) for i in range(12)]
    clips = [(0, 2, 4), (3, 4, 3), (5, 6, 7)]
    found = dict(read_clips(numbered_images(recording(images)), clips, 512))
    assert {index: tuple(frames[:, 0, 0, 0].tolist()) for index, frames in found.items()} == dict(
        enumerate(clips)
    )


def test_large_images_are_scaled_down_and_small_ones_left_alone() -> None:
    image = np.zeros((60, 100, 3), np.uint8)
    assert shrink(image, 50).shape == (30, 50, 3)
    assert shrink(image, 200) is image


@pytest.mark.parametrize(
    ("settings", "words"), [({"frames": 3}, "frames is 3"), ({"clips": -1}, "clips is -1")]
)
def test_impossible_cuts_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CutConfig(**settings)


def test_queries_are_distinct_whole_pixels_in_sharp_frames_of_the_first_quarter() -> None:
    allowed = np.ones(16, bool)
    allowed[[0, 3]] = False
    queries = sift_queries(moving_clip(16), 24, query_frames=8, seed=3, allowed=allowed)
    assert queries.shape == (24, 3)
    assert np.array_equal(queries, queries.round())
    assert set(queries[:, 0].tolist()) == {1, 2, 4}
    assert len(np.unique(queries, axis=0)) == 24
    assert ((queries[:, 1:] >= 0) & (queries[:, 1:] < (160, 120))).all()


def test_queries_lie_where_there_is_something_to_see() -> None:
    frames = np.full((8, 120, 160, 3), 128, np.uint8)
    for at in ((40, 30), (100, 80)):
        cv2.circle(frames[0], at, 6, (255, 255, 255), -1)
    frames[:] = frames[0]
    queries = sift_queries(frames, 2, query_frames=1, seed=0, allowed=np.ones(8, bool))
    nearest = np.linalg.norm(queries[:, None, 1:] - [[40, 30], [100, 80]], axis=-1).min(1)
    assert (nearest < 8).all()


def test_a_plain_clip_gives_fewer_queries_than_asked_for() -> None:
    frames = np.full((8, 120, 160, 3), 128, np.uint8)
    assert not len(sift_queries(frames, 20, query_frames=8, seed=0, allowed=np.zeros(8, bool)))
