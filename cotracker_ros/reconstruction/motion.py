"""How tracked points move in space: constant-velocity Kalman filters per point and axis, for all at once.

Each point has two of them. The quick one follows changes and says where the point is and how fast. The slow
one, the trend, believes in far smaller accelerations, so that its velocity is several times more certain:
it alone tells a slow point from a still one where depth is noisy. What begins to move shows in neither at
once, but soon by where it is: each point has a place where it rests, and the mean of its last measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.poses import invert_pose, transform_points
from cotracker_ros.reconstruction.types import PointMotion

_NS = 1e-9
_MIN_MEASUREMENTS = 3  # two positions give a velocity, the third says whether to believe it
_MOVING_CHI2 = 16.0  # of the velocity against its covariance: 99.9 % of still points stay below
_STILL_SIGMAS = 2.0  # a point is still when even so much more than its speed is no movement
_TREND_NOISE = (
    1 / 60
)  # of the process noise: at 3 m an RGB-D camera's trend is certain to 40 mm/s within 0.5 s
_TREND_VARIANCE = 2.5  # of a measurement's: successive errors are alike, several tell less than they seem to
_FEIGNED = 0.05  # of the motion that the camera sees is feigned by errors of its pose, stamps or calibration
_CONFIRM = 3  # images in a row that must agree before a flag changes: noise is not white over time
_PLACE_SECONDS = np.array([0.5, 2.0, 1e-3])  # memory of where a point rests, by flag: unknown, still, moving
_RECENT_SECONDS = 0.12  # memory of where it has just been
_SLIP = 0.4  # of a measurement's variance: so far off its place a tracker's slip takes a still point
_DOUBT = 2  # ... before what stood still no longer does
_POSITION, _VELOCITY, _VARIANCE, _COVARIANCE, _SPEED_VARIANCE = range(5)  # rows of a filter


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
        trend: (N, 5, 3) the slow filter: position, velocity and their variances, as the five above.
        place: (N, 3) where the point rests, m.
        recent: (N, 3) mean of the last measurements, m.
        kind: (N,) uint8, values of `PointMotion` as of the last accepted measurement.
        turn: (N,) measurements in a row that speak for `turn_kind` instead of `kind`.
        turn_kind: (N,) uint8, values of `PointMotion`.
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
    trend: NDArray[np.float64]
    place: NDArray[np.float64]
    recent: NDArray[np.float64]
    kind: NDArray[np.uint8]
    turn: NDArray[np.int64]
    turn_kind: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Motion:
    """Where N points are and how they move at one moment.

    Attributes:
        position: (N, 3) m, NaN where never measured.
        sigma: (N,) one standard deviation of a position that is not measured now, along the ray, m.
        velocity: (N, 3) m/s, NaN while unknown.
        moving: (N,) bool, known to move when last measured.
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
        trend=np.zeros((count, 5, 3)),
        place=np.zeros((count, 3)),
        recent=np.zeros((count, 3)),
        kind=np.zeros(count, dtype=np.uint8),
        turn=np.zeros(count, dtype=np.int64),
        turn_kind=np.zeros(count, dtype=np.uint8),
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
    limit = config.known_speed_sigma**2
    uncertain = states.speed_variance.max(axis=1, initial=0.0) + config.process_noise * dt
    established = states.count >= _MIN_MEASUREMENTS
    speed = np.linalg.norm(states.velocity, axis=1)
    moving = established & (states.kind == PointMotion.MOVING)
    coast = np.where(moving, np.minimum(dt, config.coast_seconds), 0.0)
    growth = config.hold_growth + np.where(moving, speed, 0.0)
    told = established & (uncertain < limit)
    told &= ~(moving & (dt > config.coast_seconds))
    return Motion(
        position=states.position + states.velocity * coast[:, None],
        sigma=np.hypot(states.sigma, growth * dt),
        velocity=np.where(told[:, None], states.velocity, np.nan),
        moving=moving,
        kind=np.where(told, states.kind, PointMotion.UNKNOWN).astype(np.uint8),
    )


def measure(
    states: PointStates,
    stamp: int,
    position: NDArray[np.float64],
    variance: NDArray[np.float64],
    sigma: NDArray[np.float64],
    config: MotionConfig,
    feigned: NDArray[np.float64] | float = 0.0,
) -> tuple[PointStates, NDArray[np.bool_]]:
    """Take the measurements of one moment.

    Args:
        states: N points before it.
        stamp: The moment, ns; later than any before.
        position: (N, 3) measured positions, m; NaN where there is none.
        variance: (N, 3) of the measured positions, m^2.
        sigma: (N,) of the measurements along their rays, m.
        config: How points may move.
        feigned: (N,) speeds that a still point may seem to have, because the camera moves, m/s; see
            `feigned_speed`. Slower points are not called moving.

    Returns:
        The states after it, and (N,) bool: which measurements were accepted. A measurement that neither the
        motion nor the noise explains is rejected (the depth bled, or the tracker slipped onto what is in
        front), but no more than `max_rejections` times in a row.
    """
    measured: NDArray[np.bool_] = np.asarray(np.isfinite(position).all(axis=1))
    started = states.count > 0
    dt = np.where(started, (stamp - states.stamp) * _NS, 0.0)[:, None]
    quick = np.stack(
        (states.position, states.velocity, states.variance, states.covariance, states.speed_variance)
    )
    ahead = _predicted(quick, dt, config.process_noise)
    compared = (measured & started)[:, None]
    innovation = np.where(compared, position - ahead[_POSITION], 0.0)
    noise = np.where(measured[:, None], variance, 1.0)
    far = (innovation**2 / (ahead[_VARIANCE] + noise)).sum(axis=1) > config.gate_sigmas**2
    far &= np.linalg.norm(innovation, axis=1) > config.gate_distance
    restart = np.asarray(measured & (~started | (far & (states.rejections >= config.max_rejections))))
    accepted = np.asarray(measured & (~far | restart))
    start = np.zeros_like(quick)
    start[_POSITION], start[_VARIANCE], start[_SPEED_VARIANCE] = position, variance, config.initial_speed**2

    def merged(updated: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(accepted[:, None], np.where(restart[:, None], start, updated), before)

    quick = merged(_updated(ahead, innovation, noise), quick)
    trend = np.moveaxis(states.trend, 1, 0)
    ahead = _predicted(trend, dt, config.process_noise * _TREND_NOISE)
    innovation = np.where(compared, position - ahead[_POSITION], 0.0)
    trend = merged(_updated(ahead, innovation, _TREND_VARIANCE * noise), trend)
    count = np.where(restart, 1, states.count + accepted)
    place, recent, left = _rested(states, np.where(accepted[:, None], position, np.nan), noise, dt, count)
    result = replace(
        states,
        position=quick[_POSITION],
        velocity=quick[_VELOCITY],
        variance=quick[_VARIANCE],
        covariance=quick[_COVARIANCE],
        speed_variance=quick[_SPEED_VARIANCE],
        stamp=np.where(accepted, stamp, states.stamp),
        sigma=np.where(accepted, sigma, states.sigma),
        count=count,
        rejections=np.where(accepted, 0, states.rejections + (measured & ~accepted)),
        trend=np.moveaxis(trend, 0, 1),
        place=place,
        recent=recent,
    )
    rejected = measured & ~accepted
    return _judged(result, accepted, restart, rejected, left, config, feigned), accepted


def feigned_speed(
    position: NDArray[np.float64], before: NDArray[np.float64], now: NDArray[np.float64], seconds: float
) -> NDArray[np.float64]:
    """Return the speeds that still points may seem to have, because the camera's motion is not exactly known.

    Args:
        position: (N, 3) in the fixed frame, m; NaN where unknown.
        before: (4, 4) fixed_from_camera of an earlier image, m.
        now: (4, 4) fixed_from_camera of this image, m.
        seconds: Time between both, s.

    Returns:
        (N,) m/s; 0 where the position is unknown.
    """
    shift = transform_points(invert_pose(now), position) - transform_points(invert_pose(before), position)
    return np.nan_to_num(np.linalg.norm(shift, axis=1)) * (_FEIGNED / seconds)


def _predicted(filters: NDArray[np.float64], dt: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Take filters (5, N, 3) ahead by `dt` (N, 1) s, by constant velocity and white acceleration."""
    position, velocity, variance, covariance, speed_variance = filters
    return np.stack(
        (
            position + velocity * dt,
            velocity,
            variance + dt * (2 * covariance + dt * speed_variance) + noise * dt**3 / 3,
            covariance + dt * speed_variance + noise * dt**2 / 2,
            speed_variance + noise * dt,
        )
    )


def _updated(
    ahead: NDArray[np.float64], innovation: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Correct predicted filters (5, N, 3) by how far the measurements are off, (N, 3)."""
    position, velocity, p00, p01, p11 = ahead
    total = p00 + variance
    k0, k1 = p00 / total, p01 / total
    return np.stack(
        (
            position + k0 * innovation,
            velocity + k1 * innovation,
            (1 - k0) * p00,
            (1 - k0) * p01,
            p11 - k1 * p01,
        )
    )


def _rested(
    states: PointStates,
    position: NDArray[np.float64],
    variance: NDArray[np.float64],
    dt: NDArray[np.float64],
    count: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return places, recent means, and which points (N,) have left their places.

    Args:
        states: The points before the measurement.
        position: (N, 3) accepted measurements, m; NaN where there is none.
        variance: (N, 3) of these, m^2.
        dt: (N, 1) time since the last one, s.
        count: (N,) measurements with this one, 1 where the point (re)starts.
    """
    least = 1 / np.maximum(count, 1)[:, None]  # a plain mean at first
    gain = np.maximum(-np.expm1(-dt / _RECENT_SECONDS), least)
    recent = np.where(np.isnan(position), states.recent, states.recent + gain * (position - states.recent))
    slow = np.maximum(-np.expm1(-dt / _PLACE_SECONDS[states.kind][:, None]), least)
    place = np.where(np.isnan(position), states.place, states.place + slow * (recent - states.place))
    noise = variance * (_TREND_VARIANCE * (gain / (2 - gain) + slow / (2 - slow)) + _SLIP)
    left = ((recent - place) ** 2 / noise).sum(axis=1) > _MOVING_CHI2
    return place, recent, left


def _judged(
    states: PointStates,
    accepted: NDArray[np.bool_],
    restart: NDArray[np.bool_],
    rejected: NDArray[np.bool_],
    left: NDArray[np.bool_],
    config: MotionConfig,
    feigned: NDArray[np.float64] | float,
) -> PointStates:
    """Return the states with flags by the trend, where there was a measurement.

    A flag changes when `_CONFIRM` measurements in a row speak for the same other one. Between surely moving
    and surely still a point keeps its flag for as long as its most likely speed agrees with it. What starts
    to move has left its place, shows in the quick filter, or has its measurements rejected, before the trend
    knows: it is not still from then on.
    """
    limit = config.moving_speed + feigned
    velocity, variance = states.trend[:, _VELOCITY], states.trend[:, _SPEED_VARIANCE]
    speed = np.linalg.norm(velocity, axis=1)
    slow = speed <= limit
    starts = _surely(states.velocity, states.speed_variance)
    starts &= np.linalg.norm(states.velocity, axis=1) > limit
    surely = (_surely(velocity, variance) & ~slow) | (starts & left)
    verdict = np.where(surely, PointMotion.MOVING, PointMotion.UNKNOWN)
    most = speed + _STILL_SIGMAS * np.sqrt(variance.max(axis=1, initial=0.0))
    verdict[(most < config.moving_speed) & ~surely] = PointMotion.STATIC
    kind = np.where(restart, PointMotion.UNKNOWN, states.kind)
    still = kind == PointMotion.STATIC
    doubt = verdict == PointMotion.UNKNOWN
    verdict = np.where(doubt & (still == slow), kind, verdict)
    contradicted = (verdict == PointMotion.STATIC) & (rejected | (accepted & (starts | left)))
    verdict = np.where(contradicted, PointMotion.UNKNOWN, verdict)
    judged = accepted | (contradicted & still)
    turn = np.where(verdict == kind, 0, np.where(verdict == states.turn_kind, states.turn + 1, 1))
    turn = np.where(judged, turn, states.turn)
    changed = judged & (turn >= np.where(still, _DOUBT, _CONFIRM))
    return replace(
        states,
        kind=np.where(changed, verdict, kind).astype(np.uint8),
        turn=np.where(changed, 0, turn),
        turn_kind=np.where(judged, verdict, states.turn_kind).astype(np.uint8),
    )


def _surely(velocity: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which velocities (N, 3) of variances (N, 3) are no noise."""
    return np.asarray((velocity**2 / np.maximum(variance, 1e-12)).sum(axis=1) > _MOVING_CHI2)
