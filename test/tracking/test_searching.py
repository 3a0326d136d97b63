"""The search for lost points finds where a query's features are, to part of a pixel, and prefers near."""

import pytest
import torch

from cotracker_ros.model.correlation import query_support
from cotracker_ros.tracking.searching import RADIUS, most_alike


@pytest.fixture
def features() -> torch.Tensor:
    """Smooth, so that positions between pixels mean something."""
    noise = torch.randn(1, 16, 15, 20, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, (60, 80), mode="bicubic")[0].permute(1, 2, 0)


def support(features: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
    return query_support([features[None]], torch.zeros(len(xy), dtype=torch.long), xy, 1)[0]


def test_it_finds_the_place(features: torch.Tensor) -> None:
    truth = torch.tensor([[20.0, 30.0], [40.4, 20.3], [60.5, 44.6]])
    guess = truth + torch.tensor([[6.0, -5.0], [-9.0, 3.0], [0.0, 8.0]])
    assert (most_alike(features, support(features, truth), guess) - truth).abs().max() < 0.5


def test_of_two_alike_it_takes_the_nearer(features: torch.Tensor) -> None:
    twins = torch.cat([features[:, :30], features[:, :30]], 1)
    truth = torch.tensor([[15.0, 20.0]])
    assert (most_alike(twins, support(twins, truth), truth + 4) - truth).abs().max() < 0.5
    far = torch.tensor([[45.0, 20.0]])
    assert (most_alike(twins, support(twins, truth), far - 4) - far).abs().max() < 0.5


def test_it_looks_no_farther_than_its_radius(features: torch.Tensor) -> None:
    truth = torch.tensor([[5.0, 5.0]])
    guess = torch.tensor([[60.0, 40.0]])
    found = most_alike(features, support(features, truth), guess)
    assert (found - guess).norm() < RADIUS + 1
