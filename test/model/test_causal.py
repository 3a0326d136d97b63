"""Causal networks: no frame depends on later ones, and a frame at a time gives what a window gives."""

import pytest
import torch

from cotracker_ros.model import CoTracker3, CoTracker3Config
from cotracker_ros.model.cotracker3 import Estimates, new_estimates

CONFIG = CoTracker3Config(
    window=6, causal=True, stem_width=8, stage_widths=(8, 8, 8, 8), head_width=16, feature_width=16,
    corr_levels=2, corr_radius=2, support_radius=1, corr_hidden=16, corr_width=16, hidden=32, heads=2,
    depth=2, mlp_ratio=2.0, virtual_tracks=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> CoTracker3:
    torch.manual_seed(0)
    network = CoTracker3(CONFIG).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def clip(length: int) -> torch.Tensor:
    return 255 * torch.rand(
        length, 3, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


def test_later_frames_change_nothing(network: CoTracker3) -> None:
    video, queries = clip(6), torch.tensor([[0, 20.0, 10.0], [0, 5.0, 25.0]], dtype=torch.float64)
    other = video.clone()
    other[4:] = 255 - other[4:]
    with torch.no_grad():
        first, second = (network(v[None], queries[None], 2) for v in (video, other))
    assert torch.equal(first.xy[:, :4], second.xy[:, :4])
    assert torch.equal(first.visibility[:, :4], second.visibility[:, :4])
    assert not torch.allclose(first.xy[:, 4:], second.xy[:, 4:])


@torch.no_grad()
def test_a_frame_at_a_time_equals_the_window(network: CoTracker3) -> None:
    length, tracks = 9, 3  # longer than the window: the distant past is out of sight in both
    generator = torch.Generator().manual_seed(2)
    starts = new_estimates(5 + torch.rand(tracks, 2, dtype=torch.float64, generator=generator), length)
    xy = starts.xy + torch.randn(starts.xy.shape, dtype=torch.float64, generator=generator)
    estimates = Estimates(xy, starts.visibility, starts.confidence)
    pyramid = network.encode(clip(length))
    support = network.support(pyramid, torch.zeros(tracks, dtype=torch.long), xy[:, 0])
    embedding = network.correlate(pyramid, torch.arange(length), support, xy)
    whole = network.update(estimates, embedding)

    past = [torch.zeros(tracks + 4, 0, 64, dtype=torch.float64) for _ in range(2)]
    for t in range(length):
        frames = Estimates(*(part[:, max(t - 1, 0) : t + 1] for part in estimates))
        known = torch.ones(tracks + 4, past[0].shape[1], dtype=torch.bool)
        delta, present = network.step(frames, embedding[:, t : t + 1], past, known)
        assert torch.allclose(delta, whole[:, t], atol=1e-12)
        past = [torch.cat(pair, 1)[:, -(CONFIG.window - 1) :] for pair in zip(past, present, strict=True)]


def test_an_offline_network_cannot_be_causal() -> None:
    with pytest.raises(ValueError, match="offline and causal are both set"):
        CoTracker3Config(offline=True, causal=True)
