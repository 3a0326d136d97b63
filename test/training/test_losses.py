"""Losses against the official code's own numbers and against values worked out by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cotracker_ros.model import Estimates
from cotracker_ros.training.config import LossConfig
from cotracker_ros.training.losses import Target, feature_loss, huber, masked_mean, window_losses

REFERENCE = Path(__file__).parent / "data" / "losses_reference.npz"
PUBLISHED = LossConfig(masked=False)
STRIDE = 4


def target(visible: list[list[bool]], valid: list[list[bool]] | None = None) -> Target:
    """Tracks that stay at (40, 20)."""
    shown = torch.tensor(visible)
    counted = torch.ones_like(shown) if valid is None else torch.tensor(valid)
    return Target(torch.tensor([40.0, 20.0]).expand(*shown.shape, 2), shown, counted)


def estimates(offset: list[list[list[float]]], visibility: float = 0.0, confidence: float = 0.0) -> Estimates:
    """Estimates off by so many px, all with the same logits."""
    xy = (torch.tensor([40.0, 20.0]) + torch.tensor(offset)) / STRIDE
    like = xy[..., 0]
    return Estimates(xy, torch.full_like(like, visibility), torch.full_like(like, confidence))


def entropy(logit: float, truth: bool) -> float:
    return math.log1p(math.exp(-logit if truth else logit))


def test_they_are_those_of_the_official_code() -> None:
    """Two windows of 16 frames, three passes, six tracks; its numbers are for terms without weights."""
    with np.load(REFERENCE) as file:
        given = {name: torch.from_numpy(file[name]) for name in file.files}
    alone = LossConfig(visible=1, hidden=1, masked=False)

    def cost(name: str, visible: torch.Tensor) -> float:
        parts = []
        for window in range(2):
            xy, logits = given["pred"][window, :, 0] / STRIDE, given["prob"][window, :, 0].logit()
            passes = [Estimates(xy[m].transpose(0, 1), logits[m].T, logits[m].T) for m in range(len(xy))]
            truth = (given["gt"], visible, given["valid"] > 0)
            true = Target(*(part[window, 0].transpose(0, 1) for part in truth))
            parts.append(float(window_losses(passes, true, STRIDE, alone)[name]))
        return sum(parts) / 2

    seen = given["vis"] > 0
    assert cost("visible", seen) == pytest.approx(float(given["seq_huber_visible"]), rel=1e-5)
    assert cost("hidden", ~seen) == pytest.approx(float(given["seq_l1_visible"]), rel=1e-5)
    assert cost("hidden", torch.zeros_like(seen)) == pytest.approx(float(given["seq_l1_all"]), rel=1e-5)
    assert cost("visibility", seen) == pytest.approx(float(given["bce_vis"]), rel=1e-5)
    assert cost("confidence", seen) == pytest.approx(float(given["conf"]), rel=1e-5)


def test_huber_bends_at_six_px() -> None:
    values = huber(torch.tensor([0.0, 2.0, 6.0, 10.0]), 6.0)
    assert values.tolist() == pytest.approx([0, 2, 18, 42])


def test_the_masked_mean_leaves_out_and_survives_an_empty_mask() -> None:
    values = torch.tensor([1.0, 2.0, 30.0])
    assert float(masked_mean(values, torch.tensor([True, True, False]))) == pytest.approx(1.5, rel=1e-5)
    assert float(masked_mean(values, torch.zeros(3, dtype=torch.bool))) == 0


def test_positions_of_visible_and_hidden_points() -> None:
    # Track 0: visible and off by (2, 10), hidden and off by (2, 10), not valid and off by (90, 90).
    found = window_losses(
        [estimates([[[2, 10], [-2, -10], [90, 90]]])],
        target([[True, False, True]], [[True, True, False]]),
        STRIDE,
        PUBLISHED,
    )
    assert float(found["visible"]) == pytest.approx(0.05 * (2 + 42) / 2, rel=1e-5)
    assert float(found["hidden"]) == pytest.approx(0.01 * (2 + 10) / 2, rel=1e-5)


def test_later_iterations_count_more_for_positions_only() -> None:
    true = target([[True, True]])
    passes = [estimates([[[d, d], [d, d]]], 1.0, 2.0) for d in (4.0, 2.0, 0.0)]
    found = window_losses(passes, true, STRIDE, PUBLISHED)
    assert float(found["visible"]) == pytest.approx(0.05 * (0.64 * 8 + 0.8 * 2 + 0) / 3, rel=1e-5)
    assert float(found["visibility"]) == pytest.approx(entropy(1, True), rel=1e-5)
    assert float(found["confidence"]) == pytest.approx(entropy(2, True), rel=1e-5)


def test_points_should_be_confident_up_to_twelve_px_and_hidden_ones_count_as_nothing() -> None:
    # Off by 12 px, by a little more, and hidden: the mean is over all three.
    true = target([[True, True, False]])
    found = window_losses(
        [estimates([[[0, 12], [8.5, 8.5], [0, 0]]], confidence=1.5)], true, STRIDE, PUBLISHED
    )
    assert float(found["confidence"]) == pytest.approx(
        (entropy(1.5, True) + entropy(1.5, False)) / 3, rel=1e-5
    )


def test_the_published_losses_judge_frames_that_do_not_count_for_positions() -> None:
    true = target([[True, False]], [[True, False]])
    guess = [estimates([[[0, 0], [0, 0]]], visibility=1.0, confidence=1.0)]
    published = window_losses(guess, true, STRIDE, PUBLISHED)
    assert float(published["visibility"]) == pytest.approx(
        (entropy(1, True) + entropy(1, False)) / 2, rel=1e-5
    )
    assert float(published["confidence"]) == pytest.approx(entropy(1, True) / 2, rel=1e-5)
    masked = window_losses(guess, true, STRIDE, replace(PUBLISHED, masked=True))
    assert float(masked["visibility"]) == pytest.approx(entropy(1, True), rel=1e-5)
    assert float(masked["confidence"]) == pytest.approx(entropy(1, True), rel=1e-5)


def test_hidden_points_may_count_more_for_the_visibility() -> None:
    true = target([[True, False]])
    guess = [estimates([[[0, 0], [0, 0]]], visibility=1.0)]
    found = window_losses(guess, true, STRIDE, LossConfig(hidden_balance=3.0))
    assert float(found["visibility"]) == pytest.approx(
        (entropy(1, True) + 3 * entropy(1, False)) / 4, rel=1e-5
    )


def test_a_window_without_truth_costs_nothing_and_has_finite_gradients() -> None:
    guess = estimates([[[1, 1]]])
    guess = Estimates(*(part.requires_grad_() for part in guess))
    found = window_losses([guess], target([[True]], [[False]]), STRIDE, LossConfig())
    total = torch.stack(list(found.values())).sum()
    total.backward()
    assert float(total.detach()) == 0
    assert all(torch.isfinite(part.grad).all() for part in guess if part.grad is not None)


def test_the_confidence_does_not_pull_at_positions() -> None:
    guess = estimates([[[11, 0]]])
    xy = guess.xy.clone().requires_grad_()
    only = LossConfig(visible=0, hidden=0, visibility=0)
    losses = window_losses([guess._replace(xy=xy)], target([[True]]), STRIDE, only)
    assert not losses["confidence"].requires_grad


def feature_grid(seed: int = 0) -> torch.Tensor:
    """(2, 8, 8, 16) unit features, all different, the same in both frames."""
    features = torch.randn(1, 8, 8, 16, generator=torch.Generator().manual_seed(seed)).expand(2, -1, -1, -1)
    return torch.nn.functional.normalize(features, dim=-1)


def test_features_cost_least_where_the_point_is() -> None:
    level = feature_grid()
    support = [level[0, 3, 5][None, None]]  # one track, a patch of one: the feature at x = 5, y = 3

    def cost(x: float, y: float) -> float:
        xy = torch.tensor([x, y]).expand(1, 2, 2) * STRIDE
        every = torch.ones(1, 2, dtype=torch.bool)
        return float(feature_loss([level], support, Target(xy, every, every), STRIDE))

    there = cost(5, 3)
    assert there < 0.1
    assert all(cost(x, y) > there + 1 for x in range(8) for y in range(8) if (x, y) != (5, 3))


def test_features_of_hidden_points_cost_nothing() -> None:
    level = feature_grid()
    never = torch.zeros(1, 2, dtype=torch.bool)
    true = Target(torch.zeros(1, 2, 2), never, ~never)
    assert float(feature_loss([level], [level[0, 3, 5][None, None]], true, STRIDE)) == 0
