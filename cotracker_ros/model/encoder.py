"""The image encoder: one frame in, one map of unit features out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotracker_ros.model.config import CoTracker3Config

_PIXELS = range(1024, 8192)
"""Sizes of maps for which PyTorch's group norm on a CPU is quick when the channels come last."""


def _norm(x: Tensor) -> Tensor:
    """Instance norm, as group norm with a group per channel: the same, and four times as fast on a CPU."""
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    if x.is_cuda or not channels_last or x.shape[-2] * x.shape[-1] in _PIXELS:
        return F.group_norm(x, x.shape[1])
    return F.group_norm(x.contiguous(), x.shape[1]).contiguous(memory_format=torch.channels_last)


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate in the precision at hand: autocast would do it, and all that is joined to it, in single."""
    if x.shape[-2:] == size:
        return x
    with torch.autocast(x.device.type, enabled=False):
        return F.interpolate(x, size, mode="bilinear", align_corners=True)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norm around a skip connection."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride, 1)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, 1, 1)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or width_in != width_out:
            # A container of one, because the weights are named downsample.0.
            self.downsample = nn.Sequential(nn.Conv2d(width_in, width_out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Map (F, C, H, W) to (F, C', H / stride, W / stride)."""
        y = F.relu_(_norm(self.conv1(x)))
        y = F.relu_(_norm(self.conv2(y)))  # ReLU before the sum as well as after it
        skip = x if self.downsample is None else _norm(self.downsample(x))
        return F.relu_(skip + y)


class Encoder(nn.Module):
    """Convolutional features at 1/stride of the image, from four stages brought to one size.

    Frames are independent of each other: no operation mixes them and the norms are per frame and channel, so
    that the features of a frame can be kept.
    """

    def __init__(self, config: CoTracker3Config) -> None:
        super().__init__()
        self.stride = config.stride
        self.conv1 = nn.Conv2d(3, config.stem_width, 7, 2, 3)
        widths = (config.stem_width, *config.stage_widths)
        for index, stride in enumerate((1, 2, 2, 2)):
            first = ResidualBlock(widths[index], widths[index + 1], stride)
            second = ResidualBlock(widths[index + 1], widths[index + 1], 1)
            self.add_module(f"layer{index + 1}", nn.Sequential(first, second))
        self.conv2 = nn.Conv2d(sum(config.stage_widths), config.head_width, 3, 1, 1)
        self.conv3 = nn.Conv2d(config.head_width, config.feature_width, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        """Encode frames (F, 3, H, W) in -1..1 to features (F, C, H / stride, W / stride)."""
        size = (frames.shape[-2] // self.stride, frames.shape[-1] // self.stride)
        x = F.relu_(_norm(self.conv1(frames)))
        stages = []
        for index in range(4):
            x = self.get_submodule(f"layer{index + 1}")(x)
            stages.append(_resize(x, size))
        x = F.relu_(_norm(self.conv2(torch.cat(stages, 1))))
        return self.conv3(x)


def normalise_features(features: Tensor) -> Tensor:
    """Scale the features (F, C, H, W) of every pixel to length one."""
    exact = features.to(torch.promote_types(features.dtype, torch.float32))
    squares = exact.square().sum(1, keepdim=True)
    return features * squares.clamp_min(1e-12).rsqrt().to(features.dtype)


def feature_pyramid(features: Tensor, levels: int) -> list[Tensor]:
    """Average (F, C, H, W) features over 2x2 again and again; each level as (F, H_l, W_l, C), contiguous.

    Channels come last because correlation gathers whole feature vectors.
    """
    pyramid = []
    for level in range(levels):
        if level:
            features = F.avg_pool2d(features, 2, 2)
        pyramid.append(features.permute(0, 2, 3, 1).contiguous())
    return pyramid
