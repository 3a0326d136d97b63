"""Which points of a labelled clip trackers are asked to follow, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.tapvid import QueryMode
from cotracker_ros.tracking.labelled import LabelledClip

QUERY_MODES = ("first", "strided", "start")

ClipQueryMode = Literal["first", "strided", "start"]

STRIDE = 5
"""Frames between two in which the strided mode asks."""

LOCAL_SIDE, LOCAL_SIZE, GLOBAL_SIDE = 8, 50.0, 5
"""Support points: 8x8 in a square of 50 px around a query, and 5x5 over the image, which is 512x384 then."""

_SUPPORT_INPUT = (512, 384)


@dataclass(frozen=True, eq=False)
class ClipQueries:
    """Q queries of a clip.

    Attributes:
        points: (Q, 3) float64 as (t, x, y): frame, and position in px of the clip's images.
        track: (Q,) int64, the clip's track that each belongs to.
        counted_from: (Q,) int64, frame that the metrics take for the query's.
        mode: Which frames the metrics count.
    """

    points: NDArray[np.float64]
    track: NDArray[np.int64]
    counted_from: NDArray[np.int64]
    mode: QueryMode

    def __len__(self) -> int:
        return len(self.track)


def clip_queries(clip: LabelledClip, mode: ClipQueryMode) -> ClipQueries:
    """Return the queries of a clip.

    Args:
        clip: The clip; tracks that are never known and visible are not asked for.
        mode: "first": each track at its first visible frame, and later frames count. "strided": each track
            at every fifth frame in which it is visible, and all other frames count, also earlier ones
            (both are TAP-Vid's). "start": each track in frame 0, visible or not, and the frames after its
            first visible one count (Dynamic Replica's).

    Raises:
        ValueError: The mode is unknown.
    """
    seen = clip.visible & clip.known
    tracks = np.flatnonzero(seen.any(0))
    first = seen.argmax(0)[tracks]
    if mode == "strided":
        step, track = np.nonzero(seen[::STRIDE])
        frame = counted = step * STRIDE
    elif mode == "first":
        track, frame, counted = tracks, first, first
    elif mode == "start":
        track, frame, counted = tracks, np.zeros_like(first), first
    else:
        raise ValueError(f"query mode is {mode!r}; choose one of {', '.join(QUERY_MODES)}")
    points = np.concatenate([frame[:, None], clip.xy[frame, track]], axis=1).astype(np.float64)
    return ClipQueries(points, track, counted, "strided" if mode == "strided" else "first")


def global_support(size: tuple[int, int]) -> NDArray[np.float64]:
    """The 5x5 support points, in frame 0, that the published evaluation gives to offline networks.

    Args:
        size: Width and height of the images, px.

    Returns:
        (25, 3) as (t, x, y), px.
    """
    from cotracker_ros.model import grid  # torch comes with it

    return _in_frame_0(grid(GLOBAL_SIDE, _SUPPORT_INPUT[::-1]).double().numpy() * _per_input(size))


def local_support(query: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The 8x8 support points around a query that is tracked alone, as in the papers' single-point protocol.

    They are put into frame 0, even where the query is in a later one. Near the border some lie outside the
    image.

    Args:
        query: (3,) as (t, x, y), px.
        size: Width and height of the images, px.

    Returns:
        (64, 3) as (t, x, y), px.
    """
    from cotracker_ros.model import grid

    x, y = (query[1:] / _per_input(size)).tolist()
    return _in_frame_0(grid(LOCAL_SIDE, (LOCAL_SIZE, LOCAL_SIZE), (y, x)).double().numpy() * _per_input(size))


def _per_input(size: tuple[int, int]) -> NDArray[np.float64]:
    """(2,) px of the image per px of the size in which support points are defined."""
    return (np.array(size) - 1) / (np.array(_SUPPORT_INPUT) - 1)


def _in_frame_0(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros((len(xy), 1)), xy], axis=1)
