"""Bodies from one image to the next: their poses by their members, and their members by their poses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

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
from cotracker_ros.reconstruction.body_members import Members
from cotracker_ros.reconstruction.body_window import Measured
from cotracker_ros.reconstruction.ellipsoids import inverse
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.rigid import consensus, skew

_NS = 1e-9
MIN_FIT = 3  # members that must agree for a pose to count as measured
_LOOKS_EVERY = 3  # images: how often a body that is not where it should be is looked for
_FADE = 0.98  # of what is remembered of how many members agreed, for each image
_FEW = 0.5  # where a smaller part of the members agrees, another pose is looked for
_FEW_SLIP = 6.0  # tracks: of so many, the pose slips twice as far as of very many
_GAP = 0.2  # s: a body that was not measured for so long is only measured again by many of its members
_BACK = np.diag([0.1**2] * 3 + [0.3**2] * 3 + [0.7**2] * 3 + [2.0**2] * 3)
"""(12, 12) covariance of the pose and twist of a body that is seen again, before it is measured there."""
_MOST = 0.6  # part of the members that are seen again that must agree
_AGILITY = (0.05, 20.0)  # least and most acceleration of a body, as a multiple of the configured density
_LEARN = 0.1  # how fast it follows what the body does, for each image
_MOST_SURPRISED = 4.0  # of the mean square of its innovations; more counts as this
_SETS_OFF = 40.0  # squared sigmas by which a motion must explain better what stood, six degrees of freedom
_UNEVEN = 9.0  # squared sigmas: no member counts for more in telling whether all move together
_LEAVES_AFTER = 3  # images in a row in which a body has left its start, for it to be moving
_NEAR = 6.25  # squared error, 90 % of members that stay have less
_SOME = 0.2  # part of the members


def follow_bodies(
    state: BodiesState,
    config: BodiesConfig,
    points: Measured,
    camera: NDArray[np.float64],
) -> None:
    """Carry all bodies on from the last image to that of `state.stamp`, `camera` being its (4, 4) pose."""
    bodies = state.active
    if bodies:
        sight = _sight(bodies, _carry_on(bodies, state, config), state, points)
        if sight is not None:
            _measure(sight, state, config, points, camera)
        _slip([body for body in bodies if body.moved], state, config, camera)
        for body in bodies:
            body.lost = state.stamp - body.measured_at > int(config.predict_seconds / _NS)
    for body in list(state.bodies.values()):
        if body.lost:
            _find_again(body, state, config, points, camera)
    _end(state, config)


def follow_labels(state: BodiesState, config: BodiesConfig, points: Measured) -> None:
    """Make bodies of tracks with a common label, and let further tracks of a label join its body."""
    members = state.members
    if not members.names:
        return
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
                start_by_label(state, label, rows, points, config.alike)
        elif body.measured_at == state.stamp:
            join_body(state, body, rows, points)


def _carry_on(bodies: list[Body], state: BodiesState, config: BodiesConfig) -> BodyStates:
    """Return where bodies are by their twists, and put those that do not stand there."""
    for body in bodies:
        if body.standing:
            body.stand()
    stacked = BodyStates(
        np.array([body.pose for body in bodies]),
        np.array([body.twist for body in bodies]),
        np.array([body.covariance for body in bodies]),
    )
    density = np.array([config.linear_noise] * 3 + [config.angular_noise] * 3)
    agility = np.array([body.agility for body in bodies])
    after = predict(stacked, state.seconds, agility, density)
    for k, body in enumerate(bodies):
        if not body.standing:
            body.pose, body.twist, body.covariance = after.pose[k], after.twist[k], after.covariance[k]
    return after


def _slip(bodies: list[Body], state: BodiesState, config: BodiesConfig, camera: NDArray[np.float64]) -> None:
    """Note how far the tracks of bodies may have slipped, all alike, on their way since the last image.

    Of few tracks, a few that slip together are most, and are not told from the others.
    """
    members = state.members
    for body in bodies:
        own = members.model[members.of(body.id)].ravel()
        radius = math.sqrt(3.0 * float(own @ own) / max(len(own), 1))
        twist = body.twist.tolist()
        way = (math.hypot(*twist[:3]) + radius * math.hypot(*twist[3:])) * state.seconds
        error = math.hypot(state.bearing * math.dist(body.pose[:3, 3], camera[:3, 3]), config.sigma_floor)
        body.slip += config.slip * (1.0 + _FEW_SLIP / max(body.support, 1.0)) * way / max(error, 1e-9)


@dataclass(frozen=True, eq=False)
class _Sight:
    """What is seen of bodies in an image.

    Attributes:
        bodies: B bodies.
        states: Where they should be.
        rows: (B, M) rows of their measured members, where `members` says that there is one.
        counts: How many measured members each of them has.
        members: They.
    """

    bodies: list[Body]
    states: BodyStates
    rows: NDArray[np.intp]
    counts: list[int]
    members: MemberPoints

    def rows_of(self, k: int) -> NDArray[np.intp]:
        """Return the rows of the measured members of one body."""
        return self.rows[k, : self.counts[k]]


def _sight(bodies: list[Body], expected: BodyStates, state: BodiesState, points: Measured) -> _Sight | None:
    """Gather the measured members of all bodies that have enough of them."""
    members = state.members
    seen = np.flatnonzero((members.body > 0) & points.seen)
    owners = members.body[seen]
    found = [seen[owners == body.id] for body in bodies]
    enough = [k for k, own in enumerate(found) if len(own) >= MIN_FIT]
    if not enough:
        return None
    if len(enough) < len(bodies):
        bodies, expected = [bodies[k] for k in enough], expected.of(enough)
    counts = [len(found[k]) for k in enough]
    there = np.arange(max(counts)) < np.array(counts)[:, None]
    rows = np.full(there.shape, found[enough[0]][0])
    rows[there] = np.concatenate([found[k] for k in enough])
    taken = MemberPoints(
        there, members.model[rows], members.covariance[rows], points.xyz[rows], points.covariance(rows)
    )
    return _Sight(bodies, expected, rows, counts, taken)


def _measure(
    sight: _Sight,
    state: BodiesState,
    config: BodiesConfig,
    points: Measured,
    camera: NDArray[np.float64],
) -> None:
    """Correct bodies by their measured members, and what is known of the members by the bodies."""
    members, taken = state.members, sight.members
    found = correct(sight.states, taken, config.gate_sigmas, config.alike)
    trusted, agrees = np.zeros(len(sight.bodies), np.bool_), found.agrees
    for k, body in enumerate(sight.bodies):
        rows = sight.rows_of(k)
        count = len(rows)
        if not body.moved:
            still = _still_there(body, found.states.pose[k], taken.of(k), config.gate_sigmas)
            if still is not None:
                _stand(body, state, rows[still])
                trusted[k], agrees[k, :count] = True, still
                continue
            body.leaving += 1
            if body.leaving < _LEAVES_AFTER:
                # It may be a part only that moves: nothing but the pose is believed yet.
                _leave(body, found.states, k, state.stamp)
                continue
        result, row = found, k
        if not _believable(body, result, row, count, state, config):
            again = _another_pose(sight, k, state, config, points, camera)
            if again is None or not _believable(body, again, 0, count, state, config):
                # What is seen off the body, and not together with the others, stuck to something else.
                off = rows[_left_behind(sight.states.of([k]), taken.of(k), config.gate_sigmas)]
                members.judge(off, np.zeros(len(off), np.bool_), config.leave_after)
                continue
            result, row = again, 0
            agrees[k, :count] = again.agrees[0]
        trusted[k] = True
        _move(body, result, row, state.stamp)
        drift = members.drift[rows[agrees[k, :count]]]
        body.drift = float(drift.sum()) / len(drift)
    sure = taken.there & trusted[:, None]
    members.judge(sight.rows[sure], agrees[sure], config.leave_after)
    _refine(sight, agrees & sure, members, points)


def _refine(sight: _Sight, kept: NDArray[np.bool_], members: Members, points: Measured) -> None:
    """Take measurements, `kept` (B, M), for where the members are on their bodies."""
    pose = np.array([body.pose for body in sight.bodies])
    local = (sight.members.xyz - pose[:, None, :3, 3]) @ pose[:, :3, :3]
    owner, rows = np.nonzero(kept)[0], sight.rows[kept]
    turn = pose[owner, :3, :3]
    members.observe(rows, local[kept], turn.transpose(0, 2, 1) @ points.information(rows) @ turn)


def _leave(body: Body, states: BodyStates, row: int, stamp: int) -> None:
    """Take over the pose of a body that was seen away from its start, but may still be found to stand."""
    if body.leaving == 1:
        body.set_off(states.pose[row], states.covariance[row, :6, :6])
    else:
        body.pose, body.twist, body.covariance = states.pose[row], states.twist[row], states.covariance[row]
    body.measured_at = stamp


def _move(body: Body, result: Correction, row: int, stamp: int) -> None:
    """Take over a measured pose."""
    body.pose, body.twist = result.states.pose[row], result.states.twist[row]
    body.covariance = result.states.covariance[row]
    body.measured_at, body.support = stamp, max(float(result.agreeing[row]), _FADE * body.support)
    if not body.moved:
        body.moved, body.moved_at = True, stamp
    surprise = min(float(result.surprise[row]) / 6, _MOST_SURPRISED)
    least, most = _AGILITY
    body.agility = min(max(body.agility * math.exp(_LEARN * (surprise - 1)), least), most)


def _still_there(
    body: Body, fitted: NDArray[np.float64], points: MemberPoints, gate_sigmas: float
) -> NDArray[np.bool_] | None:
    """Say which members of a body that has not moved yet are where they were; None when it moves now.

    It moves when all members, together, do. When some stay and others go, a label was given to more than one
    thing: the body stands still until it is known which of its members belong together.

    Args:
        body: A body that has not moved yet.
        fitted: (4, 4) the pose that fits its members best.
        points: Its measured members, (M,).
        gate_sigmas: Members with a larger error do not agree.
    """
    information = points.seen_from(body.start[None]).information[0]
    model = points.model[0]
    start = transform_points(body.start, model)
    got = points.xyz[0] - start
    errors = np.einsum("ni,nij,nj->n", got, information, got)
    # How far each got on the way that all would have gone together: one is all of it, none is zero.
    way = transform_points(fitted, model) - start
    weighted = (information @ way[..., None])[..., 0]
    length, done = (weighted * way).sum(axis=1), (weighted * got).sum(axis=1)
    uneven = np.minimum((done - length) ** 2 / np.maximum(length, 1e-9), _UNEVEN)
    together = uneven.sum() < len(got) + 3.0 * np.sqrt(2.0 * len(got))
    if (2.0 * done - length).sum() > _SETS_OFF and together:
        return None
    if np.count_nonzero(errors < _NEAR) < max(MIN_FIT, _SOME * len(errors)):
        return None
    return np.asarray(errors < gate_sigmas**2)


def _stand(body: Body, state: BodiesState, rows: NDArray[np.intp]) -> None:
    """Note that members, as rows, of a body that has not moved yet are where they were."""
    body.stand()
    body.measured_at, body.support = state.stamp, len(rows)
    body.stood, body.leaving = body.stood + 1, 0
    # Its place becomes known better than by the first image, but not for ever: errors of depth stay.
    body.drift = max(1.0 / (1.0 + body.stood / 3.0), 0.05)
    state.members.drift[rows] = body.drift


def _left_behind(state: BodyStates, points: MemberPoints, gate_sigmas: float) -> NDArray[np.bool_]:
    """Say which of the members (M,) of one body are not where it can be by its last motion."""
    seen = points.seen_from(state.pose)
    offsets = seen.model[0] @ state.pose[0, :3, :3].T
    residuals = seen.xyz[0] - state.pose[0, :3, 3] - offsets
    jacobian = np.concatenate([np.broadcast_to(np.eye(3), (len(offsets), 3, 3)), -skew(offsets)], axis=2)
    spread = jacobian @ state.covariance[0, :6, :6] @ jacobian.transpose(0, 2, 1)
    information = inverse(inverse(seen.information[0]) + spread)
    return np.asarray(np.einsum("ni,nij,nj->n", residuals, information, residuals) > gate_sigmas**2)


def _believable(
    body: Body, result: Correction, row: int, count: int, state: BodiesState, config: BodiesConfig
) -> bool:
    """Say whether a pose by `count` members is measured.

    A surprising one is only if many of the former members say it; one after some time without, too: a few
    tracks that come back together may have stuck to what hid the body.
    """
    agreeing = int(result.agreeing[row])
    if agreeing < max(MIN_FIT if body.label else config.min_members, _FEW * count):
        return False
    gap = (state.stamp - body.measured_at) * _NS > max(_GAP, 1.5 * state.seconds)
    return agreeing >= _FEW * body.support or not (gap or bool(result.surprising[row]))


def _another_pose(
    sight: _Sight,
    k: int,
    state: BodiesState,
    config: BodiesConfig,
    points: Measured,
    camera: NDArray[np.float64],
) -> Correction | None:
    """Correct body `k` from the pose on which most of its members agree, when it is time to look for one."""
    just_now = (state.stamp - sight.bodies[k].measured_at) * _NS < 1.5 * state.seconds
    if not just_now and state.images % _LOOKS_EVERY:
        return None
    taken = sight.members.of(k)
    sigmas = points.sigmas(sight.rows_of(k))
    pose = _consensus(taken, sigmas, camera, state.chance)
    if pose is None:
        return None
    return correct(sight.states.of([k]), taken, config.gate_sigmas, config.alike, start=pose[None])


def _consensus(
    points: MemberPoints,
    sigmas: NDArray[np.float64],
    camera: NDArray[np.float64],
    generator: np.random.Generator,
) -> NDArray[np.float64] | None:
    """Return the pose on which most members of a body agree.

    `sigmas` (M, 3) are those of the measurements along the axes of the camera, m.
    """
    turn = camera[:3, :3]
    # The fixed frame is turned, too, so that distances in it come out in the camera's axes.
    found = consensus(points.model[0], points.xyz[0] @ turn, 1.5 * sigmas, generator, hypotheses=32)
    if found is None:
        return None
    pose = np.eye(4)
    pose[:3, :3] = turn @ found.pose[:3, :3]
    pose[:3, 3] = turn @ found.pose[:3, 3]
    return pose


def _find_again(
    body: Body,
    state: BodiesState,
    config: BodiesConfig,
    points: Measured,
    camera: NDArray[np.float64],
) -> None:
    """Take up a lost body where enough of its members are seen again in their old arrangement."""
    if state.images % _LOOKS_EVERY:
        return
    sight = _sight([body], BodyStates(body.pose[None], np.zeros((1, 6)), _BACK[None]), state, points)
    count = 0 if sight is None else sight.rows.shape[1]
    enough = max(MIN_FIT if body.label else config.min_members, _FEW * body.support)
    if sight is None or count < enough:
        return
    pose = _consensus(sight.members, points.sigmas(sight.rows[0]), camera, state.chance)
    if pose is None:
        return
    found = correct(replace(sight.states, pose=pose[None]), sight.members, config.gate_sigmas, config.alike)
    if found.agreeing[0] < max(enough, _MOST * count):
        return
    after = found.states
    body.pose, body.twist, body.covariance = after.pose[0], after.twist[0], after.covariance[0]
    body.lost, body.measured_at, body.moved_at, body.moved = False, state.stamp, state.stamp, True
    body.support = float(found.agreeing[0])


def _end(state: BodiesState, config: BodiesConfig) -> None:
    """Forget bodies that stand still, or were lost, for too long."""
    for body in list(state.bodies.values()):
        lost = body.lost and state.stamp - body.measured_at > int(config.forget_seconds / _NS)
        patience = min(config.rest_seconds, 1.0 + 3.0 * (body.moved_at - body.since) * _NS)
        still = state.stamp - body.moved_at > int(patience / _NS)
        if body.label:
            if body.lost and not (state.members.body == body.id).any():
                state.forget(body)
        elif lost or still:
            state.forget(body)
