"""TAP-Vid-Kubric as released for training CoTracker3: rendered clips of falling things with dense tracks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.images import read_rgb
from cotracker_ros.evaluation.datasets.pickles import PickledArray, read_pickle
from cotracker_ros.tracking.labelled import LabelledClip

_INSIDE_RELEASE = ("", "movi_f", "kubric_movi_f_120_frames_dense/movi_f")
_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
_EVERY_FRAME = slice(None)


class KubricSequences:
    """The sequences of a folder: ``<sequence>/frames/*`` and ``<sequence>/<sequence>.npy``.

    They are read when asked for, so any number of processes may share the folder. Positions are those of
    the file, px; entries that are not finite are unknown.
    """

    def __init__(self, folder: str | Path) -> None:
        """List the sequences.

        Args:
            folder: The folder of the sequences (``movi_f``), or the one or two above it in the release.

        Raises:
            DatasetError: There are none.
        """
        self._folders = _sequence_folders(Path(folder))
        self.names = tuple(sequence.name for sequence in self._folders)

    def __len__(self) -> int:
        return len(self._folders)

    def __getitem__(self, index: int) -> LabelledClip:
        return self.read(index)

    def __iter__(self) -> Iterator[LabelledClip]:
        return (self.read(index) for index in range(len(self)))

    def length(self, index: int) -> int:
        """Return the number of images of a sequence, from 0 on."""
        return len(_images(self._folders[index]))

    def read(self, index: int, frames: slice = _EVERY_FRAME) -> LabelledClip:
        """Read a sequence, or only some of its frames: training crops it in time.

        Args:
            index: Number of the sequence, from 0 on.
            frames: Which frames.

        Raises:
            DatasetError: A file is missing, cut short or something else.
            IndexError: There is no such sequence.
        """
        folder = self._folders[index]
        coords, hidden = _read_tracks(folder / f"{folder.name}.npy")
        files = _images(folder)
        if len(files) != coords.shape[1]:
            raise DatasetError(
                f"{folder} has {len(files)} frames, but its tracks have {coords.shape[1]}: extract it again"
            )
        if not files[frames]:
            raise DatasetError(f"{folder} has {len(files)} frames, and none of them was asked for ({frames})")
        images = [read_rgb(file) for file in files[frames]]
        if len({image.shape for image in images}) > 1:
            raise DatasetError(f"{folder} has frames of different sizes: extract it again")
        xy = coords[:, frames].transpose(1, 0, 2).astype(np.float32)
        known = np.isfinite(xy).all(axis=-1)
        xy = np.where(known[..., None], xy, np.float32(0))
        limits = np.array([images[0].shape[1], images[0].shape[0]])
        inside = ((xy >= -0.5) & (xy <= limits - 0.5)).all(axis=-1)
        visible = ~hidden[:, frames].T & inside & known
        return LabelledClip(np.stack(images), xy, visible, known, folder.name)


def _sequence_folders(folder: Path) -> list[Path]:
    for part in _INSIDE_RELEASE:
        found = sorted(
            sequence
            for sequence in (folder / part).glob("*")
            if (sequence / f"{sequence.name}.npy").is_file() and (sequence / "frames").is_dir()
        )
        if found:
            return found
    raise DatasetError(
        f"{folder} holds no sequences: give the folder with <sequence>/frames and <sequence>/<sequence>.npy"
    )


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in (folder / "frames").iterdir() if file.suffix.lower() in _IMAGE_SUFFIXES)


def _read_tracks(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the positions (N, T, 2), px, and whether each is hidden (N, T)."""
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = header(file)
        except ValueError as error:
            raise DatasetError(f"{path} is cut short or no .npy file: extract it again") from error
        start = file.tell()
    content = read_pickle(path, start) if dtype.hasobject and shape == () else None
    objects = content.content if isinstance(content, PickledArray) else None
    tracks = objects[0] if isinstance(objects, list) and objects else None
    # The release says "visibility" and means whether the point is hidden.
    arrays = [tracks.get(name) for name in ("coords", "visibility")] if isinstance(tracks, dict) else []
    found = [array.load() for array in arrays if isinstance(array, PickledArray)]
    if len(found) != 2:
        raise DatasetError(f"{path} holds no tracks: it needs a dict of the arrays coords and visibility")
    coords, hidden = found
    if coords.ndim != 3 or coords.shape != (*hidden.shape, 2):
        raise DatasetError(
            f"{path}: coords {coords.shape} and visibility {hidden.shape} do not belong together"
        )
    return coords, hidden.astype(bool)
