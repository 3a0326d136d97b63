"""Where else a point might be: the place near its estimate whose features are most like the query's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 12.0
"""How far from the estimate is looked, feature px."""
_DISTANCE_COST = 1.0  # of similarity, for a distance as large as the image is wide
_SHARPNESS = 0.05  # of similarity; how close to the best a neighbour must be to pull the peak


def most_alike(features: Tensor, support: Tensor, xy: Tensor) -> Tensor:
    """Find the place around each point whose patch of features is most like that of its query.

    Args:
        features: (H, W, C) of the image.
        support: (N, Q, C) patches of the queries, x slow and y fast.
        xy: (N, 2) estimates, feature px.

    Returns:
        (N, 2) positions to a fraction of a feature pixel.
    """
    side = round(support.shape[1] ** 0.5)
    height, width = features.shape[:2]
    similarity = _similarity(features.float(), F.normalize(support.float(), dim=-1), side)
    rows, columns = (torch.arange(n, device=xy.device, dtype=xy.dtype) for n in (height, width))
    squared = (columns - xy[:, :1])[:, None].square() + (rows - xy[:, 1:])[:, :, None].square()
    distance = squared.sqrt()
    score = similarity - _DISTANCE_COST * distance / width
    best = score.masked_fill(distance > RADIUS, -torch.inf).flatten(1).argmax(1)
    column, row = best % width, torch.div(best, width, rounding_mode="floor")
    return torch.stack([column, row], 1) + _peak(similarity, column, row)


def _similarity(features: Tensor, patches: Tensor, side: int) -> Tensor:
    """Return the mean cosine similarity (N, H, W) of the patch around each pixel with those of the queries.

    A product of matrices and a sum of shifted maps: for few patches a convolution takes five times as long.
    """
    height, width = features.shape[:2]
    products = features @ patches.flatten(0, 1).T / features.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    reach = side // 2
    maps = F.pad(products.permute(2, 0, 1), (reach,) * 4).unflatten(0, (-1, side, side))
    shifts = [maps[:, x, y, y : y + height, x : x + width] for x in range(side) for y in range(side)]
    return torch.stack(shifts).mean(0)


def _peak(similarity: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """(N, 2) offsets of the peak from its pixel: the mean of the 3x3 around it, weighted by similarity."""
    padded = F.pad(similarity[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    step = torch.arange(3, device=column.device)
    index = torch.arange(len(column), device=column.device)[:, None, None]
    around = padded[index, (row[:, None] + step)[:, :, None], (column[:, None] + step)[:, None]]
    weight = (around / _SHARPNESS).flatten(1).softmax(1).view(-1, 3, 3)
    offset = (step - 1).to(weight)
    return torch.stack([weight.sum(1) @ offset, weight.sum(2) @ offset], 1)
