"""The textures that training clips are cut from: a stock, made when needed and kept, and fresh ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from cotracker_ros.synthetic import textures
from cotracker_ros.synthetic.clip_motion import log_uniform
from cotracker_ros.synthetic.clip_textures import FAMILIES, Family, palette
from cotracker_ros.synthetic.patterns import Image
from cotracker_ros.synthetic.photographs import photograph_texture, photographs

Rng = np.random.Generator

SIZE = 512
"""Width and height of a texture in the bank, px."""

_SLOTS = {False: 96, True: 48}
"""Textures that are kept, for training and held out."""

_FRESH_SIZE = 352  # px; a texture for a single clip is smaller, because it is made for every clip
_FRESH_SHARE = 0.25
_TRAINING, _HELD_OUT = 71, 72  # keep the two worlds of random numbers apart


@dataclass(frozen=True)
class Bank:
    """The textures of one clip: those that all clips share, and one that is made for this clip alone.

    Attributes:
        seed: The clip's.
        held_out: Textures that are never trained on, and families that training does not know.
        photographs: Folders with photographs in the public domain; see `installed_photographs`.
    """

    seed: int
    held_out: bool
    photographs: str = ""

    def patch(self, rng: Rng, size: tuple[int, int], *, largest_zoom: float = 2.5) -> Image:
        """Return a piece of a random texture, (h, w, 3), in colours and contrast of its own.

        Args:
            rng: The clip's source of randomness.
            size: Width and height, px.
            largest_zoom: Most px of the texture that may be squeezed into one px of the piece.
        """
        if rng.random() < _FRESH_SHARE:
            texture = _fresh(self.held_out, self.seed, self.photographs)
        else:
            texture = _kept(self.held_out, int(rng.integers(_SLOTS[self.held_out])), self.photographs)
        whole = len(texture)
        zoom = log_uniform(rng, 0.5, min(largest_zoom, whole / max(size)) + 0.01)
        width, height = (max(4, min(whole, round(side * zoom))) for side in size)
        left, top = int(rng.integers(whole - width + 1)), int(rng.integers(whole - height + 1))
        piece = texture[top : top + height, left : left + width]
        method = cv2.INTER_AREA if zoom > 1 else cv2.INTER_CUBIC
        piece = np.asarray(cv2.resize(piece, size, interpolation=method), np.uint8)
        if rng.random() < 0.5:
            piece = piece[:, ::-1]
        if rng.random() < 0.5:
            piece = piece[::-1]
        return recoloured(rng, np.ascontiguousarray(piece))


def recoloured(rng: Rng, image: Image) -> Image:
    """Return an image in other colours: channels exchanged, contrast and brightness changed, washed out."""
    matrix = np.eye(3)[rng.permutation(3)] if rng.random() < 0.4 else np.eye(3)
    grey = np.full((3, 3), 1 / 3)
    washed = rng.choice([0.0, rng.random(), 1.0], p=[0.6, 0.3, 0.1])
    matrix = (1 - washed) * matrix + washed * grey
    contrast = log_uniform(rng, 0.12, 0.5) if rng.random() < 0.3 else rng.uniform(0.6, 1.25)
    middle = image[::8, ::8].reshape(-1, 3).mean(axis=0)
    level = np.clip(matrix @ middle * rng.uniform(0.65, 1.35) + rng.normal(0, 8, 3), 25, 235)
    matrix = contrast * matrix
    return np.asarray(cv2.transform(image, np.column_stack([matrix, level - matrix @ middle])), np.uint8)


@lru_cache(maxsize=sum(_SLOTS.values()))
def _kept(held_out: bool, slot: int, folders: str) -> Image:
    rng = np.random.default_rng([_HELD_OUT if held_out else _TRAINING, 0, slot])
    pictures = photographs(folders, held_out)
    if pictures and slot % 4 == 0:
        return np.ascontiguousarray(photograph_texture(rng, pictures, SIZE))
    if held_out and slot % 2:
        return _workshop_texture(rng)
    return _texture(rng, SIZE)


@lru_cache(maxsize=1)
def _fresh(held_out: bool, seed: int, folders: str) -> Image:
    rng = np.random.default_rng([_HELD_OUT if held_out else _TRAINING, 1, seed])
    pictures = photographs(folders, held_out)
    if pictures and rng.random() < 0.2:
        return np.ascontiguousarray(photograph_texture(rng, pictures, _FRESH_SIZE))
    return _texture(rng, _FRESH_SIZE)


def _texture(rng: Rng, size: int) -> Image:
    families = [family for family, _ in FAMILIES]
    shares = np.array([share for _, share in FAMILIES])
    family: Family = families[int(rng.choice(len(families), p=shares / shares.sum()))]
    return np.ascontiguousarray(family(rng, size))


def _workshop_texture(rng: Rng) -> Image:
    """A texture of the demo's workshop, at a density at which it is `SIZE` px large."""
    side = rng.uniform(0.5, 1.1)
    density = SIZE / side
    colours = palette(rng, 6)
    kind = int(rng.integers(10))
    if kind == 0:
        made = textures.planks(rng, side, side, density=density)
    elif kind == 1:
        made = textures.wood(rng, side, side, density=density)
    elif kind == 2:
        made = textures.bricks(rng, side, side, density=density)
    elif kind == 3:
        made = textures.plaster(rng, side, side, colour=colours[0], density=density)
    elif kind == 4:
        made = textures.tiles(rng, side, side, colours, density=density)
    elif kind == 5:
        made = textures.rug(rng, side, side, colours, density=density)
    elif kind == 6:
        made = textures.terrazzo(rng, side, side, colours[0], colours[1:], density=density)
    elif kind == 7:
        made = textures.carton(rng, side, side, colours[0], colours[1:], density=density)
    elif kind == 8:
        made = textures.poster(rng, side, side, density=density)
    else:
        made = textures.book_spines(rng, side, side, density=density)
    return np.asarray(cv2.resize(made.image, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)
