"""How tracked points move in space: constant-velocity Kalman filters per point and axis, for all at once.

Each point has two of them. The quick one follows changes and says where the point is and how fast. The slow
one, the trend, believes in far smaller accelerations, so that its velocity is several times more certain:
it alone tells a slow point from a still one where depth is noisy. What begins to move shows in neither at
once, but soon by where it is: each point has a place where it rests, and the mean of its last measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.ids import rows_of
from cotracker_ros.reconstruction.point_filters import (
    POSITION,
    SPEED_VARIANCE,
    VARIANCE,
    VELOCITY,
    correct,
    largest,
    length,
    on_axes,
    predicted,
    squares,
)
from cotracker_ros.reconstruction.types import PointMotion

_NS = 1e-9
_MIN_MEASUREMENTS = 3  # two positions give a velocity, the third says whether to believe it
_MOVING_CHI2 = 16.0  # of the velocity against its covariance: 99.9 % of still points stay below
_LEFT_CHI2 = 10.0  # of the way from its place: beyond it a still point is no longer sure
_STILL_SIGMAS = 2.0  # a point is still when even so much more than its speed is no movement
# Of the process noise, for the quick filter and the trend: at 3 m an RGB-D camera's trend is certain to
# 40 mm/s within 0.5 s.
_PROCESS = np.array([1.0, 1 / 60])[:, None, None]
# Of a measurement's variance: successive errors are alike, several tell the trend less than they seem to.
_ALIKE = np.array([1.0, 2.5])[:, None, None]
_FEIGNED = 0.05  # of the motion that the camera sees is feigned by errors of its pose, stamps or calibration
_CONFIRM = 3  # images in a row that must agree before a flag changes: noise is not white over time
_PLACE_SECONDS = np.array([0.5, 2.0, 1e-3])  # memory of where a point rests, by flag: unknown, still, moving
_RECENT_SECONDS = 0.12  # memory of where it has just been
_SLIP = 0.4  # of a measurement's variance: so far off its place a tracker's slip takes a still point
_DOUBT = 2  # ... before what stood still no longer does
_QUICK, _TREND = range(2)
# Plain numbers: arrays are several times slower to compare with members of an enumeration.
_UNKNOWN, _STATIC, _MOVING = map(np.uint8, PointMotion)


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
        filters: (5, 2, N, 3) the filters at `stamp`: position, m, velocity, m/s, variance of the position,
            m^2, covariance of both, m^2/s, and variance of the velocity, m^2/s^2, of the quick filter and of
            the trend. Positions are NaN where `count` is 0.
        stamp: (N,) int64, of the last accepted measurement, ns.
        sigma: (N,) of the last accepted measurement along its ray, m.
        count: (N,) accepted measurements since the point (re)started.
        rejections: (N,) measurements rejected since the last accepted one.
        place: (N, 3) where the point rests, m.
        recent: (N, 3) mean of the last measurements, m.
        kind: (N,) uint8, values of `PointMotion` as of the last accepted measurement.
        turn: (N,) measurements in a row that speak for `turn_kind` instead of `kind`.
        turn_kind: (N,) uint8, values of `PointMotion`.
        lever: (N, 3) how the place of the last accepted measurement changes with the logarithm of the focal
            length, m.
    """

    ids: NDArray[np.uint32]
    filters: NDArray[np.float64]
    stamp: NDArray[np.int64]
    sigma: NDArray[np.float64]
    count: NDArray[np.int64]
    rejections: NDArray[np.int64]
    place: NDArray[np.float64]
    recent: NDArray[np.float64]
    kind: NDArray[np.uint8]
    turn: NDArray[np.int64]
    turn_kind: NDArray[np.uint8]
    lever: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def position(self) -> NDArray[np.float64]:
        """(N, 3) filtered position at `stamp`, m; NaN where `count` is 0."""
        return self.filters[POSITION, _QUICK]

    @property
    def velocity(self) -> NDArray[np.float64]:
        """(N, 3) at `stamp`, m/s."""
        return self.filters[VELOCITY, _QUICK]

    @property
    def speed_variance(self) -> NDArray[np.float64]:
        """(N, 3) of the velocity, m^2/s^2."""
        return self.filters[SPEED_VARIANCE, _QUICK]


@dataclass(frozen=True, eq=False)
class Motion:
    """Where N points are and how they move at one moment.

    Attributes:
        position: (N, 3) m, NaN where never measured.
        sigma: (N,) one standard deviation of a position that is not measured now, along the ray, m.
        velocity: (N, 3) m/s, NaN while unknown.
        kind: (N,) uint8, values of `PointMotion`.
    """

    position: NDArray[np.float64]
    sigma: NDArray[np.float64]
    velocity: NDArray[np.float64]
    kind: NDArray[np.uint8]


def unknown_points(ids: ArrayLike) -> PointStates:
    """Return the states of points that were never measured."""
    names = np.asarray(ids, dtype=np.uint32)
    count = len(names)
    filters = np.zeros((5, 2, count, 3))
    filters[POSITION] = np.nan
    return PointStates(
        ids=names,
        filters=filters,
        stamp=np.zeros(count, dtype=np.int64),
        sigma=np.full(count, np.nan),
        count=np.zeros(count, dtype=np.int64),
        rejections=np.zeros(count, dtype=np.int64),
        place=np.zeros((count, 3)),
        recent=np.zeros((count, 3)),
        kind=np.zeros(count, dtype=np.uint8),
        turn=np.zeros(count, dtype=np.int64),
        turn_kind=np.zeros(count, dtype=np.uint8),
        lever=np.zeros((count, 3)),
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
    if not len(states):
        return unknown_points(wanted)
    rows, known = rows_of(wanted, states.ids)
    new = np.flatnonzero(~known | fresh)
    blank = unknown_points(wanted[new])
    taken = {}
    for item in fields(PointStates):
        axis = 2 if item.name == "filters" else 0
        values = getattr(states, item.name).take(rows, axis=axis)
        values[(slice(None),) * axis + (new,)] = getattr(blank, item.name)
        taken[item.name] = values
    return PointStates(**taken)


def at_time(states: PointStates, stamp: int, config: MotionConfig) -> Motion:
    """Say where points are that are not measured at `stamp` ns.

    A still point stays where it was. A moving one goes on for `coast_seconds`, then stands still with its
    velocity unknown: further on the guess would be worse than the last position.
    """
    dt = np.where(states.count > 0, (stamp - states.stamp) * _NS, 0.0)
    limit = config.known_speed_sigma**2
    uncertain = largest(states.speed_variance) + config.process_noise * dt
    established = states.count >= _MIN_MEASUREMENTS
    speed = length(states.velocity)
    moving = established & (states.kind == _MOVING)
    coast = np.where(moving, np.minimum(dt, config.coast_seconds), 0.0)
    growth = config.hold_growth + np.where(moving, speed, 0.0)
    told = established & (uncertain < limit)
    told &= ~(moving & (dt > config.coast_seconds))
    return Motion(
        position=states.position + states.velocity * on_axes(coast),
        sigma=np.hypot(states.sigma, growth * dt),
        velocity=np.where(on_axes(told), states.velocity, np.nan),
        kind=np.where(told, states.kind, _UNKNOWN),
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
    measured = np.asarray(np.isfinite(position[:, 0] + position[:, 1] + position[:, 2]))
    started = states.count > 0
    dt = np.where(started, (stamp - states.stamp) * _NS, 0.0)
    filters = predicted(states.filters, dt, config.process_noise * _PROCESS)
    innovation = position - filters[POSITION]
    off = innovation[_QUICK]
    far = squares(off, filters[VARIANCE, _QUICK] + variance) > config.gate_sigmas**2
    far &= length(off) > config.gate_distance
    restart = np.asarray(measured & (~started | (far & (states.rejections >= config.max_rejections))))
    accepted = np.asarray(measured & (~far | restart))
    rejected = measured & ~accepted
    correct(filters, innovation, variance * _ALIKE)
    untouched = np.flatnonzero(~accepted)
    filters[:, :, untouched] = states.filters[:, :, untouched]
    if restart.any():
        filters[:, :, restart] = 0.0
        filters[POSITION][:, restart], filters[VARIANCE][:, restart] = position[restart], variance[restart]
        filters[SPEED_VARIANCE][:, restart] = config.initial_speed**2
    count = np.where(restart, 1, states.count + accepted)
    place, recent, left = _rested(states, position, accepted, variance, dt, count)
    kind, turn, turn_kind = _judged(states, filters, accepted, restart, rejected, left, config, feigned)
    result = PointStates(
        ids=states.ids,
        filters=filters,
        stamp=np.where(accepted, stamp, states.stamp),
        sigma=np.where(accepted, sigma, states.sigma),
        count=count,
        rejections=np.where(accepted, 0, states.rejections + rejected),
        place=place,
        recent=recent,
        kind=kind,
        turn=turn,
        turn_kind=turn_kind,
        lever=states.lever,
    )
    return result, accepted


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
    # What is still is seen at R^T (p - t); this is the difference between both images.
    turn = now[:3, :3] - before[:3, :3]
    shift = position @ turn - (now[:3, 3] @ now[:3, :3] - before[:3, 3] @ before[:3, :3])
    return np.fmax(length(shift), 0.0) * (_FEIGNED / seconds)


def _rested(
    states: PointStates,
    position: NDArray[np.float64],
    accepted: NDArray[np.bool_],
    variance: NDArray[np.float64],
    dt: NDArray[np.float64],
    count: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return places, recent means, and squared distances (N,) of the latter from the former, in sigmas.

    Args:
        states: The points before the measurement.
        position: (N, 3) measurements, m.
        accepted: (N,) bool, which of them count.
        variance: (N, 3) of these, m^2.
        dt: (N,) time since the last one, s.
        count: (N,) measurements with this one, 1 where the point (re)starts.
    """
    least = 1 / np.maximum(count, 1)  # a plain mean at first
    gain = np.maximum(-np.expm1(-dt / _RECENT_SECONDS), least)
    slow = np.maximum(-np.expm1(-dt / _PLACE_SECONDS[states.kind]), least)
    recent = states.recent + on_axes(gain) * np.where(on_axes(accepted), position - states.recent, 0.0)
    off = recent - states.place
    place = states.place + on_axes(np.where(accepted, slow, 0.0)) * off
    noise = _ALIKE[_TREND, 0, 0] * (gain / (2 - gain) + slow / (2 - slow)) + _SLIP
    return place, recent, squares(off, variance) * (1 - slow) ** 2 / noise


def _judged(
    states: PointStates,
    filters: NDArray[np.float64],
    accepted: NDArray[np.bool_],
    restart: NDArray[np.bool_],
    rejected: NDArray[np.bool_],
    left: NDArray[np.float64],
    config: MotionConfig,
    feigned: NDArray[np.float64] | float,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8]]:
    """Return `kind`, `turn` and `turn_kind` by the trend, changed where there was a measurement.

    A flag changes when `_CONFIRM` measurements in a row speak for the same other one. Between surely moving
    and surely still a point keeps its flag for as long as its most likely speed agrees with it. What starts
    to move has left its place, shows in the quick filter, or has its measurements rejected, before the trend
    knows: it is not still from then on.

    Args:
        states: The points before the measurement.
        filters: (5, 2, N, 3) after it.
        accepted: (N,) bool, where it was accepted ...
        restart: ... so that the point started again ...
        rejected: ... or rejected.
        left: (N,) squared distance of the points from their places, in sigmas.
        config: How points may move.
        feigned: (N,) m/s, see `measure`.
    """
    limit = config.moving_speed + feigned
    velocity, variance = filters[VELOCITY], np.maximum(filters[SPEED_VARIANCE], 1e-12)
    speeds = length(velocity)
    starts, surely = (speeds > limit) & (squares(velocity, variance) > _MOVING_CHI2)
    speed = speeds[_TREND]
    slow = speed <= limit
    surely |= starts & (left > _MOVING_CHI2)
    most = speed + _STILL_SIGMAS * np.sqrt(largest(variance[_TREND]))
    verdict = np.where(most < config.moving_speed, _STATIC, _UNKNOWN)
    verdict[surely] = _MOVING
    kind = np.where(restart, _UNKNOWN, states.kind)
    still = kind == _STATIC
    doubt = verdict == _UNKNOWN
    verdict = np.where(doubt & (still == slow), kind, verdict)
    contradicted = (verdict == _STATIC) & (rejected | (accepted & (starts | (left > _LEFT_CHI2))))
    verdict[contradicted] = _UNKNOWN
    judged = accepted | (contradicted & still)
    turn = np.where(verdict == kind, 0, np.where(verdict == states.turn_kind, states.turn + 1, 1))
    turn = np.where(judged, turn, states.turn)
    changed = judged & (turn >= np.where(still, _DOUBT, _CONFIRM))
    kind = np.where(changed, verdict, kind)
    return kind, np.where(changed, 0, turn), np.where(judged, verdict, states.turn_kind)
