"""The list of tracks that any tracker keeps: who they are and how they fare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.tracking.types import TrackFlag, Tracks


def _empty(dtype: type, *shape: int) -> NDArray:
    return np.zeros((0, *shape), dtype)


@dataclass(eq=False)
class TrackTable:
    """One row per track, in the order in which they were asked for.

    Support points, which only some trackers have, are rows with the id 0; no answer holds them.

    Attributes:
        ids: (N,) uint32, rise and are never used again.
        query_frame: (N,) int64, image of the query, counted from the start of the epoch.
        query_xy: (N, 2) float64, px of the original image.
        rgb: (N, 3) uint8, colour of the point in its query image.
        unseen: (N,) int64, images since the track was visible last.
        outside: (N,) int64, images since the track was inside the image last.
        announced: (N,) bool, whether an answer has held the track.
        labels: (N,) object, strings.
        next_id: The id of the next track.
        epoch: Number of the epoch.
    """

    ids: NDArray[np.uint32] = field(default_factory=lambda: _empty(np.uint32))
    query_frame: NDArray[np.int64] = field(default_factory=lambda: _empty(np.int64))
    query_xy: NDArray[np.float64] = field(default_factory=lambda: _empty(np.float64, 2))
    rgb: NDArray[np.uint8] = field(default_factory=lambda: _empty(np.uint8, 3))
    unseen: NDArray[np.int64] = field(default_factory=lambda: _empty(np.int64))
    outside: NDArray[np.int64] = field(default_factory=lambda: _empty(np.int64))
    announced: NDArray[np.bool_] = field(default_factory=lambda: _empty(np.bool_))
    labels: NDArray[np.object_] = field(default_factory=lambda: _empty(np.object_))
    next_id: int = 1
    epoch: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def append(
        self,
        xy: NDArray[np.float64],
        labels: Sequence[str],
        frame: int,
        ids: NDArray[np.uint32] | None = None,
    ) -> NDArray[np.uint32]:
        """Add one row per query; without ``ids`` new ones are drawn. Returns the ids."""
        count = len(xy)
        if ids is None:
            ids = np.arange(self.next_id, self.next_id + count, dtype=np.uint32)
            self.next_id += count
        self.ids = np.concatenate([self.ids, ids])
        self.query_frame = np.concatenate([self.query_frame, np.full(count, frame)])
        self.query_xy = np.concatenate([self.query_xy, xy])
        self.rgb = np.concatenate([self.rgb, np.zeros((count, 3), np.uint8)])
        self.unseen = np.concatenate([self.unseen, np.zeros(count, np.int64)])
        self.outside = np.concatenate([self.outside, np.zeros(count, np.int64)])
        self.announced = np.concatenate([self.announced, np.zeros(count, np.bool_)])
        self.labels = np.concatenate([self.labels, np.array(labels, np.object_)])
        return ids

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop every row where ``rows`` (N,) is False."""
        for column in fields(self):
            values = getattr(self, column.name)
            if isinstance(values, np.ndarray):
                setattr(self, column.name, values[rows])

    def clear(self) -> None:
        """Drop all rows and begin the next epoch; ids go on."""
        self.keep(np.zeros(len(self), bool))
        self.epoch += 1

    def sample_colours(self, image: NDArray[np.uint8], frame: int) -> None:
        """Take the colour of the tracks whose query image is ``image``, (H, W, 3) RGB."""
        rows = np.flatnonzero(self.query_frame == frame)
        limit = np.array([image.shape[1] - 1, image.shape[0] - 1])
        pixel = self.query_xy[rows].round().clip(0, limit).astype(int)
        self.rgb[rows] = image[pixel[:, 1], pixel[:, 0]]

    def answer(
        self,
        estimate: Estimate,
        *,
        image_size: tuple[int, int],
        visible_threshold: float,
        lost_after: int,
    ) -> Tracks:
        """Make the answer for one image out of a tracker's numbers for all rows.

        Rows whose query comes after the image are left out. A first answer (not ``revised``) also counts
        for how long each track has been unseen or outside.
        """
        rows = np.flatnonzero((self.query_frame <= estimate.frame) & (self.ids > 0))
        xy = estimate.xy[rows]
        limit = np.array([image_size[0] - 1, image_size[1] - 1])
        inside = ((xy >= 0) & (xy <= limit)).all(1)
        seen = (estimate.visibility[rows] * estimate.confidence[rows] > visible_threshold) & inside
        if not estimate.revised:
            self.unseen[rows] = np.where(seen, 0, self.unseen[rows] + 1)
            self.outside[rows] = np.where(inside, 0, self.outside[rows] + 1)
        flags = (
            seen * TrackFlag.VISIBLE
            + inside * TrackFlag.IN_FRAME
            + ~self.announced[rows] * TrackFlag.NEW
            + (self.unseen[rows] >= lost_after) * TrackFlag.LOST
        )
        self.announced[rows] = True
        return Tracks(
            frame=estimate.frame,
            stamp=estimate.stamp,
            newest=estimate.newest,
            epoch=self.epoch,
            image_size=image_size,
            revised=estimate.revised,
            ids=self.ids[rows],
            xy=xy.astype(np.float32),
            visibility=estimate.visibility[rows].astype(np.float32),
            confidence=estimate.confidence[rows].astype(np.float32),
            flags=flags.astype(np.uint8),
            age=(estimate.frame - self.query_frame[rows]).astype(np.uint32),
            rgb=self.rgb[rows],
            labels=tuple(self.labels[rows]),
        )


@dataclass(frozen=True, eq=False)
class Estimate:
    """A tracker's numbers for one image: ``xy`` (N, 2) px of the original image, two probabilities (N,)."""

    frame: int
    stamp: int
    newest: int
    revised: bool
    xy: NDArray[np.floating]
    visibility: NDArray[np.floating]
    confidence: NDArray[np.floating]


def check_queries(
    xy: ArrayLike,
    labels: str | Sequence[str] | None,
    image_size: tuple[int, int] | None,
    room: int,
) -> tuple[NDArray[np.float64], list[str]]:
    """Return clean positions (N, 2) and one label per point.

    Args:
        xy: (N, 2) positions, px.
        labels: None, one for all, or one per point.
        image_size: Width and height, px; None if no image has been seen yet.
        room: How many tracks may still be added.

    Raises:
        ValueError: See `PointTracker.add_points`.
    """
    points = np.asarray(xy, np.float64)
    if points.size == 0:
        points = points.reshape(0, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"the points have the shape {points.shape}; give (N, 2) pixel positions x, y")
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise ValueError(f"point {bad} is {tuple(points[bad].tolist())}; give finite pixel positions")
    if image_size is not None:
        limit = np.array([image_size[0] - 0.5, image_size[1] - 0.5])
        out = np.flatnonzero(((points < -0.5) | (points > limit)).any(1))
        if len(out):
            x, y = points[out[0]]
            raise ValueError(
                f"point {out[0]} at ({x:.1f}, {y:.1f}) lies outside the image of "
                f"{image_size[0]}x{image_size[1]} px"
            )
    if len(points) > room:
        raise ValueError(
            f"{len(points)} points are too many: there is room for {room} more tracks; raise max_tracks"
        )
    if labels is None or isinstance(labels, str):
        return points, [labels or ""] * len(points)
    if len(labels) == 1:
        return points, [labels[0]] * len(points)
    if len(labels) != len(points):
        raise ValueError(
            f"{len(labels)} labels for {len(points)} points; give none, one for all or one per point"
        )
    return points, list(labels)
