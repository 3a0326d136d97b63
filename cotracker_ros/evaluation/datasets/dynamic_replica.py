"""Dynamic Replica (Karaev et al. 2023): rendered rooms with people and animals, and tracks."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.images import Size, check_size, lanczos
from cotracker_ros.tracking.labelled import LabelledClip

_CAMERA = "left"
_LEAST_VISIBLE = 10  # frames; a track must be seen in more than these


def read_dynamic_replica(
    folder: str | Path,
    *,
    split: str = "valid",
    frames: int = 300,
    count: int = 256,
    seed: int = 0,
    size: Size | None = None,
) -> Iterator[LabelledClip]:
    """Read the left camera of each sequence of a split, one at a time.

    As CoTracker3 is evaluated: the first frames of a sequence, and random tracks of those that are visible
    in more than ten of them. There, all points are asked for in frame 0, whether they are visible or not.

    Args:
        folder: Folder that holds ``frame_annotations_<split>.jgz``, or the one above, with a folder for
            each split.
        split: "valid", "test", "train" or "real".
        frames: How many frames of a sequence are read; 300 of the published size take 0.8 GB.
        count: How many tracks are drawn, at most.
        seed: Of the draw; it does not depend on the other sequences.
        size: Width and height of the frames, px; None keeps the published size.

    Raises:
        DatasetError: At once, or when its turn comes: a file is missing, damaged or something else.
    """
    check_size(size)
    if frames < 1 or count < 1:
        raise DatasetError(f"frames is {frames} and count is {count}: give at least 1")
    annotations = _annotations(Path(folder), split)
    sequences = _sequences(annotations)
    return (
        _clip(name, files[:frames], annotations.parent, count, seed, size)
        for name, files in sequences.items()
    )


def _annotations(folder: Path, split: str) -> Path:
    name = f"frame_annotations_{split}.jgz"
    for path in (folder / name, folder / split / name):
        if path.is_file():
            return path
    raise DatasetError(f"{folder} holds no {name}: give the folder of the data set and one of its splits")


def _sequences(annotations: Path) -> dict[str, list[str]]:
    """Return the files of the tracks of each sequence, in the order of its frames."""
    try:
        with gzip.open(annotations, "rt", encoding="utf-8") as file:
            entries = json.load(file)
        numbered: dict[str, list[tuple[int, str]]] = {}
        for entry in entries:
            if entry["camera_name"] == _CAMERA:
                found = numbered.setdefault(entry["sequence_name"], [])
                found.append((int(entry["frame_number"]), entry["trajectories"]["path"]))
    # A gzip file that was cut short ends in EOFError.
    except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{annotations} is damaged or holds no frames with trajectories: download it again"
        ) from error
    if not numbered:
        raise DatasetError(f"{annotations} lists no frame of the {_CAMERA} camera: download it again")
    return {name: [path for _, path in sorted(found)] for name, found in sorted(numbered.items())}


def _clip(
    name: str, files: list[str], folder: Path, count: int, seed: int, size: Size | None
) -> LabelledClip:
    images: list[NDArray[np.uint8]] = []
    positions: list[NDArray[np.float32]] = []
    seen: list[NDArray[np.bool_]] = []
    for file in files:
        image, points, in_sight = _read_frame(folder / file)
        if positions and points.shape != positions[0].shape:
            raise DatasetError(f"{folder / file} has {len(points)} points, not {len(positions[0])}")
        if size is not None:
            points = points * ((np.array(size) - 1) / (np.array([image.shape[1], image.shape[0]]) - 1))
        images.append(lanczos(image, size))
        positions.append(points.astype(np.float32))
        seen.append(in_sight)
    if len({image.shape for image in images}) > 1:
        raise DatasetError(f"the frames of {name} differ in size: download them again")
    visible = np.stack(seen)
    often = np.flatnonzero(visible.sum(axis=0) > _LEAST_VISIBLE)
    if not len(often):
        raise DatasetError(f"no point of {name} is visible in more than {_LEAST_VISIBLE} frames: read more")
    chosen = np.sort(np.random.default_rng(seed).permutation(often)[:count])
    xy = np.stack(positions)[:, chosen]
    known = np.asarray(np.isfinite(xy).all(axis=-1), bool)
    xy = np.where(known[..., None], xy, np.float32(0))
    return LabelledClip(np.stack(images), xy, visible[:, chosen] & known, known, name)


def _read_frame(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[np.bool_]]:
    """Return the image (H, W, 3), the positions (N, 2), px, and whether each is visible (N,)."""
    if not path.is_file():
        raise DatasetError(f"{path} is missing: extract the data set again")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        image, xy, visible = (np.asarray(content[part]) for part in ("img", "traj_2d", "verts_inds_vis"))
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        pickle.UnpicklingError,
    ) as error:
        raise DatasetError(
            f"{path} is damaged, or holds more than the tensors img, traj_2d and verts_inds_vis need"
        ) from error
    visible = visible.astype(bool).ravel()
    if (
        image.ndim != 3
        or image.shape[2] != 3
        or xy.shape[:1] != visible.shape
        or xy.shape[1:] not in ((2,), (3,))
    ):
        raise DatasetError(
            f"{path}: img {image.shape}, traj_2d {xy.shape} and verts_inds_vis {visible.shape} are not "
            "those of one frame"
        )
    return np.ascontiguousarray(image.astype(np.uint8)), xy[:, :2], visible
