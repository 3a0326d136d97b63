"""A sample as the network itself would stream it: its own answers decide where the next frame starts.

After Ross et al., "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning"
(2011): what a network meets when it goes on from its own mistakes is what it is trained on.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cotracker_ros.model import CoTracker3, Estimates
from cotracker_ros.tracking.causal import CausalTracker
from cotracker_ros.tracking.config import TrackerConfig
from cotracker_ros.training.samples import Sample


class _StartRecorder(CausalTracker):
    """Keeps what every frame started from."""

    def __init__(self, model: CoTracker3, config: TrackerConfig) -> None:
        super().__init__(model, config)
        self.starts: list[Tensor] = []

    def _refine_from(self, last: Estimates, start: Estimates, index: Tensor) -> Estimates:
        logits = torch.stack([start.visibility, start.confidence], -1)
        begun = torch.cat([start.xy * self.model.config.stride, logits], -1)[:, 0].float()
        self.starts.append(begun.new_zeros(len(self.table), 4).index_copy(0, index, begun))
        return super()._refine_from(last, start, index)


@torch.no_grad()
def roll_out(model: CoTracker3, sample: Sample, iterations: int) -> Sample:
    """Replace the starts of a sample by those of a stream, in which each point begins at its query.

    Args:
        model: The network.
        sample: Without a `gap`; its queries are in the order of their frames.
        iterations: Refinement passes.
    """
    tracks = len(sample.queries)
    config = TrackerConfig(iterations=iterations, input_width=0, input_height=0, max_tracks=tracks)
    tracker = _StartRecorder(model, config)
    queries = sample.queries.cpu().numpy()
    for frame in np.unique(queries[:, 0]):
        tracker.add_points(queries[queries[:, 0] == frame, 1:], frame=int(frame))
    for image in sample.video.permute(0, 2, 3, 1).cpu().numpy():
        tracker.track(image)
    return sample._replace(starts=torch.stack(tracker.starts).to(sample.xy.device))
