"""``cotracker_ros train``: train a network by the settings of a file or preset."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import yaml

from cotracker_ros.tracking.network import pick_device
from cotracker_ros.training.config import TrainConfig, TrainingError, preset_names, read_config
from cotracker_ros.training.trainer import WEIGHTS, Group, train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.usage = "%(prog)s CONFIG [options]"
    parser.add_argument(
        "settings", metavar="CONFIG", help=f"YAML file or preset: {', '.join(preset_names())}"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the run [out/train/CONFIG]")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings to change, such as data.path=kubric",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after so long; run again to go on"
    )


def run(args: argparse.Namespace) -> int:
    """Train, and say where the weights are."""
    stop_at = time.time() + 60 * args.minutes
    config = read_config(args.settings, dict(_change(text) for text in args.set))
    out = args.out or Path("out/train", Path(args.settings).stem)
    device = pick_device(args.device)
    group = _join(device)
    try:
        train(config, out, device=device, group=group, evaluate=_evaluation(config, group), stop_at=stop_at)
    finally:
        if group.size > 1:
            dist.destroy_process_group()
    if group.rank == 0:
        print(f"weights: {out / WEIGHTS}")
    return 0


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise TrainingError(f"'{text}' is no setting; write NAME=VALUE such as steps=1000")
    return name, yaml.safe_load(value)


def _join(device: torch.device) -> Group:
    """Join the processes that torchrun started, if it did."""
    if "RANK" not in os.environ:
        return Group()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Group(dist.get_rank(), dist.get_world_size())


def _evaluation(config: TrainConfig, group: Group) -> None:
    return None
