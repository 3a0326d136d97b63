"""Shapes that rays can hit: rectangles, discs, spheres and tubes.

Convention: every shape lives in its own frame, in metres, and can be seen from one side only. A ray is
``origin + t * direction``; when the direction has z = 1 in a camera's optical frame, ``t`` is the depth
that a depth camera measures. Directions come as three arrays of one shape (x, y, z components), in float32
for pictures and float64 for exact truth: the same code serves both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Components = tuple[Array, Array, Array]


class Surface(Protocol):
    """What the renderer and the truth need to know of a shape."""

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the unrolled surface, m."""

    @property
    def corners(self) -> Array:
        """(M, 3) points whose convex hull holds the shape."""

    def sees(self, origin: Array) -> bool:
        """Tell whether a ray from `origin` (3,) can hit the visible side at all."""

    def cast(self, origin: Array, direction: Components, *, endless: bool = False) -> Array:
        """Return t of the first hit, inf where there is none.

        Args:
            origin: (3,) start of all rays.
            direction: Components of the rays.
            endless: Continue the shape smoothly beyond its outline, so that quantities such as shading can
                be computed on a coarse grid and interpolated up to the outline.
        """

    def uv(self, point: Components) -> tuple[Array, Array]:
        """Return texture coordinates in 0..1 (u to the right, v down) of points on the surface."""

    def normal(self, point: Components) -> tuple[Any, Any, Any]:
        """Return the components of the outward unit normal at points on the surface."""


@dataclass(frozen=True)
class Patch:
    """A rectangle or (``round``) an ellipse laid out as an image: x right, y down, z away from the viewer."""

    width: float
    height: float
    round: bool = False

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height, m."""
        return self.width, self.height

    @property
    def corners(self) -> Array:
        """(4, 3) corners of the rectangle."""
        x, y = self.width / 2, self.height / 2
        return np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]])

    def sees(self, origin: Array) -> bool:
        """Tell whether `origin` lies on the visible side."""
        return bool(origin[2] < -1e-9)

    def cast(self, origin: Array, direction: Components, *, endless: bool = False) -> Array:
        """Return t of the hit, inf where there is none."""
        dx, dy, dz = direction
        towards = dz > 1e-9
        t = -origin[2] / np.where(towards, dz, dz.dtype.type(1e-9))
        if endless:
            return t
        u = (origin[0] + t * dx) * (2 / self.width)
        v = (origin[1] + t * dy) * (2 / self.height)
        inside = u * u + v * v <= 1 if self.round else (np.abs(u) <= 1) & (np.abs(v) <= 1)
        return np.where(inside & towards, t, dz.dtype.type(np.inf))

    def uv(self, point: Components) -> tuple[Array, Array]:
        """Return texture coordinates in 0..1."""
        x, y, _ = point
        return x * (1 / self.width) + 0.5, y * (1 / self.height) + 0.5

    def normal(self, point: Components) -> tuple[Any, Any, Any]:
        """Return the outward normal, the same everywhere."""
        return 0.0, 0.0, -1.0


def _first_root(a: Array, b: Array, c: float, endless: bool) -> Array:
    """Smaller root of a t^2 + 2 b t + c, inf where there is none (the closest approach if `endless`)."""
    discriminant = b * b - a * c
    a = np.maximum(a, 1e-12)
    t = (-b - np.sqrt(np.maximum(discriminant, 0))) / a
    if endless:
        return t
    return np.where((discriminant > 0) & (t > 0), t, b.dtype.type(np.inf))


@dataclass(frozen=True)
class Sphere:
    """A sphere around the origin seen from outside; the texture wraps around the z axis, v = 0 at the top."""

    radius: float

    @property
    def extent(self) -> tuple[float, float]:
        """Length of the equator and of a meridian, m."""
        return 2 * math.pi * self.radius, math.pi * self.radius

    @property
    def corners(self) -> Array:
        """(8, 3) corners of the bounding cube."""
        return self.radius * _cube_corners()

    def sees(self, origin: Array) -> bool:
        """Tell whether `origin` lies outside."""
        return float(origin @ origin) > self.radius**2

    def cast(self, origin: Array, direction: Components, *, endless: bool = False) -> Array:
        """Return t of the first hit, inf where there is none."""
        dx, dy, dz = direction
        a = dx * dx + dy * dy + dz * dz
        b = origin[0] * dx + origin[1] * dy + origin[2] * dz
        return _first_root(a, b, float(origin @ origin) - self.radius**2, endless)

    def uv(self, point: Components) -> tuple[Array, Array]:
        """Return texture coordinates in 0..1."""
        x, y, z = point
        height = np.clip(z * (1 / self.radius), -1, 1)
        return np.arctan2(y, x) * (0.5 / math.pi) + 0.5, 0.5 - np.arcsin(height) * (1 / math.pi)

    def normal(self, point: Components) -> tuple[Any, Any, Any]:
        """Return the outward normal."""
        x, y, z = point
        return x / self.radius, y / self.radius, z / self.radius


@dataclass(frozen=True)
class Tube:
    """The mantle of an upright cylinder around the z axis, seen from outside, without lids."""

    radius: float
    height: float

    @property
    def extent(self) -> tuple[float, float]:
        """Circumference and height, m."""
        return 2 * math.pi * self.radius, self.height

    @property
    def corners(self) -> Array:
        """(8, 3) corners of the bounding box."""
        return _cube_corners() * np.array([self.radius, self.radius, self.height / 2])

    def sees(self, origin: Array) -> bool:
        """Tell whether `origin` lies outside of the endless cylinder."""
        return float(origin[:2] @ origin[:2]) > self.radius**2

    def cast(self, origin: Array, direction: Components, *, endless: bool = False) -> Array:
        """Return t of the first hit, inf where there is none."""
        dx, dy, dz = direction
        b = origin[0] * dx + origin[1] * dy
        t = _first_root(dx * dx + dy * dy, b, float(origin[:2] @ origin[:2]) - self.radius**2, endless)
        if endless:
            return t
        known = np.where(np.isfinite(t), t, dz.dtype.type(0))
        inside = np.abs(origin[2] + known * dz) <= self.height / 2
        return np.where(inside, t, dz.dtype.type(np.inf))

    def uv(self, point: Components) -> tuple[Array, Array]:
        """Return texture coordinates in 0..1."""
        x, y, z = point
        return np.arctan2(y, x) * (0.5 / math.pi) + 0.5, 0.5 - z * (1 / self.height)

    def normal(self, point: Components) -> tuple[Any, Any, Any]:
        """Return the outward normal."""
        x, y, z = point
        return x / self.radius, y / self.radius, 0.0 * z


def _cube_corners() -> Array:
    signs = np.array([-1.0, 1.0])
    return np.stack(np.meshgrid(signs, signs, signs), axis=-1).reshape(-1, 3)
