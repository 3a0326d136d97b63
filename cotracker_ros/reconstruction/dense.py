"""Depth images become a surface: fusion of truncated signed distances by Open3D, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.dense_config import BLOCK, DenseConfig
from cotracker_ros.reconstruction.lifting import depth_fits
from cotracker_ros.reconstruction.open3d_library import load_open3d
from cotracker_ros.reconstruction.ply import write_ply
from cotracker_ros.reconstruction.undistortion import Undistortion

# Blocks that one call of Open3D gets: it holds Python's global lock for so long, and doubles its table when
# as many more might not fit.
_AT_ONCE = 512
_MAX_WEIGHT = 64.0  # images: what has been there for long can still be seen to have gone
_CLEARED = 20  # when the memory is full, this part of it is cleared at once: one in so many blocks
_METRES = 1.0  # depth images are in metres already


class DenseError(ValueError):
    """An image cannot be fused; the text is one sentence."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A coloured surface.

    Attributes:
        xyz: (V, 3) float32 vertices, m.
        rgb: (V, 3) uint8.
        triangles: (F, 3) int32 rows of `xyz`, seen counter-clockwise from the side of the camera.
    """

    xyz: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    triangles: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.xyz)


class DenseMap:
    """Fuses depth and colour images at known poses into a surface; threads may share it.

    Method: Curless and Levoy (1996), in blocks of voxels that exist only near surfaces (Nießner et al. 2013),
    as in ``open3d.t.geometry.VoxelBlockGrid``. Blocks that the camera looks through are emptied, so that
    what has gone vanishes after about as many images as had seen it.

    Args:
        config: How images are fused.

    Raises:
        Open3dError: Open3D is not there.
    """

    def __init__(self, config: DenseConfig | None = None) -> None:
        self.config = config or DenseConfig()
        self._o3d = load_open3d("Dense reconstruction")
        self._lock = Lock()
        self._undistortion: Undistortion | None = None
        self._start()

    def add(
        self,
        depth: NDArray[np.float32],
        rgb: NDArray[np.uint8],
        camera: CameraModel,
        fixed_from_camera: ArrayLike,
        mask: NDArray[np.bool_] | None = None,
    ) -> bool:
        """Take the next image.

        Args:
            depth: (H, W) float32, m along the optical axis; NaN and zero are invalid.
            rgb: (H, W, 3) uint8 image of the same view, of any resolution of the same aspect ratio.
            camera: Model of the view, at any resolution.
            fixed_from_camera: (4, 4) pose of the camera, m.
            mask: (H, W) bool, pixels of the depth image to leave out, such as those of moving bodies.

        Returns:
            Whether it was fused: not when it is passed over (`DenseConfig.every`), and not when nothing near
            enough was measured.

        Raises:
            DenseError: Images, mask and camera do not show the same view, or the pose is not finite.
        """
        pose = np.asarray(fixed_from_camera, dtype=np.float64)
        _check(depth, rgb, camera, pose, mask)
        with self._lock:
            self._offered += 1
            if (self._offered - 1) % self.config.every:
                return False
            valid = (depth > 0) & (depth < np.inf)  # false for NaN
            if mask is not None:
                valid &= ~mask
            if not (depth[valid] <= self.config.max_depth).any():
                return False
            # What is too far to be a surface still tells that nothing is before it.
            known = np.where(valid, np.minimum(depth, np.float32(self._far)), np.float32(0))
            return self._fuse(known, rgb, camera, pose)

    def mesh(self) -> Mesh:
        """Return the surface as it is now."""
        with self._lock:
            if not self._grid.hashmap().size():
                return _empty_mesh()
            # Weights are whole numbers; which side of the threshold is meant differs between releases.
            found = self._grid.extract_triangle_mesh(self.config.min_images - 0.5)
        if not found.vertex.positions.shape[0]:
            return _empty_mesh()
        colours = found.vertex.colors.numpy()
        return Mesh(
            found.vertex.positions.numpy().astype(np.float32),
            np.clip(np.rint(colours * 255), 0, 255).astype(np.uint8),
            found.triangle.indices.numpy().astype(np.int32),
        )

    def cloud(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return the surface's points (N, 3), m, and their colours (N, 3)."""
        mesh = self.mesh()
        return mesh.xyz, mesh.rgb

    def save(self, path: str | Path) -> Mesh:
        """Write the mesh to `path` and its vertices alone beside it: mesh.ply and mesh_cloud.ply.

        Returns:
            What was written.

        Raises:
            OSError: A file cannot be written; the message is one sentence.
        """
        mesh, target = self.mesh(), Path(path)
        write_ply(target, mesh.xyz, mesh.rgb, triangles=mesh.triangles)
        write_ply(target.with_name(f"{target.stem}_cloud{target.suffix}"), mesh.xyz, mesh.rgb)
        return mesh

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._start()

    @property
    def blocks(self) -> int:
        """Number of blocks in use, at most `DenseConfig.blocks`."""
        with self._lock:
            return int(self._grid.hashmap().size())

    def _start(self) -> None:
        core = self._o3d.core
        kind = core.float32
        self._capacity = self.config.blocks + _AT_ONCE
        self._grid: Any = self._o3d.t.geometry.VoxelBlockGrid(
            ("tsdf", "weight", "color"),
            (kind, kind, kind),
            ((1), (1), (3)),
            self.config.voxel_size,
            BLOCK,
            self._capacity,
            core.Device("CPU:0"),
        )
        self._seen: NDArray[np.int64] = np.zeros(self._capacity, np.int64)  # the image that last saw a block
        # So far behind max_depth that no block in use reaches there.
        self._far = self.config.max_depth + 2 * (self.config.truncation + 2 * BLOCK * self.config.voxel_size)
        self._offered = 0
        self._fused = 0

    def _fuse(
        self,
        depth: NDArray[np.float32],
        rgb: NDArray[np.uint8],
        camera: CameraModel,
        pose: NDArray[np.float64],
    ) -> bool:
        depth, rgb = self._undistorted(depth, rgb, camera)
        tensor, image = self._o3d.core.Tensor, self._o3d.t.geometry.Image
        view = camera.scaled(depth.shape[1], depth.shape[0])
        colour_view = camera.scaled(rgb.shape[1], rgb.shape[0])
        camera_from_fixed = np.asarray(np.linalg.inv(pose), np.float64)
        depth_image, matrix, extrinsic = image(depth), tensor(view.K), tensor(camera_from_fixed)
        around = self.config.truncation / self.config.voxel_size
        try:
            touched = self._grid.compute_unique_block_coordinates(
                depth_image, matrix, extrinsic, _METRES, self.config.max_depth, around
            )
        except RuntimeError:  # no block at all, from the few pixels that are valid
            return False
        before = self._in_front(depth, view, camera_from_fixed)
        blocks, index = self._claimed(touched.numpy(), pose[:3, 3])
        blocks = np.concatenate([blocks, before[~np.isin(self._rows(before), index)]])
        colours = image(np.ascontiguousarray(rgb, np.float32) / np.float32(255))
        for start in range(0, len(blocks), _AT_ONCE):
            self._grid.integrate(
                tensor(blocks[start : start + _AT_ONCE]),
                depth_image,
                colours,
                matrix,
                tensor(colour_view.K),
                extrinsic,
                _METRES,
                2 * self._far,
                around,
            )
        weights = self._grid.attribute("weight").numpy()  # shares the memory
        weights[index] = np.minimum(weights[index], _MAX_WEIGHT)
        return True

    def _undistorted(
        self, depth: NDArray[np.float32], rgb: NDArray[np.uint8], camera: CameraModel
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        if not camera.distorted:
            return depth, rgb
        size = depth.shape[1], depth.shape[0]
        view = camera.scaled(*size)
        if self._undistortion is None or not self._undistortion.fits(view):
            self._undistortion = Undistortion(view)
        return self._undistortion.depth(depth), self._undistortion.colour(_resized(rgb, size))

    def _keys(self) -> NDArray[np.int32]:
        """(B, 3) coordinates of the blocks in use, in blocks."""
        hashmap = self._grid.hashmap()
        return np.asarray(hashmap.key_tensor().numpy()[hashmap.active_buf_indices().numpy()])

    def _rows(self, keys: NDArray[np.int32]) -> NDArray[np.int32]:
        """(B,) rows in the voxels' arrays of blocks in use."""
        if not len(keys):
            return np.zeros(0, np.int32)
        return np.asarray(self._grid.hashmap().find(self._o3d.core.Tensor(keys))[0].numpy())

    def _middles(self, keys: NDArray[np.int32]) -> NDArray[np.float64]:
        return np.asarray((keys + 0.5) * (BLOCK * self.config.voxel_size))

    def _in_front(
        self, depth: NDArray[np.float32], view: CameraModel, camera_from_fixed: NDArray[np.float64]
    ) -> NDArray[np.int32]:
        """(B, 3) blocks in use between the camera and what it measures."""
        if not self._grid.hashmap().size():
            return np.zeros((0, 3), np.int32)
        keys = self._keys()
        local = self._middles(keys) @ camera_from_fixed[:3, :3].T + camera_from_fixed[:3, 3]
        front = local[:, 2] > BLOCK * self.config.voxel_size  # nearer, it is partly behind the camera
        keys, local = keys[front], local[front]
        focal = np.array([view.K[0, 0], view.K[1, 1]])
        column, row = np.rint(local[:, :2] / local[:, 2:] * focal + view.K[:2, 2]).T
        inside = (column >= 0) & (row >= 0) & (column < view.width) & (row < view.height)
        keys, z = keys[inside], local[inside, 2]
        measured = depth[row[inside].astype(int), column[inside].astype(int)]
        return np.asarray(keys[z < measured - self.config.truncation])

    def _claimed(
        self, keys: NDArray[np.int32], centre: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Make room for the blocks of an image, for the nearest ones if there are more than may be.

        Returns:
            (B, 3) blocks, and (B,) their rows in the voxels' arrays.
        """
        self._fused += 1
        budget = self.config.blocks
        if len(keys) > budget:
            distance = ((self._middles(keys) - centre) ** 2).sum(axis=1)
            keys = keys[np.argpartition(distance, budget - 1)[:budget]]
        tensor, hashmap = self._o3d.core.Tensor, self._grid.hashmap()
        found, known = (result.numpy().copy() for result in hashmap.find(tensor(keys)))
        self._seen[found[known]] = self._fused  # before the others are forgotten
        new = keys[~known]
        excess = int(hashmap.size()) + len(new) - budget
        if excess > 0:
            self._forget(excess)
        if len(new):
            rows = hashmap.activate(tensor(new))[0].numpy()
            for name in ("tsdf", "weight", "color"):  # the rows of forgotten blocks still hold them
                self._grid.attribute(name).numpy()[rows] = 0
            found[~known] = rows
            self._seen[rows] = self._fused
        return keys, found

    def _forget(self, least: int) -> None:
        """Forget at least so many blocks, those not seen for longest, but none of this image."""
        hashmap = self._grid.hashmap()
        rows = hashmap.active_buf_indices().numpy()
        rows = rows[self._seen[rows] < self._fused]
        count = min(len(rows), least + self.config.blocks // _CLEARED)
        if count:
            oldest = rows[np.argpartition(self._seen[rows], count - 1)[:count]]
            hashmap.erase(self._o3d.core.Tensor(hashmap.key_tensor().numpy()[oldest]))


def _check(
    depth: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    camera: CameraModel,
    pose: NDArray[np.float64],
    mask: NDArray[np.bool_] | None,
) -> None:
    if depth.ndim != 2 or rgb.ndim != 3 or rgb.shape[2] != 3 or not (depth.size and rgb.size):
        raise DenseError(
            f"the depth has the shape {depth.shape}, the colour {rgb.shape}: give (H, W), (H, W, 3)"
        )
    width, height = rgb.shape[1], rgb.shape[0]
    if not (depth_fits(depth, camera.size) and depth_fits(depth, (width, height))):
        raise DenseError(
            f"the depth image is {depth.shape[1]}x{depth.shape[0]}, the colour image {width}x{height}, the "
            f"camera's {camera.width}x{camera.height}: register the depth to the colour image"
        )
    if mask is not None and mask.shape != depth.shape:
        raise DenseError(f"the mask has the shape {mask.shape}, the depth {depth.shape}: give the same")
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise DenseError("the camera's pose is no finite 4x4 matrix: leave the image out")


def _resized(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if rgb.shape[1::-1] == size:
        return rgb
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _empty_mesh() -> Mesh:
    return Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.int32))
