"""One image's tracks into space: measured where they are seen, held where they are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.depth import DepthSampling, sample_depth
from cotracker_ros.reconstruction.motion import MotionConfig, PointStates, at_time, for_ids, measure
from cotracker_ros.reconstruction.poses import invert_pose, transform_points
from cotracker_ros.reconstruction.types import DepthSource
from cotracker_ros.tracking.types import TrackFlag, Tracks


@dataclass(frozen=True, eq=False)
class View:
    """What the camera saw at one moment, and from where.

    Attributes:
        camera: Model for images of the tracks' size.
        depth: (H, W) float32, m, registered to the camera; of any size of the same aspect ratio. None when
            there was none.
        fixed_from_camera: (4, 4) pose of the camera in the fixed frame, m.
    """

    camera: CameraModel
    depth: NDArray[np.float32] | None
    fixed_from_camera: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lifted:
    """The tracks of one image in the fixed frame.

    Attributes:
        states: The points' states after this image, in the order of the tracks.
        xyz: (N, 3) float64, m; NaN where never measured.
        velocity: (N, 3) float64, m/s; NaN while unknown.
        sigma: (N,) float64, one standard deviation along the viewing ray, m; NaN where never measured.
        source: (N,) uint8, values of `DepthSource`.
        moving: (N,) bool, points that certainly move.
        rejected: Number of measurements that contradicted the point's motion.
    """

    states: PointStates
    xyz: NDArray[np.float64]
    velocity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    source: NDArray[np.uint8]
    moving: NDArray[np.bool_]
    rejected: int


def depth_fits(depth: NDArray[np.float32], image_size: tuple[int, int]) -> bool:
    """Say whether a depth image shows the same view as an image of (width, height), up to its resolution."""
    height, width = depth.shape
    return abs(width * image_size[1] - height * image_size[0]) <= max(image_size)


def lift(
    tracks: Tracks, view: View, states: PointStates, sampling: DepthSampling, motion: MotionConfig
) -> Lifted:
    """Lift the tracks of one image.

    Visible tracks are measured in the depth image. One that is occluded, or whose depth is a hole or
    contradicts its motion, keeps its place in the fixed frame with growing uncertainty, so that it never
    takes the depth of what hides it.

    Args:
        tracks: Tracks of the image.
        view: The camera, the depth image and the camera's pose when the image was taken.
        states: What was known before, of any points.
        sampling: How depth is read.
        motion: How points may move.
    """
    new = (tracks.flags & TrackFlag.NEW) != 0
    states = for_ids(states, tracks.ids, fresh=new)
    before = at_time(states, tracks.stamp, motion)
    in_camera, z_sigma = _measured(tracks, view, before.position, sampling)
    rotation = view.fixed_from_camera[:3, :3]
    measured = transform_points(view.fixed_from_camera, in_camera)
    # Uncertain by the depth along the ray, and by the position in the image across it.
    z = in_camera[:, 2:]
    along = (in_camera / z) @ rotation.T * z_sigma[:, None]
    across = z * sampling.pixel_sigma / view.camera.K[0, 0]
    ray_sigma = np.linalg.norm(along, axis=1)
    states, accepted = measure(states, tracks.stamp, measured, along**2 + across**2, ray_sigma, motion)
    now = at_time(states, tracks.stamp, motion)
    seen = accepted[:, None]
    source = np.where(accepted, DepthSource.MEASURED, DepthSource.HELD).astype(np.uint8)
    source[states.count == 0] = DepthSource.NONE
    return Lifted(
        states=states,
        xyz=np.where(seen, measured, now.position),
        velocity=now.velocity,
        sigma=np.where(accepted, ray_sigma, now.sigma),
        source=source,
        moving=now.moving,
        rejected=int((np.isfinite(z_sigma) & ~accepted).sum()),
    )


def _measured(
    tracks: Tracks, view: View, expected: NDArray[np.float64], sampling: DepthSampling
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N, 3) points in the camera's frame, m, and (N,) sigmas of their depths; NaN if not measured.

    Args:
        tracks: Tracks of the image.
        view: The camera, the depth image and the camera's pose.
        expected: (N, 3) where the points should be in the fixed frame, m, NaN where unknown.
        sampling: How depth is read.
    """
    points, sigma = np.full((len(tracks), 3), np.nan), np.full(len(tracks), np.nan)
    wanted = TrackFlag.VISIBLE | TrackFlag.IN_FRAME
    rows = np.flatnonzero((tracks.flags & wanted) == wanted)
    if view.depth is None or not len(rows):
        return points, sigma
    xy = tracks.xy[rows].astype(np.float64)
    expected_z = transform_points(invert_pose(view.fixed_from_camera), expected[rows])[:, 2]
    height, width = view.depth.shape
    scale = np.array([width / tracks.image_size[0], height / tracks.image_size[1]])
    z, sigma_z = sample_depth(view.depth, (xy + 0.5) * scale - 0.5, sampling, expected_z)
    found = np.isfinite(z)
    rays = view.camera.unproject(xy[found])
    points[rows[found]] = rays * z[found, None]
    sigma[rows[found]] = np.where(np.isnan(rays[:, 2]), np.nan, sigma_z[found])
    return points, sigma
