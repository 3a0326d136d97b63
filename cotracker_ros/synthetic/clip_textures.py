"""Families of procedural textures for training clips: (size, size, 3) uint8 RGB from a random generator.

They are made to be hard in the ways real scenes are: pale and speckled, nearly plain, repeating, with fine
grain, or piled up of leaves (the occlusion model of natural images, Lee, Mumford and Huang 2001).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.clip_motion import log_uniform
from cotracker_ros.synthetic.patterns import (
    Image,
    blend,
    dots,
    noise,
    print_text,
    ramp,
    relief,
    scale,
    sentence,
    shards,
    smoothstep,
    tiling,
)

Rng = np.random.Generator
Field = NDArray[np.float32]
Family = Callable[[Rng, int], Image]


def palette(rng: Rng, count: int) -> list[tuple[int, int, int]]:
    """Return random colours that go together: around one or two hues, grey, or anything."""
    kind = rng.random()
    hue, spread = rng.uniform(0, 180), rng.choice([8, 25, 90])
    # Most surfaces are dull, a few are bright.
    saturation = 0.0 if kind < 0.15 else 0.05 + 0.8 * rng.random() ** 2
    colours = np.empty((1, count, 3), np.uint8)
    colours[0, :, 0] = (hue + rng.normal(0, spread, count)) % 180
    colours[0, :, 1] = np.clip(255 * saturation * rng.uniform(0.6, 1.3, count), 0, 255)
    colours[0, :, 2] = np.clip(
        rng.permutation(np.linspace(rng.uniform(10, 90), rng.uniform(150, 250), count)), 0, 255
    )
    rgb = cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)[0]
    return [(int(r), int(g), int(b)) for r, g, b in rgb]


def spectrum(rng: Rng, size: int, slope: float, *, stretched: float = 1.0) -> Field:
    """Return (size, size) random values, mean 0 and deviation 1, with amplitudes 1 / frequency**slope."""
    fx, fy = np.fft.rfftfreq(size)[None, :], np.fft.fftfreq(size)[:, None]
    radius = np.hypot(fx * stretched, fy / stretched)
    radius[0, 0] = np.inf
    waves = rng.standard_normal((size, size // 2 + 1)) + 1j * rng.standard_normal((size, size // 2 + 1))
    field = np.fft.irfft2(waves * radius**-slope, s=(size, size))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def clouds(rng: Rng, size: int) -> Image:
    """1/f noise, coloured."""
    field = spectrum(rng, size, rng.uniform(0.7, 1.9), stretched=rng.choice([1.0, 1.0, 2.0]))
    image = ramp(0.5 + 0.22 * field, palette(rng, int(rng.integers(2, 6))))
    if rng.random() < 0.5:
        return scale(image, 1 + 0.15 * spectrum(rng, size, 1.0))
    return image


def speckled(rng: Rng, size: int) -> Image:
    """A pale table top: faint stains, specks of several sizes, little contrast."""
    base = np.array(palette(rng, 1)[0], np.float32)
    base = 255 - (255 - base) * rng.uniform(0.15, 0.6)
    faint = log_uniform(rng, 0.008, 0.06)
    image = np.empty((size, size, 3), np.float32)
    image[:] = base
    for cell, strength in ((60, 0.7), (12, 1.0), (4, 1.1), (2, 0.8)):
        spread = faint * strength * noise((size, size), rng, cell=cell, octaves=2)
        # Brightness and tint vary independently: the same noise, but elsewhere.
        tint = rng.normal(0, 0.25, 3).astype(np.float32)
        moved = np.roll(spread, (size // 3, size // 2), axis=(0, 1))
        image *= 1 + (spread[..., None] + moved[..., None] * tint)
    for _ in range(int(rng.integers(1, 4))):
        spots = noise((size, size), rng, cell=rng.uniform(2, 7), octaves=2)
        strength = rng.uniform(0.04, 0.35) * rng.choice([-1, -1, 1])
        edge = rng.uniform(1.2, 2.4)
        image *= 1 + (strength * smoothstep(edge, edge + 0.5, spots))[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def plain(rng: Rng, size: int) -> Image:
    """A wall or a surface with next to no texture: shading, a few marks, the finest grain."""
    first, second = palette(rng, 2)
    mix = smoothstep(-2.5, 2.5, noise((size, size), rng, cell=size * rng.uniform(0.3, 1), octaves=2))
    near = np.array(first) + rng.uniform(0.02, 0.4) * (np.array(second) - np.array(first))
    image = blend(np.full((size, size, 3), first, np.uint8), np.full((size, size, 3), near, np.uint8), mix)
    image = scale(image, 1 + rng.uniform(0.0, 0.02) * spectrum(rng, size, rng.uniform(0.3, 1.2)))
    shards(image, rng, int(rng.integers(0, 14)), (2, 30), [first, second])
    dots(image, rng, int(rng.integers(0, 30)), (0.7, 4), [first, second])
    return image


def leaves(rng: Rng, size: int) -> Image:
    """Dead leaves: shapes of all sizes on top of each other, each with its own colour, grain and shading."""
    index = np.zeros((size, size), np.float32)
    count = int(rng.integers(350, 1100))
    smallest, largest = rng.uniform(2.5, 7), size * rng.uniform(0.12, 0.4)
    exponent = rng.uniform(1.6, 2.6)  # of the density of radii; 3 has the statistics of photographs
    u = rng.random(count)
    power = 1 - exponent
    radii = np.sort((smallest**power + u * (largest**power - smallest**power)) ** (1 / power))[::-1]
    corners = rng.integers(3, 9)
    round_ones = rng.random()
    for i, radius in enumerate(rng.permutation(radii) if rng.random() < 0.5 else radii):
        centre = rng.uniform(0, size, 2)
        if rng.random() < round_ones:
            axes = (radius * rng.uniform(0.35, 1), radius)
            box = (tuple(float(c) for c in centre), (2 * axes[0], 2 * axes[1]), float(rng.uniform(0, 180)))
            cv2.ellipse(index, box, float(i + 1), -1)
        else:
            angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
            around = (
                radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1) * rng.uniform(0.6, 1, (corners, 1))
            )
            cv2.fillPoly(
                index, [np.round((centre + around) * 8).astype(np.int32)], float(i + 1), cv2.LINE_8, 3
            )
    leaf = index.astype(np.int32)
    colours = np.array(palette(rng, 24), np.float32)
    base = colours[rng.integers(0, 24, count + 1)] * rng.uniform(0.6, 1.3, (count + 1, 1))
    grain = (rng.uniform(0, 0.3) * rng.random(count + 1)).astype(np.float32)
    # A slope of brightness across each leaf makes it look round or lit from a side.
    lean = rng.normal(0, rng.uniform(0.0, 0.004), (count + 1, 2)).astype(np.float32)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) - size / 2
    shade = 1 + grain[leaf] * spectrum(rng, size, rng.uniform(0.4, 1.3))
    shade += np.clip(lean[leaf, 0] * (x % 97) + lean[leaf, 1] * (y % 89), -0.4, 0.4)
    return np.clip(base[leaf] * shade[..., None], 0, 255).astype(np.uint8)


def laid(rng: Rng, size: int) -> Image:
    """Bricks, tiles, planks or a chequered cloth: the same piece again and again, hardly different."""
    piece = (int(log_uniform(rng, 12, 90)), int(log_uniform(rng, 8, 60)))
    shifts = [[0.0], [0.0, 0.5], rng.random(7).tolist()][int(rng.integers(3))]
    pattern = tiling((size, size), piece, shifts)
    count = int(pattern.index.max()) + 1
    differ = rng.choice([0.0, 0.05, 0.25])
    tone = 0.5 + differ * rng.standard_normal(count)[pattern.index]
    if rng.random() < 0.25:
        row, column = np.divmod(pattern.index, size // piece[0] + 3)
        tone = tone + 0.35 * ((row + column) % 2)
    tone += rng.uniform(0.0, 0.12) * spectrum(rng, size, rng.uniform(0.5, 1.3), stretched=rng.choice([1, 3]))
    image = ramp(tone, palette(rng, int(rng.integers(2, 5))))
    width = rng.uniform(0.5, 3)
    joint = smoothstep(width, width + 1.5, pattern.edge)
    image = blend(np.full_like(image, palette(rng, 1)[0]), image, np.maximum(joint, rng.choice([0.0, 0.6])))
    return relief(image, 4 * joint, rng.choice([0.0, 0.05]))


def stripes(rng: Rng, size: int) -> Image:
    """Carpet, knitwear, corrugated sheet, blinds: fine lines, regular or not, in stripes or blocks."""
    lines = np.arange(size)
    if rng.random() < 0.5:
        widths = rng.integers(2, int(rng.integers(4, 24)), size)
        tone = rng.random(size)[np.searchsorted(np.cumsum(widths), lines, side="right")]
    else:
        period = log_uniform(rng, 4, 40)
        tone = 0.5 + 0.5 * np.sin(2 * np.pi * lines / period) * rng.uniform(0.2, 1)
    field = np.broadcast_to(tone[None, :], (size, size)).astype(np.float32)
    if rng.random() < 0.4:  # blocks in which the lines run on shifted, as carpet tiles do
        block = int(rng.integers(40, 160))
        shift = rng.integers(0, size, size // block + 1)
        rows = [np.roll(field[r * block : (r + 1) * block], int(shift[r]), axis=1) for r in range(len(shift))]
        field = np.concatenate(rows)[:size]
    if rng.random() < 0.5:
        bend = noise((size, size), rng, cell=rng.uniform(40, 250), octaves=2) * rng.uniform(0.5, 10)
        x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
        field = np.ascontiguousarray(field)
        bent = cv2.remap(field, x + bend, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        field = np.asarray(bent, np.float32)
    rough = noise((size, size), rng, cell=(2, rng.uniform(2, 16)), octaves=2)
    image = ramp(0.15 + 0.7 * field + rng.uniform(0.01, 0.15) * rough, palette(rng, int(rng.integers(2, 5))))
    return np.ascontiguousarray(np.rot90(image, int(rng.integers(4))))


def grain(rng: Rng, size: int) -> Image:
    """Wood or marble: layers bent by noise."""
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    cell = rng.uniform(60, 300)
    long = rng.uniform(1, 8)
    bent = noise((size, size), rng, cell=(cell, cell / long), octaves=4)
    field = np.sin((y / rng.uniform(6, 40)) + rng.uniform(1, 6) * bent) * rng.uniform(0.05, 0.3)
    field += rng.uniform(0.02, 0.15) * noise(
        (size, size), rng, cell=(80, rng.uniform(1, 4)), octaves=4, gain=0.7
    )
    if rng.random() < 0.4:
        field += 0.1 * np.sin((x + 25 * bent) / rng.uniform(20, 90))
    image = ramp(0.5 + field, palette(rng, int(rng.integers(2, 5))))
    return np.ascontiguousarray(np.rot90(image, int(rng.integers(2))))


def printed(rng: Rng, size: int) -> Image:
    """Paper, packets and signs: lines of text of several sizes, strokes, boxes."""
    paper, *inks = palette(rng, 4)
    if rng.random() < 0.6:
        paper, inks = (235, 232, 226), [(30, 30, 36), *inks]
    image = np.full((size, size, 3), paper, np.uint8)
    for _ in range(int(rng.integers(0, 5))):
        corner, far = rng.integers(0, size, 2), rng.integers(0, size, 2)
        colour = inks[int(rng.integers(len(inks)))]
        cv2.rectangle(image, corner.tolist(), far.tolist(), colour, int(rng.choice([-1, 2, 4])))
    baseline = 0.0
    fonts = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)
    while baseline < size:
        cap = log_uniform(rng, 4, 40) if rng.random() < 0.25 else rng.uniform(4, 9)
        baseline += 1.9 * cap
        text = sentence(rng, max(1, int(size / cap / 5)))
        colour = inks[int(rng.integers(len(inks)))]
        font = fonts[int(rng.choice(3, p=[0.7, 0.2, 0.1]))]
        print_text(
            image, text, rng.uniform(-20, 60), baseline, cap, colour, bold=rng.random() < 0.3, font=font
        )
    for _ in range(int(rng.integers(0, 25))):
        stroke = np.cumsum(rng.normal(0, 9, (8, 2)), axis=0) + rng.uniform(0, size, 2)
        colour = inks[int(rng.integers(len(inks)))]
        cv2.polylines(image, [stroke.astype(np.int32)], False, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    return image


def cartoon(rng: Rng, size: int) -> Image:
    """Large even areas with clear edges, some with outlines, rays, shading or halftone dots."""
    colours = palette(rng, 8)
    image = np.full((size, size, 3), colours[0], np.uint8)
    for _ in range(int(rng.integers(8, 50))):
        colour = colours[int(rng.integers(8))]
        centre, radius = rng.uniform(0, size, 2), log_uniform(rng, 10, 0.35 * size)
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        rays = np.where(np.arange(48) % 4 < 2, 1.0, rng.uniform(0.4, 1.0) if rng.random() < 0.3 else 1.0)
        reach = radius * rays * (1 + 0.25 * np.sin(angle * rng.integers(2, 5) + rng.uniform(0, 6)))
        outline = centre + np.stack([np.cos(angle), np.sin(angle)], axis=-1) * reach[:, None]
        points = np.round(outline * 8).astype(np.int32)
        kind = rng.random()
        if kind < 0.7:
            cv2.fillPoly(image, [points], colour, cv2.LINE_AA, 3)
        else:
            mask = np.zeros((size, size), np.uint8)
            cv2.fillPoly(mask, [points], (255,), cv2.LINE_AA, 3)
            y, x = np.mgrid[0:size, 0:size]
            share = mask.astype(np.float32) / 255
            if kind < 0.85:  # fades towards one side
                slope = rng.normal(0, 1, 2) / size
                share *= np.clip(0.6 + (x - centre[0]) * slope[0] + (y - centre[1]) * slope[1], 0, 1)
            else:
                pitch = int(rng.integers(5, 12))
                share *= np.hypot(x % pitch - pitch / 2, y % pitch - pitch / 2) <= pitch * 0.32
            image = blend(image, colour, share)
        if rng.random() < 0.3:
            cv2.polylines(image, [points], True, (20, 20, 24), int(rng.integers(1, 4)), cv2.LINE_AA, 3)
    return image


def stones(rng: Rng, size: int) -> Image:
    """Gravel, scales, mosaic, cracked earth: cells around random points."""
    count = int(log_uniform(rng, 150, 5000))
    seeds = np.full((size, size), 255, np.uint8)
    seeds[rng.integers(0, size, count), rng.integers(0, size, count)] = 0
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    typical = size / np.sqrt(count)
    tone = rng.random(int(label.max()) + 1).astype(np.float32)[label] - 0.5
    field = 0.5 + rng.uniform(0.05, 0.6) * tone + rng.uniform(0.0, 0.1) * spectrum(rng, size, 0.8)
    image = ramp(field, palette(rng, int(rng.integers(2, 6))))
    depth = np.clip(1 - distance / (0.75 * typical), 0, 1)
    image = scale(image, 1 - rng.uniform(0, 0.8) * (1 - np.sqrt(depth)))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.6), np.uint8) if rng.random() < 0.7 else image


def woven(rng: Rng, size: int) -> Image:
    """Cloth, wire mesh, perforated metal: a fine regular pattern under coarse stains."""
    period = rng.uniform(3, 14, 2)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    u, v = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    a, b = np.sin(2 * np.pi * u / period[0]), np.sin(2 * np.pi * v / period[1])
    fine = [a * b, np.maximum(a, b), a + b, np.where(a + b > 0.6, 1.0, -0.3)][int(rng.integers(4))]
    field = 0.5 + rng.uniform(0.03, 0.3) * fine + rng.uniform(0.02, 0.15) * spectrum(rng, size, 1.2)
    field += 0.05 * noise((size, size), rng, cell=2, octaves=1)
    return ramp(field, palette(rng, int(rng.integers(2, 4))))


def fur(rng: Rng, size: int) -> Image:
    """Fur, grass, hair: fine strands that follow a slowly turning direction."""
    field = rng.standard_normal((size, size)).astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi) + rng.uniform(0, 1.2) * noise(
        (size, size), rng, cell=rng.uniform(40, 200), octaves=2
    )
    step_x, step_y = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    # Smeared along the strands: each round averages a value with one up the strand, twice as far away.
    for reach in (1, 2, 4)[: int(rng.integers(2, 4))]:
        moved = cv2.remap(
            field, x + reach * step_x, y + reach * step_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
        field = 0.5 * (field + moved)
    field /= field.std()
    tone = 0.5 + rng.uniform(0.05, 0.2) * field + rng.uniform(0.05, 0.2) * spectrum(rng, size, 1.4)
    return ramp(tone, palette(rng, int(rng.integers(2, 5))))


def specks(rng: Rng, size: int) -> Image:
    """Splashes, terrazzo, confetti, starry fabric: separate marks on an even ground."""
    base, *colours = palette(rng, 6)
    image = np.full((size, size, 3), base, np.uint8)
    image = scale(image, 1 + rng.uniform(0.0, 0.08) * spectrum(rng, size, rng.uniform(0.6, 1.5)))
    scatter = dots if rng.random() < 0.5 else shards
    scatter(image, rng, int(log_uniform(rng, 150, 2500)), (rng.uniform(0.7, 2), rng.uniform(3, 16)), colours)
    return image


FAMILIES: tuple[tuple[Family, float], ...] = (
    (clouds, 0.09),
    (speckled, 0.14),
    (plain, 0.08),
    (leaves, 0.19),
    (laid, 0.08),
    (stripes, 0.07),
    (grain, 0.07),
    (printed, 0.07),
    (cartoon, 0.07),
    (stones, 0.05),
    (woven, 0.03),
    (fur, 0.04),
    (specks, 0.02),
)
"""Each family of textures and its share."""
