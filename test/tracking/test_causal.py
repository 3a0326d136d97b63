"""The tracker for causal networks: answers at once, bounded, exact starts, and a state that can be saved."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drifting import drifting_clip

from cotracker_ros.model import CoTracker3, CoTracker3Config
from cotracker_ros.tracking import StreamState, TrackerConfig, create_tracker, track_video
from cotracker_ros.tracking.causal import CausalTracker
from cotracker_ros.tracking.polish import SIDE, cut_patches, polish

NETWORK = CoTracker3Config(
    window=4, causal=True, stem_width=8, stage_widths=(8, 8, 8, 8), head_width=8, feature_width=8,
    corr_levels=2, corr_radius=1, support_radius=1, corr_hidden=8, corr_width=8, hidden=16, heads=2, depth=2,
    mlp_ratio=1.0, virtual_tracks=2, motion_height=96, motion_width=128,
)  # fmt: skip
CONFIG = TrackerConfig(iterations=1)


@pytest.fixture(scope="module")
def network() -> CoTracker3:
    """Untrained: it changes almost nothing, so that what is left is how the tracker starts its points."""
    torch.manual_seed(0)
    return CoTracker3(NETWORK).eval()


@pytest.fixture(scope="module")
def opinionated() -> CoTracker3:
    torch.manual_seed(0)
    network = CoTracker3(NETWORK).eval()
    with torch.no_grad():
        for head in (network.updateformer.flow_head, network.updateformer.vis_conf_head):
            head.weight.normal_(std=0.1)
    return network


def test_every_image_is_answered_at_once(network: CoTracker3) -> None:
    clip = drifting_clip(3, frames=12, size=(128, 96), tracks=40)
    seen = clip.visible[0]
    tracker = CausalTracker(network, CONFIG)
    ids = tracker.add_points(clip.xy[0, seen])
    for t, image in enumerate(clip.frames):
        (answer,) = tracker.track(image, stamp=100 + t)
        assert (answer.frame, answer.stamp, answer.newest, answer.revised) == (t, 100 + t, 100 + t, False)
        assert answer.ids.tolist() == ids.tolist()
    assert tracker.finish() == []
    stayed = clip.visible[:, seen].all(0)
    error = np.linalg.norm(answer.xy - clip.xy[-1, seen], axis=1)[stayed]
    assert stayed.sum() >= 5
    assert np.median(error) < 1


def test_points_come_and_go(opinionated: CoTracker3) -> None:
    clip = drifting_clip(4, frames=10, size=(128, 96), tracks=6)
    alone, company = CausalTracker(opinionated, CONFIG), CausalTracker(opinionated, CONFIG)
    alone.add_points(clip.xy[0, :3])
    company.add_points(clip.xy[0, :3])
    for t, image in enumerate(clip.frames):
        if t == 4:
            late = company.add_points(clip.xy[3, 3:])
        if t == 7:
            assert company.remove(late) == 3
        (a,), (b,) = alone.track(image), company.track(image)
        assert b.ids.tolist() == [1, 2, 3] + ([4, 5, 6] if 4 <= t < 7 else [])
        if t < 4:
            assert np.array_equal(a.xy, b.xy)
    assert a.ids.tolist() == [1, 2, 3]


def test_a_query_of_a_later_image_is_waited_for(network: CoTracker3) -> None:
    clip = drifting_clip(5, frames=5, size=(128, 96))
    tracker = CausalTracker(network, CONFIG)
    tracker.add_points(clip.xy[2, :2], frame=2)
    answers = [tracker.track(image)[0] for image in clip.frames]
    assert [len(answer) for answer in answers] == [0, 0, 2, 2, 2]
    assert np.allclose(answers[2].xy, clip.xy[2, :2], atol=0.1)


def test_memory_is_bounded(opinionated: CoTracker3) -> None:
    clip = drifting_clip(6, frames=3, size=(128, 96))
    tracker = CausalTracker(opinionated, CONFIG)
    tracker.add_points(clip.xy[0])
    for t in range(12):
        tracker.track(clip.frames[t % 3])
    state = tracker.state
    assert [part.shape[1] for part in (*state.memory, *state.virtual_memory)] == [3] * 4
    assert state.known.shape == (len(clip.xy[0]), 3)
    assert len(state.stamps) == 1


def test_a_saved_state_goes_on_alike(opinionated: CoTracker3, tmp_path: Path) -> None:
    clip = drifting_clip(7, frames=8, size=(128, 96))
    tracker = CausalTracker(opinionated, CONFIG)
    tracker.add_points(clip.xy[0])
    for image in clip.frames[:4]:
        tracker.track(image)
    tracker.state.save(tmp_path / "state.safetensors")
    other = tracker.fork()
    other.state = StreamState.load(tmp_path / "state.safetensors")
    for image in clip.frames[4:]:
        (a,), (b,) = tracker.track(image), other.track(image)
        assert np.array_equal(a.xy, b.xy)
        assert np.array_equal(a.confidence, b.confidence)


def test_the_factory_picks_the_tracker_that_fits(network: CoTracker3) -> None:
    assert isinstance(create_tracker(model=network), CausalTracker)
    clip = drifting_clip(8, frames=4, size=(128, 96))
    queries = np.c_[np.zeros(len(clip.xy[0])), clip.xy[0]]
    assert track_video(clip.frames, queries, tracker=network).xy.shape == clip.xy.shape
    with pytest.raises(ValueError, match="not causal; use StreamTracker"):
        CausalTracker(CoTracker3(CoTracker3Config(window=4)), CONFIG)


def test_polish_finds_the_sub_pixel_shift_and_leaves_what_does_not_fit() -> None:
    generator = np.random.default_rng(0)
    picture = np.kron(generator.integers(0, 255, (40, 50)), np.ones((4, 4))).astype(np.uint8)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 2), np.uint8)
    shift = np.float32([[1, 0, 2.3], [0, 1, -1.6]])
    moved = np.asarray(cv2.warpAffine(picture, shift, (200, 160)), np.uint8)
    query = generator.uniform([60, 60], [140, 100], (20, 2)).astype(np.float32)
    templates, inside = cut_patches(picture, query)
    assert templates.shape == (20, SIDE, SIDE)
    truth = query + np.float32([2.3, -1.6])
    guess = (truth + generator.uniform(-1, 1, query.shape)).astype(np.float32)
    found, alike = polish(templates, inside, moved, guess)
    assert np.abs(found - truth).max() < 0.1
    assert alike.all()
    other = generator.integers(0, 255, moved.shape).astype(np.uint8)
    found, alike = polish(templates, inside, other, guess)
    assert np.abs(found - guess).max() < 3.1
    assert not alike.any()
    found, alike = polish(templates, inside, np.full_like(moved, 128), guess)
    assert np.array_equal(found, guess)
    assert not alike.any()


def test_patches_at_the_edge_repeat_it() -> None:
    picture = np.arange(100, dtype=np.uint8).reshape(10, 10)
    patches, inside = cut_patches(picture, np.array([[0.5, 9.0]], np.float32))
    assert inside.tolist() == [[SIDE // 2 + 0.5, SIDE // 2]]
    assert patches[0, SIDE // 2, SIDE // 2] == picture[9, 0]
    assert patches[0, -1, 0] == picture[9, 0]


def _slid(tracker: CausalTracker, row: int, by: tuple[float, float]) -> None:
    """Put a track of the tracker elsewhere, as when it slid onto what hides it."""
    scale = tracker._scale()
    estimates = tracker.state.estimates
    assert estimates is not None
    estimates.xy[row, 0] += torch.tensor(by).to(estimates.xy) / scale


def test_a_stray_is_brought_back_to_the_company_that_it_kept(network: CoTracker3) -> None:
    """A point that went with its neighbours for many images is suddenly 40 px from them."""
    clip = drifting_clip(9, frames=14, size=(256, 192), tracks=60)
    begun = clip.visible[0]
    tracker = CausalTracker(network, CONFIG)
    tracker.add_points(clip.xy[0, begun])
    truth = clip.xy[:, begun]
    for t in range(12):
        tracker.track(clip.frames[t])
    good = np.linalg.norm(tracker.track(clip.frames[12])[0].xy - truth[12], axis=1) < 2
    loyal = (tracker.state.accompanied >= 5).numpy()
    row = int(np.flatnonzero(good & loyal)[0])
    _slid(tracker, row, (40.0, 0.0))
    (answer,) = tracker.track(clip.frames[13])
    assert np.linalg.norm(answer.xy[row] - truth[13, row]) < 3


def test_a_point_that_never_kept_company_goes_its_own_way(network: CoTracker3) -> None:
    clip = drifting_clip(9, frames=3, size=(256, 192), tracks=60)
    begun = clip.visible[0]
    tracker = CausalTracker(network, CONFIG)
    tracker.add_points(clip.xy[0, begun])
    tracker.track(clip.frames[0])
    (before,) = tracker.track(clip.frames[1])
    _slid(tracker, 0, (40.0, 0.0))
    (answer,) = tracker.track(clip.frames[2])
    assert answer.xy[0, 0] - before.xy[0, 0] > 20
