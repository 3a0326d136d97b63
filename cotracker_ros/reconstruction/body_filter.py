"""Pose and twist of bodies from the measured positions of their members, for all bodies at once.

An iterated extended Kalman filter on SE(3) with constant velocity. Errors of a pose are small changes as in
`rigid`, in the axes of the fixed frame; the state's error is (translation, rotation, linear velocity, angular
velocity). The measurement enters as normal equations, so points on one line fix what they can and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body_fits import SOFT, BodyPoints, moved_by, rotations, turned
from cotracker_ros.reconstruction.ellipsoids import inverse
from cotracker_ros.reconstruction.rigid import difference

_ITERATIONS = 4
_SURPRISE = 30.0  # of an innovation of six degrees of freedom; by noise alone once in 25,000 images
_SMALL = 0.01  # squared sigmas: after a smaller step the next one changes nothing that matters
_EYE, _EYE_TWICE = np.eye(6), np.eye(12)


@dataclass(frozen=True, eq=False)
class BodyStates:
    """B bodies.

    Attributes:
        pose: (B, 4, 4) fixed_from_body, m.
        twist: (B, 6) linear velocity of the origin and angular velocity, in the axes of the fixed frame.
        covariance: (B, 12, 12) of pose and twist.
    """

    pose: NDArray[np.float64]
    twist: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def of(self, rows: list[int]) -> BodyStates:
        """Return some of the bodies."""
        return BodyStates(self.pose[rows], self.twist[rows], self.covariance[rows])


@dataclass(frozen=True, eq=False)
class MemberPoints:
    """Measured members of B bodies, M of each; where a body has fewer, the rest are not `there`.

    Attributes:
        there: (B, M) bool.
        model: (B, M, 3) position in the body's frame, m.
        model_covariance: (B, M, 3, 3) m^2.
        xyz: (B, M, 3) measured position in the fixed frame, m.
        covariance: (B, M, 3, 3) of `xyz`, m^2.
    """

    there: NDArray[np.bool_]
    model: NDArray[np.float64]
    model_covariance: NDArray[np.float64]
    xyz: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def seen_from(self, pose: NDArray[np.float64]) -> BodyPoints:
        """Return the points with what is known of where they are seen less where the bodies have them.

        `pose` is (B, 4, 4), about that of the bodies.
        """
        turn = pose[:, None, :3, :3]
        information = inverse(self.covariance + turn @ self.model_covariance @ turn.transpose(0, 1, 3, 2))
        information *= self.there[..., None, None]
        return BodyPoints(self.model, self.xyz, information)

    def of(self, body: int) -> MemberPoints:
        """Return the members of one body."""
        own = (slice(body, body + 1), slice(int(self.there[body].sum())))
        return MemberPoints(
            self.there[own],
            self.model[own],
            self.model_covariance[own],
            self.xyz[own],
            self.covariance[own],
        )


@dataclass(frozen=True, eq=False)
class Correction:
    """What measured members make of bodies.

    Attributes:
        states: The bodies after it.
        agrees: (B, M) bool, members that are where their body has them.
        agreeing: (B,) how many of them agree.
        surprise: (B,) squared innovation of the pose, in sigmas (six degrees of freedom).
    """

    states: BodyStates
    agrees: NDArray[np.bool_]
    agreeing: NDArray[np.int64]
    surprise: NDArray[np.float64]

    @property
    def surprising(self) -> NDArray[np.bool_]:
        """(B,) bool, motions that constant velocity and noise do not explain."""
        return self.surprise > _SURPRISE


def predict(
    states: BodyStates, seconds: float, agility: NDArray[np.float64], density: NDArray[np.float64]
) -> BodyStates:
    """Carry bodies on by their twists.

    Args:
        states: B bodies.
        seconds: How long, s.
        agility: (B,) how much they accelerate, as a multiple of `density`.
        density: (6,) spectral densities of linear and angular acceleration, m^2/s^3 and rad^2/s^3.
    """
    turn = rotations(states.twist[:, 3:] * seconds)
    pose = moved_by(states.pose, turn, states.twist[:, :3] * seconds)
    step = np.repeat(_EYE_TWICE[None], len(pose), axis=0)
    step[:, 3:6, 3:6] = turn
    step[:, :6, 6:] = seconds * _EYE
    growth = seconds * np.array([[seconds**2 / 3, seconds / 2], [seconds / 2, 1.0]])
    noise = (growth[:, None, :, None] * np.diag(density)[:, None]).reshape(12, 12)
    covariance = step @ states.covariance @ step.transpose(0, 2, 1) + agility[:, None, None] * noise
    return BodyStates(pose, states.twist, covariance)


def correct(
    states: BodyStates,
    points: MemberPoints,
    gate_sigmas: float,
    alike: float,
    start: NDArray[np.float64] | None = None,
) -> Correction:
    """Take the measured members of bodies.

    A body that does what its twist does not explain (it was pushed, it stopped) gets a wider prior, so that
    the measurement decides.

    Args:
        states: B predicted bodies.
        points: Members, at least one for each body.
        gate_sigmas: Members with a larger error do not agree.
        alike: How many neighbouring members err alike; the pose is less certain by that.
        start: (B, 4, 4) poses to start from instead of the predicted ones.
    """
    pose = states.pose if start is None else start
    shift = np.zeros((len(pose), 6))
    if start is not None:
        shift = np.stack([difference(new, old) for new, old in zip(start, states.pose, strict=True)])
    covariance, taken = states.covariance, points.seen_from(pose)
    for iteration in range(_ITERATIONS):
        equations = taken.linearised(pose)
        squared = equations.squared
        if iteration == 0:
            weights = 1.0 / (alike * (1.0 + squared / SOFT**2))
        else:
            weights = (squared < gate_sigmas**2) / alike
        normal, right = equations.normal(weights)
        if iteration == 0:
            innovation = right if start is None else right + (normal @ shift[..., None])[..., 0]
            surprise = _surprise(normal, innovation, covariance)
            covariance = covariance * np.maximum(1.0, surprise / _SURPRISE)[:, None, None]
            prior = covariance[:, :6, :6]
        step = (prior @ right[..., None])[..., 0] - shift
        step = np.asarray(np.linalg.solve(_EYE + prior @ normal, step[..., None])[..., 0])
        pose, shift = turned(pose, step), shift + step
        left = (normal @ step[..., None])[..., 0]
        if iteration > 0 and (left * step).sum(axis=1).max() < _SMALL:
            break
    else:
        squared = taken.errors(pose)
    agrees = points.there & (squared < gate_sigmas**2)
    agreeing = agrees.sum(axis=1)
    noise = (agrees * squared).sum(axis=1) / np.maximum(3 * agreeing, 1)
    normal = normal / np.maximum(noise, 1.0)[:, None, None]
    # The twist follows the pose by their covariance; the last step made the shift prior @ (right - left).
    cross = covariance[:, :, :6]
    twist = states.twist + (cross[:, 6:] @ (right - left)[..., None])[..., 0]
    gain = np.linalg.solve(_EYE + normal @ prior, normal)
    after = covariance - cross @ gain @ cross.transpose(0, 2, 1)
    after = (after + after.transpose(0, 2, 1)) / 2
    return Correction(BodyStates(pose, twist, after), agrees, agreeing, surprise)


def _surprise(
    normal: NDArray[np.float64], right: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (B,) squared innovations in sigmas: of the pose that the points alone would give."""
    scale = normal.trace(axis1=1, axis2=2)[:, None, None]
    solvable = normal + 1e-9 * scale * _EYE
    spread = solvable + solvable @ covariance[:, :6, :6] @ solvable
    return np.asarray((np.linalg.solve(spread, right[..., None])[..., 0] * right).sum(axis=1))
