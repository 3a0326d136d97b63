"""The factorised transformer: attention along time for each track, then across tracks for each frame."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotracker_ros.model.config import CoTracker3Config
from cotracker_ros.model.linear import Linear

# How many tokens go through a block at a time when no gradient is kept: what its MLP makes of them stays in
# cache on a CPU and is bounded on a GPU, whatever the number of tracks.
TOKENS_AT_A_TIME = {"cpu": 4096}
TOKENS_AT_A_TIME_ELSEWHERE = 65536


class Attention(nn.Module):
    """Multi-head attention of x over a context."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = Linear(width, width)
        self.to_kv = Linear(width, 2 * width)
        self.to_out = Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Attend from x (B, L, width) to a context (B, M, width)."""
        return self.attend(x, self.to_kv(context))

    def attend(self, x: Tensor, keys_values: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from x (B, L, width) to keys and values (B, M, 2 * width).

        ``bias`` (broadcast to (B, heads, L, M)) is added to the scores.
        """
        q = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, L, D)
        k, v = keys_values.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = bias if bias is None else bias.to(q.dtype)
        y = _attention(q, k, v, bias) if _learns_on_cpu(q) else F.scaled_dot_product_attention(q, k, v, bias)
        return self.to_out(y.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear maps around a tanh-approximated GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, width) to itself."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class SelfBlock(nn.Module):
    """Self-attention and MLP, each on normed input and added to it."""

    def __init__(self, config: CoTracker3Config) -> None:
        super().__init__()
        self.attn = Attention(config.hidden, config.heads)
        self.mlp = Mlp(config.hidden, int(config.hidden * config.mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Update tokens (B, L, hidden)."""
        y = _norm(x)
        x = x + self.attn(y, y)
        return x + self.mlp(_norm(x))


class CausalBlock(SelfBlock):
    """Self-attention in time that looks at the present frame and the ``window - 1`` frames before it.

    Time enters as a learned bias for each distance and head, so that what is known of a frame stays true
    while it grows older.
    """

    def __init__(self, config: CoTracker3Config) -> None:
        super().__init__(config)
        self.window = config.window
        self.distance_bias = nn.Parameter(torch.zeros(config.heads, config.window))

    def forward(self, x: Tensor) -> Tensor:
        """Update tokens (B, L, hidden) of L frames in order."""
        y = _norm(x)
        x = x + self.attn.attend(y, self.attn.to_kv(y), self._bias(x.shape[1]))
        return x + self.mlp(_norm(x))

    def step(self, x: Tensor, past: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Update the tokens of one frame from what is remembered of those before.

        Args:
            x: (B, 1, hidden) tokens of the present frame.
            past: (B, L, 2 * hidden) keys and values of the last L < window frames, oldest first.
            known: (B, L) bool, which of them there are.

        Returns:
            The tokens, and the keys and values (B, 1, 2 * hidden) of the present frame.
        """
        y = _norm(x)
        present = self.attn.to_kv(y)
        length = past.shape[1] + 1
        hidden = F.pad(~known, (0, 1))[:, None, None, :]
        bias = self.distance_bias[:, :length].flip(1)[None, :, None].masked_fill(hidden, -torch.inf)
        x = x + self.attn.attend(y, torch.cat([past, present], 1), bias)
        return x + self.mlp(_norm(x)), present

    def _bias(self, length: int) -> Tensor:
        """(heads, L, L): the bias for each distance, minus infinity for the future and the distant past."""
        frame = torch.arange(length, device=self.distance_bias.device)
        distance = frame[:, None] - frame
        bias = self.distance_bias[:, distance.clamp(0, self.window - 1)]
        return bias.masked_fill((distance < 0) | (distance >= self.window), -torch.inf)


class CrossBlock(nn.Module):
    """Attention to a context and MLP, each on normed input and added to it."""

    def __init__(self, config: CoTracker3Config) -> None:
        super().__init__()
        self.norm_context = nn.LayerNorm(config.hidden)
        self.cross_attn = Attention(config.hidden, config.heads)
        self.mlp = Mlp(config.hidden, int(config.hidden * config.mlp_ratio))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Update tokens (B, L, hidden) from a context (B, M, hidden)."""
        x = x + self.cross_attn(_norm(x), self.norm_context(context))
        return x + self.mlp(_norm(x))


class UpdateTransformer(nn.Module):
    """Maps the tokens of all tracks in a window to updates of position, visibility and confidence."""

    def __init__(self, config: CoTracker3Config) -> None:
        super().__init__()
        depth = range(config.depth)
        # The spelling is the one in published checkpoints.
        self.virual_tracks = nn.Parameter(torch.randn(1, config.virtual_tracks, 1, config.hidden))
        self.input_transform = Linear(config.token_width, config.hidden)
        self.flow_head = Linear(config.hidden, 2)
        self.vis_conf_head = Linear(config.hidden, 2)
        time_block = CausalBlock if config.causal else SelfBlock
        self.time_blocks = nn.ModuleList(time_block(config) for _ in depth)
        self.space_virtual_blocks = nn.ModuleList(SelfBlock(config) for _ in depth)
        self.space_point2virtual_blocks = nn.ModuleList(CrossBlock(config) for _ in depth)
        self.space_virtual2point_blocks = nn.ModuleList(CrossBlock(config) for _ in depth)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for head in (self.flow_head, self.vis_conf_head):
            nn.init.trunc_normal_(head.weight, std=0.001)

    def forward(self, x: Tensor, *, across_tracks: bool = True) -> Tensor:
        """Map embedded tokens to updates.

        Args:
            x: (B, N, S, hidden), what `input_transform` gives.
            across_tracks: Whether tracks attend to each other.

        Returns:
            (B, N, S, 4): Δx, Δy in feature pixels, Δ visibility logit, Δ confidence logit.
        """
        batch, tracks, length, width = x.shape
        virtual = self.virual_tracks.expand(batch, -1, length, -1)
        x = torch.cat([x, virtual], 1)
        for k, time_block in enumerate(self.time_blocks):
            x = _in_chunks(time_block, x.flatten(0, 1)).view(batch, -1, length, width)
            if across_tracks:
                x = self._space(k, x.transpose(1, 2).flatten(0, 1), tracks)
                x = x.view(batch, length, -1, width).transpose(1, 2)
        x = x[:, :tracks]
        return torch.cat([self.flow_head(x), self.vis_conf_head(x)], -1)

    def step(self, x: Tensor, past: list[Tensor], known: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map embedded tokens of one frame to updates, for causal networks.

        Args:
            x: (N, hidden), what `input_transform` gives for N tracks.
            past: Per time block (N + V, L, 2 * hidden), keys and values of the L frames before; virtual
                tracks come last.
            known: (N + V, L) bool, which of them there are.

        Returns:
            (N, 4) updates, and per time block the keys and values (N + V, 1, 2 * hidden) of this frame.
        """
        tracks = len(x)
        x = torch.cat([x, self.virual_tracks[0, :, 0]])[:, None]
        present = []
        for k, time_block in enumerate(self.time_blocks):
            assert isinstance(time_block, CausalBlock)
            x, keys_values = time_block.step(x, past[k], known)
            present.append(keys_values)
            x = self._space(k, x.transpose(0, 1), tracks).transpose(0, 1)
        x = x[:tracks, 0]
        return torch.cat([self.flow_head(x), self.vis_conf_head(x)], -1), present

    def _space(self, k: int, x: Tensor, tracks: int) -> Tensor:
        """Let the tracks of each frame, x (B * S, N + V, hidden), see each other through the virtual ones."""

        def group(frame: Tensor) -> Tensor:
            points, virtual = frame[:, :tracks], frame[:, tracks:]
            virtual = self.space_virtual2point_blocks[k](virtual, points)
            virtual = self.space_virtual_blocks[k](virtual)
            points = self.space_point2virtual_blocks[k](points, virtual)
            return torch.cat([points, virtual], 1)

        return _in_chunks(group, x)


def _learns_on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and torch.is_grad_enabled()


def _attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attention in plain steps: on a CPU the fused one's backward pass takes twice as long for short rows."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return (scores if bias is None else scores + bias).softmax(-1).to(v.dtype) @ v


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def _in_chunks(block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a block to x (B, L, hidden), some of the B rows at a time when no gradient is kept."""
    tokens = TOKENS_AT_A_TIME.get(x.device.type, TOKENS_AT_A_TIME_ELSEWHERE)
    step = max(1, tokens // x.shape[1])
    if torch.is_grad_enabled() or step >= len(x):
        return block(x)
    return torch.cat([block(part) for part in x.split(step)])
