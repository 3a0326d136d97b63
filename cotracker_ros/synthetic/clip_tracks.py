"""Which points of a layered clip to follow, and when they can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.clip_world import World
from cotracker_ros.synthetic.layers import Image, Numbers, Values

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

    layer: Numbers
    place: Values


def choose_tracks(rng: Rng, world: World, images: Sequence[Image], count: int) -> ChosenTracks:
    """Choose points on all layers: many that are hidden and return, near edges, few where all is plain.

    Args:
        rng: Source of randomness.
        world: The scene.
        images: T exact images, (H, W, 3).
        count: Number of tracks; where the scene has fewer points, some are chosen twice.
    """
    height, width = images[0].shape[:2]
    frames = len(images)
    points = _candidates(rng, world, (width, height), _CANDIDATES * count)
    xy, cover = world.follow(points.layer, points.place)
    inside = within(xy, (width, height))
    visible = inside & (cover < 0.5)
    good = visible.sum(axis=0) >= _FEWEST_VISIBLE
    good &= visible[: frames // 2 + 1].any(axis=0)
    good &= _textured(rng, images, xy, visible)
    if not good.any():
        good = visible.sum(axis=0) >= min(_FEWEST_VISIBLE, visible.sum(axis=0).max())
    chosen = _draw(rng, visible, points.layer >= world.grounds, good, count)
    xy, visible, on = xy[:, chosen], visible[:, chosen], points.layer[chosen]
    doubtful = inside[:, chosen] & _near_edge(world, on, xy)
    return ChosenTracks(xy.astype(np.float32), visible, ~doubtful)


def within(xy: Values, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which (..., 2) places are inside the image: on a pixel's area."""
    return np.all((xy >= -0.5) & (xy < np.array(size) - 0.5), axis=-1)


def _near_edge(world: World, on: Numbers, xy: Values) -> NDArray[np.bool_]:
    """Tell where (T, N) points are about a pixel from an edge that hides, or half hidden."""
    around = np.array([(0, 0), (0.8, 0), (-0.8, 0), (0, 0.8), (0, -0.8)])
    places = (xy[:, None] + around[:, None]).reshape(len(xy), -1, 2)
    cover = world.cover(np.tile(on, len(around)), places).reshape(len(xy), len(around), -1)
    return (cover.min(axis=1) < 0.5) & (cover.max(axis=1) >= 0.5)


def _candidates(rng: Rng, world: World, size: tuple[int, int], count: int) -> _Points:
    """Points all over the things, and points of the ground that are in the image in the first half."""
    on, places = [], []
    things = [i for i, layer in enumerate(world.layers) if layer.solid and layer.mask is not None]
    for index in things:
        mask = world.layers[index].mask
        assert mask is not None
        place = _on_mask(rng, mask, int(np.ceil(0.6 * count / len(things))))
        on.append(np.full(len(place), index))
        places.append(place)
    number = count // 2
    xy = rng.uniform(-0.5, np.array(size) - 0.5, (number, 2))
    frame = np.array([0, 0, 0, len(world) // 4, len(world) // 2])[rng.integers(5, size=number)]
    endless = [i for i, layer in enumerate(world.layers) if layer.mask is None]
    seen = np.stack([world.layers[i].place_at(xy, frame) for i in endless])
    nearest = seen[..., 2].argmax(axis=0)
    on.append(np.array(endless)[nearest])
    places.append(seen[nearest, np.arange(number), :2])
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


def _textured(rng: Rng, images: Sequence[Image], xy: Values, visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
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
