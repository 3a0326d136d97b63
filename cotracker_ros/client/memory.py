"""What the tracker and the lifter have said lately, and waiting for them to say more. No ROS here."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from cotracker_ros.client.errors import ClientError
from cotracker_ros.reconstruction import DepthSource, Tracks3D
from cotracker_ros.reconstruction.scene import RigidBodies
from cotracker_ros.tracking.types import Tracks

Answer = TypeVar("Answer")

# Images that are remembered: a transform may come some images late, and 3D tracks come after the 2D ones.
_IMAGES = 32


@dataclass
class Memory:
    """The newest results, in the order of their images.

    Attributes:
        tracks: 2D tracks of the last images, first answers only.
        tracks_3d: 3D tracks of the last images.
        bodies: Moving bodies in the last images.
        tracks_at: ``time.monotonic()`` at which the newest of `tracks` came.
        tracks_3d_at: The same of `tracks_3d`.
        bodies_at: The same of `bodies`.
        measured: Stamp, ns, of the last image in which a track was measured in space, by id.
        updates: 3D results so far.
    """

    tracks: deque[Tracks] = field(default_factory=lambda: deque(maxlen=_IMAGES))
    tracks_3d: deque[Tracks3D] = field(default_factory=lambda: deque(maxlen=_IMAGES))
    bodies: deque[RigidBodies] = field(default_factory=lambda: deque(maxlen=_IMAGES))
    tracks_at: float = -np.inf
    tracks_3d_at: float = -np.inf
    bodies_at: float = -np.inf
    measured: dict[int, int] = field(default_factory=dict)
    updates: int = 0

    def put_tracks(self, tracks: Tracks, now: float) -> None:
        """Take the 2D tracks of an image, received at `now` s."""
        if tracks.revised:
            return
        _begin_anew(self.tracks, tracks)
        self.tracks.append(tracks)
        self.tracks_at = now

    def put_tracks_3d(self, tracks: Tracks3D, now: float) -> None:
        """Take the 3D tracks of an image, received at `now` s."""
        if _begin_anew(self.tracks_3d, tracks):
            self.measured.clear()
        self.tracks_3d.append(tracks)
        self.tracks_3d_at = now
        self.updates += 1
        # Only tracks that still exist are remembered: ids are never used again.
        kept = {i: self.measured[i] for i in tracks.ids.tolist() if i in self.measured}
        seen = tracks.ids[tracks.source == DepthSource.MEASURED].tolist()
        self.measured = kept | dict.fromkeys(seen, tracks.stamp)

    def put_bodies(self, bodies: RigidBodies, now: float) -> None:
        """Take the moving bodies in an image, received at `now` s."""
        _begin_anew(self.bodies, bodies)
        self.bodies.append(bodies)
        self.bodies_at = now


def _begin_anew(
    results: deque[Tracks] | deque[Tracks3D] | deque[RigidBodies], new: Tracks | Tracks3D | RigidBodies
) -> bool:
    """Forget what came before when time jumped back or the stream started again; tell whether it did."""
    anew = bool(results) and (new.epoch != results[-1].epoch or new.stamp < results[-1].stamp)
    if anew:
        results.clear()
    return anew


class Feed:
    """A `Memory` that threads share: some put results in, others ask, and wait for what is not known yet."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._changed = threading.Condition()
        self._end = ""

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return bool(self._end)

    def put(self, take: Callable[[Memory, float], None]) -> None:
        """Let `take` change the memory; it gets the present ``time.monotonic()`` too."""
        with self._changed:
            take(self._memory, time.monotonic())
            self._changed.notify_all()

    def look_again(self) -> None:
        """Let those who wait ask again: something else than the memory has changed."""
        with self._changed:
            self._changed.notify_all()

    def close(self, reason: str) -> None:
        """Let nobody wait any longer; `reason` is what they are told."""
        with self._changed:
            self._end = self._end or reason
            self._changed.notify_all()

    def ask(self, question: Callable[[Memory, float], Answer], timeout: float) -> Answer:
        """Ask now, and again whenever something has changed, until there is an answer.

        Args:
            question: Called with the memory and ``time.monotonic()``; raises `ClientError` while it has no
                answer. It must be quick, as nothing is put in meanwhile.
            timeout: s to wait at most; 0: ask only once.

        Raises:
            ClientError: Why there was no answer in time, or the feed was closed.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                if self._end:
                    raise ClientError(self._end)
                now = time.monotonic()
                try:
                    return question(self._memory, now)
                except ClientError:
                    if now >= end:
                        raise
                self._changed.wait(end - now)
