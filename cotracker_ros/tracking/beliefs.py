"""What a causal tracker believes of its points: logits that patches may raise, in rows that come and go."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotracker_ros.model import Estimates

BELIEVED = 2.0
"""Logits, at least, of a point whose patch is found again, or that was asked for in an answered image."""


def believed(estimates: Estimates, seen: Tensor) -> Estimates:
    """Return the estimates with points believed in that were seen (N,)."""
    least = torch.where(seen, BELIEVED, -torch.inf).to(estimates.visibility)[:, None]
    return estimates._replace(
        visibility=estimates.visibility.maximum(least), confidence=estimates.confidence.maximum(least)
    )


def take(estimates: Estimates, rows: NDArray[np.intp]) -> Estimates:
    """Return the estimates of some rows."""
    index = torch.from_numpy(rows).to(estimates.xy.device)
    return Estimates(*(whole[index] for whole in estimates))


def put(estimates: Estimates, rows: NDArray[np.intp], part: Estimates) -> Estimates:
    """Return the estimates with those of some rows replaced."""
    index = torch.from_numpy(rows).to(estimates.xy.device)
    pairs = zip(estimates, part, strict=True)
    return Estimates(*(whole.index_copy(0, index, new.to(whole)) for whole, new in pairs))


def belief(estimates: Estimates) -> Tensor:
    """Return visibility times confidence, as probabilities."""
    return estimates.visibility.sigmoid() * estimates.confidence.sigmoid()
