"""CoTracker3: joint point tracking by 4D correlation and iterative refinement.

Written from the description in "CoTracker3: Simpler and Better Point Tracking by Pseudo-Labelling Real
Videos" (Karaev et al., 2024) and the names of the tensors in its checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cotracker_ros.model import checkpoints
from cotracker_ros.model.config import CoTracker3Config
from cotracker_ros.model.correlation import CorrelationMlp, correlate, query_support
from cotracker_ros.model.encoder import Encoder, feature_pyramid, normalise_features
from cotracker_ros.model.encodings import (
    motion_encoding,
    position_encoding,
    resample_time_embedding,
    time_embedding,
)
from cotracker_ros.model.transformer import UpdateTransformer
from cotracker_ros.model.verifier import Verifier

FRAMES_AT_A_TIME = 16


class Estimates(NamedTuple):
    """What is known of N tracks in the S frames of a window.

    Attributes:
        xy: (N, S, 2) positions in feature pixels (image pixels / stride).
        visibility: (N, S) logits.
        confidence: (N, S) logits.
    """

    xy: Tensor
    visibility: Tensor
    confidence: Tensor


class Prediction(NamedTuple):
    """Tracks of a clip.

    Attributes:
        xy: (B, T, N, 2) positions, px of the clip.
        visibility: (B, T, N) probabilities.
        confidence: (B, T, N) probabilities.
    """

    xy: Tensor
    visibility: Tensor
    confidence: Tensor


class Window(NamedTuple):
    """One window of a clip: the number of its first frame, and the estimates after each iteration."""

    start: int
    iterations: list[Estimates]


class CoTracker3(nn.Module):
    """The network, online (windows) or offline (whole clip) by its configuration.

    It holds weights only. What a stream needs to remember lives in `cotracker_ros.tracking.StreamTracker`.
    """

    time_emb: Tensor | None

    def __init__(self, config: CoTracker3Config | None = None) -> None:
        super().__init__()
        self.config = config or CoTracker3Config()
        embedding = time_embedding(self.config.window, self.config.token_width)
        self.register_buffer("time_emb", None if self.config.causal else embedding)
        self.fnet = Encoder(self.config)
        self.updateformer = UpdateTransformer(self.config)
        self.corr_mlp = CorrelationMlp(self.config)
        self.verifier = Verifier(self.config.verifier) if self.config.verifier else None

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str | torch.device = "cpu") -> CoTracker3:
        """Build the network that a checkpoint holds, in evaluation mode.

        Args:
            path: A published ``.pth`` file (its weights are under CC-BY-NC-4.0) or this project's
                ``.safetensors``, which carries its configuration. Objects are never unpickled.
            device: Where the weights go.

        Raises:
            WeightsError: The file cannot be read, or a tensor is missing, extra or of a wrong shape.
        """
        config, tensors = checkpoints.read(Path(path))
        model = cls(config)
        checkpoints.load_into(model, tensors, Path(path))
        return model.to(device).eval()

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights and features."""
        return self.corr_mlp.fc1.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.corr_mlp.fc1.weight.device

    @property
    def position_dtype(self) -> torch.dtype:
        """Type of positions and logits: single precision at least, since half a feature pixel is two px."""
        return torch.promote_types(self.dtype, torch.float32)

    def encode(self, frames: Tensor) -> list[Tensor]:
        """Encode frames (F, 3, H, W) in 0..255 to a pyramid of levels (F, H_l, W_l, C).

        Raises:
            ValueError: Height or width is too small or not a multiple of the stride.
        """
        height, width = frames.shape[-2:]
        if height % self.config.stride or width % self.config.stride:
            raise ValueError(f"frames are {width}x{height} px; give multiples of {self.config.stride}")
        if min(height, width) < self.config.smallest_side:
            raise ValueError(
                f"frames are {width}x{height} px; give at least {self.config.smallest_side} a side"
            )
        frames = 2 * (frames.to(self.position_dtype) / 255) - 1
        features = self.fnet(frames.to(self.dtype))
        return feature_pyramid(normalise_features(features), self.config.corr_levels)

    def support(self, pyramid: list[Tensor], frames: Tensor, xy: Tensor) -> list[Tensor]:
        """Sample the patches around queries: per level (N, Q, C).

        Args:
            pyramid: What `encode` gives.
            frames: (N,) integer, frame of each query.
            xy: (N, 2) positions in feature pixels.
        """
        return query_support(pyramid, frames, xy, self.config.support_radius)

    def correlate(self, pyramid: list[Tensor], frames: Tensor, support: list[Tensor], xy: Tensor) -> Tensor:
        """Embed what the network sees around the tracks: (N, S, levels * corr_width).

        Args:
            pyramid: What `encode` gives.
            frames: (S,) integer, frame of each column of `xy`.
            support: What `support` gives.
            xy: (N, S, 2) positions in feature pixels.
        """
        return correlate(pyramid, frames, support, xy, self.corr_mlp, self.config.corr_radius)

    def tokens(self, estimates: Estimates, embedding: Tensor) -> Tensor:
        """Put together the transformer's input, (N, S, token_width).

        Args:
            estimates: Of S frames; for causal networks the frame before them may come first.
            embedding: (N, S, levels * corr_width).
        """
        config = self.config
        scale = estimates.xy.new_tensor([config.motion_width, config.motion_height]) / config.stride
        logits = torch.stack([estimates.visibility, estimates.confidence], -1)
        parts = [logits, embedding, motion_encoding(estimates.xy, scale, causal=config.causal)]
        if config.causal:
            parts.append(position_encoding(estimates.xy, scale))
        length = embedding.shape[1]
        tokens = torch.cat([part[:, -length:].to(self.dtype) for part in parts], -1)
        if self.time_emb is None:
            return tokens
        return tokens + resample_time_embedding(self.time_emb, tokens.shape[1])

    def update(self, estimates: Estimates, embedding: Tensor, *, across_tracks: bool = True) -> Tensor:
        """Return what one refinement pass adds to the estimates, (N, S, 4): Δx, Δy, Δ both logits."""
        x = self.updateformer.input_transform(self.tokens(estimates, embedding))
        delta = self.updateformer(x[None], across_tracks=across_tracks)[0]
        return delta.to(self.position_dtype)

    def step(
        self, estimates: Estimates, embedding: Tensor, past: list[Tensor], known: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return what a causal network's refinement pass adds to the estimates of the newest frame alone.

        Args:
            estimates: Of the frame before and the newest, (N, 2).
            embedding: (N, 1, levels * corr_width) of the newest.
            past: See `UpdateTransformer.step`; empty keys and values before the second frame.
            known: See `UpdateTransformer.step`.

        Returns:
            (N, 4) Δx, Δy, Δ both logits; and what to remember of this frame, per time block.
        """
        x = self.updateformer.input_transform(self.tokens(estimates, embedding))
        delta, present = self.updateformer.step(x[:, 0], past, known)
        return delta.to(self.position_dtype), present

    def refine(
        self,
        pyramid: list[Tensor],
        frames: Tensor,
        support: list[Tensor],
        estimates: Estimates,
        iterations: int,
    ) -> Iterator[Estimates]:
        """Refine the estimates of a window, yielding them after every iteration.

        Positions are detached before each iteration; logits are not, so that training reaches through them.
        """
        for _ in range(iterations):
            estimates = estimates._replace(xy=estimates.xy.detach())
            embedding = self.correlate(pyramid, frames, support, estimates.xy)
            estimates = add_update(estimates, self.update(estimates, embedding))
            yield estimates

    def windows(self, video: Tensor, queries: Tensor, iterations: int = 4) -> Iterator[Window]:
        """Track one clip window by window, with the estimates of every iteration (training needs them).

        Args:
            video: (T, 3, H, W), 0..255.
            queries: (N, 3) as (t, x, y), px.
            iterations: Refinement passes in each window.
        """
        length, config = len(video), self.config
        pyramid = self._encode_clip(video)
        position_dtype = self.position_dtype
        times = queries[:, 0].long()
        start_xy = queries[:, 1:3].to(position_dtype) / config.stride
        support = self.support(pyramid, times.clamp(0, length - 1), start_xy)
        span = length if config.offline else config.window
        step = span if config.offline else span // 2
        count = 1 if length <= span else (length - span + step - 1) // step + 1
        estimates = new_estimates(start_xy, span)
        for start in range(0, count * step, step):
            if start:
                carried = advance(estimates, step, span - step - 1)
                estimates = select(times < start + step, carried, new_estimates(start_xy, span))
            begun = (times < start + span)[:, None, None]
            frames = torch.arange(start, start + span, device=video.device).clamp(max=length - 1)
            active = support if config.offline else [level * begun for level in support]
            history = list(self.refine(pyramid, frames, active, estimates, iterations))
            estimates = history[-1]
            yield Window(start, history)

    def forward(self, video: Tensor, queries: Tensor, iterations: int = 4) -> Prediction:
        """Track queries through whole clips.

        Online networks slide windows over the clip and offline ones look at it whole. Before its query frame
        an online track means nothing, except in the window that holds the query.

        Args:
            video: (B, T, 3, H, W), 0..255, H and W multiples of the stride.
            queries: (B, N, 3) as (t, x, y), px of the clip; pixel (0, 0) is a pixel's centre.
            iterations: Refinement passes in each window.

        Raises:
            ValueError: A shape is wrong or a query's frame lies outside the clip.
        """
        _check_clip(video, queries, iterations)
        clips = [self._forward_clip(*clip, iterations) for clip in zip(video, queries, strict=True)]
        return Prediction(*(torch.stack(part) for part in zip(*clips, strict=True)))

    def _forward_clip(self, video: Tensor, queries: Tensor, iterations: int) -> Prediction:
        whole: Estimates | None = None
        for start, history in self.windows(video, queries, iterations):
            if whole is None:
                whole = history[-1]
            else:  # a window overwrites the half that it shares with the one before
                joined = (torch.cat([a[:, :start], b], 1) for a, b in zip(whole, history[-1], strict=True))
                whole = Estimates(*joined)
        assert whole is not None  # every clip has at least one window
        xy, visibility, confidence = (part[:, : len(video)].transpose(0, 1) for part in whole)
        return Prediction(xy * self.config.stride, visibility.sigmoid(), confidence.sigmoid())

    def _encode_clip(self, video: Tensor) -> list[Tensor]:
        parts = [self.encode(part) for part in video.split(FRAMES_AT_A_TIME)]
        return [torch.cat(level) for level in zip(*parts, strict=True)]


def new_estimates(xy: Tensor, length: int) -> Estimates:
    """Start tracks from their queries (N, 2): the same position in every frame, logits 0."""
    logits = xy.new_zeros(len(xy), length)
    return Estimates(xy[:, None].expand(-1, length, -1), logits, logits)


def advance(estimates: Estimates, shift: int, last: int) -> Estimates:
    """Move a window on by ``shift`` frames; frames after the new index ``last`` repeat its values."""
    length = estimates.xy.shape[1]
    index = (torch.arange(length, device=estimates.xy.device).clamp(max=last) + shift).clamp(0, length - 1)
    return Estimates(*(part[:, index] for part in estimates))


def select(rows: Tensor, yes: Estimates, no: Estimates) -> Estimates:
    """Take the tracks where ``rows`` (N,) holds from ``yes``, the others from ``no``."""
    return Estimates(
        *(torch.where(rows.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in zip(yes, no, strict=True))
    )


def add_update(estimates: Estimates, delta: Tensor) -> Estimates:
    """Add an update (N, S, 4) to the estimates."""
    return Estimates(
        estimates.xy + delta[..., :2],
        estimates.visibility + delta[..., 2],
        estimates.confidence + delta[..., 3],
    )


def _check_clip(video: Tensor, queries: Tensor, iterations: int) -> None:
    if video.dim() != 5 or video.shape[2] != 3 or not video.shape[1]:
        raise ValueError(f"the video has the shape {tuple(video.shape)}; give (B, T, 3, H, W) with T > 0")
    if queries.dim() != 3 or queries.shape[2] != 3 or len(queries) != len(video):
        raise ValueError(
            f"the queries have the shape {tuple(queries.shape)}; give ({len(video)}, N, 3) as t, x, y"
        )
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}; give at least 1")
    if not torch.isfinite(queries).all():
        raise ValueError("a query is not finite; give (t, x, y) in frames and px")
    times = queries[..., 0].long()
    if queries.shape[1] and (times.min() < 0 or times.max() >= video.shape[1]):
        raise ValueError(
            f"queries lie in frames {int(times.min())} to {int(times.max())}; the clip has frames 0 to "
            f"{video.shape[1] - 1}"
        )
