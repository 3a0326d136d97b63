"""The training loop: one process or many, exact resumption, a running average of the weights."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from tqdm import tqdm

from cotracker_ros.model import CoTracker3, checkpoints, find_weights
from cotracker_ros.training.config import TrainConfig, TrainingError
from cotracker_ros.training.forward import sample_losses
from cotracker_ros.training.rollout import roll_out
from cotracker_ros.training.samples import Sample, load_samples
from cotracker_ros.training.snapshots import RunState, load_snapshot, save_snapshot
from cotracker_ros.training.verifying import fit_verifier, verifier_clips, without_verifier

WEIGHTS = "weights.safetensors"
LOG = "log.jsonl"
_LOG_EVERY = 20
_SPARE_STEPS = 100  # of the published one-cycle, which never comes to its end (specification 3.2)


class TrainingFailedError(TrainingError):
    """A run that cannot go on; what was good is kept in its snapshot."""


class _NotFiniteError(Exception):
    """What is not a number, named; nothing has been changed by it."""


@dataclass(frozen=True)
class Group:
    """The processes that train together.

    Attributes:
        rank: Number of this one.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def average_gradients(self, model: CoTracker3) -> None:
        """Replace the gradients by their mean over all processes."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, here: bool, device: torch.device) -> bool:
        """Return whether something holds in any process."""
        if self.size == 1:
            return here
        holds = torch.tensor(float(here), device=device)
        dist.all_reduce(holds)
        return bool(holds > 0)

    def check_same(self, step: int, out: Path, device: torch.device) -> None:
        """Make sure that all processes go on from the same step.

        Raises:
            TrainingError: They do not: those on other machines see another folder.
        """
        if self.size == 1:
            return
        limits = torch.tensor([step, -step], device=device)
        dist.all_reduce(limits, dist.ReduceOp.MAX)
        last, first = int(limits[0]), -int(limits[1])
        if first != last:
            raise TrainingError(
                f"the processes go on from steps {first} to {last}; give a folder that all machines share "
                f"instead of {out}"
            )


Evaluate = Callable[[CoTracker3], dict[str, float]]


def train(
    config: TrainConfig,
    out: Path,
    *,
    device: torch.device,
    group: Group | None = None,
    evaluate: Evaluate | None = None,
    stop_at: float = math.inf,
) -> CoTracker3:
    """Train a network, or go on with a run that was interrupted.

    Args:
        config: Settings.
        out: Folder of the run: snapshot, log, TensorBoard's events and, at the end, weights.
        device: Where to compute.
        group: The processes that train together; by default this one alone.
        evaluate: Scores a network, every `TrainConfig.evaluate_every` steps and at the end.
        stop_at: Time (`time.time`) at which to write a snapshot and stop.

    Returns:
        The network with averaged weights; in the process of rank 0, after the last step, with its verifier.

    Raises:
        TrainingFailedError: The loss is not a number.
        TrainingError: A snapshot there belongs to another run or one with more or fewer clips a step, or
            cannot be read.
        OSError: The disk is full.
    """
    group = group or Group()
    out.mkdir(parents=True, exist_ok=True)
    state = new_run(config, device)
    state.processes = group.size
    resumed = load_snapshot(state, config, out)
    group.check_same(state.step, out, device)
    if resumed and state.step == config.steps and _holds_weights(out / WEIGHTS, state, config):
        return CoTracker3.from_checkpoint(out / WEIGHTS, device)
    log = RunLog(out, config, state.step if resumed else 0) if group.rank == 0 else None
    with tqdm(
        total=config.steps, initial=state.step, desc="train", unit="step", disable=group.rank > 0
    ) as bar:
        samples = _samples(config, group, state.step)
        # All processes stop at the same step, or the last ones would wait for the others for ever.
        while state.step < config.steps and not group.any(time.time() >= stop_at, device):
            begun = time.time()
            try:
                values = _step(state, config, group, device, samples)
            except _NotFiniteError as bad:
                kept = _keep(state, config, group, out)
                raise TrainingFailedError(
                    f"{bad} of step {state.step} is not a number; {kept}: lower the rate "
                    f"({config.rate:g}) or use precision fp32, and run again"
                ) from None
            bar.update()
            bar.set_postfix(loss=f"{values['loss']:.3f}", refresh=False)
            if log is None:
                continue
            log.note(state.step, values | {"seconds": time.time() - begun})
            if _is_due(state.step, config.snapshot_every, config):
                save_snapshot(state, config, out)
            if evaluate and _is_due(state.step, config.evaluate_every, config):
                scores = evaluate(averaged(state))
                log.write(state.step, {f"eval/{name}": value for name, value in scores.items()})
                found = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
                bar.write(f"step {state.step}: {found}", file=sys.stderr)
    network = averaged(state)
    if log:
        save_snapshot(state, config, out)
        if config.verifier_clips and state.step == config.steps:
            network = fit_verifier(network, verifier_clips(config.verifier_clips))
        _save_weights(network, out / WEIGHTS)
        log.close()
    return network


def _keep(state: RunState, config: TrainConfig, group: Group, out: Path) -> str:
    """Save what was good until a step failed, and say what is kept."""
    if group.rank > 0 or not state.step:
        return "the last snapshot is good"
    try:
        save_snapshot(state, config, out)
    except OSError as error:
        return f"the last snapshot is good, but {error}"
    return "all steps before it are in the snapshot"


def _holds_weights(path: Path, state: RunState, config: TrainConfig) -> bool:
    """Say whether a file holds what the run ends with: an earlier stop leaves weights there, too."""
    if not path.is_file():
        return False
    found, tensors = checkpoints.read(path)
    _, ours = without_verifier(found, tensors)
    same = all(torch.equal(part, state.average[name].cpu()) for name, part in ours.items())
    return same and bool(found.verifier) == bool(config.verifier_clips)


def _save_weights(network: CoTracker3, path: Path) -> None:
    try:
        checkpoints.save(network, network.config, path)
    except (OSError, SafetensorError) as error:
        raise OSError(f"{path} could not be written: {error}; the snapshot was: run again") from error


def _is_due(step: int, every: int, config: TrainConfig) -> bool:
    return every > 0 and (step % every == 0 or step == config.steps)


def new_run(config: TrainConfig, device: torch.device) -> RunState:
    """Make a network with its optimiser, from scratch or from the initial weights.

    Raises:
        TrainingError: The initial weights are of a network of another shape.
    """
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = CoTracker3(config.model)
    if config.initial:
        path = find_weights(config.initial)
        found, tensors = without_verifier(*checkpoints.read(path))
        if found != config.model:
            raise TrainingError(f"{path} holds another network than the settings describe; give its 'model'")
        checkpoints.load_into(model, tensors, path)
    model.to(device).train()
    if config.loss.freeze_visibility:
        model.updateformer.vis_conf_head.requires_grad_(False)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=config.rate, weight_decay=config.weight_decay)
    average = {name: part.detach().clone() for name, part in model.state_dict().items()}
    return RunState(model, average, optimizer)


def averaged(state: RunState) -> CoTracker3:
    """Return a network with the averaged weights, in evaluation mode."""
    assert isinstance(state.model, CoTracker3)
    network = CoTracker3(state.model.config)
    network.load_state_dict(state.average)
    return network.to(state.model.device).eval()


def rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate of a step, from 0 to `TrainConfig.rate`."""
    done = step / config.steps
    if config.schedule == "trapezoid":
        warm = max(config.warm_up, 1 / config.steps)
        return config.rate * min(1.0, (done + 1 / config.steps) / warm, (1 - done) / max(config.fall, 1e-9))
    # PyTorch's one-cycle: from rate / 25 up, then down to a 10,000th of that, along cosines.
    low, least = config.rate / 25, config.rate / 25e4
    total = config.steps + (_SPARE_STEPS if config.schedule == "one_cycle" else 0)
    peak, last = config.warm_up * total - 1, total - 1
    if step < peak:
        return low + (config.rate - low) * (1 - math.cos(math.pi * step / peak)) / 2
    share = (step - peak) / max(last - peak, 1e-9)
    return least + (config.rate - least) * (1 + math.cos(math.pi * share)) / 2


def _samples(config: TrainConfig, group: Group, step: int) -> Iterator[Sample]:
    """Samples of this process from a step on."""
    yield from load_samples(config, _numbers(config, group, step, config.steps))


def _numbers(config: TrainConfig, group: Group, step: int, end: int) -> range:
    """Numbers of this process's samples from a step on; they do not depend on where a run was interrupted."""
    in_step = config.batch * group.size
    return range(step * in_step + group.rank, end * in_step, group.size)


def _step(
    state: RunState, config: TrainConfig, group: Group, device: torch.device, samples: Iterator[Sample]
) -> dict[str, float]:
    """Make one optimiser step and say what it cost."""
    model = state.model
    assert isinstance(model, CoTracker3)
    rate = rate_at(state.step, config)
    for parameters in state.optimizer.param_groups:
        parameters["lr"] = rate
    values: dict[str, float] = {}
    waited = 0.0
    state.optimizer.zero_grad(set_to_none=True)
    for number in _numbers(config, group, state.step, state.step + 1):
        begun = time.time()
        sample = next(samples)
        waited += time.time() - begun
        sample = sample.to(device)
        if config.starts == "rollout" and not sample.gap and _drawn(config, number):
            # By itself: older versions of torch reuse weights that were rounded without gradients.
            with _rounding(config, device):
                sample = roll_out(model, sample, config.iterations)
        with _rounding(config, device):
            losses = sample_losses(model, sample, config)
        loss = torch.stack(list(losses.values())).sum() / config.batch
        loss.backward()
        for name, part in losses.items():
            values[name] = values.get(name, 0.0) + float(part.detach()) / config.batch
    values["loss"] = sum(values.values())
    group.average_gradients(model)
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm))
    bad = _not_finite(values, norm)
    # All processes stop at once: an infinite loss may leave the gradients of the others finite.
    if group.any(bad is not None, device):
        raise _NotFiniteError(bad or "another process's loss")
    state.optimizer.step()
    state.step += 1
    # A young average would hold the first weights for long.
    decay = min(config.average, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for name, part in model.state_dict().items():
            state.average[name].lerp_(part.to(state.average[name].dtype), 1 - decay)
    return values | {"rate": rate, "norm": norm, "waited": waited}


def _not_finite(losses: dict[str, float], norm: float) -> str | None:
    """Name the first of the losses and the gradient's norm that is not a number, if one is not."""
    for name, value in losses.items():
        if not math.isfinite(value):
            return f"the loss '{name}'"
    return None if math.isfinite(norm) else "the gradient"


def _rounding(config: TrainConfig, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")


def _drawn(config: TrainConfig, number: int) -> bool:
    """Whether the network streams the sample of a number itself, whichever process has it, and whenever."""
    draw = torch.rand((), generator=torch.Generator().manual_seed(config.seed + 7919 * number))
    return bool(draw < config.rollouts)


class RunLog:
    """Writes what a run does: JSON lines, and TensorBoard's events where tensorboard is installed."""

    def __init__(self, out: Path, config: TrainConfig, step: int) -> None:
        """Begin, or go on after ``step``: later lines of an interrupted run are dropped."""
        self._path = out / LOG
        lines = self._path.read_text().splitlines() if step and self._path.is_file() else []
        kept = [line for line in lines if _step_of(line) <= step]
        rewritten = self._path.with_suffix(".part")  # a kill or a full disk here must not cost the log
        rewritten.write_text("".join(line + "\n" for line in kept))
        rewritten.replace(self._path)
        self._sums: dict[str, float] = {}
        self._count = 0
        self._board = _tensorboard(out, step)

    def note(self, step: int, values: dict[str, float]) -> None:
        """Take a step's values; their means are written every so many steps."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if self._count == _LOG_EVERY:
            self.write(step, {name: value / self._count for name, value in self._sums.items()})
            self._sums, self._count = {}, 0

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write values of a step."""
        rounded = {name: float(f"{value:.5g}") for name, value in values.items()}
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step} | rounded) + "\n")
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what TensorBoard still holds back."""
        if self._board:
            self._board.close()


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf  # cut off by a kill


def _tensorboard(out: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)
