"""Snapshots: whole or not at all, and tied to the settings of their run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cotracker_ros.training import snapshots
from cotracker_ros.training.config import LossConfig, TrainConfig, TrainingError
from cotracker_ros.training.snapshots import SNAPSHOT, RunState, load_snapshot, save_snapshot

CONFIG = TrainConfig(loss=LossConfig(huber=2.0), steps=10)


def run(step: int = 0) -> RunState:
    """A run of a network of one layer, as far as a step."""
    torch.manual_seed(3)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(step):
        advance(model, optimizer)
    average = {name: part.detach() / 2 for name, part in model.state_dict().items()}
    return RunState(model, average, optimizer, step)


def advance(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.tensor([1.0, 2.0])).square().sum().backward()
    optimizer.step()


def rewrite(path: Path, settings: dict) -> None:
    """Give a snapshot other settings."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() | {"config": json.dumps(settings)}
    save_file(tensors, path, metadata)


def settings(path: Path) -> dict:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["config"])


def test_everything_comes_back(tmp_path: Path) -> None:
    saved, loaded = run(3), run()
    save_snapshot(saved, CONFIG, tmp_path)
    assert load_snapshot(loaded, CONFIG, tmp_path)
    assert loaded.step == 3
    for state in (saved, loaded):  # the next step depends on weights and moments
        advance(state.model, state.optimizer)
    for name, part in saved.model.state_dict().items():
        assert torch.equal(part, loaded.model.state_dict()[name])
        assert torch.equal(saved.average[name], loaded.average[name])


def test_a_folder_without_snapshot_begins_anew(tmp_path: Path) -> None:
    (tmp_path / f"{SNAPSHOT}.part").write_bytes(b"a kill during the very first one")
    assert not load_snapshot(run(), CONFIG, tmp_path)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_save_keeps_the_last_one(tmp_path: Path, monkeypatch, interruption) -> None:
    def half(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise interruption

    save_snapshot(run(2), CONFIG, tmp_path)
    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, OSError)):
        patch.setattr(snapshots, "save_file", half)
        save_snapshot(run(3), CONFIG, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [SNAPSHOT]
    loaded = run()
    assert load_snapshot(loaded, CONFIG, tmp_path)
    assert loaded.step == 2


def test_what_a_kill_left_is_not_read_and_goes_with_the_next_save(tmp_path: Path) -> None:
    save_snapshot(run(2), CONFIG, tmp_path)
    (tmp_path / f"{SNAPSHOT}.part").write_bytes(b"half")
    loaded = run()
    assert load_snapshot(loaded, CONFIG, tmp_path)
    save_snapshot(loaded, CONFIG, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [SNAPSHOT]


def test_a_setting_younger_than_the_snapshot_had_its_default(tmp_path: Path) -> None:
    save_snapshot(run(2), CONFIG, tmp_path)
    old = settings(tmp_path / SNAPSHOT)
    del old["loss"]["masked"], old["data"]["max_stride"], old["clip_norm"]
    rewrite(tmp_path / SNAPSHOT, old)
    assert load_snapshot(run(), CONFIG, tmp_path)
    changed = replace(CONFIG, loss=replace(CONFIG.loss, masked=False))
    with pytest.raises(
        TrainingError, match=r"another 'loss\.masked'; give the same settings or another --out"
    ):
        load_snapshot(run(), changed, tmp_path)


def test_what_does_not_decide_what_is_learned_may_change(tmp_path: Path) -> None:
    save_snapshot(run(2), CONFIG, tmp_path)
    changed = replace(CONFIG, data=replace(CONFIG.data, workers=7), evaluate_every=3, snapshot_every=1)
    assert load_snapshot(run(), changed, tmp_path)


def test_the_clips_of_a_step_stay_as_many(tmp_path: Path) -> None:
    saved, alone = run(2), run()
    saved.processes = 2
    save_snapshot(saved, replace(CONFIG, batch=3), tmp_path)
    said = (
        r"a run of 6 clips a step \(processes: 2, batch: 3\), and this one has 3 \(processes: 1, batch: 3\);"
    )
    with pytest.raises(TrainingError, match=said):
        load_snapshot(alone, replace(CONFIG, batch=3), tmp_path)
    assert alone.step == 0
    assert load_snapshot(alone, replace(CONFIG, batch=6), tmp_path)
    assert alone.step == 2


def test_a_snapshot_that_does_not_say_how_many_processes_there_were_is_taken(tmp_path: Path) -> None:
    save_snapshot(run(2), CONFIG, tmp_path)
    with safe_open(tmp_path / SNAPSHOT, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = {name: value for name, value in file.metadata().items() if name != "processes"}
    save_file(tensors, tmp_path / SNAPSHOT, metadata)
    pair = run()
    pair.processes = 2
    assert load_snapshot(pair, CONFIG, tmp_path)


def test_the_snapshot_of_another_file_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / SNAPSHOT).write_bytes(b"cut off")
    with pytest.raises(TrainingError, match=r"cannot be read.*remove it to begin again"):
        load_snapshot(run(), CONFIG, tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / SNAPSHOT)
    with pytest.raises(TrainingError, match=r"cannot be read.*remove it to begin again"):
        load_snapshot(run(), CONFIG, tmp_path)
