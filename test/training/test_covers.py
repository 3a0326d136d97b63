"""Pieces of other images in front of a labelled clip: what they hide, and how well that is known."""

import numpy as np

from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.covers import cover

SIZE = (64, 48)
T = 6


def grid_clip(known: bool = True) -> LabelledClip:
    """A black clip with a point at every second pixel."""
    x, y = np.meshgrid(np.arange(0, SIZE[0], 2), np.arange(0, SIZE[1], 2))
    xy = np.tile(np.stack([x.ravel(), y.ravel()], 1).astype(np.float32), (T, 1, 1))
    frames = np.zeros((T, SIZE[1], SIZE[0], 3), np.uint8)
    return LabelledClip(frames, xy, np.ones(xy.shape[:2], bool), np.full(xy.shape[:2], known))


WHITE = np.full((T, SIZE[1], SIZE[0], 3), 255, np.uint8)


def test_points_behind_a_piece_are_hidden_and_all_others_seen() -> None:
    hidden = 0
    for seed in range(10):
        clip = cover(grid_clip(), WHITE, np.random.default_rng(seed))
        t, n = np.nonzero(clip.known)
        column, row = clip.xy[t, n].astype(int).T
        light = clip.frames[t, row, column, 0]
        assert (light[clip.visible[t, n]] < 10).all()
        assert (light[~clip.visible[t, n]] > 245).all()
        hidden += int((~clip.visible & clip.known).sum())
    assert hidden > 1000


def test_only_edges_become_unknown_and_nothing_becomes_known() -> None:
    before = grid_clip()
    clip = cover(before, WHITE, np.random.default_rng(1))
    light = clip.frames[..., 0][
        np.arange(T)[:, None], before.xy[..., 1].astype(int), before.xy[..., 0].astype(int)
    ]
    unknown = ~clip.known
    assert 0 < unknown.mean() < 0.1
    assert ((light[unknown] > 0) & (light[unknown] < 255)).all()
    assert not cover(grid_clip(known=False), WHITE, np.random.default_rng(1)).known.any()


def test_positions_stay_and_what_was_given_is_not_changed() -> None:
    before = grid_clip()
    clip = cover(before, WHITE, np.random.default_rng(2))
    assert (clip.xy == before.xy).all()
    assert not before.frames.any() and before.visible.all() and before.known.all()


def test_a_piece_moves_with_what_it_shows() -> None:
    """A piece shows one place of the other images all the time: their still pattern moves as it does."""
    rng = np.random.default_rng(0)
    pattern = np.tile(rng.integers(50, 255, (1, SIZE[1], SIZE[0], 3)), (T, 1, 1, 1)).astype(np.uint8)
    same = [cover(grid_clip(), pattern, np.random.default_rng(seed)).frames for seed in range(8)]
    again = cover(grid_clip(), pattern, np.random.default_rng(0)).frames
    assert (same[0] == again).all()
    moved = [abs(int((f[0] > 0).sum()) - int((f[-1] > 0).sum())) + int((f[0] != f[-1]).any()) for f in same]
    assert sum(m > 0 for m in moved) >= 6
