"""How good a network is by now: beside KLT, on clips whose textures and scenes training never sees."""

from __future__ import annotations

import math
from functools import cached_property

from cotracker_ros.evaluation.candidates import Candidate, OfflineCandidate, OnlineCandidate
from cotracker_ros.evaluation.tapvid import mean_metrics
from cotracker_ros.evaluation.trials import LabelledTask
from cotracker_ros.model import CoTracker3
from cotracker_ros.synthetic.training_clip import ClipConfig, training_clip
from cotracker_ros.tracking.config import TrackerConfig
from cotracker_ros.tracking.factory import create_tracker
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.tracking.names import KLT
from cotracker_ros.tracking.network import network_tracker

METRICS = {
    "AJ": "average_jaccard",
    "delta": "average_pts_within_thresh",
    "OA": "occlusion_accuracy",
    "AJ_RD": "return_average_jaccard",
    "return": "return_pts_within_thresh",
}
"""Metrics by the name that they have in a run's log."""

CLIPS = ClipConfig(frames=48, width=256, height=256, tracks=64, held_out=True)

# `cotracker_ros evaluate --synthetic` takes those from 0 on: what chooses a run must not judge it.
FIRST_SEED = 1_000_000


class HeldOut:
    """Scores networks on the same clips, which are made once, as are the scores of KLT."""

    def __init__(self, count: int, config: ClipConfig = CLIPS) -> None:
        """Remember what to make.

        Args:
            count: Number of clips.
            config: What they are.
        """
        self._count, self._config = count, config

    def __call__(self, network: CoTracker3) -> dict[str, float]:
        """Score a network by its last answers, by the published protocol unless it answers every image.

        Returns:
            Each of `METRICS`, and as ``<name>_minus_KLT`` its lead over KLT; none that cannot be counted.
        """
        config = TrackerConfig(update_every=max(1, network.config.window // 2))
        ours = self._score(
            OfflineCandidate("network", "", network, config)
            if network.config.offline
            else OnlineCandidate("network", "", network_tracker(network, config))
        )
        leads = {f"{name}_minus_KLT": value - self._klt[name] for name, value in ours.items()}
        return {name: value for name, value in (ours | leads).items() if math.isfinite(value)}

    @cached_property
    def _clips(self) -> list[LabelledClip]:
        return [training_clip(FIRST_SEED + number, self._config) for number in range(self._count)]

    @cached_property
    def _klt(self) -> dict[str, float]:
        return self._score(OnlineCandidate(KLT, KLT, create_tracker(KLT)))

    def _score(self, candidate: Candidate) -> dict[str, float]:
        trials = [LabelledTask().run(candidate, clip) for clip in self._clips]
        means = mean_metrics([trial.final.metrics for trial in trials if trial])
        return {name: means[metric] for name, metric in METRICS.items()}
