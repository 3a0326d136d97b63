"""Verifiers: what they learn from, that they learn it, and that networks keep everything else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drifting import drifting_clip

from cotracker_ros.model import CoTracker3, CoTracker3Config, checkpoints
from cotracker_ros.model.verifier import EVIDENCE, Verifier
from cotracker_ros.tracking import TrackerConfig, track_video
from cotracker_ros.tracking.causal import CausalTracker
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training import trainer
from cotracker_ros.training.config import TrainConfig, TrainingError
from cotracker_ros.training.snapshots import RunState
from cotracker_ros.training.student import StudentConfig, student_config
from cotracker_ros.training.trainer import new_run
from cotracker_ros.training.verifying import (
    Cases,
    calibration_error,
    fit,
    fit_verifier,
    gather_cases,
    without_verifier,
)

NETWORK = CoTracker3Config(
    window=4, causal=True, stem_width=8, stage_widths=(8, 8, 8, 8), head_width=8, feature_width=8,
    corr_levels=2, corr_radius=1, support_radius=1, corr_hidden=8, corr_width=8, hidden=16, heads=2, depth=1,
    mlp_ratio=1.0, virtual_tracks=2, motion_height=96, motion_width=128,
)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> CoTracker3:
    torch.manual_seed(0)
    return CoTracker3(NETWORK).eval()


@pytest.fixture(scope="module")
def clip() -> LabelledClip:
    return drifting_clip(3, frames=10, size=(128, 96), tracks=40, bar_speed=6, bar_width=30)


@pytest.fixture(scope="module")
def judged(network: CoTracker3, clip: LabelledClip) -> CoTracker3:
    return fit_verifier(network, [clip])


def made_cases(count: int) -> Cases:
    """Points are seen three times out of four, and near as far as their patch is alike."""
    generator = torch.Generator().manual_seed(1)
    evidence = torch.randn(count, len(EVIDENCE), generator=generator)
    alike = torch.rand(count, generator=generator)
    evidence[:, EVIDENCE.index("alike")] = alike
    visible = torch.rand(count, generator=generator) < 0.75
    near = torch.rand(count, generator=generator) < torch.where(visible, alike, 0.5)
    return Cases(evidence, visible.float(), near.float())


@torch.no_grad()
def test_what_a_fitted_verifier_says_are_probabilities() -> None:
    verifier = fit(made_cases(20_000))
    held_out = made_cases(5_000)
    seen, there = verifier(held_out.evidence * 1.0).sigmoid().unbind(-1)
    assert seen.mean() == pytest.approx(0.75, abs=0.03)
    alike = held_out.evidence[:, EVIDENCE.index("alike")]
    middle = (alike > 0.1) & (alike < 0.9)
    assert (there - alike)[middle].abs().mean() < 0.06
    assert torch.isfinite(verifier(1e30 * torch.ones(1, len(EVIDENCE)))).all()  # what was never met


def test_calibration_is_the_gap_between_what_is_told_and_what_came_true() -> None:
    verifier = Verifier(4)
    for part in verifier.parameters():
        torch.nn.init.zeros_(part)  # it tells a quarter of all points: visible by a half, then near by a half
    evidence = torch.zeros(100, len(EVIDENCE))
    half, all_of_them = (torch.arange(100) < 50).float(), torch.ones(100)
    assert calibration_error(verifier, Cases(evidence, half, all_of_them)) == pytest.approx(0.25)
    assert calibration_error(verifier, Cases(evidence, half, torch.arange(100) % 2)) == pytest.approx(0)


def test_the_same_cases_give_the_same_verifier_whatever_was_drawn_before() -> None:
    first = fit(made_cases(500)).state_dict()
    torch.rand(7)
    before = torch.get_rng_state()
    second = fit(made_cases(500)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(before, torch.get_rng_state())


def test_cases_are_what_is_known_after_the_query(network: CoTracker3, clip: LabelledClip) -> None:
    known = clip.known.copy()
    known[6] = False
    cases = gather_cases(network, replace(clip, known=known))
    seen = clip.visible & known
    first = np.where(seen.any(0), seen.argmax(0), len(clip))
    counted = known & (np.arange(len(clip))[:, None] > first)
    assert cases.evidence.shape == (counted.sum(), len(EVIDENCE))
    assert cases.visible.sum() == clip.visible[counted].sum()
    assert torch.isfinite(cases.evidence).all()
    # An untrained network leaves the points to Lucas-Kanade, which follows what it sees.
    assert cases.near[cases.visible > 0].mean() > 0.8


def test_a_point_that_is_elsewhere_is_not_near(network: CoTracker3, clip: LabelledClip) -> None:
    xy = clip.xy.copy()
    xy[5:] += 20  # px of 128: the truth jumps, the images do not
    there = gather_cases(network, replace(clip, xy=xy)).near
    assert there.mean() < gather_cases(network, clip).near.mean() - 0.3


def test_nothing_to_learn_from_is_said(network: CoTracker3, clip: LabelledClip) -> None:
    with pytest.raises(TrainingError, match="nothing to learn from"):
        fit_verifier(network, [replace(clip, known=np.zeros_like(clip.known))])


def test_positions_are_those_of_the_network_alone(
    network: CoTracker3, judged: CoTracker3, clip: LabelledClip
) -> None:
    queries = np.c_[np.zeros(5), clip.xy[0, :5]]
    config = TrackerConfig(iterations=1)
    plain, ours = (
        track_video(clip.frames, queries, tracker=CausalTracker(m, config)) for m in (network, judged)
    )
    np.testing.assert_array_equal(plain.xy, ours.xy)
    assert not np.allclose(plain.visibility, ours.visibility)


def test_a_point_behind_the_bar_is_said_to_be_hidden(judged: CoTracker3, clip: LabelledClip) -> None:
    seen = clip.visible[0]
    queries = np.c_[np.zeros(seen.sum()), clip.xy[0, seen]]
    result = track_video(clip.frames, queries, tracker=CausalTracker(judged))
    told, truth = result.visibility[1:], clip.visible[1:, seen]
    assert told[truth].mean() > told[~truth].mean() + 0.4


def test_a_network_with_a_verifier_is_saved_and_loaded_whole(judged: CoTracker3, tmp_path: Path) -> None:
    checkpoints.save(judged, judged.config, tmp_path / "judged.safetensors")
    loaded = CoTracker3.from_checkpoint(tmp_path / "judged.safetensors")
    assert loaded.config.verifier > 0
    assert all(torch.equal(part, loaded.state_dict()[name]) for name, part in judged.state_dict().items())


def test_training_begins_without_the_verifier_and_ends_with_one(
    judged: CoTracker3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "judged.safetensors"
    checkpoints.save(judged, judged.config, path)
    config = TrainConfig(model=NETWORK, initial=str(path), verifier_clips=1, steps=1, precision="fp32")
    assert new_run(config, torch.device("cpu")).model.config == NETWORK
    assert student_config(StudentConfig(student=str(path)), tmp_path, 10, 5, 0).model == NETWORK

    monkeypatch.setattr(trainer, "_samples", lambda config, group, step: iter(()))
    monkeypatch.setattr(trainer, "_step", lambda state, *_: setattr(state, "step", 1) or {"loss": 0.0})
    trainer.train(config, tmp_path / "run", device=torch.device("cpu"))
    trained = CoTracker3.from_checkpoint(tmp_path / "run" / trainer.WEIGHTS)
    assert without_verifier(trained.config, {})[0] == NETWORK
    assert trained.verifier is not None
    # A finished run is not fitted again.
    monkeypatch.setattr(trainer, "fit_verifier", None)
    again = trainer.train(config, tmp_path / "run", device=torch.device("cpu"))
    assert again.config == trained.config


def test_a_run_that_stops_early_has_no_verifier_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(model=NETWORK, verifier_clips=1, steps=2, precision="fp32", evaluate_every=0)
    monkeypatch.setattr(trainer, "_samples", lambda config, group, step: iter(()))

    def step(state: RunState, *_: object) -> dict[str, float]:
        state.step += 1
        return {"loss": 0.0}

    monkeypatch.setattr(trainer, "_step", step)
    cpu, path = torch.device("cpu"), tmp_path / trainer.WEIGHTS
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "fit_verifier", None)
        trainer.train(config, tmp_path, device=cpu, stop_at=0)
    assert CoTracker3.from_checkpoint(path).verifier is None
    trainer.train(config, tmp_path, device=cpu)
    assert CoTracker3.from_checkpoint(path).verifier is not None


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="verifier is set, but the network is not causal"):
        CoTracker3Config(verifier=4)
    with pytest.raises(TrainingError, match="verifier_clips is 3, but the network is not causal"):
        TrainConfig(verifier_clips=3)
    with pytest.raises(TrainingError, match="fitted at the end; give verifier_clips"):
        TrainConfig(model=replace(NETWORK, verifier=4))
