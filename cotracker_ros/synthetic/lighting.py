"""Light from one lamp with soft shadows, and from all around."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.motion import Matrix, invert, look_at
from cotracker_ros.synthetic.raycast import cast_view
from cotracker_ros.synthetic.scene import Intrinsics, Part, Scene
from cotracker_ros.synthetic.surfaces import Components

Field = NDArray[np.float32]

_TAPS = 10  # shadow samples per shading point
_BLUR = 4.5  # radius of the disc they lie on, px of the shadow map
_BIAS = 0.012  # m that a surface may lie behind the shadow map without being in shadow
_SOFT = 0.02  # m over which a shadow sets in


class Lighting:
    """Shades points of a scene.

    The depth of the scene seen from the lamp (the shadow map) says what the lamp reaches. Its static part is
    computed once.
    """

    def __init__(self, scene: Scene, *, resolution: int = 1024, field_of_view: float = 115.0) -> None:
        """Compute the static part of the shadow map.

        Args:
            scene: What throws shadows.
            resolution: Width and height of the shadow map, px.
            field_of_view: Opening angle of the lamp, degrees.
        """
        focal = resolution / 2 / math.tan(math.radians(field_of_view / 2))
        self._scene = scene
        self._view = Intrinsics.centred(resolution, resolution, focal=focal)
        self._pose = look_at(scene.lamp.position, scene.lamp.target)
        self._still = np.array([body == 0 for body, _ in scene.parts])
        self._static = self._depth(0.0, self._still, None)
        angles = np.arange(_TAPS) * 2.399963  # the golden angle spreads the samples evenly over the disc
        radii = _BLUR * np.sqrt((np.arange(_TAPS) + 0.5) / _TAPS)
        self._taps = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=-1).astype(np.float32)

    def shadow_map(self, seconds: float) -> Field:
        """Return the depth that the lamp sees at a time, (H, W) m."""
        return self._depth(seconds, ~self._still, self._static)

    def _depth(self, seconds: float, chosen: NDArray[np.bool_], behind: Field | None) -> Field:
        transforms = self._scene.surfaces_from(self._pose, seconds)
        surfaces = [part.surface for _, part in self._scene.parts]
        depth, _ = cast_view(surfaces, transforms, self._view, chosen=chosen, behind=behind)
        return depth

    def shade(
        self, part: Part, world_from_surface: Matrix, local: Components, eye: Field, shadows: Field
    ) -> NDArray[np.float32]:
        """Return (H, W, 3) light (RGB, 1 = nominal) at points of a part.

        Args:
            part: The part that the points belong to.
            world_from_surface: (4, 4) pose of its surface now.
            local: Components (H, W) of the points in the frame of the surface.
            eye: (3,) position of the camera in that frame.
            shadows: What `shadow_map` returned for this time.
        """
        lamp = self._scene.lamp
        surface_from_world = invert(world_from_surface)
        source = surface_from_world[:3, :3] @ np.array(lamp.position) + surface_from_world[:3, 3]
        source, up = source.astype(np.float32), surface_from_world[:3, 2].astype(np.float32)
        nx, ny, nz = part.surface.normal(local)
        lx, ly, lz = (source[i] - local[i] for i in range(3))
        distance = np.sqrt(lx * lx + ly * ly + lz * lz)
        facing = (nx * lx + ny * ly + nz * lz) / distance
        falloff = 1.6 / (0.6 + (distance / lamp.reach) ** 2)
        lit = self._lit(world_from_surface, local, shadows)
        direct = np.maximum(facing, 0) * falloff * lit
        around = 0.80 + 0.20 * (nx * up[0] + ny * up[1] + nz * up[2]) + np.zeros_like(direct)
        light = direct[..., None] * np.array(lamp.colour, np.float32) + around[..., None] * np.array(
            lamp.ambient, np.float32
        )
        if part.gloss:
            light += (part.gloss * _highlight(local, eye, (lx, ly, lz), (nx, ny, nz)) * lit)[..., None]
        return np.ascontiguousarray(light, dtype=np.float32)

    def _lit(self, world_from_surface: Matrix, local: Components, shadows: Field) -> NDArray[Any]:
        """Fraction of the lamp that each point sees."""
        view = self._view
        m = (view.matrix @ (invert(self._pose) @ world_from_surface)[:3]).astype(np.float32)
        x, y, z = (m[i, 0] * local[0] + m[i, 1] * local[1] + m[i, 2] * local[2] + m[i, 3] for i in range(3))
        in_front = z > 0.05
        z = np.where(in_front, z, np.float32(1))
        x, y = x / z, y / z
        inside = in_front & (np.abs(x - view.cx) < view.width / 2) & (np.abs(y - view.cy) < view.height / 2)
        total = np.zeros(z.shape, np.float32)
        for dx, dy in self._taps:
            nearest = cv2.remap(shadows, x + dx, y + dy, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            total += np.clip(1 - (z - nearest - _BIAS) / _SOFT, 0, 1)
        return np.where(inside, total / _TAPS, np.float32(1))


def _highlight(local: Components, eye: NDArray[Any], light: Components, normal: tuple[Any, Any, Any]) -> Any:
    """Blinn's reflection of the lamp, 0..1."""
    ex, ey, ez = (eye[i] - local[i] for i in range(3))
    e = 1 / np.sqrt(ex * ex + ey * ey + ez * ez)
    s = 1 / np.sqrt(light[0] ** 2 + light[1] ** 2 + light[2] ** 2)
    hx, hy, hz = ex * e + light[0] * s, ey * e + light[1] * s, ez * e + light[2] * s
    cosine = (hx * normal[0] + hy * normal[1] + hz * normal[2]) / np.sqrt(hx * hx + hy * hy + hz * hz)
    return np.maximum(cosine, 0) ** 40
