"""What sensors make of an exact picture: tone curve, vignetting and noise; depth with errors and holes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.scene import Intrinsics

# A structured-light or active-stereo camera: projector beside the lens, sub-pixel disparities.
_BASELINE = 0.05  # m
_DISPARITY_STEP = 1 / 24  # px
_NEAREST, _FARTHEST = 0.3, 6.0  # m
_JUMP = 0.05  # m; a step of the depth beyond which a pixel between may report something in between
_STEEPEST = 7.0  # tangent of the angle between viewing ray and normal beyond which nothing comes back


class ColourSensor:
    """Exposes rendered images: vignetting, tone curve, noise that grows with brightness."""

    def __init__(self, view: Intrinsics, *, noise: float = 1.0) -> None:
        """Prepare tables.

        Args:
            view: The camera.
            noise: Strength of the noise; 1 is that of a webcam in a lit room, 0 is none.
        """
        y, x = np.mgrid[0 : view.height, 0 : view.width].astype(np.float32)
        radius = ((x - view.cx) ** 2 + (y - view.cy) ** 2) / (view.cx**2 + view.cy**2 + 1)
        self._vignette = cv2.cvtColor(1 - 0.24 * radius, cv2.COLOR_GRAY2RGB)
        level = np.arange(256) / 255
        # Lifts the shadows a little and lets bright areas saturate gently.
        curve = 1.12 * level**0.80 / (1 + 0.12 * level**2)
        self._curve = np.clip(np.round(255 * curve), 0, 255).astype(np.uint8)
        self._sigma = (noise * (0.8 + 1.6 * np.sqrt(level))).astype(np.float32)
        self._noise = noise

    def expose(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the (H, W, 3) uint8 image that the sensor delivers."""
        dimmed = cv2.multiply(image, self._vignette, dtype=cv2.CV_8U)
        toned = cv2.LUT(dimmed, self._curve)
        if self._noise > 0:
            grain = rng.standard_normal(toned.shape, dtype=np.float32) * cv2.LUT(toned, self._sigma)
            toned = cv2.add(toned, grain, dtype=cv2.CV_8U)
        return np.asarray(toned, np.uint8)


def measure_depth(
    depth: NDArray[np.float32], view: Intrinsics, rng: np.random.Generator, *, bleeding: float = 0.0
) -> NDArray[np.uint16]:
    """Return what a depth camera delivers for an exact depth image.

    Errors: noise that grows with the square of the distance and is alike in neighbouring pixels, steps of
    disparity, whole millimetres. Holes (0): out of range, surfaces seen at a grazing angle, rims of objects,
    the strip beside a near object that its projector does not reach, and a few single pixels.

    Args:
        depth: (H, W) exact depth along the optical axis, m; inf or NaN where there is nothing.
        view: The camera.
        rng: Source of randomness.
        bleeding: Share of the pixels at rims of objects that report a distance between the near and the far
            surface ("flying pixels"), or the wrong one of the two, instead of nothing.

    Returns:
        (H, W) uint16, mm, 0 where invalid.
    """
    valid = (depth > _NEAREST) & (depth < _FARTHEST)
    z = np.where(valid, depth, np.float32(_FARTHEST))
    scale = np.float32(view.fx * _BASELINE)
    disparity = scale / z

    slope = np.hypot(cv2.Sobel(z, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(z, cv2.CV_32F, 0, 1, ksize=3)) / 8
    steep = slope * np.float32(view.fx) > _STEEPEST * z
    shadow = _projector_shadow(disparity)
    if bleeding > 0:
        disparity, bled = _bleed(disparity, z, bleeding, rng)
        steep, shadow = steep & ~bled, shadow & ~bled
    dropout = cv2.GaussianBlur(rng.standard_normal(z.shape, dtype=np.float32), (0, 0), 1.0) > 0.95

    noise = cv2.GaussianBlur(rng.standard_normal(z.shape, dtype=np.float32), (0, 0), 0.8)
    disparity += np.float32(0.05) * noise
    disparity = np.round(disparity / np.float32(_DISPARITY_STEP)) * np.float32(_DISPARITY_STEP)
    millimetres = np.round(1000 * scale / np.maximum(disparity, np.float32(0.1)))
    return np.where(valid & ~steep & ~shadow & ~dropout, millimetres, 0).astype(np.uint16)


def _bleed(
    disparity: NDArray[np.float32], z: NDArray[np.float32], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mix near and far at rims: a matching window that covers both gives any disparity between theirs.

    Returns:
        (H, W) disparities, px; (H, W) bool, the pixels that were mixed.
    """
    window = np.ones((3, 3), np.uint8)
    nearest, farthest = cv2.erode(z, window), cv2.dilate(z, window)
    # Neighbours bleed together: objects seem to grow by a pixel here and to shrink by one there.
    field = cv2.GaussianBlur(rng.standard_normal(z.shape, dtype=np.float32), (0, 0), 1.5)
    bled = (farthest - nearest > _JUMP) & (field < np.quantile(field, share))
    weight = rng.random(z.shape, dtype=np.float32)
    mixed = weight * cv2.dilate(disparity, window) + (1 - weight) * cv2.erode(disparity, window)
    return np.where(bled, mixed, disparity), bled


def _projector_shadow(disparity: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels that a projector to the right of the lens does not reach: something nearer is in the way."""
    shadow = np.zeros(disparity.shape, np.bool_)
    reach = int(disparity.max() - disparity.min()) + 1
    for shift in range(1, min(reach, disparity.shape[1] - 1) + 1):
        # In the projector's view the pixel `shift` to the right lands on or beyond this one.
        shadow[:, :-shift] |= disparity[:, shift:] - disparity[:, :-shift] > shift
    return shadow
