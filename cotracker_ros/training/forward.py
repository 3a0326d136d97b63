"""A sample through the network: the estimates of its windows, and what they cost."""

from __future__ import annotations

import torch
from torch import Tensor

from cotracker_ros.model import CoTracker3, Estimates
from cotracker_ros.training.config import TrainConfig
from cotracker_ros.training.losses import Target, feature_loss, window_losses
from cotracker_ros.training.samples import Sample


def sample_losses(model: CoTracker3, sample: Sample, config: TrainConfig) -> dict[str, Tensor]:
    """Return the weighted losses of one sample, by name; their sum is to be minimised."""
    if sample.starts is None:
        return _unrolled(model, sample, config)
    return _streamed(model, sample, config)


def _unrolled(model: CoTracker3, sample: Sample, config: TrainConfig) -> dict[str, Tensor]:
    """Windows one after the other as published, their losses averaged."""
    parts = []
    begun = torch.arange(len(sample.video), device=sample.queries.device)[:, None] >= sample.queries[:, 0]
    valid = sample.known if config.model.offline else sample.known & begun
    for start, iterations in model.windows(sample.video, sample.queries, config.iterations):
        stop = min(start + iterations[0].xy.shape[1], len(sample.video))
        target = _target(sample, valid, start, stop)
        shown = [Estimates(*(part[:, : stop - start] for part in estimates)) for estimates in iterations]
        parts.append(window_losses(shown, target, config.model.stride, config.loss))
    return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}


def _streamed(model: CoTracker3, sample: Sample, config: TrainConfig) -> dict[str, Tensor]:
    """One window from the guesses of a stream."""
    assert sample.starts is not None
    stride = config.model.stride
    pyramid = model.encode(sample.video)
    # Gathering and its gradient are exact, and the products are rounded as the network's layers are.
    pyramid = [level.float() for level in pyramid]
    queries = sample.queries
    support = model.support(pyramid, queries[:, 0].long(), queries[:, 1:] / stride)
    guess = sample.starts[sample.begin :].transpose(0, 1)
    estimates = Estimates(guess[..., :2] / stride, guess[..., 2], guess[..., 3])
    frames = torch.arange(sample.begin, len(sample.video), device=guess.device)
    iterations = list(model.refine(pyramid, frames, support, estimates, config.iterations))
    target = _target(sample, sample.known, sample.begin, len(sample.video))
    losses = window_losses(iterations, target, stride, config.loss)
    if config.loss.features:
        shown = [level[sample.begin :] for level in pyramid]
        losses["features"] = config.loss.features * feature_loss(shown, support, target, stride)
    return losses


def _target(sample: Sample, valid: Tensor, start: int, stop: int) -> Target:
    frames = slice(start, stop)
    return Target(*(part[frames].transpose(0, 1) for part in (sample.xy, sample.visible, valid)))
