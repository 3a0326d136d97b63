"""Fitting the verifier of labels: teachers track clips with exact truth, and it learns whose answer is right.

Points are asked for as `cotracker_ros distill` does, in a clip's first quarter, and each mix of teachers is
judged as if there were no others, so that the verifier works with any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cotracker_ros.model.verifier import Verifier
from cotracker_ros.synthetic.training_clip import ClipConfig, training_clip
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.answers import Answer, ask_all
from cotracker_ros.training.config import TrainingError
from cotracker_ros.training.label_evidence import evidence
from cotracker_ros.training.label_verifier import NEAR
from cotracker_ros.training.named_teachers import make_teacher
from cotracker_ros.training.pseudo_labels import LabelConfig
from cotracker_ros.training.teachers import Teacher
from cotracker_ros.training.verifying import Cases, fit, joined

FIRST_SEED = 6_000_000  # far from those of training, of evaluation and of networks' verifiers
_SIZES = ((256, 256), (320, 240))
_FRAMES, _TRACKS = 32, 64
_SIDE = 256.0  # px, of the image in which errors are measured
_TEACHERS = ("klt", "klt:window=31,max_error=2", "default")
_MIXES = ((0, 2), (0, 1, 2), (1, 2), (2,), (0,))


def fitting_clips(count: int, first: int = 0) -> Iterator[LabelledClip]:
    """Make the clips that the verifier is fitted on, of two sizes in turn, with textures of training."""
    for number in tqdm(range(first, first + count), desc="clips", unit="clip"):
        width, height = _SIZES[number % len(_SIZES)]
        config = ClipConfig(frames=_FRAMES, width=width, height=height, tracks=_TRACKS)
        yield training_clip(FIRST_SEED + number, config)


def fit_label_verifier(clips: Iterable[LabelledClip]) -> Verifier:
    """Fit a verifier on clips that KLT, in two settings, and the shipped network track.

    The same clips give the same verifier.

    Raises:
        TrainingError: There is no answer to judge in the clips.
    """
    teachers = [make_teacher(name, "cpu") for name in _TEACHERS]
    # Two clips of both sizes are checked once, the next two twice.
    configs = [LabelConfig(checks=checks) for checks in (1, 1, 2, 2)]
    cases = joined([gather_cases(teachers, clip, _MIXES, configs[n % 4]) for n, clip in enumerate(clips)])
    if not len(cases.visible):
        raise TrainingError("the verifier has nothing to learn from; give clips with tracks that go on")
    return fit(cases, hidden_too=True)


def gather_cases(
    teachers: Sequence[Teacher], clip: LabelledClip, mixes: Sequence[Sequence[int]], config: LabelConfig
) -> Cases:
    """Let teachers track a clip, and compare with the truth.

    Args:
        teachers: Whom to ask.
        clip: With the truth; entries that are not `known` are left out, as are queries themselves.
        mixes: Which teachers are judged together, each time.
        config: How they are asked.

    Raises:
        TrainingError: A teacher failed.
    """
    track, queries = early_queries(clip)
    answers, failures = ask_all(teachers, clip.frames, queries, config)
    if failures:
        raise TrainingError(f"teachers failed on {clip.name}: {failures}")
    return joined([_cases([answers[k] for k in mix], clip, track, queries, config) for mix in mixes])


def early_queries(clip: LabelledClip) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Choose queries as `sift_queries` does, on known tracks: each in a random frame of the first quarter.

    Returns:
        (N,) the tracks, without those that are not seen by then; and (N, 3) queries as t, x, y.
    """
    rng = np.random.default_rng(0)
    seen = (clip.visible & clip.known)[: len(clip) // 4 + 1]
    track = np.flatnonzero(seen.any(0))
    time = np.array([rng.choice(np.flatnonzero(seen[:, column])) for column in track], int)
    return track, np.concatenate([time[:, None], clip.xy[time, track]], 1).astype(np.float32)


def to_judge(clip: LabelledClip, track: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(T, N) bool: entries of some tracks whose truth is known, but for the queries themselves."""
    known = clip.known[:, track].copy()
    known[queries[:, 0].astype(int), np.arange(len(queries))] = False
    return known


def errors(clip: LabelledClip, track: NDArray[np.int64], xy: NDArray[np.floating]) -> NDArray[np.floating]:
    """(T, N) distances of positions (T, N, 2) from the truth of some tracks, px at 256x256."""
    return np.linalg.norm((xy - clip.xy[:, track]) * _SIDE / np.array(clip.size), axis=-1)


def _cases(
    answers: list[Answer],
    clip: LabelledClip,
    track: NDArray[np.int64],
    queries: NDArray[np.float32],
    config: LabelConfig,
) -> Cases:
    tables = evidence(answers, clip.frames, queries, config.min_visibility)
    known, visible = to_judge(clip, track, queries), clip.visible[:, track]
    parts = []
    for answer, table in zip(answers, tables, strict=True):
        counts = known & answer.can
        near = errors(clip, track, answer.tracks.xy) < NEAR
        columns = table[counts], visible[counts], near[counts]
        parts.append(Cases(*(torch.from_numpy(column.astype(np.float32)) for column in columns)))
    return joined(parts)
