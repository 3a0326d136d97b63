"""What is remembered of bodies, and how one begins."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body_grouping import Group
from cotracker_ros.reconstruction.body_members import Members
from cotracker_ros.reconstruction.body_window import Measured, TrackWindow
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.rigid import difference, normal_equations
from cotracker_ros.reconstruction.scene import RigidBody

_NS = 1e-9
_START_SECONDS = 0.35  # a new body's twist is that of its last so many seconds
_START_SPEED = (0.5, 1.5)  # one standard deviation where nothing is known, m/s and rad/s
_STANDING = np.diag([0.03**2] * 3 + [0.1**2] * 3)  # covariance of the twist of what is seen to stand
_ONE_SIGMA_KNOWN = 1.0  # information, 1/m^2 and 1/rad^2: keeps what points on a line do not tell finite


@dataclass
class Body:
    """A body as the tracker remembers it.

    Attributes:
        id: Lasting id.
        label: Label of its tracks if they became a body by it, else "".
        pose: (4, 4) fixed_from_body, m.
        twist: (6,) of its origin, in the axes of the fixed frame.
        covariance: (12, 12) of pose and twist, as far as it comes from noise since it was first seen.
        datum: (6, 6) covariance of the measurement in the image in which it was first seen, in the axes of
            the body: all later poses are relative to it.
        since: Stamp of that image, ns.
        measured_at: Stamp of the last image in which its pose was measured, ns.
        moved_at: Stamp of the last image in which it moved, ns.
        path: (W, 4, 4) its poses in the images of the window; NaN where they were not measured.
        drift: How many times the datum's uncertainty counts, as members came in later.
        slip: How far its tracks may have slipped along the way since then, all alike, as a multiple of the
            noise of a single one.
        agility: How much it accelerates, as a multiple of the configured noise; learned from its innovations.
        support: How many members agreed when it was measured, the most of the last seconds.
        start: (4, 4) pose when it was first seen.
        moved: Whether it has ever moved; a body that has not stands exactly at its start.
        stood: In how many images it was seen to stand there.
        leaving: In how many images in a row it was seen to have left there.
        lost: True when it was not measured for so long that it is no longer told.
    """

    id: int
    label: str
    pose: NDArray[np.float64]
    twist: NDArray[np.float64]
    covariance: NDArray[np.float64]
    datum: NDArray[np.float64]
    since: int
    measured_at: int
    moved_at: int
    path: NDArray[np.float64]
    start: NDArray[np.float64]
    drift: float = 1.0
    slip: float = 0.0
    agility: float = 1.0
    support: float = 0.0
    moved: bool = False
    stood: int = 0
    leaving: int = 0
    lost: bool = False

    def uncertainty(self) -> NDArray[np.float64]:
        """Return the (6, 6) covariance of the pose since first seen, in the axes of the fixed frame."""
        turn = np.zeros((6, 6))
        turn[:3, :3] = turn[3:, 3:] = self.pose[:3, :3]
        datum = (self.drift + self.slip**2) * self.datum
        return np.asarray(self.covariance[:6, :6] + turn @ datum @ turn.T)

    @property
    def standing(self) -> bool:
        """Whether it has been where it was first seen until now."""
        return not self.moved and self.leaving == 0

    def stand(self) -> None:
        """Put it where it was first seen, ready to move in any way."""
        self.pose, self.twist = self.start, np.zeros(6)
        self.covariance = _unknown_motion(1e-3 * self.datum)

    def set_off(self, pose: NDArray[np.float64], covariance: NDArray[np.float64]) -> None:
        """Put it where it was seen away from its start.

        Nobody knows since when it moves, so the way there does not tell how fast. `covariance` is (6, 6).
        """
        self.pose, self.twist = pose, np.zeros(6)
        self.covariance = _unknown_motion(covariance)

    def told(self, members: Members, stamp: int) -> RigidBody:
        """Return what is published of it at `stamp`."""
        rows = members.of(self.id)
        return RigidBody(
            id=self.id,
            label=self.label,
            pose=self.pose.copy(),
            covariance=self.uncertainty(),
            twist=self.twist.copy(),
            twist_covariance=_STANDING if self.standing else self.covariance[6:, 6:].copy(),
            predicted=self.measured_at != stamp,
            since=self.since,
            members=members.ids[rows],
            points=members.model[rows],
        )


@dataclass(frozen=True, eq=False)
class Candidate:
    """Tracks that may become a body.

    Attributes:
        ids: (M,) of the tracks.
        refined: Whether it is known which of all tracks go with them.
    """

    ids: NDArray[np.uint32]
    refined: bool = False


@dataclass(frozen=True)
class Look:
    """Tracks that were found to move alike.

    Attributes:
        ids: Of the tracks.
        tried: Whether it was tried to make a body of them.
    """

    ids: frozenset[int]
    tried: bool


@dataclass
class BodiesState:
    """Everything that a `BodyTracker` remembers; all of it is bounded.

    Attributes:
        window: The last measured positions of the tracks.
        cameras: (W, 4, 4) poses of the camera in the images of the window.
        members: Which track belongs to which body.
        bodies: By id, lost ones included.
        epoch: Epoch of the tracks, None before any.
        chance: Where the choice of hypotheses comes from.
        stamp: Stamp of the last image, ns.
        seconds: Time between it and the one before, s.
        bearing: How far tracks are off across their rays, rad.
        next_id: Id of the next body.
        images: Images since the state was made.
        tended: How often a body's members were looked at.
        noise: Variance of measurements as a multiple of what they claim, from 1 up, by tracks at rest.
        looks: The last groups that moved alike.
        candidate: Those that are looked at next.
        regrouped: How many of the parts of regrouping were done.
        agreed: How often in a row two bodies, by id, were found to move as one.
    """

    window: TrackWindow
    cameras: NDArray[np.float64]
    chance: np.random.Generator
    members: Members = field(default_factory=Members)
    bodies: dict[int, Body] = field(default_factory=dict)
    epoch: int | None = None
    stamp: int = 0
    seconds: float = 0.0
    bearing: float = 0.0
    next_id: int = 1
    images: int = 0
    tended: int = 0
    noise: float = 1.0
    looks: list[Look] = field(default_factory=list)
    candidate: Candidate | None = None
    regrouped: int = 0
    agreed: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def active(self) -> list[Body]:
        """Bodies that are told, by id."""
        return [body for body in self.bodies.values() if not body.lost]

    def forget(self, body: Body) -> None:
        """Let go of a body and its members."""
        del self.bodies[body.id]
        self.members.body[self.members.body == body.id] = 0

    def room(self, limit: int) -> bool:
        """Make room for one more body among `limit`, if need be by forgetting a lost one."""
        if len(self.bodies) >= limit:
            lost = [body for body in self.bodies.values() if body.lost]
            if lost:
                self.forget(min(lost, key=lambda body: body.measured_at))
        return len(self.bodies) < limit


def start_by_label(
    state: BodiesState, label: str, rows: NDArray[np.intp], points: Measured, alike: float
) -> Body:
    """Make a body of measured tracks of a label, at rest until it is seen to move.

    `alike` is `BodiesConfig.alike`.
    """
    place, information = points.xyz[rows], points.information(rows)
    middle = place.mean(axis=0)
    datum = _datum(place - middle, information, alike)
    return _start(state, label, rows, middle, place, information, datum, np.zeros(6), None)


def start_by_motion(state: BodiesState, group: Group, points: Measured, alike: float) -> Body:
    """Make a body of tracks that were found to move together; `alike` is `BodiesConfig.alike`."""
    rows, stamps = group.rows, state.window.stamps[group.slots]
    path, middle = group.poses, group.poses[-1, :3, 3]
    twist, weight = late_twist(path, (stamps - stamps[-1]) * _NS)
    seen = np.flatnonzero(points.seen[rows])
    single = _datum(group.place[seen] - middle, points.information(rows[seen]), alike)
    noise = np.diag([0.05**2] * 3 + [0.2**2] * 3)
    spread = single * weight + noise
    body = _start(state, "", rows, middle, group.place, group.information, single, twist, spread)
    body.path[group.slots] = path
    body.moved = True
    return body


def late_twist(path: NDArray[np.float64], seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the twist (6,) at the end of a path, and its variance as a multiple of that of a pose, 1/s^2.

    Args:
        path: (F, 4, 4) poses.
        seconds: (F,) their times, the last one 0 and the others before.
    """
    late = np.flatnonzero((seconds >= -_START_SECONDS) & (seconds < 0))
    if not len(late):
        late = np.array([len(seconds) - 2])
    changes = np.stack([difference(path[k], path[-1]) for k in late])
    moment = float(seconds[late] @ seconds[late])
    # The newest pose is in all differences, the older ones average out.
    weight = 1.0 / moment + float(seconds[late].sum()) ** 2 / moment**2
    return seconds[late] @ changes / moment, weight


def _start(
    state: BodiesState,
    label: str,
    rows: NDArray[np.intp],
    middle: NDArray[np.float64],
    place: NDArray[np.float64],
    information: NDArray[np.float64],
    datum: NDArray[np.float64],
    twist: NDArray[np.float64],
    twist_covariance: NDArray[np.float64] | None,
) -> Body:
    pose = np.eye(4)
    pose[:3, 3] = middle
    model = place - middle
    covariance = _unknown_motion(1e-3 * datum)
    if twist_covariance is not None:
        covariance[6:, 6:] = twist_covariance
    body = Body(
        id=state.next_id,
        label=label,
        pose=pose,
        twist=twist,
        covariance=covariance,
        datum=datum,
        since=state.stamp,
        measured_at=state.stamp,
        moved_at=state.stamp,
        path=np.full((state.window.size, 4, 4), np.nan),
        start=pose,
        support=len(rows),
    )
    state.bodies[body.id] = body
    state.next_id += 1
    state.members.join(rows, body.id, model, information, body.drift)
    return body


def _unknown_motion(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (12, 12) covariance of a body that may move in any way; its pose's is (6, 6)."""
    result = np.diag([0.0] * 6 + [_START_SPEED[0] ** 2] * 3 + [_START_SPEED[1] ** 2] * 3)
    result[:6, :6] = covariance
    return result


def _datum(
    offsets: NDArray[np.float64], information: NDArray[np.float64], alike: float
) -> NDArray[np.float64]:
    """Return the (6, 6) covariance of a pose by one measurement of points at `offsets` from the origin."""
    normal, _ = normal_equations(offsets, np.zeros_like(offsets), information)
    return np.asarray(np.linalg.inv(normal / alike + _ONE_SIGMA_KNOWN * np.eye(6)))


def join_body(state: BodiesState, body: Body, rows: NDArray[np.intp], points: Measured) -> None:
    """Make measured tracks members of a body where they are now."""
    if not len(rows):
        return
    turn = body.pose[:3, :3]
    model = (points.xyz[rows] - body.pose[:3, 3]) @ turn
    information = turn.T @ points.information(rows) @ turn
    state.members.join(rows, body.id, model, information, later_drift(body))


def later_drift(body: Body) -> float:
    """Return the drift of members that join a body now: the uncertainty of its pose comes on top."""
    now, datum = np.diagonal(body.covariance)[:6], np.diagonal(body.datum)
    return float(body.drift + min((now / np.maximum(datum, 1e-12)).mean(), 100.0))


def join_other(state: BodiesState, body: Body, other: Body) -> None:
    """Make the members of `other` members of `body` and forget it."""
    rows = state.members.of(other.id)
    between = np.linalg.inv(body.pose) @ other.pose
    turn = between[:3, :3]
    model = transform_points(between, state.members.model[rows])
    information = turn @ state.members.information[rows] @ turn.T
    state.members.join(rows, body.id, model, information, later_drift(body) + 1.0)
    state.forget(other)
