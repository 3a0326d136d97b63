"""What is noticed of points in an image, by which a network's verifier judges them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotracker_ros.model.verifier import EVIDENCE

_WIDEST = 10.0  # px; a company that is further apart says nothing either way


class Evidence(NamedTuple):
    """Of N points in one image, in the order of `EVIDENCE`.

    Attributes:
        visibility: (N,) the network's logit, before patches are fitted ...
        confidence: (N,) ... and the other one.
        belief: (N,) visibility times confidence after that, as probabilities.
        spread: (N,) how far the company of the query is apart, px of the network's input.
        together: (N,) images in which the point went with that company.
        alike: (N,) correlation of the image there with the query's patch, warped as it was last fitted.
        warp: (N, 2, 2) that warp.
        features: (N,) mean cosine similarity of the features around the point with those around the query.
    """

    visibility: Tensor
    confidence: Tensor
    belief: Tensor
    spread: NDArray[np.floating]
    together: Tensor
    alike: NDArray[np.floating]
    warp: NDArray[np.floating]
    features: Tensor

    def table(self) -> Tensor:
        """Return (N, len(EVIDENCE)) float32 numbers of a size that a verifier can use."""
        area = np.log(np.maximum(np.abs(np.linalg.det(self.warp)), 1e-3))
        shear = np.abs(self.warp - np.eye(2)).max(axis=(1, 2))
        columns = {
            "visibility": self.visibility,
            "confidence": self.confidence,
            "belief": self.belief,
            "spread": torch.from_numpy(np.minimum(self.spread, _WIDEST) / _WIDEST),
            "together": torch.log1p(self.together.float()),
            "alike": torch.from_numpy(self.alike),
            "area": torch.from_numpy(area),
            "shear": torch.from_numpy(shear),
            "features": self.features,
        }
        return torch.stack([columns[name].float().cpu() for name in EVIDENCE], dim=1)
