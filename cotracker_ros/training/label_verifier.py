"""Whom to believe, by a small learned verifier: the third way from teachers' answers to labels.

Choosing between teachers by a verifier is Track-On-R's idea (CVPR 2026); theirs looks at images and tracks,
this one at a few numbers that speak for and against each answer (see `label_evidence`), and costs next to
nothing. It does not know which teacher it judges. The rule, for each point in each frame:

1. The point is called visible by an answer if the verifier finds that more likely than not there, and the
   position lies in the image.
2. An answer's reliability is the probability that this is right, times the one that the position is within
   `NEAR` of the truth, averaged over a few neighbouring frames.
3. The most reliable answer gives the label if its reliability is at least `LabelConfig.min_reliability`;
   else nothing is known of the point there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import cotracker_ros
from cotracker_ros.model.verifier import Verifier
from cotracker_ros.training.answers import Answer
from cotracker_ros.training.label_evidence import EVIDENCE
from cotracker_ros.training.named_teachers import file_digest
from cotracker_ros.training.pseudo_labels import (
    NOBODY,
    LabelConfig,
    PseudoLabels,
    inside,
    steady,
    with_queries,
)

FILE = Path(cotracker_ros.__file__).parent / "weights" / "labels.safetensors"
"""The verifier that this package ships."""
NEAR = 2.0
"""Px at 256x256 up to which an answer is where the point is."""


class LabelVerifierError(ValueError):
    """A verifier that cannot be used; the text is one sentence."""


class Judgement(NamedTuple):
    """What a verifier makes of the answers of K teachers.

    Attributes:
        visible: (K, T, N) float32, probability that the point is visible, by the evidence of each answer.
        near: (K, T, N) float32, probability that the answer is within `NEAR` of the point's place.
    """

    visible: NDArray[np.float32]
    near: NDArray[np.float32]


@torch.no_grad()
def judge(verifier: Verifier, evidence: NDArray[np.float32]) -> Judgement:
    """Judge evidence (K, T, N, len(EVIDENCE))."""
    told = verifier(torch.from_numpy(evidence)).sigmoid().numpy()
    return Judgement(told[..., 0], told[..., 1])


def label_by_judgement(
    answers: Sequence[Answer],
    judgement: Judgement,
    queries: NDArray[np.float32],
    size: tuple[int, int],
    config: LabelConfig,
) -> PseudoLabels:
    """Believe for each point and frame the answer most likely to be right (see the head of this module).

    Args:
        answers: Of K teachers.
        judgement: Of these answers.
        queries: (N, 3) as t, x, y.
        size: Width and height of the images, px.
        config: Gives the least reliability.

    Returns:
        The labels; `PseudoLabels.chosen` counts the answers.
    """
    xy = np.stack([answer.tracks.xy for answer in answers])
    visible = (judgement.visible > 0.5) & inside(xy, size)
    right = judgement.near * np.where(visible, judgement.visible, 1 - judgement.visible)
    wrong = steady(1 - right, np.stack([answer.can for answer in answers]))
    best = wrong.argmin(0)[None]
    known = np.take_along_axis(wrong, best, 0)[0] <= 1 - config.min_reliability
    return with_queries(
        np.take_along_axis(xy, best[..., None], 0)[0],
        np.take_along_axis(visible, best, 0)[0],
        np.where(known, best[0], NOBODY),
        queries,
    )


def save_verifier(verifier: Verifier, path: Path = FILE) -> None:
    """Write a verifier with the names of its evidence."""
    tensors = {name: part.contiguous() for name, part in verifier.state_dict().items()}
    save_file(tensors, path, metadata={"evidence": json.dumps(EVIDENCE)})


def verifier_identity() -> str:
    """Say which verifier is shipped exactly: labels that another one chose are made again.

    Raises:
        LabelVerifierError: See `load_verifier`.
    """
    load_verifier()
    return file_digest(FILE)


def load_verifier(path: Path = FILE) -> Verifier:
    """Read a verifier.

    Raises:
        LabelVerifierError: The file is missing or damaged, or judges by other evidence.
    """
    try:
        with safe_open(path, framework="pt") as file:
            columns = json.loads((file.metadata() or {})["evidence"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if tuple(columns) != EVIDENCE:
            raise LabelVerifierError(
                f"{path} judges by other evidence than this version of the package gathers; install the "
                "package again, or use labels 'reliable'"
            )
        verifier = Verifier(len(tensors["fc1.bias"]), len(EVIDENCE))
        verifier.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise LabelVerifierError(
            f"{path} is no verifier of labels ({str(error).splitlines()[0]}); install the package again, or "
            "use labels 'reliable'"
        ) from error
    return verifier.eval()
