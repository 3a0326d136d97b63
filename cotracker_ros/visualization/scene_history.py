"""The recent past of a scene, as viewers draw it: trails of the points and the path of the camera."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.scene import OdometryState, SceneUpdate
from cotracker_ros.reconstruction.types import DepthSource, Tracks3D

_PATH_STEP = 0.02  # m between two kept positions of the camera
_PATH_LENGTH = 1000  # kept positions
_GAP = np.full(3, np.nan)


def trail_positions(history: Sequence[Tracks3D]) -> NDArray[np.float32]:
    """Where the tracks of the newest entry were measured in all entries.

    Args:
        history: T entries, oldest first, in the same frame.

    Returns:
        (T, N, 3) float32, m; NaN where a track was not there or not measured: a guess draws no trail.
    """
    newest = history[-1]
    trails = np.full((len(history), len(newest), 3), np.nan, np.float32)
    order = np.argsort(newest.ids)
    for i, tracks in enumerate(history):
        place = np.searchsorted(newest.ids, tracks.ids, sorter=order).clip(max=max(len(order) - 1, 0))
        if len(order):
            column = order[place]
            known = (newest.ids[column] == tracks.ids) & (tracks.source == DepthSource.MEASURED)
            trails[i, column[known]] = tracks.xyz[known]
    return trails


def seen_from(scene: SceneUpdate, matrix: NDArray[np.float64], frame_id: str) -> SceneUpdate:
    """Return the scene with its tracks in the frame `frame_id`, to which `matrix` (4, 4) maps them."""
    tracks = scene.tracks
    moved = replace(
        tracks,
        frame_id=frame_id,
        xyz=transform_points(matrix, tracks.xyz).astype(np.float32),
        velocity=(tracks.velocity @ matrix[:3, :3].T).astype(np.float32),
    )
    return replace(scene, tracks=moved)


@dataclass(frozen=True, eq=False)
class SceneView:
    """A scene with its recent past.

    Attributes:
        scene: The newest update.
        recent: The tracks of the last images, oldest first, all in one frame; the newest are the scene's.
        path: (K, 3) positions of the camera (of the odometry's moving frame) in the fixed frame, m, oldest
            first; a row of NaN where it was lost in between.
    """

    scene: SceneUpdate
    recent: tuple[Tracks3D, ...]
    path: NDArray[np.float64]

    def trails(self) -> NDArray[np.float32]:
        """Return where the scene's tracks were measured: (T, N, 3), m; NaN where they were not."""
        return trail_positions(self.recent)


class SceneHistory:
    """Remembers what is needed to draw trails and path; its memory is bounded.

    Another epoch or frame starts anew, as nothing then says where the past was.

    Args:
        length: Images that a trail goes back.
    """

    def __init__(self, length: int) -> None:
        self._recent: deque[Tracks3D] = deque(maxlen=length)
        self._path: deque[NDArray[np.float64]] = deque(maxlen=_PATH_LENGTH)
        self._path_frame = ""
        self._here: NDArray[np.float64] | None = None
        self._newest: SceneUpdate | None = None

    @property
    def begun(self) -> bool:
        """Whether there was a scene."""
        return self._newest is not None

    def add(self, scene: SceneUpdate, camera: NDArray[np.float64] | None = None) -> None:
        """Take the next image's scene.

        Tracks that the odometry's camera carries along are drawn where they are in the fixed frame: else
        all that stands still would leave trails.

        Args:
            scene: The scene.
            camera: (4, 4) pose of the camera in the fixed frame, m, for scenes without odometry.
        """
        odometry = scene.odometry
        if odometry is not None and odometry.child_frame_id == scene.tracks.frame_id:
            scene = seen_from(scene, odometry.pose, odometry.frame_id)
        tracks = scene.tracks
        newest = self._recent[-1] if self._recent else tracks
        if newest.epoch != tracks.epoch:
            self.clear()
        elif newest.frame_id != tracks.frame_id:
            self._recent.clear()
        self._newest = scene
        self._recent.append(tracks)
        if odometry is not None:
            if odometry.frame_id != self._path_frame:
                self._path.clear()
            self._path_frame = odometry.frame_id
            if odometry.found_back:
                self._jump(tracks)
            camera = None if odometry.state == OdometryState.LOST else odometry.pose
        self._follow(camera)

    def view(self) -> SceneView:
        """Return the newest scene with its past.

        Raises:
            ValueError: There was no scene yet.
        """
        if self._newest is None:
            raise ValueError("there is no scene to be drawn yet")
        path = [*self._path]
        if self._here is not None and not np.array_equal(path[-1], self._here):
            path.append(self._here)
        return SceneView(self._newest, tuple(self._recent), np.array(path, np.float64).reshape(-1, 3))

    def set_length(self, length: int) -> None:
        """Let trails go back by ``length`` images from now on."""
        if length != self._recent.maxlen:
            self._recent = deque(self._recent, maxlen=length)

    def clear(self) -> None:
        """Forget everything."""
        self._recent.clear()
        self._path.clear()
        self._here = None
        self._newest = None

    def _jump(self, tracks: Tracks3D) -> None:
        """Begin trails and path anew at `tracks`, as the past was told from a wrong pose."""
        self._recent.clear()
        self._recent.append(tracks)
        self._follow(None)

    def _follow(self, camera: NDArray[np.float64] | None) -> None:
        self._here = None if camera is None else camera[:3, 3].copy()
        last = self._path[-1] if self._path else _GAP
        if self._here is None:
            if np.isfinite(last).all():
                self._path.append(_GAP)
        elif not np.linalg.norm(self._here - last) < _PATH_STEP:  # also true after a gap
            self._path.append(self._here)
