"""Building blocks of procedural textures: noise, colour ramps, relief, tilings, print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
Colour = tuple[int, int, int]

# fmt: off
WORDS = (
    "harbour", "signal", "copper", "lantern", "orbit", "meadow", "velvet", "canyon",
    "anchor", "timber", "marble", "pepper", "ribbon", "falcon", "compass", "saffron",
    "glacier", "thunder", "willow", "cobalt", "parcel", "garden", "mirror", "bridge",
    "planet", "cinder", "walnut",
)
# fmt: on


def noise(
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    cell: float | tuple[float, float],
    octaves: int = 5,
    gain: float = 0.55,
) -> Field:
    """Return (H, W) smooth random values with mean 0 and standard deviation 1.

    Args:
        size: Width and height, px.
        rng: Source of randomness.
        cell: Size of the coarsest features (one number, or along x and y), px.
        octaves: Layers, each with features half as large as the one before.
        gain: Strength of a layer relative to the one before.
    """
    width, height = size
    cell_x, cell_y = cell if isinstance(cell, tuple) else (cell, cell)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        columns, rows = max(1.0, cell_x / 2**octave), max(1.0, cell_y / 2**octave)
        grid = rng.standard_normal((int(height / rows) + 4, int(width / columns) + 4)).astype(np.float32)
        if columns > 1 or rows > 1:
            full = (int(grid.shape[1] * columns) + 1, int(grid.shape[0] * rows) + 1)
            grid = np.asarray(cv2.resize(grid, full, interpolation=cv2.INTER_CUBIC), np.float32)
        total += np.float32(gain**octave) * grid[:height, :width]
    return (total - total.mean()) / (total.std() + 1e-6)


def ramp(values: NDArray[Any], colours: Sequence[Colour]) -> Image:
    """Colour values 0..1 by interpolation between evenly spaced colours; (H, W) to (H, W, 3) RGB."""
    stops = np.linspace(0, 255, len(colours))
    table = np.stack(
        [np.interp(np.arange(256), stops, channel) for channel in np.transpose(colours)], axis=-1
    )
    index = np.clip(values * 255, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.round(table).astype(np.uint8)[index])


def random_colour(rng: np.random.Generator, low: int, high: int) -> Colour:
    """Return a colour with channels from `low` to below `high`."""
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue


def times(colour: Colour, factor: float) -> Colour:
    """Return a darker or lighter colour."""
    red, green, blue = (min(255, int(factor * value)) for value in colour)
    return red, green, blue


def scale(image: Image, factor: NDArray[Any]) -> Image:
    """Multiply an (H, W, 3) image by an (H, W) factor."""
    wide = cv2.cvtColor(np.ascontiguousarray(factor, dtype=np.float32), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.multiply(image, wide, dtype=cv2.CV_8U), dtype=np.uint8)


def relief(image: Image, height: NDArray[Any], strength: float) -> Image:
    """Shade an image as if its surface had the given height (light from the upper left)."""
    height = np.ascontiguousarray(height, dtype=np.float32)
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) + cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3)
    return scale(image, np.clip(1 + strength * slope, 0.4, 1.5))


def blend(below: Image, above: Image | Colour, weight: NDArray[Any]) -> Image:
    """Lay one image (or colour) over another with an (H, W) weight 0..1."""
    if isinstance(above, tuple):
        above = np.broadcast_to(np.array(above, np.uint8), below.shape)
    weight = np.ascontiguousarray(weight, dtype=np.float32)
    result = cv2.blendLinear(np.ascontiguousarray(above), np.ascontiguousarray(below), weight, 1 - weight)
    return np.asarray(result, dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Tiling:
    """Rectangular tiles in rows: which tile each pixel belongs to and how far it is from the joint.

    Attributes:
        index: (H, W) int, number of the tile.
        edge: (H, W) float32, distance to the nearest edge of the tile, px.
        x: (H, W) float32, position within the tile, px.
        y: (H, W) float32, position within the tile, px.
    """

    index: NDArray[np.int64]
    edge: Field
    x: Field
    y: Field


def tiling(size: tuple[int, int], tile: tuple[int, int], shifts: Sequence[float]) -> Tiling:
    """Lay tiles of `tile` (width, height) px; row r is shifted by ``shifts[r % len]`` of a tile."""
    width, height = size
    tile_w, tile_h = tile
    row, y = np.divmod(np.arange(height), tile_h)
    shift = np.array(shifts)[row % len(shifts)][:, None] * tile_w
    column, x = np.divmod(np.arange(width)[None, :] + shift, tile_w)
    index = row[:, None] * (width // tile_w + 3) + column.astype(np.int64)
    y_full = np.broadcast_to(y[:, None], x.shape)
    edge = np.minimum(np.minimum(x, tile_w - 1 - x), np.minimum(y_full, tile_h - 1 - y_full))
    return Tiling(index, edge.astype(np.float32), x.astype(np.float32), y_full.astype(np.float32))


def smoothstep(low: float, high: float, values: NDArray[Any]) -> Field:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def sentence(rng: np.random.Generator, words: int) -> str:
    """Return some words."""
    return " ".join(str(word) for word in rng.choice(WORDS, words))


def print_text(
    image: Image,
    text: str,
    left: float,
    baseline: float,
    cap_height: float,
    colour: Colour,
    *,
    bold: bool = False,
    font: int = cv2.FONT_HERSHEY_DUPLEX,
    fit: float | None = None,
) -> None:
    """Print text into an image; `fit` is the width that it has to stay within, px."""
    factor = cap_height / 22.0
    if fit is not None:
        (wide, _), _ = cv2.getTextSize(text, font, factor, 1)
        factor *= min(1.0, fit / max(wide, 1))
    thickness = max(1, round(factor * (2.6 if bold else 1.3)))
    cv2.putText(image, text, (round(left), round(baseline)), font, factor, colour, thickness, cv2.LINE_AA)


def print_lines(
    image: Image,
    rng: np.random.Generator,
    box: tuple[int, int, int, int],
    line_height: float,
    colour: Colour,
) -> None:
    """Fill a box (left, top, right, bottom) with lines of random words."""
    left, top, right, bottom = box
    baseline = top + line_height
    while baseline < bottom:
        width = (right - left) * (1.0 if rng.random() < 0.8 else rng.uniform(0.3, 0.8))
        text = sentence(rng, max(1, int(width / (line_height * 3.0))))
        print_text(image, text, left, baseline, 0.55 * line_height, colour, fit=width)
        baseline += line_height


def dots(
    image: Image,
    rng: np.random.Generator,
    count: int,
    radius: tuple[float, float],
    colours: Sequence[Colour],
) -> None:
    """Scatter filled circles; radii are spread evenly on a logarithmic scale."""
    height, width = image.shape[:2]
    for _ in range(count):
        centre = (int(rng.uniform(0, width) * 16), int(rng.uniform(0, height) * 16))
        size = float(np.exp(rng.uniform(np.log(radius[0]), np.log(radius[1]))))
        colour = colours[int(rng.integers(len(colours)))]
        cv2.circle(image, centre, int(size * 16), colour, -1, cv2.LINE_AA, 4)


def shards(
    image: Image,
    rng: np.random.Generator,
    count: int,
    radius: tuple[float, float],
    colours: Sequence[Colour],
) -> None:
    """Scatter filled polygons with four to seven corners."""
    height, width = image.shape[:2]
    for _ in range(count):
        corners = int(rng.integers(4, 8))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        size = np.exp(rng.uniform(np.log(radius[0]), np.log(radius[1]))) * rng.uniform(0.6, 1.0, corners)
        around = np.stack([np.cos(angles) * size, np.sin(angles) * size], axis=-1)
        points = (rng.uniform([0, 0], [width, height]) + around) * 16
        colour = colours[int(rng.integers(len(colours)))]
        cv2.fillPoly(image, [points.astype(np.int32)], colour, cv2.LINE_AA, 4)
