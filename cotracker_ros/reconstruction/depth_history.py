"""The depth images of the last seconds, found again by stamp."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class DepthImage:
    """A depth image in the history.

    Attributes:
        stamp: ns.
        frame_id: Name of its optical frame.
        depth: (H, W) float32, m, NaN or zero where invalid; None when nothing in it was valid, which still
            tells that nothing better is to be waited for.
    """

    stamp: int
    frame_id: str
    depth: NDArray[np.float32] | None


@dataclass
class DepthHistory:
    """Depth images in the order of their stamps, bounded in time and number.

    Attributes:
        seconds: How far back from the newest image, s.
        limit: How many images at most.
    """

    seconds: float
    limit: int
    images: list[DepthImage] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def newest(self) -> int | None:
        """Stamp of the newest image, ns, or None when there is none."""
        return self.images[-1].stamp if self.images else None

    def add(self, image: DepthImage) -> None:
        """Take an image, whatever its place in time; one of the same stamp replaces the old one."""
        at = bisect_left(self.images, image.stamp, key=_stamp)
        if at < len(self.images) and self.images[at].stamp == image.stamp:
            self.images[at] = image
            return
        self.images.insert(at, image)
        oldest = self.images[-1].stamp - int(self.seconds * 1e9)
        drop = max(bisect_left(self.images, oldest, key=_stamp), len(self.images) - self.limit)
        del self.images[:drop]

    def find(self, stamp: int, tolerance: int) -> DepthImage | None:
        """Return the image nearest to `stamp` ns that is no more than `tolerance` ns away from it."""
        at = bisect_left(self.images, stamp, key=_stamp)
        around = self.images[max(at - 1, 0) : at + 1]
        nearest = min(around, key=lambda image: abs(image.stamp - stamp), default=None)
        if nearest is None or abs(nearest.stamp - stamp) > tolerance:
            return None
        return nearest

    def clear(self) -> None:
        """Forget all images."""
        self.images.clear()


def _stamp(image: DepthImage) -> int:
    return image.stamp
