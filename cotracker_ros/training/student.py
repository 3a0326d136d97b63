"""Training a student on labels: a published network as CoTracker3's second stage does, a causal one whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from cotracker_ros.model import checkpoints, find_weights
from cotracker_ros.training.config import TrainConfig, read_config
from cotracker_ros.training.label_cache import LIST, LabelFolder
from cotracker_ros.training.named_teachers import file_digest
from cotracker_ros.training.trainer import WEIGHTS, train
from cotracker_ros.training.verifying import without_verifier

STUDENT = "student.safetensors"
_LEAST_WINDOW = 4
_STEPS = 2000  # of published networks; as published it would be 15,000


@dataclass(frozen=True)
class StudentConfig:
    """How a student learns.

    Attributes:
        student: Weights that the student starts from: a path, ``default`` or a published name.
        steps: Optimiser steps; 0 takes what suits the student.
        rate: Highest learning rate, which falls along a cosine; 0 takes what suits the student.
        workers: Processes that read clips.
    """

    student: str = "default"
    steps: int = 0
    rate: float = 0.0
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "workers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 0")
        if not self.rate >= 0:
            raise ValueError(f"rate is {self.rate}; give 0 (what suits the student) or a number above it")


def student_config(config: StudentConfig, labels: Path, frames: int, tracks: int, seed: int) -> TrainConfig:
    """Return the settings of a student's training.

    Those of published networks are of the second stage (specification 3.3): the head of visibility and
    confidence stays as it is, because teachers' visibility is not trusted that far. Causal networks learn it
    too, from what is known to hide points (see `covers`), and stream clips themselves, as they did before.

    Args:
        config: The student.
        labels: Folder of the labels.
        frames: Frames of the labelled clips.
        tracks: Points of the labelled clips.
        seed: For the order of the clips.

    Raises:
        WeightsError: The student's weights are missing or cannot be read.
    """
    model, _ = without_verifier(*checkpoints.read(find_weights(config.student)))
    kind = "offline" if model.offline else "online"
    base = read_config("default_distil" if model.causal else f"cotracker3_distil_{kind}")
    data = replace(
        base.data,
        path=str(labels),
        frames=min(base.data.frames, frames) if model.causal else frames,
        least_frames=min(base.data.least_frames, frames),
        # Queries are in a clip's first quarter, and a window begins where they have been asked.
        window=max(_LEAST_WINDOW, min(base.data.window, frames - frames // 4)),
        tracks=min(base.data.tracks, tracks) if model.causal else tracks,
        workers=config.workers,
    )
    return replace(
        base,
        model=model,
        data=data,
        initial=config.student,
        steps=config.steps or (base.steps if model.causal else _STEPS),
        rate=config.rate or base.rate,
        seed=seed,
    )


def train_student(config: TrainConfig, out: Path, *, device: torch.device) -> Path:
    """Train a student on the labels that its settings name, or go on where an earlier run was interrupted.

    Other labels or settings begin another run, in a folder of its own.

    Args:
        config: See `student_config`.
        out: Folder of the runs.
        device: Where to compute.

    Returns:
        The student's weights.

    Raises:
        LabelCacheError: The folder of labels is not finished, or empty.
        TrainingError: See `train`.
    """
    labels = Path(config.data.path)
    LabelFolder(labels)
    digest = hashlib.sha256((labels / LIST).read_bytes())
    digest.update(json.dumps(asdict(config), sort_keys=True).encode())
    digest.update(file_digest(find_weights(config.initial)).encode())
    run = out / f"run-{digest.hexdigest()[:8]}"
    train(config, run, device=device)
    return Path(shutil.copyfile(run / WEIGHTS, out / STUDENT))
