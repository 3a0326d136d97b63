"""The TAP-Vid metrics: how far off, and how often wrong about visibility, 2D tracks are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLDS = (1, 2, 4, 8, 16)
"""Distances that count as "close enough", px at 256x256."""

METRIC_SIZE = (256, 256)
"""Width and height of the image in which the distances are measured, px."""

QueryMode = Literal["first", "strided"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Tracks beside the truth, in an image of `METRIC_SIZE`: what every metric is counted from.

    Attributes:
        query_frames: (N,) frame from which each point is followed.
        true_xy: (T, N, 2) true positions, px at 256x256.
        squared: (T, N) squared distance to the truth, px at 256x256; NaN where there is no position.
        true_visible: (T, N) bool, whether the point can be seen.
        visible: (T, N) bool, whether the tracker says so.
        counted: (T, N) bool, entries that count: known, and in a frame that the query mode counts.
    """

    query_frames: NDArray[np.int64]
    true_xy: NDArray[np.float64]
    squared: NDArray[np.float64]
    true_visible: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    counted: NDArray[np.bool_]


def compare(
    query_frames: ArrayLike,
    true_xy: ArrayLike,
    true_visible: ArrayLike,
    xy: ArrayLike,
    visible: ArrayLike,
    *,
    known: ArrayLike | None = None,
    mode: QueryMode = "first",
    image_size: tuple[int, int] = METRIC_SIZE,
) -> Comparison:
    """Put tracks beside the truth; see `tapvid_metrics` for arguments and errors."""
    queries = np.asarray(query_frames).astype(np.int64)
    true_xy, xy = np.asarray(true_xy, np.float64), np.asarray(xy, np.float64)
    true_visible, visible = np.asarray(true_visible, bool), np.asarray(visible, bool)
    known = np.ones_like(true_visible) if known is None else np.asarray(known, bool)
    _check_shapes(queries, true_xy, true_visible, xy, visible, known)
    counted = evaluated_frames(queries, len(true_xy), mode) & known

    scale = (np.array(METRIC_SIZE) - 1) / (np.array(image_size) - 1)
    # A tracker that gives no position (NaN) is not close: NaN compares false with every threshold.
    squared = np.sum(((xy - true_xy) * scale) ** 2, axis=-1)
    return Comparison(queries, true_xy * scale, squared, true_visible, visible, counted)


def tapvid_metrics(
    query_frames: ArrayLike,
    true_xy: ArrayLike,
    true_visible: ArrayLike,
    xy: ArrayLike,
    visible: ArrayLike,
    *,
    known: ArrayLike | None = None,
    mode: QueryMode = "first",
    image_size: tuple[int, int] = METRIC_SIZE,
) -> dict[str, float]:
    """Score the tracks of one video as the TAP-Vid benchmark does.

    A benchmark's number is the mean of these over its videos (`mean_metrics`).

    Args:
        query_frames: (N,) frame in which each point was asked for.
        true_xy: (T, N, 2) true positions, px.
        true_visible: (T, N) bool, whether the point can be seen.
        xy: (T, N, 2) positions to judge, px.
        visible: (T, N) bool, visibility to judge.
        known: (T, N) bool, where the truth is known; all other entries are left out everywhere. The
            benchmark knows everything, which is what None means.
        mode: Which frames count: "first" those after the query, "strided" all but the query's own.
        image_size: Width and height of the image that the positions belong to, px. Positions are scaled
            by 255 / (size - 1) on each axis, as the benchmark scales its own; where 256 / size is found
            instead, distances come out 0.2 % larger for an image of 640x480.

    Returns:
        Shares from 0 to 1, NaN where nothing can be counted: ``average_jaccard`` (AJ),
        ``average_pts_within_thresh`` (delta_avg), ``occlusion_accuracy`` (OA), and for each threshold
        ``jaccard_<threshold>`` and ``pts_within_<threshold>``.

    Raises:
        ValueError: The shapes do not belong together, the mode is unknown, or a query frame lies outside
            the video.
    """
    comparison = compare(
        query_frames, true_xy, true_visible, xy, visible, known=known, mode=mode, image_size=image_size
    )
    return accuracy(comparison, comparison.counted)


def accuracy(comparison: Comparison, counted: NDArray[np.bool_]) -> dict[str, float]:
    """The metrics of `tapvid_metrics` over some entries (T, N) bool of a comparison."""
    visible, true_visible = comparison.visible, comparison.true_visible
    positives = true_visible & counted
    metrics = {"occlusion_accuracy": share((visible == true_visible) & counted, counted)}
    for threshold in THRESHOLDS:
        close = comparison.squared < threshold**2
        false_alarms = visible & ~(true_visible & close) & counted
        metrics[f"pts_within_{threshold}"] = share(close & positives, positives)
        # A false alarm at a visible point is off: it counts once as missed and once as wrong.
        union = positives.astype(int) + false_alarms
        metrics[f"jaccard_{threshold}"] = share(close & visible & positives, union)
    metrics["average_jaccard"] = float(np.mean([metrics[f"jaccard_{t}"] for t in THRESHOLDS]))
    metrics["average_pts_within_thresh"] = float(np.mean([metrics[f"pts_within_{t}"] for t in THRESHOLDS]))
    return metrics


def mean_metrics(videos: list[dict[str, float]]) -> dict[str, float]:
    """Average each metric over videos, leaving out those where it could not be counted (NaN)."""
    if not videos:
        raise ValueError("there is no video to average over; give the metrics of at least one")
    means = {}
    for name in videos[0]:
        values = np.array([video[name] for video in videos])
        values = values[~np.isnan(values)]
        means[name] = float(values.mean()) if len(values) else float("nan")
    return means


def evaluated_frames(query_frames: NDArray[np.int64], frames: int, mode: QueryMode) -> NDArray[np.bool_]:
    """(T, N) bool: the frames that count for each query.

    Raises:
        ValueError: The mode is neither "first" nor "strided".
    """
    time = np.arange(frames)[:, None]
    if mode == "first":
        return time > query_frames
    if mode == "strided":
        return time != query_frames
    raise ValueError(f"query mode is {mode!r}; choose 'first' or 'strided'")


def share(part: ArrayLike, whole: ArrayLike) -> float:
    """Sum of ``part`` over sum of ``whole``; NaN if that is 0."""
    total = np.sum(whole)
    return float(np.sum(part) / total) if total else float("nan")


def _check_shapes(
    queries: NDArray[np.int64],
    true_xy: NDArray[np.float64],
    true_visible: NDArray[np.bool_],
    xy: NDArray[np.float64],
    visible: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> None:
    frames, points = true_visible.shape if true_visible.ndim == 2 else (-1, -1)
    expected = {
        "query_frames": (queries, (points,)),
        "true_xy": (true_xy, (frames, points, 2)),
        "true_visible": (true_visible, (frames, points)),
        "xy": (xy, (frames, points, 2)),
        "visible": (visible, (frames, points)),
        "known": (known, (frames, points)),
    }
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise ValueError(f"{name} has the shape {array.shape}, expected {shape} to match true_visible")
    if np.any((queries < 0) | (queries >= frames)):
        raise ValueError(
            f"query frames {queries.min()} to {queries.max()} do not fit a video of {frames} frames"
        )
