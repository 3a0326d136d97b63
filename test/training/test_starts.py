"""First guesses of a stream: what Lucas-Kanade makes of answers that are right now and then."""

from dataclasses import replace

import numpy as np
import pytest
from drifting import drifting_clip

from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.tracking.lucas_kanade import Followed
from cotracker_ros.training import starts as starts_module
from cotracker_ros.training.starts import Starts, lucas_kanade_starts


class NeverPutBack:
    """A generator whose shares never put a track back, for the rest a real one."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def random(self, count: int) -> np.ndarray:
        return np.ones(count)

    def __getattr__(self, name: str):
        return getattr(self._rng, name)


def still(frames: int = 10, tracks: int = 12) -> LabelledClip:
    """A clip in which nothing moves and nothing hides."""
    one = drifting_clip(2, frames=1, size=(96, 64), tracks=tracks)
    shown = np.ones((frames, tracks), bool)
    image, xy = np.repeat(one.frames, frames, 0), np.repeat(one.xy, frames, 0)
    image[:, :, :4] = image[:, :, 4:8]  # the bar of the drifting clip
    return LabelledClip(image, xy, shown, shown)


def shifting(speed: tuple[int, int], frames: int = 8) -> LabelledClip:
    """A textured plane that moves by whole pixels; the points are in its middle."""
    rng = np.random.default_rng(0)
    plane = np.kron(rng.integers(0, 255, (40, 40, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    x, y = np.meshgrid([40, 50, 60], [35, 45, 55])
    start = np.stack([x.ravel(), y.ravel()], -1).astype(np.float32)
    images = [plane[32 - t * speed[1] :, 32 - t * speed[0] :][:96, :112] for t in range(frames)]
    xy = np.stack([start + np.array(speed) * t for t in range(frames)]).astype(np.float32)
    shown = np.ones(xy.shape[:2], bool)
    return LabelledClip(np.stack(images), xy, shown, shown)


def errors(starts: Starts, clip: LabelledClip) -> np.ndarray:
    return np.linalg.norm(starts.xy - clip.xy, axis=-1)


def test_where_nothing_moves_a_track_stays_where_it_was_answered() -> None:
    clip = still()
    starts = lucas_kanade_starts(clip, NeverPutBack(0))  # type: ignore[arg-type]
    assert errors(starts, clip).max() < 0.01
    assert (starts.visibility[1:] > 0).all()
    assert (starts.confidence[1:] > 0).all()


def test_the_first_frame_is_the_query() -> None:
    clip = still()
    starts = lucas_kanade_starts(clip, np.random.default_rng(0))
    assert np.array_equal(starts.xy[0], clip.xy[0])
    assert not starts.visibility[0].any()
    assert not starts.confidence[0].any()


@pytest.mark.parametrize("speed", [(1, 0), (2, 1), (0, -2)])
def test_tracks_follow_what_moves(speed: tuple[int, int]) -> None:
    clip = shifting(speed)
    starts = lucas_kanade_starts(clip, NeverPutBack(1))  # type: ignore[arg-type]
    assert np.median(errors(starts, clip)) < 0.2


def test_tracks_begin_in_the_frames_of_their_queries() -> None:
    clip = shifting((2, 1))
    begin = np.arange(9) % 4
    starts = lucas_kanade_starts(replace(clip, query_frames=begin), NeverPutBack(1))  # type: ignore[arg-type]
    before = np.arange(8)[:, None] <= begin
    queries = np.broadcast_to(clip.xy[begin, np.arange(9)], clip.xy.shape)
    assert np.array_equal(starts.xy[before], queries[before])
    assert not starts.visibility[before].any()
    assert not starts.confidence[before].any()
    assert (np.abs(starts.visibility[~before]) >= 0.5).all()
    assert np.median(errors(starts, clip)[~before]) < 0.2


def played(monkeypatch: pytest.MonkeyPatch, home: np.ndarray) -> None:
    """Let Lucas-Kanade move those who come home by (2, 1), and the others anywhere."""

    def follow(first, second, xy, config) -> Followed:
        moved = np.where(home[:, None], xy + np.float32([2, 1]), 1000).astype(np.float32)
        return Followed(moved, np.where(home, 0, np.inf).astype(np.float32), home)

    monkeypatch.setattr(starts_module, "follow", follow)


def test_lost_points_move_as_their_neighbours_do_and_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = shifting((2, 1))
    home = np.arange(9) != 4
    played(monkeypatch, home)
    starts = lucas_kanade_starts(clip, NeverPutBack(1))  # type: ignore[arg-type]
    assert errors(starts, clip).max() < 1e-4
    assert (starts.confidence[1:, home] >= 0.5).all()
    assert (starts.confidence[1:, 4] <= 1).all()  # at most 5, less 4


def test_points_stay_where_everything_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = shifting((2, 1))
    played(monkeypatch, np.zeros(9, bool))
    starts = lucas_kanade_starts(clip, NeverPutBack(1))  # type: ignore[arg-type]
    assert np.array_equal(starts.xy, np.repeat(clip.xy[:1], len(clip), 0))


def test_tracks_are_put_back_now_and_then() -> None:
    clip = still(frames=24, tracks=40)
    away = LabelledClip(
        clip.frames, clip.xy + np.arange(24)[:, None, None].astype(np.float32), clip.visible, clip.known
    )
    # The truth walks away from what the images show, by t * sqrt(2).
    never = errors(lucas_kanade_starts(away, NeverPutBack(0)), away)  # type: ignore[arg-type]
    some = errors(lucas_kanade_starts(away, np.random.default_rng(0)), away)
    assert np.median(never[-1]) > 30
    assert np.median(some[-1]) < 15
    assert some[-1].max() > 20  # a fifth never is


def test_hidden_points_are_put_back_less_often() -> None:
    clip = still(frames=40, tracks=40)
    walk = clip.xy + np.arange(40)[:, None, None].astype(np.float32)
    seen = LabelledClip(clip.frames, walk, clip.visible, clip.known)
    visible = clip.visible.copy()
    visible[1:] = False
    hidden = LabelledClip(clip.frames, walk, visible, clip.known)
    open_eyes, blind = (
        errors(lucas_kanade_starts(c, np.random.default_rng(0)), c)[20:] for c in (seen, hidden)
    )
    assert np.median(blind) > 1.5 * np.median(open_eyes)


def test_beliefs_are_wrong_for_one_in_ten() -> None:
    clip = still(frames=40, tracks=40)
    starts = lucas_kanade_starts(clip, np.random.default_rng(0))
    assert 0.05 < (starts.visibility[1:] < 0).mean() < 0.15
    assert np.abs(starts.visibility[1:]).min() >= 0.5
    assert np.abs(starts.visibility).max() <= 5


def test_a_generator_decides_everything() -> None:
    clip = drifting_clip(3, frames=12)
    first, again, other = (lucas_kanade_starts(clip, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for part, same, different in zip(first, again, other, strict=True):
        assert np.array_equal(part, same)
        assert not np.array_equal(part, different)
        assert part.dtype == np.float32
