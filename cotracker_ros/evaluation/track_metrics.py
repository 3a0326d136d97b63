"""What a robot asks of tracks beside the TAP-Vid metrics: do they survive, come back, and keep up?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.tapvid import THRESHOLDS, Comparison, accuracy, share

SPEEDS = ((0.0, 0.5), (0.5, 1.5), (1.5, 3.0), (3.0, np.inf))
"""Classes of mean speed of the true track, px a frame at 256x256: at least the first, below the second."""

LOST_DISTANCE = 50.0
"""A track that was further off than this while its point was visible has not survived, px at 256x256."""

LAST_DISTANCE = 4.0
"""How close counts in the clip's last frame, px at 256x256."""


def track_metrics(comparison: Comparison) -> dict[str, float]:
    """Score the tracks of one clip beyond `tapvid_metrics`.

    "Returned" are the entries from the frame on in which a point is visible again after it was hidden in at
    least one frame since its query (or outside the image, which is hidden as well). In strided mode time
    runs both ways from the query. Entries whose truth is unknown are left out everywhere: a point does not
    return from a frame in which nobody knows whether it was hidden.

    Returns:
        Shares from 0 to 1, NaN where nothing can be counted:

        - ``return_average_jaccard``: AJ over the returned entries, hidden ones included (AJ_RD, the idea of
          TAPNext++). A tracker that never finds a point again has 0.
        - ``return_pts_within_thresh``: delta_avg over the visible ones among them.
        - ``survival``: over all entries, whether the track has never yet been off by more than 50 px at a
          visible point (Dynamic Replica's measure).
        - ``visible_found``, ``hidden_found``: how many of the visible and of the hidden entries the tracker
          calls so.
        - ``hidden_pts_within_thresh``, ``all_pts_within_thresh``: delta_avg over the hidden entries and
          over all; they mean something only where the truth knows where hidden points are.
        - ``last_within_4``: of the points visible in the last frame, those within 4 px.
        - ``speed_<from>``: delta_avg over the tracks of one class of `SPEEDS`, 1.5 for 1.5 to 3 px a frame.
        - ``true_visible``, ``true_returning``, ``true_speed_<from>``: of the truth: share of entries that are
          visible, of tracks that return, and of visible entries that belong to tracks of a class of speed.
    """
    truth, said, counted = comparison.true_visible, comparison.visible, comparison.counted
    seen, hidden = counted & truth, counted & ~truth
    after_return = returned(comparison)
    back = accuracy(comparison, after_return)
    metrics = {
        "return_average_jaccard": back["average_jaccard"],
        "return_pts_within_thresh": back["average_pts_within_thresh"],
        "survival": share(~lost(comparison) & counted, counted),
        "visible_found": share(seen & said, seen),
        "hidden_found": share(hidden & ~said, hidden),
        "hidden_pts_within_thresh": _within(comparison, hidden),
        "all_pts_within_thresh": _within(comparison, counted),
        "last_within_4": share((comparison.squared < LAST_DISTANCE**2)[-1:] & seen[-1:], seen[-1:]),
        "true_visible": share(seen, counted),
        "true_returning": share(after_return.any(0), counted.any(0)),
    }
    speed = mean_speeds(comparison)
    for low, high in SPEEDS:
        entries = seen & (speed >= low) & (speed < high)
        metrics[f"speed_{low:g}"] = _within(comparison, entries)
        metrics[f"true_speed_{low:g}"] = share(entries, seen)
    return metrics


def returned(comparison: Comparison) -> NDArray[np.bool_]:
    """(T, N) bool: counted entries from a point's first return on (see `track_metrics`)."""
    hidden = comparison.counted & ~comparison.true_visible
    again = comparison.counted & comparison.true_visible & _since_query(hidden, comparison)
    return comparison.counted & _since_query(again, comparison)


def lost(comparison: Comparison) -> NDArray[np.bool_]:
    """(T, N) bool: entries by which the track has been off by more than `LOST_DISTANCE` while visible."""
    off = ~(comparison.squared <= LOST_DISTANCE**2)  # no position at all (NaN) is off as well
    return _since_query(off & comparison.true_visible & comparison.counted, comparison)


def mean_speeds(comparison: Comparison) -> NDArray[np.float64]:
    """(N,) mean speed of each true track, px a frame at 256x256, over steps with both ends visible and known.

    NaN for a track without such a step. Steps begin with the query.
    """
    time = np.arange(len(comparison.squared))[:, None]
    usable = (comparison.counted | (time == comparison.query_frames)) & comparison.true_visible
    steps = usable[1:] & usable[:-1]
    length = np.linalg.norm(np.diff(comparison.true_xy, axis=0), axis=-1)
    count = steps.sum(0)
    total = np.where(steps, length, 0).sum(0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def errors_by_age(comparison: Comparison) -> list[float]:
    """Median error of the visible points, px at 256x256, at each distance in time from the query, 1 to T - 1.

    NaN where no point is visible; a point without a position is infinitely far off.
    """
    age = np.abs(np.arange(len(comparison.squared))[:, None] - comparison.query_frames)
    seen = comparison.counted & comparison.true_visible
    error = np.nan_to_num(np.sqrt(comparison.squared), nan=np.inf)
    groups = (error[seen & (age == a)] for a in range(1, len(age)))
    return [float(np.median(group)) if len(group) else float("nan") for group in groups]


def _within(comparison: Comparison, entries: NDArray[np.bool_]) -> float:
    """delta_avg over some entries, visible or not."""
    return float(np.mean([share((comparison.squared < t**2) & entries, entries) for t in THRESHOLDS]))


def _since_query(event: NDArray[np.bool_], comparison: Comparison) -> NDArray[np.bool_]:
    """(T, N) bool: whether an event has happened between the query and each frame, that frame included."""
    time = np.arange(len(event))[:, None]
    after, before = time > comparison.query_frames, time < comparison.query_frames
    forward = np.logical_or.accumulate(event & after, axis=0)
    backward = np.logical_or.accumulate((event & before)[::-1], axis=0)[::-1]
    return (forward & after) | (backward & before)
