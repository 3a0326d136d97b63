"""Training clips: the same for the same seed, and with the motion and occlusion that training needs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from cotracker_ros.synthetic import texture_bank
from cotracker_ros.synthetic.training_clip import ClipConfig, ClipConfigError, training_clip


@pytest.fixture(autouse=True, scope="module")
def few_textures() -> Iterator[None]:
    """A small stock, so that tests do not wait for the whole one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texture_bank, "_SLOTS", {False: 8, True: 8})
        yield


SMALL = ClipConfig(frames=12, width=96, height=80, tracks=24)


@pytest.fixture(scope="module")
def clips() -> list:
    config = ClipConfig(frames=20, width=128, height=128, tracks=48)
    return [training_clip(seed, config) for seed in range(24)]


def test_same_seed_same_clip_and_other_seed_another() -> None:
    first, again, other = training_clip(5, SMALL), training_clip(5, SMALL), training_clip(6, SMALL)
    for name in ("frames", "xy", "visible", "known"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.frames, other.frames)


def test_earlier_clips_do_not_change_later_ones() -> None:
    first = training_clip(7, SMALL)
    for seed in (400, 3):
        training_clip(seed, SMALL)
    np.testing.assert_array_equal(training_clip(7, SMALL).frames, first.frames)


def test_held_out_clips_are_others() -> None:
    held_out = training_clip(5, ClipConfig(12, 96, 80, 24, held_out=True))
    assert not np.array_equal(held_out.frames, training_clip(5, SMALL).frames)


def test_shapes_types_and_ranges() -> None:
    clip = training_clip(8, SMALL)
    assert clip.frames.shape == (12, 80, 96, 3)
    assert clip.xy.shape == (12, 24, 2)
    assert clip.xy.dtype == np.float32
    assert np.isfinite(clip.xy).all()
    inside = np.all((clip.xy >= -0.5) & (clip.xy < np.array([95.5, 79.5])), axis=-1)
    assert not (clip.visible & ~inside).any()


def test_every_track_is_seen_in_three_frames_and_early(clips: list) -> None:
    for clip in clips:
        assert (clip.visible.sum(axis=0) >= 3).all()
        assert clip.visible[: len(clip) // 2 + 1].any(axis=0).all()


def test_many_tracks_are_hidden_and_return(clips: list) -> None:
    hidden, returns = [], []
    for clip in clips:
        before = np.maximum.accumulate(clip.visible, axis=0)
        gone = np.maximum.accumulate(before & ~clip.visible, axis=0)
        hidden.append(gone[-1].mean())
        returns.append((gone & clip.visible).any(axis=0).mean())
    assert 0.2 < np.mean(hidden) < 0.5
    assert np.mean(returns) > 0.12
    assert np.mean([clip.visible.mean() for clip in clips]) > 0.7
    assert np.mean([clip.known.mean() for clip in clips]) > 0.9


def stretches(there: np.ndarray) -> list[tuple[int, int]]:
    """Begin and length of each stretch of a (T,) bool in which it holds."""
    edges = np.flatnonzero(np.diff(np.r_[False, there, False].astype(int)))
    return [(int(begin), int(end - begin)) for begin, end in edges.reshape(-1, 2)]


def test_some_occlusions_are_long_some_repeated_and_some_things_leave_the_image_and_return(
    clips: list,
) -> None:
    long = repeated = left = 0
    for clip in clips:
        inside = np.all((clip.xy >= -0.5) & (clip.xy < np.array(clip.size) - 0.5), axis=-1)
        for seen, within in zip(clip.visible.T, inside.T, strict=True):
            first, last = np.flatnonzero(seen)[[0, -1]]
            hidden = stretches(~seen[first : last + 1])
            long += any(length >= 8 for _, length in hidden)  # of 20 images
            repeated += len(hidden) > 1
            left += not within[first : last + 1].all()
    assert min(long, repeated, left) > 0.01 * 24 * 48


def test_slow_and_fast_motion(clips: list) -> None:
    speeds = np.concatenate([np.linalg.norm(np.diff(clip.xy, axis=0), axis=-1).ravel() for clip in clips])
    speeds *= 256 / 128
    assert (speeds < 0.5).mean() > 0.1
    assert (speeds > 3).mean() > 0.15


def test_a_patch_looks_alike_along_its_track(clips: list) -> None:
    # Tracks of another scene would agree in hardly any of these.
    def agreement(clip, xy: np.ndarray) -> list[float]:
        values = []
        for n in range(clip.xy.shape[1]):
            if not clip.visible[:2, n].all():
                continue
            patches = [
                cv2.getRectSubPix(clip.frames[t], (13, 13), tuple(map(float, xy[t, n]))) for t in (0, 1)
            ]
            a, b = (patch.astype(float).ravel() - patch.mean() for patch in patches)
            values.append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9)))
        return values

    true = np.concatenate([agreement(clip, clip.xy) for clip in clips])
    wrong = np.concatenate(
        [agreement(clip, clip.xy + np.arange(len(clip))[:, None, None] * 9) for clip in clips]
    )
    assert np.median(true) > 0.85
    assert np.median(wrong) < 0.7


@pytest.mark.parametrize(("name", "value"), [("frames", 2), ("width", 8), ("height", 8), ("tracks", 0)])
def test_impossible_sizes_are_refused(name: str, value: int) -> None:
    with pytest.raises(ClipConfigError, match=f"{name} is {value}"):
        ClipConfig(**{name: value})


def test_speed() -> None:
    # About 0.1 s; the bound only catches an order of magnitude.
    config = ClipConfig()
    training_clip(0, config)
    start = time.process_time()
    for seed in range(1, 5):
        training_clip(seed, config)
    assert (time.process_time() - start) / 4 < 1.5
