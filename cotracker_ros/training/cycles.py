"""Cycle consistency: does a teacher find back to the query from where it says it went?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.training.teachers import Teacher, TeacherTracks, ask

NO_CHECK = -1
"""Where a check has no frame to begin in."""


def cycle_errors(
    teacher: Teacher,
    frames: NDArray[np.uint8],
    queries: NDArray[np.float32],
    tracks: TeacherTracks,
    sees: NDArray[np.bool_],
    checks: int,
) -> NDArray[np.floating]:
    """Ask a teacher to track its own answers back, and compare.

    Args:
        teacher: The teacher.
        frames: (T, H, W, 3) uint8, RGB.
        queries: (N, 3) as t, x, y.
        tracks: What it said.
        sees: (T, N) bool, where it sees the points.
        checks: See `check_frames`.

    Returns:
        (T, N) px; infinite where no check came by.

    Raises:
        Exception: Whatever the teacher raises.
    """
    best = np.full(sees.shape, np.inf)
    for begin in check_frames(queries[:, 0].astype(int), sees, checks):
        rows = np.flatnonzero(begin != NO_CHECK)
        if not len(rows):
            continue
        again = np.concatenate([begin[rows, None], tracks.xy[begin[rows], rows]], 1).astype(np.float32)
        back = ask(teacher, frames, again)
        error = check_error(queries[rows], tracks.xy[:, rows], begin[rows], back)
        best[:, rows] = np.minimum(best[:, rows], error)
    return best


def check_frames(
    query_frames: NDArray[np.integer], sees: NDArray[np.bool_], checks: int
) -> Iterator[NDArray[np.integer]]:
    """Yield the frames from which tracks are followed back, (N,) per check.

    They divide the time from the query to the end of the clip evenly; one more check starts before the query.
    Where a point is not seen, it is followed back from the next frame towards the query in which it is.

    Args:
        query_frames: (N,) frames of the queries.
        sees: (T, N) bool, where the teacher sees the points.
        checks: Checks after the query.

    Yields:
        (N,) frames; `NO_CHECK` where there is none but the query's own.
    """
    last, frames = len(sees) - 1, np.arange(len(sees))[:, None]
    for check in range(1, checks + 1):
        wanted = query_frames + (last - query_frames) * check // checks
        found = np.where(sees & (frames <= wanted) & (frames > query_frames), frames, NO_CHECK).max(0)
        yield found
    before = np.where(sees & (frames < query_frames), frames, len(sees)).min(0)
    yield np.where(before == len(sees), NO_CHECK, before)


def check_error(
    queries: NDArray[np.float32],
    xy: NDArray[np.floating],
    begin: NDArray[np.integer],
    back: TeacherTracks,
) -> NDArray[np.floating]:
    """Return what one check says about the frames between its beginning and the query.

    Args:
        queries: (N, 3) as t, x, y.
        xy: (T, N, 2) the tracks that are checked, px.
        begin: (N,) frames in which following back began.
        back: What following back gave.

    Returns:
        (T, N) px: the larger one of how far the query is missed and of the distance between the ways there
        and back in that frame; infinite outside, and where a teacher that knows nothing of hidden points
        lost it.
    """
    time, columns = queries[:, 0].astype(int), np.arange(len(queries))
    frames = np.arange(len(xy))[:, None]
    apart = np.linalg.norm(back.xy - xy, axis=-1)
    home = np.linalg.norm(back.xy[time, columns] - queries[:, 1:], axis=-1)
    if not back.knows_hidden:
        apart = np.where(back.visibility, apart, np.inf)
        home = np.where(back.visibility[time, columns], home, np.inf)
    between = (frames >= np.minimum(time, begin)) & (frames <= np.maximum(time, begin))
    error = np.where(between, np.maximum(apart, home), np.inf)
    return np.where(np.isnan(error), np.inf, error)
