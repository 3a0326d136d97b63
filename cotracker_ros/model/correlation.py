"""4D correlation: the patch around a query compared with the patch around its present position.

The 7x7 lattice has integer offsets, so all its points share one sub-pixel fraction. Whole feature vectors of
the 8x8 pixels around it are gathered, and the bilinear blend is done after the product with the query's
patch: that is linear, hence the same result, for a fraction of the memory traffic of sampling every lattice
point.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotracker_ros.model.config import CoTracker3Config
from cotracker_ros.model.linear import Linear

# How many (track, frame) pairs are compared at a time: the temporaries stay in cache on a CPU and below
# 100 MB on a GPU, whatever the number of tracks.
PAIRS_AT_A_TIME = {"cpu": 512}
PAIRS_AT_A_TIME_ELSEWHERE = 8192


class CorrelationMlp(nn.Module):
    """Turns a correlation volume into an embedding; shared by all levels."""

    def __init__(self, config: CoTracker3Config) -> None:
        super().__init__()
        self.fc1 = Linear(config.volume, config.corr_hidden)
        self.fc2 = Linear(config.corr_hidden, config.corr_width)

    def forward(self, volume: Tensor) -> Tensor:
        """Map volumes (…, volume) to embeddings (…, corr_width)."""
        return self.fc2(F.gelu(self.fc1(volume)))


def gather_patches(features: Tensor, frames: Tensor, xy: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Gather the pixels that a lattice of side 2 * radius + 1 around each position is interpolated from.

    Args:
        features: (F, H, W, C) one level of a pyramid.
        frames: (P,) integer, which of the F frames each position belongs to.
        xy: (P, 2) positions in this level's pixels.
        radius: Reach of the lattice, pixels.

    Returns:
        (P, K * K, C) features with K = 2 * radius + 2, x slow and y fast; and (P, 2) sub-pixel fractions.
        Pixels outside are those of the edge.
    """
    height, width, channels = features.shape[1:]
    corner = xy.detach().floor()
    reach = torch.arange(-radius, radius + 2, device=xy.device)
    # A position far outside, or not finite, must still give valid indices.
    base = corner.nan_to_num(0).clamp(-1e6, 1e6).long()
    columns = (base[:, 0:1] + reach).clamp(0, width - 1)
    rows = (base[:, 1:2] + reach).clamp(0, height - 1)
    index = (frames[:, None, None] * height + rows[:, None, :]) * width + columns[:, :, None]
    patches = features.reshape(-1, channels).index_select(0, index.flatten())
    return patches.view(len(xy), -1, channels), xy - corner


def blend(values: Tensor, fraction: Tensor, radius: int) -> Tensor:
    """Interpolate a gathered patch to its lattice.

    Args:
        values: (P, K * K, D) with K = 2 * radius + 2, x slow and y fast.
        fraction: (P, 2) sub-pixel fractions.
        radius: Reach of the lattice.

    Returns:
        (P, (K - 1)^2, D), x slow and y fast.
    """
    side = 2 * radius + 2
    values = values.view(len(values), side, side, -1)
    x, y = fraction.to(values.dtype)[:, :, None, None, None].unbind(1)
    values = torch.lerp(values[:, :-1], values[:, 1:], x)
    values = torch.lerp(values[:, :, :-1], values[:, :, 1:], y)
    return values.flatten(1, 2)


def query_support(pyramid: list[Tensor], frames: Tensor, xy: Tensor, radius: int) -> list[Tensor]:
    """Sample the patch around each query, on every level.

    Args:
        pyramid: Levels (F, H_l, W_l, C).
        frames: (N,) integer, frame of each query.
        xy: (N, 2) positions in pixels of level 0.
        radius: Reach of the lattice.

    Returns:
        Per level (N, (2 * radius + 1)^2, C).
    """
    support = []
    for level, features in enumerate(pyramid):
        patches, fraction = gather_patches(features, frames, xy / 2**level, radius)
        support.append(blend(patches, fraction, radius))
    return support


def correlation_volume(features: Tensor, frames: Tensor, support: Tensor, xy: Tensor, radius: int) -> Tensor:
    """Compare every point of each track's present patch with every point of its query's patch.

    Args:
        features: (F, H, W, C) one level of a pyramid.
        frames: (S,) integer, frame of each column of `xy`.
        support: (N, Q, C) the queries' patches on this level.
        xy: (N, S, 2) positions in this level's pixels.
        radius: Reach of the lattice.

    Returns:
        (N, S, P, Q) with P = (2 * radius + 1)^2: the present patch is the slow index.
    """
    tracks, length = xy.shape[:2]
    patches, fraction = gather_patches(features, frames.repeat(tracks), xy.reshape(-1, 2), radius)
    products = patches.view(tracks, -1, patches.shape[-1]) @ support.transpose(1, 2)
    products = products.view(tracks * length, -1, support.shape[1])
    return blend(products, fraction, radius).view(tracks, length, -1, support.shape[1])


def correlate(
    pyramid: list[Tensor], frames: Tensor, support: list[Tensor], xy: Tensor, mlp: nn.Module, radius: int
) -> Tensor:
    """Embed the correlations of all levels, a few tracks at a time.

    Args:
        pyramid: Levels (F, H_l, W_l, C).
        frames: (S,) integer, frame of each column of `xy`.
        support: Per level (N, Q, C).
        xy: (N, S, 2) positions in pixels of level 0.
        mlp: Maps (…, P * Q) to (…, E).
        radius: Reach of the lattice.

    Returns:
        (N, S, levels * E).
    """
    pairs = PAIRS_AT_A_TIME.get(xy.device.type, PAIRS_AT_A_TIME_ELSEWHERE)
    # Each chunk's gradient would be as large as all features.
    step = max(1, len(xy) if torch.is_grad_enabled() else pairs // max(1, xy.shape[1]))
    chunks = []
    for start in range(0, max(1, len(xy)), step):
        part = slice(start, start + step)
        embeddings = []
        for level, features in enumerate(pyramid):
            volume = correlation_volume(features, frames, support[level][part], xy[part] / 2**level, radius)
            embeddings.append(mlp(volume.flatten(2)))
        chunks.append(torch.cat(embeddings, -1))
    return torch.cat(chunks)
