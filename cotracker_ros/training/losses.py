"""The losses of CoTracker3 (specification 3.1) and the one on the features that gets small networks going."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cotracker_ros.model import Estimates
from cotracker_ros.model.correlation import blend, gather_patches
from cotracker_ros.training.config import LossConfig

_FEATURE_LEVELS = 3  # of the pyramid; the coarser ones are a few pixels wide
_TEMPERATURE = 0.07


class Target(NamedTuple):
    """What a window's estimates should be, for N tracks in S frames.

    Attributes:
        xy: (N, S, 2) px of the network's input.
        visible: (N, S) bool.
        valid: (N, S) bool, frames that count: position and visibility are known, and the track has begun.
    """

    xy: Tensor
    visible: Tensor
    valid: Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values where a mask holds, 0 where it holds nowhere."""
    return (values * mask).sum() / (1e-6 + mask.sum())


def huber(distance: Tensor, delta: float) -> Tensor:
    """Quadratic below ``delta``, linear above."""
    return torch.where(distance < delta, 0.5 * distance**2, delta * (distance - 0.5 * delta))


def window_losses(
    iterations: Sequence[Estimates], target: Target, stride: int, config: LossConfig
) -> dict[str, Tensor]:
    """Losses of one window's estimates after each iteration, weighted: their sum is what training minimises.

    Args:
        iterations: Estimates (N, S), positions in feature pixels.
        target: The truth.
        stride: Image pixels per feature pixel.
        config: Weights and shapes of the losses.

    Returns:
        ``visible``, ``hidden`` (positions), ``visibility`` and ``confidence``.
    """
    judged = target.valid if config.masked else torch.ones_like(target.valid)
    seen, unseen = target.valid & target.visible, target.valid & ~target.visible
    losses = dict.fromkeys(("visible", "hidden", "visibility", "confidence"), target.xy.new_zeros(()))
    count = len(iterations)
    for index, estimates in enumerate(iterations):
        share = config.gamma ** (count - 1 - index) / count
        offset = estimates.xy * stride - target.xy
        distance = offset.abs()
        near = huber(distance, config.huber).mean(-1)
        losses["visible"] = losses["visible"] + share * masked_mean(near, seen)
        losses["hidden"] = losses["hidden"] + share * masked_mean(distance.mean(-1), unseen)
        losses["visibility"] = losses["visibility"] + _visibility(estimates, target, judged, config) / count
        close = (offset.detach().square().sum(-1) <= config.close**2).float()
        wrong = F.binary_cross_entropy_with_logits(estimates.confidence, close, reduction="none")
        # Hidden points teach no confidence, but count in the mean.
        confidence = (wrong * (judged & target.visible)).sum() / judged.sum().clamp_min(1)
        losses["confidence"] = losses["confidence"] + confidence / count
    weights = {
        "visible": config.visible,
        "hidden": config.hidden,
        "visibility": config.visibility,
        "confidence": config.confidence,
    }
    return {name: weights[name] * loss for name, loss in losses.items()}


def _visibility(estimates: Estimates, target: Target, judged: Tensor, config: LossConfig) -> Tensor:
    wrong = F.binary_cross_entropy_with_logits(estimates.visibility, target.visible.float(), reduction="none")
    return masked_mean(wrong, judged * (1 + (config.hidden_balance - 1) * ~target.visible))


def feature_loss(pyramid: list[Tensor], support: list[Tensor], target: Target, stride: int) -> Tensor:
    """Cross-entropy of where in a frame the query's features are found, against where they are.

    It trains the encoder directly, before the updates make sense of correlations.

    Args:
        pyramid: Levels (S, H_l, W_l, C), unit features on level 0.
        support: Per level (N, Q, C), the query's patch; its middle is used.
        target: The truth of the S frames.
        stride: Image pixels per feature pixel.
    """
    tracks, frames = (target.valid & target.visible).nonzero().unbind(1)
    total = target.xy.new_zeros(())
    levels = min(_FEATURE_LEVELS, len(pyramid))
    for level in range(levels if len(tracks) else 0):
        features, middle = pyramid[level], support[level].shape[1] // 2
        height, width = features.shape[1:3]
        query = F.normalize(support[level][:, middle], dim=-1)
        scores = F.normalize(features, dim=-1).flatten(1, 2) @ query.T / _TEMPERATURE  # (S, H * W, N)
        log_share = scores.float().log_softmax(1).transpose(1, 2).reshape(-1, height, width, 1)
        corners, fraction = gather_patches(
            log_share, frames * len(query) + tracks, target.xy[tracks, frames] / stride / 2**level, 0
        )
        total = total - blend(corners, fraction, 0).mean()
    return total / levels
