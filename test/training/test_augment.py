"""Changed clips: the things in them are where their tracks say, and hidden points are hidden."""

import numpy as np
import pytest

from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.augment import augment, blur, crop, erase, flip, jitter_colours

SIZE = (120, 90)
SIGMA = 2.0


def spots(frames: int = 6, seed: int = 0) -> LabelledClip:
    """Five bright spots that drift, on black, each a point of the clip."""
    rng = np.random.default_rng(seed)
    start = np.array([[30, 25], [85, 25], [60, 45], [30, 65], [85, 65]], float)
    xy = start + np.cumsum(rng.uniform(-1, 1, (frames, 5, 2)), 0)
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    images = np.zeros((frames, SIZE[1], SIZE[0], 3))
    for t in range(frames):
        for px, py in xy[t]:
            images[t] += 200 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * SIGMA**2))[..., None]
    shown = np.ones((frames, 5), bool)
    return LabelledClip(np.round(images).astype(np.uint8), xy.astype(np.float32), shown, shown, "spots")


def brightest(clip: LabelledClip, t: int, near: np.ndarray) -> np.ndarray:
    """Where the middle of the spot near a position is."""
    x, y = np.meshgrid(np.arange(clip.size[0]), np.arange(clip.size[1]))
    around = (np.abs(x - near[0]) <= 9) & (np.abs(y - near[1]) <= 9)
    weight = clip.frames[t, ..., 0] * around.astype(float)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def worst_error(clip: LabelledClip) -> float:
    """Largest distance between spots and their tracks, of those that are not near an edge."""
    inside = ((clip.xy >= 10) & (clip.xy <= np.array(clip.size) - 11)).all(-1)
    places = np.argwhere(clip.visible & inside)
    assert len(places) > 5
    return max(
        float(np.linalg.norm(brightest(clip, t, clip.xy[t, n]) - clip.xy[t, n])) for t, n in places.tolist()
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_crop_takes_the_tracks_along(seed: int) -> None:
    cut = crop(spots(), (100, 72), np.random.default_rng(seed))
    assert cut.frames.shape == (6, 72, 100, 3)
    assert worst_error(cut) < 0.15
    outside = ((cut.xy < 0) | (cut.xy > (99, 71))).any(-1)
    assert not cut.visible[outside].any()
    assert cut.visible[~outside].all()


def test_a_crop_larger_than_the_image_is_filled() -> None:
    cut = crop(spots(), (200, 160), np.random.default_rng(1))
    assert cut.size == (200, 160)
    assert (np.diff(cut.xy[0, [0, 1], 0]) > 68).all()  # 55 px apart before


def test_a_crop_moves_like_a_hand_and_the_same_again() -> None:
    still = spots()
    still = LabelledClip(
        still.frames[[0] * 20], still.xy[[0] * 20], still.visible[[0] * 20], still.known[[0] * 20]
    )
    cut = crop(still, (60, 40), np.random.default_rng(3))
    steps = np.linalg.norm(np.diff(cut.xy, axis=0), axis=-1)
    assert 0.5 < steps.mean() < 40
    again = crop(still, (60, 40), np.random.default_rng(3))
    assert np.array_equal(cut.frames, again.frames)
    assert np.array_equal(cut.xy, again.xy)


def test_a_crop_begins_around_what_is_visible() -> None:
    clip = spots()
    visible = clip.visible.copy()
    visible[0, 1:] = False
    cut = crop(LabelledClip(clip.frames, clip.xy, visible, clip.known), (40, 30), np.random.default_rng(0))
    assert np.linalg.norm(cut.xy[0, 0] - (19.5, 14.5)) < 1e-3


def test_tracks_that_go_far_away_are_left_out_but_not_what_is_unknown() -> None:
    clip = spots()
    xy, known = clip.xy.copy(), clip.known.copy()
    xy[3, 0] = (5000, 0)
    xy[3, 1] = (5000, 0)
    known[3, 1] = False
    visible = clip.visible & known
    visible[3, 0] = False
    cut = crop(LabelledClip(clip.frames, xy, visible, known), (100, 72), np.random.default_rng(0))
    assert cut.xy.shape == (6, 4, 2)
    assert not cut.known[3, 0]


@pytest.mark.parametrize("seed", range(4))
def test_mirrors_take_the_tracks_along(seed: int) -> None:
    assert worst_error(flip(spots(), np.random.default_rng(seed))) < 0.05


def test_both_mirrors_happen() -> None:
    first = {tuple(flip(spots(), np.random.default_rng(s)).xy[0, 0].round(3).tolist()) for s in range(20)}
    assert len(first) == 4


def test_erased_rectangles_hide_what_is_below_them() -> None:
    clip = spots(40)
    erased = erase(clip, np.random.default_rng(0))
    assert np.array_equal(erased.frames[0], clip.frames[0])
    changed = (erased.frames != clip.frames).any((1, 2, 3))
    assert 0.3 < changed.mean() < 0.7
    hidden = np.argwhere(~erased.visible)
    assert len(hidden) > 10
    assert changed[hidden[:, 0]].all()
    for t, n in np.argwhere(erased.visible & changed[:, None]).tolist():  # still there
        x, y = np.round(erased.xy[t, n]).astype(int)
        assert np.array_equal(erased.frames[t, y, x], clip.frames[t, y, x])
    for t, n in hidden.tolist():  # one colour around it
        x, y = np.round(erased.xy[t, n]).astype(int)
        assert erased.frames[t, y, x, 0] < 180
    assert np.array_equal(erased.xy, clip.xy)
    assert clip.visible.all()  # the clip that was given is left alone


def test_colours_and_blur_change_images_only() -> None:
    clip = spots()
    rng = np.random.default_rng(0)
    for changed in (jitter_colours(clip, rng), blur(clip, rng)):
        assert changed.frames.dtype == np.uint8
        assert not np.array_equal(changed.frames, clip.frames)
        assert np.array_equal(changed.xy, clip.xy)
        assert np.array_equal(changed.visible, clip.visible)
        assert worst_error(changed) < 0.15


def test_colours_turn_a_little() -> None:
    red = np.zeros((50, 4, 4, 3), np.uint8)
    red[..., 0] = 200
    one = np.ones((50, 1), bool)
    frames = jitter_colours(
        LabelledClip(red, np.zeros((50, 1, 2), np.float32), one, one), np.random.default_rng(0)
    ).frames.astype(float)
    assert (frames[..., 0] > 1.5 * frames[..., 1:].max(-1)).all()  # still red
    assert len(np.unique(frames[:, 0, 0], axis=0)) > 45  # each frame by itself
    assert frames[..., 0].min() > 200 * 0.8 * 0.8 - 15


def test_everything_together_is_decided_by_the_generator() -> None:
    first, again, other = (augment(spots(), (100, 72), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first.frames, again.frames)
    assert np.array_equal(first.xy, again.xy)
    assert not np.array_equal(first.xy, other.xy)
    assert first.name == "spots"


def test_clips_stay_what_else_they_are() -> None:
    clip = spots()
    clip = LabelledClip(clip.frames, clip.xy, clip.visible, clip.known, "spots", np.array([0, 1, 2, 3, 4]))
    for seed in range(5):
        changed = augment(clip, (64, 48), np.random.default_rng(seed))
        assert changed.query_frames.tolist() == [0, 1, 2, 3, 4]
        assert changed.name == "spots"
