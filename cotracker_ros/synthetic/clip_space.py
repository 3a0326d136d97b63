"""Random scenes in space: a room with a table, boxes, cards and posters, seen by a hand-held camera.

Metres, z up. A camera's optical frame has x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.clip_motion import (
    Rng,
    Timing,
    Values,
    log_uniform,
    path,
    random_timing,
    shake_size,
    turn,
    wander,
    wander_about,
)
from cotracker_ros.synthetic.clip_scene import surface
from cotracker_ros.synthetic.clip_world import Space
from cotracker_ros.synthetic.layers import Layer
from cotracker_ros.synthetic.motion import look_at, rotation
from cotracker_ros.synthetic.patterns import Image
from cotracker_ros.synthetic.shapes import random_mask
from cotracker_ros.synthetic.texture_bank import SIZE, Bank

_BORDER = 2  # empty px around a face
_OVERLAP = 0.5  # px by which faces reach over the edges they share, so that nothing shines through
_LARGEST_FACE = 360  # px


@dataclass(frozen=True, eq=False)
class Eye:
    """A pinhole camera at the times of a clip.

    Attributes:
        timing: The times, (T, 1 + J, 2).
        size: Width and height of the image, px.
        focal: Focal length, px.
        turned: (T, 1 + J, 2, 3, 3) camera from world, rotation only.
        place: (T, 1 + J, 2, 3) the camera in the world.
        target: (3,) what it looks at in the middle of its motion.
    """

    timing: Timing
    size: tuple[int, int]
    focal: float
    turned: Values
    place: Values
    target: Values

    def maps(self, origin: Values, along_x: Values, along_y: Values) -> Values:
        """Return the (T, 1 + J, 2, 3, 3) maps of a plane, texture from image.

        Args:
            origin: (..., 3) where px (0, 0) of its texture is.
            along_x: (..., 3) step from one px to the next, m.
            along_y: (..., 3) likewise, down the texture.
        """
        shape = self.place.shape
        axes = [np.broadcast_to(axis, shape) for axis in (along_x, along_y, origin - self.place)]
        middle_x, middle_y = (self.size[0] - 1) / 2, (self.size[1] - 1) / 2
        lens = np.array([[self.focal, 0, middle_x], [0, self.focal, middle_y], [0, 0, 1]])
        return np.asarray(np.linalg.inv(lens @ self.turned @ np.stack(axes, axis=-1)), np.float64)

    def pixel(self, place: Values) -> float:
        """Return the width of an image px at a place, m, where the camera comes nearest to it."""
        nearest = np.linalg.norm(self.place[:, 0, 0] - place, axis=-1).min()
        return max(float(nearest), 0.05) / self.focal


def random_space(rng: Rng, frames: int, size: tuple[int, int], bank: Bank) -> Space:
    """Return a random room with things in it."""
    support = rng.uniform(0.5, 1.0) if rng.random() < 0.5 else 0.0
    eye, distance = _random_eye(rng, frames, size, support)
    scene = _Furniture(rng, bank, eye, distance)
    scene.add_room(support)
    grounds = len(scene.layers)
    scene.add_posters()
    if support > 0:
        scene.add_table(support)
    for _ in range(int(rng.integers(2, 7))):
        scene.add_box(support)
    for _ in range(int(rng.integers(2, 7))):
        scene.add_card(support)
    return Space(scene.layers, grounds)


def _random_eye(rng: Rng, frames: int, size: tuple[int, int], support: float) -> tuple[Eye, float]:
    timing = random_timing(rng, frames, size[0])
    times, speed = timing.times, timing.speed
    focal = size[0] * rng.uniform(0.8, 1.5)
    distance = log_uniform(rng, 0.7, 2.8)
    down = rng.uniform(0.15, 1.1)
    target = np.array([0.0, 0.0, support])
    middle = target + distance * np.array([0.0, -np.cos(down), np.sin(down)])
    aim = look_at(middle, target + rng.normal(0, 0.12 * distance, 3), roll=rng.normal(0, 0.1))[:3, :3]
    place, angles, roll = np.zeros((*times.shape, 3)), np.zeros((*times.shape, 2)), np.zeros_like(times)
    if not timing.still:
        shares = rng.dirichlet([2.0, 2.0, 0.4])
        slowest, fastest = rng.uniform(24, 110), rng.uniform(9, 20)
        shake = shake_size(rng, speed, size[0])
        angles = speed * shares[0] * wander_about(rng, times, fastest, slowest)
        angles = angles + shake * np.stack([wander(rng, times, 3.5, 9, terms=4) for _ in range(2)], axis=-1)
        angles = _soft_limit(angles / focal, np.array([1.3, 0.5]))
        roll = _soft_limit(speed * shares[2] / (0.4 * size[0]) * wander(rng, times, fastest, slowest), 0.6)
        walked = np.concatenate(
            [
                wander_about(rng, times, fastest, slowest),
                0.8 * wander(rng, times, fastest, slowest)[..., None],
            ],
            -1,
        )
        walked = _soft_limit(speed * shares[1] * distance / focal * walked, 0.45 * distance)
        place = walked @ aim.T
        # Not through the table, nor the floor.
        place[..., 2] = np.maximum(place[..., 2], -0.7 * (middle[2] - support))
        if rng.random() < 0.4:  # going round something: the camera turns so that the target stays in view
            angles = angles + walked[..., :2] / distance * np.array([-1, 1]) * rng.uniform(0.5, 1)
    return Eye(timing, size, focal, turn(angles, roll) @ aim.T, middle + place, target), distance


def _soft_limit(values: Values, limit: Values | float) -> Values:
    return limit * np.tanh(values / limit)


@dataclass(eq=False)
class _Furniture:
    """Collects the layers of a scene."""

    rng: Rng
    bank: Bank
    eye: Eye
    distance: float
    layers: list[Layer] = field(default_factory=list)
    walls: list[tuple[Values, Values, Values]] = field(default_factory=list)

    def __post_init__(self) -> None:
        light = self.rng.normal(0, 1, 3) + np.array([0, 0, 1.5])
        self._light = light / np.linalg.norm(light)
        self._ambient = self.rng.uniform(0.55, 1.0)

    def add_room(self, support: float) -> None:
        """Floor, ceiling and four walls around the camera and what it looks at; turned by any angle."""
        rng, d = self.rng, self.distance
        turned = rotation(0, 0, rng.uniform(-np.pi, np.pi))
        points = np.concatenate([self.eye.place.reshape(-1, 3), self.eye.target[None]]) @ turned
        low = points.min(axis=0) - d * np.exp(rng.uniform(np.log(0.25), np.log(2.0), 3))
        high = points.max(axis=0) + d * np.exp(rng.uniform(np.log(0.25), np.log(2.0), 3))
        low[2] = 0.0 if support > 0 else self.eye.target[2]
        x, y, z = turned.T
        common = self._patch(SIZE, SIZE) if rng.random() < 0.6 else None
        for point, normal, along, up in (
            (turned @ low, z, x, y),
            (turned @ high, -z, x, y),
            (turned @ low, x, y, -z),
            (turned @ high, -x, y, -z),
            (turned @ low, y, x, -z),
            (turned @ high, -y, x, -z),
        ):
            upright = abs(normal[2]) < 0.5
            texture = common if upright and common is not None else self._patch(SIZE, SIZE)
            step = self.eye.pixel(self.eye.target) * log_uniform(rng, 0.7, 1.6)
            # The texture begins anywhere: its mirror lines should not run through the corner.
            origin = point - step * (along * rng.uniform(0, SIZE) + up * rng.uniform(0, SIZE))
            maps = self.eye.maps(origin, step * along, step * up)
            self.layers.append(Layer(scale_all(texture, self._shade(normal)), None, maps, self.eye.size[1]))
            if upright:
                self.walls.append((point, normal, along))

    def add_posters(self) -> None:
        """Flat things on the walls."""
        rng = self.rng
        for point, normal, along in self.walls:
            for _ in range(int(rng.integers(0, 3))):
                size = self.distance * np.exp(rng.uniform(np.log(0.15), np.log(0.8), 2))
                # Near the place on the wall that the target faces.
                facing = self.eye.target - normal * (normal @ (self.eye.target - point))
                middle = facing + along * rng.normal(0, 0.6) * self.distance
                middle = middle + np.array([0, 0, rng.uniform(0.1, 0.9)]) * self.distance + 0.012 * normal
                self._face(self._still(middle), along * size[0], np.array([0, 0, -size[1]]), normal)

    def add_table(self, support: float) -> None:
        """A board, some legs."""
        rng, d = self.rng, self.distance
        half = d * np.array([rng.uniform(0.35, 0.9), rng.uniform(0.3, 0.7), 0.015])
        half[2] = max(half[2], 0.012)
        pose = rotation(0, 0, rng.uniform(-0.6, 0.6))
        middle = np.array([*rng.normal(0, 0.15 * d, 2), support - half[2]])
        self._box(self._still(middle), pose, half)
        thick = rng.uniform(0.02, 0.05)
        for x, y in ((-1, -1), (1, -1), (-1, 1), (1, 1))[: int(rng.integers(0, 5))]:
            leg = np.array([0.9 * x * half[0], 0.9 * y * half[1], -support / 2])
            self._box(self._still(middle + pose @ leg), pose, np.array([thick, thick, support / 2 - half[2]]))

    def add_box(self, support: float) -> None:
        """A box on the support, perhaps sliding and turning; or one that flies."""
        rng, d, times = self.rng, self.distance, self.eye.timing.times
        half = d * np.exp(rng.uniform(np.log(0.03), np.log(0.22), 3))
        middle = self.eye.target + np.array([*rng.normal(0, 0.3 * d, 2), half[2] + 0.001 * d])
        places = self._still(middle)
        turned: Values = rotation(0, 0, rng.uniform(0, 6.3))
        flies = rng.random() < 0.25
        if flies:
            places = places + np.array([0, 0, rng.uniform(0.05, 0.6) * d])
        if flies or rng.random() < 0.5:
            places = places + self._motion(flies, d)
            spin = log_uniform(rng, 0.001, 0.08) * wander(rng, times, 14, 100)
            turned = _about_z(spin) @ turned
            if flies:
                turned = rotation(*rng.uniform(0, 6, 3)) @ turned @ rotation(*rng.uniform(0, 6, 3))
        elif rng.random() < 0.6:
            self._shadow(middle - np.array([0, 0, half[2] - 0.004 * d]), half)
        self._box(places, turned, half)

    def add_card(self, support: float) -> None:
        """A cut-out that lies on the support, stands on it, hangs in the air, or passes near the camera."""
        rng, d = self.rng, self.distance
        kind = rng.choice(["lies", "stands", "hangs", "passes"], p=[0.27, 0.22, 0.18, 0.33])
        size = d * log_uniform(rng, 0.12, 0.7)
        if kind == "lies":
            middle = self.eye.target + np.array([*rng.normal(0, 0.35 * d, 2), rng.uniform(0.005, 0.008) * d])
            axes = rotation(np.pi, 0, rng.uniform(0, 6.3))
        elif kind == "stands":
            middle = self.eye.target + np.array([*rng.normal(0, 0.35 * d, 2), 0.45 * size])
            axes = rotation(-np.pi / 2, 0, rng.uniform(-1, 1))
        else:
            share = rng.uniform(0.3, 0.8) if kind == "passes" else rng.uniform(0.6, 1.3)
            start = self.eye.place[len(self.eye.place) // 2, 0, 0]
            middle = start + share * (self.eye.target - start) + rng.normal(0, 0.2 * d * share, 3)
            axes = self.eye.turned[0, 0, 0].T @ rotation(*rng.normal(0, 0.3, 3))
            size *= share
        places, turned = self._still(middle), axes
        if (kind in ("hangs", "passes") and rng.random() < 0.7) or rng.random() < 0.2:
            places = places + self._motion(kind in ("hangs", "passes"), d)
            spin = log_uniform(rng, 0.001, 0.06) * wander(rng, self.eye.timing.times, 14, 100)
            turned = axes @ _about_z(spin)
        self._cut_out(places, turned, size, screen=rng.random() < (0.5 if kind == "passes" else 0.1))

    def _cut_out(self, places: Values, turned: Values, size: float, *, screen: bool) -> None:
        pixel = max(self.eye.pixel(places[len(places) // 2, 0, 0]), size / _LARGEST_FACE)
        mask = random_mask(self.rng, max(size / pixel, 12), screen=screen)
        texture = surface(self.rng, self.bank, mask)
        height, width = mask.shape
        x, y = turned[..., 0] * pixel, turned[..., 1] * pixel
        origin = places - x * (width - 1) / 2 - y * (height - 1) / 2
        self.layers.append(Layer(texture, mask, self.eye.maps(origin, x, y), self.eye.size[1]))

    def _still(self, place: Values) -> Values:
        return np.broadcast_to(place, self.eye.place.shape)

    def _motion(self, flies: bool, distance: float) -> Values:
        """A path through the air, or over the ground."""
        rng, timing = self.rng, self.eye.timing
        step = log_uniform(rng, 0.05, 8) * self.eye.size[0] / 256 * distance / self.eye.focal
        moved = np.zeros(self.eye.place.shape)
        moved[..., :2] = path(rng, timing.times, step, len(timing.times))
        if flies:
            moved[..., 2] = 0.5 * step * wander(rng, timing.times, 12, 80)
        return moved

    def _box(self, places: Values, turned: Values, half: Values) -> None:
        """Add a box, unless the camera gets into it: (..., 3) middle, (..., 3, 3) axes, (3,) half sizes."""
        turned = np.broadcast_to(turned, (*places.shape, 3))
        inside = np.einsum("...ji,...j->...i", turned, self.eye.place - places)
        if np.all(np.abs(inside) < half + 0.08 * self.distance, axis=-1).any():
            return
        common = self._patch(128, 128) if self.rng.random() < 0.5 else None
        for axis in range(3):
            for side in (1, -1):
                first, second = ((axis + 1) % 3, (axis + 2) % 3)[::side]
                normal = side * turned[..., axis]
                x, y = 2 * half[first] * turned[..., first], 2 * half[second] * turned[..., second]
                self._face(places + half[axis] * normal, x, y, normal, one_sided=True, texture=common)

    def _face(
        self,
        middle: Values,
        x: Values,
        y: Values,
        normal: Values,
        *,
        one_sided: bool = False,
        texture: Image | None = None,
    ) -> None:
        """Add a rectangle with sides x and y, (..., 3)."""
        pixel = self.eye.pixel(middle.reshape(-1, 3)[0])
        sides = [float(np.linalg.norm(np.reshape(side, (-1, 3))[0])) for side in (x, y)]
        width, height = (int(np.clip(side / pixel, 6, _LARGEST_FACE)) for side in sides)
        full = (width + 2 * _BORDER, height + 2 * _BORDER)
        image = (
            self._patch(*full) if texture is None else cv2.resize(texture, full, interpolation=cv2.INTER_AREA)
        )
        mask = np.pad(np.full((height, width), 255, np.uint8), _BORDER)
        step_x, step_y = x / (width - 2 * _OVERLAP), y / (height - 2 * _OVERLAP)
        origin = middle - step_x * (full[0] - 1) / 2 - step_y * (full[1] - 1) / 2
        shaded = scale_all(np.asarray(image, np.uint8), self._shade(np.reshape(normal, (-1, 3))[0]))
        maps = self.eye.maps(origin, step_x, step_y)
        self.layers.append(Layer(shaded, mask, maps, self.eye.size[1], one_sided=one_sided))

    def _shadow(self, middle: Values, half: Values) -> None:
        """Darken the support under a box."""
        side, pad = 40, 14
        mask = np.pad(np.full((side, side), 255, np.uint8), pad)
        soft = cv2.GaussianBlur(mask, (0, 0), 5)
        mask = np.asarray(cv2.convertScaleAbs(soft, alpha=self.rng.uniform(0.3, 0.7)), np.uint8)
        spread = 2.6 * half.max() / side
        x, y = np.array([spread, 0, 0]), np.array([0, -spread, 0])
        origin = middle - (x + y) * (side + 2 * pad - 1) / 2
        dark = np.full((*mask.shape, 3), self.rng.integers(0, 30, 3), np.uint8)
        maps = self.eye.maps(self._still(origin), x, y)
        self.layers.append(Layer(dark, mask, maps, self.eye.size[1], solid=False))

    def _patch(self, width: int, height: int) -> Image:
        return self.bank.patch(self.rng, (width, height))

    def _shade(self, normal: Values) -> float:
        return float(self._ambient + (1.1 - self._ambient) * max(0.0, normal @ self._light))


def _about_z(angle: Values) -> Values:
    """Return (..., 3, 3) turns about z by (...) rad."""
    result = np.broadcast_to(np.eye(3), (*angle.shape, 3, 3)).copy()
    result[..., 0, 0] = result[..., 1, 1] = np.cos(angle)
    result[..., 1, 0], result[..., 0, 1] = np.sin(angle), -np.sin(angle)
    return result


def scale_all(image: Image, factor: float) -> NDArray[np.uint8]:
    """Return a darker or lighter image."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=factor), np.uint8)
