"""Moving bodies: tracks that move together in the fixed frame, as structures with lasting ids, pose, twist.

What stands still is none of them, with one exception: tracks that the user gave a common label are one body
from the start, whose pose is told before it moves. A label says what belongs together: such a body consists
of tracks of its label only, never merges with another, and lets go of those that do not move with it.
Everything else is found by its motion. Two tracks, or tracks on one line, are no body unless a label says so;
the rotation about that line is then told with the uncertainty that it has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.body import BodiesState
from cotracker_ros.reconstruction.body_config import BodiesConfig
from cotracker_ros.reconstruction.body_following import follow_bodies, follow_labels
from cotracker_ros.reconstruction.body_regrouping import (
    find_moving,
    grow_body,
    look_for_bodies,
    merge_bodies,
    tend_body,
)
from cotracker_ros.reconstruction.body_window import Measured, TrackWindow, measured
from cotracker_ros.reconstruction.scene import RigidBodies
from cotracker_ros.reconstruction.types import Tracks3D

_NS = 1e-9


class BodyTracker:
    """Follows the bodies in a stream of 3D tracks. The same calls give the same results.

    Args:
        config: How bodies are found and followed.

    Attributes:
        config: May be set at any time, but for the size of the window, which holds from the next `reset`.
        state: What is remembered.
    """

    def __init__(self, config: BodiesConfig | None = None) -> None:
        self.config = config or BodiesConfig()
        self.state = self._new_state()

    def reset(self) -> None:
        """Forget everything; ids start again."""
        self.state = self._new_state()

    def begin_anew(self) -> None:
        """Forget the bodies, as when the fixed frame jumped or is another; ids go on."""
        next_id = self.state.next_id
        self.reset()
        self.state.next_id = next_id

    def update(self, tracks: Tracks3D, camera: ArrayLike, pixel: float | None = None) -> RigidBodies:
        """Take the tracks of the next image and say where the bodies are.

        Args:
            tracks: In the fixed frame; a new epoch, or a stamp that is not later than the last one, starts
                everything anew.
            camera: (4, 4) fixed_from_camera when the image was taken, m.
            pixel: Angle of one pixel, 1 / fx, rad: how far a track is off across its ray. None takes
                `BodiesConfig.bearing_sigma`.
        """
        pose = np.asarray(camera, dtype=np.float64)
        state = self._follow_stream(tracks)
        config = self.config
        state.bearing = config.bearing_sigma if pixel is None else pixel
        points = measured(tracks, pose, state.bearing, config.sigma_floor, state.noise)
        follow_bodies(state, config, points, pose)
        follow_labels(state, config, points)
        if self._note(points, pose):
            self._regroup(points)
        state.images += 1
        return RigidBodies(
            frame=tracks.frame,
            stamp=tracks.stamp,
            epoch=tracks.epoch,
            frame_id=tracks.frame_id,
            bodies=tuple(body.told(state.members, tracks.stamp) for body in state.active),
        )

    def _new_state(self) -> BodiesState:
        size = self.config.window_frames
        cameras = np.tile(np.eye(4), (size, 1, 1))
        return BodiesState(TrackWindow(size), cameras, np.random.default_rng(self.config.seed))

    def _follow_stream(self, tracks: Tracks3D) -> BodiesState:
        """Bring the state to the tracks and time of an image."""
        state = self.state
        if state.epoch is not None and (tracks.epoch != state.epoch or tracks.stamp <= state.stamp):
            self.begin_anew()
            state = self.state
        if state.epoch is not None:
            state.seconds = (tracks.stamp - state.stamp) * _NS
        state.epoch, state.stamp = tracks.epoch, tracks.stamp
        members = state.members
        if not (np.array_equal(tracks.ids, members.ids) and tracks.labels == members.labels):
            members.follow(tracks.ids, tracks.labels)
            state.window.follow(tracks.ids)
        return state

    def _regroup(self, points: Measured) -> None:
        """Do one part of regrouping; they take turns, so that no image has to pay for all of them."""
        state, config = self.state, self.config
        if state.candidate is not None:
            grow_body(state, config, points, state.candidate)
            return
        turn = state.regrouped % 4
        state.regrouped += 1
        if turn == 0:
            find_moving(state, config, points)
        elif turn == 1:
            look_for_bodies(state, config, points)
        elif turn == 2 or not merge_bodies(state, config, points):
            tend_body(state, config, points)

    def _note(self, points: Measured, camera: NDArray[np.float64]) -> bool:
        """Note an image in the window, unless the last one there is too near in time."""
        state, window = self.state, self.state.window
        spacing = 0.8 * self.config.window_seconds / window.size
        if window.slot >= 0 and (state.stamp - window.stamps[window.slot]) * _NS < spacing:
            return False
        slot = window.push(state.stamp, points)
        state.cameras[slot] = camera
        for body in state.bodies.values():
            body.path[slot] = body.pose if body.measured_at == state.stamp else np.nan
        return True
