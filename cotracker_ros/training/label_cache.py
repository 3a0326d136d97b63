"""Labelled clips on disk: one file per clip, whole or not at all, and a list of those that belong to a run.

A file holds the clip's images (JPEG of quality 95, no chroma subsampling), its labels, and as JSON who made
them from what. It carries a digest of all settings that its labels depend on: with others it is stale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.pseudo_labels import PseudoLabels

LIST = "labels.json"
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
_LABELS = ("xy", "visible", "known", "chosen")


class LabelCacheError(ValueError):
    """A file or folder of labels that cannot be used; the text is one sentence."""


@dataclass(frozen=True)
class ClipRecord:
    """Where a clip comes from and who labelled it.

    Attributes:
        recording: Path of the recording.
        numbers: The images it is made of.
        size: Width and height of its images, px.
        teachers: Names of the teachers; `PseudoLabels.chosen` counts them.
        failures: What teachers raised that failed on it, by name.
        settings: Digest of everything its labels depend on.
    """

    recording: str
    numbers: tuple[int, ...]
    size: tuple[int, int]
    teachers: tuple[str, ...]
    failures: dict[str, str]
    settings: str


@dataclass(frozen=True, eq=False)
class CachedLabels:
    """The labels of a clip without its images: ``queries`` (N, 3) as t, x, y."""

    record: ClipRecord
    queries: NDArray[np.float32]
    labels: PseudoLabels


def save_clip(path: Path, frames: NDArray[np.uint8], cached: CachedLabels) -> None:
    """Write a clip, whole or not at all.

    Args:
        path: The file.
        frames: (T, H, W, 3) uint8, RGB.
        cached: The rest.

    Raises:
        OSError: It cannot be written.
    """
    pictures = [cv2.imencode(".jpg", frame[..., ::-1], _JPEG)[1].reshape(-1) for frame in frames]
    tensors: dict[str, NDArray[Any]] = {
        "images": np.concatenate(pictures),
        "ends": np.cumsum([len(picture) for picture in pictures]),
        "queries": cached.queries,
    }
    tensors |= {name: np.ascontiguousarray(getattr(cached.labels, name)) for name in _LABELS}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    try:
        save_file(tensors, unfinished, metadata={"record": json.dumps(asdict(cached.record))})
        unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error}") from error


def load_labels(path: Path) -> CachedLabels:
    """Read a clip's labels without its images.

    Raises:
        LabelCacheError: The file is missing, truncated, or something else.
    """
    record, parts = _read(path, ("queries", *_LABELS))
    queries = parts.pop("queries")
    return CachedLabels(record, queries, PseudoLabels(**parts))


def load_clip(path: Path) -> LabelledClip:
    """Read a clip with its images and the frames of its queries; its name is its file's.

    Raises:
        LabelCacheError: The file is missing, truncated, or something else.
    """
    _, parts = _read(path, ("images", "ends", "queries", "xy", "visible", "known"))
    pictures = np.split(parts["images"], parts["ends"][:-1])
    decoded = [cv2.imdecode(picture, cv2.IMREAD_COLOR) for picture in pictures]
    if any(image is None for image in decoded):
        raise LabelCacheError(f"{path} holds an image that cannot be read; delete it and run distill again")
    frames = np.stack([np.asarray(image)[..., ::-1] for image in decoded]).astype(np.uint8)
    asked = parts["queries"][:, 0].astype(np.int64)
    return LabelledClip(frames, parts["xy"], parts["visible"], parts["known"], path.stem, asked)


def load_if_fresh(path: Path, settings: str) -> CachedLabels | None:
    """Read a clip's labels if they are there, whole, and made with these settings; else None."""
    try:
        cached = load_labels(path)
    except LabelCacheError:
        return None
    return cached if cached.record.settings == settings else None


def _read(path: Path, names: Sequence[str]) -> tuple[ClipRecord, dict[str, NDArray[Any]]]:
    try:
        with safe_open(path, framework="numpy") as file:
            values = json.loads((file.metadata() or {})["record"])
            parts = {name: file.get_tensor(name) for name in names}
        values |= {name: tuple(values[name]) for name in ("numbers", "size", "teachers")}
        return ClipRecord(**values), parts
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise LabelCacheError(
            f"{path} is no whole file of labels ({str(error).splitlines()[0]}); run distill again"
        ) from error


def write_list(folder: Path, settings: Mapping[str, str]) -> None:
    """Write which files of a folder belong to its run: there may be stale ones beside them.

    Args:
        folder: The folder.
        settings: `ClipRecord.settings` of each file, by its name.
    """
    unfinished = folder / f"{LIST}.part"
    unfinished.write_text(json.dumps({"clips": dict(settings)}, indent=1) + "\n")
    unfinished.replace(folder / LIST)


class LabelFolder(Sequence[LabelledClip]):
    """All labelled clips of a folder that `cotracker_ros distill` wrote, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Read the list of clips.

        Raises:
            LabelCacheError: There is none, or it is empty.
        """
        try:
            names = json.loads((folder / LIST).read_text())["clips"]
            self.files = [folder / name for name in names]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise LabelCacheError(
                f"{folder} is no finished folder of labels; run cotracker_ros distill, with the same "
                "settings if it was interrupted"
            ) from error
        if not self.files:
            raise LabelCacheError(f"{folder} holds no labelled clip; see the report of the distillation")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        """Read a clip, or a list of them for a slice."""
        if isinstance(index, slice):
            return [load_clip(path) for path in self.files[index]]
        return load_clip(self.files[index])
