"""Bodies over a window of images: tracks join them, new ones are found, two become one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body import (
    BodiesState,
    Body,
    join_body,
    join_other,
    start_by_motion,
)
from cotracker_ros.reconstruction.body_config import BodiesConfig
from cotracker_ros.reconstruction.body_grouping import (
    MIN_SEEN,
    Group,
    find_groups,
    follows,
    judged,
    stays,
)
from cotracker_ros.reconstruction.body_window import Measured, along_path, at_rest, places, trend
from cotracker_ros.reconstruction.rigid import align, difference, rotation_log

_NS = 1e-9
_IMAGES = 8  # of the window that are looked at
_MOVES = 25.0  # of a straight motion in squared sigmas, three degrees of freedom
_SAME_TRACKS = 0.6  # part of a group's tracks that must be found again
_MERGE_AFTER = 3  # times in a row that two bodies must move as one
_MOVES_AS_ONE = 0.8  # part of a body's members that must follow the other's path
_CAMERA_STILL = (0.01, 0.01)  # m, rad: a camera that moved less within the window stands still


def find_moving(state: BodiesState, config: BodiesConfig, points: Measured) -> None:
    """Note which tracks without a body move, and let those that move with a body join it."""
    members = state.members
    rows = np.flatnonzero((members.body == 0) & points.seen)
    slots = state.window.recent(config.window_seconds, _IMAGES)
    state.moving = members.ids[:0]
    if len(slots) < MIN_SEEN or not len(rows):
        return
    straight = trend(state.window, slots, rows)
    moves = (straight.chi2 > _MOVES) & (straight.displacement > config.min_displacement)
    rows = rows[moves & (straight.seen >= MIN_SEEN)]
    rows = _join(state, rows, slots, points)
    state.moving = members.ids[rows]


def _join(
    state: BodiesState, rows: NDArray[np.intp], slots: NDArray[np.intp], points: Measured
) -> NDArray[np.intp]:
    """Let moving tracks join the bodies with which they move; return the rest."""
    bodies = [body for body in state.active if body.measured_at == state.stamp]
    if not bodies or not len(rows):
        return rows
    members = state.members
    rest = at_rest(state.window, slots, rows).chi2
    best, choice = np.full(len(rows), np.inf), np.zeros(len(rows), np.int64)
    for body in bodies:
        useful = slots[np.isfinite(body.path[slots, 0, 0])]
        if len(useful) < MIN_SEEN:
            continue
        allowed = (members.code[rows] == 0) | (members.former[rows] != 0)
        if body.label:
            allowed = members.code[rows] == members.names.index(body.label) + 1
        taken = np.flatnonzero(allowed)
        if not len(taken):
            continue
        path = along_path(state.window, useful, rows[taken], body.path[useful])
        still = rest[taken]
        if len(useful) < len(slots):
            still = at_rest(state.window, useful, rows[taken]).chi2
        joins = follows(path, still) & (path.ratio < best[taken])
        best[taken[joins]], choice[taken[joins]] = path.ratio[joins], body.id
    for body in bodies:
        joining = rows[choice == body.id]
        if len(joining):
            join_body(state, body, joining, points)
    return rows[choice == 0]


def check_members(state: BodiesState) -> None:
    """Let go of members that slide away from their bodies, slowly enough to agree in every single image."""
    slots = state.window.recent(np.inf, state.window.size)
    for body in state.active:
        rows = state.members.of(body.id)
        useful = slots[np.isfinite(body.path[slots, 0, 0])]
        if len(useful) < MIN_SEEN or not len(rows):
            continue
        path = along_path(state.window, useful, rows, body.path[useful])
        strays = judged(path) & ~stays(path)
        state.members.stray(rows, strays)


def find_bodies(
    state: BodiesState, config: BodiesConfig, points: Measured, generator: np.random.Generator
) -> None:
    """Look for groups among moving tracks; one that is found twice in a row is a body."""
    rows, known = places(state.members.ids, state.moving)
    rows = rows[known]
    rows = rows[points.seen[rows] & (state.members.body[rows] == 0)]
    slots = state.window.recent(config.window_seconds, _IMAGES)
    groups = []
    if len(rows) >= config.min_members and len(slots) >= MIN_SEEN:
        groups = find_groups(state.window, slots, np.sort(rows), config.min_members, 4, generator)
    free = int(((state.members.body == 0) & points.seen).sum())
    limit = config.world_share * free if _camera_moved(state, slots) else np.inf
    before, state.proposals = state.proposals, []
    for group in groups:
        if len(group.columns) > limit:
            continue
        ids = state.members.ids[group.columns]
        if any(np.isin(ids, old).mean() >= _SAME_TRACKS for old in before):
            _begin(state, config, group, points)
        else:
            state.proposals.append(ids)


def _camera_moved(state: BodiesState, slots: NDArray[np.intp]) -> bool:
    if len(slots) < 2:
        return True
    cameras = state.cameras[slots]
    shift = np.linalg.norm(np.ptp(cameras[:, :3, 3], axis=0))
    turn = np.linalg.norm(rotation_log(cameras[0, :3, :3].T @ cameras[-1, :3, :3]))
    return bool(shift > _CAMERA_STILL[0] or turn > _CAMERA_STILL[1])


def _begin(state: BodiesState, config: BodiesConfig, group: Group, points: Measured) -> None:
    """Make a body of a group, or give it to the body of the label that most of its tracks left."""
    former = state.members.former[group.columns]
    ids, counts = np.unique(former[former > 0], return_counts=True)
    if len(ids) and counts.max() >= _SAME_TRACKS * len(former):
        body = state.bodies.get(int(ids[np.argmax(counts)]))
        if body is not None and body.label and not body.moved and not body.lost:
            _seat(state, body, group, points)
            return
    if state.room(config.max_bodies):
        start_by_motion(state, group, points)


def _seat(state: BodiesState, body: Body, group: Group, points: Measured) -> None:
    """Let a body of a label that stood still be the part of it that moves; the rest is none of it."""
    members = state.members
    rest = members.of(body.id)
    members.former[rest], members.body[rest] = body.id, 0
    back = members.former[group.columns] == body.id
    pose = align(members.model[group.columns[back]], group.place[back])
    body.path[:] = np.nan
    body.path[group.slots] = group.poses @ pose
    stamps = state.window.stamps[group.slots[-2:]]
    body.twist = difference(body.path[group.slots[-1]], body.path[group.slots[-2]])
    body.twist = body.twist / max(float(stamps[1] - stamps[0]) * _NS, 1e-3)
    body.pose = pose
    body.covariance = np.diag([0.02**2] * 3 + [0.05**2] * 3 + [0.2**2] * 3 + [0.5**2] * 3)
    body.moved, body.measured_at, body.moved_at = True, state.stamp, state.stamp
    turn = pose[:3, :3]
    model = (group.place - pose[:3, 3]) @ turn
    members.join(group.columns, body.id, model, turn.T @ group.information @ turn, 2.0 * body.drift)
    body.support = len(group.columns)


def merge_bodies(state: BodiesState, config: BodiesConfig, points: Measured) -> None:
    """Make one body of two that have moved as one for long enough; the one with more tracks stays."""
    bodies = [body for body in state.active if not body.label and body.measured_at == state.stamp]
    bodies = [body for body in bodies if body.moved_at == state.stamp]
    slots = state.window.recent(config.window_seconds, _IMAGES)
    agreed: dict[tuple[int, int], int] = {}
    for k, first in enumerate(bodies):
        for second in bodies[k + 1 :]:
            if not (_same_twist(first, second) and _moves_as_one(state, slots, first, second, points)):
                continue
            key = (first.id, second.id)
            agreed[key] = state.agreed.get(key, 0) + 1
    state.agreed = agreed
    for key, count in agreed.items():
        if count < _MERGE_AFTER or any(name not in state.bodies for name in key):
            continue
        pair = [state.bodies[name] for name in key]
        pair.sort(key=lambda body: (-len(state.members.of(body.id)), body.id))
        join_other(state, pair[0], pair[1])


def _same_twist(first: Body, second: Body) -> bool:
    """Say whether two bodies may move as one now, within wide limits."""
    lever = second.pose[:3, 3] - first.pose[:3, 3]
    velocity = first.twist[:3] + np.cross(first.twist[3:], lever)
    spread = first.covariance[6:9, 6:9] + second.covariance[6:9, 6:9]
    limit = 0.05 + 4 * float(np.sqrt(np.trace(spread))) + 0.2 * float(np.linalg.norm(lever))
    return float(np.linalg.norm(velocity - second.twist[:3])) < limit


def _moves_as_one(
    state: BodiesState, slots: NDArray[np.intp], first: Body, second: Body, points: Measured
) -> bool:
    """Say whether the members of the smaller of two bodies follow the path of the other."""
    members = state.members
    pair = [(body, np.flatnonzero((members.body == body.id) & points.seen)) for body in (first, second)]
    pair.sort(key=lambda item: -len(item[1]))
    path, rows = pair[0][0].path, pair[1][1]
    useful = slots[np.isfinite(path[slots, 0, 0])]
    if len(useful) < MIN_SEEN or len(rows) < MIN_SEEN:
        return False
    fit = along_path(state.window, useful, rows, path[useful])
    still = at_rest(state.window, useful, rows).chi2
    return bool(follows(fit, still).mean() >= _MOVES_AS_ONE)
