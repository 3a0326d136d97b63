"""Streams as they really come."""

import threading

import numpy as np
import pytest
from clips import moving_clip, small_network, texture

from cotracker_ros.tracking import KltTracker, SessionConfig, StreamTracker, TrackerConfig, TrackingSession

MS = 1_000_000
NETWORK = TrackerConfig(update_every=1, iterations=1, revise=0, input_width=0, input_height=0)


def session(**settings):
    return TrackingSession(KltTracker(TrackerConfig(max_tracks=200)), SessionConfig(**settings))


@pytest.fixture(scope="module")
def frames():
    return moving_clip(12)


@pytest.mark.parametrize(("seed", "least"), [("grid", 40), ("corners", 20), ("none", 0)])
def test_the_first_image_is_seeded(frames, seed, least):
    one = session(seed=seed, seed_count=50)
    (answer,) = one.process(frames[0], 5)
    assert least <= len(answer) <= 60
    assert answer.stamp == 5
    assert answer.frame == 0


def test_stamps_that_stand_still_or_step_back_a_little_are_dropped(frames):
    one = session(seed="grid")
    one.process(frames[0], 100 * MS)
    assert one.process(frames[1], 100 * MS) == []
    assert one.process(frames[1], 60 * MS) == []
    assert one.counters.stale == 2
    assert "behind" in one.last_event
    (answer,) = one.process(frames[2], 150 * MS)
    assert (answer.frame, answer.epoch) == (1, 0)


def test_a_bag_that_loops_begins_a_new_epoch(frames):
    one = session(seed="grid", seed_count=20)
    (before,) = one.process(frames[0], 10_000 * MS)
    one.process(frames[1], 10_033 * MS)
    (after,) = one.process(frames[0], 0)
    assert (after.epoch, after.frame, len(after)) == (1, 0, len(before))
    assert after.ids.min() > before.ids.max()
    assert one.counters.restarts == 1
    assert "jumped back by 10.033 s" in one.last_event


@pytest.mark.parametrize("make", [KltTracker, lambda: StreamTracker(small_network(), NETWORK)])
def test_tracks_survive_a_change_of_the_image_size(frames, make):
    one = TrackingSession(make())
    ids = one.add_points([[40, 60], [80, 30]], ["cup", "lid"])
    for index in range(3):
        (before, *_) = one.process(frames[index], index * MS)
    small = texture((80, 60))
    (after,) = one.process(small, 3 * MS)
    assert after.epoch == before.epoch + 1
    assert after.ids.tolist() == ids.tolist()
    assert after.labels == ("cup", "lid")
    scale = (np.array([80, 60]) - 1) / (np.array([160, 120]) - 1)
    if isinstance(one.tracker, KltTracker):
        assert np.allclose(after.xy, before.xy * scale, atol=1e-4)
    assert one.add_points([[1, 1]])[0] > max(ids)


@pytest.mark.parametrize(
    "image", [np.zeros((0, 10, 3), np.uint8), np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.float32)]
)
def test_impossible_images_are_counted_and_harm_nothing(frames, image):
    one = session(seed="grid", seed_count=20)
    one.process(frames[0], MS)
    assert one.process(image, 2 * MS) == []
    assert one.counters.rejected == 1
    (answer,) = one.process(frames[1], 3 * MS)
    assert (answer.epoch, answer.frame) == (0, 1)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[200, 10]], "outside the image of 160x120"),
        ([[np.nan, 10]], "finite"),
        (np.zeros((0, 2)), "no points"),
        (np.full((500, 2), 9.0), "room for"),
        ([[1, 2, 3]], r"give \(N, 2\)"),
    ],
)
def test_impossible_queries_are_refused_whole(frames, points, words):
    one = session(seed="grid", seed_count=20)
    (before,) = one.process(frames[0], MS)
    with pytest.raises(ValueError, match=words):
        one.add_points(points)
    (after,) = one.process(frames[1], 2 * MS)
    assert after.ids.tolist() == before.ids.tolist()


def test_labels_must_match(frames):
    with pytest.raises(ValueError, match="2 labels for 3 points"):
        session().add_points([[1, 1], [2, 2], [3, 3]], ["a", "b"])


def test_regions(frames):
    one = session()
    with pytest.raises(ValueError, match="no image has been seen"):
        one.add_box((0, 0, 10, 10), count=4)
    one.process(frames[0], MS)
    assert len(one.add_box((20, 20, 40, 30), spacing=10, label="box")) == 12
    mask = np.zeros((120, 160), bool)
    mask[50:90, 60:120] = True
    assert 15 <= len(one.add_mask(mask, count=20)) <= 25
    (answer,) = one.process(frames[1], 2 * MS)
    inside = answer.xy[12:].round().astype(int)
    assert mask[inside[:, 1], inside[:, 0]].mean() > 0.8
    for call, words in (
        (lambda: one.add_box((500, 20, 10, 10), count=4), "outside the image"),
        (lambda: one.add_box((0, 0, 10, 10)), "exactly one"),
        (lambda: one.add_mask(mask[:10], count=4), "give a mask of the image's size"),
        (lambda: one.add_mask(mask & False, count=4), "mask is empty"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_removal_by_id_label_and_all(frames):
    one = session()
    ids = one.add_points([[10, 10], [20, 20], [30, 30], [40, 40]], ["a", "b", "b", "c"])
    one.process(frames[0], MS)
    assert one.remove(labels=["b"]) == 2
    with pytest.raises(ValueError, match=r"removed 1 tracks; there is no track 77, 'nobody'"):
        one.remove([ids[0], 77], ["nobody"])
    assert one.remove(everything=True) == 1
    assert len(one.process(frames[1], 2 * MS)[0]) == 0


def test_lost_tracks_retire_and_empty_regions_fill_up():
    frames = moving_clip(40, (3.0, 0.0), size=(200, 120))
    one = session(seed="corners", seed_count=60, budget=60, replenish_every=2, retire_after=5)
    for index, frame in enumerate(frames):
        visible = frame.copy()
        visible[:, :60] = 0 if index < 20 else visible[:, :60]  # the left part shows nothing at first
        (answer,) = one.process(visible, index * MS)
    assert one.counters.retired > 0
    assert len(answer) <= 60
    assert (answer.xy[answer.visible][:, 0] < 60).any()
    assert answer.visible.mean() > 0.8


def test_what_is_long_out_of_sight_makes_room_but_never_what_was_asked_for():
    """The view moves on by its whole width; with every place taken, all would be blind in the end."""
    frames = moving_clip(100, (3.0, 0.0), size=(200, 120))
    one = session(seed="corners", seed_count=60, budget=60, replenish_every=2)
    one.process(frames[0], 0)
    asked = one.add_points([[60.0, 60.0], [80.0, 40.0]], "cup")
    for index, frame in enumerate(frames[1:], start=1):
        (answer,) = one.process(frame, index * MS)
    assert not answer.visible[np.isin(answer.ids, asked)].any()
    assert set(asked) <= set(answer.ids)
    assert len(answer) <= 60
    assert answer.visible.sum() > 30
    assert one.counters.retired > 20


def test_services_may_call_while_images_come(frames):
    one, errors = session(seed="grid", seed_count=50), []

    def feed():
        try:
            for index in range(60):
                one.process(frames[index % 12], index * MS)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=feed)
    thread.start()
    while thread.is_alive():
        ids = one.add_points([[50, 50], [60, 60]])
        one.remove(ids)
    thread.join()
    assert not errors
    assert one.counters.images == 60


def test_reset_and_finish(frames):
    one = session(seed="grid", seed_count=10)
    one.process(frames[0], MS)
    one.reset()
    (answer,) = one.process(frames[1], MS)
    assert answer.epoch == 1
    assert one.finish() == []
    with pytest.raises(ValueError, match="finished"):
        one.process(frames[2], 2 * MS)
