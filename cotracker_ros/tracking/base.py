"""The interface that every tracker has, and the part of the work that is the same for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.tracking.config import TrackerConfig, visible_from
from cotracker_ros.tracking.table import Estimate, TrackTable, check_queries
from cotracker_ros.tracking.types import Tracks


def is_rgb(image: NDArray) -> bool:
    """Whether an array is an image (H, W, 3) uint8 with at least one pixel."""
    return image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size > 0


class PointTracker(ABC):
    """Follows points through a stream of images, one image at a time.

    Attributes:
        config: Settings; `visible_threshold`, `lost_after` and `max_tracks` may be replaced in mid-stream.
    """

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self._forget()

    def _forget(self) -> None:
        """Begin an epoch."""
        self._latest: Tracks | None = None
        self._image: NDArray[np.uint8] | None = None

    @abstractmethod
    def track(self, image: NDArray[np.uint8], stamp: int = 0) -> list[Tracks]:
        """Take the next image and say what is new.

        Args:
            image: (H, W, 3) uint8, RGB. All images of an epoch have the same size.
            stamp: Time of the image, ns.

        Returns:
            Answers, possibly none: first one for every image that is answered better than before
            (``revised``), then one for every image that is answered for the first time, each in the order
            of their images.

        Raises:
            ValueError: The image has another shape, type or size than promised, or the stream is finished.
        """

    @abstractmethod
    def finish(self) -> list[Tracks]:
        """Answer the images that still wait for company; the stream ends here until `reset`."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all images and tracks and begin a new epoch. Ids go on rising."""

    @abstractmethod
    def fork(self) -> PointTracker:
        """Return a tracker with the same settings (and network) and a state of its own."""

    @property
    @abstractmethod
    def table(self) -> TrackTable:
        """The list of tracks."""

    @property
    @abstractmethod
    def frames(self) -> int:
        """Images received in this epoch."""

    @property
    @abstractmethod
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of this epoch's images, px; None before the first."""

    @abstractmethod
    def _append(
        self,
        xy: NDArray[np.float64],
        labels: Sequence[str],
        frame: int,
        ids: NDArray[np.uint32] | None,
    ) -> NDArray[np.uint32]:
        """Add rows for queries that have been checked."""

    @abstractmethod
    def _keep(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Drop all rows where ``rows`` is False, and those that depend on them; return what was kept."""

    @property
    def latest(self) -> Tracks | None:
        """The newest first answer of this epoch, or None before there is one."""
        return self._latest

    @property
    def ids(self) -> NDArray[np.uint32]:
        """(N,) ids of all tracks."""
        return self.table.ids[self.table.ids > 0]

    def add_points(
        self,
        xy: ArrayLike,
        labels: str | Sequence[str] | None = None,
        *,
        frame: int | None = None,
        ids: NDArray[np.uint32] | None = None,
    ) -> NDArray[np.uint32]:
        """Follow points from now on, without disturbing what is tracked already.

        Args:
            xy: (N, 2) positions in the image, px.
            labels: None, one label for all points, or one per point.
            frame: Image that the positions belong to, counted from the start of the epoch; by default the
                newest one (the first one, if none has been seen yet). A later one is waited for.
            ids: Ids to go on under, which an earlier epoch drew; by default new ones.

        Returns:
            (N,) uint32 ids.

        Raises:
            ValueError: A position is not finite or outside the image, the labels do not match, the frame is
                not remembered any more, or there would be more tracks than `max_tracks`. Nothing is added
                then.
        """
        room = self.config.max_tracks - len(self.ids)
        points, names = check_queries(xy, labels, self.image_size, room)
        newest = max(self.frames - 1, 0)
        frame = newest if frame is None else frame
        if frame < self._oldest_frame():
            raise ValueError(
                f"image {frame} is not remembered any more; give {self._oldest_frame()} or later"
            )
        ids = self._append(points, names, frame, ids)
        if self._image is not None:
            self.table.sample_colours(self._image, newest)
        return ids

    def _note_image(self, image: NDArray[np.uint8]) -> None:
        """Keep the image that comes next, for the colours of its queries."""
        self._image = image
        self.table.sample_colours(image, self.frames)

    def remove(self, ids: ArrayLike) -> int:
        """Stop following tracks; unknown ids are passed over. Returns how many were removed."""
        wanted = np.asarray(ids, np.int64).ravel()
        gone = np.isin(self.table.ids, wanted[wanted > 0])
        if gone.any():
            self._keep(~gone)
        return int(gone.sum())

    def _oldest_frame(self) -> int:
        """The oldest image that a query may belong to."""
        return max(self.frames - 1, 0)

    def _check_image(self, image: NDArray[np.uint8]) -> None:
        if not is_rgb(image):
            raise ValueError(f"the image is {image.dtype} {image.shape}; give (H, W, 3) uint8 RGB")
        size = (image.shape[1], image.shape[0])
        if self.image_size not in (None, size):
            raise ValueError(
                f"the image is {size[0]}x{size[1]} px in a stream of {self.image_size}; reset first"
            )

    def _answer(self, estimates: list[Estimate]) -> list[Tracks]:
        size = self.image_size
        assert size is not None  # an estimate is made from images
        answers = [
            self.table.answer(
                estimate,
                image_size=size,
                visible_threshold=self._visible_from(),
                lost_after=self.config.lost_after,
            )
            for estimate in estimates
        ]
        self._latest = next((answer for answer in reversed(answers) if not answer.revised), self._latest)
        return answers

    def _visible_from(self) -> float:
        """Visibility times confidence above which a point counts as visible."""
        return visible_from(self.config, causal=False)

    def configure(self, **changes: float) -> None:
        """Replace settings that may change in mid-stream: visible_threshold, lost_after, max_tracks.

        Raises:
            ValueError: A setting is unknown, may not change, or has a wrong value.
        """
        fixed = set(changes) - {"visible_threshold", "lost_after", "max_tracks"}
        if fixed:
            raise ValueError(f"{', '.join(sorted(fixed))} cannot change in mid-stream; make a new tracker")
        self.config = replace(self.config, **changes)  # type: ignore[arg-type]
