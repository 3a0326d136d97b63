"""Training a student on labels, as CoTracker3's second stage does: gently, and positions only."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from cotracker_ros.model import checkpoints, find_weights
from cotracker_ros.training.config import LossConfig, TrainConfig, read_config
from cotracker_ros.training.label_cache import LIST, LabelFolder
from cotracker_ros.training.named_teachers import file_digest
from cotracker_ros.training.trainer import WEIGHTS, train

STUDENT = "student.safetensors"
_LEAST_WINDOW = 4


@dataclass(frozen=True)
class StudentConfig:
    """How a student learns.

    Attributes:
        student: Weights that the student starts from: a path, ``default`` or a published name.
        steps: Optimiser steps.
        rate: Highest learning rate; it falls along a cosine, without warm-up.
        workers: Processes that read clips.
    """

    student: str = "default"
    steps: int = 2000
    rate: float = 5e-5
    workers: int = 1

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least {least}")
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate}; give a number above 0")


def student_config(config: StudentConfig, labels: Path, frames: int, tracks: int, seed: int) -> TrainConfig:
    """Return the second stage's settings (specification 3.3) for a student.

    Sizes, losses and passes are those that networks of its kind are trained with; the head of visibility and
    confidence stays as it is, because teachers' visibility is not trusted that far.

    Args:
        config: The student.
        labels: Folder of the labels.
        frames: Frames of the labelled clips.
        tracks: Points of the labelled clips.
        seed: For the order of the clips.

    Raises:
        WeightsError: The student's weights are missing or cannot be read.
    """
    model, _ = checkpoints.read(find_weights(config.student))
    second = read_config("cotracker3_distil_online")
    base = read_config("default") if model.causal else second
    window = max(_LEAST_WINDOW, min(base.data.window, frames))
    data = replace(
        base.data,
        source="labels",
        path=str(labels),
        frames=min(base.data.frames, frames) if model.causal else frames,
        window=window,
        tracks=tracks,
        workers=config.workers,
    )
    loss: LossConfig = replace(
        base.loss,
        visibility=second.loss.visibility,
        confidence=second.loss.confidence,
        features=second.loss.features,
        freeze_visibility=second.loss.freeze_visibility,
    )
    return replace(
        base,
        model=model,
        data=data,
        loss=loss,
        initial=config.student,
        steps=config.steps,
        rate=config.rate,
        schedule=second.schedule,
        warm_up=second.warm_up,
        weight_decay=second.weight_decay,
        clip_norm=second.clip_norm,
        seed=seed,
        evaluate_every=second.evaluate_every,
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
