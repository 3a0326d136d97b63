"""A stream as it really comes: tracks begin and end by themselves, and images go wrong.

Nodes and the replay of recordings share this, so that a bag gives what the robot saw.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.tracking.base import PointTracker, is_rgb
from cotracker_ros.tracking.config import SessionConfig
from cotracker_ros.tracking.queries import box_points, corner_points, grid_points, mask_points
from cotracker_ros.tracking.types import Tracks

# A region counts as empty when no visible track is nearer than this share of the image's longer side.
EMPTY_DISTANCE = 1 / 32
_GONE = 30  # images without being seen, after which a track that nobody asked for may make room for another


@dataclass(frozen=True)
class SessionCounters:
    """What has happened since the session began.

    Attributes:
        images: Images taken in.
        answered: Images answered for the first time.
        rejected: Images of an impossible shape or type, dropped.
        stale: Images whose stamp stood still or lay a little behind, dropped.
        restarts: New epochs, for whatever reason.
        retired: Tracks removed by themselves.
    """

    images: int = 0
    answered: int = 0
    rejected: int = 0
    stale: int = 0
    restarts: int = 0
    retired: int = 0


class TrackingSession:
    """One camera's stream through one tracker. All methods may be called from any thread.

    Attributes:
        config: Settings; may be replaced at any time.
        counters: What has happened so far.
        last_event: The last thing out of the ordinary, in one sentence; empty at first.
    """

    def __init__(self, tracker: PointTracker, config: SessionConfig | None = None) -> None:
        self.config = config or SessionConfig()
        self.counters = SessionCounters()
        self.last_event = ""
        self._tracker = tracker
        self._lock = threading.RLock()
        self._stamp: int | None = None
        self._planted = np.zeros(0, np.uint32)  # tracks that nobody asked for

    @property
    def tracker(self) -> PointTracker:
        """The tracker; it is not safe to use while `process` runs in another thread."""
        return self._tracker

    @property
    def latest(self) -> Tracks | None:
        """The newest first answer of this epoch, or None before there is one."""
        return self._tracker.latest

    def process(self, image: NDArray[np.uint8], stamp: int) -> list[Tracks]:
        """Take the next image, whatever it is like, and say what is new.

        Args:
            image: (H, W, 3) uint8, RGB. Another size than before starts a new epoch, in which all tracks go
                on from where they were.
            stamp: Its time, ns. A jump back starts a new epoch without the old tracks.

        Returns:
            See `PointTracker.track`; empty for an image that is dropped.
        """
        with self._lock:
            if not is_rgb(image):
                self._count("rejected", f"dropped an image of {image.dtype} {image.shape}; RGB is needed")
                return []
            if not self._accept_stamp(stamp):
                return []
            size = (image.shape[1], image.shape[0])
            if self._tracker.image_size not in (None, size):
                self._resize(size)
            if self._tracker.frames == 0:
                self._seed(image)
            answers = self._tracker.track(image, stamp)
            self._stamp = stamp
            self.counters = replace(
                self.counters,
                images=self.counters.images + 1,
                answered=self.counters.answered + sum(not answer.revised for answer in answers),
            )
            self._retire()
            self._replenish(image)
            return answers

    def finish(self) -> list[Tracks]:
        """Answer the images that still wait; the stream ends here until `reset`."""
        with self._lock:
            answers = self._tracker.finish()
            first = sum(not answer.revised for answer in answers)
            self.counters = replace(self.counters, answered=self.counters.answered + first)
            return answers

    def reset(self) -> None:
        """Forget all tracks and begin a new epoch with the next image."""
        with self._lock:
            self._restart("the stream was reset")

    def add_points(self, xy: ArrayLike, labels: str | Sequence[str] | None = None) -> NDArray[np.uint32]:
        """Follow points of the newest image; see `PointTracker.add_points`.

        Raises:
            ValueError: See `PointTracker.add_points`; or there are no points.
        """
        with self._lock:
            if np.size(xy) == 0:
                raise ValueError("no points were given; give at least one position x, y")
            return self._tracker.add_points(xy, labels)

    def add_box(
        self, box: tuple[float, float, float, float], *, spacing: float = 0.0, count: int = 0, label: str = ""
    ) -> NDArray[np.uint32]:
        """Follow a grid of points in a box (left, top, width, height) px of the newest image.

        Raises:
            ValueError: No image has been seen, or see `box_points` and `PointTracker.add_points`.
        """
        with self._lock:
            return self._tracker.add_points(
                box_points(box, self._size_seen(), spacing=spacing, count=count), label
            )

    def add_mask(
        self, mask: NDArray[np.bool_], *, spacing: float = 0.0, count: int = 0, label: str = ""
    ) -> NDArray[np.uint32]:
        """Follow a grid of points where a mask (H, W) of the newest image holds.

        Raises:
            ValueError: No image has been seen, the mask has another size, or see `mask_points` and
                `PointTracker.add_points`.
        """
        with self._lock:
            size = self._size_seen()
            if mask.shape != (size[1], size[0]):
                raise ValueError(
                    f"the mask is {mask.shape[1]}x{mask.shape[0]} px and the image {size[0]}x{size[1]} px; "
                    "give a mask of the image's size"
                )
            return self._tracker.add_points(mask_points(mask, spacing=spacing, count=count), label)

    def remove(self, ids: ArrayLike = (), labels: Sequence[str] = (), *, everything: bool = False) -> int:
        """Stop following tracks, by id, by label or all of them. Returns how many were removed.

        Raises:
            ValueError: An id or a label is unknown; what was known has been removed.
        """
        with self._lock:
            table = self._tracker.table
            known, names = self._tracker.ids, set(table.labels[table.ids > 0])
            if everything:
                return self._tracker.remove(known)
            wanted = np.asarray(ids, np.int64).ravel()
            labelled = table.ids[np.isin(table.labels.astype(str), list(labels))] if labels else known[:0]
            removed = self._tracker.remove(np.concatenate([wanted, labelled]))
            unknown = [str(i) for i in wanted if i not in known] + [
                f"'{name}'" for name in labels if name not in names
            ]
            if unknown:
                raise ValueError(f"removed {removed} tracks; there is no track {', '.join(unknown[:5])}")
            return removed

    def _size_seen(self) -> tuple[int, int]:
        if self._tracker.image_size is None:
            raise ValueError("no image has been seen yet; wait for the first one")
        return self._tracker.image_size

    def _count(self, name: str, event: str) -> None:
        self.counters = replace(self.counters, **{name: getattr(self.counters, name) + 1})
        self.last_event = event

    def _accept_stamp(self, stamp: int) -> bool:
        if self._stamp is None or stamp > self._stamp:
            return True
        behind = (self._stamp - stamp) / 1e9
        if behind > self.config.jump_back:
            self._restart(f"stamps jumped back by {behind:.3f} s")
            return True
        self._count("stale", f"dropped an image whose stamp is {behind:.3f} s behind or equal to the newest")
        return False

    def _restart(self, reason: str) -> None:
        self._tracker.reset()
        self._stamp = None
        self._count("restarts", f"began a new epoch because {reason}")

    def _resize(self, size: tuple[int, int]) -> None:
        """Begin a new epoch in which the tracks go on at the same place of the resized image."""
        tracker, old = self._tracker, self._size_seen()
        xy = tracker.table.query_xy.copy()
        ids, labels = tracker.table.ids.copy(), tracker.table.labels.copy()
        if tracker.latest is not None:
            place = {identity: row for row, identity in enumerate(tracker.latest.ids.tolist())}
            for row, identity in enumerate(ids.tolist()):
                if identity in place:
                    xy[row] = tracker.latest.xy[place[identity]]
        self._restart(f"the image size changed from {old[0]}x{old[1]} to {size[0]}x{size[1]} px")
        scale = (np.array(size) - 1) / (np.array(old) - 1).clip(1)
        xy = (xy * scale).clip(0, np.array(size) - 1)
        rows = ids > 0
        tracker.add_points(xy[rows], labels[rows].tolist(), ids=ids[rows])

    def _seed(self, image: NDArray[np.uint8]) -> None:
        """Plant the first queries of an epoch, unless tracks of the epoch before go on."""
        if self.config.seed == "none" or len(self._tracker.ids):
            return
        size = (image.shape[1], image.shape[0])
        count = min(self.config.seed_count, self._tracker.config.max_tracks)
        grid = self.config.seed == "grid"
        points = grid_points(size, count=count) if grid else corner_points(image, count)
        self._planted = self._tracker.add_points(points[: self._tracker.config.max_tracks])

    def _retire(self) -> None:
        if not self.config.retire_after:
            return
        table = self._tracker.table
        old = (np.maximum(table.unseen, table.outside) >= self.config.retire_after) & (table.ids > 0)
        if old.any():
            self._remove_retired(table.ids[old])

    def _remove_retired(self, ids: NDArray[np.uint32]) -> None:
        removed = self._tracker.remove(ids)
        self.counters = replace(self.counters, retired=self.counters.retired + removed)

    def _gone(self) -> NDArray[np.uint32]:
        """Return the planted tracks that have not been seen for long, longest first."""
        table = self._tracker.table
        self._planted = self._planted[np.isin(self._planted, table.ids)]
        rows = np.flatnonzero(np.isin(table.ids, self._planted) & (table.unseen >= _GONE))
        return table.ids[rows[np.argsort(-table.unseen[rows], kind="stable")]]

    def _replenish(self, image: NDArray[np.uint8]) -> None:
        """Plant corners where no visible track is near, up to the budget.

        When that is spent, tracks that nobody asked for and that are long out of sight make room: otherwise a
        camera that moves on would soon follow nothing that it sees.
        """
        tracker, latest = self._tracker, self._tracker.latest
        if not self.config.budget or latest is None or tracker.frames % self.config.replenish_every:
            return
        gone = self._gone()
        missing = min(self.config.budget, tracker.config.max_tracks) - len(tracker.ids)
        if missing + len(gone) <= 0:
            return
        distance = max(4, round(max(image.shape[:2]) * EMPTY_DISTANCE))
        empty = np.ones(image.shape[:2], np.uint8)
        # Tracks asked for since the newest answer are not in it yet: their query is where they are.
        young = tracker.table.query_xy[(tracker.table.ids > 0) & ~tracker.table.announced]
        for x, y in np.concatenate([latest.xy[latest.visible], young]).round().astype(int).tolist():
            cv2.circle(empty, (x, y), distance, 0, -1)
        points = corner_points(image, missing + len(gone), min_distance=distance, mask=empty.astype(bool))
        if len(points) > missing:
            self._remove_retired(gone[: len(points) - missing])
        if len(points):
            self._planted = np.concatenate([self._planted, tracker.add_points(points)])
