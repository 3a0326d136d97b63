"""The training loop: it learns, goes on exactly where it was killed, and fails without loss."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from drifting import drifting_clip
from safetensors import SafetensorError

from cotracker_ros.model import CoTracker3, CoTracker3Config
from cotracker_ros.training import samples, snapshots, trainer
from cotracker_ros.training.config import (
    DataConfig,
    LossConfig,
    TrainConfig,
    TrainingError,
    preset_names,
    read_config,
)
from cotracker_ros.training.samples import Sample
from cotracker_ros.training.trainer import WEIGHTS, TrainingFailedError, rate_at, train

CPU = torch.device("cpu")
NETWORK = CoTracker3Config(
    window=4, causal=True, stem_width=8, stage_widths=(8, 8, 8, 8), head_width=8, feature_width=8,
    corr_levels=2, corr_radius=1, support_radius=1, corr_hidden=8, corr_width=8, hidden=16, heads=2, depth=1,
    mlp_ratio=1.0, virtual_tracks=2, motion_height=32, motion_width=48,
)  # fmt: skip
CONFIG = TrainConfig(
    model=NETWORK,
    data=DataConfig(frames=8, window=6, sizes=((48, 32),), tracks=12, workers=0),
    loss=LossConfig(visible=0.2, hidden=0.04, huber=1.0, close=5.0, features=0.1),
    starts="lucas_kanade", iterations=2, steps=6, rate=3e-3, schedule="trapezoid", precision="fp32",
    snapshot_every=2, evaluate_every=0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def drifting(monkeypatch: pytest.MonkeyPatch) -> None:
    def source(config: DataConfig):
        return lambda rng: drifting_clip(int(rng.integers(1000)), frames=config.frames)

    monkeypatch.setattr(samples, "clip_source", source)


def weights(network: CoTracker3) -> torch.Tensor:
    return torch.cat([part.flatten() for part in network.state_dict().values()])


def logged(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / trainer.LOG).read_text().splitlines()]


def test_the_loss_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_LOG_EVERY", 10)
    train(replace(CONFIG, steps=60, snapshot_every=60), tmp_path, device=CPU)
    lines = logged(tmp_path)
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    assert lines[-1]["loss"] < 0.85 * lines[0]["loss"]
    assert CoTracker3.from_checkpoint(tmp_path / WEIGHTS).config == NETWORK


@pytest.mark.parametrize("starts", ["lucas_kanade", "rollout"])
def test_a_killed_run_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts: str) -> None:
    config = replace(CONFIG, starts=starts)
    whole = train(config, tmp_path / "whole", device=CPU)

    step, calls = trainer._step, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 6:  # after the snapshot of step 4 and one step more
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(trainer, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "killed", device=CPU)
    monkeypatch.setattr(trainer, "_step", step)
    resumed = train(config, tmp_path / "killed", device=CPU)
    assert torch.equal(weights(whole), weights(resumed))


def test_a_full_disk_keeps_the_last_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = snapshots.save_file, []

    def full(tensors, path, metadata):
        calls.append(1)
        save(tensors, path, metadata)
        if len(calls) == 2:
            Path(path).write_bytes(Path(path).read_bytes()[:100])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshots, "save_file", full)
    with pytest.raises(OSError, match=r"snapshot of step 4 could not be written.*No space left"):
        train(CONFIG, tmp_path, device=CPU)
    assert not list(tmp_path.glob("*.part"))
    state = trainer.new_run(CONFIG, CPU)
    assert snapshots.load_snapshot(state, CONFIG, tmp_path)
    assert state.step == 2


def test_a_full_disk_at_the_beginning_leaves_the_log(tmp_path: Path, monkeypatch) -> None:
    trainer.RunLog(tmp_path, CONFIG, 0).write(2, {"loss": 1.0})
    before = (tmp_path / trainer.LOG).read_text()

    def full(path, text):
        path.write_bytes(b"")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Path, "write_text", full)
        trainer.RunLog(tmp_path, CONFIG, 2)
    assert (tmp_path / trainer.LOG).read_text() == before


def test_a_full_disk_at_the_very_end_leaves_the_snapshot(tmp_path: Path, monkeypatch) -> None:
    def full(*arguments):
        raise SafetensorError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"weights.*No space left.*run again"):
        patch.setattr(trainer.checkpoints, "save", full)
        train(CONFIG, tmp_path, device=CPU)
    again, whole = (train(CONFIG, folder, device=CPU) for folder in (tmp_path, tmp_path / "whole"))
    assert torch.equal(weights(again), weights(whole))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, calls = trainer.sample_losses, []

    def broken(*arguments):
        calls.append(1)
        found = losses(*arguments)
        return found | {"hidden": found["hidden"] * float("nan")} if len(calls) == 4 else found

    monkeypatch.setattr(trainer, "sample_losses", broken)
    said = r"the loss 'hidden' of step 3 is not a number; all steps before it are in the snapshot: lower"
    with pytest.raises(TrainingFailedError, match=said):
        train(CONFIG, tmp_path, device=CPU)
    state = trainer.new_run(CONFIG, CPU)
    assert snapshots.load_snapshot(state, CONFIG, tmp_path)
    assert state.step == 3  # though snapshots are due after two steps and four
    assert torch.isfinite(weights(trainer.averaged(state))).all()
    # What the message advises goes on from there.
    monkeypatch.setattr(trainer, "sample_losses", losses)
    gentle = train(replace(CONFIG, rate=1e-3), tmp_path, device=CPU)
    assert torch.isfinite(weights(gentle)).all()
    assert not torch.equal(weights(gentle), weights(trainer.averaged(state)))


def test_a_loss_that_is_no_number_in_one_process_stops_all() -> None:
    class BesideOneThatFailed(trainer.Group):
        def any(self, here: bool, device: torch.device) -> bool:
            assert not here
            return True

    state, group = trainer.new_run(CONFIG, CPU), BesideOneThatFailed()
    before = weights(state.model).clone()
    with pytest.raises(trainer._NotFiniteError, match="another process's loss"):
        trainer._step(state, CONFIG, group, CPU, trainer._samples(CONFIG, group, 0))
    assert state.step == 0
    assert torch.equal(weights(state.model), before)


def test_where_the_last_good_state_cannot_be_written_the_snapshot_before_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, save, calls = trainer.sample_losses, snapshots.save_file, []

    def broken(*arguments):
        calls.append(1)
        return losses(*arguments) | ({"visible": torch.tensor(float("inf"))} if len(calls) == 4 else {})

    def full(*arguments):
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(trainer, "sample_losses", broken)
    monkeypatch.setattr(snapshots, "save_file", full)
    said = r"'visible' of step 3 is not .*; the last snapshot is good, but .* could not .*No space left"
    with pytest.raises(TrainingFailedError, match=said):
        train(CONFIG, tmp_path, device=CPU)
    state = trainer.new_run(CONFIG, CPU)
    assert snapshots.load_snapshot(state, CONFIG, tmp_path)
    assert state.step == 2


def test_weights_of_an_earlier_stop_are_not_those_of_the_end(tmp_path: Path, monkeypatch) -> None:
    whole = train(CONFIG, tmp_path / "whole", device=CPU)
    step, calls = trainer._step, []

    def two(*arguments):
        calls.append(1)
        return step(*arguments)

    # The clock runs with the steps: the time is up after two of them, and weights are written.
    monkeypatch.setattr(trainer, "_step", two)
    monkeypatch.setattr(trainer, "time", SimpleNamespace(time=lambda: len(calls)))
    train(CONFIG, tmp_path, device=CPU, stop_at=2)
    assert (len(calls), (tmp_path / WEIGHTS).is_file()) == (2, True)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer, "_save_weights", killed)  # the snapshot of the last step is there by then
        train(CONFIG, tmp_path, device=CPU)
    assert torch.equal(weights(train(CONFIG, tmp_path, device=CPU)), weights(whole))
    assert torch.equal(weights(CoTracker3.from_checkpoint(tmp_path / WEIGHTS)), weights(whole))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_clip_that_the_network_streams_teaches_every_part_of_it(precision: str) -> None:
    config = replace(CONFIG, starts="rollout", rollouts=1.0, precision=precision)
    config = replace(config, data=replace(config.data, late=0.0))
    state = trainer.new_run(config, CPU)
    trainer._step(state, config, trainer.Group(), CPU, trainer._samples(config, trainer.Group(), 0))
    assert not [name for name, part in state.model.named_parameters() if part.grad is None]


def test_processes_that_do_not_share_a_folder_are_told(tmp_path: Path, monkeypatch) -> None:
    train(replace(CONFIG, batch=2), tmp_path / "first", device=CPU)

    def beside_one_that_begins(limits: torch.Tensor, how: object) -> None:
        limits.copy_(torch.maximum(limits, torch.tensor([0, 0])))

    monkeypatch.setattr(trainer.dist, "all_reduce", beside_one_that_begins)
    with pytest.raises(TrainingError, match=r"from steps 0 to 6; give a folder that all machines share"):
        train(CONFIG, tmp_path / "first", device=CPU, group=trainer.Group(0, 2))


def test_a_run_of_one_process_is_not_gone_on_with_by_two(tmp_path: Path) -> None:
    train(replace(CONFIG, steps=2), tmp_path, device=CPU)
    with pytest.raises(TrainingError, match=r"1 clips a step .* has 2 \(processes: 2, batch: 1\)"):
        train(replace(CONFIG, steps=2), tmp_path, device=CPU, group=trainer.Group(0, 2))


def test_processes_stream_the_samples_that_one_with_a_larger_batch_would() -> None:
    config = replace(CONFIG, starts="rollout", batch=3)
    alone = trainer._numbers(replace(config, batch=6), trainer.Group(), 2, 4)
    shared = [trainer._numbers(config, trainer.Group(rank, 2), 2, 4) for rank in (0, 1)]
    assert sorted([*shared[0], *shared[1]]) == list(alone) == list(range(12, 24))
    drawn = [trainer._drawn(config, number) for number in range(60)]
    assert 15 < sum(drawn) < 45
    assert any(drawn[6 * step : 6 * step + 6].count(True) not in (0, 6) for step in range(10))


def test_a_snapshot_of_other_settings_is_refused(tmp_path: Path) -> None:
    train(replace(CONFIG, steps=2), tmp_path, device=CPU)
    with pytest.raises(TrainingError, match="another 'seed'"):
        train(replace(CONFIG, seed=5), tmp_path, device=CPU)
    (tmp_path / snapshots.SNAPSHOT).write_bytes(b"cut off")
    with pytest.raises(TrainingError, match=r"cannot be read.*remove it to begin again"):
        train(CONFIG, tmp_path, device=CPU)


def test_a_run_may_be_told_to_end_sooner_or_later_but_not_before_now(tmp_path: Path) -> None:
    train(replace(CONFIG, steps=2), tmp_path, device=CPU)
    train(replace(CONFIG, steps=3), tmp_path, device=CPU)
    with pytest.raises(TrainingError, match="at step 3, beyond the 2 asked for; give more steps"):
        train(replace(CONFIG, steps=2), tmp_path, device=CPU)


def test_a_step_says_how_long_it_waited_for_clips() -> None:
    state, group = trainer.new_run(CONFIG, CPU), trainer.Group()
    ready = list(trainer._samples(CONFIG, group, 4))

    def late() -> Iterator[Sample]:
        time.sleep(0.3)
        yield ready[1]

    assert trainer._step(state, CONFIG, group, CPU, iter(ready[:1]))["waited"] < 0.1
    assert trainer._step(state, CONFIG, group, CPU, late())["waited"] >= 0.3


def test_tensorboard_gets_what_the_log_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(trainer, "_LOG_EVERY", 1)
    config = replace(CONFIG, evaluate_every=3)
    train(replace(config, steps=3), tmp_path, device=CPU, evaluate=lambda network: {"AJ": 0.25})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (evaluated,) = (line for line in logged(tmp_path) if "eval/AJ" in line)
    assert [(event.step, event.value) for event in events.Scalars("eval/AJ")] == [(3, 0.25)]
    steps = [line for line in logged(tmp_path) if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3]
    assert evaluated["step"] == 3
    for name in ("loss", "visible", "rate", "norm", "seconds"):
        found = events.Scalars(name)
        assert [event.step for event in found] == [1, 2, 3]
        assert [event.value for event in found] == pytest.approx([line[name] for line in steps], rel=1e-4)


def test_the_frozen_head_stays(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=3, loss=replace(CONFIG.loss, freeze_visibility=True))
    before = trainer.new_run(config, CPU).model.state_dict()["updateformer.vis_conf_head.weight"].clone()
    after = train(config, tmp_path, device=CPU).state_dict()
    assert torch.equal(before, after["updateformer.vis_conf_head.weight"])
    assert not torch.equal(before[:1], after["updateformer.flow_head.weight"][:1])


def test_windows_are_unrolled_for_networks_that_look_ahead(tmp_path: Path) -> None:
    model = replace(NETWORK, causal=False)
    config = replace(CONFIG, model=model, starts="query", steps=2, schedule="one_cycle")
    network = train(config, tmp_path, device=CPU)
    assert not torch.equal(weights(network), weights(trainer.averaged(trainer.new_run(config, CPU))))


def rates_of_torch(config: TrainConfig, total: int) -> list[float]:
    """What PyTorch's own schedule gives with its defaults, but for length, warm-up and momentum."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.rate, total_steps=total, pct_start=float(config.warm_up), cycle_momentum=False
    )
    rates = []
    for _ in range(config.steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("preset", [name for name in preset_names() if name.startswith("cotracker3")])
def test_the_one_cycle_is_that_of_torch_over_a_hundred_more_steps(preset: str) -> None:
    config = read_config(preset)
    assert config.schedule == "one_cycle"
    config = replace(config, steps=400)
    found = [rate_at(step, config) for step in range(400)]
    assert found == pytest.approx(rates_of_torch(config, 500), rel=1e-12)
    assert config.warm_up in (0.05, 0)  # 5 % of 500 steps end with the 25th
    assert found[24 if config.warm_up else 0] == max(found)
    assert found[-1] > 0.05 * config.rate


@pytest.mark.parametrize("warm_up", [0, 0.1, 0.5])
def test_the_cosine_is_that_of_torch_over_the_steps(warm_up: float) -> None:
    config = replace(CONFIG, steps=50, schedule="cosine", warm_up=warm_up)
    found = [rate_at(step, config) for step in range(50)]
    assert found == pytest.approx(rates_of_torch(config, 50), rel=1e-12)
    assert found[-1] == pytest.approx(config.rate / 25e4)


def test_the_trapezoid_rises_stays_and_falls_to_nothing() -> None:
    config = replace(CONFIG, steps=100, schedule="trapezoid", rate=1.0, warm_up=0.1, fall=0.4)
    rates = [rate_at(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == pytest.approx([1.0] * 52)
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == 0
