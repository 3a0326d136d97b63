"""A clip of a textured plane that drifts, with a bar that hides part of it: exact tracks for tests."""

import cv2
import numpy as np

from cotracker_ros.tracking.labelled import LabelledClip


def drifting_clip(
    seed: int = 0,
    *,
    frames: int = 8,
    size: tuple[int, int] = (48, 32),
    tracks: int = 12,
    bar_speed: int = 2,
    bar_width: int = 4,
) -> LabelledClip:
    rng = np.random.default_rng(seed)
    width, height = size
    noise = cv2.GaussianBlur(rng.standard_normal((height + 64, width + 64, 3)), (0, 0), 1.5)
    plane = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    speed = rng.integers(-1, 2, 2)
    start = rng.uniform([4, 4], [width - 5, height - 5], (tracks, 2))
    images, xy, visible = [], [], []
    for t in range(frames):
        dx, dy = 32 - t * speed
        image = plane[dy : dy + height, dx : dx + width].copy()
        bar = slice(bar_speed * t, bar_speed * t + bar_width)
        image[:, bar] = (200, 30, 30)
        at = start + t * speed
        inside = ((at >= 0) & (at <= [width - 1, height - 1])).all(1)
        visible.append(inside & ~((at[:, 0] > bar.start - 1) & (at[:, 0] < bar.stop)))
        images.append(image)
        xy.append(at)
    known = np.ones((frames, tracks), bool)
    return LabelledClip(np.stack(images), np.stack(xy).astype(np.float32), np.stack(visible), known)
