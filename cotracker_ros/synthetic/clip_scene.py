"""Random layered scenes: a ground, things that move over it, their shadows, seen by a hand-held camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cotracker_ros.synthetic.clip_motion import (
    CameraMotion,
    Rng,
    Values,
    hand_held,
    log_uniform,
    matrices,
    object_motion,
    random_timing,
    rotation,
    translation,
    wander,
)
from cotracker_ros.synthetic.clip_world import Stack
from cotracker_ros.synthetic.layers import Layer, Ripple
from cotracker_ros.synthetic.patterns import Image, scale
from cotracker_ros.synthetic.shapes import MARGIN, Mask, random_mask
from cotracker_ros.synthetic.texture_bank import Bank


@dataclass(frozen=True, eq=False)
class View:
    """When and how a clip is seen.

    Attributes:
        times: (T, 1 + J, 2) times of the first and last row: in the middle of the exposure and at each of
            its J moments, frames.
        size: Width and height of the image, px.
        length: Frames of the clip.
        camera: Motion of the camera at these times.
    """

    times: Values
    size: tuple[int, int]
    length: int
    camera: CameraMotion

    @property
    def unit(self) -> float:
        """The px of this image that make one px of an image 256 px wide."""
        return self.size[0] / 256

    def layer(
        self, texture: Image, mask: Mask | None, moved: Values, depth: float, **options: object
    ) -> Layer | None:
        """Return a layer from the matrices that lead from px of its texture, from its middle, to its plane.

        Args:
            texture: (h, w, 3).
            mask: (h, w), or None if it is everywhere.
            moved: (T, 1 + J, 2, 3, 3) plane from texture.
            depth: Inverse depth of the plane.
            options: Further attributes of the layer.

        Returns:
            The layer; None if some of it would come behind the camera, or its horizon into the image.
        """
        height, width = texture.shape[:2]
        to_middle = translation(-np.array([width - 1, height - 1]) / 2)
        middle = (np.array(self.size) - 1) / 2
        image = translation(middle) @ self.camera.plane(depth) @ moved @ to_middle
        maps = np.linalg.inv(image)
        if mask is None:
            weights = maps[..., 2, :] @ _corners(self.size)
        else:
            weights = image[..., 2, :] @ _corners((width, height))
        if weights.min() < 0.2:
            return None
        return Layer(texture, mask, maps, self.size[1], **options)  # type: ignore[arg-type]


def random_view(rng: Rng, frames: int, size: tuple[int, int]) -> View:
    """Return a random camera."""
    timing = random_timing(rng, frames, size[0])
    return View(timing.times, size, frames, hand_held(rng, timing, size))


def _corners(size: tuple[int, int]) -> Values:
    """The (3, 4) corners of an image, homogeneous."""
    right, bottom = size[0] - 0.5, size[1] - 0.5
    return np.array([[-0.5, right, right, -0.5], [-0.5, -0.5, bottom, bottom], [1, 1, 1, 1]])


def random_stack(rng: Rng, frames: int, size: tuple[int, int], bank: Bank) -> Stack:
    """Return a random scene of flat things that move in front of a ground."""
    view = random_view(rng, frames, size)
    depth = rng.uniform(0.25, 0.9)
    layers = [_ground(rng, view, bank, depth)]
    for _ in range(int(rng.integers(3, 9))):
        depth += rng.exponential(0.12)
        make = _articulated if rng.random() < 0.2 else _thing
        layers.extend(make(rng, view, bank, depth))
    return Stack(layers)


def _ground(rng: Rng, view: View, bank: Bank, depth: float) -> Layer:
    side = min(512, int(1.75 * max(view.size)) // 2 * 2)
    texture = bank.patch(rng, (side, side), largest_zoom=1.6)
    ripple = _ripple(rng, view, max(view.size)) if rng.random() < 0.08 else None
    turned = rotation(np.full(view.times.shape, rng.uniform(0, 2 * np.pi)))
    slant = matrices(view.times.shape)
    if rng.random() < 0.5:  # a floor or table seen at a slant
        slant[..., 2, :2] = rng.normal(0, 0.17, 2) / max(view.size)
    slanted = view.layer(texture, None, slant @ turned, depth, ripple=ripple)
    upright = slanted or view.layer(texture, None, turned, depth, ripple=ripple)
    if upright is None:
        raise AssertionError("the camera of a layered scene turns too far")  # `hand_held` does not
    return upright


def _thing(rng: Rng, view: View, bank: Bank, depth: float) -> list[Layer]:
    screen = rng.random() < 0.18
    largest = 0.75 if rng.random() < 0.3 or screen else 0.4
    size = log_uniform(rng, 0.3 if screen else 0.1, largest) * 1.3 * view.size[0]
    mask = random_mask(rng, size, screen=screen)
    texture = surface(rng, bank, mask)
    speed = log_uniform(rng, 0.05, 8) * view.unit
    moved = translation(_place(rng, view)) @ object_motion(rng, view.times, speed, size / 2, view.length)
    moved = moved @ rotation(np.full(view.times.shape, rng.uniform(0, 2 * np.pi)))
    ripple = _ripple(rng, view, size) if rng.random() < 0.2 else None
    layer = view.layer(texture, mask, moved, depth, ripple=ripple)
    if layer is None:
        return []
    shadowed = rng.random() < 0.35 and len(mask) < 0.6 * view.size[0]
    return [_shadow(rng, layer, size), layer] if shadowed else [layer]


def _articulated(rng: Rng, view: View, bank: Bank, depth: float) -> list[Layer]:
    """A chain of parts, each turning about a joint on the one before; nearer or farther than it."""
    size = log_uniform(rng, 0.15, 0.45) * view.size[0]
    speed = log_uniform(rng, 0.05, 5) * view.unit
    moved = translation(_place(rng, view)) @ object_motion(rng, view.times, speed, size / 2, view.length)
    chain: list[Layer] = []
    common = bank.patch(rng, (int(size), int(size))) if rng.random() < 0.4 else None
    for _ in range(int(rng.integers(2, 4))):
        mask = random_mask(rng, size)
        texture = surface(rng, bank, mask) if common is None else cv2.resize(common, mask.shape[::-1])
        layer = view.layer(np.asarray(texture, np.uint8), mask, moved, depth)
        if layer is None:
            break
        chain.insert(len(chain) if rng.random() < 0.6 else 0, layer)
        # The next part hangs on a joint near the rim of this one, by a place near its own rim.
        swing = log_uniform(rng, 0.01, 0.15) * wander(rng, view.times, 10, 50)
        angle = rng.uniform(0, 2 * np.pi) + np.clip(swing, -1.5, 1.5)
        reach = np.array(mask.shape[::-1]) * rng.uniform(-0.4, 0.4, 2)
        size *= rng.uniform(0.5, 0.9)
        arm = np.broadcast_to(np.array([0.35 * size, 0.0]), (*view.times.shape, 2))
        joint = np.broadcast_to(reach, (*view.times.shape, 2))
        moved = moved @ translation(joint) @ rotation(angle) @ translation(arm)
    return chain


def _place(rng: Rng, view: View) -> Values:
    """A place in or near the image, the same at all times."""
    place = rng.uniform(-0.55, 0.55, 2) * np.array(view.size)
    return np.broadcast_to(place, (*view.times.shape, 2))


def surface(rng: Rng, bank: Bank, mask: Mask) -> Image:
    """A texture for an outline; often shaded towards its rim, as round things are, or from side to side."""
    height, width = mask.shape
    texture = bank.patch(rng, (width, height))
    kind = rng.random()
    if kind < 0.3 and mask.any():
        inner = cv2.distanceTransform((mask > 128).astype(np.uint8), cv2.DIST_L2, 3)
        round_ = np.sqrt(np.clip(inner / (inner.max() + 1e-6) / rng.uniform(0.3, 1.0), 0, 1))
        dark = rng.uniform(0.3, 0.85)
        texture = scale(texture, dark + (1.05 - dark) * round_)
    elif kind < 0.6:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        slope = rng.normal(0, 0.25, 2)
        texture = scale(texture, np.clip(1 + slope[0] * x + slope[1] * y, 0.3, 1.6))
    return texture


def _ripple(rng: Rng, view: View, size: float) -> Ripple:
    count = int(rng.integers(1, 4))
    length = size * np.exp(rng.uniform(np.log(0.5), np.log(2.0), count))
    angle = rng.uniform(0, 2 * np.pi, count)
    waves = (2 * np.pi / length)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    # The slopes add up to at most 0.4: the sheet never folds over.
    slopes = rng.dirichlet(np.ones(count)) * rng.uniform(0.1, 0.4)
    angle = rng.uniform(0, 2 * np.pi, count)
    shifts = (slopes * length / (2 * np.pi))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    moments = view.times[:, 0].mean(axis=-1)
    phases = [
        rng.uniform(0, 6.3) + log_uniform(rng, 0.03, 0.4) * wander(rng, moments, 8, 60) for _ in range(count)
    ]
    return Ripple(waves, shifts, np.stack(phases, axis=-1))


def _shadow(rng: Rng, layer: Layer, size: float) -> Layer:
    """The soft shadow that a layer throws on what is behind it."""
    assert layer.mask is not None
    blur = rng.uniform(0.02, 0.12) * size + 0.8
    pad = int(3 * blur) + MARGIN
    mask = cv2.GaussianBlur(np.pad(layer.mask, pad), (0, 0), blur)
    mask = cv2.convertScaleAbs(mask, alpha=rng.uniform(0.25, 0.7))
    texture = np.full((*mask.shape, 3), rng.integers(0, 30, 3), np.uint8)
    fall = rng.normal(0, 0.14 * size, 2)
    maps = translation(np.array([pad, pad], float)) @ layer.maps @ translation(-fall)
    return Layer(texture, np.asarray(mask, np.uint8), maps, layer.height, None, solid=False)
