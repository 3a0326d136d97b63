"""Scenes made of layers: what hides what, by order (`Stack`) or by depth (`Space`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.layers import Image, Layer, Numbers, Values, blend_into

Shares = NDArray[np.float32]


class World(ABC):
    """Layers that hide each other.

    Attributes:
        layers: All of them; together they fill the image.
        grounds: The first so many layers are ground, walls, room; the others are things in front of it.
    """

    def __init__(self, layers: Sequence[Layer], grounds: int = 1) -> None:
        self.layers = list(layers)
        self.grounds = grounds

    def __len__(self) -> int:
        return len(self.layers[0])

    def draw(self, frame: int, size: tuple[int, int]) -> Image:
        """Return the (H, W, 3) image of a frame, averaged over its exposure.

        Args:
            frame: Number of the frame.
            size: Width and height of the image, px.
        """
        moments = self.layers[0].maps.shape[1] - 1
        if moments == 1:
            return self._draw_moment(frame, 1, size)
        total = np.zeros((size[1], size[0], 3), np.float32)
        for moment in range(1, moments + 1):
            cv2.accumulate(self._draw_moment(frame, moment, size), total)
        return np.asarray(cv2.convertScaleAbs(total, alpha=1 / moments), np.uint8)

    def follow(self, on: Numbers, places: Values) -> tuple[Values, Shares]:
        """Return (T, N, 2) where points are, and (T, N) how much of each is hidden, 0..1.

        Args:
            on: (N,) number of each point's layer.
            places: (N, 2) place in the texture of its layer, px.
        """
        xy = np.zeros((len(self), len(on), 2))
        for index in np.unique(on):
            mine = on == index
            xy[:, mine] = self.layers[index].image_of(places[mine])
        return xy, self.cover(on, xy)

    def cover(self, on: Numbers, xy: Values) -> Shares:
        """Return how much, 0..1, other layers hide of (T, N, 2) places of layers `on` (N,)."""
        frame = np.broadcast_to(np.arange(len(self))[:, None], xy.shape[:2])
        depth = self._depth(on, xy, frame)
        result = np.zeros(xy.shape[:2], np.float32)
        result[depth < 0] = 1
        for index, layer in enumerate(self.layers):
            if not layer.solid:
                continue
            box = layer.boxes[:, 0, None]
            near = np.all((xy >= box[..., :2]) & (xy <= box[..., 2:]), axis=-1) & self._may_hide(index, on)
            if not near.any():
                continue
            share, at = layer.mask_at(xy[near], frame[near])
            share[~self._hides(at, depth[near])] = 0
            result[near] = np.maximum(result[near], share)
        return result

    @abstractmethod
    def _draw_moment(self, frame: int, moment: int, size: tuple[int, int]) -> Image:
        """Return the image at one moment of the exposure."""

    @abstractmethod
    def _depth(self, on: Numbers, xy: Values, frame: Numbers) -> Values:
        """Return the (T, N) inverse depth of points, below 0 where they cannot be seen for themselves."""

    @abstractmethod
    def _may_hide(self, index: int, on: Numbers) -> NDArray[np.bool_]:
        """Tell which points a layer may hide."""

    @abstractmethod
    def _hides(self, at: Values, depth: Values) -> NDArray[np.bool_]:
        """Tell whether layers at inverse depth `at` are nearer than points at inverse depth `depth`."""


class Stack(World):
    """Layers in an order that never changes, from back to front."""

    def _draw_moment(self, frame: int, moment: int, size: tuple[int, int]) -> Image:
        image = np.empty((size[1], size[0], 3), np.uint8)
        for layer in self.layers:
            box = layer.box(frame, moment, size)
            if box is None:
                continue
            colours, share = layer.sample(box, frame, moment)
            part = image[box[1] : box[3], box[0] : box[2]]
            if share is None:
                part[:] = colours
            else:
                blend_into(part, colours, share)
        return image

    def _depth(self, on: Numbers, xy: Values, frame: Numbers) -> Values:
        return np.zeros(xy.shape[:2])

    def _may_hide(self, index: int, on: Numbers) -> NDArray[np.bool_]:
        return on < index

    def _hides(self, at: Values, depth: Values) -> NDArray[np.bool_]:
        return np.ones(len(at), bool)


class Space(World):
    """Layers in space: at each pixel the nearest is seen."""

    @cached_property
    def _order(self) -> Numbers:
        """(T, L) numbers of things, not grounds, from far to near: for smooth edges; truth needs no order."""
        things = range(self.grounds, len(self.layers))
        if not things:
            return np.zeros((len(self), 0), np.int64)
        distance = []
        for layer in self.layers[self.grounds :]:
            height, width = layer.texture.shape[:2]
            # The third coordinate of a point's image is its depth.
            image = np.linalg.inv(layer.maps[:, 0, 0])
            distance.append(image[:, 2] @ np.array([width / 2, height / 2, 1.0]))
        return self.grounds + np.argsort(-np.stack(distance, axis=-1), axis=-1, kind="stable")

    def _draw_moment(self, frame: int, moment: int, size: tuple[int, int]) -> Image:
        image = np.zeros((size[1], size[0], 3), np.uint8)
        whole = (0, 0, *size)
        walls = [layer.inverse_depth(whole, frame, moment) for layer in self.layers[: self.grounds]]
        nearest = np.maximum.reduce(walls)
        for layer, depth in zip(self.layers, walls, strict=False):
            _lay_endless(layer, depth >= nearest, image, frame, moment)
        for index in self._order[frame]:
            layer = self.layers[index]
            box = layer.box(frame, moment, size)
            if box is None:
                continue
            depth = layer.inverse_depth(box, frame, moment)
            part = (slice(box[1], box[3]), slice(box[0], box[2]))
            nearer = depth > nearest[part]
            if not nearer.any():
                continue
            colours, share = layer.sample(box, frame, moment)
            assert share is not None
            share *= nearer
            blend_into(image[part], colours, share)
            if layer.solid:
                # Where a smooth edge is half drawn, what joins on behind it must still fill the other half.
                np.copyto(nearest[part], depth, where=share > 0.98)
        return image

    def _depth(self, on: Numbers, xy: Values, frame: Numbers) -> Values:
        result = np.zeros(xy.shape[:2])
        for index in np.unique(on):
            mine = on == index
            layer = self.layers[index]
            result[:, mine] = layer.place_at(xy[:, mine], frame[:, mine])[..., 2]
            result[np.ix_(layer.faces_away[:, 0], mine)] = -1
        return result

    def _may_hide(self, index: int, on: Numbers) -> NDArray[np.bool_]:
        return on != index

    def _hides(self, at: Values, depth: Values) -> NDArray[np.bool_]:
        return at > depth * 1.002  # a face does not hide the points of another one at the edge they share


def _lay_endless(layer: Layer, nearest: NDArray[np.bool_], image: Image, frame: int, moment: int) -> None:
    """Draw a layer without a mask into an image, in place, where it is the nearest."""
    columns, rows = np.flatnonzero(nearest.any(axis=0)), np.flatnonzero(nearest.any(axis=1))
    if not len(columns):
        return
    # Only the part in which it is seen is sampled: the walls of a room are everywhere.
    left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    colours, _ = layer.sample((left, top, right, bottom), frame, moment)
    part = (slice(top, bottom), slice(left, right))
    cv2.copyTo(colours, nearest[part].astype(np.uint8), image[part])
