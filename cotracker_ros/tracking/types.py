"""What a tracker says about one image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray


class TrackFlag(IntFlag):
    """State of one track in one image (the bits of ``TrackArray.flags``)."""

    VISIBLE = 1  # not occluded, by the tracker's decision rule
    IN_FRAME = 2  # the position lies inside the image
    NEW = 4  # first answer that holds this track
    LOST = 8  # not visible for so long that the position is only a guess


@dataclass(frozen=True, eq=False)
class Tracks:
    """All tracks of one image, as parallel arrays.

    Positions are pixels of the original image; pixel (0, 0) is the centre of the first pixel, x to the
    right, y down (the convention of ROS and OpenCV).

    Attributes:
        frame: Number of the image in this epoch, from 0.
        stamp: Stamp of the image, ns.
        newest: Stamp of the newest image that the answer used, ns.
        epoch: Rises each time the stream starts again.
        image_size: Width and height of the image, px.
        revised: True for a better answer to an image that was already answered.
        ids: (N,) uint32, never used again within a stream.
        xy: (N, 2) float32, px.
        visibility: (N,) float32, probability that the point is not occluded.
        confidence: (N,) float32, probability that the position error is small.
        flags: (N,) uint8, bits of `TrackFlag`.
        age: (N,) uint32, images since the query.
        rgb: (N, 3) uint8, colour of the point in its query image.
        labels: N labels, "" where none was given.
    """

    frame: int
    stamp: int
    newest: int
    epoch: int
    image_size: tuple[int, int]
    revised: bool
    ids: NDArray[np.uint32]
    xy: NDArray[np.float32]
    visibility: NDArray[np.float32]
    confidence: NDArray[np.float32]
    flags: NDArray[np.uint8]
    age: NDArray[np.uint32]
    rgb: NDArray[np.uint8]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(N,) bool: the VISIBLE bit of `flags`."""
        return (self.flags & TrackFlag.VISIBLE) != 0
