"""The encodings of motion and time that go into a token."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MOTION_FREQUENCIES = 10
POSITION_FREQUENCIES = 4
MOTION_WIDTH = 2 + 4 * MOTION_FREQUENCIES
"""Numbers that encode a motion against one neighbouring frame."""
POSITION_WIDTH = 2 + 4 * POSITION_FREQUENCIES
"""Numbers that encode a position."""


def time_embedding(length: int, width: int) -> Tensor:
    """Return sines and cosines of the frame number, (1, length, width) float32."""
    half = width // 2
    rate = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1).float()[None]


def resample_time_embedding(embedding: Tensor, length: int) -> Tensor:
    """Stretch a (1, L, width) embedding to another number of frames."""
    if embedding.shape[1] == length:
        return embedding
    stretched = F.interpolate(embedding.transpose(1, 2), length, mode="linear", align_corners=False)
    return stretched.transpose(1, 2)


def motion_encoding(xy: Tensor, scale: Tensor, *, causal: bool = False) -> Tensor:
    """Encode how each track moves between neighbouring frames.

    Args:
        xy: (…, S, 2) positions.
        scale: (2,) size that motion is measured against, in the unit of the positions.
        causal: Only against the frame before.

    Returns:
        (…, S, 84): the motions to both neighbours, their sines and their shifted sines; causal (…, S, 42).
    """
    step = (xy[..., :-1, :] - xy[..., 1:, :]) / scale
    forward = F.pad(step, (0, 0, 0, 1))
    backward = F.pad(-step, (0, 0, 1, 0))
    return _waves(backward if causal else torch.cat([forward, backward], -1), MOTION_FREQUENCIES)


def position_encoding(xy: Tensor, scale: Tensor) -> Tensor:
    """Encode where in the image each point is, (…, 2) in the unit of ``scale`` (2,): (…, 18)."""
    return _waves(xy / scale, POSITION_FREQUENCIES)


def _waves(values: Tensor, frequencies: int) -> Tensor:
    """Append sines and shifted sines of rising frequency to values (…, D)."""
    frequency = 2.0 ** torch.arange(frequencies, device=values.device, dtype=values.dtype)
    angle = (values[..., None, :] * frequency[:, None]).flatten(-2)
    return torch.cat([values, angle.sin(), (angle + math.pi / 2).sin()], -1)
