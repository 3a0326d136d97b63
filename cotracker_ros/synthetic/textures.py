"""Procedural textures: seeded, with distinct local structure, and with levels of detail against shimmer.

Nothing is downloaded: every texture is computed from a random generator. Sizes are given in metres, so that
a texture has the same grain on every object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from cotracker_ros.synthetic.patterns import (
    Colour,
    Image,
    blend,
    dots,
    noise,
    print_lines,
    print_text,
    ramp,
    random_colour,
    relief,
    scale,
    sentence,
    shards,
    smoothstep,
    tiling,
    times,
)

Rng = np.random.Generator

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
INK: Colour = (38, 36, 42)
PAPER: Colour = (236, 230, 214)


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture that covers a surface of a known size.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        width: Width of the picture in the world, m.
        height: Height of the picture in the world, m.
    """

    image: Image
    width: float
    height: float

    @cached_property
    def levels(self) -> list[Image]:
        """The picture, and ever coarser versions of it, each half as large as the one before."""
        levels = [np.ascontiguousarray(self.image)]
        while min(levels[-1].shape[:2]) >= 4:
            height, width = levels[-1].shape[:2]
            half = cv2.resize(levels[-1], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
            levels.append(np.asarray(half, dtype=np.uint8))
        return levels


def pixels(width: float, height: float, density: float) -> tuple[int, int]:
    """Return the size in px of a texture of `width` x `height` m at `density` px/m."""
    return max(8, round(width * density)), max(8, round(height * density))


def planks(rng: Rng, width: float, height: float, *, density: float = 500, tone: float = 0.0) -> Texture:
    """Wooden floor boards along x; `tone` makes them lighter (> 0) or darker."""
    size = pixels(width, height, density)
    board = (round(0.9 * density), round(0.115 * density))
    rows = size[1] // board[1] + 1
    tiles = tiling(size, board, rng.random(rows).tolist())
    count = int(tiles.index.max()) + 1
    grain = noise(size, rng, cell=(0.30 * density, 0.010 * density), octaves=4, gain=0.7)
    rings = noise(size, rng, cell=(0.5 * density, 0.05 * density), octaves=3)
    # Each board shows another stretch of the grain, and its own tone.
    offset = rng.integers(0, 4000, (count, 2))[tiles.index].astype(np.float32)
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    x, y = (x + offset[..., 0]) % size[0], (y + offset[..., 1]) % size[1]
    grain = np.asarray(cv2.remap(grain, x, y, cv2.INTER_LINEAR), np.float32)
    rings = np.sin(5 * cv2.remap(rings, x, y, cv2.INTER_LINEAR)).astype(np.float32)
    values = 0.48 + tone + 0.13 * rng.standard_normal(count)[tiles.index] + 0.085 * grain + 0.05 * rings
    image = ramp(values, [(52, 30, 17), (104, 65, 36), (156, 106, 62), (190, 143, 92), (222, 184, 134)])
    joint = smoothstep(0, 3.0, tiles.edge)
    return Texture(scale(image, 0.35 + 0.65 * joint), width, height)


def wood(rng: Rng, width: float, height: float, *, density: float = 700, tone: float = 0.0) -> Texture:
    """One sawn piece of wood, grain along x."""
    size = pixels(width, height, density)
    grain = noise(size, rng, cell=(0.25 * density, 0.008 * density), octaves=4, gain=0.7)
    rings = np.sin(6 * noise(size, rng, cell=(0.45 * density, 0.06 * density), octaves=3))
    values = 0.5 + tone + 0.13 * grain + 0.11 * rings
    image = ramp(values, [(62, 38, 24), (122, 78, 45), (176, 125, 77), (214, 170, 118)])
    return Texture(image, width, height)


def bricks(rng: Rng, width: float, height: float, *, density: float = 450) -> Texture:
    """A brick wall with pale mortar."""
    size = pixels(width, height, density)
    brick = (round(0.24 * density), round(0.078 * density))
    tiles = tiling(size, brick, [0.0, 0.5])
    count = int(tiles.index.max()) + 1
    rough = noise(size, rng, cell=0.03 * density, octaves=4, gain=0.75)
    solid = smoothstep(1.5, 5.5, tiles.edge + 1.6 * rough)
    values = 0.5 + 0.17 * rng.standard_normal(count)[tiles.index] + 0.12 * rough
    image = ramp(values, [(84, 40, 32), (140, 66, 48), (174, 92, 66), (204, 128, 94), (214, 164, 130)])
    mortar = ramp(0.5 + 0.2 * rough, [(140, 134, 124), (186, 180, 168), (206, 200, 190)])
    image = blend(mortar, image, solid)
    return Texture(relief(image, cv2.GaussianBlur(6 * solid + rough, (0, 0), 1.2), 0.045), width, height)


def plaster(
    rng: Rng, width: float, height: float, *, colour: Colour = (202, 196, 180), density: float = 450
) -> Texture:
    """A painted wall: trowel marks, stains and specks."""
    size = pixels(width, height, density)
    stains = noise(size, rng, cell=0.5 * density, octaves=5, gain=0.6)
    marks = noise(size, rng, cell=(0.08 * density, 0.04 * density), octaves=4, gain=0.8)
    image = np.empty((size[1], size[0], 3), np.uint8)
    image[:] = colour
    specks = [times(colour, 0.68), times(colour, 1.12)]
    dots(image, rng, int(260 * width * height), (0.002 * density, 0.012 * density), specks)
    return Texture(relief(scale(image, 1 + 0.05 * stains), marks, 0.035), width, height)


def tiles(
    rng: Rng,
    width: float,
    height: float,
    colours: Sequence[Colour],
    *,
    tile: float = 0.1,
    density: float = 700,
) -> Texture:
    """Glazed tiles with a painted ornament; every tile is turned and tinted a little differently."""
    size = pixels(width, height, density)
    edge = round(tile * density)
    laid = tiling(size, (edge, edge), [0.0])
    count = int(laid.index.max()) + 1
    x, y = 2 * laid.x / edge - 1, 2 * laid.y / edge - 1
    flip = rng.random(count)[laid.index] < 0.5
    x = np.where(flip, -x, x)
    petals = rng.integers(2, 6, count)[laid.index]
    radius, angle = np.hypot(x, y), np.arctan2(y, x) + 0.5 * x
    wave = np.sin(petals * angle) * 0.5 + np.cos((3 + petals) * radius * 2.2)
    ornament = smoothstep(-0.15, 0.15, wave + 0.15 * noise(size, rng, cell=0.03 * density, octaves=3))
    base = np.array(colours, np.uint8)[rng.integers(1, len(colours), count)[laid.index]]
    image = blend(np.ascontiguousarray(base), colours[0], ornament)
    image = scale(image, 1 + 0.06 * rng.standard_normal(count)[laid.index])
    joint = smoothstep(1.0, 3.5, laid.edge)
    return Texture(relief(blend(image, (214, 210, 202), 1 - joint), 4 * joint, 0.05), width, height)


def rug(rng: Rng, width: float, height: float, colours: Sequence[Colour], *, density: float = 500) -> Texture:
    """A woven rug: bands of symmetric ornaments made of stitches."""
    across, along = round(width * 90), round(height * 90)
    half = (
        rng.integers(0, len(colours), ((along + 13) // 14, (across // 2 + 7) // 8)).repeat(2, 0).repeat(2, 1)
    )
    y, x = np.mgrid[0:along, 0:across]
    x = np.minimum(x, across - 1 - x)
    band, row = np.divmod(y, 14)
    diamond = (np.abs(x % 16 - 8) + np.abs(row - 7)) // 2
    choice = half[band % half.shape[0], (x // 16) % half.shape[1]]
    index = (diamond + choice + band) % len(colours)
    border = np.minimum(x, np.minimum(y, along - 1 - y))
    index = np.where(border < 8, (border // 2 + (x + y) // 4 % 2) % len(colours), index)
    index = np.where(rng.random(index.shape) < 0.04, rng.integers(0, len(colours), index.shape), index)
    size = pixels(width, height, density)
    image = cv2.resize(np.array(colours, np.uint8)[index], size, interpolation=cv2.INTER_NEAREST)
    weave = noise(size, rng, cell=3, octaves=2) * 0.07
    weave += 0.06 * np.sin(np.arange(size[0]) * 2.1)[None, :] * np.sin(np.arange(size[1]) * 1.4)[:, None]
    worn = noise(size, rng, cell=0.4 * density, octaves=4)
    return Texture(scale(np.asarray(image, np.uint8), 1 + weave + 0.06 * worn), width, height)


def terrazzo(
    rng: Rng, width: float, height: float, base: Colour, chips: Sequence[Colour], *, density: float = 700
) -> Texture:
    """Stone chips of many sizes in cement."""
    size = pixels(width, height, density)
    image = ramp(0.5 + 0.18 * noise(size, rng, cell=0.06 * density, octaves=5), [BLACK, base, WHITE])
    shards(image, rng, int(3800 * width * height), (0.003 * density, 0.022 * density), chips)
    return Texture(scale(image, 1 + 0.04 * noise(size, rng, cell=3, octaves=2)), width, height)


def speckle(
    rng: Rng, width: float, height: float, base: Colour, colours: Sequence[Colour], *, density: float = 800
) -> Texture:
    """Painted metal with splashes of many sizes."""
    size = pixels(width, height, density)
    image = np.empty((size[1], size[0], 3), np.uint8)
    image[:] = base
    dots(image, rng, int(2600 * width * height) + 20, (0.002 * density, 0.016 * density), colours)
    return Texture(scale(image, 1 + 0.05 * noise(size, rng, cell=0.1 * density)), width, height)


def page(rng: Rng, width: float, height: float, *, density: float = 900, paper: Colour = PAPER) -> Texture:
    """A printed page: heading, picture, columns of text."""
    size = pixels(width, height, density)
    image = np.empty((size[1], size[0], 3), np.uint8)
    image[:] = paper
    w, h = size
    margin = round(0.07 * w)
    print_text(
        image, sentence(rng, 2).upper(), margin, 0.12 * h, 0.06 * h, INK, bold=True, fit=w - 2 * margin
    )
    accent = random_colour(rng, 20, 180)
    cv2.rectangle(image, (margin, round(0.15 * h)), (w - margin, round(0.165 * h)), accent, -1)
    picture = (margin, round(0.20 * h), w - margin, round(0.52 * h))
    image[picture[1] : picture[3], picture[0] : picture[2]] = landscape(
        rng, (picture[2] - picture[0], picture[3] - picture[1])
    )
    middle = w // 2
    line = max(6.0, 0.032 * h)
    print_lines(image, rng, (margin, round(0.55 * h), middle - margin // 3, round(0.95 * h)), line, INK)
    print_lines(image, rng, (middle + margin // 3, round(0.55 * h), w - margin, round(0.95 * h)), line, INK)
    return Texture(scale(image, 1 + 0.02 * noise(size, rng, cell=6, octaves=3)), width, height)


def landscape(rng: Rng, size: tuple[int, int]) -> Image:
    """A painting of hills under a sky, (H, W, 3)."""
    width, height = size
    sky = np.linspace(0.95, 0.35, height)[:, None] + 0.10 * noise(size, rng, cell=(width / 3, height / 8))
    hue = [random_colour(rng, low, low + 90) for low in (20, 70, 110, 160)]
    image = ramp(np.clip(sky, 0, 1), hue)
    sun = (int(rng.uniform(0.2, 0.8) * width), int(0.25 * height))
    cv2.circle(image, sun, height // 9, (252, 232, 170), -1, cv2.LINE_AA)
    y = np.arange(height)[:, None]
    for layer in range(4):
        line = noise((width, 1), rng, cell=(width / (2 + layer), 1), octaves=6)[0]
        top = height * (0.42 + 0.15 * layer) + 0.06 * height * line
        shade = 0.45 + 0.16 * noise(size, rng, cell=(width / 12, height / 14), octaves=5, gain=0.75)
        slopes = [(24, 34, 36), random_colour(rng, 40, 150), random_colour(rng, 120, 240)]
        hill = ramp(np.clip(shade, 0, 1), slopes)
        image = blend(image, hill, np.clip(y - top[None, :], 0, 1))
    return image


def poster(rng: Rng, width: float, height: float, *, density: float = 800) -> Texture:
    """A framed picture with a caption."""
    size = pixels(width, height, density)
    w, h = size
    frame = round(0.03 * min(size))
    image = np.empty((h, w, 3), np.uint8)
    image[:] = (44, 34, 28)
    cv2.rectangle(image, (frame, frame), (w - frame, h - frame), PAPER, -1)
    left, top, right, bottom = 3 * frame, 3 * frame, w - 3 * frame, round(0.86 * h)
    image[top:bottom, left:right] = landscape(rng, (right - left, bottom - top))
    print_text(image, sentence(rng, 2).upper(), left, 0.94 * h, 0.045 * h, INK, bold=True, fit=right - left)
    return Texture(image, width, height)


def carton(
    rng: Rng, width: float, height: float, base: Colour, accents: Sequence[Colour], *, density: float = 900
) -> Texture:
    """A printed packet: shapes, name, small print, bar code."""
    size = pixels(width, height, density)
    w, h = size
    image = ramp(
        0.5 + 0.12 * noise(size, rng, cell=0.1 * density, octaves=6, gain=0.7),
        [BLACK, base, WHITE],
    )
    shards(image, rng, 9, (0.10 * min(size), 0.42 * min(size)), accents)
    dots(image, rng, 26, (0.01 * min(size), 0.06 * min(size)), [*accents, PAPER])
    band = round(h * rng.uniform(0.12, 0.3))
    cv2.rectangle(image, (0, band), (w, band + round(0.24 * h)), PAPER, -1)
    print_text(
        image, sentence(rng, 1).upper(), 0.06 * w, band + 0.16 * h, 0.14 * h, INK, bold=True, fit=0.88 * w
    )
    print_text(image, sentence(rng, 3), 0.06 * w, band + 0.215 * h, 0.035 * h, accents[0], fit=0.88 * w)
    label = (round(0.06 * w), round(0.64 * h), round(0.56 * w), round(0.95 * h))
    cv2.rectangle(image, label[:2], label[2:], (244, 240, 230), -1)
    print_lines(image, rng, (label[0] + 4, label[1], label[2] - 4, label[3] - 3), max(7.0, 0.045 * h), INK)
    x = 0.62 * w
    while x < 0.93 * w:
        bar = rng.uniform(0.006, 0.02) * w
        cv2.rectangle(image, (round(x), round(0.76 * h)), (round(x + bar), round(0.94 * h)), INK, -1)
        x += bar + rng.uniform(0.008, 0.02) * w
    return Texture(scale(image, 1 + 0.03 * noise(size, rng, cell=5, octaves=3)), width, height)


def book_spines(rng: Rng, width: float, height: float, *, density: float = 800) -> Texture:
    """A row of books seen from the front of the shelf."""
    size = pixels(width, height, density)
    w, h = size
    image = np.full((h, w, 3), 26, np.uint8)
    x = 0.0
    while x < w - 6:
        thick = min(rng.uniform(0.018, 0.05) * density, w - x)
        top = round(h * rng.uniform(0.04, 0.3))
        colour = tuple(int(v) for v in np.clip(rng.normal(110, 55, 3), 24, 225))
        left, right = round(x), max(round(x) + 4, round(x + thick) - 1)
        length = h - top
        # Printed lying down (the row runs across the spine), then turned upright.
        spine = np.empty((right - left, length, 3), np.uint8)
        rounded = 0.45 + 0.55 * np.sin(np.linspace(0.25, np.pi - 0.25, right - left))
        spine[:] = (np.array(colour) * rounded[:, None])[:, None].astype(np.uint8)
        ink = (240, 226, 180) if sum(colour) < 380 else INK
        for band in rng.uniform(0.03, 0.16, 2) * length:
            cv2.rectangle(spine, (round(band), 0), (round(band) + 3, h), ink, -1)
        text = sentence(rng, 2)
        print_text(spine, text, 0.22 * length, 0.7 * thick, 0.42 * thick, ink, bold=True, fit=0.7 * length)
        upright = np.rot90(spine, k=-1)[:, : w - left]
        image[top:, left : left + upright.shape[1]] = upright
        x += thick
    return Texture(scale(image, 1 + 0.05 * noise(size, rng, cell=8, octaves=4)), width, height)


def globe(rng: Rng, radius: float, *, density: float = 900) -> Texture:
    """An invented planet with seas, mountains and a grid of degrees; joins up where it is wrapped around."""
    width, height = 2 * np.pi * radius, np.pi * radius
    half = pixels(width / 2, height, density)
    land = noise(half, rng, cell=0.08 * density, octaves=6, gain=0.75)
    land = np.concatenate([land, land[:, ::-1]], axis=1)
    image = ramp(
        0.5 + 0.2 * land,
        [
            (24, 44, 110),
            (36, 84, 160),
            (90, 160, 200),
            (222, 206, 150),
            (96, 140, 70),
            (140, 110, 70),
            (245, 242, 236),
        ],
    )
    h, w = image.shape[:2]
    for i in range(24):
        cv2.line(image, (round(i * w / 24), 0), (round(i * w / 24), h), (240, 236, 220), 1, cv2.LINE_AA)
    for i in range(1, 12):
        cv2.line(image, (0, round(i * h / 12)), (w, round(i * h / 12)), (240, 236, 220), 1, cv2.LINE_AA)
    dots(image, rng, 420, (1.5, 6.0), [(160, 30, 30), INK, PAPER])
    return Texture(image, width, height)


def ball(rng: Rng, radius: float, colours: Sequence[Colour], *, density: float = 900) -> Texture:
    """A painted ball: coloured sectors with stars and rings; joins up where it is wrapped around."""
    width, height = 2 * np.pi * radius, np.pi * radius
    size = pixels(width, height, density)
    w, h = size
    sector = (np.arange(w) * 8 // w)[None, :] + 3 * (np.arange(h) * 4 // h)[:, None]
    image = np.ascontiguousarray(np.array(colours, np.uint8)[sector % len(colours)])
    dots(image, rng, 70, (0.02 * h, 0.09 * h), [*colours, PAPER, INK])
    shards(image, rng, 40, (0.03 * h, 0.10 * h), [*colours, PAPER, INK])
    return Texture(scale(image, 1 + 0.05 * noise(size, rng, cell=12)), width, height)
