"""The encodings of motion and time that go into a token."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MOTION_FREQUENCIES = 10


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


def motion_encoding(xy: Tensor, scale: Tensor) -> Tensor:
    """Encode how each track moves between neighbouring frames.

    Args:
        xy: (…, S, 2) positions.
        scale: (2,) size that motion is measured against, in the unit of the positions.

    Returns:
        (…, S, 84): the motions to both neighbours, their sines and their shifted sines.
    """
    step = (xy[..., :-1, :] - xy[..., 1:, :]) / scale
    forward = F.pad(step, (0, 0, 0, 1))
    backward = F.pad(-step, (0, 0, 1, 0))
    motion = torch.cat([forward, backward], -1)
    frequency = 2.0 ** torch.arange(MOTION_FREQUENCIES, device=xy.device, dtype=xy.dtype)
    angle = (motion[..., None, :] * frequency[:, None]).flatten(-2)
    return torch.cat([motion, angle.sin(), (angle + math.pi / 2).sin()], -1)
