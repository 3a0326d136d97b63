"""The even point grids that support points come from."""

from __future__ import annotations

import torch
from torch import Tensor


def grid(side: int, size: tuple[float, float], centre: tuple[float, float] | None = None) -> Tensor:
    """Return a side x side grid over a rectangle, row by row.

    The margin on every side is 1/64 of the rectangle's width, as in the published predictors.

    Args:
        side: Points along each axis; 1 gives the centre of the rectangle.
        size: Height and width of the rectangle, px.
        centre: Its centre (y, x), px; by default half its size.

    Returns:
        (side * side, 2) float32 positions (x, y), px.
    """
    height, width = size
    middle_y, middle_x = centre or (height / 2, width / 2)
    if side == 1:
        return torch.tensor([[width / 2, height / 2]])
    margin = width / 64
    y = torch.linspace(middle_y - height / 2 + margin, middle_y + height / 2 - margin, side)
    x = torch.linspace(middle_x - width / 2 + margin, middle_x + width / 2 - margin, side)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).reshape(-1, 2)
