"""Running a tracker over a clip: what it says at first, what it says in the end, how long it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.tracking.base import PointTracker
from cotracker_ros.tracking.types import Tracks


@dataclass(frozen=True, eq=False)
class Answers:
    """What a tracker says about Q points in T images.

    Attributes:
        xy: (T, Q, 2) float32, px of the images; NaN where the tracker says nothing.
        visible: (T, Q) bool.
    """

    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]

    @classmethod
    def none(cls, frames: int, points: int) -> Answers:
        """Nothing said yet."""
        return cls(np.full((frames, points, 2), np.nan, np.float32), np.zeros((frames, points), bool))

    def columns(self, keep: slice) -> Answers:
        """Some of the points."""
        return Answers(self.xy[:, keep], self.visible[:, keep])

    def note(self, tracks: Tracks, column: dict[int, int]) -> None:
        """Write down one answer, given the column of each id."""
        columns = [column[identity] for identity in tracks.ids.tolist()]
        self.xy[tracks.frame, columns] = tracks.xy
        self.visible[tracks.frame, columns] = tracks.visible


@dataclass(frozen=True, eq=False)
class Followed:
    """One run of a tracker over a clip.

    Attributes:
        final: The last answer to every image, after all revisions.
        first: The first answer to every image, which is what a robot acts on; None from a tracker that
            answers only when it has seen the whole clip.
        seconds: Time spent in the tracker.
        images: Images that it was given.
        delays: For each image, how many later ones had to come before it was answered.
    """

    final: Answers
    first: Answers | None
    seconds: float
    images: int
    delays: list[int] = field(default_factory=list)


def follow(frames: NDArray[np.uint8], points: NDArray[np.float64], tracker: PointTracker) -> Followed:
    """Run a tracker over a clip, image by image, as a robot would.

    Args:
        frames: (T, H, W, 3) uint8, RGB.
        points: (Q, 3) queries as (t, x, y), px.
        tracker: Its settings are used, its state is left alone.
    """
    tracker = tracker.fork()
    tracker.configure(max_tracks=max(tracker.config.max_tracks, len(points)))
    first, final = Answers.none(len(frames), len(points)), Answers.none(len(frames), len(points))
    delays: list[int] = []
    begin = time.perf_counter()
    column: dict[int, int] = {}
    # Queries in order of time, or the published protocol could not have those of later frames in its batch.
    for frame in np.unique(points[:, 0].astype(int)).tolist():
        chosen = np.flatnonzero(points[:, 0].astype(int) == frame)
        ids = tracker.add_points(points[chosen, 1:], frame=frame)
        column |= dict(zip(ids.tolist(), chosen.tolist(), strict=True))
    for index in range(len(frames) + 1):
        for tracks in tracker.track(frames[index]) if index < len(frames) else tracker.finish():
            final.note(tracks, column)
            if not tracks.revised:
                first.note(tracks, column)
                delays.append(min(index, len(frames) - 1) - tracks.frame)
    return Followed(final, first, time.perf_counter() - begin, len(frames), delays)


def both_ways(forward: Followed, backward: Followed, query_frames: NDArray[np.int64]) -> Followed:
    """Put together a run and a run over the reversed clip: frames before each query come from the latter.

    Args:
        forward: The run in time's order.
        backward: The run against it, with the queries at T - 1 - t.
        query_frames: (Q,) frame of each query.
    """
    earlier = np.arange(len(forward.final.visible))[:, None] < query_frames

    def joined(ahead: Answers, back: Answers) -> Answers:
        return Answers(
            np.where(earlier[..., None], back.xy[::-1], ahead.xy),
            np.where(earlier, back.visible[::-1], ahead.visible),
        )

    return Followed(
        joined(forward.final, backward.final),
        joined(forward.first, backward.first) if forward.first and backward.first else None,
        forward.seconds + backward.seconds,
        forward.images + backward.images,
        forward.delays + backward.delays,
    )
