"""Finds the camera's pose among points of which some move, and says when it cannot be told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.landmarks import Landmarks
from cotracker_ros.reconstruction.observation import Observation
from cotracker_ros.reconstruction.pose_fit import PoseFit, at_pose, fit_pose
from cotracker_ros.reconstruction.rigid import consensus, difference, moved
from cotracker_ros.reconstruction.sighting import Sighting

_TINY = 1e-9  # of trust: nobody counts
_TIE = 0.9  # two motions whose points count so nearly the same cannot be told apart
_GATE = 3.0  # sigmas of a prediction that a pose near it keeps within
_CONSISTENT = 25.0  # squared distance of a pose from its prediction, sigmas: 3 in 10,000 are further off
_MANY = 32  # landmarks that are believed to tell a sudden motion
_NO_DEPTH = 100.0  # 1/m^2: variance of an inverse depth from which on it counts as not measured
_TRUSTED = 10  # hits from which on a landmark counts no more for more of them
_DOUBT = 0.5  # what a miss leaves of what a landmark counts ...
_STRUCK = 0.01  # ... and what having been given up leaves, until it is pardoned
_BELIEVED_MOVING = 0.1  # what a track counts that is believed to move


@dataclass(frozen=True, eq=False)
class Outlook:
    """Where the camera should be.

    Attributes:
        pose: (4, 4) fixed_from_camera.
        covariance: (6, 6) of it, against the landmarks.
        alike: How many times larger the variance of a pose by landmarks is than they say, as they may be
            wrong together.
        reach: (2,) how far it can have come since then at most, m and rad.
        last: (4, 4) the last pose that was measured.
    """

    pose: NDArray[np.float64]
    covariance: NDArray[np.float64]
    alike: float
    reach: NDArray[np.float64]
    last: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Candidates:
    """M landmarks that are seen now.

    Attributes:
        sighting: How they are seen.
        position: (M, 3) in the fixed frame, m.
        covariance: (M, 3, 3) of the position, m^2.
        trust: (M,) how much each counts.
    """

    sighting: Sighting
    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    trust: NDArray[np.float64]

    def take(self, rows: NDArray[np.bool_]) -> Candidates:
        """Return some of the landmarks."""
        return Candidates(
            self.sighting.take(rows), self.position[rows], self.covariance[rows], self.trust[rows]
        )


def candidates_among(
    landmarks: Landmarks, observed: Observation, rows: NDArray[np.intp], config: EgoMotionConfig
) -> Candidates:
    """Return the landmarks in `rows` (M,), each counting by its record."""
    trust = (1.0 + np.minimum(landmarks.hits[rows], _TRUSTED)) * _DOUBT ** landmarks.misses[rows]
    trust = trust * np.where(landmarks.strikes[rows] > 0, _STRUCK, 1.0)
    trust = trust * np.where(observed.points.moving[rows], _BELIEVED_MOVING, 1.0)
    sighting = observed.followed(rows, landmarks.first, config.image_drift)
    return Candidates(sighting, landmarks.position[rows], landmarks.covariance[rows], trust)


@dataclass(frozen=True, eq=False)
class Finding:
    """What the search came to.

    Attributes:
        fit: The best pose; None where there is none to speak of.
        agrees: (M,) bool, the landmarks that agree with it, or with the prediction where that is kept.
        reason: Why the pose is not to be used, one sentence; "" when it is.
    """

    fit: PoseFit | None
    agrees: NDArray[np.bool_]
    reason: str


def find_pose(
    seen: Candidates, outlook: Outlook, config: EgoMotionConfig, generator: np.random.Generator, lost: bool
) -> Finding:
    """Find the pose with which most landmarks agree, by what each counts, and doubt it.

    Args:
        seen: The landmarks.
        outlook: Where the camera should be.
        config: What is doubted.
        generator: Where chance comes from.
        lost: Whether the camera is lost: then it may be anywhere.
    """
    total = float(seen.trust.sum())
    fit = _fit(seen, outlook.pose, config)
    share = _share(fit, seen, config) / total
    near = not lost and not _deviates(fit, outlook)
    if share >= config.clear_share and near:
        return _judged(fit, seen, share, outlook, config, lost)
    other = _search(seen, config, generator)
    if other is not None and _share(other, seen, config) > share * total:
        fit, share = other, _share(other, seen, config) / total
    agrees = _agrees(fit, config)
    rest = ~agrees
    if rest.sum() >= config.min_points and not lost:
        doubt = _rival(seen, fit, rest, share * total, outlook, config, generator)
        if doubt is not None:
            return doubt
    return _judged(fit, seen, share, outlook, config, lost)


def _fit(seen: Candidates, start: NDArray[np.float64], config: EgoMotionConfig) -> PoseFit:
    """Fit a pose that stays with what fits at the start; if that is not clear, one that looks far, too.

    The first misses a sudden motion. The second may end between the camera's motion and that of something
    near, which a shift and a turn can nearly explain together.
    """
    trust = seen.trust / max(float(seen.trust.max(initial=0.0)), _TINY)

    def fit(wide: bool) -> PoseFit:
        return fit_pose(
            start, seen.sighting, seen.position, seen.covariance, trust, config.cutoff_sigmas, wide
        )

    narrow = fit(False)
    if _cost(narrow, trust, config) < (1 - config.clear_share) * trust.sum():
        return narrow
    return min(narrow, fit(True), key=lambda found: _cost(found, trust, config))


def _cost(fit: PoseFit, trust: NDArray[np.float64], config: EgoMotionConfig) -> float:
    """Return Tukey's cost of a fit, of which an outlier's share is 1."""
    inside = np.maximum(1 - fit.errors.squared / config.cutoff_sigmas**2, 0.0)
    return float((trust * (1 - inside**3)).sum())


def _agrees(fit: PoseFit, config: EgoMotionConfig) -> NDArray[np.bool_]:
    return np.asarray(fit.errors.squared < config.cutoff_sigmas**2)


def _share(fit: PoseFit, seen: Candidates, config: EgoMotionConfig) -> float:
    """Return what the landmarks that agree count together."""
    return float(seen.trust[_agrees(fit, config)].sum())


def _deviates(fit: PoseFit, outlook: Outlook) -> bool:
    """Say whether a pose is further from the prediction than that and the pose are uncertain."""
    delta = difference(fit.pose, outlook.pose)
    sigma = np.sqrt(np.diagonal(outlook.covariance) + np.diagonal(fit.covariance))
    return bool((np.abs(delta) > _GATE * sigma).any())


def _search(seen: Candidates, config: EgoMotionConfig, generator: np.random.Generator) -> PoseFit | None:
    """Look for a pose by hypotheses from three points each; they need depth."""
    deep = seen.sighting.variance[:, 2] < _NO_DEPTH
    if np.count_nonzero(deep & (seen.trust > 0)) < config.min_points:
        return None
    part = seen.take(deep)
    spread = part.sighting.xyz_covariance() + part.covariance
    # Poses from three points are as uncertain as their depths, in all directions.
    sigma = np.sqrt(np.trace(spread, axis1=1, axis2=2))
    found = consensus(
        part.sighting.xyz,
        part.position,
        sigma,
        generator,
        hypotheses=config.hypotheses,
        weights=part.trust,
    )
    return None if found is None else _fit(seen, found.pose, config)


def _rival(
    seen: Candidates,
    fit: PoseFit,
    rest: NDArray[np.bool_],
    best: float,
    outlook: Outlook,
    config: EgoMotionConfig,
    generator: np.random.Generator,
) -> Finding | None:
    """Look for another motion among the landmarks that do not agree, and say if it may be the camera's.

    Args:
        seen: All landmarks.
        fit: The best pose.
        rest: (M,) bool, those that do not agree with it.
        best: What those that agree count.
        outlook: Where the camera should be.
        config: What is doubted.
        generator: Where chance comes from.
    """
    others = seen.take(rest)
    rivals = [_fit(others, outlook.pose, config)]
    searched = _search(others, config, generator)
    if searched is not None:
        rivals.append(searched)
    shares = [_share(rival, others, config) for rival in rivals]
    rival, weight = rivals[int(np.argmax(shares))], max(shares)
    group = np.zeros(len(rest), dtype=bool)
    group[rest] = _agrees(rival, config)
    if group.sum() < config.min_points:
        return None
    continues = not _deviates(rival, outlook)
    departs = _deviates(fit, outlook)
    total = float(seen.trust.sum())
    if departs and continues and weight >= config.rival_share * total:
        return Finding(
            None,
            group,
            f"{_percent(best / total)} of the points suddenly move otherwise than {_percent(weight / total)} "
            "that go on as before: either may be the camera's motion",
        )
    if weight >= _TIE * best and departs == (not continues):
        everything = np.ones(len(rest), dtype=bool)
        return Finding(
            None,
            everything,
            f"two groups of {_percent(best / total)} and {_percent(weight / total)} of the points move "
            "differently: either may be the camera's motion",
        )
    return None


def _judged(
    fit: PoseFit, seen: Candidates, share: float, outlook: Outlook, config: EgoMotionConfig, lost: bool
) -> Finding:
    """Say whether the best pose is to be used."""
    agrees = _agrees(fit, config)
    count = int(agrees.sum())
    finding = Finding(fit, agrees, "")
    if count < config.min_points:
        return replace(finding, reason=f"only {count} of {len(agrees)} points agree on one motion")
    if share < config.min_share:
        return replace(finding, reason=f"only {_percent(share)} of the points agree on one motion")
    if not lost:
        fit, sudden = _with_prediction(fit, seen, outlook)
        finding = Finding(fit, agrees, "")
        if sudden and count < _MANY:
            return replace(finding, reason=f"only {count} points say that the camera suddenly moved")
    worst_shift, worst_turn = _worst(fit.covariance[:3, :3]), _worst(fit.covariance[3:, 3:])
    if worst_shift > config.max_translation_sigma or worst_turn > config.max_rotation_sigma:
        return replace(
            finding,
            reason=f"the {count} points lie so that the pose is only certain to {worst_shift:.2g} m and "
            f"{np.degrees(worst_turn):.2g} degrees",
        )
    step = difference(fit.pose, outlook.last)
    shift, turn = float(np.linalg.norm(step[:3])), float(np.linalg.norm(step[3:]))
    if not lost and (shift > outlook.reach[0] or turn > outlook.reach[1]):
        return replace(
            finding,
            reason=f"the points say the camera jumped by {shift:.2f} m and {np.degrees(turn):.0f} degrees",
        )
    return finding


def _with_prediction(fit: PoseFit, seen: Candidates, outlook: Outlook) -> tuple[PoseFit, bool]:
    """Return a pose with what the motion before says of it (a Kalman filter), and whether it moved suddenly.

    Then that says nothing.

    Many landmarks tell more than any prediction; with few of them in a corner of the view it holds the pose.
    That does not make it more certain: their errors are much the same in the next image.
    """
    noise = outlook.alike * fit.covariance
    fit = replace(fit, covariance=noise, filtered=noise)
    if not np.isfinite(noise).all():
        return fit, False
    delta = difference(fit.pose, outlook.pose)
    solved = np.linalg.solve(outlook.covariance + noise, np.column_stack([outlook.covariance, delta]))
    if delta @ solved[:, 6] > _CONSISTENT:
        return fit, True
    pose = moved(outlook.pose, outlook.covariance @ solved[:, 6])
    filtered = outlook.covariance - outlook.covariance @ solved[:, :6]
    return at_pose(fit, pose, (filtered + filtered.T) / 2, seen.sighting, seen.position), False


def _worst(covariance: NDArray[np.float64]) -> float:
    """Return the standard deviation in the direction where it is largest, of a (3, 3) covariance."""
    if not np.isfinite(covariance).all():
        return float("inf")
    return float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
