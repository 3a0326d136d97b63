"""Random outlines of flat objects: blobs, polygons, letters, rings, bars, combs, fences."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Rng = np.random.Generator

_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates


def _fill(mask: Mask, outline: NDArray[np.float64], value: int = 255) -> None:
    points = np.round(outline * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [points], (value,), cv2.LINE_AA, _SHIFT)


def _circle(radius: NDArray[np.float64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def blob(rng: Rng, mask: Mask, size: float) -> None:
    """A smooth closed curve."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = np.arange(2, 7)
    strength = rng.normal(0, 0.22, 5) / waves**0.5 * rng.choice([0.35, 1.0])
    radius = 1 + np.sin(np.outer(angle, waves) + rng.uniform(0, 6.3, 5)) @ strength
    outline = _circle(np.clip(radius / radius.max(), 0.25, 1), angle)
    outline[:, 1] *= rng.uniform(0.5, 1)
    _fill(mask, size / 2 * (1 + outline))


def polygon(rng: Rng, mask: Mask, size: float) -> None:
    """Three to eight corners, or a star."""
    corners = int(rng.integers(3, 9))
    angle = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) / corners
    radius = rng.uniform(0.65, 1.0, corners)
    if rng.random() < 0.3:
        angle = 2 * np.pi * np.arange(2 * corners) / (2 * corners)
        radius = np.tile([1.0, rng.uniform(0.35, 0.7)], corners)
    _fill(mask, size / 2 * (1 + _circle(radius, angle)))


def ellipse(rng: Rng, mask: Mask, size: float) -> None:
    """An ellipse or a disc."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    outline = _circle(np.ones(72), angle)
    outline[:, 1] *= rng.uniform(0.4, 1)
    _fill(mask, size / 2 * (1 + outline))


def card(rng: Rng, mask: Mask, size: float) -> None:
    """A rectangle, often with round corners."""
    half = np.array([1.0, rng.uniform(0.35, 1.0)])
    power = rng.choice([3.0, 8.0, 40.0])
    angle = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    outline = np.stack([np.sign(cos) * np.abs(cos) ** (2 / power), np.sign(sin) * np.abs(sin) ** (2 / power)])
    _fill(mask, size / 2 * (1 + half * outline.T))


def ring(rng: Rng, mask: Mask, size: float) -> None:
    """A frame: something with a hole."""
    (blob if rng.random() < 0.5 else card)(rng, mask, size)
    inner = cv2.distanceTransform(np.where(mask > 128, 255, 0).astype(np.uint8), cv2.DIST_L2, 3)
    width = max(3.0, float(inner.max()) * rng.uniform(0.25, 0.6))
    np.minimum(mask, np.clip((width - inner) * 255, 0, 255).astype(np.uint8), out=mask)


def pierced(rng: Rng, mask: Mask, size: float) -> None:
    """A blob with round holes."""
    blob(rng, mask, size)
    for _ in range(int(rng.integers(1, 6))):
        centre = np.round(rng.uniform(0.2, 0.8, 2) * size * (1 << _SHIFT)).astype(int)
        radius = int(rng.uniform(0.04, 0.16) * size * (1 << _SHIFT))
        cv2.circle(mask, (int(centre[0]), int(centre[1])), radius, (0,), -1, cv2.LINE_AA, _SHIFT)


def bunch(rng: Rng, mask: Mask, size: float) -> None:
    """Several discs and limbs grown together."""
    for _ in range(int(rng.integers(2, 6))):
        centre, radius = rng.uniform(0.3, 0.7, 2) * size, rng.uniform(0.1, 0.25) * size
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        _fill(mask, centre + _circle(np.full(40, radius), angle) * rng.uniform(0.6, 1, 2))
        end = np.round(rng.uniform(0.06, 0.94, 2) * size).astype(int)
        start = np.round(centre).astype(int)
        thick = max(2, int(rng.uniform(0.04, 0.16) * size))
        cv2.line(mask, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), (255,), thick, cv2.LINE_AA)


def bar(rng: Rng, mask: Mask, size: float) -> None:
    """A thin bar, straight."""
    half = max(1.2, rng.uniform(0.012, 0.09) * size)
    middle = size / 2
    _fill(
        mask, np.array([[0, middle - half], [size, middle - half], [size, middle + half], [0, middle + half]])
    )


def comb(rng: Rng, mask: Mask, size: float) -> None:
    """Parallel bars, on a back or not."""
    pitch = rng.uniform(0.07, 0.25) * size
    width = max(2.0, pitch * rng.uniform(0.2, 0.6))
    for x in np.arange(0, size - width, pitch):
        _fill(mask, np.array([[x, 0], [x + width, 0], [x + width, size], [x, size]]))
    if rng.random() < 0.5:
        mask[: max(2, int(0.1 * size)), : int(size)] = 255


def fence(rng: Rng, mask: Mask, size: float) -> None:
    """A grid of bars."""
    pitch = rng.uniform(0.1, 0.3, 2) * size
    width = np.maximum(2.0, pitch * rng.uniform(0.12, 0.4))
    for x in np.arange(0, size - width[0], pitch[0]):
        _fill(mask, np.array([[x, 0], [x + width[0], 0], [x + width[0], size], [x, size]]))
    for y in np.arange(0, size - width[1], pitch[1]):
        _fill(mask, np.array([[0, y], [size, y], [size, y + width[1]], [0, y + width[1]]]))


def letter(rng: Rng, mask: Mask, size: float) -> None:
    """A thick letter or digit."""
    text = str(rng.choice(list("ABCDEFGHKMNPRSTUVXYZ23456789&@#")))
    factor = 0.7 * size / 22
    thick = max(2, round(rng.uniform(0.08, 0.2) * size))
    origin = (int(0.15 * size), int(0.85 * size))
    cv2.putText(mask, text, origin, cv2.FONT_HERSHEY_DUPLEX, factor, (255,), thick, cv2.LINE_AA)


_COMPACT: tuple[Callable[[Rng, Mask, float], None], ...] = (
    blob,
    polygon,
    ellipse,
    card,
    ring,
    pierced,
    bunch,
    letter,
)
_COMPACT_SHARES = (0.24, 0.16, 0.13, 0.19, 0.07, 0.06, 0.1, 0.05)
_OPEN: tuple[Callable[[Rng, Mask, float], None], ...] = (bar, comb, fence)

MARGIN = 3
"""Empty px around an outline."""


def random_mask(rng: Rng, size: float, *, screen: bool = False) -> Mask:
    """Return a random outline: (h, w) uint8 coverage, 0 at the edges, at most `size` px large.

    Args:
        rng: Source of randomness.
        size: Width and height of the box that it is drawn into, px.
        screen: Whether it is a bar, comb or fence, through which other things can be seen.
    """
    side = int(np.ceil(size)) + 2
    mask = np.zeros((side, side), np.uint8)
    if screen:
        draw = _OPEN[int(rng.integers(len(_OPEN)))]
    else:
        draw = _COMPACT[int(rng.choice(len(_COMPACT), p=_COMPACT_SHARES))]
    draw(rng, mask, size)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    mask = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(mask, MARGIN)
