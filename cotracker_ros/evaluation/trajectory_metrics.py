"""How far an estimated path of the camera is from the true one.

The measures of Sturm et al. (2012), "A benchmark for the evaluation of RGB-D SLAM systems", and the drift at
the end, which is what a robot that comes back to its dock notices. The end is one moment; the drift over
every stretch of the path is less a matter of chance, and an error in the true poses spoils only some of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.evaluation.scene_metrics import median_p95

STRETCH_SECONDS = 2.0
"""Length of the stretches of `TrajectoryErrors.stretch_drift`, s."""

_FEWEST_ALIGNED = 3  # positions; two leave a rotation free
_LATE = 0.1  # of a stretch; if its last image is later, images are missing


@dataclass(frozen=True)
class TrajectoryErrors:
    """Errors of a path; lengths in metres, angles in degrees, NaN where there is nothing to judge.

    Attributes:
        poses: How many poses were judged.
        missing: How many were not given.
        path: Length of the true path over the poses that were judged.
        rmse: Absolute trajectory error with the first poses laid on each other: root mean square of the
            distance between positions.
        rmse_aligned: The same after the rigid motion that fits the positions best.
        drift: Distance between the last positions, the first poses laid on each other.
        drift_percent: `drift` in percent of `path`.
        rotation: Root mean square of the angle between orientations, the first poses laid on each other.
        final_rotation: Angle between the last orientations, likewise.
        relative: Relative pose error: root mean square of the error of the translation between a pose and
            the one `step` later.
        relative_rotation: The same of the rotation.
        stretch_drift: Median and 95th percentile of the drift over all stretches of `STRETCH_SECONDS`: the
            distance between the positions at their ends, the poses at their beginnings laid on each other.
    """

    poses: int
    missing: int
    path: float
    rmse: float
    rmse_aligned: float
    drift: float
    drift_percent: float
    rotation: float
    final_rotation: float
    relative: float
    relative_rotation: float
    stretch_drift: tuple[float, float]


def trajectory_errors(
    true_poses: ArrayLike, poses: ArrayLike, stamps: ArrayLike | None = None, *, step: int = 1
) -> TrajectoryErrors:
    """Compare an estimated path with the true one.

    Args:
        true_poses: (T, 4, 4) true poses of the camera in a fixed frame, m.
        poses: (T, 4, 4) estimated poses of the same moments, in any fixed frame, m; NaN where there is none.
        stamps: (T,) of these moments, ascending, ns; without them nothing is said of stretches.
        step: Number of images between the two poses of a relative pose error.

    Raises:
        ValueError: The shapes do not belong together, a true pose is not finite, or the step is below 1.
    """
    true, given = np.asarray(true_poses, np.float64), np.asarray(poses, np.float64)
    if true.shape != given.shape or true.shape[1:] != (4, 4):
        raise ValueError(
            f"the true poses have the shape {true.shape}, the estimated ones {given.shape}: "
            "give (T, 4, 4) twice"
        )
    if step < 1 or not np.isfinite(true).all():
        raise ValueError(f"step is {step}: give 1 or more, and finite true poses")
    known: NDArray[np.bool_] = np.asarray(np.isfinite(given).all(axis=(1, 2)))
    relative, relative_rotation = _relative(true, given, known, step)
    over_stretches = np.zeros(0)
    if stamps is not None:
        over_stretches = _over_stretches(true, given, known, np.asarray(stamps, np.int64))
    kept_true, kept = true[known], given[known]
    if not len(kept):
        nan = float("nan")
        return TrajectoryErrors(0, len(true), nan, nan, nan, nan, nan, nan, nan, nan, nan, (nan, nan))
    start = kept_true[0] @ np.linalg.inv(kept[0])
    error = np.linalg.inv(kept_true) @ (start @ kept)  # where the estimated camera is, seen from the true one
    distance, angle = np.linalg.norm(error[:, :3, 3], axis=1), _angles(error)
    path = float(np.linalg.norm(np.diff(kept_true[:, :3, 3], axis=0), axis=1).sum())
    drift = float(distance[-1])
    return TrajectoryErrors(
        poses=len(kept),
        missing=len(true) - len(kept),
        path=path,
        rmse=_rms(distance),
        rmse_aligned=_aligned_rmse(kept_true[:, :3, 3], kept[:, :3, 3]),
        drift=drift,
        drift_percent=100 * drift / path if path > 0 else float("nan"),
        rotation=_rms(angle),
        final_rotation=float(angle[-1]),
        relative=relative,
        relative_rotation=relative_rotation,
        stretch_drift=median_p95(over_stretches),
    )


def rigid_alignment(target: ArrayLike, source: ArrayLike) -> NDArray[np.float64]:
    """Return the (4, 4) rigid motion that brings `source` closest to `target` in the least-squares sense.

    Method: Umeyama (1991) without scale.

    Args:
        target: (N, 3) positions.
        source: (N, 3) positions of the same things.
    """
    to, of = np.asarray(target, np.float64), np.asarray(source, np.float64)
    to_middle, of_middle = to.mean(axis=0), of.mean(axis=0)
    u, _, vt = np.linalg.svd((to - to_middle).T @ (of - of_middle))
    mirror = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    motion = np.eye(4)
    motion[:3, :3] = u @ mirror @ vt
    motion[:3, 3] = to_middle - motion[:3, :3] @ of_middle
    return motion


def _aligned_rmse(true: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    if len(true) < _FEWEST_ALIGNED:
        return float("nan")
    motion = rigid_alignment(true, given)
    return _rms(np.linalg.norm(given @ motion[:3, :3].T + motion[:3, 3] - true, axis=1))


def _relative(
    true: NDArray[np.float64], given: NDArray[np.float64], known: NDArray[np.bool_], step: int
) -> tuple[float, float]:
    pairs = np.flatnonzero(known[:-step] & known[step:])
    if not len(pairs):
        return float("nan"), float("nan")
    error = _motion_errors(true, given, pairs, pairs + step)
    return _rms(np.linalg.norm(error[:, :3, 3], axis=1)), _rms(_angles(error))


def _over_stretches(
    true: NDArray[np.float64],
    given: NDArray[np.float64],
    known: NDArray[np.bool_],
    stamps: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the drift over each stretch of the path whose two ends are known, m."""
    seconds = (stamps - stamps[0]) * 1e-9
    # Half an image of slack: the times of images are rounded.
    slack = np.median(np.diff(seconds)) / 2 if len(seconds) > 1 else 0.0
    first = np.arange(len(seconds))
    last = np.searchsorted(seconds, seconds + STRETCH_SECONDS - slack)
    inside = last < len(seconds)
    first, last = first[inside], last[inside]
    whole = seconds[last] - seconds[first] < (1 + _LATE) * STRETCH_SECONDS
    whole &= known[first] & known[last]
    error = _motion_errors(true, given, first[whole], last[whole])
    return np.asarray(np.linalg.norm(error[:, :3, 3], axis=1))


def _motion_errors(
    true: NDArray[np.float64],
    given: NDArray[np.float64],
    first: NDArray[np.intp],
    last: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Return (P, 4, 4), how the given motions from the poses `first` (P,) to `last` differ from the true."""
    true_motion = np.linalg.inv(true[first]) @ true[last]
    motion = np.linalg.inv(given[first]) @ given[last]
    return np.asarray(np.linalg.inv(true_motion) @ motion)


def _angles(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) angles of the rotations of (N, 4, 4) poses, degrees.

    The arc cosine of the trace would turn the rounding of poses from files into tenths of a degree.
    """
    r = poses[:, :3, :3]
    axis = np.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], axis=1)
    trace = np.trace(r, axis1=1, axis2=2)
    return np.asarray(np.degrees(np.arctan2(np.linalg.norm(axis, axis=1), trace - 1)))


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))
