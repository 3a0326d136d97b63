"""The numbers of one recorded run: how accurate, how fast, how many images were left out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.recorded import Followed, RecordedRun
from cotracker_ros.evaluation.tapvid import tapvid_metrics
from cotracker_ros.evaluation.tracking3d import Tracking3DMetrics, tracking3d_metrics
from cotracker_ros.synthetic.truth import Truth


@dataclass(frozen=True, eq=False)
class TrueTracks:
    """Exact tracks of the points of a rendered recording that can be seen in its first image.

    Those are the points that can be asked for there.

    Attributes:
        stamps: (T,) ns.
        xy: (T, N, 2) px; NaN behind the camera.
        visible: (T, N) bool.
        xyz: (T, N, 3) m, in the world frame.
        moving: (N,) bool, whether the point is on a thing that moves.
        camera: (T, 3) positions of the camera in the world frame, m.
    """

    stamps: NDArray[np.int64]
    xy: NDArray[np.float64]
    visible: NDArray[np.bool_]
    xyz: NDArray[np.float64]
    moving: NDArray[np.bool_]
    camera: NDArray[np.float64]

    @classmethod
    def load(cls, path: Path) -> TrueTracks:
        """Read the truth that was written beside a sample recording."""
        truth = Truth.load(path)
        seen = truth.visible[0]
        return cls(
            stamps=truth.stamps,
            xy=truth.xy[:, seen],
            visible=truth.visible[:, seen],
            xyz=truth.xyz[:, seen],
            moving=truth.body[seen] != 0,
            camera=truth.camera_poses[:, :3, 3],
        )


@dataclass(frozen=True)
class LatencySummary:
    """Latencies from the publication of an image to the arrival of its answer, ms; NaN without answers."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, latencies: NDArray[np.floating]) -> LatencySummary:
        """Summarise (K,) latencies, ms."""
        if not len(latencies):
            return cls(float("nan"), float("nan"), float("nan"))
        return cls(*(float(value) for value in np.percentile(latencies, [50, 95, 99])))


@dataclass(frozen=True)
class RunSummary:
    """What the report and the terminal show.

    Attributes:
        images: Images that the recording holds.
        answered: Images that the tracker answered.
        dropped: Images without an answer.
        seconds: Length of the recording, s.
        points: Tracks that were followed.
        latency: Of the 2D tracks.
        latency_3d: Of the 3D tracks; None without depth.
        tapvid: TAP-Vid metrics, shares from 0 to 1; None without truth.
        accuracy_3d: None without truth or without depth.
        accuracy_moving: The same for the points on moving things only.
    """

    images: int
    answered: int
    dropped: int
    seconds: float
    points: int
    latency: LatencySummary
    latency_3d: LatencySummary | None
    tapvid: dict[str, float] | None = None
    accuracy_3d: Tracking3DMetrics | None = None
    accuracy_moving: Tracking3DMetrics | None = None

    def write(self, path: Path) -> None:
        """Write the numbers as JSON; what could not be measured is null."""
        path.write_text(json.dumps(_without_nan(asdict(self)), indent=2) + "\n")


def summarise(
    run: RecordedRun,
    followed: Followed,
    stamps: NDArray[np.int64],
    image_size: tuple[int, int],
    truth: TrueTracks | None = None,
) -> RunSummary:
    """Compute the numbers of a run.

    Args:
        run: The recorded answers.
        followed: The same, laid out over `stamps`; with a truth, its tracks are the truth's points.
        stamps: (T,) stamps of all images of the recording, ascending, ns.
        image_size: Width and height, px.
        truth: True tracks of the points asked for in the first image, over the same stamps.
    """
    answered = sum(stamp in run.tracks for stamp in stamps.tolist())
    tapvid = accuracy_3d = accuracy_moving = None
    if truth is not None:
        queries = np.zeros(truth.xy.shape[1])
        tapvid = tapvid_metrics(
            queries, truth.xy, truth.visible, followed.xy, followed.visible, image_size=image_size
        )
        if run.tracks_3d:
            accuracy_3d = _accuracy_3d(followed, truth, np.ones_like(truth.moving))
            accuracy_moving = _accuracy_3d(followed, truth, truth.moving)
    return RunSummary(
        images=len(stamps),
        answered=answered,
        dropped=len(stamps) - answered,
        seconds=float(stamps[-1] - stamps[0]) / 1e9 if len(stamps) else 0.0,
        points=len(followed.ids),
        latency=LatencySummary.of(np.array(list(run.latency.values()))),
        latency_3d=LatencySummary.of(np.array(list(run.latency_3d.values()))) if run.tracks_3d else None,
        tapvid=tapvid,
        accuracy_3d=accuracy_3d,
        accuracy_moving=accuracy_moving,
    )


def _accuracy_3d(followed: Followed, truth: TrueTracks, chosen: NDArray[np.bool_]) -> Tracking3DMetrics:
    # The first image holds the queries themselves: their position in it is given, not tracked.
    return tracking3d_metrics(
        truth.xyz[1:, chosen],
        truth.visible[1:, chosen],
        followed.xyz[1:, chosen],
        followed.source[1:, chosen],
    )


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
