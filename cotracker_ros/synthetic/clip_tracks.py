"""Which points of a layered clip to follow, and when they can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.layers import Image, Layer, Values, hidden

Rng = np.random.Generator

_CANDIDATES = 5  # for each track that is wanted
_FEWEST_VISIBLE = 3
_PLAIN = 2.0  # deviation of grey levels below which no tracker can tell a place from its neighbours
_SHARES = {"returns": 0.33, "goes": 0.12, "stays": 0.55}
_ON_THINGS = 0.65


@dataclass(frozen=True, eq=False)
class ChosenTracks:
    """N tracks over T frames: see `LabelledClip`."""

    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]
    known: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Points:
    """N points on layers: (N,) index of the layer, (N, 2) place in its texture."""

    layer: NDArray[np.int64]
    place: Values


def choose_tracks(rng: Rng, layers: Sequence[Layer], images: Sequence[Image], count: int) -> ChosenTracks:
    """Choose points on all layers: many that are hidden and return, near edges, few where all is plain.

    Args:
        rng: Source of randomness.
        layers: The scene, from back to front.
        images: T exact images, (H, W, 3).
        count: Number of tracks; where the scene has fewer points, some are chosen twice.
    """
    height, width = images[0].shape[:2]
    frames = len(images)
    points = _candidates(rng, layers, (width, height), frames, _CANDIDATES * count)
    xy, cover = follow(layers, points.layer, points.place)
    inside = within(xy, (width, height))
    visible = inside & (cover < 0.5)
    good = visible.sum(axis=0) >= _FEWEST_VISIBLE
    good &= visible[: frames // 2 + 1].any(axis=0)
    good &= _textured(rng, images, xy, visible)
    if not good.any():
        good = visible.sum(axis=0) >= min(_FEWEST_VISIBLE, visible.sum(axis=0).max())
    chosen = _draw(rng, visible, points.layer > 0, good, count)
    xy, visible = xy[:, chosen], visible[:, chosen]
    doubtful = inside[:, chosen] & _near_edge(layers, points.layer[chosen], xy)
    return ChosenTracks(xy.astype(np.float32), visible, ~doubtful)


def follow(layers: Sequence[Layer], on: NDArray[np.int64], places: Values) -> tuple[Values, Values]:
    """Return (T, N, 2) where points are and (T, N) how much of each is hidden by nearer layers.

    Args:
        layers: The scene, from back to front.
        on: (N,) index of each point's layer.
        places: (N, 2) place in its layer's texture, px.
    """
    frames = len(layers[0].maps)
    xy = np.zeros((frames, len(on), 2))
    cover = np.zeros((frames, len(on)))
    for index in np.unique(on):
        mine = on == index
        xy[:, mine] = layers[index].image_of(places[mine])
        cover[:, mine] = hidden(layers, int(index), xy[:, mine])
    return xy, cover


def within(xy: Values, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which (..., 2) places are inside the image: on a pixel's area."""
    return np.all((xy >= -0.5) & (xy < np.array(size) - 0.5), axis=-1)


def _near_edge(layers: Sequence[Layer], on: NDArray[np.int64], xy: Values) -> NDArray[np.bool_]:
    """Tell where (T, N) points are about a pixel from an edge that hides, or half hidden."""
    low, high = np.ones(xy.shape[:2]), np.zeros(xy.shape[:2])
    for offset in ((0, 0), (0.8, 0), (-0.8, 0), (0, 0.8), (0, -0.8)):
        for index in np.unique(on):
            mine = on == index
            cover = hidden(layers, int(index), xy[:, mine] + offset)
            low[:, mine], high[:, mine] = np.minimum(low[:, mine], cover), np.maximum(high[:, mine], cover)
    return (low < 0.5) & (high >= 0.5)


def _candidates(
    rng: Rng, layers: Sequence[Layer], size: tuple[int, int], frames: int, count: int
) -> _Points:
    """Places on layers that are inside the image at the start, or, for some, later in the first half."""
    on: list[NDArray[np.int64]] = []
    places: list[Values] = []
    solid = [index for index, layer in enumerate(layers) if layer.solid]
    per_thing = int(np.ceil(0.7 * count / max(1, len(solid) - 1)))
    for index in solid:
        layer = layers[index]
        if layer.mask is None:
            number = int(0.3 * count) + 1
            xy = rng.uniform(-0.5, np.array(size) - 0.5, (number, 2))
            births = np.array([0, 0, 0, frames // 4, frames // 2])[rng.integers(5, size=number)]
            everywhere = np.broadcast_to(xy, (frames, number, 2))
            place = layer.texture_at(everywhere)[births, np.arange(number)]
        else:
            place = _on_mask(rng, layer.mask, per_thing)
        on.append(np.full(len(place), index))
        places.append(place)
    return _Points(np.concatenate(on), np.concatenate(places))


def _on_mask(rng: Rng, mask: Image, count: int) -> Values:
    """(N, 2) places on a sheet, half of them near its edge but not on it."""
    inner = cv2.distanceTransform((mask > 250).astype(np.uint8), cv2.DIST_L2, 3)
    chosen = []
    for near, number in ((True, count // 2), (False, count - count // 2)):
        options = np.flatnonzero((inner > 1.2) & (inner < 6)) if near else np.flatnonzero(inner > 1.2)
        if len(options):
            chosen.append(options[rng.integers(len(options), size=number)])
    if not chosen:
        return np.zeros((0, 2))
    y, x = np.divmod(np.concatenate(chosen), mask.shape[1])
    return np.stack([x, y], axis=-1) + rng.uniform(-0.5, 0.5, (len(x), 2))


def _textured(
    rng: Rng, images: Sequence[Image], xy: Values, visible: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which points lie, when first seen, where there is anything to see; a few others may stay."""
    first = visible.argmax(axis=0)
    number = np.arange(xy.shape[1])
    column, row = np.round(np.clip(xy[first, number], 0, None)).astype(int).T
    contrast = np.zeros(len(number))
    for frame in np.unique(first):
        grey = cv2.cvtColor(images[frame], cv2.COLOR_RGB2GRAY).astype(np.float32)
        mean = cv2.blur(grey, (13, 13))
        deviation = np.sqrt(np.maximum(cv2.blur(grey * grey, (13, 13)) - mean * mean, 0))
        mine = first == frame
        height, width = grey.shape
        contrast[mine] = deviation[np.minimum(row[mine], height - 1), np.minimum(column[mine], width - 1)]
    return (contrast > _PLAIN) | (rng.random(len(number)) < 0.15)


def _draw(
    rng: Rng, visible: NDArray[np.bool_], thing: NDArray[np.bool_], good: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """Draw `count` points so that kinds of visibility and things against ground have their shares."""
    seen_before = np.maximum.accumulate(visible, axis=0)
    was_hidden = np.maximum.accumulate(seen_before & ~visible, axis=0)
    goes = was_hidden[-1]
    returns = (was_hidden & visible).any(axis=0)
    weight = np.zeros(len(good))
    for name, kind in (("returns", returns), ("goes", goes & ~returns), ("stays", ~goes)):
        for on_thing, part in ((True, _ON_THINGS), (False, 1 - _ON_THINGS)):
            members = good & kind & (thing == on_thing)
            weight[members] = _SHARES[name] * part / max(1, members.sum())
    usable = np.flatnonzero(good)
    # The largest of log weight plus Gumbel noise: drawing without replacement (Efraimidis and Spirakis 2006).
    keys = np.log(weight[usable]) + rng.gumbel(size=len(usable))
    chosen = usable[np.argsort(-keys)[:count]]
    return np.resize(chosen, count)
