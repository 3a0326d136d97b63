"""Whole clips: frames and queries in, dense arrays out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.model import CoTracker3, grid
from cotracker_ros.tracking.base import PointTracker
from cotracker_ros.tracking.config import TrackerConfig, refinement_passes, visible_from
from cotracker_ros.tracking.klt import KltTracker
from cotracker_ros.tracking.network import load_model, network_tracker
from cotracker_ros.tracking.network_tracker import NetworkTracker
from cotracker_ros.tracking.scaling import image_per_input, input_frame, input_size
from cotracker_ros.tracking.stream import StreamTracker


@dataclass(frozen=True, eq=False)
class TrackResult:
    """Tracks of a clip of T frames.

    Attributes:
        xy: (T, N, 2) positions, px; pixel (0, 0) is the centre of the first pixel.
        visibility: (T, N) probability that the point is not occluded.
        confidence: (T, N) probability that the position error is small.
        visible: (T, N) bool, the decision. Online trackers see nothing before a query's frame: there it is
            False, and the other numbers mean little.
    """

    xy: NDArray[np.floating]
    visibility: NDArray[np.floating]
    confidence: NDArray[np.floating]
    visible: NDArray[np.bool_]


def track_video(
    frames: NDArray[np.uint8],
    queries: ArrayLike,
    *,
    tracker: str | PointTracker | CoTracker3,
    config: TrackerConfig | None = None,
) -> TrackResult:
    """Track queries through a whole clip.

    Args:
        frames: (T, H, W, 3) uint8, RGB.
        queries: (N, 3) as (t, x, y): frame, and position in px.
        tracker: ``"klt"``, ``"default"``, the name or path of a checkpoint, a tracker (its settings are used,
            its state is left alone) or a network. Offline networks track both ways in time; all others only
            forward from each query.
        config: Settings, where ``tracker`` is no tracker that has its own.

    Returns:
        The tracks, in the order of the queries.

    Raises:
        ValueError: A shape is wrong, or a query lies outside the clip.
    """
    points = _check(frames, queries)
    config = config or TrackerConfig(max_tracks=max(1, len(points)))
    if isinstance(tracker, PointTracker):
        return _forward(frames, points, tracker.fork())
    if tracker == "klt":
        return _forward(frames, points, KltTracker(config))
    model = load_model(tracker) if isinstance(tracker, str) else tracker
    if model.config.offline:
        return _offline(frames, points, model, config)
    return _forward(frames, points, network_tracker(model, config))


def _forward(frames: NDArray[np.uint8], points: NDArray[np.float64], tracker: PointTracker) -> TrackResult:
    shape = (len(frames), len(points))
    dtype = (
        np.float64
        if isinstance(tracker, NetworkTracker) and tracker.model.dtype is torch.float64
        else np.float32
    )
    xy = np.broadcast_to(points[:, 1:], (*shape, 2)).astype(dtype)
    visibility, confidence = np.zeros(shape, dtype), np.zeros(shape, dtype)
    visible = np.zeros(shape, bool)
    # Queries in order of time, or the published protocol could not have those of later frames in its batch.
    column: dict[int, int] = {}
    for frame in np.unique(points[:, 0].astype(int)):
        chosen = np.flatnonzero(points[:, 0].astype(int) == frame)
        column |= dict(
            zip(tracker.add_points(points[chosen, 1:], frame=int(frame)).tolist(), chosen, strict=True)
        )
    for index in range(len(frames) + 1):
        answers = tracker.track(frames[index]) if index < len(frames) else tracker.finish()
        for answer in answers:
            columns = [column[identity] for identity in answer.ids.tolist()]
            xy[answer.frame, columns] = answer.xy
            visibility[answer.frame, columns] = answer.visibility
            confidence[answer.frame, columns] = answer.confidence
            visible[answer.frame, columns] = answer.visible
        if answers and isinstance(tracker, StreamTracker):
            # The same numbers before rounding, and those of frames before the query.
            start, *numbers = tracker.window_estimates()
            columns = [column[identity] for identity in tracker.ids.tolist()]
            for whole, part in zip((xy, visibility, confidence), numbers, strict=True):
                whole[start : start + part.shape[1], columns] = part.swapaxes(0, 1)
    return TrackResult(xy, visibility, confidence, visible)


@torch.no_grad()
def _offline(
    frames: NDArray[np.uint8], points: NDArray[np.float64], model: CoTracker3, config: TrackerConfig
) -> TrackResult:
    image_size = (frames.shape[2], frames.shape[1])
    size = input_size(image_size, config, model.config)
    scale = image_per_input(image_size, size, model).cpu()
    video = torch.cat([input_frame(frame, size, model) for frame in frames])
    queries = torch.from_numpy(points).to(model.position_dtype)
    queries[:, 1:] /= scale
    if config.support_grid:
        support = grid(config.support_grid, size).to(queries.dtype)
        queries = torch.cat([queries, F.pad(support, (1, 0))])
    passes = refinement_passes(config, every_image=False)
    prediction = model(video[None], queries[None].to(model.device), passes)
    xy, visibility, confidence = (part[0, :, : len(points)].cpu() for part in prediction)
    seen = visibility * confidence > visible_from(config, causal=False)
    xy = xy * scale
    inside = ((xy >= 0) & (xy <= torch.tensor(image_size) - 1)).all(-1)
    return TrackResult(xy.numpy(), visibility.numpy(), confidence.numpy(), (seen & inside).numpy())


def _check(frames: NDArray[np.uint8], queries: ArrayLike) -> NDArray[np.float64]:
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"the frames are {frames.dtype} {frames.shape}; give (T, H, W, 3) uint8 RGB")
    points = np.asarray(queries, np.float64)
    if points.size == 0:
        points = points.reshape(0, 3)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"the queries have the shape {points.shape}; give (N, 3) as t, x, y")
    bad = ~np.isfinite(points).all(1) | (points[:, 0] < 0) | (points[:, 0] >= len(frames))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"query {row} is {tuple(points[row].tolist())}; the clip has frames 0 to {len(frames) - 1}"
        )
    return points
