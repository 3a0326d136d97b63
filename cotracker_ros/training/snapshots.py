"""Snapshots of a run, from which it goes on exactly: weights, their average, the optimiser's state, the step.

A snapshot is one ``.safetensors`` file: tensors, and the rest as its metadata. It is written beside the last
one and takes its place only when it is whole, so that a full disk or a kill never costs more than the steps
since.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cotracker_ros.training.config import TrainConfig, TrainingError

SNAPSHOT = "snapshot.safetensors"


@dataclass(eq=False)
class RunState:
    """Everything that a run changes.

    Attributes:
        model: The network.
        average: Running average of its weights, by name.
        optimizer: The optimiser.
        step: Steps done.
        processes: How many train together: each step takes `TrainConfig.batch` clips of every one.
    """

    model: nn.Module
    average: dict[str, Tensor]
    optimizer: torch.optim.AdamW
    step: int = 0
    processes: int = 1


def save_snapshot(state: RunState, config: TrainConfig, folder: Path) -> None:
    """Write a snapshot, whole or not at all.

    Raises:
        OSError: The disk is full or the folder cannot be written to; the last snapshot is still there.
    """
    tensors = {f"model.{name}": part for name, part in state.model.state_dict().items()}
    tensors |= {f"average.{name}": part for name, part in state.average.items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(part) for name, part in moments.items()}
    metadata = {
        "step": str(state.step),
        "processes": str(state.processes),
        "config": json.dumps(asdict(config)),
    }
    unfinished = folder / (SNAPSHOT + ".part")
    try:
        save_file({name: part.contiguous().cpu() for name, part in tensors.items()}, unfinished, metadata)
        unfinished.replace(folder / SNAPSHOT)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"the snapshot of step {state.step} could not be written to {folder}: {error}"
        ) from error
    finally:  # an interruption leaves nothing behind; what a kill leaves, the next snapshot replaces
        unfinished.unlink(missing_ok=True)


def load_snapshot(state: RunState, config: TrainConfig, folder: Path) -> bool:
    """Go on from a folder's snapshot, if there is one.

    Raises:
        TrainingError: It cannot be read, or belongs to a run with other settings or with more or fewer clips
            a step: processes and `batch` may change if their product does not, since the clips are the same;
            so may `steps`, unless it is already beyond them.
    """
    path = folder / SNAPSHOT
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        step, settings = int(metadata["step"]), json.loads(metadata["config"])
        processes = int(metadata.get("processes", state.processes))  # older ones do not say it
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read: {error}; remove it to begin again") from error
    now, before = _settings(config), _flat(settings)
    # A setting that is younger than the snapshot had its default then.
    before = _settings(TrainConfig()) | before
    changed = sorted(name for name in now if now[name] != before[name] and name not in _MAY_CHANGE)
    if changed:
        raise TrainingError(
            f"{path} belongs to a run with another '{changed[0]}'; give the same settings or another --out"
        )
    if step > config.steps:
        raise TrainingError(
            f"{path} is at step {step}, beyond the {config.steps} asked for; give more steps or another --out"
        )
    clips, wanted = config.batch * state.processes, int(before["batch"]) * processes
    if clips != wanted:
        raise TrainingError(
            f"{path} belongs to a run of {wanted} clips a step (processes: {processes}, batch: "
            f"{before['batch']}), and this one has {clips} (processes: {state.processes}, batch: "
            f"{config.batch}); start as many processes, or give a batch that makes it {wanted} again"
        )
    state.model.load_state_dict(_part(tensors, "model."))
    for name, part in _part(tensors, "average.").items():
        state.average[name].copy_(part)  # on the device of the run
    groups = state.optimizer.state_dict()["param_groups"]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, part in _part(tensors, "optimizer.").items():
        index, moment = name.split(".", 1)
        moments.setdefault(int(index), {})[moment] = part
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    state.step = step
    return True


# Settings that do not decide what is learned, those that may save a run whose loss was not a number, and the
# steps: a run may have to end sooner than was meant. The batch is looked at together with the processes.
_MAY_CHANGE = (
    "steps", "snapshot_every", "evaluate_every", "evaluate_clips", "initial", "data.workers",
    "rate", "clip_norm", "precision", "batch",
)  # fmt: skip


def _settings(config: TrainConfig) -> dict[str, Any]:
    return _flat(json.loads(json.dumps(asdict(config))))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): part for name, part in tensors.items() if name.startswith(prefix)}
