"""Textured sheets: their images, and exactly where their points are.

A layer is defined by the map that leads from the image to its texture. Drawing samples the texture there;
the track of a point is that map solved for the image. So image and truth agree, whatever a layer does:
move (homographies), be seen through a rolling shutter (homographies that change from row to row), deform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Values = NDArray[np.float64]
Numbers = NDArray[np.int64]
Box = tuple[int, int, int, int]
"""A part of an image: left, top, right, bottom, px."""

_FORWARD_STEPS = 12  # enough for a deformation with slope 0.4 to be solved to 1e-4 px
_FAR = 1e4  # px; beyond the reach of OpenCV's maps, and of every image


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

    def offset(self, xy: Values, frame: Numbers) -> Values:
        """Return the displacement at (..., 2) places, each at its (...) frame."""
        return np.sin(xy @ self.waves.T + self.phases[frame]) @ self.shifts

    def add_to(self, x: NDArray[np.float32], y: NDArray[np.float32], frame: int) -> None:
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
        texture: (h, w, 3) uint8. Both sizes even if there is no mask.
        mask: (h, w) uint8, how much of the sheet is there, 0 at its edges; None where it goes on for ever,
            its texture mirrored at the edges.
        maps: (T, 1 + J, 2, 3, 3) texture from image: in the middle of the exposure, then at each moment of
            it; for the first and the last row of the image, between which it changes evenly. The third
            homogeneous coordinate that it gives is the inverse depth, for layers whose depths are compared.
        height: Height of the image, px.
        ripple: Deformation of the texture.
        solid: Whether it hides what is behind; a shadow does not.
        one_sided: Whether it is seen only from the side to which x cross y of its texture points.
    """

    texture: Image
    mask: Image | None
    maps: Values
    height: int
    ripple: Ripple | None = None
    solid: bool = True
    one_sided: bool = False

    def __len__(self) -> int:
        return len(self.maps)

    @cached_property
    def rolling(self) -> bool:
        """Whether the rows of an image are exposed one after the other."""
        return not np.allclose(self.maps[..., 0, :, :], self.maps[..., 1, :, :], rtol=1e-12, atol=0)

    @cached_property
    def faces_away(self) -> NDArray[np.bool_]:
        """(T, 1 + J), whether it cannot be seen because it shows its back."""
        if not self.one_sided:
            return np.zeros(self.maps.shape[:2], bool)
        return np.linalg.det(self.maps).max(axis=-1) >= 0

    def _row_maps(self, y: Values, frame: Numbers) -> Values:
        """Return the (..., 3, 3) maps for (...) image rows in the middle of the exposure of (...) frames."""
        first = self.maps[frame, 0, 0]
        if not self.rolling:
            return first
        return first + (y / (self.height - 1))[..., None, None] * (self.maps[frame, 0, 1] - first)

    def place_at(self, xy: Values, frame: Numbers) -> Values:
        """Return (..., 3): where in the texture, and at what inverse depth, a place in the image looks.

        Args:
            xy: (..., 2) places in the image.
            frame: (...) frame of each.
        """
        maps = self._row_maps(xy[..., 1], frame)
        places = (maps[..., :2] @ xy[..., None])[..., 0] + maps[..., 2]
        weight = places[..., 2]
        places[..., :2] /= _not_zero(weight)[..., None]
        if self.ripple is not None:
            places[..., :2] += self.ripple.offset(places[..., :2], frame)
        return places

    def image_of(self, points: Values) -> Values:
        """Return the (T, N, 2) places in the image at which (N, 2) places of the texture are."""
        flat = np.broadcast_to(points, (len(self), *points.shape)).astype(np.float64)
        frame = np.broadcast_to(np.arange(len(self))[:, None], flat.shape[:2])
        if self.ripple is not None:
            wanted = flat
            for _ in range(_FORWARD_STEPS):
                flat = wanted - self.ripple.offset(flat, frame)
        y = np.full(flat.shape[:2], self.height / 2)
        for _ in range(5 if self.rolling else 1):
            xy = _solve(self._row_maps(y, frame), flat)
            # The row only says when a point is exposed: bounded far outside, to stay near the clip.
            y = np.clip(xy[..., 1], -self.height, 2 * self.height)
        return xy

    def mask_at(self, xy: Values, frame: Numbers) -> tuple[NDArray[np.float32], Values]:
        """Return how much of the sheet, 0..1, is at places in the image, and its inverse depth there.

        Args:
            xy: (M, 2) places in the image.
            frame: (M,) frame of each.
        """
        places = self.place_at(xy, frame)
        if self.mask is None:
            return np.ones(len(xy), np.float32), places[:, 2]
        x, y = np.clip(places[:, :2], -9, np.array(self.mask.shape[::-1]) + 8).astype(np.float32).T
        values = np.zeros(len(xy), np.float32)
        step = 1 << 14  # OpenCV samples at most 2**15 places in a row
        for start in range(0, len(xy), step):
            part = slice(start, start + step)
            sampled = cv2.remap(self.mask, x[part], y[part], cv2.INTER_LINEAR)
            values[part] = np.asarray(sampled, np.float32).ravel()
        return values / np.float32(255), places[:, 2]

    @cached_property
    def boxes(self) -> Numbers:
        """(T, 1 + J, 4) `Box` of the part of the image that the sheet may touch."""
        shape = (*self.maps.shape[:2], 4)
        everywhere = np.array([-_FAR, -_FAR, _FAR, _FAR]).astype(np.int64)
        if self.mask is None:
            return np.broadcast_to(everywhere, shape)
        columns, rows = np.flatnonzero(self.mask.any(axis=0)), np.flatnonzero(self.mask.any(axis=1))
        margin = 2 + (self.ripple.reach if self.ripple is not None else 0)
        x0, x1 = columns[0] - margin, columns[-1] + margin
        y0, y1 = rows[0] - margin, rows[-1] + margin
        corners = np.array([[x0, y0, 1], [x1, y0, 1], [x1, y1, 1], [x0, y1, 1]])
        image = np.linalg.inv(self.maps)[..., None, :, :] @ corners[:, :, None]
        image = image[..., 0].reshape(*shape[:2], 8, 3)
        weight = image[..., 2]
        places = np.clip(image[..., :2] / _not_zero(weight)[..., None], -_FAR, _FAR)
        low, high = np.floor(places.min(axis=2)) - 2, np.ceil(places.max(axis=2)) + 3
        boxes = np.concatenate([low, high], axis=-1).astype(np.int64)
        # Where a part is behind the camera the corners say nothing; where all is, it is not seen.
        boxes[weight.min(axis=2) <= 0] = everywhere
        boxes[(weight.max(axis=2) <= 0) | self.faces_away] = 0
        return boxes

    @cached_property
    def _box_list(self) -> list[list[list[int]]]:
        return self.boxes.tolist()

    def box(self, frame: int, moment: int, size: tuple[int, int]) -> Box | None:
        """Return the part of an image of `size` (width, height) that the sheet may touch; None for none."""
        left, top, right, bottom = self._box_list[frame][moment]
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
        return (left, top, right, bottom) if left < right and top < bottom else None

    def sample(self, box: Box, frame: int, moment: int) -> tuple[Image, NDArray[np.float32] | None]:
        """Return what a part of the image sees: (h, w, 3) colours and (h, w) how much of the sheet, 0..1.

        Args:
            box: The part.
            frame: Number of the frame.
            moment: Number of the moment of its exposure, 1..J.

        Returns:
            The colours, and how much of the sheet is there: None for all of it.
        """
        level = self._level(box, frame, moment)
        texture = self._levels[level]
        border = cv2.BORDER_REFLECT if self.mask is None else cv2.BORDER_CONSTANT
        ratio = np.array(texture.shape[1::-1]) / self.texture.shape[1::-1]
        if self.ripple is None and not self.rolling:
            resized = np.array(
                [[ratio[0], 0, (ratio[0] - 1) / 2], [0, ratio[1], (ratio[1] - 1) / 2], [0, 0, 1]]
            )
            shifted = np.array([[1, 0, box[0]], [0, 1, box[1]], [0, 0, 1.0]])
            maps = resized @ self.maps[frame, moment, 0] @ shifted
            size = (box[2] - box[0], box[3] - box[1])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            seen = cv2.warpPerspective(texture, maps, size, flags=flags, borderMode=border)
        else:
            x, y = self._lookup(box, frame, moment)
            if level > 0:
                x = (x + np.float32(0.5)) * np.float32(ratio[0]) - np.float32(0.5)
                y = (y + np.float32(0.5)) * np.float32(ratio[1]) - np.float32(0.5)
            seen = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=border)
        if self.mask is None:
            return np.asarray(seen, np.uint8), None
        share = np.asarray(cv2.extractChannel(seen, 3), np.float32) * np.float32(1 / 255)
        return np.asarray(cv2.cvtColor(seen, cv2.COLOR_RGBA2RGB), np.uint8), share

    def inverse_depth(self, box: Box, frame: int, moment: int) -> NDArray[np.float32]:
        """Return the (h, w) inverse depth of the sheet in a part of the image."""
        x = np.arange(box[0], box[2], dtype=np.float32)
        if not self.rolling:
            slope_x, slope_y, constant = self.maps[frame, moment, 0, 2]
            y = np.arange(box[1], box[3]) * slope_y + constant
            return y.astype(np.float32)[:, None] + np.float32(slope_x) * x
        slope, at_left = self._rows(box, frame, moment)
        return slope[:, 2:] * x + at_left[:, 2:]

    @cached_property
    def _levels(self) -> list[Image]:
        """The texture, with the mask as a fourth channel, and versions of half the size each."""
        levels = [self.texture if self.mask is None else np.dstack([self.texture, self.mask])]
        while min(levels[-1].shape[:2]) >= 16 and len(levels) < 6:
            height, width = levels[-1].shape[:2]
            half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            levels.append(np.asarray(half, np.uint8))
        return levels

    @cached_property
    def _scales(self) -> tuple[list[list[float]], list[list[list[float]]]]:
        """Determinants and last rows of the maps of the middle row, [frame][moment]."""
        maps = self.maps.mean(axis=2)
        return np.abs(np.linalg.det(maps)).tolist(), maps[..., 2, :].tolist()

    def _level(self, box: Box, frame: int, moment: int) -> int:
        """Return the version of the texture whose px are about as large as the image's in a part of it."""
        determinants, rows = self._scales
        by_x, by_y, constant = rows[frame][moment]
        weight = by_x * (box[0] + box[2]) / 2 + by_y * (box[1] + box[3]) / 2 + constant
        if weight <= 0:
            return 0
        area = determinants[frame][moment] / weight**3
        # A quarter of an octave short of the exact level: rather a little shimmer than a blur.
        level = math.floor(0.5 * math.log2(max(area, 1e-9)) + 0.25)
        return min(level, len(self._levels) - 1) if level > 0 else 0

    def _rows(self, box: Box, frame: int, moment: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (rows, 3) factors of x and constants: each row of the image sees a line of the texture."""
        first, last = self.maps[frame, moment]
        y = np.arange(box[1], box[3], dtype=np.float64)[:, None, None]
        rows = first + y / (self.height - 1) * (last - first)
        constant = rows[..., 1] * y[..., 0] + rows[..., 2]
        return rows[..., 0].astype(np.float32), constant.astype(np.float32)

    def _lookup(self, box: Box, frame: int, moment: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        slope, constant = self._rows(box, frame, moment)
        x = np.arange(box[0], box[2], dtype=np.float32)[None]
        weight = np.float32(1) / _not_zero(slope[:, 2:] * x + constant[:, 2:]).astype(np.float32)
        map_x = (slope[:, :1] * x + constant[:, :1]) * weight
        map_y = (slope[:, 1:2] * x + constant[:, 1:2]) * weight
        if self.ripple is not None:
            self.ripple.add_to(map_x, map_y, frame)
        return map_x, map_y


def blend_into(part: Image, colours: Image, share: NDArray[np.float32]) -> None:
    """Lay (h, w, 3) colours over a part of an image, in place, by an (h, w) share 0..1."""
    part[:] = cv2.blendLinear(colours, np.ascontiguousarray(part), share, 1 - share)


def _not_zero(values: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.abs(values) < 1e-12, values.dtype.type(1e-12), values)


def _solve(maps: Values, places: Values) -> Values:
    """Return (..., 2): what (..., 3, 3) homographies map to (..., 2) places."""
    a, b, c = maps[..., 0, :], maps[..., 1, :], maps[..., 2, :]
    x, y = places[..., 0:1], places[..., 1:2]
    # The image point is on both lines  (a - x c) p = 0  and  (b - y c) p = 0.
    p = _cross(a - x * c, b - y * c)
    return np.clip(p[..., :2] / _not_zero(p[..., 2:]), -_FAR, _FAR)


def _cross(a: Values, b: Values) -> Values:
    (ax, ay, az), (bx, by, bz) = np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
