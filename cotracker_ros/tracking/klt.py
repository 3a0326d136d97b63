"""Pyramidal Lucas-Kanade with forward-backward check: the tracker for computers too small for a network."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.tracking.base import PointTracker
from cotracker_ros.tracking.config import KltConfig, TrackerConfig
from cotracker_ros.tracking.lucas_kanade import follow
from cotracker_ros.tracking.table import Estimate, TrackTable
from cotracker_ros.tracking.types import Tracks


class KltTracker(PointTracker):
    """Tracks points from image to image by `lucas_kanade.follow`.

    A point is lost when tracking it forward and back does not come home; it then stays where it was seen last
    and is not looked for again, because what Lucas-Kanade would find there is the thing that hides it.
    Every image is answered at once. Visibility is 1 or 0; confidence falls with the error of the check.
    """

    def __init__(self, config: TrackerConfig | None = None, klt: KltConfig | None = None) -> None:
        super().__init__(config or TrackerConfig())
        self.klt = klt or KltConfig()
        self._table = TrackTable()
        self._begin()

    def _begin(self) -> None:
        self._forget()
        self._frames = 0
        self._image_size: tuple[int, int] | None = None
        self._grey: NDArray[np.uint8] | None = None
        self._finished = False
        self._xy = np.zeros((0, 2), np.float32)
        self._alive = np.zeros(0, bool)
        self._error = np.zeros(0, np.float32)

    @property
    def table(self) -> TrackTable:
        """The list of tracks."""
        return self._table

    @property
    def frames(self) -> int:
        """Images received in this epoch."""
        return self._frames

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of this epoch's images, px; None before the first."""
        return self._image_size

    def track(self, image: NDArray[np.uint8], stamp: int = 0) -> list[Tracks]:
        """See `PointTracker.track`."""
        if self._finished:
            raise ValueError("the stream is finished; reset it first")
        self._check_image(image)
        self._image_size = (image.shape[1], image.shape[0])
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        if self._grey is not None:
            self._step(self._grey, grey)
        self._grey = grey
        self._note_image(image)
        confidence = np.exp(-self._error / self.klt.max_error / 2)
        estimate = Estimate(
            self._frames, stamp, stamp, False, self._xy, self._alive.astype(np.float32), confidence
        )
        self._frames += 1
        return self._answer([estimate])

    def finish(self) -> list[Tracks]:
        """See `PointTracker.finish`; nothing ever waits here."""
        self._finished = True
        return []

    def reset(self) -> None:
        """See `PointTracker.reset`."""
        self._table.clear()
        self._begin()

    def fork(self) -> KltTracker:
        """See `PointTracker.fork`."""
        return KltTracker(self.config, self.klt)

    def _append(
        self,
        xy: NDArray[np.float64],
        labels: Sequence[str],
        frame: int,
        ids: NDArray[np.uint32] | None,
    ) -> NDArray[np.uint32]:
        count = len(xy)
        self._xy = np.concatenate([self._xy, xy.astype(np.float32)])
        self._alive = np.concatenate([self._alive, np.ones(count, bool)])
        self._error = np.concatenate([self._error, np.zeros(count, np.float32)])
        return self._table.append(xy, labels, frame, ids)

    def _keep(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        self._table.keep(rows)
        self._xy, self._alive, self._error = self._xy[rows], self._alive[rows], self._error[rows]
        return rows

    def _step(self, before: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
        """Move all tracks that are alive from the last image to the next."""
        rows = np.flatnonzero(self._alive & (self._table.query_frame < self._frames))
        if not len(rows):
            return
        followed = follow(before, now, self._xy[rows], self.klt)
        self._xy[rows[followed.home]] = followed.xy[followed.home]
        self._error[rows] = np.where(followed.home, followed.error, np.inf)
        self._alive[rows] = followed.home
