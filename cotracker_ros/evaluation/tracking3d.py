"""How far off 3D tracks are, in centimetres, told apart by where their depth came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.types import DepthSource


@dataclass(frozen=True)
class ErrorSummary:
    """Distances to the truth of a set of positions.

    Attributes:
        count: How many positions were judged.
        median_cm: Median distance, cm; NaN when there is no position.
        p95_cm: Distance that 95 % of the positions stay below, cm; NaN when there is no position.
    """

    count: int
    median_cm: float
    p95_cm: float


@dataclass(frozen=True)
class Tracking3DMetrics:
    """The 3D accuracy of one run.

    Attributes:
        all: Every position that the tracks give.
        measured: Positions whose depth was measured in the image's own depth image.
        held: Positions held through an occlusion or a hole in the depth.
        coverage: Share of the truly visible points that have a position, 0 to 1; NaN when none is visible.
    """

    all: ErrorSummary
    measured: ErrorSummary
    held: ErrorSummary
    coverage: float


def tracking3d_metrics(
    true_xyz: ArrayLike, true_visible: ArrayLike, xyz: ArrayLike, source: ArrayLike
) -> Tracking3DMetrics:
    """Compare 3D tracks with the truth. Both must be in the same frame.

    Args:
        true_xyz: (T, N, 3) true positions, m.
        true_visible: (T, N) bool, whether the camera can see the point.
        xyz: (T, N, 3) positions to judge, m; NaN where there is none.
        source: (T, N) values of `DepthSource`.

    Raises:
        ValueError: The shapes do not belong together.
    """
    true_xyz, xyz = np.asarray(true_xyz, np.float64), np.asarray(xyz, np.float64)
    true_visible, source = np.asarray(true_visible, bool), np.asarray(source)
    if not (true_xyz.shape == xyz.shape == (*source.shape, 3) and true_visible.shape == source.shape):
        raise ValueError(
            f"positions {xyz.shape}, true positions {true_xyz.shape}, visibility {true_visible.shape} and "
            f"sources {source.shape} do not belong together; give (T, N, 3), (T, N, 3), (T, N) and (T, N)"
        )
    distance = np.linalg.norm(xyz - true_xyz, axis=-1)
    given = np.isfinite(distance) & (source != DepthSource.NONE)
    visible = int(np.sum(true_visible))
    return Tracking3DMetrics(
        all=summarise_distances(distance[given]),
        measured=summarise_distances(distance[given & (source == DepthSource.MEASURED)]),
        held=summarise_distances(distance[given & (source == DepthSource.HELD)]),
        coverage=float(np.sum(given & true_visible) / visible) if visible else float("nan"),
    )


def summarise_distances(distances: NDArray[np.float64]) -> ErrorSummary:
    """Summarise distances given in metres."""
    if not len(distances):
        return ErrorSummary(0, float("nan"), float("nan"))
    median, p95 = np.percentile(distances, [50, 95]) * 100
    return ErrorSummary(len(distances), float(median), float(p95))
