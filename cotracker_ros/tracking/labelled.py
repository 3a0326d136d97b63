"""A clip whose tracks are known: what training learns from and evaluation judges by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelledClip:
    """T images and the true (or taught) tracks of N points in them.

    Attributes:
        frames: (T, H, W, 3) uint8, RGB.
        xy: (T, N, 2) float32, px of these frames; pixel (0, 0) is the centre of the first pixel. Finite
            everywhere, also where a point is hidden or outside the image.
        visible: (T, N) bool, whether the point can be seen: not hidden, and inside the image.
        known: (T, N) bool, whether position and visibility are known; all other entries mean nothing.
        name: What to call the clip in a report.
        query_frames: (N,) int, the frame in which each point was chosen, where `xy` is exact and not an
            estimate; -1 where that frame is not among these. None where all frames are alike, as in clips
            whose tracks are true.
    """

    frames: NDArray[np.uint8]
    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]
    known: NDArray[np.bool_]
    name: str = ""
    query_frames: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(
                f"the frames are {self.frames.dtype} {self.frames.shape}; give (T, H, W, 3) uint8 RGB"
            )
        shape = (len(self.frames), self.xy.shape[1] if self.xy.ndim == 3 else -1)
        for name, array, expected in (
            ("xy", self.xy, (*shape, 2)),
            ("visible", self.visible, shape),
            ("known", self.known, shape),
        ):
            if array.shape != expected:
                raise ValueError(
                    f"{name} has the shape {array.shape}, expected {expected} to match the frames"
                )
        asked = self.query_frames
        if asked is None:
            return
        if asked.shape != shape[1:]:
            raise ValueError(
                f"query_frames has the shape {asked.shape}; give one frame for each of {shape[1]}"
            )
        if not ((asked >= -1) & (asked < shape[0])).all():
            raise ValueError(f"query_frames has frames outside the clip; give -1 to {shape[0] - 1}")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images, px."""
        return self.frames.shape[2], self.frames.shape[1]

    def in_frames(self, frames: slice | NDArray[np.integer]) -> LabelledClip:
        """Return the clip as some of its frames, in any order and as often as given."""
        asked = self.query_frames
        if asked is not None:
            there = np.arange(len(self))[frames][:, None] == asked
            asked = np.where(there.any(0), there.argmax(0), -1)
        parts = self.frames[frames], self.xy[frames], self.visible[frames], self.known[frames]
        return LabelledClip(*parts, self.name, asked)

    def of_tracks(self, tracks: NDArray[np.integer] | NDArray[np.bool_]) -> LabelledClip:
        """Return the clip with some of its tracks."""
        asked = self.query_frames
        return replace(
            self,
            xy=self.xy[:, tracks],
            visible=self.visible[:, tracks],
            known=self.known[:, tracks],
            query_frames=None if asked is None else asked[tracks],
        )
