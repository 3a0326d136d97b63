"""One image's tracks into space: measured where they are seen, held where they are not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.depth import DepthSampling, at_rims, sample_depth
from cotracker_ros.reconstruction.focal_lever import FocalEffect, carried, lever_of
from cotracker_ros.reconstruction.motion import MotionConfig, PointStates, at_time, measure
from cotracker_ros.reconstruction.point_filters import length, on_axes
from cotracker_ros.reconstruction.poses import transform_points
from cotracker_ros.reconstruction.types import DepthSource, PointMotion
from cotracker_ros.tracking.types import TrackFlag, Tracks

# Plain numbers: arrays are several times slower to compare with members of an enumeration.
_SEEN = np.uint8(TrackFlag.VISIBLE | TrackFlag.IN_FRAME)
_NONE, _MEASURED, _HELD = map(np.uint8, DepthSource)


@dataclass(frozen=True, eq=False)
class Sight:
    """What the camera saw at one moment.

    Attributes:
        camera: Model for images of the tracks' size.
        depth: (H, W) float32, m, registered to the camera; of any size of the same aspect ratio. None when
            there was none.
    """

    camera: CameraModel
    depth: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Measured:
    """Points as they were measured, in the camera's optical frame.

    Attributes:
        xyz: (N, 3) float64, m; NaN where nothing was measured.
        sigma: (N,) float64, one standard deviation of z, m; NaN where nothing was measured.
        rays: (N, 3) float64, the viewing rays with z = 1; NaN where the track is not seen.
        image_sigma: (N,) float64, standard deviation of the place in the image over the focal length.
    """

    xyz: NDArray[np.float64]
    sigma: NDArray[np.float64]
    rays: NDArray[np.float64]
    image_sigma: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lifted:
    """The tracks of one image in the fixed frame.

    Attributes:
        states: The points' states after this image, in the order of the tracks.
        xyz: (N, 3) float64, m; NaN where never measured.
        velocity: (N, 3) float64, m/s; NaN while unknown.
        sigma: (N,) float64, one standard deviation along the viewing ray, m, or what `with_focal_doubt`
            makes of it; NaN where never measured.
        source: (N,) uint8, values of `DepthSource`.
        motion: (N,) uint8, values of `PointMotion`.
        lever: (N, 3) float64, how `xyz` changes with the logarithm of the focal length, m.
        rejected: Number of measurements that contradicted the point's motion.
    """

    states: PointStates
    xyz: NDArray[np.float64]
    velocity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    source: NDArray[np.uint8]
    motion: NDArray[np.uint8]
    lever: NDArray[np.float64]
    rejected: int


def depth_fits(depth: NDArray[np.float32], image_size: tuple[int, int]) -> bool:
    """Say whether a depth image shows the same view as an image of (width, height), up to its resolution."""
    height, width = depth.shape
    return abs(width * image_size[1] - height * image_size[0]) <= max(image_size)


def measure_points(
    tracks: Tracks,
    sight: Sight,
    expected: NDArray[np.float64],
    sampling: DepthSampling,
) -> Measured:
    """Read the depth of the tracks that are seen.

    Args:
        tracks: Tracks of the image.
        sight: The camera and the depth image.
        expected: (N,) depths that the points should have, m, NaN where unknown.
        sampling: How depth is read.
    """
    count, focal = len(tracks), sight.camera.K[0, 0]
    rays, xyz, sigma = np.full((count, 3), np.nan), np.full((count, 3), np.nan), np.full(count, np.nan)
    image_sigma = np.full(count, sampling.pixel_sigma / focal)
    found = Measured(xyz, sigma, rays, image_sigma)
    rows = np.flatnonzero((tracks.flags & _SEEN) == _SEEN)
    if not len(rows):
        return found
    xy = tracks.xy.take(rows, axis=0).astype(np.float64)
    rays[rows] = seen = sight.camera.unproject(xy)
    if sight.depth is None:
        return found
    height, width = sight.depth.shape
    scale = np.array([width / tracks.image_size[0], height / tracks.image_size[1]])
    places = (xy + 0.5) * scale - 0.5
    z, sigma_z = sample_depth(sight.depth, places, sampling, expected[rows])
    xyz[rows] = points = seen * z[:, None]
    sigma[rows] = np.where(np.isfinite(points[:, 2]), sigma_z, np.nan)
    slides = at_rims(sight.depth, places, sampling.patch * scale, sampling)
    image_sigma[rows[slides]] = max(sampling.patch_sigma, sampling.pixel_sigma) / focal
    return found


def place_points(
    tracks: Tracks,
    points: Measured,
    fixed_from_camera: NDArray[np.float64],
    states: PointStates,
    pixel_sigma: float,
    motion: MotionConfig,
    feigned: NDArray[np.float64] | float,
    by_focal: NDArray[np.float64],
) -> Lifted:
    """Take measured points into the fixed frame and go on with the rest.

    A point that is occluded, or whose depth is a hole or contradicts its motion, keeps its place in the fixed
    frame with growing uncertainty, so that it never takes the depth of what hides it.

    Args:
        tracks: Tracks of the image.
        points: What was measured of them.
        fixed_from_camera: (4, 4) pose of the camera, m.
        states: What was known before of these tracks, in their order.
        pixel_sigma: Standard deviation of a measured point across its ray, in units of its depth.
        motion: How points may move.
        feigned: (N,) speeds that the camera's motion may feign, m/s; see `feigned_speed`.
        by_focal: (6,) how the pose depends on the focal length, see `FocalEffect`.
    """
    measured, along = _in_fixed(points, fixed_from_camera)
    ray_sigma = length(along)
    across = on_axes(points.xyz[:, 2] * pixel_sigma)
    variance = along * along + across * across
    states, accepted = measure(states, tracks.stamp, measured, variance, ray_sigma, motion, feigned)
    taken = on_axes(accepted)
    lever = lever_of(points.xyz, fixed_from_camera, by_focal)
    states = replace(states, lever=np.where(taken, lever, states.lever))
    now = at_time(states, tracks.stamp, motion)
    source = np.where(accepted, _MEASURED, _HELD)
    source[states.count == 0] = _NONE
    return Lifted(
        states=states,
        xyz=np.where(taken, measured, now.position),
        velocity=now.velocity,
        sigma=np.where(accepted, ray_sigma, now.sigma),
        source=source,
        motion=now.kind,
        lever=states.lever,
        rejected=int((np.isfinite(points.sigma) & ~accepted).sum()),
    )


def show_points(
    tracks: Tracks,
    points: Measured,
    fixed_from_camera: NDArray[np.float64],
    states: PointStates,
    motion: MotionConfig,
    by_focal: NDArray[np.float64],
) -> Lifted:
    """Tell where measured points are while the camera's pose is not to be trusted.

    Nothing is learned from them: a wrong pose would pass for motion of the points.
    """
    measured, along = _in_fixed(points, fixed_from_camera)
    now = at_time(states, tracks.stamp, motion)
    seen = np.isfinite(points.sigma)
    source = np.where(seen, _MEASURED, _HELD)
    source[~seen & (states.count == 0)] = _NONE
    return Lifted(
        states=states,
        xyz=np.where(seen[:, None], measured, now.position),
        velocity=np.full_like(measured, np.nan),
        sigma=np.where(seen, length(along), now.sigma),
        source=source,
        motion=np.full(len(tracks), PointMotion.UNKNOWN, np.uint8),
        lever=np.where(seen[:, None], lever_of(points.xyz, fixed_from_camera, by_focal), states.lever),
        rejected=0,
    )


def with_focal_doubt(
    lifted: Lifted, fixed_from_camera: NDArray[np.float64], effect: FocalEffect, relative: bool
) -> Lifted:
    """Return points as uncertain as the focal length makes them, which it does to all of them together.

    That is nothing for those who compare points with each other, such as bodies and the map, to see.

    Args:
        lifted: Points, uncertain by their own noise.
        fixed_from_camera: (4, 4) pose of the camera, m.
        effect: Of the focal length.
        relative: Tell how uncertain they are as the camera sees them, not in the fixed frame.
    """
    lever = lifted.lever
    if relative:
        lever = lever - carried(lifted.xyz - fixed_from_camera[:3, 3], effect.by_focal)
    return replace(lifted, sigma=np.hypot(lifted.sigma, length(lever) * effect.sigma))


def _in_fixed(
    points: Measured, fixed_from_camera: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions (N, 3) in the fixed frame, and their sigmas (N, 3) along the rays, m."""
    along = points.rays @ fixed_from_camera[:3, :3].T * on_axes(points.sigma)
    return transform_points(fixed_from_camera, points.xyz), along
