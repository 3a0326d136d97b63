"""A replay as a Rerun recording: image, tracks, points, trails, bodies, map and the camera, over time."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction import (
    CameraModel,
    Lifter,
    Odometry,
    PointMotion,
    RigidBodies,
    SceneUpdate,
    TransformError,
    invert_pose,
    quaternion_from_rotation,
    transform_points,
)
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.events import CameraEvent, ImageEvent
from cotracker_ros.recordings.replay import ReplayStep
from cotracker_ros.tracking.types import TrackFlag, Tracks
from cotracker_ros.visualization.scene_history import SceneHistory, SceneView, seen_from
from cotracker_ros.visualization.scene_style import (
    AXIS_COLOURS,
    MOTION_COLOURS,
    PATH_COLOUR,
    body_axes,
    body_box,
    body_colour,
    body_name,
    id_colours,
    segments,
)

_WORLD = "world"
_CAMERA = "world/camera"
_IMAGE = "world/camera/image"
_LARGEST = 960  # px: wider images are stored smaller
_JPEG = (int(cv2.IMWRITE_JPEG_QUALITY), 80)
_TRAIL_LENGTH = 15  # images
_TRAIL_PERIOD = 200_000_000  # ns: trails of every image would take more room than the images
_MAP_PERIOD = 1_000_000_000  # ns
_POINT = 0.01  # m, radius
_MAP_POINT = 0.006  # m, radius
_LINE = 0.002  # m, radius
_OVER_THE_SHOULDER = np.array([[0.8, -1.2, -2.0], [0.0, 0.3, 2.0]])  # m, eye and target in the camera's frame
_HIDDEN = 0.4  # how much of a hidden point's colour is left


def load_rerun() -> Any:
    """Return the module ``rerun``.

    Raises:
        RecordingError: It is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module("rerun")
    except ImportError as error:
        raise RecordingError(
            f"a Rerun recording needs the Python package 'rerun-sdk' ({error}): install it with "
            "`pip install cotracker_ros[rerun]`, or `pip install .[rerun]` in the repository"
        ) from error


class RerunOutput:
    """Writes a Rerun recording with a layout of its own, all of it in the lifter's fixed frame.

    Everything lies on one timeline, the stamps of the images.
    """

    def __init__(self, path: Path, lifter: Lifter | None = None, *, overwrite: bool = False) -> None:
        """Open the recording.

        Args:
            path: File to write, such as out.rrd.
            lifter: Whose scenes come; None where there is no depth: then there is no 3D view.
            overwrite: Replace the file if it exists.

        Raises:
            RecordingError: The file exists, cannot be written, or Rerun is not installed.
        """
        if path.exists() and not overwrite:
            raise RecordingError(f"{path} exists already: give another name or allow overwriting")
        self._rr = load_rerun()
        self._stream = self._rr.RecordingStream("cotracker_ros")
        self._stream.set_log_time_enabled(False)  # when it was written tells nothing
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream.save(path)
        except (OSError, RuntimeError) as error:
            raise RecordingError(f"{path} cannot be written: {error}") from error
        self._lifter = lifter
        self._history = SceneHistory(_TRAIL_LENGTH)
        self._camera: CameraModel | None = None
        self._shown: tuple[int, int] | None = None  # width and height of the stored images
        self._first: NDArray[np.float64] | None = None  # fixed_from_camera
        self._state: str | None = None
        self._due = {"trails": 0, "map": 0}  # stamps from which on they are written again, ns

    def take(self, step: ReplayStep) -> None:
        """Take the next step."""
        event = step.event
        if isinstance(event, CameraEvent):
            self._camera = event.camera
        elif isinstance(event, ImageEvent):
            self._at(event.stamp)
            self._write_image(event.image)
        for tracks in step.tracks:
            self._at(tracks.stamp)
            self._write_tracks(tracks)
        for scene in step.scenes:
            self._at(scene.tracks.stamp)
            self._write_scene(scene, step.frame_id)

    def finish(self, step: ReplayStep) -> None:
        """Write the last map and the layout, and close the file."""
        if self._history.begun:
            self._write_map()
        layout = _layout(self._first, odometry=self._state is not None)
        self._stream.send_blueprint(layout, make_active=True, make_default=True)
        self._stream.flush()
        self._stream.disconnect()

    def _at(self, stamp: int) -> None:
        self._stream.set_time("stamp", timestamp=np.datetime64(stamp, "ns"))

    def _log(self, entity: str, *components: Any, static: bool = False) -> None:
        self._stream.log(entity, *components, static=static)

    def _write_image(self, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        scale = min(1.0, _LARGEST / width)
        shown = (round(width * scale), round(height * scale))
        if shown != (width, height):
            image = np.asarray(cv2.resize(image, shown, interpolation=cv2.INTER_AREA), np.uint8)
        jpeg = cv2.imencode(".jpg", image[:, :, ::-1], _JPEG)[1].tobytes()
        self._log(_IMAGE, self._rr.EncodedImage(contents=jpeg, media_type="image/jpeg"))
        self._shown = shown
        if self._camera is not None:
            matrix = self._camera.scaled(*shown).K.copy()
            matrix[:2, 2] += 0.5  # Rerun counts from the corner of the first pixel, not from its middle
            self._log(
                _IMAGE, self._rr.Pinhole(image_from_camera=matrix, resolution=shown, image_plane_distance=0.3)
            )

    def _write_tracks(self, tracks: Tracks) -> None:
        scale = np.divide(self._shown or tracks.image_size, tracks.image_size)
        visible = (tracks.flags & TrackFlag.VISIBLE) != 0
        colours = id_colours(tracks.ids) * np.where(visible, 1.0, _HIDDEN)[:, None]
        points = self._rr.Points2D(
            (tracks.xy + 0.5) * scale,
            colors=colours.astype(np.uint8),
            radii=np.where(visible, 3.0, 1.5),
            labels=_names(tracks.ids, tracks.labels),
            show_labels=False,
        )
        self._log(f"{_IMAGE}/tracks", points)

    def _write_scene(self, scene: SceneUpdate, camera_frame: str) -> None:
        rr, stamp = self._rr, scene.tracks.stamp
        pose = self._camera_pose(scene, camera_frame)
        if pose is None:
            return
        if self._first is None:
            self._begin(pose)
        scene = self._in_fixed_frame(scene, camera_frame, pose)
        tracks = scene.tracks
        self._history.add(scene, pose)
        self._log(_CAMERA, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
        (known,) = np.nonzero(np.isfinite(tracks.xyz).all(axis=1))
        points = rr.Points3D(
            tracks.xyz[known],
            colors=tracks.rgb[known],
            radii=_POINT,
            labels=_names(tracks.ids[known], [tracks.labels[i] for i in known]),
            show_labels=False,
        )
        self._log(f"{_WORLD}/points", points)
        if scene.bodies is not None:
            self._write_bodies(scene.bodies)
        if scene.odometry is not None:
            self._write_odometry(scene.odometry)
        if self._is_due("trails", stamp, _TRAIL_PERIOD):
            self._write_trails(self._history.view())
        if self._is_due("map", stamp, _MAP_PERIOD):
            self._write_map()

    def _is_due(self, what: str, stamp: int, period: int) -> bool:
        # A stamp far before the last one: the recording started over.
        if self._due[what] - period <= stamp < self._due[what]:
            return False
        self._due[what] = stamp + period
        return True

    def _camera_pose(self, scene: SceneUpdate, camera_frame: str) -> NDArray[np.float64] | None:
        """Return (4, 4) fixed_from_camera, or None where nobody knows it."""
        assert self._lifter is not None
        stamp, odometry = scene.tracks.stamp, scene.odometry
        try:
            if odometry is None:
                return self._pose(self._lifter.map_frame, camera_frame, stamp)
            return odometry.pose @ self._pose(odometry.child_frame_id, camera_frame, stamp)
        except TransformError:
            return None

    def _in_fixed_frame(
        self, scene: SceneUpdate, camera_frame: str, pose: NDArray[np.float64]
    ) -> SceneUpdate:
        """Return the scene with its tracks in the fixed frame."""
        assert self._lifter is not None
        fixed, frame = self._lifter.map_frame, scene.tracks.frame_id
        if frame == fixed:
            return scene
        frame_from_camera = self._pose(frame, camera_frame, scene.tracks.stamp)
        return seen_from(scene, pose @ invert_pose(frame_from_camera), fixed)

    def _pose(self, target: str, source: str, stamp: int) -> NDArray[np.float64]:
        assert self._lifter is not None
        return np.eye(4) if target == source else self._lifter.transforms.lookup(target, source, stamp)

    def _begin(self, pose: NDArray[np.float64]) -> None:
        """Say which way is up, z unless the fixed frame is like a camera's, and look over its shoulder."""
        coordinates = self._rr.ViewCoordinates
        like_a_camera = pose[1, 1] > np.sqrt(0.5)  # its y points down
        self._log(_WORLD, coordinates.RDF if like_a_camera else coordinates.FLU, static=True)
        self._first = pose

    def _write_bodies(self, bodies: RigidBodies) -> None:
        rr, items = self._rr, bodies.bodies
        boxes = [body_box(body) for body in items]
        middles = [
            transform_points(body.pose, middle) for body, (middle, _) in zip(items, boxes, strict=True)
        ]
        colours = [(*body_colour(body.id), 100 if body.predicted else 255) for body in items]
        box = rr.Boxes3D(
            centers=np.reshape(middles, (-1, 3)),
            half_sizes=np.reshape([half for _, half in boxes], (-1, 3)),
            quaternions=np.reshape([quaternion_from_rotation(body.pose) for body in items], (-1, 4)),
            colors=np.reshape(colours, (-1, 4)).astype(np.uint8),
            labels=[body_name(body) for body in items],
            show_labels=True,
            fill_mode="majorwireframe",
        )
        self._log(f"{_WORLD}/bodies", box)
        ends = np.reshape([body_axes(body) for body in items], (-1, 2, 3))
        arrows = rr.Arrows3D(
            origins=ends[:, 0],
            vectors=ends[:, 1] - ends[:, 0],
            colors=np.tile(AXIS_COLOURS, (len(items), 1)).astype(np.uint8),
        )
        self._log(f"{_WORLD}/bodies/axes", arrows)

    def _write_odometry(self, odometry: Odometry) -> None:
        rr = self._rr
        sigma = np.sqrt(np.trace(odometry.covariance[:3, :3]))
        self._log("odometry/state", rr.Scalars(int(odometry.state)))
        self._log("odometry/position_sigma_m", rr.Scalars(sigma))
        self._log("odometry/speed_m_per_s", rr.Scalars(np.linalg.norm(odometry.twist[:3])))
        reason = odometry.reason or ("the pose goes on from a guess" if odometry.astray else "")
        sentence = f"{odometry.state.name.lower()}: {reason}".removesuffix(": ")
        if sentence != self._state:
            level = rr.TextLogLevel.INFO if not reason else rr.TextLogLevel.WARN
            self._log("odometry/log", rr.TextLog(sentence, level=level))
            self._state = sentence

    def _write_trails(self, view: SceneView) -> None:
        rr, tracks = self._rr, view.scene.tracks
        trails = view.trails()
        for motion in PointMotion:
            ends, _ = segments(trails[:, tracks.motion == motion])
            strips = rr.LineStrips3D(ends, colors=MOTION_COLOURS[motion], radii=_LINE)
            self._log(f"{_WORLD}/trails/{motion.name.lower()}", strips)
        ends, _ = segments(view.path[:, None])
        self._log(f"{_WORLD}/camera_path", rr.LineStrips3D(ends, colors=PATH_COLOUR, radii=2 * _LINE))

    def _write_map(self) -> None:
        assert self._lifter is not None
        points = self._lifter.map.points()
        self._log(f"{_WORLD}/map", self._rr.Points3D(points.xyz, colors=points.rgb, radii=_MAP_POINT))


def _names(ids: NDArray[np.uint32], labels: Sequence[str]) -> list[str]:
    return [f"{number} {label}".strip() for number, label in zip(ids.tolist(), labels, strict=True)]


def _layout(first: NDArray[np.float64] | None, *, odometry: bool) -> Any:
    """Return the blueprint: the scene in 3D beside the image with its tracks and the odometry's course.

    Args:
        first: (4, 4) first pose of the camera, over whose shoulder one looks; None without a scene.
        odometry: Whether there is odometry.
    """
    views = importlib.import_module("rerun.blueprint")
    side = views.Spatial2DView(origin=_IMAGE, name="Tracks in the image")
    if odometry:
        course = views.Tabs(
            views.TimeSeriesView(origin="odometry", name="Odometry"),
            views.TextLogView(origin="odometry", name="Odometry's log"),
        )
        side = views.Vertical(side, course, row_shares=[3, 2])
    if first is None:
        return views.Blueprint(side, collapse_panels=True)
    eye, target = transform_points(first, _OVER_THE_SHOULDER)
    scene = views.Spatial3DView(
        origin=_WORLD,
        name="Scene",
        eye_controls=views.EyeControls3D(position=eye, look_target=target),
    )
    return views.Blueprint(views.Horizontal(scene, side, column_shares=[3, 2]), collapse_panels=True)
