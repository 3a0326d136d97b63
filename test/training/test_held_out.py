"""Evaluation during a run: beside KLT, on the same clips each time, without touching the run."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from clips import SMALL
from drifting import drifting_clip

from cotracker_ros.evaluation.candidates import OnlineCandidate
from cotracker_ros.evaluation.data_sets import synthetic
from cotracker_ros.evaluation.trials import LabelledTask
from cotracker_ros.model import CoTracker3, CoTracker3Config
from cotracker_ros.synthetic.training_clip import ClipConfig
from cotracker_ros.tracking.factory import create_tracker
from cotracker_ros.tracking.names import KLT
from cotracker_ros.training import held_out, samples, trainer
from cotracker_ros.training.config import DataConfig, TrainConfig
from cotracker_ros.training.held_out import HeldOut
from cotracker_ros.training.trainer import LOG, WEIGHTS, train

CPU = torch.device("cpu")
NAMES = {"AJ", "delta", "OA", "AJ_RD", "return"}
CONFIG = TrainConfig(
    model=replace(SMALL, motion_width=48, motion_height=32),
    data=DataConfig(frames=8, window=6, sizes=((48, 32),), tracks=12, workers=0),
    iterations=1, steps=5, precision="fp32", evaluate_every=2, snapshot_every=100,
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ClipConfig]]:
    """Clips that are quick to make; which of them were asked for is written down."""
    calls: list[tuple[int, ClipConfig]] = []

    def quick(seed: int, config: ClipConfig):
        calls.append((seed, config))
        return drifting_clip(seed % 97, frames=10)

    monkeypatch.setattr(held_out, "training_clip", quick)
    return calls


def tiny(**changes: object) -> CoTracker3:
    torch.manual_seed(0)
    return CoTracker3(CoTracker3Config(**vars(CONFIG.model) | changes)).eval()


@pytest.mark.parametrize(
    "kind", [{}, {"causal": True}, {"offline": True}], ids=["online", "causal", "offline"]
)
def test_scores_and_leads_of_every_kind_of_network(asked, kind: dict) -> None:
    scores = HeldOut(3)(tiny(**kind))
    assert set(scores) == NAMES | {f"{name}_minus_KLT" for name in NAMES}
    klt = OnlineCandidate(KLT, KLT, create_tracker(KLT))
    trials = [LabelledTask().run(klt, drifting_clip(seed % 97, frames=10)) for seed, _ in asked]
    expected = sum(trial.final.metrics["average_jaccard"] for trial in trials if trial) / 3
    assert scores["AJ"] - scores["AJ_minus_KLT"] == pytest.approx(expected)
    if not kind.get("causal"):  # those have Lucas-Kanade, and more than KLT makes of it
        assert 0 <= scores["AJ"] < 1


def test_clips_and_klt_are_made_once(asked, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(held_out, "create_tracker", lambda name: made.append(name) or create_tracker(name))
    evaluate = HeldOut(3)
    first, second = evaluate(tiny()), evaluate(tiny())
    assert first == second
    assert made == [KLT]
    assert len(asked) == 3


def test_other_clips_than_those_that_judge_in_the_end(asked, monkeypatch: pytest.MonkeyPatch) -> None:
    HeldOut(2)(tiny())
    config = asked[0][1]
    assert (config.held_out, config.frames, config.width, config.height) == (True, 48, 256, 256)
    judging: list[int] = []
    monkeypatch.setattr(
        "cotracker_ros.evaluation.data_sets.training_clip", lambda seed, config: judging.append(seed)
    )
    list(synthetic(200, "first", False, with_klt=False).clips())
    assert len(judging) == 200
    assert not {seed for seed, _ in asked} & set(judging)


def test_what_cannot_be_counted_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = drifting_clip(0, frames=3)
    always = replace(clip, visible=clip.known)
    monkeypatch.setattr(held_out, "training_clip", lambda seed, config: always)
    assert set(HeldOut(1)(tiny())) == {
        name + lead for name in ("AJ", "delta", "OA") for lead in ("", "_minus_KLT")
    }


@pytest.fixture
def drifting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        samples, "clip_source", lambda config: lambda rng: drifting_clip(int(rng.integers(1000)), frames=8)
    )


def test_a_run_is_evaluated_and_not_changed_by_it(asked, drifting, tmp_path: Path, capsys) -> None:
    train(CONFIG, tmp_path / "with", device=CPU, evaluate=HeldOut(1))
    train(CONFIG, tmp_path / "without", device=CPU)
    assert (tmp_path / "with" / WEIGHTS).read_bytes() == (tmp_path / "without" / WEIGHTS).read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "with" / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5]  # the last one as well
    assert all({"eval/AJ", "eval/AJ_minus_KLT", "eval/return"} <= set(line) for line in lines)
    assert "step 4: AJ " in capsys.readouterr().err


class FakeBoard:
    """What TensorBoard's writer is asked to write."""

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.written: list[tuple[str, int]] = []
        self.closed = False
        boards.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.written.append((name, step))

    def close(self) -> None:
        self.closed = True


boards: list[FakeBoard] = []


def test_tensorboard_gets_what_the_log_gets(
    drifting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules,
        "torch.utils.tensorboard",
        SimpleNamespace(SummaryWriter=FakeBoard),  # type: ignore[arg-type]
    )
    monkeypatch.setattr(trainer, "_LOG_EVERY", 2)
    boards.clear()
    train(CONFIG, tmp_path, device=CPU, evaluate=lambda network: {"AJ": 0.5})
    assert len(boards) == 1
    assert (boards[0].folder, boards[0].purge_step, boards[0].closed) == (
        str(tmp_path / "tensorboard"),
        1,
        True,
    )
    assert {("loss", 4), ("seconds", 2), ("eval/AJ", 5)} <= set(boards[0].written)


def test_a_run_needs_no_tensorboard(drifting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # type: ignore[arg-type]
    train(replace(CONFIG, steps=1), tmp_path, device=CPU)
    assert (tmp_path / LOG).is_file()
    assert not (tmp_path / "tensorboard").exists()
