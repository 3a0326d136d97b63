"""A judge of tracks: by what was noticed of a point in an image, is it seen, and is it where it is said?

A small learned verifier, as Track-On-R (CVPR 2026) has one to choose between teachers; a causal network has
one that judges it by its own evidence, image by image, and costs next to nothing. Another one chooses between
teachers, by other evidence (see `cotracker_ros.training.label_verifier`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EVIDENCE = (
    "visibility",
    "confidence",
    "belief",
    "spread",
    "together",
    "alike",
    "area",
    "shear",
    "features",
)
"""What a network's verifier judges by, in this order; see `cotracker_ros.tracking.evidence`."""
NEAR = 8.0
"""Px at 256x256 up to which a point is where it is said to be."""
_FARTHEST = 5.0  # standard deviations; what is beyond was hardly ever met


class Verifier(nn.Module):
    """One hidden layer over normalised evidence."""

    mean: Tensor
    scale: Tensor

    def __init__(self, hidden: int, columns: int = len(EVIDENCE)) -> None:
        """Make one that knows nothing.

        Args:
            hidden: Width of its hidden layer.
            columns: Of its evidence; by default those of `EVIDENCE`.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))
        self.fc1 = nn.Linear(columns, hidden)
        self.fc2 = nn.Linear(hidden, 2)

    def forward(self, evidence: Tensor) -> Tensor:
        """Judge evidence (..., columns).

        Returns:
            (..., 2) logits: that the point is visible; that it is near its place (within `NEAR`, if it is
            visible, as it was fitted for networks).
        """
        known = ((evidence.to(self.mean.dtype) - self.mean) / self.scale).clamp(-_FARTHEST, _FARTHEST)
        return self.fc2(F.gelu(self.fc1(known)))
