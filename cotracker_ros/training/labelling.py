"""Labelling recordings: cut, ask the teachers, choose, and keep what was made on disk."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cotracker_ros.recordings import Recording
from cotracker_ros.training.answers import Answer, ask_all
from cotracker_ros.training.cutting import Clip, CutConfig, plan_clips, read_clips
from cotracker_ros.training.footage import Footage, FootageError, check_footage, look_through, numbered_images
from cotracker_ros.training.label_cache import CachedLabels, ClipRecord, load_if_fresh, save_clip
from cotracker_ros.training.label_evidence import evidence
from cotracker_ros.training.label_verifier import (
    judge,
    label_by_judgement,
    load_verifier,
    verifier_identity,
)
from cotracker_ros.training.pseudo_labels import (
    NOBODY,
    LabelConfig,
    PseudoLabels,
    label_by_best,
    label_by_one,
)
from cotracker_ros.training.sift_queries import sift_queries
from cotracker_ros.training.teachers import Teacher, ask, told

# Labels of earlier versions of this code, if what it does to them changes.
_VERSION = 3


@dataclass(frozen=True)
class LabelSettings:
    """Everything that labels depend on besides the recording.

    Attributes:
        cut: How recordings are cut.
        label: How labels are made.
        seed: For clips, queries and teachers that are drawn.
    """

    cut: CutConfig = field(default_factory=CutConfig)
    label: LabelConfig = field(default_factory=LabelConfig)
    seed: int = 0


@dataclass(frozen=True)
class ClipResult:
    """What became of a clip.

    Attributes:
        recording: Path of its recording.
        path: Its file; None if it was skipped.
        skipped: Why it was skipped, in one sentence; "" if it was not.
        failures: What teachers raised that failed on it, by name.
    """

    recording: str
    path: Path | None
    skipped: str = ""
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordingResult:
    """What became of a recording.

    Attributes:
        path: Where it is.
        images: Images that it yields.
        kept: Those of them that clips may be made of.
        refused: Why it was refused, in one sentence; "" if it was not.
        clips: Its clips.
        reused: How many of them were labelled by an earlier run.
        left_out: What of it could not be read, as of a video that ends early; "" if all could.
    """

    path: str
    images: int
    kept: int
    refused: str = ""
    clips: tuple[ClipResult, ...] = ()
    reused: int = 0
    left_out: str = ""


class _NoLabelsError(Exception):
    """A clip that gets no labels, and what teachers failed."""

    def __init__(self, reason: str, failures: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.failures = failures or {}


def label_recording(
    recording: Recording,
    teachers: Sequence[Teacher],
    folder: Path,
    settings: LabelSettings,
    *,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> RecordingResult:
    """Label a recording's clips; those that an earlier run labelled with the same settings are left alone.

    Args:
        recording: The recording.
        teachers: Whom to learn from.
        folder: Where the clips go.
        settings: Settings.
        progress: Show a progress bar.
        stop: Ends the work after the clip in hand when it is set; the rest is missing in the result.

    Raises:
        OSError: A clip cannot be written.
        LabelVerifierError: Labels are to be verified, and there is no verifier.
    """
    path = str(recording.summary.path)
    footage = look_through(recording, settings.cut.longest_side)
    try:
        check_footage(footage, path, settings.cut)
    except FootageError as error:
        return RecordingResult(path, footage.images, len(footage.numbers), refused=str(error))
    work = _Work(recording, footage, teachers, folder, settings)
    results: dict[int, ClipResult] = {}
    reused = 0
    with tqdm(
        total=len(work.clips), desc=Path(path).name, unit="clip", disable=None if progress else True
    ) as bar:
        for index in range(len(work.clips)):
            found = work.skip_still(index) or work.reuse(index)
            if found:
                results[index] = found
                reused += found.path is not None
                bar.update()
        waiting = [index for index in range(len(work.clips)) if index not in results]
        clips = [work.clips[index] for index in waiting]
        for place, frames in read_clips(numbered_images(recording), clips, settings.cut.longest_side):
            if stop and stop.is_set():
                break
            results[waiting[place]] = work.label(waiting[place], frames)
            bar.update()
    ordered = tuple(results[index] for index in sorted(results))
    kept, left_out = len(footage.numbers), footage.left_out
    return RecordingResult(path, footage.images, kept, clips=ordered, reused=reused, left_out=left_out)


class _Work:
    """The clips of one recording."""

    def __init__(
        self,
        recording: Recording,
        footage: Footage,
        teachers: Sequence[Teacher],
        folder: Path,
        settings: LabelSettings,
    ) -> None:
        self._path = recording.summary.path
        self._footage = footage
        self._teachers = teachers
        self._folder = folder
        self._settings = settings
        self._plans = plan_clips(footage.numbers, settings.cut, settings.seed)
        self.clips: list[Clip] = [tuple(footage.numbers[plan].tolist()) for plan in self._plans]
        source = {
            "recording": self._path.name,
            "topic": recording.summary.image_topic,
            "images": footage.images,
            "bytes": _size(self._path),
        }
        self._source = _digest(source)
        everything = _everything(settings, teachers)
        self._digests = [
            _digest(source | {"clip": clip, "index": index} | everything)
            for index, clip in enumerate(self.clips)
        ]

    def skip_still(self, index: int) -> ClipResult | None:
        """Skip a clip of a time in which nothing moved."""
        plan = self._plans[index]
        motion = float(np.median(self._footage.motion[plan.min() + 1 : plan.max() + 1]))
        least = self._settings.cut.min_motion
        if motion >= least:
            return None
        return ClipResult(str(self._path), None, "nothing moves")

    def reuse(self, index: int) -> ClipResult | None:
        """Take what an earlier run made, if it was made in the same way."""
        path = self._file(index)
        cached = load_if_fresh(path, self._digests[index])
        return self._judged(path, cached) if cached else None

    def label(self, index: int, frames: NDArray[np.uint8]) -> ClipResult:
        """Label a clip, (T, H, W, 3) uint8 RGB, and write it."""
        config, path = self._settings.label, self._file(index)
        seed = int(self._digests[index][:8], 16)
        sharp = self._footage.sharp[self._plans[index]]
        try:
            queries = sift_queries(
                frames, config.tracks, query_frames=config.query_frames, seed=seed, allowed=sharp
            )
            if len(queries) < config.tracks:
                raise _NoLabelsError("too few features")
            make = _by_one if config.labels == "random" else _by_best
            labels, failures = make(self._teachers, frames, queries, config, seed)
        except _NoLabelsError as skip:
            return ClipResult(str(self._path), None, str(skip), skip.failures)
        record = ClipRecord(
            recording=str(self._path),
            numbers=self.clips[index],
            size=(frames.shape[2], frames.shape[1]),
            teachers=tuple(teacher.name for teacher in self._teachers),
            failures=failures,
            settings=self._digests[index],
        )
        cached = CachedLabels(record, queries, labels)
        save_clip(path, frames, cached)
        return self._judged(path, cached)

    def _judged(self, path: Path, cached: CachedLabels) -> ClipResult:
        taught = (cached.labels.chosen != NOBODY).mean()
        few = taught < self._settings.label.min_known
        return ClipResult(
            str(self._path),
            None if few else path,
            "too few reliable labels" if few else "",
            cached.record.failures,
        )

    def _file(self, index: int) -> Path:
        name = re.sub(r"[^\w.-]", "_", self._path.stem)
        return self._folder / f"{name}-{self._source[:6]}-{index:04d}.safetensors"


def _by_one(
    teachers: Sequence[Teacher],
    frames: NDArray[np.uint8],
    queries: NDArray[np.float32],
    config: LabelConfig,
    seed: int,
) -> tuple[PseudoLabels, dict[str, str]]:
    """Draw a teacher; when it fails, draw another one."""
    failures: dict[str, str] = {}
    size = (frames.shape[2], frames.shape[1])
    for index in np.random.default_rng(seed).permutation(len(teachers)).tolist():
        try:
            tracks = ask(teachers[index], frames, queries)
        except Exception as error:  # whatever a teacher raises costs it this clip, and no more
            failures[teachers[index].name] = told(error)
            continue
        return label_by_one(index, tracks, queries, size, config), failures
    raise _NoLabelsError("all teachers failed", failures)


def _by_best(
    teachers: Sequence[Teacher],
    frames: NDArray[np.uint8],
    queries: NDArray[np.float32],
    config: LabelConfig,
    seed: int,
) -> tuple[PseudoLabels, dict[str, str]]:
    """Ask all teachers, check their ways back, and choose."""
    answers, failures = ask_all(teachers, frames, queries, config)
    if not answers:
        raise _NoLabelsError("all teachers failed", failures)
    return choose(answers, frames, queries, config), failures


def choose(
    answers: Sequence[Answer], frames: NDArray[np.uint8], queries: NDArray[np.float32], config: LabelConfig
) -> PseudoLabels:
    """Make labels of the answers of one teacher or more, by rules or by the shipped verifier.

    Args:
        answers: Of all teachers that did not fail.
        frames: (T, H, W, 3) uint8, RGB.
        queries: (N, 3) as t, x, y.
        config: Says how; labels "random" need no answers of all teachers, and are not made here.

    Raises:
        LabelVerifierError: There is no verifier.
    """
    size = (frames.shape[2], frames.shape[1])
    if config.labels == "verified":
        table = evidence(answers, frames, queries, config.min_visibility)
        labels = label_by_judgement(answers, judge(load_verifier(), table), queries, size, config)
    else:
        tracks, cycles, drifts = zip(*((a.tracks, a.cycle, a.drift) for a in answers), strict=True)
        labels = label_by_best(tracks, cycles, drifts, queries, size, config)
    teacher = np.array([*(answer.teacher for answer in answers), NOBODY], np.int8)
    return replace(labels, chosen=teacher[labels.chosen])


def _everything(settings: LabelSettings, teachers: Sequence[Teacher]) -> dict[str, object]:
    verified = settings.label.labels == "verified"
    idle = {"min_known"} if verified else {"min_known", "min_reliability"}
    label = {name: value for name, value in asdict(settings.label).items() if name not in idle}
    return ({"verifier": verifier_identity()} if verified else {}) | {
        "version": _VERSION,
        "seed": settings.seed,
        "longest_side": settings.cut.longest_side,
        "label": label,
        "teachers": [(teacher.name, teacher.identity) for teacher in teachers],
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
