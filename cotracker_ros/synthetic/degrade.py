"""What light and a cheap camera do to the images of a clip, drawn at random once per clip.

Nothing here moves a point: light, exposure, white balance, blur of the lens, noise, sharpening, compression.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.clip_motion import Values, log_uniform, wander

Rng = np.random.Generator
Image = NDArray[np.uint8]

_GRID = 12  # light is computed on so many points across and down, and drawn smoothly between them
_NOISE = 1 << 20


@dataclass(frozen=True, eq=False)
class Look:
    """The light and the camera of one clip of T frames.

    Attributes:
        light: (T, 12, 12, 3) float32 factors of brightness across the image.
        haze: Brightness that the lens adds everywhere, grey levels.
        softness: Factor by which the image is reduced and enlarged again; 1 for not.
        defocus: (T,) deviation of the blur, px; 0 for none.
        sharpening: Strength of the halo that cameras add; 0 for none.
        noise: Deviation of the noise, grey levels.
        coarse: Whether the noise is smeared over neighbouring pixels.
        quality: Of JPEG, 1..100; 0 for no compression.
    """

    light: NDArray[np.float32]
    haze: float
    softness: float
    defocus: Values
    sharpening: float
    noise: float
    coarse: bool
    quality: int

    def apply(self, image: Image, frame: int, rng: Rng) -> Image:
        """Return the (H, W, 3) uint8 image that the camera delivers for an exact one."""
        height, width = image.shape[:2]
        gain = cv2.resize(self.light[frame], (width, height), interpolation=cv2.INTER_LINEAR)
        result = cv2.multiply(image, gain, dtype=cv2.CV_8U)
        if self.haze > 0:
            result = cv2.convertScaleAbs(result, alpha=1 - self.haze / 255, beta=self.haze)
        if self.softness > 1:
            small = (round(width / self.softness), round(height / self.softness))
            result = cv2.resize(result, small, interpolation=cv2.INTER_AREA)
            result = cv2.resize(result, (width, height), interpolation=cv2.INTER_LINEAR)
        if self.defocus[frame] > 0.25:
            result = cv2.GaussianBlur(result, (0, 0), float(self.defocus[frame]))
        if self.sharpening > 0:
            blurred = cv2.GaussianBlur(result, (0, 0), 1.2)
            result = cv2.addWeighted(result, 1 + self.sharpening, blurred, -self.sharpening, 0)
        if self.noise > 0:
            grain = _noise(self.coarse)
            start = int(rng.integers(_NOISE - image.size)) if image.size < _NOISE else 0
            piece = np.resize(grain[start : start + image.size], image.shape)
            result = cv2.add(result, piece * np.float32(self.noise), dtype=cv2.CV_8U)
        if self.quality > 0:
            code = cv2.imencode(".jpg", result[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
            result = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
        return np.ascontiguousarray(result, np.uint8)


@lru_cache(maxsize=2)
def _noise(coarse: bool) -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    values = rng.standard_normal(_NOISE, dtype=np.float32)
    if coarse:
        # Smeared over neighbours, as demosaicing and noise filters leave it; rows are cut from it further on.
        smeared = cv2.GaussianBlur(values[: _NOISE // 3 * 3].reshape(1, -1, 3), (0, 0), 0.8)
        values = np.resize(smeared / smeared.std(), _NOISE)
    return values


def random_look(rng: Rng, frames: int, size: tuple[int, int]) -> Look:
    """Return a random look.

    Args:
        rng: Source of randomness.
        frames: Frames of the clip.
        size: Width and height of the image, px.
    """
    defocus = np.zeros(frames)
    if rng.random() < 0.3:
        blur = log_uniform(rng, 0.4, 1.8) * max(size) / 256
        defocus[:] = blur
        if rng.random() < 0.4:  # the autofocus is hunting
            defocus *= np.clip(0.5 + 0.1 * wander(rng, np.arange(frames, dtype=float), 12, 60), 0, 1.5)
    return Look(
        light=_light(rng, frames),
        haze=rng.uniform(0, 45) if rng.random() < 0.2 else 0.0,
        softness=rng.uniform(1.2, 2.2) if rng.random() < 0.2 else 1.0,
        defocus=defocus,
        sharpening=rng.uniform(0.2, 1.0) if rng.random() < 0.2 else 0.0,
        noise=log_uniform(rng, 0.7, 9.0) if rng.random() < 0.75 else 0.0,
        coarse=rng.random() < 0.4,
        quality=int(rng.integers(25, 92)) if rng.random() < 0.42 else 0,
    )


def _light(rng: Rng, frames: int) -> NDArray[np.float32]:
    times = np.arange(frames, dtype=np.float64)
    y, x = np.mgrid[-1 : 1 : _GRID * 1j, -1 : 1 : _GRID * 1j]
    field = np.zeros((frames, _GRID, _GRID, 3))
    # A slope of light that turns and slides over the scene.
    angle = rng.uniform(0, 2 * np.pi) + rng.uniform(0, 0.04) * wander(rng, times, 10, 90)
    slope = rng.uniform(0, 0.35) * rng.choice([0.3, 1.0])
    across = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    field += (slope * across)[..., None]
    if rng.random() < 0.35:  # the edge of a soft shadow
        place = rng.uniform(-0.7, 0.7) + log_uniform(rng, 0.002, 0.06) * wander(rng, times, 10, 90)
        edge = (across - place[:, None, None]) / rng.uniform(0.12, 0.5)
        field -= (rng.uniform(0.2, 0.9) / (1 + np.exp(-4 * edge)))[..., None]
    if rng.random() < 0.2:  # a bright spot
        spot = rng.uniform(-1, 1, 2) + 0.02 * np.stack(
            [wander(rng, times, 10, 60) for _ in range(2)], axis=-1
        )
        distance = (x - spot[:, 0, None, None]) ** 2 + (y - spot[:, 1, None, None]) ** 2
        field += (rng.uniform(0.2, 0.8) * np.exp(-distance / rng.uniform(0.05, 0.4)))[..., None]
    field -= (rng.uniform(0, 0.3) * (x**2 + y**2) * 0.5)[..., None]  # vignetting
    exposure = np.full(frames, rng.normal(0, 0.15))
    if rng.random() < 0.4:
        exposure += np.clip(log_uniform(rng, 0.002, 0.05) * wander(rng, times, 8, 80), -0.5, 0.5)
    if rng.random() < 0.08:  # somebody switches the light
        exposure[int(rng.integers(frames)) :] += rng.uniform(-0.5, 0.4)
    if rng.random() < 0.1:  # mains flicker
        exposure += rng.uniform(0.01, 0.05) * np.sin(times * rng.uniform(0.5, 3))
    field += exposure[:, None, None, None]
    balance = rng.normal(0, 0.06, 3) * np.ones((frames, 3))
    if rng.random() < 0.25:
        drift = np.stack([wander(rng, times, 12, 90) for _ in range(3)], axis=-1)
        balance = balance + np.clip(0.004 * drift, -0.15, 0.15)
    field += balance[:, None, None]
    return np.exp(np.clip(field, -1.8, 0.9)).astype(np.float32)
