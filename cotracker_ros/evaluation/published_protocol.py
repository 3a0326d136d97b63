"""The published streaming protocol with its costs, for comparison in benchmarks.

In every step of 8 frames it does what the stream tracker does not: encode all 16 frames of the window and
build their pyramids, sample the query patches again, sample every lattice point of every neighbourhood with
a volumetric sampler, hold the whole correlation volume of a level at once, and copy all predictions so far.
`published_layers` also gives it torch's own layers back, in place of this package's faster equals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from cotracker_ros.model import CoTracker3, Estimates, encoder
from cotracker_ros.model.cotracker3 import add_update, advance, new_estimates, select
from cotracker_ros.model.linear import Linear


@contextmanager
def published_layers() -> Iterator[None]:
    """Run networks with `torch.nn.Linear` and instance norm as torch has them."""
    with (
        patch.object(Linear, "forward", torch.nn.Linear.forward),
        patch.object(encoder, "_norm", F.instance_norm),
    ):
        yield


class PublishedProtocol:
    """Tracks N queries that are all known from the start, in steps of half a window."""

    def __init__(self, model: CoTracker3, queries: Tensor, iterations: int = 6) -> None:
        """Begin a stream: ``queries`` (N, 3) as (t, x, y), px of the network's input."""
        self.model, self.queries, self.iterations = model, queries, iterations
        self.start = 0
        self.estimates: Estimates | None = None
        self.xy = torch.zeros(0, len(queries), 2)
        self.support: list[Tensor] = []

    @torch.no_grad()
    def step(self, frames: Tensor) -> Tensor:
        """Take the 16 frames (16, 3, H, W) of the next window; return all positions so far (T, N, 2), px."""
        config, queries = self.model.config, self.queries
        half = config.window // 2
        pyramid = [level.permute(0, 3, 1, 2)[:, :, None] for level in self.model.encode(frames)]
        times = queries[:, 0] - self.start
        origin = queries[:, 1:] / config.stride
        self._add_support(pyramid, times, origin)
        estimates = new_estimates(origin, config.window)
        if self.estimates is not None:
            carried = advance(self.estimates, half, half - 1)
            estimates = select(times < half, carried, estimates)
        for _ in range(self.iterations):
            embedding = self._correlate(pyramid, estimates.xy)
            estimates = add_update(estimates, self.model.update(estimates, embedding))
        self.estimates = estimates
        self.xy = torch.cat([self.xy[: self.start], estimates.xy.transpose(0, 1) * config.stride])
        self.start += half
        return self.xy

    def _add_support(self, pyramid: list[Tensor], times: Tensor, origin: Tensor) -> None:
        window = self.model.config.window
        first = self.start == 0
        new = ((times >= (0 if first else window // 2)) & (times < window))[:, None, None]
        for level, features in enumerate(pyramid):
            points = origin[:, None] / 2**level + self._lattice(origin)
            frames = times.clamp(0, window - 1)[:, None, None].expand(*points.shape[:2], 1)
            patches = self._sample(features.transpose(0, 2), torch.cat([points, frames], -1)[None])[0] * new
            if first:
                self.support.append(patches)
            else:
                self.support[level] = self.support[level] + patches

    def _correlate(self, pyramid: list[Tensor], xy: Tensor) -> Tensor:
        embeddings = []
        for level, features in enumerate(pyramid):
            points = xy.transpose(0, 1)[:, :, None] / 2**level + self._lattice(xy)  # (S, N, Q, 2)
            points = F.pad(points, (0, 1))
            patches = self._sample(features, points)
            volume = torch.einsum("snac,nqc->nsaq", patches, self.support[level])
            embeddings.append(self.model.corr_mlp(volume.flatten(2)))
        return torch.cat(embeddings, -1)

    def _lattice(self, like: Tensor) -> Tensor:
        radius = self.model.config.corr_radius
        reach = torch.arange(-radius, radius + 1, dtype=like.dtype)
        return torch.stack(torch.meshgrid(reach, reach, indexing="ij"), -1).reshape(-1, 2)

    @staticmethod
    def _sample(features: Tensor, points: Tensor) -> Tensor:
        """Sample volumes (B, C, D, H, W) at points (B, N, Q, 3) as (x, y, depth): (B, N, Q, C)."""
        size = torch.tensor([features.shape[-1], features.shape[-2], features.shape[-3]]) - 1
        grid = 2 * points / size.clamp(min=1) - 1
        sampled = F.grid_sample(features, grid[:, None], padding_mode="border", align_corners=True)
        return sampled[:, :, 0].permute(0, 2, 3, 1)
