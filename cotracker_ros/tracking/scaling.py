"""How images become the network's input, and its positions positions in the image.

Positions are measured between the centres of the outermost pixels in both, as the published predictors do.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cotracker_ros.model import CoTracker3, CoTracker3Config
from cotracker_ros.tracking.config import TrackerConfig

_SMOOTHED_FROM = 1.3
# Standard deviation of the smoothing, px of the network's input.
_SMOOTHING = 0.4


def input_size(
    image_size: tuple[int, int], config: TrackerConfig, network: CoTracker3Config
) -> tuple[int, int]:
    """Height and width of the network's input for images of a width and height, px."""
    stride, least = network.stride, network.smallest_side
    own = own_size(image_size, network)
    wanted = (
        own[1] if config.input_height < 0 else config.input_height or image_size[1],
        own[0] if config.input_width < 0 else config.input_width or image_size[0],
    )
    height, width = (max(least, round(side / stride) * stride) for side in wanted)
    return height, width


def own_size(image_size: tuple[int, int], network: CoTracker3Config) -> tuple[float, float]:
    """Width and height that a network is made for, px.

    Published networks take every image to one size, whatever its shape; causal ones keep its shape and take
    it to the same area.
    """
    width, height = network.motion_width, network.motion_height
    if not network.causal:
        return width, height
    factor = (width * height / (image_size[0] * image_size[1])) ** 0.5
    return image_size[0] * factor, image_size[1] * factor


def image_per_input(image_size: tuple[int, int], size: tuple[int, int], model: CoTracker3) -> Tensor:
    """(2,) px of the image, of a width and height, per px of the network's input, of a height and width."""
    image = torch.tensor(image_size, dtype=model.position_dtype) - 1
    return (image / (torch.tensor(size[::-1]) - 1)).to(model.device)


def input_frame(image: NDArray[np.uint8], size: tuple[int, int], model: CoTracker3) -> Tensor:
    """Resize an image (H, W, 3) RGB on the network's device: (1, 3, height, width), 0..255.

    Before it is shrunk for a causal network it is smoothed, which the published protocol does not do.
    """
    shrink = image.shape[1] / size[1]
    if model.config.causal and shrink > _SMOOTHED_FROM:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), _SMOOTHING * shrink), np.uint8)
    frame = torch.from_numpy(np.ascontiguousarray(image)).to(model.device)
    frame = frame.permute(2, 0, 1)[None].to(model.position_dtype)
    if frame.shape[-2:] == size:
        return frame
    return F.interpolate(frame, size, mode="bilinear", align_corners=True)
