"""Tracks as tables: a CSV file or NumPy arrays."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.types import DepthSource, Tracks3D
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.tracking.types import Tracks

_COLUMNS = (
    "epoch",
    "frame",
    "stamp",
    "id",
    "label",
    "x",
    "y",
    "visible",
    "visibility",
    "confidence",
    "flags",
)
_COLUMNS_3D = ("x_m", "y_m", "z_m", "vx_m_s", "vy_m_s", "vz_m_s", "sigma_m", "source")
_MAX_BYTES = 8 << 30  # of dense arrays


class TrackTable:
    """Collects the answers of a replay; a revised answer takes the place of the one before."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[int, int], Tracks] = {}
        self._lifted: dict[tuple[int, int], Tracks3D] = {}

    def add(self, tracks: Tracks) -> None:
        """Take the answer to one image; tracks that a revision does not hold keep what they had."""
        key = tracks.epoch, tracks.frame
        known = self._tracks.get(key)
        self._tracks[key] = tracks if known is None else _merged(known, tracks)

    def add_3d(self, tracks: Tracks3D) -> None:
        """Take the 3D answer to one image."""
        self._lifted[tracks.epoch, tracks.frame] = tracks

    def write_csv(self, path: str | Path) -> None:
        """Write one row per image and track, in the order of images and ids.

        Columns: epoch, frame, stamp (ns), id, label, x, y (px), visible (0 or 1), visibility, confidence,
        flags; and where tracks were lifted the position and velocity in space (m, m/s), sigma (m) and the
        name of the depth's source.
        """
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS + (_COLUMNS_3D if self._lifted else ()))
            for key in sorted(self._tracks):
                writer.writerows(self._rows(key))

    def write_npz(self, path: str | Path) -> None:
        """Write the arrays of `arrays` into one compressed file.

        Raises:
            RecordingError: They would not fit into memory.
        """
        with Path(path).open("wb") as file:
            arrays: dict[str, Any] = self.arrays()
            np.savez_compressed(file, **arrays)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return dense arrays over T images and N tracks.

        Returns:
            ``ids`` (N,) and ``labels`` (N,); ``epochs``, ``frames`` and ``stamps`` (T,), stamps in ns;
            ``image_sizes`` (T, 2) width and height, px; ``xy`` (T, N, 2) px and ``visibility``,
            ``confidence`` (T, N), NaN where an image does not hold a track; ``visible`` and ``flags``
            (T, N), 0 there. Where tracks were lifted: ``xyz`` and ``velocity`` (T, N, 3) in ``frame_id``,
            m and m/s, ``sigma`` (T, N) m, ``source`` (T, N).

        Raises:
            RecordingError: They would not fit into memory.
        """
        keys = sorted(self._tracks)
        answers = [self._tracks[key] for key in keys]
        ids = np.unique(np.concatenate([a.ids for a in answers] or [np.zeros(0, np.uint32)]))
        cells = len(answers) * len(ids)
        if cells * (50 if self._lifted else 18) > _MAX_BYTES:
            raise RecordingError(
                f"arrays over {len(answers)} images and {len(ids)} tracks are too large: write CSV instead"
            )
        labels = dict.fromkeys(ids.tolist(), "")
        for answer in answers:
            labels.update(zip(answer.ids.tolist(), answer.labels, strict=True))
        flags = _dense(answers, ids, "flags", 0)
        result: dict[str, NDArray[Any]] = {
            "ids": ids,
            "labels": np.array([labels[i] for i in ids.tolist()], dtype=np.str_),
            "epochs": np.array([a.epoch for a in answers], dtype=np.uint32),
            "frames": np.array([a.frame for a in answers], dtype=np.uint64),
            "stamps": np.array([a.stamp for a in answers], dtype=np.int64),
            "image_sizes": np.array([a.image_size for a in answers], dtype=np.uint32).reshape(-1, 2),
            "xy": _dense(answers, ids, "xy", np.nan, 2),
            "visibility": _dense(answers, ids, "visibility", np.nan),
            "confidence": _dense(answers, ids, "confidence", np.nan),
            "flags": flags,
            "visible": (flags & 1) != 0,
        }
        if self._lifted:
            lifted = [self._lifted.get(key) for key in keys]
            frame_ids = {item.frame_id for item in lifted if item is not None}
            result |= {
                "frame_id": np.array(sorted(frame_ids)),
                "xyz": _dense(lifted, ids, "xyz", np.nan, 3),
                "velocity": _dense(lifted, ids, "velocity", np.nan, 3),
                "sigma": _dense(lifted, ids, "sigma", np.nan),
                "source": _dense(lifted, ids, "source", DepthSource.NONE),
            }
        return result

    def _rows(self, key: tuple[int, int]) -> Iterator[tuple[Any, ...]]:
        tracks = self._tracks[key]
        order = np.argsort(tracks.ids)
        columns: list[Sequence[Any]] = [
            [tracks.epoch] * len(order),
            [tracks.frame] * len(order),
            [tracks.stamp] * len(order),
            tracks.ids[order].tolist(),
            [tracks.labels[n] for n in order.tolist()],
            _decimals(tracks.xy[order, 0], 3),
            _decimals(tracks.xy[order, 1], 3),
            tracks.visible[order].astype(int).tolist(),
            _decimals(tracks.visibility[order], 4),
            _decimals(tracks.confidence[order], 4),
            tracks.flags[order].tolist(),
        ]
        if self._lifted:
            columns += _columns_3d(self._lifted.get(key), tracks.ids[order])
        return zip(*columns, strict=True)


def _columns_3d(lifted: Tracks3D | None, ids: NDArray[np.uint32]) -> list[list[str]]:
    """Return the columns of `_COLUMNS_3D` for some tracks; empty words where nothing is known."""
    if lifted is None:
        return [[""] * len(ids) for _ in _COLUMNS_3D]
    row = {identity: n for n, identity in enumerate(lifted.ids.tolist())}
    # One row more than there are tracks, for those that were not lifted.
    rows = [row.get(identity, len(row)) for identity in ids.tolist()]
    numbers = np.column_stack([lifted.xyz, lifted.velocity, lifted.sigma])
    numbers = np.vstack([numbers, np.full((1, numbers.shape[1]), np.nan)])[rows]
    sources = [DepthSource(value).name.lower() for value in lifted.source.tolist()] + [""]
    return [*(_decimals(column, 5) for column in numbers.T), [sources[n] for n in rows]]


def _decimals(values: NDArray[np.floating[Any]], places: int) -> list[str]:
    return ["" if value != value else f"{value:.{places}f}" for value in values.tolist()]  # NaN is no number


def _dense(
    answers: list[Any], ids: NDArray[np.uint32], name: str, missing: float, width: int = 0
) -> NDArray[Any]:
    kind = np.uint8 if name in ("flags", "source") else np.float32
    table = np.full((len(answers), len(ids), width) if width else (len(answers), len(ids)), missing, kind)
    for row, answer in zip(table, answers, strict=True):
        if answer is not None:
            row[np.searchsorted(ids, answer.ids)] = getattr(answer, name)
    return table


def _merged(old: Tracks, new: Tracks) -> Tracks:
    keep = ~np.isin(old.ids, new.ids)
    if not keep.any():
        return new
    arrays = ("ids", "xy", "visibility", "confidence", "flags", "age", "rgb")
    both: dict[str, Any] = {
        name: np.concatenate([getattr(new, name), getattr(old, name)[keep]]) for name in arrays
    }
    labels = new.labels + tuple(label for label, kept in zip(old.labels, keep, strict=True) if kept)
    return replace(new, labels=labels, **both)
