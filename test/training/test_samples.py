"""Samples: queries where they should be, tracks that stay exact, the same sample for the same number."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drifting import drifting_clip
from kubric import write_kubric

from cotracker_ros.evaluation.datasets import DatasetError
from cotracker_ros.model import CoTracker3, CoTracker3Config
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training import samples
from cotracker_ros.training.clips import clip_source
from cotracker_ros.training.config import DataConfig, TrainConfig, TrainingError
from cotracker_ros.training.rollout import roll_out
from cotracker_ros.training.samples import Sample, SampleSet, load_samples, streamed_sample, unrolled_sample

CAUSAL = TrainConfig(
    model=CoTracker3Config(causal=True),
    data=DataConfig(frames=10, window=6, sizes=((48, 32),), tracks=12, workers=0),
    starts="lucas_kanade",
)
ONLINE = TrainConfig(data=DataConfig(frames=10, window=6, sizes=((48, 32),), tracks=12, workers=0))
OFFLINE = replace(ONLINE, model=CoTracker3Config(offline=True))
ROLLED = replace(CAUSAL, starts="rollout")
TINY = CoTracker3Config(
    window=4, causal=True, stem_width=8, stage_widths=(8, 8, 8, 8), head_width=8, feature_width=8,
    corr_levels=2, corr_radius=1, support_radius=1, corr_hidden=8, corr_width=8, hidden=16, heads=2, depth=1,
    mlp_ratio=1.0, virtual_tracks=2, motion_height=32, motion_width=48,
)  # fmt: skip
MANY = range(40)


def clip(seed: int = 0, tracks: int = 60) -> LabelledClip:
    return drifting_clip(seed, frames=10, tracks=tracks)


def colours_at(sample: Sample, t: int, tracks: np.ndarray) -> np.ndarray:
    """(n, 3) what the image shows at tracks, at the nearest pixel."""
    x, y = sample.xy[t, tracks].round().long().unbind(-1)
    return sample.video[t, :, y, x].T.numpy()


def made(config: TrainConfig, seeds: range = MANY) -> list[Sample]:
    cut = unrolled_sample if config.starts == "query" else streamed_sample
    found = [cut(clip(seed), config, np.random.default_rng(seed)) for seed in seeds]
    return [sample for sample in found if sample is not None]


def test_streamed_queries_are_visible_points_of_the_first_frame() -> None:
    for sample in made(CAUSAL):
        assert (sample.queries[:, 0] == 0).all()
        assert torch.equal(sample.queries[:, 1:], sample.xy[0])
        assert (sample.visible[0] & sample.known[0]).all()
        assert 8 <= len(sample.queries) <= 12
        assert sample.starts is not None
        assert torch.equal(sample.starts[0, :, :2], sample.xy[0])
        assert sample.starts.shape == (len(sample.video), len(sample.queries), 4)


def test_samples_that_are_mirrored_stay_exact() -> None:
    # The plane moves by whole pixels: a visible point keeps its colour.
    for sample in made(CAUSAL):
        for t in range(1, len(sample.video)):
            tracks = np.flatnonzero(sample.visible[t].numpy())
            offset = sample.xy[t, tracks] - sample.xy[0, tracks]
            assert torch.allclose(offset, offset.round(), atol=1e-4)
            clear = (sample.xy[0, tracks] % 1 - 0.5).abs().amin(1).numpy() > 0.01  # no tie in rounding
            same = colours_at(sample, t, tracks) == colours_at(sample, 0, tracks)
            assert same[clear].all()


def test_late_windows_keep_the_frame_of_the_query() -> None:
    config = replace(CAUSAL, data=replace(CAUSAL.data, late=1.0))
    for sample in made(config):
        assert sample.begin == 1
        assert len(sample.video) == len(sample.xy) == len(sample.visible) == 7
        assert sample.visible[0].all()
    early = replace(CAUSAL, data=replace(CAUSAL.data, late=0.0))
    assert {(s.begin, len(s.video)) for s in made(early)} == {(0, 6)}


def test_too_few_points_make_no_sample() -> None:
    few = clip(tracks=7)
    assert streamed_sample(few, CAUSAL, np.random.default_rng(0)) is None
    assert unrolled_sample(few, ONLINE, np.random.default_rng(0)) is None


@pytest.mark.parametrize("config", [ONLINE, OFFLINE], ids=["online", "offline"])
def test_unrolled_queries_are_visible_points(config: TrainConfig) -> None:
    anywhere, first = 0, 0
    for sample in made(config):
        frames, columns = sample.queries[:, 0].long(), torch.arange(len(sample.queries))
        assert torch.equal(sample.queries[:, 1:], sample.xy[frames, columns])
        assert sample.visible[frames, columns].all()
        is_first = frames == sample.visible.float().argmax(0)
        first += int(is_first.sum())
        anywhere += len(frames)
        if not config.model.offline:
            assert is_first[len(frames) // 4 :].all()
    assert (0.75 < first / anywhere < 0.9) if config is ONLINE else (first / anywhere < 0.4)


def chosen_clip(seed: int) -> LabelledClip:
    """A clip whose labels are off by some px, except where the points were chosen: in frames 0 to 4."""
    true, asked = clip(seed), np.arange(60) % 5
    off = np.where(np.arange(10)[:, None] == asked, 0, 2)
    return replace(true, xy=true.xy + np.float32(off[..., None]), query_frames=asked)


def own_columns(sample: Sample, whole: LabelledClip) -> np.ndarray:
    """Which tracks of a clip the queries of a sample are, by their exact positions."""
    exact = whole.xy[whole.query_frames, np.arange(60)]
    same = (sample.queries[:, None, 1:].numpy() == exact).all(-1)
    assert (same.sum(1) == 1).all()
    return same.argmax(1)


@pytest.mark.parametrize("config", [ONLINE, OFFLINE, CAUSAL], ids=["online", "offline", "causal"])
@pytest.mark.parametrize("late", [0.0, 1.0])
def test_points_are_asked_for_where_they_were_chosen(monkeypatch, config: TrainConfig, late: float) -> None:
    monkeypatch.setattr(samples, "flip", lambda clip, rng: clip)
    config = replace(config, data=replace(config.data, late=late))
    begins = set()
    for seed in MANY:
        whole = chosen_clip(seed)
        cut = unrolled_sample if config.starts == "query" else streamed_sample
        sample = cut(whole, config, np.random.default_rng(seed))
        assert sample is not None
        frames, columns = sample.queries[:, 0].long().numpy(), own_columns(sample, whole)
        assert (whole.visible & whole.known)[whole.query_frames[columns], columns].all()
        for frame, column in zip(frames, columns, strict=True):
            shown = whole.frames[whole.query_frames[column]].transpose(2, 0, 1)
            assert np.array_equal(sample.video[frame].numpy(), shown)
        assert (frames <= sample.begin).all() or config.starts == "query"
        if config.starts != "query":
            begins.add(sample.begin)
            assert len(sample.video) == sample.begin + 6
            assert sample.starts is not None
            own = sample.starts[frames, torch.arange(len(frames))]
            assert torch.equal(own[:, :2], sample.queries[:, 1:])
            assert not own[:, 2:].any()
    assert config.starts == "query" or len(begins) > 1


def test_a_query_that_is_hidden_or_cut_off_is_not_asked_for() -> None:
    whole = chosen_clip(0)
    visible, asked = whole.visible.copy(), whole.query_frames.copy()
    visible[asked, np.arange(60)] &= np.arange(60) % 2 == 0
    asked[np.arange(60) % 3 == 0] = -1
    left = np.flatnonzero((np.arange(60) % 2 == 0) & (np.arange(60) % 3 > 0))
    some = replace(whole, visible=visible, query_frames=asked)
    config = replace(ONLINE, data=replace(ONLINE.data, tracks=60))
    sample = unrolled_sample(some, config, np.random.default_rng(0))
    assert sample is not None
    assert set(own_columns(sample, replace(whole, visible=visible))) <= set(left)


def test_a_network_streams_each_point_from_its_own_query_on() -> None:
    torch.manual_seed(0)
    network = CoTracker3(TINY).eval()
    for seed in range(4):
        sample = streamed_sample(chosen_clip(seed), ROLLED, np.random.default_rng(seed))
        assert sample is not None
        if sample.gap:
            continue
        starts = roll_out(network, sample, 1).starts
        assert starts is not None
        assert starts.shape == (len(sample.video), len(sample.queries), 4)
        frames = sample.queries[:, 0].long()
        own = starts[frames, torch.arange(len(frames))]
        assert torch.allclose(own[:, :2], sample.queries[:, 1:], atol=1e-4)
        assert not own[:, 2:].any()
        later = torch.arange(len(starts))[:, None] > frames
        assert (starts[later] != 0).all()


def test_tracks_of_the_first_and_middle_frame_come_before_others() -> None:
    one = clip(tracks=20)
    visible = np.zeros((10, 20), bool)
    visible[3] = True
    visible[0, :4] = visible[5, 4:8] = visible[9, 8:12] = True
    one = LabelledClip(one.frames, one.xy, visible, one.known)
    eight = replace(ONLINE, data=replace(ONLINE.data, tracks=8))
    found = unrolled_sample(one, eight, np.random.default_rng(0))
    assert found is not None
    assert (found.visible[0] | found.visible[5]).all()
    offline = replace(OFFLINE, data=replace(ONLINE.data, tracks=12))
    found = unrolled_sample(one, offline, np.random.default_rng(0))
    assert found is not None
    assert (found.visible[0] | found.visible[5] | found.visible[9]).all()


def test_a_sample_depends_on_its_number_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "clip_source", lambda config: lambda rng: clip(int(rng.integers(1000))))
    workers = replace(CAUSAL, data=replace(CAUSAL.data, workers=2))
    alone, shared = (list(load_samples(config, range(2, 8))) for config in (CAUSAL, workers))
    direct = SampleSet(CAUSAL)[5]
    for one, other in zip([*alone, alone[3]], [*shared, direct], strict=True):
        assert isinstance(other, Sample)
        for part, same in zip(one, other, strict=True):
            assert torch.equal(part, same) if isinstance(part, torch.Tensor) else part == same
    assert not torch.equal(alone[0].video, alone[1].video)
    seeded = SampleSet(replace(CAUSAL, seed=43))[5]
    assert isinstance(seeded, Sample)
    assert not torch.equal(seeded.video, direct.video)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_in_a_worker_is_said_in_one_sentence(tmp_path: Path, workers: int) -> None:
    write_kubric(tmp_path, "0000", clip())
    data = replace(ONLINE.data, source="kubric", path=str(tmp_path), workers=workers)
    (tmp_path / "0000" / "0000.npy").write_bytes(b"cut off")
    path = re.escape(str(tmp_path / "0000" / "0000.npy"))
    with pytest.raises(DatasetError, match=rf"\A{path} [^\n]*\Z"):
        next(load_samples(replace(ONLINE, data=data), range(3)))
    few = replace(ONLINE, data=replace(data, path=str(tmp_path / "few"), frames=8))
    write_kubric(tmp_path / "few", "0000", clip(tracks=5))
    with pytest.raises(TrainingError, match="20 clips in a row had fewer than 8 visible tracks"):
        next(load_samples(few, range(3)))


def test_kubric_is_cut_in_time_and_space(tmp_path: Path) -> None:
    for name in ("0000", "0001"):
        write_kubric(tmp_path, name, drifting_clip(int(name), frames=24, size=(96, 64), tracks=30))
    sizes = ((48, 32), (32, 48))
    config = DataConfig(
        "kubric", str(tmp_path), frames=10, least_frames=6, max_stride=3, window=6, sizes=sizes
    )
    source = clip_source(config)
    clips = [source(np.random.default_rng(seed)) for seed in range(16)]
    assert {len(one) for one in clips} == {6, 7, 8, 9, 10}
    assert {one.size for one in clips} == set(sizes)
    assert {one.name for one in clips} == {"0000", "0001"}
    again = source(np.random.default_rng(0))
    assert np.array_equal(clips[0].frames, again.frames)
    assert np.array_equal(clips[0].xy, again.xy)


def test_kubric_sequences_that_are_too_short_are_named(tmp_path: Path) -> None:
    write_kubric(tmp_path, "0007", clip())
    source = clip_source(DataConfig("kubric", str(tmp_path), frames=11, window=6))
    with pytest.raises(TrainingError, match=r"a sequence of 10 frames, 0007; give a data\.frames of at most"):
        source(np.random.default_rng(0))
    with pytest.raises(DatasetError, match="holds no sequences"):
        clip_source(DataConfig("kubric", str(tmp_path / "nothing"), frames=11, window=6))
