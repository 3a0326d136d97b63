"""Sub-pixel refinement under affine changes: the query's patch turned, scaled and sheared onto an image.

Inverse compositional alignment (Baker and Matthews, 2004) of all patches at once, each against the query
itself, whatever lies between (Shi and Tomasi, 1994): errors do not add up while the camera turns or comes
nearer. Brightness and contrast are taken out in each step.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW = 25
"""Side of the window that is compared, px."""
ALIKE = 0.85
"""Weighted correlation from which on a fit is taken for the point's place ..."""
SURE = 0.9
"""... and from which on it shows that the point is seen."""
_AT_ONCE = 512  # patches, one below the other in a picture: OpenCV samples none higher than 32766 px
_STEPS = 6
_STILL = 0.05  # px at most: a fit that moves by less has arrived; OpenCV samples at 1/32 px
_LARGEST_STEP = 3.0  # px, of the middle and of the window's edge
_CONTRAST = 4.0  # standard deviation of a window below which it shows nothing, grey levels
_AREAS = (0.25, 4.0)  # of the window in the image: beyond, the fit has gone astray
_STRETCH = 2.5  # likewise for each element of the warp
_GAINS = (0.3, 3.0)  # of the contrast
_FAINT = 0.1  # grey levels^2: variance of a window in the image that rounding has, too
_STIFFNESS = 2.0  # grey levels^2: keeps the shape where the window says nothing of it ...
_DAMPING = 1e-3  # ... and the normal matrix far from singular, as a share of its trace


@dataclass(frozen=True, eq=False)
class Patches:
    """What fitting needs of the patches around queries, whatever the image.

    A window of pixels s in the image is mended by the step gain * solver @ moments(s - its mean) - rest.
    Moments are the sums of `across` and `down` times s, plain and times the pixels' x and y: with them, the
    steepest descent of all six parameters need not be kept.

    Attributes:
        across: (N, WINDOW^2) float32, by how much each pixel changes with x, weighted, grey levels per px.
        down: (N, WINDOW^2) float32, likewise with y.
        level: (N, 6) float32, moments of a window that is 1 everywhere.
        solver: (N, 6, 6) float32, px of the step per moment.
        rest: (N, 6) float32, what the solver makes of the patch itself, px.
        pixels: (N, WINDOW^2) float32, weighted, grey levels; their sum is 0.
        energy: (N,) float32, weighted variance of the patch, grey levels^2; 0 where it shows nothing.
    """

    across: NDArray[np.float32]
    down: NDArray[np.float32]
    level: NDArray[np.float32]
    solver: NDArray[np.float32]
    rest: NDArray[np.float32]
    pixels: NDArray[np.float32]
    energy: NDArray[np.float32]

    @classmethod
    def around(cls, templates: NDArray[np.uint8], template_xy: NDArray[np.floating]) -> Patches:
        """Prepare patches.

        Args:
            templates: (N, side, side) images around the queries, `WINDOW` + 2 or more wide.
            template_xy: (N, 2) positions of the queries in them, px.
        """
        some = (_prepared(templates[part], template_xy[part]) for part in _some_at_once(len(templates)))
        return cls(*(np.concatenate(columns) for columns in zip(*some, strict=True)))

    def __len__(self) -> int:
        return len(self.energy)

    def take(self, rows: NDArray[Any] | slice) -> Patches:
        """Return those of some rows."""
        return Patches(*(part[rows] for part in self._parts()))

    def put(self, rows: NDArray[np.intp], others: Patches) -> None:
        """Replace those of some rows."""
        for part, other in zip(self._parts(), others._parts(), strict=True):
            part[rows] = other

    def grown(self, count: int) -> Patches:
        """Return these and some more that show nothing."""
        blank = (np.zeros((count, *part.shape[1:]), part.dtype) for part in self._parts())
        return Patches(*(np.concatenate(pair) for pair in zip(self._parts(), blank, strict=True)))

    def _parts(self) -> tuple[NDArray[np.float32], ...]:
        return self.across, self.down, self.level, self.solver, self.rest, self.pixels, self.energy


class AffineFit(NamedTuple):
    """Where patches lie in an image.

    Attributes:
        xy: (N, 2) float32, px.
        warp: (N, 2, 2) float32, offsets in the image by offsets in the patch.
        alike: (N,) float32, weighted correlation with the patch, 0 where it shows nothing or went astray.
    """

    xy: NDArray[np.float32]
    warp: NDArray[np.float32]
    alike: NDArray[np.float32]


def identity_warps(count: int) -> NDArray[np.float32]:
    """Return (N, 2, 2) warps of patches that are seen as they were."""
    return np.tile(np.eye(2, dtype=np.float32), (count, 1, 1))


def fit_affine(
    patches: Patches, grey: NDArray[np.uint8], xy: NDArray[np.float32], warp: NDArray[np.float32]
) -> AffineFit:
    """Fit patches to an image; of all steps the one that was most alike is returned.

    Args:
        patches: Those of N queries.
        grey: (H, W) the image.
        xy: (N, 2) where to begin, px.
        warp: (N, 2, 2) with which warp to begin.
    """
    some = (_fit_some(patches.take(p), grey, xy[p], warp[p]) for p in _some_at_once(len(patches)))
    return AffineFit(*(np.concatenate(columns) for columns in zip(*some, strict=True)))


def _fit_some(
    patches: Patches, grey: NDArray[np.uint8], xy: NDArray[np.float32], warp: NDArray[np.float32]
) -> AffineFit:
    best = AffineFit(xy.copy(), warp.copy(), np.full(len(patches), -1, np.float32))
    going = np.flatnonzero(patches.energy > 0)
    patches, xy, warp = patches.take(going), xy[going], warp[going]
    for _ in range(_STEPS + 1):
        seen = _sample(grey, warp, xy, WINDOW)
        alike, gain, mean = _compare(seen, patches)
        better = alike > best.alike[going]
        for whole, now in zip(best, (xy, warp, alike), strict=True):
            whole[going[better]] = now[better]
        step = _step(patches, seen, gain, mean)
        further = np.abs(step).max(axis=1) > _STILL
        if not further.any():
            break
        going, patches = going[further], patches.take(further)
        xy, warp = _composed(xy[further], warp[further], step[further])
    area = np.linalg.det(best.warp)
    sane = (area > _AREAS[0]) & (area < _AREAS[1]) & (np.abs(best.warp).max(axis=(1, 2)) < _STRETCH)
    return best._replace(alike=np.where(sane, np.maximum(best.alike, 0), 0).astype(np.float32))


def patch_likeness(
    patches: Patches, grey: NDArray[np.uint8], xy: NDArray[np.float32], warp: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the weighted correlation (N,) of patches with an image; 0 where a patch shows nothing.

    Arguments are those of `fit_affine`, but nothing is fitted.
    """
    alike = np.zeros(len(patches), np.float32)
    for part in _some_at_once(len(patches)):
        seen = _sample(grey, warp[part], xy[part], WINDOW)
        alike[part], *_ = _compare(seen, patches.take(part))
    return alike


def _some_at_once(count: int) -> Iterator[slice]:
    """Split rows into parts that OpenCV can sample, of which there is one at least."""
    return (slice(start, start + _AT_ONCE) for start in range(0, max(count, 1), _AT_ONCE))


@functools.cache
def _offsets(side: int) -> NDArray[np.float32]:
    """Return x, y and 1 (3, side^2) of a window's pixels from its middle, px."""
    reach = np.arange(side, dtype=np.float32) - side // 2
    return np.stack([np.tile(reach, side), np.repeat(reach, side), np.ones(side**2, np.float32)])


def _weights() -> NDArray[np.float32]:
    """(WINDOW^2,) how much each pixel counts: those near the point move with it more surely."""
    x, y, _ = _offsets(WINDOW)
    weight = np.exp(-(x**2 + y**2) / (2 * (WINDOW / 3) ** 2))
    return np.asarray(weight / weight.sum(), np.float32)


_WEIGHTS = _weights()
_REACH = _offsets(WINDOW) / np.array([[WINDOW / 2], [WINDOW / 2], [1]], np.float32)
"""x and y of a window's pixels in halves of its side, and 1: (3, WINDOW^2)."""


def _sample(
    picture: NDArray[np.uint8], warp: NDArray[np.float32], xy: NDArray[np.float32], side: int
) -> NDArray[np.float32]:
    """Sample a warped window of `side` px around each point, (N, side^2); grey is 0, for all the digits."""
    if not len(xy):
        return np.zeros((0, side**2), np.float32)
    places = np.concatenate([warp, xy[:, :, None]], axis=2).swapaxes(0, 1) @ _offsets(side)
    seen = cv2.remap(picture, places[0], places[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.subtract(seen, np.float32(128.0), dtype=np.float32)


def _prepared(
    templates: NDArray[np.uint8], template_xy: NDArray[np.floating]
) -> tuple[NDArray[np.float32], ...]:
    """Return what `Patches` keeps of some patches."""
    count, height, width = templates.shape
    side = WINDOW + 2
    place = (template_xy + np.arange(count)[:, None] * [0, height]).astype(np.float32)
    column = templates.reshape(count * height, width)
    wide = _sample(column, identity_warps(count), place, side).reshape(count, side, side)
    patch = wide[:, 1:-1, 1:-1].reshape(count, WINDOW**2)
    patch = patch - (patch @ _WEIGHTS)[:, None]
    pixels = patch * _WEIGHTS
    energy = (pixels * patch).sum(axis=1) * (patch.std(axis=1) > _CONTRAST)
    slopes = np.stack([wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2], wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]])
    slopes = slopes.reshape(2, count, WINDOW**2) / np.float32(2)
    solver = _solver(*slopes)
    across, down = slopes * _WEIGHTS
    level = _moments(across, down, np.ones((1, WINDOW**2), np.float32))
    rest = np.einsum("nij,nj->ni", solver, _moments(across, down, patch))
    return across, down, level, solver, rest, pixels, energy


def _solver(across: NDArray[np.float32], down: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 6, 6), which takes the moments of a window's errors to the step that mends them.

    The six are shift x, y and the warp's four elements, these measured at the window's edge: all are px.
    """
    x, y, _ = _REACH
    descent = np.stack([across, down, across * x, across * y, down * x, down * y], axis=1)
    normal = (descent * _WEIGHTS) @ descent.transpose(0, 2, 1)
    trace = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    stiff = _STIFFNESS * np.diag([1e-2, 1e-2, 1, 1, 1, 1])
    return np.asarray(np.linalg.inv(normal + _DAMPING / 6 * trace * np.eye(6) + stiff), np.float32)


def _moments(
    across: NDArray[np.float32], down: NDArray[np.float32], seen: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, 6) products of the steepest descent of patches with windows, see `Patches`."""
    # Window by window: as one product, BLAS would start its threads for it, and wait for busy cores.
    (ax, ay, a), (dx, dy, d) = (((slope * seen)[:, None] @ _REACH.T)[:, 0].T for slope in (across, down))
    return np.stack([a, d, ax, ay, dx, dy], axis=1)


def _step(
    patches: Patches, seen: NDArray[np.float32], gain: NDArray[np.float32], mean: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the steps (N, 6) that mend windows (N, WINDOW^2), px."""
    moments = _moments(patches.across, patches.down, seen) - mean[:, None] * patches.level
    return np.asarray(np.einsum("nij,nj->ni", patches.solver, gain[:, None] * moments) - patches.rest)


def _compare(
    seen: NDArray[np.float32], patches: Patches
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return correlations of windows (N, WINDOW^2) with patches, gains between them, and means, (N,) each."""
    product, mean = np.einsum("np,np->n", seen, patches.pixels), seen @ _WEIGHTS
    energy = np.maximum((seen**2) @ _WEIGHTS - mean**2, _FAINT)
    alike = product / np.sqrt(energy * np.maximum(patches.energy, _FAINT))
    return alike * (patches.energy > 0), np.clip(product / energy, *_GAINS), mean


def _composed(
    xy: NDArray[np.float32], warp: NDArray[np.float32], step: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return positions and warps after the inverse of a step of the patch, (N, 6)."""
    step = np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
    change = np.eye(2, dtype=np.float32) + step[:, 2:].reshape(-1, 2, 2) / np.float32(WINDOW / 2)
    warp = warp @ np.linalg.inv(change)
    return xy - (warp @ step[:, :2, None])[:, :, 0], warp
