"""Sub-pixel refinement under affine changes: the query's patch turned, scaled and sheared onto an image.

Inverse compositional alignment (Baker and Matthews, 2004) of all patches at once, each against the query
itself, whatever lies between (Shi and Tomasi, 1994): errors do not add up while the camera turns or comes
nearer. Brightness and contrast are taken out in each step.
"""

from __future__ import annotations

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
_STILL = 0.02  # px: a fit that moves by less has arrived
_LARGEST_STEP = 3.0  # px, of the middle and of the window's edge
_CONTRAST = 4.0  # standard deviation of a window below which it shows nothing, grey levels
_AREAS = (0.25, 4.0)  # of the window in the image: beyond, the fit has gone astray
_STRETCH = 2.5  # likewise for each element of the warp
_GAINS = (0.3, 3.0)  # of the contrast
_STIFFNESS = 2.0  # grey levels^2: keeps the shape where the window says nothing of it ...
_DAMPING = 1e-3  # ... and the normal matrix far from singular, as a share of its trace


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
    templates: NDArray[np.uint8],
    template_xy: NDArray[np.floating],
    grey: NDArray[np.uint8],
    xy: NDArray[np.float32],
    warp: NDArray[np.float32],
) -> AffineFit:
    """Fit patches to an image; of all steps the one that was most alike is returned.

    Args:
        templates: (N, side, side) patches around the queries, `WINDOW` + 2 or more wide.
        template_xy: (N, 2) positions of the queries in them, px.
        grey: (H, W) the image.
        xy: (N, 2) where to begin, px.
        warp: (N, 2, 2) with which warp to begin.
    """
    arrays = templates, template_xy, xy, warp
    parts = [_fit_some(t, at, grey, start, w) for t, at, start, w in _some_at_once(*arrays)]
    return AffineFit(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _fit_some(
    templates: NDArray[np.uint8],
    template_xy: NDArray[np.floating],
    grey: NDArray[np.uint8],
    xy: NDArray[np.float32],
    warp: NDArray[np.float32],
) -> AffineFit:
    count = len(templates)
    if not count:
        return AffineFit(xy, warp, np.zeros(0, np.float32))
    wide = _around_queries(templates, template_xy, WINDOW + 2).reshape(count, WINDOW + 2, WINDOW + 2)
    patch = _centred(wide[:, 1:-1, 1:-1].reshape(count, -1))
    shows = patch.std(axis=1) > _CONTRAST
    descent = _steepest_descent(wide)
    solver = _solver(descent)
    best = AffineFit(xy.copy(), warp.copy(), np.full(count, -1, np.float32))
    going = np.arange(count)
    for _ in range(_STEPS + 1):
        seen = _centred(_sample(grey, warp, xy, WINDOW))
        alike, error = _compare(seen, patch[going])
        better = alike > best.alike[going]
        for whole, now in zip(best, (xy, warp, alike), strict=True):
            whole[going[better]] = now[better]
        step = (solver[going] @ error[:, :, None])[:, :, 0]
        further = np.abs(step).max(axis=1) > _STILL
        going = going[further]
        if not len(going):
            break
        xy, warp = _composed(xy[further], warp[further], step[further])
    area = np.linalg.det(best.warp)
    sane = (area > _AREAS[0]) & (area < _AREAS[1]) & (np.abs(best.warp).max(axis=(1, 2)) < _STRETCH)
    return best._replace(alike=np.where(sane & shows, best.alike, 0).astype(np.float32))


def patch_likeness(
    templates: NDArray[np.uint8],
    template_xy: NDArray[np.floating],
    grey: NDArray[np.uint8],
    xy: NDArray[np.float32],
    warp: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the weighted correlation (N,) of patches with an image; 0 where a patch shows nothing.

    Arguments are those of `fit_affine`, but nothing is fitted.
    """
    arrays = templates, template_xy, xy, warp
    return np.concatenate([_compare_some(t, at, grey, x, w) for t, at, x, w in _some_at_once(*arrays)])


def _compare_some(
    templates: NDArray[np.uint8],
    template_xy: NDArray[np.floating],
    grey: NDArray[np.uint8],
    xy: NDArray[np.float32],
    warp: NDArray[np.float32],
) -> NDArray[np.float32]:
    if not len(templates):
        return np.zeros(0, np.float32)
    patch = _centred(_around_queries(templates, template_xy, WINDOW))
    alike, _ = _compare(_centred(_sample(grey, warp, xy, WINDOW)), patch)
    return np.where(patch.std(axis=1) > _CONTRAST, alike, 0).astype(np.float32)


def _some_at_once(*arrays: NDArray[Any]) -> list[tuple[NDArray[Any], ...]]:
    """Split rows into pieces that OpenCV can sample, of which there is one at least."""
    starts = range(0, max(len(arrays[0]), 1), _AT_ONCE)
    return [tuple(array[start : start + _AT_ONCE] for array in arrays) for start in starts]


def _offsets() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y (WINDOW^2,) of the window's pixels from its middle, px."""
    reach = np.arange(WINDOW, dtype=np.float32) - WINDOW // 2
    return np.tile(reach, WINDOW), np.repeat(reach, WINDOW)


def _weights() -> NDArray[np.float32]:
    """(WINDOW^2,) how much each pixel counts: those near the point move with it more surely."""
    x, y = _offsets()
    weight = np.exp(-(x**2 + y**2) / (2 * (WINDOW / 3) ** 2))
    return np.asarray(weight / weight.sum(), np.float32)


_WEIGHTS = _weights()


def _sample(
    picture: NDArray[np.uint8], warp: NDArray[np.float32], xy: NDArray[np.float32], side: int
) -> NDArray[np.float32]:
    """Sample a warped window of `side` px around each point, (N, side^2)."""
    reach = np.arange(side, dtype=np.float32) - side // 2
    offsets = np.stack([np.tile(reach, side), np.repeat(reach, side)])
    places = warp @ offsets + xy[:, :, None]
    return np.asarray(
        cv2.remap(
            picture,
            np.ascontiguousarray(places[:, 0]),
            np.ascontiguousarray(places[:, 1]),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


def _around_queries(
    templates: NDArray[np.uint8], template_xy: NDArray[np.floating], side: int
) -> NDArray[np.float32]:
    """Sample a window of `side` px around the query in each patch, (N, side^2)."""
    count, height, width = templates.shape
    column = templates.reshape(count * height, width)
    place = (template_xy + np.arange(count)[:, None] * [0, height]).astype(np.float32)
    return _sample(column, identity_warps(count), place, side)


def _centred(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    return windows - (windows * _WEIGHTS).sum(axis=1, keepdims=True)


def _steepest_descent(wide: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 6, WINDOW^2): by how much each pixel changes with shift x, y and the warp's four elements.

    The warp's elements are measured at the window's edge, so that all six are px.
    """
    count = len(wide)
    x, y = (part / (WINDOW / 2) for part in _offsets())
    across = ((wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2).reshape(count, -1)
    down = ((wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2).reshape(count, -1)
    return np.stack([across, down, across * x, across * y, down * x, down * y], axis=1)


def _solver(descent: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 6, WINDOW^2), which takes the errors of a window to the step that mends them."""
    weighted = descent * _WEIGHTS
    normal = weighted @ descent.transpose(0, 2, 1)
    trace = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    stiff = _STIFFNESS * np.diag([1e-2, 1e-2, 1, 1, 1, 1])
    return np.asarray(np.linalg.inv(normal + _DAMPING / 6 * trace * np.eye(6) + stiff) @ weighted, np.float32)


def _compare(
    seen: NDArray[np.float32], patch: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the correlation (N,) of centred windows, and what is left of the difference (N, WINDOW^2)."""
    product = (seen * patch * _WEIGHTS).sum(axis=1)
    energy, template = (seen**2 * _WEIGHTS).sum(axis=1), (patch**2 * _WEIGHTS).sum(axis=1)
    alike = product / np.sqrt(np.maximum(energy * template, 1e-6))
    gain = np.clip(product / np.maximum(energy, 1e-3), *_GAINS)
    return alike, gain[:, None] * seen - patch


def _composed(
    xy: NDArray[np.float32], warp: NDArray[np.float32], step: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return positions and warps after the inverse of a step of the patch, (N, 6)."""
    step = np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
    change = np.eye(2, dtype=np.float32) + step[:, 2:].reshape(-1, 2, 2) / np.float32(WINDOW / 2)
    warp = warp @ np.linalg.inv(change)
    return xy - (warp @ step[:, :2, None])[:, :, 0], warp
