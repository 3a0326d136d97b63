"""A tree of coordinate frames that answers for any moment of the recent past (tf2's buffer without ROS)."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.poses import interpolate_pose, invert_pose, quaternion_from_rotation

_NS = 1_000_000_000
_MAX_SAMPLES = 20_000  # per frame: 10 s at 2 kHz
_LISTED_FRAMES = 8


class TransformError(ValueError):
    """There is no such transform at that time; the message is one sentence.

    Attributes:
        may_come: True when data that arrives later can still answer the question.
    """

    def __init__(self, sentence: str, *, may_come: bool = True) -> None:
        super().__init__(sentence)
        self.may_come = may_come


@dataclass
class _Link:
    """How one frame hangs on its parent; `stamps` rise, and are empty for a static link."""

    parent: str
    static: NDArray[np.float64] | None = None
    stamps: list[int] = field(default_factory=list)
    matrices: list[NDArray[np.float64]] = field(default_factory=list)

    def insert(self, stamp: int, matrix: NDArray[np.float64], keep_ns: int) -> None:
        at = bisect_left(self.stamps, stamp)
        if at < len(self.stamps) and self.stamps[at] == stamp:
            self.matrices[at] = matrix
            return
        self.stamps.insert(at, stamp)
        self.matrices.insert(at, matrix)
        old = max(bisect_left(self.stamps, self.stamps[-1] - keep_ns), len(self.stamps) - _MAX_SAMPLES)
        del self.stamps[:old], self.matrices[:old]

    def at(self, child: str, stamp: int) -> NDArray[np.float64]:
        """Return the pose of the child in the parent at `stamp` ns."""
        if self.static is not None:
            return self.static
        name = f'the transform from "{child}" to "{self.parent}"'
        if not self.stamps:
            raise TransformError(f"{name} has no data: publish it")
        if stamp < self.stamps[0]:
            early = (self.stamps[0] - stamp) / _NS
            raise TransformError(f"{name} is asked for {early:.3f} s before its oldest data", may_come=False)
        if stamp > self.stamps[-1]:
            late = (stamp - self.stamps[-1]) / _NS
            raise TransformError(f"{name} is asked for {late:.3f} s after its newest data")
        at = bisect_left(self.stamps, stamp)
        if self.stamps[at] == stamp:
            return self.matrices[at]
        before, after = self.stamps[at - 1], self.stamps[at]
        fraction = (stamp - before) / (after - before)
        return interpolate_pose(self.matrices[at - 1], self.matrices[at], fraction)


class TransformBuffer:
    """Holds the transforms of the last seconds and answers for any moment of them; safe to share by threads.

    Between two samples it interpolates (positions on a line, rotations by slerp); it never extrapolates.

    Args:
        seconds: How long moving transforms are kept, counted back from the newest of each frame.
        jump_back: A transform older than the newest of its frame by more than this, s, means that time
            jumped back (a bag starts over): all moving transforms are forgotten.
    """

    def __init__(self, seconds: float = 10.0, jump_back: float = 1.0) -> None:
        if not (np.isfinite(seconds) and seconds > 0 and jump_back > 0):
            raise ValueError(
                f"the transform buffer got seconds={seconds}, jump_back={jump_back}: give positive seconds"
            )
        self._keep_ns = int(seconds * _NS)
        self._jump_ns = int(jump_back * _NS)
        self._lock = Lock()
        self._links: dict[str, _Link] = {}

    def set(self, parent: str, child: str, stamp: int, matrix: ArrayLike, static: bool = False) -> None:
        """Take the pose of frame `child` in frame `parent`.

        A child has one parent; another parent replaces what was known of the child.

        Args:
            parent: Name of the parent frame.
            child: Name of the child frame.
            stamp: When the pose holds, ns; of no meaning when static.
            matrix: (4, 4) pose, m.
            static: The pose holds for all times.

        Raises:
            ValueError: The matrix is no rigid pose, a name is empty, or the frames would form a loop; one
                sentence.
        """
        parent, child = _name(parent), _name(child)
        pose = _checked_pose(parent, child, matrix)
        with self._lock:
            self._refuse_loop(parent, child)
            link = self._links.get(child)
            if static:
                self._links[child] = _Link(parent, static=pose)
                return
            if link is not None and link.stamps and stamp < link.stamps[-1] - self._jump_ns:
                self._clear_moving()
            if link is None or link.parent != parent or link.static is not None:
                link = self._links[child] = _Link(parent)
            link.insert(stamp, pose, self._keep_ns)

    def lookup(self, target: str, source: str, stamp: int) -> NDArray[np.float64]:
        """Return the (4, 4) matrix that maps points of frame `source` to frame `target` at `stamp` ns.

        Raises:
            TransformError: A name is empty, a frame is unknown, the two are not connected, or the stamp lies
                before or after what is known.
        """
        target, source = _name(target), _name(source)
        if target == source:
            return np.eye(4)
        with self._lock:
            up_source, up_target = self._ancestors(source), self._ancestors(target)
            common = next((frame for frame in up_source if frame in up_target), None)
            if common is None:
                raise TransformError(f'the frames "{source}" and "{target}" are not connected by transforms')
            to_common = self._chain(up_source[: up_source.index(common)], stamp)
            from_target = self._chain(up_target[: up_target.index(common)], stamp)
        return np.asarray(invert_pose(from_target) @ to_common)

    def parent(self, frame: str) -> str:
        """Return the name of the frame that a frame hangs on, "" where no transform tells of one."""
        with self._lock:
            link = self._links.get(frame.lstrip("/"))
        return "" if link is None else link.parent

    def frames(self) -> tuple[str, ...]:
        """Return the names of all known frames, sorted."""
        with self._lock:
            return self._frames()

    def clear(self) -> None:
        """Forget all moving transforms, e.g. when time jumped; static ones stay."""
        with self._lock:
            self._clear_moving()

    def _frames(self) -> tuple[str, ...]:
        return tuple(sorted(set(self._links) | {link.parent for link in self._links.values()}))

    def _clear_moving(self) -> None:
        for link in self._links.values():
            link.stamps.clear()
            link.matrices.clear()

    def _ancestors(self, frame: str) -> list[str]:
        """Return the frame and all above it."""
        known = self._frames()
        if frame not in known:
            listed = ", ".join(known[:_LISTED_FRAMES]) + (", ..." if len(known) > _LISTED_FRAMES else "")
            raise TransformError(f'no transform names the frame "{frame}" (known: {listed or "none"})')
        path = [frame]
        while path[-1] in self._links:
            path.append(self._links[path[-1]].parent)
        return path

    def _chain(self, frames: list[str], stamp: int) -> NDArray[np.float64]:
        """Return the pose of the first of `frames` in the parent of the last."""
        matrix = np.eye(4)
        for frame in frames:
            matrix = self._links[frame].at(frame, stamp) @ matrix
        return matrix

    def _refuse_loop(self, parent: str, child: str) -> None:
        above = parent
        while above != child and above in self._links:
            above = self._links[above].parent
        if above == child:
            raise ValueError(
                f'the transform from "{child}" to "{parent}" closes a loop of frames: one of them is wrong'
            )


def _name(frame: str) -> str:
    # ROS 1 bags name frames with a leading slash, which tf2 does not know.
    name = frame.lstrip("/")
    if not name:
        raise TransformError("a transform has an empty frame name: name both frames")
    return name


def _checked_pose(parent: str, child: str, matrix: ArrayLike) -> NDArray[np.float64]:
    pose = np.array(matrix, dtype=np.float64)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise ValueError(f'the transform from "{child}" to "{parent}" is not a finite 4x4 matrix')
    try:
        quaternion_from_rotation(pose)
    except ValueError:
        raise ValueError(f'the transform from "{child}" to "{parent}" holds no rotation') from None
    pose.flags.writeable = False
    return pose
