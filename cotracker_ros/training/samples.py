"""What a training step learns from: a window cut out of a clip, with queries and first guesses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
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
        begin: First frame of the window that is trained on; before it there are the frames of queries.
        starts: First guesses of all T frames as (T, N, 4): x, y in px, and the two logits; None where a
            window begins with its queries.
        gap: Frames between those of the queries, or between them and the window, are left out.
    """

    video: Tensor
    queries: Tensor
    xy: Tensor
    visible: Tensor
    known: Tensor
    begin: int
    starts: Tensor | None
    gap: bool = False

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
    """Cut a sample of a window that begins where its queries are, or later, with the guesses of a stream.

    Where a clip says in which frame each point was chosen, that is the query; else all are in one frame.

    Returns:
        None if too few tracks are visible in the frames of their queries.
    """
    window = config.data.window
    spare = len(clip) - window
    if clip.query_frames is None:
        clip = _mirrored(clip, rng)
        late = spare > 0 and rng.random() < config.data.late
        first = int(rng.integers(0, spare + 1)) if spare and not late and rng.random() < 0.5 else 0
        clip = clip.in_frames(slice(first, None if late else first + window))
        clip = replace(clip, query_frames=np.zeros(clip.xy.shape[1], np.int64))
        begin = len(clip) - window
    else:  # they are near its beginning: it is not played backward
        clip = flip(clip, rng)
        late = spare > 0 and rng.random() < config.data.late
        begin = spare if late else _enough_have_begun(clip, spare, rng)
        clip = clip.in_frames(slice(begin + window))
    chosen = np.flatnonzero(_can_be_asked(clip)[: begin + 1].any(0))
    if len(chosen) < _LEAST_TRACKS:
        return None
    # Few tracks at times: company must help, not be needed.
    most = config.data.tracks
    if rng.random() < 0.3:
        most = int(rng.integers(min(_LEAST_TRACKS, most), most + 1))
    clip = clip.of_tracks(np.sort(rng.permutation(chosen)[:most]))
    return _from_queries(clip, begin, late, rng)


def _from_queries(clip: LabelledClip, begin: int, late: bool, rng: np.random.Generator) -> Sample:
    """Make the sample of a window that begins in a frame in which all queries have been asked."""
    clip = clip.of_tracks(np.argsort(_query_frames(clip), kind="stable"))
    origin = int(_query_frames(clip)[0])
    clip, begin = clip.in_frames(slice(origin, None)), begin - origin
    starts = lucas_kanade_starts(clip, rng)
    gap = late and begin > 0
    if gap:
        asked = np.unique(_query_frames(clip))
        asked = asked[asked < begin]
        frames = np.r_[asked, begin : len(clip)]
        clip, starts = clip.in_frames(frames), Starts(*(part[frames] for part in starts))
        begin = len(asked)
    guesses = np.concatenate([starts.xy, starts.visibility[..., None], starts.confidence[..., None]], -1)
    queries = _queries(clip, _query_frames(clip))
    return _tensors(clip, queries, begin, torch.from_numpy(guesses.astype(np.float32)), gap)


def unrolled_sample(clip: LabelledClip, config: TrainConfig, rng: np.random.Generator) -> Sample | None:
    """Cut a sample whose queries lie in visible frames, as CoTracker3 is trained (specification 3.2).

    Online networks: in the first visible frame for three quarters of the tracks, in a random one for the
    rest; offline ones: in a random one. Where a clip says in which frame each point was chosen, it is that
    frame (specification 3.3): what labels say elsewhere is an estimate. Tracks that are visible in the first
    or the middle frame, for offline networks also those in the last one, come before others.

    Returns:
        None if too few tracks can be asked for.
    """
    sure, can_be_asked = clip.visible & clip.known, _can_be_asked(clip)
    chosen = np.flatnonzero(can_be_asked.any(0))
    if len(chosen) < _LEAST_TRACKS:
        return None
    landmarks = np.array([0, len(clip) // 2, len(clip) - 1])[: 3 if config.model.offline else 2]
    chosen = rng.permutation(chosen)
    later = ~sure[landmarks][:, chosen].any(0)
    chosen = chosen[np.argsort(later, kind="stable")][: config.data.tracks]
    clip = clip.of_tracks(chosen)
    asked = np.zeros(len(chosen), np.int64)
    for column in range(len(chosen)):
        frames = np.flatnonzero(can_be_asked[:, chosen[column]])
        anywhere = config.model.offline or column < len(chosen) // 4
        asked[column] = rng.choice(frames) if anywhere else frames[0]
    return _tensors(clip, _queries(clip, asked), 0, None)


def _can_be_asked(clip: LabelledClip) -> NDArray[np.bool_]:
    """(T, N) where a point can be seen and may be a query."""
    sure = clip.visible & clip.known
    if clip.query_frames is None:
        return sure
    return sure & (np.arange(len(clip))[:, None] == clip.query_frames)


def _enough_have_begun(clip: LabelledClip, last: int, rng: np.random.Generator) -> int:
    """Draw a frame, up to a last one, in which some points are asked for and enough have been."""
    asked = _can_be_asked(clip)[: last + 1].sum(1)
    frames = np.flatnonzero((asked > 0) & (asked.cumsum() >= _LEAST_TRACKS))
    return int(rng.choice(frames)) if len(frames) else last


def _query_frames(clip: LabelledClip) -> NDArray[np.int64]:
    assert clip.query_frames is not None
    return clip.query_frames


def _queries(clip: LabelledClip, frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N, 3) queries as (t, x, y) of the tracks, each in a frame of its own."""
    xy = clip.xy[frames, np.arange(len(frames))]
    return np.concatenate([frames[:, None], xy], 1).astype(np.float32)


def _mirrored(clip: LabelledClip, rng: np.random.Generator) -> LabelledClip:
    """Play a clip backward, or flip it, each in half of the cases."""
    return flip(clip.in_frames(slice(None, None, -1)) if rng.random() < 0.5 else clip, rng)


def _tensors(
    clip: LabelledClip, queries: np.ndarray, begin: int, starts: Tensor | None, gap: bool = False
) -> Sample:
    return Sample(
        torch.from_numpy(np.ascontiguousarray(clip.frames.transpose(0, 3, 1, 2))),
        torch.from_numpy(queries),
        torch.from_numpy(np.ascontiguousarray(clip.xy)),
        torch.from_numpy(np.ascontiguousarray(clip.visible)),
        torch.from_numpy(np.ascontiguousarray(clip.known)),
        begin,
        starts,
        gap,
    )
