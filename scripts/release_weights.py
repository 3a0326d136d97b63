"""Take trained weights into the package: half precision, with the runs' logs and their curves.

Usage: python scripts/release_weights.py --runs RUN [RUN ...] --weights FILE [FILE ...]
RUNs are folders of `cotracker_ros train` in the order in which they went on from each other; FILEs are
weights of one network, whose mean is taken (Wortsman et al., "Model soups", 2022). The verifier is fitted on
the mean, half as precise as it is shipped.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import torch

from cotracker_ros.model import CoTracker3, checkpoints
from cotracker_ros.synthetic.training_clip import training_clip
from cotracker_ros.training.held_out import FIRST_SEED
from cotracker_ros.training.trainer import LOG
from cotracker_ros.training.verifying import (
    CLIPS,
    calibration_error,
    fit_verifier,
    gather_cases,
    joined,
    verifier_clips,
    without_verifier,
)

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "cotracker_ros" / "weights" / "default.safetensors"
DOCS = ROOT / "docs"
LOSSES = ("visible", "hidden", "visibility", "confidence", "features")
SMOOTHED = 10  # lines of the log
VERIFIER_CLIPS, CHECKED = 64, 12


def main(runs: list[Path], files: list[Path]) -> None:
    """Write the weights, docs/training_log.jsonl and docs/training.png."""
    config, total = without_verifier(*checkpoints.read(files[0]))
    for file in files[1:]:
        other, tensors = without_verifier(*checkpoints.read(file))
        if other != config:
            sys.exit(f"{file} holds another network than {files[0]}")
        total = {name: part + tensors[name] for name, part in total.items()}
    network = CoTracker3(config).half()
    network.load_state_dict({name: (part / len(files)).half() for name, part in total.items()})
    network = fit_verifier(network.bfloat16().eval(), verifier_clips(VERIFIER_CLIPS)).half()
    checkpoints.save(network, network.config, WEIGHTS)
    unseen = (training_clip(FIRST_SEED + number, replace(CLIPS, held_out=True)) for number in range(CHECKED))
    network.bfloat16()
    error = calibration_error(network.verifier, joined([gather_cases(network, clip) for clip in unseen]))
    print(f"calibration error on {CHECKED} held-out clips: {error:.3f}")
    WEIGHTS.chmod(0o644)
    lines, before = [], 0
    for run in runs:
        entries = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
        lines += [entry | {"step": entry["step"] + before} for entry in entries]
        before = lines[-1]["step"]
    (DOCS / "training_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _plot([line for line in lines if "loss" in line])
    parameters = sum(part.numel() for part in network.parameters())
    print(f"{WEIGHTS}: {parameters} parameters, {WEIGHTS.stat().st_size / 1e6:.1f} MB")


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
    parser = argparse.ArgumentParser(description="Take trained weights into the package.")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="RUN")
    parser.add_argument("--weights", type=Path, nargs="+", required=True, metavar="FILE")
    arguments = parser.parse_args()
    main(arguments.runs, arguments.weights)
