"""Questions to the memory: where tracks are, whether they are seen, what moves. Pure functions, no ROS.

Each raises `ClientError` with the reason where it has no answer. An old position is never given as a new one:
what is older than the caller accepts is refused, and every answer carries its stamp, its age and its source.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.client.errors import ClientError
from cotracker_ros.client.memory import Memory
from cotracker_ros.client.target import Box, Target
from cotracker_ros.reconstruction import DepthSource, PointMotion, Tracks3D, TransformError, TransformSource
from cotracker_ros.reconstruction.poses import quaternion_from_rotation
from cotracker_ros.reconstruction.scene import RigidBodies, RigidBody
from cotracker_ros.tracking.types import TrackFlag, Tracks

# An answer about the present needs an image that is at most so old, s.
FRESH = 1.0

Result = TypeVar("Result", Tracks3D, RigidBodies)


@dataclass(frozen=True, eq=False)
class Position:
    """Where tracks are: the median of those that were measured in one image.

    Attributes:
        xyz: (3,) m, in `frame`.
        frame: Name of the coordinate frame.
        stamp: Stamp of the image, ns; the frame is where it was at that moment.
        age: s since the position was last measured, counted from the arrival of its image's result here.
        source: MEASURED in this image; or HELD: hidden in it, carried on by the lifter from earlier ones.
        sigma: Median of the points' standard deviations, m.
        moving: Whether most of them move in the fixed frame; None while that is not known.
        points: Points that the position rests on.
        total: Points that were asked for.
    """

    xyz: NDArray[np.float64]
    frame: str
    stamp: int
    age: float
    source: DepthSource
    sigma: float
    moving: bool | None
    points: int
    total: int

    @property
    def measured(self) -> bool:
        """True if it was measured in this image, not carried on from an earlier one."""
        return self.source == DepthSource.MEASURED


@dataclass(frozen=True, eq=False)
class BodyPose:
    """Pose and velocity of a moving body.

    Attributes:
        label: Its label.
        id: Its lasting id.
        pose: (4, 4) frame_from_body, m. The body's frame was put, when the body was first seen, at the middle
            of its points with the axes of the fixed frame.
        twist: (6,) linear velocity of the body's origin, m/s, and angular velocity, rad/s, against the fixed
            frame, in the axes of `frame`.
        frame: Name of the coordinate frame.
        stamp: Stamp of the image, ns; the frame is where it was at that moment.
        age: s since the result arrived.
        predicted: True when the body was not measured in this image but carried on by its twist.
        points: Tracks of the body.
    """

    label: str
    id: int
    pose: NDArray[np.float64]
    twist: NDArray[np.float64]
    frame: str
    stamp: int
    age: float
    predicted: bool
    points: int

    @property
    def xyz(self) -> NDArray[np.float64]:
        """(3,) position of the body's origin, m."""
        return self.pose[:3, 3]

    @property
    def quaternion(self) -> NDArray[np.float64]:
        """(4,) orientation as x, y, z, w."""
        return quaternion_from_rotation(self.pose)


def visible_share(memory: Memory, target: Target, now: float) -> float:
    """Return the share, 0 to 1, of the tracks that are visible in the newest image.

    Raises:
        ClientError: The newest image is too old, or there are no such tracks.
    """
    _check_fresh("2D tracks", len(memory.tracks), memory.tracks_at, now)
    tracks = memory.tracks[-1]
    mask = target.among(tracks.ids, tracks.labels)
    return float(np.mean((tracks.flags[mask] & TrackFlag.VISIBLE) != 0))


def seen_in_box(memory: Memory, box: Box, now: float) -> NDArray[np.uint32]:
    """Return the ids of the tracks that are visible in a box (left, top, width, height) px now.

    Raises:
        ClientError: The newest image is too old.
    """
    _check_fresh("2D tracks", len(memory.tracks), memory.tracks_at, now)
    tracks = memory.tracks[-1]
    return tracks.ids[_inside(tracks, box) & ((tracks.flags & TrackFlag.VISIBLE) != 0)]


def position(
    memory: Memory, target: Target, frame: str, transforms: TransformSource, now: float, max_age: float
) -> Position:
    """Return where tracks are in the newest image for which the transform into the frame is known.

    Args:
        memory: What is known.
        target: The tracks.
        frame: Frame of the answer; "": the one in which the lifter publishes.
        transforms: Where frames are.
        now: ``time.monotonic()``.
        max_age: s that may have passed since the position was measured.

    Raises:
        ClientError: There are no such tracks, depth was never measured at them or too long ago, or the
            transform is missing.
    """
    if not memory.tracks_3d:
        raise ClientError("no 3D tracks have come: start the lifter node, and see what its diagnostics say")
    newest = memory.tracks_3d[-1]
    target.among(newest.ids, newest.labels)  # tracks that are no more are not looked for in older images
    tracks, matrix = _in_frame(memory.tracks_3d, frame, transforms)
    mask = target.among(tracks.ids, tracks.labels)
    stamps = _measured_at(memory, tracks)
    last = int(stamps[mask].max())
    if last < 0:
        raise ClientError(f"depth was never measured at {target}: too near, too far, or hidden all the time")
    age = now - memory.tracks_3d_at + (newest.stamp - last) * 1e-9
    if age > max_age:
        raise ClientError(f"{target} was last measured {age:.2f} s ago, which is more than {max_age:g} s")
    used = mask & (stamps == last)
    middle = np.median(tracks.xyz[used].astype(np.float64), axis=0)
    known = tracks.motion[used][tracks.motion[used] != PointMotion.UNKNOWN]
    return Position(
        xyz=matrix[:3, :3] @ middle + matrix[:3, 3],
        frame=frame or tracks.frame_id,
        stamp=tracks.stamp,
        age=age,
        source=DepthSource.MEASURED if last == tracks.stamp else DepthSource.HELD,
        sigma=float(np.median(tracks.sigma[used])),
        moving=bool(np.mean(known == PointMotion.MOVING) > 0.5) if len(known) else None,
        points=int(used.sum()),
        total=int(mask.sum()),
    )


def body_pose(
    memory: Memory, label: str, frame: str, transforms: TransformSource, now: float, max_age: float
) -> BodyPose:
    """Return pose and velocity of the moving body with a label (the one with most points, if several).

    Raises:
        ClientError: No moving body has this label, it was last seen too long ago, or the transform is
            missing.
    """
    if not memory.bodies:
        raise ClientError("no moving bodies have come: start the lifter node with its bodies switched on")
    _body(memory.bodies[-1], label)
    bodies, matrix = _in_frame(memory.bodies, frame, transforms)
    age = now - memory.bodies_at + (memory.bodies[-1].stamp - bodies.stamp) * 1e-9
    if age > max_age:
        raise ClientError(f"'{label}' was last seen {age:.2f} s ago, which is more than {max_age:g} s")
    body = _body(bodies, label)
    return BodyPose(
        label=label,
        id=body.id,
        pose=matrix @ body.pose,
        twist=np.concatenate([matrix[:3, :3] @ body.twist[:3], matrix[:3, :3] @ body.twist[3:]]),
        frame=frame or bodies.frame_id,
        stamp=bodies.stamp,
        age=age,
        predicted=body.predicted,
        points=len(body.members),
    )


def moving_ids(memory: Memory, what: Target | Box | None, speed: float, now: float) -> NDArray[np.uint32]:
    """Return the ids of the tracks that are seen to move in the newest image.

    Args:
        memory: What is known.
        what: Some tracks; or those in a box (left, top, width, height) px of the image; or None: all.
        speed: m/s, in the lifter's frame, from which on a moving track counts.
        now: ``time.monotonic()``.

    Raises:
        ClientError: The newest image is too old, there are no such tracks, or the 2D tracks of the image
            are not known.
    """
    tracks, chosen = _chosen_now(memory, what, now)
    seen = chosen & (tracks.source == DepthSource.MEASURED)
    with np.errstate(invalid="ignore"):
        fast = np.linalg.norm(tracks.velocity, axis=1) >= speed
    return tracks.ids[seen & fast & (tracks.motion == PointMotion.MOVING)]


def enough_move(memory: Memory, what: Target | Box | None, speed: float, points: int, now: float) -> bool:
    """Tell whether so many `points` of the tracks move, or all if some tracks are meant that are fewer.

    Raises:
        ClientError: See `moving_ids`.
    """
    if isinstance(what, Target):
        points = min(points, int(_chosen_now(memory, what, now)[1].sum()))
    return len(moving_ids(memory, what, speed, now)) >= points


def _chosen_now(memory: Memory, what: Target | Box | None, now: float) -> tuple[Tracks3D, NDArray[np.bool_]]:
    """Return the newest 3D tracks and which of them are meant, (N,) bool."""
    _check_fresh("3D tracks", len(memory.tracks_3d), memory.tracks_3d_at, now)
    tracks = memory.tracks_3d[-1]
    if what is None:
        return tracks, np.ones(len(tracks), np.bool_)
    if isinstance(what, Target):
        return tracks, what.among(tracks.ids, tracks.labels)
    return tracks, np.isin(tracks.ids, _ids_in_box(memory, what, tracks))


def _check_fresh(name: str, count: int, at: float, now: float) -> None:
    if not count:
        raise ClientError(f"no {name} have come: see whether the nodes are active and the camera publishes")
    if now - at > FRESH:
        raise ClientError(f"the last {name} came {now - at:.1f} s ago: see whether nodes and camera run")


def _in_frame(
    results: deque[Result], frame: str, transforms: TransformSource
) -> tuple[Result, NDArray[np.float64]]:
    """Return the newest result whose transform into the frame is known, and the transform (4, 4).

    A transform often comes later than the tracks of its image; it is then known for the image before.
    """
    missing = ""
    for result in reversed(results):
        if not frame:
            return result, np.eye(4)
        try:
            return result, transforms.lookup(frame, result.frame_id, result.stamp)
        except TransformError as error:
            missing = missing or str(error)
            if not error.may_come:
                break
    raise ClientError(missing)


def _measured_at(memory: Memory, tracks: Tracks3D) -> NDArray[np.int64]:
    """Return the stamps, ns, at which each track was last measured up to this image; -1: never."""
    stamps = np.array([memory.measured.get(i, -1) for i in tracks.ids.tolist()], np.int64)
    stamps[tracks.source == DepthSource.MEASURED] = tracks.stamp
    stamps[tracks.source == DepthSource.NONE] = -1
    # In an image that is not the newest, a held track may have been measured since: then its last
    # measurement before is not known, and it is left out.
    stamps[(tracks.source == DepthSource.HELD) & (stamps >= tracks.stamp)] = -1
    return stamps


def _body(bodies: RigidBodies, label: str) -> RigidBody:
    found = [body for body in bodies.bodies if body.label == label]
    if not found:
        known = ", ".join(sorted({f"'{body.label}'" for body in bodies.bodies if body.label})) or "none"
        raise ClientError(
            f"no moving body is labelled '{label}' (moving: {known}); until it has moved, ask where_is"
        )
    return max(found, key=lambda body: len(body.members))


def _ids_in_box(memory: Memory, box: Box, tracks: Tracks3D) -> NDArray[np.uint32]:
    for flat in reversed(memory.tracks):
        if (flat.epoch, flat.frame) == (tracks.epoch, tracks.frame):
            return flat.ids[_inside(flat, box)]
    raise ClientError("the 2D tracks of the newest image have not come: see whether the tracker still runs")


def _inside(tracks: Tracks, box: Box) -> NDArray[np.bool_]:
    left, top, width, height = box
    x, y = tracks.xy.T
    return (x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)
