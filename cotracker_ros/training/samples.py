"""What a training step learns from: a window cut out of a clip, with queries and first guesses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cotracker_ros.evaluation.datasets import DatasetError
from cotracker_ros.synthetic.training_clip import ClipConfigError
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.augment import flip
from cotracker_ros.training.clips import ClipSource, clip_source
from cotracker_ros.training.config import TrainConfig, TrainingError
from cotracker_ros.training.label_cache import LabelCacheError
from cotracker_ros.training.starts import Starts, lucas_kanade_starts

_LEAST_TRACKS = 8
_TRIES = 20
_MENDABLE = (TrainingError, DatasetError, LabelCacheError, ClipConfigError, OSError)


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


class SampleSet(Dataset["Sample | Exception"]):
    """All samples of a run by their number; the same number always gives the same sample.

    What a user can mend (a file that is cut short, clips without enough points) is returned as the error that
    says so: raised in a worker, it would come out with that process's traceback around it.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._source: ClipSource | None = None

    def __getitem__(self, index: int) -> Sample | Exception:
        """Make a sample, or say why there is none."""
        try:
            return self._make(index)
        except _MENDABLE as error:
            return error

    def _make(self, index: int) -> Sample:
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
        raise TrainingError(
            f"{_TRIES} clips in a row had fewer than {_LEAST_TRACKS} visible tracks; give data with more"
        )


def load_samples(config: TrainConfig, indices: range) -> Iterator[Sample]:
    """Load samples by their numbers, in order, in processes of their own.

    Raises:
        TrainingError: The clips are too short or show too few points.
        DatasetError, LabelCacheError, ClipConfigError: A clip cannot be had.
        OSError: A file cannot be read.
    """
    workers = config.data.workers
    samples: DataLoader[Sample | Exception] = DataLoader(
        SampleSet(config),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    # OpenCV's threads do not survive a fork, and a worker would wait for them for ever: it gets none.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    begun = iter(samples)
    cv2.setNumThreads(threads)
    for sample in begun:
        if isinstance(sample, Exception):
            try:
                raise sample
            finally:
                del sample  # or error and frame would hold each other, and the workers end late
        yield sample


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
    clip = _tracks(clip, chosen)
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
    rest; offline ones: in a random one. Tracks that are visible in the first or the middle frame, for offline
    networks also those in the last one, come before others.

    Returns:
        None if too few tracks are ever visible.
    """
    sure = clip.visible & clip.known
    chosen = np.flatnonzero(sure.any(0))
    if len(chosen) < _LEAST_TRACKS:
        return None
    landmarks = np.array([0, len(clip) // 2, len(clip) - 1])[: 3 if config.model.offline else 2]
    chosen = rng.permutation(chosen)
    later = ~sure[landmarks][:, chosen].any(0)
    chosen = chosen[np.argsort(later, kind="stable")][: config.data.tracks]
    clip, sure = _tracks(clip, chosen), sure[:, chosen]
    queries = np.zeros((len(chosen), 3), np.float32)
    for column in range(len(chosen)):
        frames = np.flatnonzero(sure[:, column])
        anywhere = config.model.offline or column < len(chosen) // 4
        frame = int(rng.choice(frames)) if anywhere else int(frames[0])
        queries[column] = (frame, *clip.xy[frame, column])
    return _tensors(clip, queries, 0, None)


def _mirrored(clip: LabelledClip, rng: np.random.Generator) -> LabelledClip:
    """Play a clip backward, or flip it, each in half of the cases."""
    return flip(_part(clip, slice(None, None, -1)) if rng.random() < 0.5 else clip, rng)


def _part(clip: LabelledClip, frames: slice | np.ndarray) -> LabelledClip:
    return LabelledClip(clip.frames[frames], clip.xy[frames], clip.visible[frames], clip.known[frames])


def _tracks(clip: LabelledClip, chosen: np.ndarray) -> LabelledClip:
    return LabelledClip(clip.frames, clip.xy[:, chosen], clip.visible[:, chosen], clip.known[:, chosen])


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
