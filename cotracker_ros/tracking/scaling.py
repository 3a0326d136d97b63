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

# Larger images are reduced before points are matched in them pixel by pixel, px of the longer side.
_LONGEST = 640
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


def grey_factor(image_size: tuple[int, int] | None) -> float:
    """Pixels of an image of a width and height per pixel of its `grey_image`."""
    return max(1.0, max(image_size or (0, 0)) / _LONGEST)


def grey_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) RGB as grey (h, w) for Lucas-Kanade, reduced if it is large.

    What its windows hold then depends little on the camera. Areas are averaged: position x of the image is
    (x + 0.5) / `grey_factor` - 0.5.
    """
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    factor = grey_factor((image.shape[1], image.shape[0]))
    if factor == 1:
        return grey
    size = (round(image.shape[1] / factor), round(image.shape[0] / factor))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
