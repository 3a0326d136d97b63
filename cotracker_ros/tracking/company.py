"""Where points should be by the company they keep: those whose queries lay around theirs.

What hides a point often moves otherwise than the point, and lies around it in the image. Around its query lay
its own surface: the shift, turn and scale that took most of that here takes the point along, however long it
is hidden.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_COMPANY = 8
_FEWEST = 5
_STEPS = 3
_SCALE = 2.0  # px off at which one of the company counts half
_FAR = 1e12  # px^2


class Company(NamedTuple):
    """What the company says.

    Attributes:
        xy: (N, 2) float64, where the points should be, px.
        spread: (N,) float64, median distance of the company from where their common motion has them, px;
            infinite where there is too little company.
    """

    xy: NDArray[np.float64]
    spread: NDArray[np.float64]


def by_company(
    query_xy: NDArray[np.floating],
    query_frame: NDArray[np.integer],
    xy: NDArray[np.floating],
    sure: NDArray[np.bool_],
) -> Company:
    """Take each point along with the nearest sure ones of the same query image.

    Args:
        query_xy: (N, 2) positions of the queries, px.
        query_frame: (N,) their images.
        xy: (N, 2) positions now, px; those of unsure points do not matter.
        sure: (N,) bool, points that know where they are.
    """
    count = len(query_xy)
    size = min(_COMPANY, count - 1)
    if size < _FEWEST:
        return Company(np.array(xy, np.float64), np.full(count, np.inf))
    query = query_xy.astype(np.float64)
    x, y = query.T
    squared = np.square(x[:, None] - x)
    squared += np.square(y[:, None] - y)
    squared[:, ~sure] = _FAR
    squared[query_frame[:, None] != query_frame] = _FAR
    np.fill_diagonal(squared, _FAR)
    company = np.argpartition(squared, size - 1, axis=1)[:, :size]
    there = np.take_along_axis(squared, company, 1) < _FAR
    weight = there.astype(np.float64)
    for _ in range(_STEPS):
        turn, shift = _similarity(query[company], xy[company].astype(np.float64), weight)
        moved = query[company] @ turn.transpose(0, 2, 1) + shift[:, None]
        off = np.linalg.norm(moved - xy[company], axis=-1)
        weight = there / (1 + (off / _SCALE) ** 2)
    enough = there.sum(axis=1) >= _FEWEST
    spread = np.full(count, np.inf)
    if enough.any():
        spread[enough] = np.nanmedian(np.where(there[enough], off[enough], np.nan), axis=1)
    return Company((turn @ query[:, :, None])[:, :, 0] + shift, spread)


def _similarity(
    first: NDArray[np.float64], second: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit `second = turn @ first + shift` by weighted least squares, for N sets of K points at once.

    Returns:
        turn (N, 2, 2), a rotation times a scale, and shift (N, 2).
    """
    total = weight.sum(axis=1, keepdims=True) + 1e-9
    middles = [(part * weight[:, :, None]).sum(axis=1) / total for part in (first, second)]
    a, b = (part - middle[:, None] for part, middle in zip((first, second), middles, strict=True))
    size = (weight * (a**2).sum(axis=-1)).sum(axis=1) + 1e-6
    along = (weight * (a * b).sum(axis=-1)).sum(axis=1) / size
    across = (weight * (a[:, :, 0] * b[:, :, 1] - a[:, :, 1] * b[:, :, 0])).sum(axis=1) / size
    turn = np.stack([np.stack([along, -across], axis=-1), np.stack([across, along], axis=-1)], axis=1)
    return turn, middles[1] - (turn @ middles[0][:, :, None])[:, :, 0]
