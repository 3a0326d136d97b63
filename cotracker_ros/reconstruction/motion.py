"""How tracked points move in space: a constant-velocity Kalman filter per point and axis, for all at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.types import PointMotion

_NS = 1e-9
_MIN_MEASUREMENTS = 3  # two positions give a velocity, the third says whether to believe it
_MOVING_CHI2 = 16.0  # of the velocity against its covariance: 99.9 % of still points stay below


@dataclass(frozen=True)
class MotionConfig:
    """How points may move.

    Attributes:
        process_noise: Spectral density of the acceleration, m^2/s^3: the velocity of a point wanders by the
            root of this times the time. Larger follows changes faster and is noisier.
        initial_speed: Standard deviation of a new point's velocity, m/s.
        known_speed_sigma: A velocity less certain than this is called unknown, m/s.
        moving_speed: Slower points count as standing still, m/s.
        gate_sigmas: A measurement further than this from the prediction is rejected ...
        gate_distance: ... if it is also further away than this, m.
        max_rejections: After so many rejections in a row the point starts again from the next measurement.
        coast_seconds: How long an occluded moving point goes on with its velocity before it stands still, s.
        hold_growth: Growth of the uncertainty of a point that is not measured, m/s; a moving point's speed
            comes on top.
    """

    process_noise: float = 0.03
    initial_speed: float = 1.0
    known_speed_sigma: float = 0.25
    moving_speed: float = 0.1
    gate_sigmas: float = 4.0
    gate_distance: float = 0.05
    max_rejections: int = 5
    coast_seconds: float = 0.5
    hold_growth: float = 0.05

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"the motion setting {item.name} is {value}: give a number from 0 up")
        if not (self.process_noise > 0 and self.initial_speed > 0):
            raise ValueError(
                f"the motion settings process_noise={self.process_noise} and "
                f"initial_speed={self.initial_speed} must be greater than 0"
            )


@dataclass(frozen=True, eq=False)
class PointStates:
    """What is known of N points in one frame, as parallel arrays.

    Attributes:
        ids: (N,) uint32.
        position: (N, 3) filtered position at `stamp`, m; NaN where `count` is 0.
        velocity: (N, 3) at `stamp`, m/s.
        variance: (N, 3) of the position, m^2.
        covariance: (N, 3) of position and velocity on the same axis, m^2/s.
        speed_variance: (N, 3) of the velocity, m^2/s^2.
        stamp: (N,) int64, of the last accepted measurement, ns.
        sigma: (N,) of the last accepted measurement along its ray, m.
        count: (N,) accepted measurements since the point (re)started.
        rejections: (N,) measurements rejected since the last accepted one.
    """

    ids: NDArray[np.uint32]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    variance: NDArray[np.float64]
    covariance: NDArray[np.float64]
    speed_variance: NDArray[np.float64]
    stamp: NDArray[np.int64]
    sigma: NDArray[np.float64]
    count: NDArray[np.int64]
    rejections: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Motion:
    """Where N points are and how they move at one moment.

    Attributes:
        position: (N, 3) m, NaN where never measured.
        sigma: (N,) one standard deviation of a position that is not measured now, along the ray, m.
        velocity: (N, 3) m/s, NaN while unknown.
        moving: (N,) bool, faster than noise and `MotionConfig.moving_speed` explain.
        kind: (N,) uint8, values of `PointMotion`.
    """

    position: NDArray[np.float64]
    sigma: NDArray[np.float64]
    velocity: NDArray[np.float64]
    moving: NDArray[np.bool_]
    kind: NDArray[np.uint8]


def unknown_points(ids: ArrayLike) -> PointStates:
    """Return the states of points that were never measured."""
    names = np.asarray(ids, dtype=np.uint32)
    count = len(names)
    return PointStates(
        ids=names,
        position=np.full((count, 3), np.nan),
        velocity=np.zeros((count, 3)),
        variance=np.zeros((count, 3)),
        covariance=np.zeros((count, 3)),
        speed_variance=np.zeros((count, 3)),
        stamp=np.zeros(count, dtype=np.int64),
        sigma=np.full(count, np.nan),
        count=np.zeros(count, dtype=np.int64),
        rejections=np.zeros(count, dtype=np.int64),
    )


def for_ids(states: PointStates, ids: ArrayLike, fresh: NDArray[np.bool_]) -> PointStates:
    """Return the states in the order of `ids`; points not among `ids` are forgotten.

    Args:
        states: What is known.
        ids: (M,) ids wanted now.
        fresh: (M,) bool, true where the id is to start anew.
    """
    wanted = np.asarray(ids, dtype=np.uint32)
    if np.array_equal(wanted, states.ids) and not fresh.any():
        return states
    result = unknown_points(wanted)
    if not len(states) or not len(wanted):
        return result
    order = np.argsort(states.ids)
    place = np.minimum(np.searchsorted(states.ids, wanted, sorter=order), len(states) - 1)
    source = order[place]
    known = (states.ids[source] == wanted) & ~fresh
    for item in fields(PointStates):
        getattr(result, item.name)[known] = getattr(states, item.name)[source[known]]
    return result


def at_time(states: PointStates, stamp: int, config: MotionConfig) -> Motion:
    """Say where points are that are not measured at `stamp` ns.

    A still point stays where it was. A moving one goes on for `coast_seconds`, then stands still with its
    velocity unknown: further on the guess would be worse than the last position.
    """
    dt = np.where(states.count > 0, (stamp - states.stamp) * _NS, 0.0)
    uncertain = states.speed_variance.max(axis=1, initial=0.0)
    limit = config.known_speed_sigma**2
    established = (states.count >= _MIN_MEASUREMENTS) & (uncertain < limit)
    speed = np.linalg.norm(states.velocity, axis=1)
    moving = established & (speed > config.moving_speed)
    moving &= _significant(states.velocity, states.speed_variance)
    coast = np.where(moving, np.minimum(dt, config.coast_seconds), 0.0)
    growth = config.hold_growth + np.where(moving, speed, 0.0)
    told = established & (uncertain + config.process_noise * dt < limit)
    told &= ~(moving & (dt > config.coast_seconds))
    return Motion(
        position=states.position + states.velocity * coast[:, None],
        sigma=np.hypot(states.sigma, growth * dt),
        velocity=np.where(told[:, None], states.velocity, np.nan),
        moving=moving,
        kind=np.where(
            told, np.where(moving, PointMotion.MOVING, PointMotion.STATIC), PointMotion.UNKNOWN
        ).astype(np.uint8),
    )


def measure(
    states: PointStates,
    stamp: int,
    position: NDArray[np.float64],
    variance: NDArray[np.float64],
    sigma: NDArray[np.float64],
    config: MotionConfig,
) -> tuple[PointStates, NDArray[np.bool_]]:
    """Take the measurements of one moment.

    Args:
        states: N points before it.
        stamp: The moment, ns; later than any before.
        position: (N, 3) measured positions, m; NaN where there is none.
        variance: (N, 3) of the measured positions, m^2.
        sigma: (N,) of the measurements along their rays, m.
        config: How points may move.

    Returns:
        The states after it, and (N,) bool: which measurements were accepted. A measurement that neither the
        motion nor the noise explains is rejected (the depth bled, or the tracker slipped onto what is in
        front), but no more than `max_rejections` times in a row.
    """
    measured: NDArray[np.bool_] = np.asarray(np.isfinite(position).all(axis=1))
    started = states.count > 0
    dt = np.where(started, (stamp - states.stamp) * _NS, 0.0)[:, None]
    # Where the filter expects the points now, by constant velocity and white acceleration.
    q = config.process_noise
    predicted = states.position + states.velocity * dt
    p00 = states.variance + dt * (2 * states.covariance + dt * states.speed_variance) + q * dt**3 / 3
    p01 = states.covariance + dt * states.speed_variance + q * dt**2 / 2
    p11 = states.speed_variance + q * dt
    innovation = np.where(measured[:, None] & started[:, None], position - predicted, 0.0)
    total = p00 + np.where(measured[:, None], variance, 1.0)
    far = (innovation**2 / total).sum(axis=1) > config.gate_sigmas**2
    far &= np.linalg.norm(innovation, axis=1) > config.gate_distance
    restart = np.asarray(measured) & (~started | (far & (states.rejections >= config.max_rejections)))
    accepted = np.asarray(measured & (~far | restart))
    filtered = np.asarray(accepted & ~restart)[:, None]
    k0, k1 = p00 / total, p01 / total
    first = restart[:, None]
    old = states

    def merge(
        new: NDArray[np.float64], start: NDArray[np.float64] | float, before: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return np.where(filtered, new, np.where(first, start, before))

    result = replace(
        old,
        position=merge(predicted + k0 * innovation, position, old.position),
        velocity=merge(old.velocity + k1 * innovation, 0.0, old.velocity),
        variance=merge((1 - k0) * p00, variance, old.variance),
        covariance=merge((1 - k0) * p01, 0.0, old.covariance),
        speed_variance=merge(p11 - k1 * p01, config.initial_speed**2, old.speed_variance),
        stamp=np.where(accepted, stamp, old.stamp),
        sigma=np.where(accepted, sigma, old.sigma),
        count=np.where(restart, 1, old.count + accepted),
        rejections=np.where(accepted, 0, old.rejections + (measured & ~accepted)),
    )
    return result, accepted


def _significant(velocity: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((velocity**2 / np.maximum(variance, 1e-12)).sum(axis=1) > _MOVING_CHI2)
