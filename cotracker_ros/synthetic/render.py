"""Pictures of a scene: colour, depth, and which part each pixel shows.

Pixel (0, 0) is the centre of the first pixel. Colour is sampled several times per pixel and averaged over the
pixel's area; depth and part belong to the pixel's centre and are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.lighting import Lighting
from cotracker_ros.synthetic.motion import Matrix, invert
from cotracker_ros.synthetic.raycast import Region, cast_view, ray_directions, region_of
from cotracker_ros.synthetic.scene import Intrinsics, Part, Scene
from cotracker_ros.synthetic.surfaces import Components, Patch

Field = NDArray[np.float32]

_STEP = 4  # shading is computed at every 4th sample and interpolated


@dataclass(frozen=True, eq=False)
class Frame:
    """One rendered view.

    Attributes:
        image: (H, W, 3) uint8 RGB, without sensor noise.
        depth: (H, W) float32 m along the optical axis, inf where there is nothing.
        part: (H, W) int16 index into ``Scene.parts``, -1 where there is nothing.
        pose: (4, 4) world from optical frame.
    """

    image: NDArray[np.uint8]
    depth: Field
    part: NDArray[np.int16]
    pose: Matrix


class Renderer:
    """Renders one scene through one camera; holds only what does not change, so threads may share it."""

    def __init__(self, scene: Scene, view: Intrinsics, *, samples: int = 2) -> None:
        """Prepare shadows.

        Args:
            scene: What to render.
            view: The camera.
            samples: Colour samples per pixel along each axis.
        """
        if samples < 1:
            raise ValueError(f"samples per pixel must be at least 1, got {samples}; use 1, 2 or 3")
        self._scene = scene
        self._view = view
        self._fine = view.refined(samples)
        self._parts = [part for _, part in scene.parts]
        self._surfaces = [part.surface for part in self._parts]
        self._lighting = Lighting(scene)

    def render(self, seconds: float) -> Frame:
        """Render the view at a time."""
        pose = self._scene.camera.pose(seconds)
        transforms = self._scene.surfaces_from(pose, seconds)
        depth, part = cast_view(self._surfaces, transforms, self._view)
        image = self._colours(transforms, pose, self._lighting.shadow_map(seconds))
        if self._fine.width != self._view.width:
            size = (self._view.width, self._view.height)
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        return Frame(image, depth, part, pose)

    def _colours(self, transforms: Matrix, pose: Matrix, shadows: Field) -> NDArray[np.uint8]:
        fine = self._fine
        depth, index = cast_view(self._surfaces, transforms, fine)
        image = np.full((fine.height, fine.width, 3), 18, np.uint8)
        seen = np.zeros(len(self._parts) + 1, np.bool_)
        seen[index.ravel()] = True  # -1 (nothing there) falls on the last entry
        for i in np.flatnonzero(seen[:-1]):
            region = self._seen_region(int(i), transforms[i], index)
            left, top, right, bottom = region
            mask = (index[top:bottom, left:right] == i).astype(np.uint8)
            t = np.where(mask, depth[top:bottom, left:right], np.float32(1))
            world_from_surface = pose @ invert(transforms[i])
            colours = self._paint(self._parts[i], transforms[i], world_from_surface, region, t, shadows)
            cv2.copyTo(colours, mask, image[top:bottom, left:right])
        return image

    def _seen_region(self, i: int, transform: Matrix, index: NDArray[np.int16]) -> Region:
        """Smallest rectangle that holds all samples of a part that is seen somewhere."""
        left, top, right, bottom = region_of(self._surfaces[i], transform, self._fine) or (0, 0, 0, 0)
        inside = (index[top:bottom, left:right] == i).view(np.uint8)
        x, y, width, height = cv2.boundingRect(inside)
        return left + x, top + y, left + x + width, top + y + height

    def _paint(
        self,
        part: Part,
        transform: Matrix,
        world_from_surface: Matrix,
        region: Region,
        t: Field,
        shadows: Field,
    ) -> NDArray[np.uint8]:
        """Return the shaded texture over a region; right where `t` is the depth of this part."""
        left, top, right, bottom = region
        origin = transform[:3, 3].astype(np.float32)
        # Coarse samples lie at the centres of blocks of _STEP x _STEP, as cv2.resize expects them.
        columns = np.arange(left, right, _STEP) + (_STEP - 1) / 2
        rows = np.arange(top, bottom, _STEP) + (_STEP - 1) / 2
        rays = ray_directions(transform, self._fine, columns, rows)
        coarse_t = np.clip(part.surface.cast(origin, rays, endless=True), 0.02, 50)
        local = _points(origin, rays, coarse_t)
        light = self._lighting.shade(part, world_from_surface, local, origin, shadows)
        detail = self._level_of_detail(part, rays, local, coarse_t)
        light, detail = (_enlarge(values, right - left, bottom - top) for values in (light, detail))

        rays = ray_directions(transform, self._fine, np.arange(left, right), np.arange(top, bottom))
        u, v = part.surface.uv(_points(origin, rays, t))
        colours = _sample(part, u, v, detail)
        return np.asarray(cv2.multiply(colours, light, dtype=cv2.CV_8U), np.uint8)

    def _level_of_detail(self, part: Part, rays: Components, local: Components, t: Field) -> Field:
        """Level of the texture at which one texel is as large as one sample."""
        texels = part.texture.levels[0].shape[1] * (part.window[2] - part.window[0]) / part.surface.extent[0]
        normal = part.surface.normal(local)
        cosine = -(normal[0] * rays[0] + normal[1] * rays[1] + normal[2] * rays[2])
        cosine /= np.sqrt(rays[0] ** 2 + rays[1] ** 2 + rays[2] ** 2)
        # The geometric mean of the footprint's two axes: a compromise between shimmer and blur at a slant.
        footprint = t * (texels / self._fine.fx) / np.sqrt(np.clip(cosine, 0.04, 1))
        return np.log2(np.maximum(footprint, 1)).astype(np.float32)


def _points(origin: Field, rays: Components, t: Field) -> Components:
    x, y, z = (origin[i] + t * rays[i] for i in range(3))
    return x, y, z


def _enlarge(values: Field, width: int, height: int) -> Field:
    full = (values.shape[1] * _STEP, values.shape[0] * _STEP)
    large = cv2.resize(values, full, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large[:height, :width], np.float32)


def _sample(part: Part, u: Field, v: Field, detail: Field) -> NDArray[np.uint8]:
    """Look up the texture, interpolating in space and between levels of detail."""
    levels = part.texture.levels
    u_from, v_from, u_to, v_to = (np.float32(edge) for edge in part.window)
    u, v = u_from + (u_to - u_from) * u, v_from + (v_to - v_from) * v
    border = cv2.BORDER_REPLICATE if isinstance(part.surface, Patch) else cv2.BORDER_WRAP
    detail = np.clip(detail, 0, len(levels) - 1.001)
    result = np.empty((*u.shape, 3), np.uint8)
    for low in range(int(detail.min()), int(detail.max()) + 1):
        inside = (detail >= low) & (detail < low + 1)
        left, top, width, height = cv2.boundingRect(inside.view(np.uint8))
        if width == 0:
            continue
        area = np.s_[top : top + height, left : left + width]
        pair = []
        for level in levels[low : low + 2]:
            x = u[area] * level.shape[1] - np.float32(0.5)
            y = v[area] * level.shape[0] - np.float32(0.5)
            pair.append(cv2.remap(level, x, y, cv2.INTER_LINEAR, borderMode=border))
        upper = np.clip(detail[area] - low, 0, 1)
        mixed = cv2.blendLinear(pair[0], pair[1], 1 - upper, upper)
        cv2.copyTo(mixed, inside[area].view(np.uint8), result[area])
    return result
