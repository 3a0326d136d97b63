"""Exact tracks: where points on surfaces are in every image, and whether the camera sees them.

A point counts as visible when it lies inside the image area (from -0.5 to size - 0.5 along each axis), in
front of the camera, and its viewing ray meets no surface that is nearer by more than `TOLERANCE` along the
optical axis. Nothing is read from rendered images: positions and occlusion come from the scene's geometry in
float64.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.motion import Matrix, invert
from cotracker_ros.synthetic.render import Frame
from cotracker_ros.synthetic.scene import Intrinsics, Scene

TOLERANCE = 1e-3  # m
_RIM = 2  # px that a query keeps away from the outline of its surface


@dataclass(frozen=True, eq=False)
class Truth:
    """Exact tracks of N points through T images.

    Attributes:
        stamps: (T,) int64, ns.
        image_size: (2,) int64, width and height, px.
        K: (3, 3) intrinsic matrix, no distortion.
        camera_poses: (T, 4, 4) world from optical frame.
        body_poses: (T, B, 4, 4) world from body.
        xy: (T, N, 2) px, pixel (0, 0) is the centre of the first pixel; NaN behind the camera.
        visible: (T, N) bool.
        xyz: (T, N, 3) m, world frame.
        body: (N,) int64, 0 is the static world.
        query_frame: (N,) int64, image in which the point was chosen; it is visible there.
        body_names: (B,) names of the bodies.
    """

    stamps: NDArray[np.int64]
    image_size: NDArray[np.int64]
    K: NDArray[np.float64]
    camera_poses: NDArray[np.float64]
    body_poses: NDArray[np.float64]
    xy: NDArray[np.float64]
    visible: NDArray[np.bool_]
    xyz: NDArray[np.float64]
    body: NDArray[np.int64]
    query_frame: NDArray[np.int64]
    body_names: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.body)

    @property
    def queries(self) -> NDArray[np.float64]:
        """(N, 3) query image and position (t, x, y)."""
        xy = self.xy[self.query_frame, np.arange(len(self))]
        return np.column_stack([self.query_frame, xy])

    def save(self, path: Path) -> None:
        """Write all arrays to an .npz file."""
        with path.open("wb") as file:
            np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read what `save` wrote.

        Raises:
            ValueError: The file does not hold these arrays.
        """
        with np.load(path) as data:
            missing = [field.name for field in fields(cls) if field.name not in data]
            if missing:
                raise ValueError(
                    f"{path} is not a truth file: {', '.join(missing)} missing; make the sample again"
                )
            return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True, eq=False)
class Anchors:
    """Points fixed to bodies.

    Attributes:
        body: (N,) int64 index of the body.
        xyz: (N, 3) m, in the frame of the body.
        query_frame: (N,) int64 image in which they were chosen.
    """

    body: NDArray[np.int64]
    xyz: NDArray[np.float64]
    query_frame: NDArray[np.int64]

    @classmethod
    def joined(cls, groups: list[Anchors]) -> Anchors:
        """Return all points of several groups."""
        return cls(*(np.concatenate([getattr(g, f.name) for g in groups]) for f in fields(cls)))


def pick_anchors(
    scene: Scene,
    view: Intrinsics,
    frame: Frame,
    seconds: float,
    query_frame: int,
    *,
    static: int,
    moving: int,
    rng: np.random.Generator,
) -> Anchors:
    """Choose points on visible texture, spread over each body, at sub-pixel positions.

    Args:
        scene: The scene.
        view: The camera.
        frame: The rendered view at `seconds`.
        seconds: Time of the view.
        query_frame: Number of the image.
        static: Number of points on the static world, at most.
        moving: Number of points on each moving body, at most; bodies that show little texture get fewer.
        rng: Source of the sub-pixel offsets.
    """
    owner = np.array([body for body, _ in scene.parts] + [-1])[frame.part]
    kernel = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
    inner = cv2.erode(frame.part, kernel, borderValue=-1) == cv2.dilate(frame.part, kernel, borderValue=-1)
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    found = []
    for body in range(len(scene.bodies)):
        mask = (inner & (owner == body)).astype(np.uint8)
        count, area = (moving if body else static), int(mask.sum())
        if count == 0 or area == 0:
            continue
        spacing = max(1.5, 0.6 * float(np.sqrt(area / count)))
        corners = cv2.goodFeaturesToTrack(grey, count, 0.02, spacing, mask=mask, blockSize=5)
        if corners is not None:
            found.append(corners.reshape(-1, 2))
    pixels = np.concatenate(found) if found else np.zeros((0, 2))
    return anchors_at(scene, view, pixels + rng.uniform(-0.5, 0.5, pixels.shape), seconds, query_frame)


def anchors_at(
    scene: Scene, view: Intrinsics, pixels: NDArray[Any], seconds: float, query_frame: int
) -> Anchors:
    """Fix the points that are seen at pixels to what is seen there; where nothing is, they are NaN.

    Args:
        scene: The scene.
        view: The camera.
        pixels: (N, 2) positions, px.
        seconds: Time of the view.
        query_frame: Number of the image.
    """
    camera = scene.camera.pose(seconds)
    rays = np.column_stack([(pixels - (view.cx, view.cy)) / (view.fx, view.fy), np.ones(len(pixels))])
    depth, part = first_hits(scene, scene.surfaces_from(camera, seconds), rays)
    depth[~np.isfinite(depth)] = np.nan
    body_of = np.array([body for body, _ in scene.parts])[part]
    world = camera[:3, :3] @ (rays * depth[:, None]).T + camera[:3, 3:]
    into = np.stack([invert(pose) for pose in scene.body_poses(seconds)])[body_of]
    xyz = np.einsum("nij,nj->ni", into[:, :3, :3], world.T) + into[:, :3, 3]
    return Anchors(body_of, xyz, np.full(len(pixels), query_frame, np.int64))


def first_hits(
    scene: Scene, transforms: Matrix, rays: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return (N,) distance along rays (N, 3) of the camera to the first surface, and its part index."""
    nearest = np.full(len(rays), np.inf)
    part = np.zeros(len(rays), np.int64)
    for i, (_, candidate) in enumerate(scene.parts):
        origin = transforms[i][:3, 3]
        if not candidate.surface.sees(origin):
            continue
        x, y, z = transforms[i][:3, :3] @ rays.T
        t = candidate.surface.cast(origin, (x, y, z))
        nearer = t < nearest
        nearest[nearer] = t[nearer]
        part[nearer] = i
    return nearest, part


def trace(scene: Scene, view: Intrinsics, anchors: Anchors, stamps: NDArray[np.int64]) -> Truth:
    """Follow points through all images; time 0 of the scene is the first stamp.

    Args:
        scene: The scene.
        view: The camera.
        anchors: N points.
        stamps: (T,) ns.
    """
    count, total = len(stamps), len(anchors.body)
    xy = np.full((count, total, 2), np.nan)
    visible = np.zeros((count, total), np.bool_)
    xyz = np.empty((count, total, 3))
    cameras, bodies = [], []
    for k, stamp in enumerate(stamps):
        seconds = float(stamp - stamps[0]) * 1e-9
        camera, poses = scene.camera.pose(seconds), scene.body_poses(seconds)
        own = poses[anchors.body]
        xyz[k] = np.einsum("nij,nj->ni", own[:, :3, :3], anchors.xyz) + own[:, :3, 3]
        local = (xyz[k] - camera[:3, 3]) @ camera[:3, :3]
        xy[k] = view.project(local)
        with np.errstate(invalid="ignore"):
            inside = ((xy[k] >= -0.5) & (xy[k] <= (view.width - 0.5, view.height - 0.5))).all(axis=1)
        seen = np.flatnonzero(inside & (local[:, 2] > 0))
        rays = local[seen] / local[seen, 2:]
        depth, _ = first_hits(scene, scene.surfaces_from(camera, seconds), rays)
        visible[k, seen] = depth >= local[seen, 2] - TOLERANCE
        cameras.append(camera)
        bodies.append(poses)
    return Truth(
        stamps=np.asarray(stamps, np.int64),
        image_size=np.array([view.width, view.height]),
        K=view.matrix,
        camera_poses=np.stack(cameras),
        body_poses=np.stack(bodies),
        xy=xy,
        visible=visible,
        xyz=xyz,
        body=anchors.body,
        query_frame=anchors.query_frame,
        body_names=np.array([body.name for body in scene.bodies]),
    )
