"""Fitting a causal network's verifier: it tracks clips with exact truth, and learns where it was right.

The network itself stays as it is, and so does what it believes while it tracks; what is published becomes
probabilities that say what happened to points like these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from cotracker_ros.evaluation.clip_queries import clip_queries
from cotracker_ros.model import CoTracker3, CoTracker3Config
from cotracker_ros.model.verifier import EVIDENCE, NEAR, Verifier
from cotracker_ros.synthetic.training_clip import ClipConfig, training_clip
from cotracker_ros.tracking.causal import CausalTracker
from cotracker_ros.tracking.config import TrackerConfig
from cotracker_ros.tracking.evidence import Evidence
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.tracking.table import Estimate
from cotracker_ros.training.config import TrainingError

HIDDEN = 16
CLIPS = ClipConfig(frames=48, width=256, height=256, tracks=64)
FIRST_SEED = 5_000_000  # far from those that a training run takes
_PREFIX = "verifier."
_STEPS = 2500
_BATCH = 1024
_RATE = 1e-2
_BINS = 10
_SIDE = 256.0  # px, of the image in which errors are measured


class Cases(NamedTuple):
    """Points in images, and what was true of them.

    Attributes:
        evidence: (M, C) float32.
        visible: (M,) float32, 1 where the point is visible.
        near: (M,) float32, 1 where it is near its place (of networks, within `NEAR`).
    """

    evidence: Tensor
    visible: Tensor
    near: Tensor


def verifier_clips(count: int) -> Iterator[LabelledClip]:
    """Make the clips that verifiers are fitted on, with textures and scenes of training."""
    for number in tqdm(range(count), desc="verifier", unit="clip"):
        yield training_clip(FIRST_SEED + number, CLIPS)


def fit_verifier(network: CoTracker3, clips: Iterable[LabelledClip]) -> CoTracker3:
    """Return the network with a verifier that was fitted on clips; the same clips give the same one.

    Raises:
        TrainingError: There is no point to judge in the clips.
    """
    cases = joined([gather_cases(network, clip) for clip in clips])
    if not len(cases.visible):
        raise TrainingError("the verifier has nothing to learn from; give clips with tracks that go on")
    verifier = fit(cases)
    config, tensors = without_verifier(network.config, network.state_dict())
    judged = CoTracker3(replace(config, verifier=HIDDEN))
    judged.load_state_dict(
        tensors | {_PREFIX + name: part for name, part in verifier.state_dict().items()}, assign=True
    )
    return judged.to(network.device, network.dtype).eval()


def without_verifier(
    config: CoTracker3Config, tensors: dict[str, Tensor]
) -> tuple[CoTracker3Config, dict[str, Tensor]]:
    """Return a network's configuration and tensors without those of its verifier."""
    kept = {name: part for name, part in tensors.items() if not name.startswith(_PREFIX)}
    return replace(config, verifier=0), kept


def gather_cases(network: CoTracker3, clip: LabelledClip) -> Cases:
    """Track a clip, each point from its first visible frame on, and compare with the truth.

    Queries themselves, and entries that are not `known`, are left out.
    """
    queries = clip_queries(clip, "first")
    witness = _Witness(network, TrackerConfig(max_tracks=max(1, len(queries))))
    order = np.argsort(queries.points[:, 0], kind="stable")
    for t, x, y in queries.points[order].tolist():
        witness.add_points([[x, y]], frame=int(t))
    track, begun = queries.track[order], queries.counted_from[order]
    for image in clip.frames:
        witness.track(image)
    found = []
    for frame, rows, xy, evidence in witness.seen:
        error = np.linalg.norm((xy - clip.xy[frame, track[rows]]) * _SIDE / np.array(clip.size), axis=1)
        counts = clip.known[frame, track[rows]] & (begun[rows] < frame)
        truth = clip.visible[frame, track[rows]], error < NEAR
        found.append(
            Cases(evidence[counts], *(torch.from_numpy(part[counts].astype(np.float32)) for part in truth))
        )
    return joined(found)


@torch.no_grad()
def calibration_error(verifier: Verifier, cases: Cases) -> float:
    """Return how far told probabilities are from shares that came true, in the mean over all cases.

    What is told is that a point is visible and near its place; cases are compared in ten bins of what was
    told (expected calibration error, Naeini et al., 2015).
    """
    told = verifier(cases.evidence).float().sigmoid().prod(dim=1)
    true = cases.visible * cases.near
    bins = (told * _BINS).long().clamp(max=_BINS - 1)
    gaps = torch.zeros(_BINS).index_add_(0, bins, told - true)
    return float(gaps.abs().sum() / len(told))


def fit(cases: Cases, *, hidden_too: bool = False) -> Verifier:
    """Fit a verifier by cross-entropy.

    Args:
        cases: What to learn from.
        hidden_too: Whether a point is near is learned from all, and not from visible ones only.
    """
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)
        verifier = Verifier(HIDDEN, cases.evidence.shape[1])
        verifier.mean.copy_(cases.evidence.mean(dim=0))
        verifier.scale.copy_(cases.evidence.std(dim=0).clamp(min=1e-3))
        optimizer = torch.optim.AdamW(verifier.parameters(), weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, _STEPS)
        for _ in range(_STEPS):
            batch = torch.randint(len(cases.visible), (_BATCH,))
            evidence, visible, near = (part[batch] for part in cases)
            seen, there = verifier(evidence).unbind(dim=-1)
            loss = F.binary_cross_entropy_with_logits(seen, visible)
            counts = torch.ones_like(visible) if hidden_too else visible
            loss = loss + F.binary_cross_entropy_with_logits(there, near, weight=counts)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return verifier.eval()


def joined(parts: list[Cases]) -> Cases:
    """Return the cases of several clips as one."""
    none = Cases(torch.zeros(0, len(EVIDENCE)), torch.zeros(0), torch.zeros(0))
    return Cases(*(torch.cat(columns) for columns in zip(*(parts or [none]), strict=True)))


class _Witness(CausalTracker):
    """Keeps what was noticed in every image: its number, rows, their positions (px) and evidence."""

    def __init__(self, model: CoTracker3, config: TrackerConfig) -> None:
        super().__init__(model, config)
        self.seen: list[tuple[int, NDArray[np.int64], NDArray[np.floating], Tensor]] = []

    def _takes_notice(self) -> bool:
        return True

    def _estimate(self, stamp: int, rows: NDArray[np.int64], evidence: Evidence | None) -> Estimate:
        estimate = super()._estimate(stamp, rows, evidence)
        if evidence is not None:
            self.seen.append((estimate.frame, rows, estimate.xy[rows], evidence.table()))
        return estimate
