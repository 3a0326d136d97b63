"""``cotracker_ros train``: train a network by the settings of a file or preset."""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import yaml

from cotracker_ros.tracking.network import pick_device
from cotracker_ros.training.config import TrainConfig, TrainingError, preset_names, read_config
from cotracker_ros.training.held_out import HeldOut
from cotracker_ros.training.trainer import WEIGHTS, Group, train

# The others wait while the first process evaluates.
_PATIENCE = timedelta(hours=3)


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
    """Train, and say where the weights are.

    Raises:
        TrainingError: A setting is unknown or wrong, or see `train`.
        DeviceError: The device cannot be had.
    """
    if not args.minutes > 0:
        raise TrainingError(f"--minutes is {args.minutes:g}; give a time above 0")
    stop_at = time.time() + 60 * args.minutes
    config = read_config(args.settings, dict(_change(text) for text in args.set))
    out = args.out or Path("out/train", Path(args.settings).stem)
    group, device = _join(pick_device(args.device))
    try:
        train(config, out, device=device, group=group, evaluate=_evaluation(config), stop_at=stop_at)
    except KeyboardInterrupt:
        if group.rank == 0:
            print("interrupted; the same command goes on from the last snapshot", file=sys.stderr)
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    if group.rank == 0:
        if time.time() >= stop_at:
            print("the time is up; the same command goes on where it stopped")
        print(f"weights: {out / WEIGHTS}")
    return 0


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise TrainingError(f"'{text}' is no setting; write NAME=VALUE such as steps=1000")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise TrainingError(f"the value of '{text}' cannot be read; write it as in a YAML file") from error


def _join(device: torch.device) -> tuple[Group, torch.device]:
    """Join the processes that torchrun started, if it did; each gets a GPU of its own if there are GPUs."""
    if "RANK" not in os.environ:
        return Group(), device
    if device.type == "cuda":
        if device.index is None:
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    return Group(dist.get_rank(), dist.get_world_size()), device


def _evaluation(config: TrainConfig) -> HeldOut | None:
    return HeldOut(config.evaluate_clips) if config.evaluate_every else None
