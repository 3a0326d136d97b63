"""Take the weights of training runs into the package: half precision, with the runs' logs and their curves.

Usage: python scripts/release_weights.py RUN [RUN ...], the folders of `cotracker_ros train` in the order in
which they went on from each other; the last one's averaged weights are taken.
"""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from safetensors import safe_open

from cotracker_ros.model import CoTracker3, checkpoints
from cotracker_ros.training.snapshots import SNAPSHOT
from cotracker_ros.training.trainer import LOG

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "cotracker_ros" / "weights" / "default.safetensors"
DOCS = ROOT / "docs"
LOSSES = ("visible", "hidden", "visibility", "confidence", "features")
SMOOTHED = 10  # lines of the log


def main(runs: list[Path]) -> None:
    """Write the weights, docs/training_log.jsonl and docs/training.png."""
    with safe_open(runs[-1] / SNAPSHOT, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith("average.")]  # noqa: SIM118
        tensors = {name.removeprefix("average."): file.get_tensor(name).half() for name in names}
        metadata = file.metadata()
    config = checkpoints.CoTracker3Config(**_model(json.loads(metadata["config"])["model"]))
    network = CoTracker3(config).half()
    network.load_state_dict(tensors)
    checkpoints.save(network, config, WEIGHTS)
    WEIGHTS.chmod(0o644)
    lines, before = [], 0
    for run in runs:
        entries = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
        lines += [entry | {"step": entry["step"] + before} for entry in entries]
        before = lines[-1]["step"]
    (DOCS / "training_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _plot([line for line in lines if "loss" in line])
    size = WEIGHTS.stat().st_size / 1e6
    parameters = sum(part.numel() for part in network.parameters())
    print(f"step {metadata['step']} of {runs[-1]}: {parameters} parameters, {size:.1f} MB")


def _model(values: dict) -> dict:
    return values | {"stage_widths": tuple(values["stage_widths"])}


def _plot(lines: list[dict]) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    steps = np.array([line["step"] for line in lines])
    kernel = np.ones(min(SMOOTHED, len(lines))) / min(SMOOTHED, len(lines))
    for name in LOSSES:
        values = np.convolve([line[name] for line in lines], kernel, mode="valid")
        axes.plot(steps[len(kernel) - 1 :], values, label=name)
    axes.set(xlabel="step", ylabel="weighted loss", ylim=(0, None))
    axes.legend(fontsize=8, ncols=len(LOSSES), loc="upper right")
    figure.savefig(DOCS / "training.png", dpi=90)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main([Path(name) for name in sys.argv[1:]])
