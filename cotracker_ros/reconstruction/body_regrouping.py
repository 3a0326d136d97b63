"""Bodies over a window of images: tracks join them, new ones are found, two become one."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body import (
    BodiesState,
    Body,
    Candidate,
    Look,
    join_body,
    join_other,
    late_twist,
    start_by_motion,
)
from cotracker_ros.reconstruction.body_config import BodiesConfig
from cotracker_ros.reconstruction.body_grouping import (
    Group,
    connected_parts,
    find_seeds,
    grow_group,
    within_reach,
)
from cotracker_ros.reconstruction.body_paths import (
    MIN_SEEN,
    along_path,
    at_rest,
    displacement,
    leverage,
    rest_errors,
)
from cotracker_ros.reconstruction.body_window import Measured
from cotracker_ros.reconstruction.ids import rows_of
from cotracker_ros.reconstruction.poses import invert_pose, transform_points
from cotracker_ros.reconstruction.rigid import align, difference, rotation_log

_NS = 1e-9
_IMAGES = 8  # of the window that are looked at
_GROUPED_IMAGES = 12  # ... for new bodies
_TENDED_IMAGES = 12  # ... for the members of a body
_ENOUGH_AT_REST = 20  # tracks without a body, to learn from them how noisy measurements are
_LOW, _LOW_RATIO = 0.3, 0.85  # ... from those with the smallest errors, and what these are for honest noise
_LEARN = 0.2  # how fast
_MOST_NOISE = 16.0  # variance, as a multiple of what measurements claim
_DRIFT = 0.5  # part of the camera's motion by which tracks of still points may drift
_MOVES = 25.0  # of a straight motion in squared sigmas, three degrees of freedom
_MOVED_SIGMAS = 5.0  # of a body's pose
_RECENTLY = 1.0  # s since two bodies moved, for them to be merged
_SAME_TRACKS = 0.6  # part of a group's tracks that must be found again
_MOVES_AS_ONE = 0.8  # part of a body's members that must keep to the other's path ...
_SHOWS = 0.5  # ... that must show by it that they move
_PATIENCE = 0.65  # part of the window that must be filled before bodies are looked for
_MERGE_AFTER = 2  # times in a row that two bodies must move as one
_LOOKS = 4  # groups that are remembered to be known when they are found again
_SURE = 2  # times the least number of members: a group of so many need not be found twice
_NOW = 0.3  # s: what did not move for so long has come to rest
_APART = (0.03, 0.1)  # m and rad within the window: bodies that move more against each other are two
_CAMERA_STILL = (0.01, 0.01)  # m, rad: a camera that moved less within the window stands still


def find_moving(state: BodiesState, config: BodiesConfig, points: Measured) -> None:
    """Note which tracks without a body move, and how noisy the others are."""
    members = state.members
    rows = np.flatnonzero((members.body == 0) & points.seen)
    slots = state.window.recent(config.window_seconds, _IMAGES)
    members.restless, members.moving = np.zeros((2, len(members.ids)), np.bool_)
    if len(slots) < MIN_SEEN or not len(rows):
        return
    rest = at_rest(state.window, slots, rows)
    known = rest.judged
    if known.sum() >= _ENOUGH_AT_REST:
        ratios = rest.ratio[known]
        low = int(_LOW * (len(ratios) - 1))
        ratio = float(np.partition(ratios, low)[low]) / _LOW_RATIO
        state.noise += _LEARN * (min(max(ratio, 1.0), _MOST_NOISE) - state.noise)
    rows = rows[known & (rest.slide > _MOVES)]
    members.restless[rows] = True
    rows = rows[_beyond_drift(state, slots, rows) > _least(state, config, points.xyz[rows])]
    members.moving[rows] = True


def _least(state: BodiesState, config: BodiesConfig, xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far points (N, 3) must move within the window to be said to move, (N,) m."""
    offset = xyz - state.cameras[state.window.slot][:3, 3]
    distance = np.sqrt((offset * offset).sum(axis=1))
    return np.maximum(config.min_displacement, config.drift_pixels * state.bearing * distance)


def _beyond_drift(state: BodiesState, slots: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how far tracks (N,) moved within the window other than by drift, m.

    Trackers lag behind the motion of the image, or run ahead of it, many tracks in the same way: still points
    seem to be carried along by the camera, a little, or against it. What that may explain is not counted.
    """
    window = state.window
    moved = displacement(window, slots, rows)
    at = window.xyz[slots[-1], window.column[rows]]
    with_camera = state.cameras[slots[-1]] @ invert_pose(state.cameras[slots[0]])
    carried = transform_points(with_camera, at) - at
    length = np.maximum((carried * carried).sum(axis=1), 1e-9)
    part = np.clip((moved * carried).sum(axis=1) / length, -_DRIFT, _DRIFT)
    rest = moved - part[:, None] * carried
    return np.asarray(np.sqrt((rest * rest).sum(axis=1)))


def tend_body(state: BodiesState, config: BodiesConfig, points: Measured) -> None:
    """Let restless tracks join one of the bodies, and go of its members that slide away from it.

    Such members move so slowly against their body that they agree with it in every single image. The bodies
    take turns.
    """
    bodies = [body for body in state.active if body.measured_at == state.stamp]
    if not bodies:
        return
    body, window, members = bodies[state.tended % len(bodies)], state.window, state.members
    state.tended += 1
    slots = window.recent(np.inf, _TENDED_IMAGES)
    slots = slots[np.isfinite(body.path[slots, 0, 0])]
    if len(slots) < MIN_SEEN:
        return
    own, free = members.of(body.id), _may_join(state, body, points)
    least = float(_least(state, config, body.pose[None, :3, 3])[0])
    seconds = float(window.stamps[slots[-1]] - window.stamps[slots[0]]) * _NS
    if _moves(body, members.model[own], slots, least * min(seconds / config.window_seconds, 1.0) / 2):
        body.moved_at, body.moved = state.stamp, True
    both = np.concatenate([own, free])
    path = along_path(window, slots, both, body.path[slots])
    noise = path.noise(slice(len(own)))
    keeps = path.judged & path.stays()
    strays = (path.judged & ~path.stays(noise))[: len(own)]
    model = members.model[own]
    if not body.label:
        part = connected_parts(model)
        strays |= np.bincount(part, minlength=1)[part] < config.min_members
    members.stray(own, strays)
    near = np.flatnonzero(keeps[len(own) :])
    if not len(near):
        return
    fit, free = path.of(near + len(own)), free[near]
    joining = fit.follows(rest_errors(window, slots, free), noise * (1.0 + leverage(fit.place, model)))
    if not body.label:
        joining &= within_reach(fit.place, model)
    join_body(state, body, free[joining], points)


def _moves(body: Body, model: NDArray[np.float64], slots: NDArray[np.intp], least: float) -> bool:
    """Say whether a body moved between two images, by at least so much, and more than noise explains."""
    change = difference(body.path[slots[-1]], body.path[slots[0]])
    square = float((model * model).sum()) / max(len(model), 1)  # of the radius
    weights = np.array([1.0, 1.0, 1.0, square, square, square])
    length = math.sqrt((change * change) @ weights)
    noise = math.sqrt(max(body.covariance.diagonal()[:6] @ weights, 0.0))
    return length > max(least, _MOVED_SIGMAS * noise)


def _may_join(state: BodiesState, body: Body, points: Measured) -> NDArray[np.intp]:
    """Return the rows of measured, restless tracks without a body that the body may take."""
    members = state.members
    rows = np.flatnonzero(members.restless & points.seen & (members.body == 0))
    code, former = members.code[rows], members.former[rows]
    if not body.label:
        return rows[(code == 0) | (former != 0)]
    return rows[[members.names[k - 1] == body.label if k else False for k in code.tolist()]]


def look_for_bodies(state: BodiesState, config: BodiesConfig, points: Measured) -> None:
    """Look for tracks that moved alike, which may become a body, see `grow_body`.

    A few of them must be found twice.
    """
    rows = _moving_rows(state, points)
    slots = state.window.recent(config.window_seconds, _GROUPED_IMAGES)
    if len(rows) < config.min_members or not _is_filled(state, config, slots):
        return
    seeds = find_seeds(state.window, slots, rows, config.min_members, state.chance)
    if not len(seeds):
        return
    found = frozenset(state.members.ids[seeds].tolist())
    same = [old for old in state.looks if len(found & old.ids) >= _SAME_TRACKS * len(found)]
    others = [old for old in state.looks if old not in same]
    tried = any(old.tried for old in same)
    if tried:
        state.looks = others  # it was none: it is passed over once before the long look is repeated
        return
    sure = bool(same) or len(seeds) >= _SURE * config.min_members
    state.looks = [*others, Look(found, tried=sure)][-_LOOKS:]
    if sure:
        state.candidate = Candidate(state.members.ids[seeds])


def grow_body(state: BodiesState, config: BodiesConfig, points: Measured, candidate: Candidate) -> None:
    """Take the next step from tracks that moved alike to a body.

    Every other image is enough to see which tracks belong to it; in the next step all of them tell how it
    moved.
    """
    state.candidate = None
    window = state.window
    rows = _moving_rows(state, points)
    seeds = rows[rows_of(state.members.ids[rows], candidate.ids)[1]]
    slots = window.recent(config.window_seconds, _GROUPED_IMAGES)
    if len(seeds) < config.min_members or not _is_filled(state, config, slots):
        return
    used = slots if candidate.refined else np.append(slots[:-1:2], slots[-1])
    group = grow_group(window, used, rows, seeds, config.min_members)
    if group is None or _is_world(state, config, slots, len(group.rows), points):
        return
    if not candidate.refined:
        state.candidate = Candidate(state.members.ids[group.rows], refined=True)
        return
    least = float(_least(state, config, group.poses[-1, None, :3, 3])[0])
    if _moves_now(group, window.stamps, least / config.window_seconds):
        _begin(state, config, group, points)


def _moving_rows(state: BodiesState, points: Measured) -> NDArray[np.intp]:
    """Return the rows of measured tracks without a body that certainly moved."""
    return np.flatnonzero(state.members.moving & points.seen & (state.members.body == 0))


def _is_filled(state: BodiesState, config: BodiesConfig, slots: NDArray[np.intp]) -> bool:
    """Say whether images reach far enough back to look for bodies."""
    if not len(slots):
        return False
    seconds = (state.stamp - state.window.stamps[slots[0]]) * _NS
    return bool(seconds >= _PATIENCE * config.window_seconds)


def _is_world(
    state: BodiesState, config: BodiesConfig, slots: NDArray[np.intp], size: int, points: Measured
) -> bool:
    """Say whether so many tracks moved together that it must be the camera."""
    free = int(((state.members.body == 0) & points.seen).sum())
    return _camera_moved(state, slots) and size > config.world_share * free


def _moves_now(group: Group, stamps: NDArray[np.int64], speed: float) -> bool:
    """Say whether a group has not come to rest, slower than `speed` m/s, by the end of the window."""
    seconds = (stamps[group.slots] - stamps[group.slots[-1]]) * _NS
    late = min(int(np.argmax(seconds >= -_NOW)), len(seconds) - 2)
    change = difference(group.poses[-1], group.poses[late])
    radius = float(np.sqrt(((group.place - group.poses[-1, :3, 3]) ** 2).sum(axis=1).mean()))
    length = np.linalg.norm(change[:3]) + radius * np.linalg.norm(change[3:])
    return bool(length > -speed * seconds[late])


def _camera_moved(state: BodiesState, slots: NDArray[np.intp]) -> bool:
    if len(slots) < 2:
        return True
    cameras = state.cameras[slots]
    shift = np.linalg.norm(np.ptp(cameras[:, :3, 3], axis=0))
    turn = np.linalg.norm(rotation_log(cameras[0, :3, :3].T @ cameras[-1, :3, :3]))
    return bool(shift > _CAMERA_STILL[0] or turn > _CAMERA_STILL[1])


def _begin(state: BodiesState, config: BodiesConfig, group: Group, points: Measured) -> None:
    """Make a body of a group, or give it to the body of the label that most of its tracks left."""
    former = state.members.former[group.rows]
    ids, counts = np.unique(former[former > 0], return_counts=True)
    if len(ids) and counts.max() >= _SAME_TRACKS * len(former):
        body = state.bodies.get(int(ids[np.argmax(counts)]))
        if body is not None and body.label and not body.moved and not body.lost:
            _seat(state, body, group, points)
            return
    near = [body for body in state.active if not body.label and _next_to(state, body, group)]
    for body in near:
        if body.measured_at == state.stamp and _goes_along(state, body, group):
            join_body(state, body, group.rows[points.seen[group.rows]], points)
            return
    # A few tracks next to a body of more of them, which do not move with it, are another one or slide on it.
    larger = any(len(state.members.of(body.id)) > len(group.rows) for body in near)
    sure = not larger or len(group.rows) >= _SURE * config.min_members
    if sure and state.room(config.max_bodies):
        start_by_motion(state, group, points, config.alike)


def _next_to(state: BodiesState, body: Body, group: Group) -> bool:
    """Say whether most of a group is next to a body."""
    members = state.members
    place = transform_points(invert_pose(body.pose), group.place)
    return bool(within_reach(place, members.model[members.of(body.id)]).mean() >= _SAME_TRACKS)


def _goes_along(state: BodiesState, body: Body, group: Group) -> bool:
    """Say whether most of a group moves on the path of a body."""
    return _share_along(state, group.slots, body, group.rows) >= _MOVES_AS_ONE


def _seat(state: BodiesState, body: Body, group: Group, points: Measured) -> None:
    """Let a body of a label that stood still be the part of it that moves; the rest is none of it."""
    members = state.members
    rest = members.of(body.id)
    members.former[rest], members.body[rest] = body.id, 0
    back = members.former[group.rows] == body.id
    pose = align(members.model[group.rows[back]], group.place[back])
    body.path[:] = np.nan
    body.path[group.slots] = group.poses @ invert_pose(group.poses[-1]) @ pose
    body.twist, _ = late_twist(body.path[group.slots], state.window.seconds(group.slots))
    body.pose = pose
    body.covariance = np.diag([0.02**2] * 3 + [0.05**2] * 3 + [0.2**2] * 3 + [0.5**2] * 3)
    body.moved, body.measured_at, body.moved_at = True, state.stamp, state.stamp
    turn = pose[:3, :3]
    model = (group.place - pose[:3, 3]) @ turn
    members.join(group.rows, body.id, model, turn.T @ group.information @ turn, 2.0 * body.drift)
    body.support = len(group.rows)


def merge_bodies(state: BodiesState, config: BodiesConfig, points: Measured) -> bool:
    """Make one body of two that have moved as one for long enough; the one with more tracks stays.

    Says whether any two had to be looked at closely.
    """
    bodies = [body for body in state.active if not body.label and body.measured_at == state.stamp]
    recently = state.stamp - int(_RECENTLY / _NS)
    bodies = [body for body in bodies if body.moved_at >= recently]
    slots = state.window.recent(config.window_seconds, _IMAGES)
    close = [pair for pair in itertools.combinations(bodies, 2) if _kept_together(*pair, slots)]
    agreed: dict[tuple[int, int], int] = {}
    for first, second in close:
        if _moves_as_one(state, slots, first, second, points):
            key = (first.id, second.id)
            agreed[key] = state.agreed.get(key, 0) + 1
    state.agreed = agreed
    for key, count in agreed.items():
        if count < _MERGE_AFTER or any(name not in state.bodies for name in key):
            continue
        pair = [state.bodies[name] for name in key]
        pair.sort(key=lambda body: (-len(state.members.of(body.id)), body.id))
        join_other(state, pair[0], pair[1])
    return bool(close)


def _kept_together(first: Body, second: Body, slots: NDArray[np.intp]) -> bool:
    """Say, quickly and within wide limits, whether two bodies kept their places to each other."""
    both = slots[np.isfinite(first.path[slots, 0, 0]) & np.isfinite(second.path[slots, 0, 0])]
    if len(both) < MIN_SEEN:
        return False
    then, now = (invert_pose(first.path[slot]) @ second.path[slot] for slot in (both[0], both[-1]))
    change = difference(now, then)
    shift, turn = float(np.linalg.norm(change[:3])), float(np.linalg.norm(change[3:]))
    return shift < _APART[0] + _APART[1] * float(np.linalg.norm(now[:3, 3])) and turn < 2 * _APART[1]


def _moves_as_one(
    state: BodiesState, slots: NDArray[np.intp], first: Body, second: Body, points: Measured
) -> bool:
    """Say whether the members of the smaller of two bodies follow the path of the other."""
    members = state.members
    pair = [(body, np.flatnonzero((members.body == body.id) & points.seen)) for body in (first, second)]
    pair.sort(key=lambda item: -len(item[1]))
    (larger, _), (_, rows) = pair
    return len(rows) >= MIN_SEEN and _share_along(state, slots, larger, rows) >= _MOVES_AS_ONE


def _share_along(state: BodiesState, slots: NDArray[np.intp], body: Body, rows: NDArray[np.intp]) -> float:
    """Return which part of tracks (N,) keeps to the path of a body through images (F,).

    It is none as long as not half of them show that they do not stand still.
    """
    useful = slots[np.isfinite(body.path[slots, 0, 0])]
    if len(useful) < MIN_SEEN:
        return 0.0
    fit = along_path(state.window, useful, rows, body.path[useful])
    if fit.follows(rest_errors(state.window, useful, rows)).mean() < _SHOWS:
        return 0.0
    return float((fit.judged & fit.stays()).mean())
