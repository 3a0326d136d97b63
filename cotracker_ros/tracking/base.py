"""The interface that every tracker has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.tracking.types import Tracks


class PointTracker(ABC):
    """Follows points through a stream of images, one image at a time."""

    @abstractmethod
    def track(self, image: NDArray[np.uint8], stamp: int = 0) -> list[Tracks]:
        """Take the next image and say what is new.

        Args:
            image: (H, W, 3) uint8, RGB. All images of an epoch have the same size.
            stamp: Time of the image, ns.

        Returns:
            Answers in the order of their images, possibly none: one for every image that is answered
            for the first time or (``revised``) answered better than before.

        Raises:
            ValueError: The image has another shape, type or size than promised.
        """

    @abstractmethod
    def finish(self) -> list[Tracks]:
        """Answer the images that still wait for company; the stream ends here until `reset`."""

    @abstractmethod
    def add_points(
        self, xy: ArrayLike, labels: str | Sequence[str] | None = None, *, frame: int | None = None
    ) -> NDArray[np.uint32]:
        """Follow points from now on, without disturbing what is tracked already.

        Args:
            xy: (N, 2) positions in the image, px.
            labels: None, one label for all points, or one per point.
            frame: Image that the positions belong to; by default the newest one (the first one, if none
                has been seen yet).

        Returns:
            (N,) uint32 new ids.

        Raises:
            ValueError: A position is not finite or outside the image, the labels do not match, or there
                would be more tracks than `max_tracks`. Nothing is added then.
        """

    @abstractmethod
    def remove(self, ids: ArrayLike) -> int:
        """Stop following tracks; unknown ids are passed over. Returns how many were removed."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all images and tracks and begin a new epoch. Ids go on rising."""

    @property
    @abstractmethod
    def latest(self) -> Tracks | None:
        """The newest first answer, or None before there is one."""
