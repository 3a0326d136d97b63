"""What can be set about dense reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 8  # voxels along the edge of a block
_VOXEL_BYTES = 20  # distance, weight and three colours, 4 bytes each
_MEGABYTE = 1e6


@dataclass(frozen=True)
class DenseConfig:
    """How depth images are fused into a surface.

    Attributes:
        voxel_size: Edge of a voxel, m; detail below it is lost.
        truncation: How far from a measured depth its surface is believed to be, m: several voxels, and more
            than the sensor's noise at `max_depth`.
        max_depth: Farther readings are left out, m.
        memory: Memory of the voxels, MB, taken at once; what was not seen for longest is forgotten when it is
            full. 400 MB hold about 70 m² of surface in voxels of 1 cm.
        every: Fuse each so-many-th image; neighbours tell little new.
        min_images: What fewer images saw is left out of the surface.
    """

    voxel_size: float = 0.01
    truncation: float = 0.04
    max_depth: float = 4.0
    memory: float = 400.0
    every: int = 3
    min_images: int = 3

    def __post_init__(self) -> None:
        for name in ("voxel_size", "truncation", "max_depth", "memory"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"the dense map's {name} is {value}: give a positive number")
        for name in ("every", "min_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"the dense map's {name} is {getattr(self, name)}: give at least 1")
        if self.truncation < 2 * self.voxel_size:
            raise ValueError(
                f"the dense map's truncation is {self.truncation} m with voxels of {self.voxel_size} m: "
                "give at least two voxels"
            )
        if self.max_depth <= self.truncation:
            raise ValueError(
                f"the dense map's max_depth is {self.max_depth} m: give more than its truncation, "
                f"{self.truncation} m"
            )
        if self.blocks < 1:
            raise ValueError(f"the dense map's memory is {self.memory} MB: give at least 1 MB")

    @property
    def blocks(self) -> int:
        """Number of blocks of 8x8x8 voxels that the memory holds."""
        return int(self.memory * _MEGABYTE / (BLOCK**3 * _VOXEL_BYTES))
