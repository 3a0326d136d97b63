"""Files of TAP-Vid (Doersch et al. 2022; RoboTAP: Vecerik et al. 2023), whichever data set they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.images import Size, check_size, decode_rgb, lanczos
from cotracker_ros.evaluation.datasets.pickles import PickledArray, StoredBytes, content_of, read_pickle
from cotracker_ros.tracking.labelled import LabelledClip

TAPVID_SIZE = (256, 256)
"""Width and height at which the benchmark is run, px."""

_FARTHEST = 2.0  # a visible point further right or down than this many images is given in pixels
_PARTS = ("video", "points", "occluded")


def read_tapvid(path: str | Path, *, size: Size | None = TAPVID_SIZE) -> Iterator[LabelledClip]:
    """Read the clips of one file, or of all ``*.pkl`` files of a folder, one at a time.

    Which of the data sets it is does not matter: DAVIS and RoboTAP are dicts of entries, Kinetics (in shards)
    and RGB-Stacking lists of them. An entry holds ``video``, (T, H, W, 3) uint8 or T JPEG images, ``points``,
    (N, T, 2) from 0 to 1, and ``occluded``, (N, T). Frames are resized with a Lanczos filter and points
    multiplied by size - 1, as the benchmark does. All tracks are kept, also those that are never visible;
    all entries are known, but the position of a hidden point is not more than the annotators' guess.

    Args:
        path: File or folder.
        size: Width and height of the frames, px; None keeps those of the file.

    Raises:
        DatasetError: At once, or when its turn comes: a file is missing, empty, damaged, cut short or
            something else, or names something that no data set needs (see `read_pickle`).
    """
    check_size(size)
    return _clips(_files(Path(path)), size)


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DatasetError(f"{path} does not exist: give a TAP-Vid file or a folder of them")
    files = sorted(path.glob("*.pkl")) if path.is_dir() else [path]
    if not files:
        raise DatasetError(f"{path} holds no .pkl file: give the folder of a TAP-Vid data set or its file")
    return files


def _clips(files: list[Path], size: Size | None) -> Iterator[LabelledClip]:
    for file in files:
        for name, entry in _entries(file):
            title = f"{file.stem}/{name}"
            try:
                yield _clip(entry, size, title)
            except DatasetError as error:
                raise DatasetError(f"{file}, entry {name}: {error}") from error


def _entries(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the names and the entries of a file; names in a list are numbers."""
    content = read_pickle(file)
    if isinstance(content, dict) and not any(part in content for part in _PARTS):
        named = [(str(name), entry) for name, entry in content.items()]
    elif isinstance(content, list):
        named = [(str(number), entry) for number, entry in enumerate(content)]
    else:
        raise DatasetError(f"{file} is no TAP-Vid file: it holds neither a dict nor a list of videos")
    if not named:
        raise DatasetError(f"{file} holds no videos: download it again")
    yield from named


def _clip(entry: Any, size: Size | None, title: str) -> LabelledClip:
    if not isinstance(entry, dict) or not all(part in entry for part in _PARTS):
        raise DatasetError(f"this is no TAP-Vid file: an entry needs {', '.join(_PARTS)}")
    points = _numbers(entry["points"], "points")
    hidden = _numbers(entry["occluded"], "occluded").astype(bool)
    frames = _frames(entry["video"], size)
    if points.shape != (*hidden.shape, 2) or points.shape[1] != len(frames):
        raise DatasetError(
            f"{len(frames)} frames, points {points.shape} and occluded {hidden.shape} do not belong together"
        )
    visible = ~hidden.T
    share = points.astype(np.float64).transpose(1, 0, 2)
    if not np.isfinite(share[visible]).all() or np.any(np.abs(share[visible]) > _FARTHEST):
        raise DatasetError("the points are not shares of the image's size from 0 to 1")
    limits = np.array([frames.shape[2] - 1, frames.shape[1] - 1])
    xy = (np.nan_to_num(share) * limits).astype(np.float32)
    return LabelledClip(frames, xy, visible, np.ones_like(visible), title)


def _numbers(value: Any, name: str) -> NDArray[Any]:
    if not isinstance(value, PickledArray):
        raise DatasetError(f"{name} is a {type(value).__name__}, not an array")
    return value.load()


def _frames(video: Any, size: Size | None) -> NDArray[np.uint8]:
    """Return (T, H, W, 3) uint8 in the size that is wanted, from an array or from encoded images."""
    images: Sequence[NDArray[np.uint8]] | Iterator[NDArray[np.uint8]]
    if isinstance(video, PickledArray) and video.dtype == np.uint8:
        stored = video.load()
        if stored.ndim != 4 or stored.shape[3] != 3:
            raise DatasetError(f"the video has the shape {stored.shape}, not (T, H, W, 3)")
        images = list(stored)
    else:
        images = (_decoded(item) for item in _encoded(video))
    resized = [lanczos(image, size) for image in images]
    if not resized:
        raise DatasetError("the video has no frames")
    if len({image.shape for image in resized}) > 1:
        raise DatasetError("the frames of the video differ in size")
    return np.stack(resized)


def _encoded(video: Any) -> Sequence[Any]:
    if isinstance(video, PickledArray):
        return video.content if isinstance(video.content, list) else video.load().ravel().tolist()
    if isinstance(video, (list, tuple)):
        return video
    raise DatasetError(f"the video is a {type(video).__name__}, not frames")


def _decoded(item: Any) -> NDArray[np.uint8]:
    if not isinstance(item, (bytes, StoredBytes)):
        raise DatasetError(f"a frame of the video is a {type(item).__name__}, not an encoded image")
    return decode_rgb(content_of(item))
