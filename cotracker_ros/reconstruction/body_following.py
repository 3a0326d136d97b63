"""Bodies from one image to the next: their poses by their members, and their members by their poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body import BodiesState, Body, join_body, start_by_label
from cotracker_ros.reconstruction.body_config import BodiesConfig
from cotracker_ros.reconstruction.body_filter import (
    BodyStates,
    Correction,
    MemberPoints,
    correct,
    predict,
)
from cotracker_ros.reconstruction.body_window import Measured
from cotracker_ros.reconstruction.ellipsoids import inverse
from cotracker_ros.reconstruction.rigid import consensus

_NS = 1e-9
MIN_FIT = 3  # members that must agree for a pose to count as measured
_FEW = 0.5  # where a smaller part of the members agrees, another pose is looked for
_BACK_SPEED = (0.7, 2.0)  # one standard deviation of the twist of a body that is seen again, m/s, rad/s
_SIGNIFICANT = 30.0  # of a twist, in squared sigmas


def follow_bodies(
    state: BodiesState,
    config: BodiesConfig,
    points: Measured,
    camera: NDArray[np.float64],
    generator: np.random.Generator,
) -> None:
    """Carry all bodies on from the last image to that of `state.stamp`, `camera` being its (4, 4) pose."""
    bodies = state.active
    if bodies:
        _carry_on(bodies, state, config)
        seen = points.seen
        rows = [np.flatnonzero((state.members.body == body.id) & seen) for body in bodies]
        fitted = [(body, own) for body, own in zip(bodies, rows, strict=True) if len(own) >= MIN_FIT]
        if fitted:
            _measure(fitted, state, config, points, camera, generator)
        for body in bodies:
            body.lost = state.stamp - body.measured_at > int(config.predict_seconds / _NS)
    for body in list(state.bodies.values()):
        if body.lost:
            _find_again(body, state, config, points, camera, generator)
    _end(state, config)


def follow_labels(state: BodiesState, config: BodiesConfig, points: Measured) -> None:
    """Make bodies of tracks with a common label, and let further tracks of a label join its body."""
    members = state.members
    free = (members.code > 0) & (members.body == 0) & (members.former == 0) & points.seen
    if not free.any():
        return
    by_label = {body.label: body for body in state.bodies.values() if body.label}
    for code in np.unique(members.code[free]).tolist():
        rows = np.flatnonzero(free & (members.code == code))
        label = members.names[code - 1]
        body = by_label.get(label)
        if body is None:
            if len(rows) >= MIN_FIT and state.room(config.max_bodies):
                start_by_label(state, label, rows, points)
        elif body.measured_at == state.stamp:
            join_body(state, body, rows, points)


def _carry_on(bodies: list[Body], state: BodiesState, config: BodiesConfig) -> None:
    stacked = BodyStates(
        np.stack([body.pose for body in bodies]),
        np.stack([body.twist for body in bodies]),
        np.stack([body.covariance for body in bodies]),
    )
    after = predict(stacked, state.seconds, config.linear_noise, config.angular_noise)
    for k, body in enumerate(bodies):
        body.pose, body.twist, body.covariance = after.pose[k], after.twist[k], after.covariance[k]


def _measure(
    fitted: list[tuple[Body, NDArray[np.intp]]],
    state: BodiesState,
    config: BodiesConfig,
    points: Measured,
    camera: NDArray[np.float64],
    generator: np.random.Generator,
) -> None:
    """Correct bodies by their measured members, given as rows."""
    members = state.members
    bodies = [body for body, _ in fitted]
    rows = np.concatenate([own for _, own in fitted])
    owner = np.repeat(np.arange(len(fitted)), [len(own) for _, own in fitted])
    taken = MemberPoints(
        owner,
        members.model[rows],
        inverse(members.information[rows]),
        points.xyz[rows],
        points.covariance(rows),
    )
    states = BodyStates(
        np.stack([body.pose for body in bodies]),
        np.stack([body.twist for body in bodies]),
        np.stack([body.covariance for body in bodies]),
    )
    found = correct(states, taken, config.gate_sigmas)
    trusted = np.zeros(len(rows), np.bool_)
    for k, body in enumerate(bodies):
        own = owner == k
        result, row = found, k
        if not _believable(result, row, int(own.sum()), body.support):
            one = BodyStates(states.pose[k : k + 1], states.twist[k : k + 1], states.covariance[k : k + 1])
            again = _another_start(one, taken.of(k), points.sigmas(rows[own]), camera, config, generator)
            if again is None or not _believable(again, 0, int(own.sum()), body.support):
                continue
            result, row = again, 0
            found.agrees[own] = again.agrees
        trusted |= own
        body.pose, body.twist = result.states.pose[row], result.states.twist[row]
        body.covariance = result.states.covariance[row]
        body.measured_at, body.support = state.stamp, int(result.agreeing[row])
        body.drift = float(members.drift[rows[own & found.agrees]].mean())
        _note_motion(body, taken.model[own], state.stamp, config)
    members.judge(rows[trusted], found.agrees[trusted], config.leave_after)
    kept = trusted & found.agrees
    turn = np.stack([body.pose for body in bodies])[owner[kept]]
    offset = points.xyz[rows[kept]] - turn[:, :3, 3]
    back = turn[:, :3, :3].transpose(0, 2, 1)
    local = (back @ offset[..., None])[..., 0]
    members.observe(rows[kept], local, back @ points.information(rows[kept]) @ turn[:, :3, :3])


def _believable(result: Correction, row: int, count: int, support: int) -> bool:
    """Say whether a pose is measured: a surprising one only if many of the former members say it."""
    agreeing = int(result.agreeing[row])
    if agreeing < MIN_FIT or agreeing < _FEW * count:
        return False
    return not (bool(result.surprising[row]) and agreeing < _FEW * support)


def _another_start(
    state: BodyStates,
    points: MemberPoints,
    sigmas: NDArray[np.float64],
    camera: NDArray[np.float64],
    config: BodiesConfig,
    generator: np.random.Generator,
) -> Correction | None:
    """Correct one body from the pose on which most of its members agree."""
    pose = _consensus(points.model, points.xyz, sigmas, camera, generator)
    if pose is None:
        return None
    return correct(state, points, config.gate_sigmas, start=pose[None])


def _consensus(
    model: NDArray[np.float64],
    xyz: NDArray[np.float64],
    sigmas: NDArray[np.float64],
    camera: NDArray[np.float64],
    generator: np.random.Generator,
) -> NDArray[np.float64] | None:
    """Return the pose on which most points agree; `sigmas` are those along the axes of the camera."""
    turn = camera[:3, :3]
    # The body's frame is turned, too, so that distances in the fixed frame come out in the camera's axes.
    found = consensus(model, xyz @ turn, 1.5 * sigmas, generator, hypotheses=32)
    if found is None:
        return None
    pose = np.eye(4)
    pose[:3, :3] = turn @ found.pose[:3, :3]
    pose[:3, 3] = turn @ found.pose[:3, 3]
    return pose


def _note_motion(body: Body, model: NDArray[np.float64], stamp: int, config: BodiesConfig) -> None:
    """Say whether a body moves now: faster than rest and than noise."""
    radius = float(np.sqrt((model * model).sum(axis=1).mean()))
    speed = float(np.linalg.norm(body.twist[:3]) + radius * np.linalg.norm(body.twist[3:]))
    if speed < config.rest_speed:
        return
    twist = body.twist
    if float(twist @ np.linalg.solve(body.covariance[6:, 6:], twist)) > _SIGNIFICANT:
        body.moved_at = stamp


def _find_again(
    body: Body,
    state: BodiesState,
    config: BodiesConfig,
    points: Measured,
    camera: NDArray[np.float64],
    generator: np.random.Generator,
) -> None:
    """Take up a lost body where enough of its members are seen again in their old arrangement."""
    rows = np.flatnonzero((state.members.body == body.id) & points.seen)
    enough = MIN_FIT if body.label else config.min_members
    if len(rows) < enough or state.images % 2:
        return
    members = state.members
    pose = _consensus(members.model[rows], points.xyz[rows], points.sigmas(rows), camera, generator)
    if pose is None:
        return
    covariance = np.diag([0.1**2] * 3 + [0.3**2] * 3 + [_BACK_SPEED[0] ** 2] * 3 + [_BACK_SPEED[1] ** 2] * 3)
    start = BodyStates(pose[None], np.zeros((1, 6)), covariance[None])
    taken = MemberPoints(
        np.zeros(len(rows), np.intp),
        members.model[rows],
        inverse(members.information[rows]),
        points.xyz[rows],
        points.covariance(rows),
    )
    found = correct(start, taken, config.gate_sigmas)
    agreeing = int(found.agreeing[0])
    if agreeing < max(enough, 0.6 * len(rows)) or agreeing < 0.2 * body.support:
        return
    after = found.states
    body.pose, body.twist, body.covariance = after.pose[0], after.twist[0], after.covariance[0]
    body.lost, body.measured_at, body.moved_at = False, state.stamp, state.stamp
    body.support = agreeing


def _end(state: BodiesState, config: BodiesConfig) -> None:
    """Forget bodies that stand still, or were lost, for too long."""
    for body in list(state.bodies.values()):
        lost = body.lost and state.stamp - body.measured_at > int(config.forget_seconds / _NS)
        still = state.stamp - body.moved_at > int(config.rest_seconds / _NS)
        if body.label:
            if body.lost and not (state.members.body == body.id).any():
                state.forget(body)
        elif lost or still:
            state.forget(body)
