"""A stream of tracks, depth images, camera models and transforms becomes a stream of 3D scenes."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, fields
from threading import RLock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.depth_history import DepthHistory, DepthImage
from cotracker_ros.reconstruction.lifter_config import LifterConfig, LifterCounters
from cotracker_ros.reconstruction.lifting import Sight, depth_fits
from cotracker_ros.reconstruction.odometry import odometry_of
from cotracker_ros.reconstruction.poses import invert_pose
from cotracker_ros.reconstruction.scene import Odometry, OdometryState, SceneUpdate
from cotracker_ros.reconstruction.scene_estimator import LEVEL, Frames, SceneEstimator, tracks_3d
from cotracker_ros.reconstruction.static_map import StaticMap
from cotracker_ros.reconstruction.transforms import TransformBuffer, TransformError
from cotracker_ros.tracking.types import Tracks

_NS = 1_000_000_000
_SAME_PLACE = 0.01  # m: a depth camera nearer than this to the colour camera counts as registered
_SAME_DIRECTION = 0.01  # rad
_ODOMETRY_FRAME = "odom"  # REP 105's name for a frame that is continuous, but drifts


class TransformSource(Protocol):
    """Anything that can be asked like `TransformBuffer`, e.g. an adapter of tf2's buffer."""

    def lookup(self, target: str, source: str, stamp: int) -> NDArray[np.float64]:
        """Return the (4, 4) matrix from `source` to `target` at `stamp` ns or raise `TransformError`."""


@dataclass
class LifterState:
    """What a lifter remembers of its inputs; all of it is bounded.

    Attributes:
        depth: The depth images of the last seconds.
        camera: The newest camera model, and the frame it came with.
        camera_frame: Name of the optical frame of `camera`.
        pending: Tracks that wait, with the name of their frame, oldest first.
        finished: Results that had to be made while nobody asked for any.
        newest_tracks: Newest stamp among the tracks received, ns.
    """

    depth: DepthHistory
    camera: CameraModel | None = None
    camera_frame: str = ""
    pending: deque[tuple[Tracks, str]] = field(default_factory=deque)
    finished: list[SceneUpdate] = field(default_factory=list)
    newest_tracks: int | None = None


@dataclass(frozen=True, eq=False)
class _Known:
    """What TF tells at the moment of an image, as (4, 4) poses; None where it need not.

    Attributes:
        fixed_from_camera: Where the camera is.
        target_from_fixed: Where the fixed frame is, as seen from the target frame.
        target_from_camera: Where the camera is, as seen from the target frame.
        base_from_camera: Where the camera is on the robot.
    """

    fixed_from_camera: NDArray[np.float64] | None = None
    target_from_fixed: NDArray[np.float64] | None = None
    target_from_camera: NDArray[np.float64] | None = None
    base_from_camera: NDArray[np.float64] | None = None

    def to_target(self, fixed_from_camera: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return target_from_fixed for a camera at `fixed_from_camera`."""
        if self.target_from_fixed is not None:
            return self.target_from_fixed
        assert self.target_from_camera is not None
        return self.target_from_camera @ invert_pose(fixed_from_camera)


class Lifter:
    """Lifts tracks into space, each at the stamp of its image; threads may share it.

    Tracks wait, in order, until a depth image of their stamp or later and their transforms have come, or
    until the stream has gone on by `max_wait`; then they are lifted with what there is. Nothing here
    looks at a clock: the same calls give the same results.

    Depth images are expected registered to the colour image (its optical frame, the same view, any
    resolution of the same aspect ratio).

    Args:
        config: How tracks are lifted.
        transforms: Where poses of frames are asked for; by default a `TransformBuffer` of its own.

    Attributes:
        transforms: Where poses of frames are asked for.
        scene: What is known of the scene.
        state: What is remembered of the inputs.
        last_event: The last thing that went wrong, one sentence, or "".
    """

    def __init__(self, config: LifterConfig | None = None, transforms: TransformSource | None = None) -> None:
        self._config = config or LifterConfig()
        self.transforms = TransformBuffer() if transforms is None else transforms
        self.scene = SceneEstimator(self._config)
        self.state = self._new_state()
        self.last_event = ""
        self._counts: Counter[str] = Counter()
        self._lock = RLock()

    @property
    def config(self) -> LifterConfig:
        """How tracks are lifted. May be set at any time; another fixed frame starts points and map anew."""
        return self._config

    @config.setter
    def config(self, config: LifterConfig) -> None:
        with self._lock:
            self._config = config
            self.scene.configure(config)
            self.state.depth.seconds, self.state.depth.limit = config.history_seconds, config.history_images

    @property
    def counters(self) -> LifterCounters:
        """What happened until now."""
        with self._lock:
            return LifterCounters(**{item.name: self._counts[item.name] for item in fields(LifterCounters)})

    @property
    def map_frame(self) -> str:
        """Name of the frame of `map`, "" before any tracks came."""
        return self.scene.fixed_frame

    @property
    def map(self) -> StaticMap:
        """Static points, in the fixed frame `map_frame`."""
        return self.scene.map

    def set_camera(self, camera: CameraModel, frame_id: str, stamp: int) -> None:
        """Take the camera's model, which holds for all tracks lifted from now on.

        Args:
            camera: Model of the colour camera.
            frame_id: Its optical frame, used for tracks that name none.
            stamp: Stamp of the message, ns. A model holds until the next one comes, whatever its stamp:
                drivers repeat it with every image, and latched ones have no useful stamp.
        """
        with self._lock:
            self.state.camera, self.state.camera_frame = camera, frame_id

    def add_depth(self, stamp: int, depth: NDArray[np.float32], frame_id: str) -> None:
        """Take a depth image; it is kept, not copied. Call `ready` to have what waited for it.

        Args:
            stamp: ns.
            depth: (H, W) float32, m; NaN and zero are invalid.
            frame_id: Its optical frame.
        """
        with self._lock:
            self._counts["depth_images"] += 1
            newest = self.state.depth.newest
            if newest is not None and stamp < newest - self._ns("jump_back"):
                self._time_jumped("depth images")
                self.state.depth.clear()
            # Nearly every image is known to be usable by a few of its pixels.
            usable = depth.ndim == 2 and depth.size > 0
            usable = usable and bool(np.any(depth[::32, ::32] > 0) or np.any(depth > 0))
            if not usable:
                self._count("depth_invalid", f"the depth image at {_seconds(stamp)} has no valid pixel")
            self.state.depth.add(DepthImage(stamp, frame_id, depth if usable else None))

    def add_tracks(self, tracks: Tracks, frame_id: str) -> list[SceneUpdate]:
        """Take the tracks of an image and return all results that are ready now, in order.

        Args:
            tracks: Tracks of the next image. Revised answers to earlier images are passed over.
            frame_id: Optical frame of the image.
        """
        with self._lock:
            newest = self.state.newest_tracks
            if tracks.revised:
                self._counts["revised"] += 1
                return self.ready()
            if newest is not None and tracks.stamp <= newest:
                if not self._starts_over(tracks, newest):
                    self._count("out_of_order", f"tracks at {_seconds(tracks.stamp)} came after later ones")
                    return self.ready()
                self._time_jumped("tracks")
                self.scene.start_over()
                depth = self.state.depth.newest
                if depth is not None and depth >= newest - self._ns("jump_back"):
                    self.state.depth.clear()  # it is the old pass's: the depth images have yet to jump
            self.state.newest_tracks = tracks.stamp
            self.state.pending.append((tracks, frame_id or self.state.camera_frame))
            return self.ready()

    def ready(self) -> list[SceneUpdate]:
        """Return the results that became ready since the last call, in order."""
        with self._lock:
            self._work_off(hurry=False)
            finished, self.state.finished = self.state.finished, []
            return finished

    def flush(self) -> list[SceneUpdate]:
        """Lift all that waits with what there is (the stream ends here) and return it, in order."""
        with self._lock:
            self._work_off(hurry=True)
            return self.ready()

    def reset(self) -> None:
        """Forget points, map, depth images and waiting tracks; camera, transforms and counters stay."""
        with self._lock:
            camera, frame = self.state.camera, self.state.camera_frame
            self.state = self._new_state()
            self.state.camera, self.state.camera_frame = camera, frame
            self.scene.reset()
            self.last_event = ""

    def _new_state(self) -> LifterState:
        return LifterState(DepthHistory(self.config.history_seconds, self.config.history_images))

    def _ns(self, name: str) -> int:
        return int(getattr(self.config, name) * _NS)

    def _count(self, name: str, sentence: str) -> None:
        self._counts[name] += 1
        self.last_event = sentence

    def _starts_over(self, tracks: Tracks, newest: int) -> bool:
        last = self.state.pending[-1][0].epoch if self.state.pending else self.scene.epoch
        return tracks.epoch != last or tracks.stamp < newest - self._ns("jump_back")

    def _time_jumped(self, what: str) -> None:
        """Finish what waits from before the jump with what there is."""
        self._work_off(hurry=True)
        self._count("time_jumps", f"the stamps of the {what} jumped back: the stream starts over")

    def _work_off(self, hurry: bool) -> None:
        state = self.state
        while state.pending:
            tracks, frame = state.pending[0]
            crowded = len(state.pending) > self.config.max_pending
            if not (hurry or crowded or self._overdue(tracks.stamp) or self._complete(tracks, frame)):
                return
            self._counts["hurried"] += crowded and not hurry
            state.pending.popleft()
            result = self._lift(tracks, frame)
            if result is not None:
                state.finished.append(result)

    def _overdue(self, stamp: int) -> bool:
        newest = max(self.state.newest_tracks or stamp, self.state.depth.newest or stamp)
        return newest - stamp > self._ns("max_wait")

    def _complete(self, tracks: Tracks, frame: str) -> bool:
        """Say whether waiting longer changes nothing."""
        newest = self.state.depth.newest
        if self.state.camera is None or newest is None or newest < tracks.stamp:
            return False
        try:
            self._known(self._frames(frame), tracks.stamp)
        except TransformError as error:
            return not error.may_come
        return True

    def _frames(self, camera_frame: str) -> Frames:
        """Return the names of the frames for tracks of `camera_frame`."""
        config = self.config
        target = config.target_frame or camera_frame
        by_tracks = _ODOMETRY_FRAME if config.camera_pose == "tracks" else target
        return Frames(camera_frame, config.fixed_frame or by_tracks, target)

    def _known(self, frames: Frames, stamp: int) -> _Known:
        """Look up what TF has to tell at `stamp` ns, or raise `TransformError`."""
        if self.config.camera_pose == "transforms":
            return _Known(
                fixed_from_camera=self._pose(frames.fixed, frames.camera, stamp),
                target_from_fixed=self._pose(frames.target, frames.fixed, stamp),
            )
        base = self.config.base_frame
        return _Known(
            target_from_fixed=np.eye(4) if frames.target == frames.fixed else None,
            target_from_camera=None
            if frames.target == frames.fixed
            else self._pose(frames.target, frames.camera, stamp),
            base_from_camera=self._pose(base, frames.camera, stamp) if base else None,
        )

    def _pose(self, target: str, source: str, stamp: int) -> NDArray[np.float64]:
        return np.eye(4) if target == source else self.transforms.lookup(target, source, stamp)

    def _lift(self, tracks: Tracks, frame: str) -> SceneUpdate | None:
        when = f"tracks at {_seconds(tracks.stamp)}"
        camera = self._camera_for(tracks, when)
        if camera is None:
            return None
        frames = self._frames(frame)
        try:
            known = self._known(frames, tracks.stamp)
        except TransformError as error:
            self._count("transform_missing", f"{when} were dropped: {error}")
            return None
        sight = Sight(camera, self._depth_for(tracks, frame))
        origin = LEVEL if known.base_from_camera is None else known.base_from_camera
        estimate = self.scene.update(tracks, sight, frames, known.fixed_from_camera, origin)
        lifted = estimate.lifted
        self._counts["images_lifted"] += 1
        for name, count in zip(
            ("points_without_depth", "points_measured", "points_held"),
            np.bincount(lifted.source, minlength=3).tolist(),
            strict=True,
        ):
            self._counts[name] += count
        self._counts["points_rejected"] += lifted.rejected
        in_target = tracks_3d(tracks, lifted, frames.target, known.to_target(estimate.fixed_from_camera))
        return SceneUpdate(in_target, self._odometry(estimate.odometry, known), estimate.bodies)

    def _odometry(self, odometry: Odometry | None, known: _Known) -> Odometry | None:
        """Count what the odometry could not tell, and return it for the robot's frame."""
        if odometry is None:
            return None
        when = _seconds(odometry.stamp)
        if odometry.given and odometry.state is OdometryState.LOST:
            self._count(
                "pose_contradicted", f"TF's pose of the camera at {when} is doubtful: {odometry.reason}"
            )
        elif not odometry.given and odometry.state is not OdometryState.TRACKING:
            name = f"odometry_{odometry.state.name.lower()}"
            self._count(name, f"the camera's pose at {when} is a guess: {odometry.reason}")
        elif odometry.astray:
            self._count(
                "odometry_astray", f"the camera's pose at {when} goes on from a guess, as the camera was lost"
            )
        if odometry.found_back:
            self._count("odometry_found_back", f"the camera, which was lost, was found back at {when}")
        if known.base_from_camera is None:
            return odometry
        return odometry_of(odometry, self.config.base_frame, known.base_from_camera)

    def _camera_for(self, tracks: Tracks, when: str) -> CameraModel | None:
        """Return the camera's model for images of the tracks' size, if there is one."""
        camera = self.state.camera
        if camera is None:
            self._count("camera_missing", f"{when} were dropped: no camera_info came, publish it")
            return None
        width, height = tracks.image_size
        if abs(camera.width * height - camera.height * width) > max(camera.size):
            given = f"{camera.width}x{camera.height}"
            self._count(
                "camera_mismatch",
                f"{when} were dropped: the camera_info is for {given}, the image is {width}x{height}",
            )
            return None
        return camera if camera.size == (width, height) else camera.scaled(width, height)

    def _depth_for(self, tracks: Tracks, frame: str) -> NDArray[np.float32] | None:
        """Return the depth image that belongs to the tracks, if it can be used."""
        image = self.state.depth.find(tracks.stamp, self._ns("tolerance"))
        if image is None or image.depth is None:
            self._count("depth_missing", f"no depth image belongs to the tracks at {_seconds(tracks.stamp)}")
            return None
        width, height = tracks.image_size
        if not depth_fits(image.depth, tracks.image_size):
            rows, columns = image.depth.shape
            self._count(
                "depth_size_mismatch",
                f"the depth image is {columns}x{rows}, the image {width}x{height}: register the depth to it",
            )
            return None
        return image.depth if self._registered(image, frame) else None

    def _registered(self, image: DepthImage, frame: str) -> bool:
        if self.config.assume_registered or image.frame_id in ("", frame) or not frame:
            return True
        names = f'the depth image is in "{image.frame_id}", the tracks in "{frame}"'
        try:
            offset = self.transforms.lookup(frame, image.frame_id, image.stamp)
        except TransformError:
            self._count("depth_frame_unknown", f"{names}: taken as registered")
            return True
        angle = np.arccos(np.clip((np.trace(offset[:3, :3]) - 1) / 2, -1.0, 1.0))
        if np.linalg.norm(offset[:3, 3]) <= _SAME_PLACE and angle <= _SAME_DIRECTION:
            return True
        self._count("depth_not_registered", f"{names}, which is elsewhere: register the depth to the colour")
        return False


def _seconds(stamp: int) -> str:
    return f"{stamp / _NS:.3f} s"
