"""Textured sheets that move in front of each other: their images, and exactly where their points are.

A layer is defined by the map that leads from the image to its texture. Drawing samples the texture there;
the track of a point is that map solved for the image. So image and truth agree, whatever a layer does:
move (homographies), be seen through a rolling shutter (homographies that change from row to row), deform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Values = NDArray[np.float64]

_FORWARD_STEPS = 12  # enough for a deformation with slope 0.4 to be solved to 1e-4 px


@dataclass(frozen=True, eq=False)
class Ripple:
    """A smooth deformation that changes with time: sine waves across a texture.

    Attributes:
        waves: (K, 2) wave vectors, rad per px of the texture.
        shifts: (K, 2) amplitudes, px. The sum of ``|shift| |wave|`` must stay well below 1.
        phases: (T, K) rad.
    """

    waves: Values
    shifts: Values
    phases: Values

    def offset(self, xy: Values, frames: slice | int = slice(None)) -> Values:
        """Return the displacement at (T, N, 2) places, or at (..., 2) places of a single frame."""
        phases = self.phases[frames]
        angle = xy @ self.waves.T + (phases if phases.ndim == 1 else phases[:, None])
        return np.sin(angle) @ self.shifts

    def grid(self, x: NDArray[np.float32], y: NDArray[np.float32], frame: int) -> None:
        """Add the displacement of one frame to maps of x and y, in place."""
        offset_x, offset_y = np.zeros_like(x), np.zeros_like(y)
        for wave, shift, phase in zip(self.waves, self.shifts, self.phases[frame], strict=True):
            swing = np.sin(x * np.float32(wave[0]) + (y * np.float32(wave[1]) + np.float32(phase)))
            offset_x += np.float32(shift[0]) * swing
            offset_y += np.float32(shift[1]) * swing
        x += offset_x
        y += offset_y

    @property
    def reach(self) -> float:
        """The largest displacement, px."""
        return float(np.abs(self.shifts).sum(axis=0).max())


@dataclass(frozen=True, eq=False)
class Layer:
    """One textured sheet in a clip of T frames, each the mean of J exposures.

    Attributes:
        texture: (h, w, 3) uint8.
        mask: (h, w) uint8, how much of the sheet is there; None where it goes on for ever, its texture
            mirrored at the edges.
        maps: (T, 1 + J, 2, 3, 3) texture from image: in the middle of the exposure, then at each moment of
            it; for the first and the last row of the image, between which it changes evenly.
        height: Height of the image, px.
        ripple: Deformation of the texture.
        solid: Whether it hides what is behind; a shadow does not.
        shade: Strength 0..1 of the mask.
    """

    texture: Image
    mask: Image | None
    maps: Values
    height: int
    ripple: Ripple | None = None
    solid: bool = True

    @cached_property
    def rolling(self) -> bool:
        """Whether the rows of an image are exposed one after the other."""
        return not np.allclose(self.maps[..., 0, :, :], self.maps[..., 1, :, :], atol=1e-9)

    def _row_maps(self, y: Values) -> Values:
        """Return the (T, N, 3, 3) maps for image rows y (T, N) in the middle of the exposure."""
        share = (y / (self.height - 1))[..., None, None]
        first, last = self.maps[:, 0, 0, None], self.maps[:, 0, 1, None]
        return first + share * (last - first)

    def texture_at(self, xy: Values) -> Values:
        """Return the (T, N, 2) places in the texture that are seen at (T, N, 2) places in the image."""
        maps = self._row_maps(xy[..., 1])
        places = (maps[..., :2] @ xy[..., None])[..., 0] + maps[..., 2]
        flat = places[..., :2] / places[..., 2:]
        return flat if self.ripple is None else flat + self.ripple.offset(flat)

    def image_of(self, points: Values) -> Values:
        """Return the (T, N, 2) places in the image at which (N, 2) places of the texture are."""
        flat = np.broadcast_to(points, (len(self.maps), *points.shape)).astype(np.float64)
        if self.ripple is not None:
            wanted = flat
            for _ in range(_FORWARD_STEPS):
                flat = wanted - self.ripple.offset(flat)
        y = np.full(flat.shape[:2], self.height / 2)
        for _ in range(5 if self.rolling else 1):
            maps = self._row_maps(y)
            xy = _solve(maps, flat)
            # A sheet seen nearly edge on may send rows far away; the row only says when it is exposed.
            y = np.clip(xy[..., 1], -4 * self.height, 5 * self.height)
        return xy

    def mask_at(self, xy: Values) -> NDArray[np.float32]:
        """Return (T, N): how much of the sheet, 0..1, is there at (T, N, 2) places in the image."""
        if self.mask is None:
            return np.ones(xy.shape[:2], np.float32)
        places = self.texture_at(xy)
        # Far outside is outside; OpenCV's maps hold small numbers only.
        places = np.clip(places, -9, np.array(self.mask.shape[::-1]) + 8).astype(np.float32)
        values = cv2.remap(self.mask, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
        return np.asarray(values, np.float32).reshape(xy.shape[:2]) / 255

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """(T, 1 + J, 4): left, top, right, bottom of the part of the image that the sheet may touch, px."""
        shape = (*self.maps.shape[:2], 4)
        if self.mask is None:
            return np.broadcast_to(np.array([0, 0, 1 << 14, 1 << 14]), shape)
        columns, rows = np.flatnonzero(self.mask.any(axis=0)), np.flatnonzero(self.mask.any(axis=1))
        margin = 2 + (self.ripple.reach if self.ripple is not None else 0)
        x0, x1 = columns[0] - margin, columns[-1] + margin
        y0, y1 = rows[0] - margin, rows[-1] + margin
        corners = np.array([[x0, y0, 1], [x1, y0, 1], [x1, y1, 1], [x0, y1, 1]])
        image = np.linalg.inv(self.maps)[..., None, :, :] @ corners[:, :, None]
        image = image[..., 0].reshape(*shape[:2], 8, 3)
        weight = image[..., 2:]
        places = np.clip(image[..., :2] / np.where(np.abs(weight) < 1e-9, 1e-9, weight), -1e4, 1e4)
        low, high = np.floor(places.min(axis=2)) - 2, np.ceil(places.max(axis=2)) + 3
        edge_on = (weight.min(axis=(2, 3)) <= 0)[..., None]
        low, high = np.where(edge_on, -1e4, low), np.where(edge_on, 1e4, high)
        return np.concatenate([low, high], axis=-1).astype(np.int64)

    def draw(self, image: Image, frame: int, moment: int) -> None:
        """Lay the sheet over an (H, W, 3) image, in place, as at one moment (1..J) of a frame's exposure."""
        height, width = image.shape[:2]
        left, top, right, bottom = (int(value) for value in self.boxes[frame, moment])
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if left >= right or top >= bottom:
            return
        x, y = self._lookup(left, top, right, bottom, frame, moment)
        seen = cv2.remap(self.texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        if self.mask is None:
            image[top:bottom, left:right] = seen
            return
        above = cv2.remap(self.mask, x, y, cv2.INTER_LINEAR).astype(np.float32) * np.float32(1 / 255)
        part = np.ascontiguousarray(image[top:bottom, left:right])
        image[top:bottom, left:right] = cv2.blendLinear(seen, part, above, 1 - above)

    def _lookup(
        self, left: int, top: int, right: int, bottom: int, frame: int, moment: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        first, last = self.maps[frame, moment]
        y = np.arange(top, bottom, dtype=np.float64)[:, None, None]
        rows = first + y / (self.height - 1) * (last - first)
        # (rows, 3) factors of x and constants: each row of the image has its own line through the texture.
        slope, constant = rows[..., 0], rows[..., 1] * y[..., 0] + rows[..., 2]
        slope, constant = slope.astype(np.float32), constant.astype(np.float32)
        x = np.arange(left, right, dtype=np.float32)[None]
        weight = 1 / (slope[:, 2:] * x + constant[:, 2:])
        map_x = (slope[:, :1] * x + constant[:, :1]) * weight
        map_y = (slope[:, 1:2] * x + constant[:, 1:2]) * weight
        if self.ripple is not None:
            self.ripple.grid(map_x, map_y, frame)
        return map_x, map_y


def draw_layers(layers: Sequence[Layer], frame: int, size: tuple[int, int]) -> Image:
    """Return the (H, W, 3) image of layers, from back to front, averaged over the exposure.

    Args:
        layers: The first one fills the image.
        frame: Number of the frame.
        size: Width and height of the image, px.
    """
    width, height = size
    moments = layers[0].maps.shape[1] - 1
    total = np.zeros((height, width, 3), np.float32)
    image = np.empty((height, width, 3), np.uint8)
    for moment in range(1, moments + 1):
        for layer in layers:
            layer.draw(image, frame, moment)
        if moments == 1:
            return image
        cv2.accumulate(image, total)
    return np.asarray(cv2.convertScaleAbs(total, alpha=1 / moments), np.uint8)


def hidden(layers: Sequence[Layer], depth: int, xy: Values) -> NDArray[np.float32]:
    """Return (T, N): how much, 0..1, layers in front of layer `depth` hide of (T, N, 2) places."""
    result = np.zeros(xy.shape[:2], np.float32)
    for layer in layers[depth + 1 :]:
        if layer.solid:
            result = np.maximum(result, layer.mask_at(xy))
    return result


def _solve(maps: Values, places: Values) -> Values:
    """Return (..., 2): what (..., 3, 3) homographies map to (..., 2) places."""
    a, b, c = maps[..., 0, :], maps[..., 1, :], maps[..., 2, :]
    x, y = places[..., 0:1], places[..., 1:2]
    # The image point is on both lines  (a - x c) p = 0  and  (b - y c) p = 0.
    p = _cross(a - x * c, b - y * c)
    return p[..., :2] / np.where(np.abs(p[..., 2:]) < 1e-12, 1e-12, p[..., 2:])


def _cross(a: Values, b: Values) -> Values:
    (ax, ay, az), (bx, by, bz) = np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
