"""The pose that landmarks tell: least squares that pass over outliers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.matrix_stacks import (
    diagonals,
    inverse_symmetric,
    propagated,
    stacked,
)
from cotracker_ros.reconstruction.rigid import (
    covariance_of,
    moved,
    robust_inflation,
    solve_normal,
)
from cotracker_ros.reconstruction.sighting import Projection, Sighting, project, seen_from

_STEPS = 8  # Gauss-Newton steps at most; from the predicted pose, four or five do
_WIDE_STEPS = 2  # the first ones, with weights that pull in what a wrong start makes look like outliers
_WIDE = 3.0  # sigmas: scale of Cauchy's weights in those steps
_PLAIN = 10.0  # a landmark with a tenth of the trust of the best counts in full once the outliers are known
_STILL = 5e-5  # m, rad: a step that changes nothing


@dataclass(frozen=True, eq=False)
class LandmarkErrors:
    """How M landmarks are seen otherwise than from a pose they should be.

    Attributes:
        squared: (M,) squared errors, sigmas; infinite behind the camera.
        residual: (3, M) measured less expected (u, v, w).
        spread: (3, 3, M) covariance of `residual` ...
        noise: (3, 3, M) ... and the part of it that is not from the landmarks' places.
    """

    squared: NDArray[np.float64]
    residual: NDArray[np.float64]
    spread: NDArray[np.float64]
    noise: NDArray[np.float64]

    def joined(self, other: LandmarkErrors) -> LandmarkErrors:
        """Return the errors of these landmarks and of others."""
        names = [item.name for item in fields(self)]
        pairs = ((getattr(self, name), getattr(other, name)) for name in names)
        return LandmarkErrors(*(np.concatenate(pair, axis=-1) for pair in pairs))


@dataclass(frozen=True, eq=False)
class PoseFit:
    """The pose that M landmarks tell.

    Attributes:
        pose: (4, 4) fixed_from_camera.
        covariance: (6, 6) of its `delta` given the landmarks; infinite where they do not fix it.
        filtered: (6, 6) covariance by a filter that takes the landmarks' errors for new in each image.
        errors: Of the landmarks.
        seen: Where they should be seen.
        weighted: (6, 3, M) derivatives by the pose, times the inverse covariances of the errors.
        information: (3, 3, M) these inverse covariances.
        by_focal: (6,) derivative of the pose's `delta` by the logarithm of the focal length, see
            `calibration_check`.
    """

    pose: NDArray[np.float64]
    covariance: NDArray[np.float64]
    filtered: NDArray[np.float64]
    errors: LandmarkErrors
    seen: Projection
    weighted: NDArray[np.float64]
    information: NDArray[np.float64]
    by_focal: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))


@dataclass(frozen=True, eq=False)
class Vote:
    """What landmarks say of the pose of an image.

    Attributes:
        rows: (M,) of the landmarks.
        fit: The pose they tell.
        agrees: (M,) bool, those that agree with it.
    """

    rows: NDArray[np.intp]
    fit: PoseFit
    agrees: NDArray[np.bool_]

    @property
    def agreeing(self) -> NDArray[np.intp]:
        """Rows of the landmarks that agree."""
        return self.rows[self.agrees]


def fit_pose(
    start: NDArray[np.float64],
    sighting: Sighting,
    position: NDArray[np.float64],
    covariance: NDArray[np.float64],
    trust: NDArray[np.float64],
    cutoff: float,
    wide: bool,
) -> PoseFit:
    """Find the camera's pose from M landmarks by Gauss-Newton with Tukey's weights, which pass over outliers.

    Args:
        start: (4, 4) fixed_from_camera to begin with.
        sighting: Of the landmarks.
        position: (M, 3) of the landmarks in the fixed frame, m.
        covariance: (M, 3, 3) of the positions, m^2.
        trust: (M,) how much each counts, 0 to 1.
        cutoff: Errors of so many sigmas have no weight in the end.
        wide: Take the first steps with Cauchy's weights, which look far: for a start that may be far off.
    """
    pose = start
    seen = project(pose, position)
    noise = diagonals(sighting.variance)
    spread = propagated(seen.by_point, stacked(covariance)) + noise
    information = inverse_symmetric(spread)
    measured = np.ascontiguousarray(sighting.uvw.T)
    plain = np.minimum(_PLAIN * trust, 1.0)
    weighted = np.einsum("abm,kbm->kam", information, seen.by_pose)
    residual, squared = _errors(pose, position, measured, information)
    first_tight = _WIDE_STEPS if wide else 0
    for step in range(_STEPS):
        if step < first_tight:
            weight = trust / (1 + squared / _WIDE**2)
        else:
            weight = plain * np.maximum(1 - squared / cutoff**2, 0.0) ** 2
        if step == _WIDE_STEPS:  # from here on the pose hardly changes, nor do the derivatives
            seen = project(pose, position)
            weighted = np.einsum("abm,kbm->kam", information, seen.by_pose)
        normal = (weighted * weight).reshape(6, -1) @ seen.by_pose.reshape(6, -1).T
        change = solve_normal(normal, weighted.reshape(6, -1) @ (residual * weight).reshape(-1))
        pose = moved(pose, change)
        residual, squared = _errors(pose, position, measured, information)
        if step >= first_tight and np.abs(change).max() < _STILL:
            break
    agrees = squared < cutoff**2
    normal = (weighted * np.where(agrees, plain, 0.0)).reshape(6, -1) @ seen.by_pose.reshape(6, -1).T
    inflation = robust_inflation(squared[agrees], cutoff, dimensions=3)
    errors = LandmarkErrors(squared, residual, spread, noise)
    spread_of_pose = covariance_of(normal) * inflation
    return PoseFit(pose, spread_of_pose, spread_of_pose, errors, seen, weighted, information)


def at_pose(
    fit: PoseFit,
    pose: NDArray[np.float64],
    filtered: NDArray[np.float64],
    sighting: Sighting,
    position: NDArray[np.float64],
) -> PoseFit:
    """Return a fit with another pose (4, 4), near its own, filtered to `filtered` (6, 6); see `PoseFit`."""
    residual, squared = _errors(pose, position, sighting.uvw.T, fit.information)
    errors = replace(fit.errors, squared=squared, residual=residual)
    return replace(fit, pose=pose, filtered=filtered, errors=errors)


def errors_from(
    pose: NDArray[np.float64],
    pose_covariance: NDArray[np.float64],
    sighting: Sighting,
    position: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> LandmarkErrors:
    """Return the errors of M landmarks against a pose that they had no say in, whose own error counts, too.

    Args:
        pose: (4, 4) fixed_from_camera.
        pose_covariance: (6, 6) of it.
        sighting: Of the landmarks.
        position: (M, 3) m.
        covariance: (M, 3, 3) of the positions, m^2.
    """
    seen = project(pose, position)
    by_pose = seen.by_pose
    carried = (pose_covariance @ by_pose.reshape(6, -1)).reshape(by_pose.shape)
    noise = np.einsum("kam,kbm->abm", by_pose, carried) + diagonals(sighting.variance)
    spread = propagated(seen.by_point, stacked(covariance)) + noise
    residual, squared = _errors(pose, position, sighting.uvw.T, inverse_symmetric(spread))
    return LandmarkErrors(squared, residual, spread, noise)


def _errors(
    pose: NDArray[np.float64],
    position: NDArray[np.float64],
    measured: NDArray[np.float64],
    information: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (3, M) measured less expected (u, v, w) and (M,) its square in sigmas, infinite behind it.

    Args:
        pose: (4, 4) fixed_from_camera.
        position: (M, 3) of the landmarks, m.
        measured: (3, M).
        information: (3, 3, M).
    """
    expected, ahead = seen_from(pose, position)
    residual = np.where(ahead, measured - expected, 0.0)
    squared = np.einsum("am,abm,bm->m", residual, information, residual)
    return residual, np.where(ahead, squared, np.inf)
