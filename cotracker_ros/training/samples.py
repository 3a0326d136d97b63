"""What a training step learns from: a window cut out of a clip, with queries and first guesses."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.clips import ClipSource, clip_source
from cotracker_ros.training.config import TrainConfig
from cotracker_ros.training.starts import Starts, lucas_kanade_starts

_LEAST_TRACKS = 8
_TRIES = 20


class Sample(NamedTuple):
    """One clip of T frames with N tracks, ready for the network.

    Attributes:
        video: (T, 3, H, W) uint8.
        queries: (N, 3) float32 as (t, x, y), px.
        xy: (T, N, 2) float32, px.
        visible: (T, N) bool.
        known: (T, N) bool.
        begin: First frame of the window that is trained on; before it there is at most the queries' frame.
        starts: First guesses of all T frames as (T, N, 4): x, y in px, and the two logits; None where a
            window begins with its queries.
    """

    video: Tensor
    queries: Tensor
    xy: Tensor
    visible: Tensor
    known: Tensor
    begin: int
    starts: Tensor | None

    def to(self, device: torch.device) -> Sample:
        """Bring all tensors to a device."""
        moved = {name: part.to(device) for name, part in self._asdict().items() if isinstance(part, Tensor)}
        return self._replace(**moved)  # type: ignore[arg-type]


class SampleSet(Dataset[Sample]):
    """All samples of a run by their number; the same number always gives the same sample."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._source: ClipSource | None = None

    def __getitem__(self, index: int) -> Sample:
        """Make a sample."""
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        if self._source is None:  # each worker opens files of its own
            self._source = clip_source(self.config.data)
        for attempt in range(_TRIES):
            rng = np.random.default_rng([self.config.seed, index, attempt])
            clip = self._source(rng)
            if self.config.starts == "query":
                sample = unrolled_sample(clip, self.config, rng)
            else:
                sample = streamed_sample(clip, self.config, rng)
            if sample is not None:
                return sample
        raise ValueError(f"{_TRIES} clips in a row had too few tracks; give clips with visible points")


def loader(config: TrainConfig, indices: range) -> DataLoader[Sample]:
    """Load samples by their numbers, in order, in processes of their own."""
    workers = config.data.workers
    return DataLoader(
        SampleSet(config),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )


def streamed_sample(clip: LabelledClip, config: TrainConfig, rng: np.random.Generator) -> Sample | None:
    """Cut a sample whose queries all lie in its first frame, with the guesses of a stream.

    Returns:
        None if no frame shows enough tracks.
    """
    clip = _mirrored(clip, rng)
    window = config.data.window
    spare = len(clip) - window
    late = spare > 0 and rng.random() < config.data.late
    first = int(rng.integers(0, spare + 1)) if spare and not late and rng.random() < 0.5 else 0
    clip = _part(clip, slice(first, None if late else first + window))
    chosen = np.flatnonzero(clip.visible[0] & clip.known[0])
    if len(chosen) < _LEAST_TRACKS:
        return None
    # Few tracks at times: company must help, not be needed.
    most = config.data.tracks
    if rng.random() < 0.3:
        most = int(rng.integers(min(_LEAST_TRACKS, most), most + 1))
    chosen = np.sort(rng.permutation(chosen)[:most])
    clip = LabelledClip(clip.frames, clip.xy[:, chosen], clip.visible[:, chosen], clip.known[:, chosen])
    starts = lucas_kanade_starts(clip, rng)
    queries = np.concatenate([np.zeros((len(chosen), 1), np.float32), clip.xy[0]], 1)
    if late:
        frames = np.r_[0, len(clip) - window : len(clip)]
        clip, starts = _part(clip, frames), Starts(*(part[frames] for part in starts))
    guesses = np.concatenate([starts.xy, starts.visibility[..., None], starts.confidence[..., None]], -1)
    return _tensors(clip, queries, int(late), torch.from_numpy(guesses.astype(np.float32)))


def unrolled_sample(clip: LabelledClip, config: TrainConfig, rng: np.random.Generator) -> Sample | None:
    """Cut a sample whose queries lie in visible frames, as CoTracker3 is trained (specification 3.2).

    Online networks: in the first visible frame for three quarters of the tracks, in a random one for the
    rest; offline ones: in a random one.

    Returns:
        None if too few tracks are ever visible.
    """
    sure = clip.visible & clip.known
    chosen = np.flatnonzero(sure.any(0))
    if len(chosen) < _LEAST_TRACKS:
        return None
    chosen = np.sort(rng.permutation(chosen)[: config.data.tracks])
    clip = LabelledClip(clip.frames, clip.xy[:, chosen], clip.visible[:, chosen], clip.known[:, chosen])
    sure = sure[:, chosen]
    queries = np.zeros((len(chosen), 3), np.float32)
    for column in range(len(chosen)):
        frames = np.flatnonzero(sure[:, column])
        anywhere = config.model.offline or column < len(chosen) // 4
        frame = int(rng.choice(frames)) if anywhere else int(frames[0])
        queries[column] = (frame, *clip.xy[frame, column])
    return _tensors(clip, queries, 0, None)


def _mirrored(clip: LabelledClip, rng: np.random.Generator) -> LabelledClip:
    """Play a clip backward, or flip it, each in half of the cases."""
    frames, xy, visible, known = clip.frames, clip.xy, clip.visible, clip.known
    if rng.random() < 0.5:
        frames, xy, visible, known = frames[::-1], xy[::-1], visible[::-1], known[::-1]
    if rng.random() < 0.5:
        frames = frames[:, :, ::-1]
        xy = np.stack([clip.size[0] - 1 - xy[..., 0], xy[..., 1]], -1)
    if rng.random() < 0.5:
        frames = frames[:, ::-1]
        xy = np.stack([xy[..., 0], clip.size[1] - 1 - xy[..., 1]], -1)
    return LabelledClip(np.ascontiguousarray(frames), np.asarray(xy, np.float32), visible, known)


def _part(clip: LabelledClip, frames: slice | np.ndarray) -> LabelledClip:
    return LabelledClip(clip.frames[frames], clip.xy[frames], clip.visible[frames], clip.known[frames])


def _tensors(clip: LabelledClip, queries: np.ndarray, begin: int, starts: Tensor | None) -> Sample:
    return Sample(
        torch.from_numpy(np.ascontiguousarray(clip.frames.transpose(0, 3, 1, 2))),
        torch.from_numpy(queries),
        torch.from_numpy(np.ascontiguousarray(clip.xy)),
        torch.from_numpy(np.ascontiguousarray(clip.visible)),
        torch.from_numpy(np.ascontiguousarray(clip.known)),
        begin,
        starts,
    )
