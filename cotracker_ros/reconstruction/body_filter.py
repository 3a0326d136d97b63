"""Pose and twist of bodies from the measured positions of their members, for all bodies at once.

An iterated extended Kalman filter on SE(3) with constant velocity. Errors of a pose are small changes as in
`rigid`, in the axes of the fixed frame; the state's error is (translation, rotation, linear velocity, angular
velocity). The measurement enters as normal equations, so points on one line fix what they can and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ellipsoids import inverse
from cotracker_ros.reconstruction.rigid import difference, rotation_exp, skew

_ITERATIONS = 4
_SURPRISE = 30.0  # of an innovation of six degrees of freedom; by noise alone once in 25,000 images
_SMALL = 2e-4  # m and rad: after a smaller step the next one changes nothing that matters
_POSE, _TWIST = np.arange(6), np.arange(6, 12)
_SOFT = 3.0  # sigmas: beyond them an error counts for less in the first steps


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

    def of(self, row: int) -> BodyStates:
        """Return one body."""
        one = slice(row, row + 1)
        return BodyStates(self.pose[one], self.twist[one], self.covariance[one])


@dataclass(frozen=True, eq=False)
class MemberPoints:
    """Measured members of bodies.

    Attributes:
        owner: (M,) row of the body, ascending.
        model: (M, 3) position in the body's frame, m.
        model_covariance: (M, 3, 3) m^2.
        xyz: (M, 3) measured position in the fixed frame, m.
        covariance: (M, 3, 3) of `xyz`, m^2.
    """

    owner: NDArray[np.intp]
    model: NDArray[np.float64]
    model_covariance: NDArray[np.float64]
    xyz: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def information(self, pose: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (M, 3, 3) information about where members are seen less where the bodies have them.

        `pose` is (B, 4, 4), that of the bodies.
        """
        turn = pose[self.owner, :3, :3]
        return inverse(self.covariance + turn @ self.model_covariance @ turn.transpose(0, 2, 1))

    def of(self, row: int) -> MemberPoints:
        """Return the members of one body, as those of row 0."""
        at = self.owner == row
        return MemberPoints(
            np.zeros(int(at.sum()), np.intp),
            self.model[at],
            self.model_covariance[at],
            self.xyz[at],
            self.covariance[at],
        )


@dataclass(frozen=True, eq=False)
class Correction:
    """What measured members make of bodies.

    Attributes:
        states: The bodies after it.
        agrees: (M,) bool, members that are where their body has them.
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


def predict(states: BodyStates, seconds: float, density: NDArray[np.float64]) -> BodyStates:
    """Carry bodies on by their twists.

    Args:
        states: B bodies.
        seconds: How long, s.
        density: (B, 6) spectral densities of linear and angular acceleration, m^2/s^3 and rad^2/s^3.
    """
    turn = rotation_exp(states.twist[:, 3:] * seconds)
    pose = states.pose.copy()
    pose[:, :3, :3] = turn @ states.pose[:, :3, :3]
    pose[:, :3, 3] += states.twist[:, :3] * seconds
    step = np.broadcast_to(np.eye(12), states.covariance.shape).copy()
    step[:, 3:6, 3:6] = turn
    step[:, _POSE, _TWIST] = seconds
    covariance = step @ states.covariance @ step.transpose(0, 2, 1)
    covariance[:, _POSE, _POSE] += density * seconds**3 / 3
    covariance[:, _TWIST, _TWIST] += density * seconds
    covariance[:, _POSE, _TWIST] += density * seconds**2 / 2
    covariance[:, _TWIST, _POSE] += density * seconds**2 / 2
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
    count = len(states.pose)
    edges = np.searchsorted(points.owner, np.arange(count + 1))
    pose = states.pose.copy() if start is None else start.copy()
    shift = np.zeros((count, 6))
    if start is not None:
        shift = np.stack([difference(new, old) for new, old in zip(start, states.pose, strict=True)])
    covariance, eye = states.covariance, np.eye(6)
    surprise = np.zeros(count)
    information = points.information(pose)
    for iteration in range(_ITERATIONS):
        offsets, residuals, squared = _errors(pose, points, information)
        if iteration == 0:
            weights = 1.0 / (1.0 + squared / _SOFT**2)
        else:
            weights = (squared < gate_sigmas**2).astype(np.float64)
        weights /= alike
        normal, right = _normal_equations(edges, offsets, residuals, information, weights)
        if iteration == 0:
            surprise = _surprise(normal, right + (normal @ shift[..., None])[..., 0], covariance)
            covariance = covariance * np.maximum(1.0, surprise / _SURPRISE)[:, None, None]
        prior = covariance[:, :6, :6]
        pull = (prior @ right[..., None])[..., 0] - shift
        step = np.linalg.solve(eye + prior @ normal, pull[..., None])[..., 0]
        pose[:, :3, 3] += step[:, :3]
        pose[:, :3, :3] = rotation_exp(step[:, 3:]) @ pose[:, :3, :3]
        shift = shift + step
        if iteration > 0 and np.abs(step).max() < _SMALL:
            break
    _, _, squared = _errors(pose, points, information)
    agrees = squared < gate_sigmas**2
    agreeing = np.add.reduceat(agrees.astype(np.int64), edges[:-1])
    noise = np.add.reduceat(np.where(agrees, squared, 0.0), edges[:-1]) / np.maximum(3 * agreeing, 1)
    normal = normal / np.maximum(noise, 1.0)[:, None, None]
    # The twist follows the pose by their joint covariance.
    cross = covariance[:, :, :6]
    gain = np.linalg.solve(eye + normal @ cross[:, :6], normal)
    moved = np.linalg.solve(cross[:, :6], shift[..., None])
    twist = states.twist + (cross[:, 6:] @ moved)[..., 0]
    after = covariance - cross @ gain @ cross.transpose(0, 2, 1)
    after = (after + after.transpose(0, 2, 1)) / 2
    return Correction(BodyStates(pose, twist, after), agrees, agreeing, surprise)


def _errors(
    pose: NDArray[np.float64], points: MemberPoints, information: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return (M, 3) offsets from the origins, (M, 3) residuals and (M,) squared errors in sigmas."""
    own = pose[points.owner]
    offsets = (own[:, :3, :3] @ points.model[..., None])[..., 0]
    residuals = points.xyz - own[:, :3, 3] - offsets
    return offsets, residuals, np.einsum("ni,nij,nj->n", residuals, information, residuals)


def _normal_equations(
    edges: NDArray[np.intp],
    offsets: NDArray[np.float64],
    residuals: NDArray[np.float64],
    information: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (B, 6, 6) normal matrices and (B, 6) right sides; members of body b lie between its edges."""
    jacobian = np.zeros((len(offsets), 3, 6))
    jacobian[:, (0, 1, 2), (0, 1, 2)] = 1.0
    jacobian[:, :, 3:] = -skew(offsets)
    weighted = (information * weights[:, None, None]) @ jacobian
    count = len(edges) - 1
    normal, right = np.empty((count, 6, 6)), np.empty((count, 6))
    for body, (first, last) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        rows = weighted[first:last].reshape(-1, 6)
        normal[body] = jacobian[first:last].reshape(-1, 6).T @ rows
        right[body] = rows.T @ residuals[first:last].reshape(-1)
    return normal, right


def _surprise(
    normal: NDArray[np.float64], right: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (B,) squared innovations in sigmas: of the pose that the points alone would give."""
    scale = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    solvable = normal + 1e-9 * scale * np.eye(6)
    alone = np.linalg.solve(solvable, right[..., None])
    spread = np.linalg.solve(np.eye(6) + solvable @ covariance[:, :6, :6], right[..., None])
    return np.asarray((alone * spread).sum(axis=(1, 2)))
