"""Small clips with known motion, and a small network."""

from __future__ import annotations

import cv2
import numpy as np
from reference import recipe_network

from cotracker_ros.model import CoTracker3, CoTracker3Config

SMALL = CoTracker3Config(
    window=8, stem_width=8, stage_widths=(8, 8, 8, 8), head_width=16, feature_width=16, corr_levels=2,
    corr_radius=1, support_radius=1, corr_hidden=16, corr_width=16, hidden=32, heads=2, depth=1,
    virtual_tracks=4,
)  # fmt: skip


def small_network() -> CoTracker3:
    """Make a network with a window of 8 frames that runs in milliseconds; its numbers mean nothing."""
    return recipe_network(SMALL)


def texture(size: tuple[int, int] = (160, 120), seed: int = 0) -> np.ndarray:
    """Make a smooth random image (H, W, 3) uint8 with detail on several scales."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size[1], size[0], 3))
    for blur in (1.5, 3.0, 6.0):
        noise = cv2.GaussianBlur(rng.standard_normal(image.shape), (0, 0), blur)
        image += noise / noise.std()
    return np.clip(128 + 40 * image, 0, 255).astype(np.uint8)


def shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """Move what an image shows by a sub-pixel shift, exactly (by the Fourier shift theorem)."""
    height, width = image.shape[:2]
    fy, fx = np.fft.fftfreq(height)[:, None, None], np.fft.fftfreq(width)[None, :, None]
    spectrum = np.fft.fft2(image.astype(float), axes=(0, 1))
    moved = np.fft.ifft2(spectrum * np.exp(-2j * np.pi * (fx * dx + fy * dy)), axes=(0, 1)).real
    return np.clip(moved.round(), 0, 255).astype(np.uint8)


def moving_clip(
    length: int, step: tuple[float, float] = (1.3, -0.7), size: tuple[int, int] = (160, 120)
) -> np.ndarray:
    """Make a clip (T, H, W, 3) whose picture moves by a constant step, px a frame, wrapping at the edges."""
    image = texture(size)
    return np.stack([shifted(image, step[0] * t, step[1] * t) for t in range(length)])
