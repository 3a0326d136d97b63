"""Changes to clips that training learns more from; their tracks stay exact.

Those of CoTracker3's first stage, in its order (specification 3.2): erased rectangles, colours, blur, a crop
out of the padded and scaled image that drifts, mirrors. Each takes a clip and a generator and returns a clip.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.tracking.labelled import LabelledClip

Rng = np.random.Generator
Floats = NDArray[np.float64]

_COLOURS = _BLUR = 0.25  # shares of clips
_ERASED = 0.5  # share of frames
_MOST_ERASED, _ERASED_SIDE = 10, (2, 99)
_FACTOR, _HUE = 0.2, 0.25 / np.pi  # of brightness, contrast and saturation; of the circle of hues
_BLUR_SIDE, _SIGMA = 11, (0.1, 2.0)
_PADDING = 24
_SCALE, _SCALE_DRIFT, _SCALE_LIMITS = (0.75, 1.25), 0.05, (0.2, 2.0)
_SPARE = 10  # px by which the scaled image is larger than the crop, at least
_SHAKE = 15.0
_KEPT = 0.8  # of the last step of a drift
_FARTHEST = 1000.0


def augment(clip: LabelledClip, size: tuple[int, int], rng: Rng) -> LabelledClip:
    """Change a clip in all ways, each with its probability.

    Args:
        clip: The clip.
        size: Width and height of the result, px.
        rng: Decides.

    Returns:
        A clip of the same length; tracks that go too far outside are left out.
    """
    clip = erase(clip, rng)
    if rng.random() < _COLOURS:
        clip = jitter_colours(clip, rng)
    if rng.random() < _BLUR:
        clip = blur(clip, rng)
    return flip(crop(clip, size, rng), rng)


def erase(clip: LabelledClip, rng: Rng) -> LabelledClip:
    """Fill rectangles with their mean colour, in half of the frames but never in the first.

    Points below them are hidden.
    """
    frames, visible = clip.frames.copy(), clip.visible.copy()
    width, height = clip.size
    for t in range(1, len(clip)):
        if rng.random() >= _ERASED:
            continue
        for _ in range(int(rng.integers(1, _MOST_ERASED + 1))):
            sides = rng.integers(_ERASED_SIDE[0], _ERASED_SIDE[1] + 1, 2)
            middle = rng.integers(0, (width, height))
            left, top = np.maximum(middle - sides // 2, 0).tolist()
            right, bottom = np.minimum(middle - sides // 2 + sides, (width, height)).tolist()
            patch = frames[t, top:bottom, left:right]
            patch[:] = patch.mean((0, 1))
            # A pixel reaches half a pixel to each side of its centre.
            low, high = np.array([left, top]) - 0.5, np.array([right, bottom]) - 0.5
            visible[t] &= ~((clip.xy[t] >= low) & (clip.xy[t] <= high)).all(-1)
    return replace(clip, frames=frames, visible=visible)


def jitter_colours(clip: LabelledClip, rng: Rng) -> LabelledClip:
    """Change brightness, contrast, saturation and hue, of each frame by itself."""
    frames = np.empty_like(clip.frames)
    for t, frame in enumerate(clip.frames):
        brightness, contrast, saturation = rng.uniform(1 - _FACTOR, 1 + _FACTOR, 3)
        image = frame.astype(np.float32) * np.float32(brightness)
        mean = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean()
        image = (image - mean) * np.float32(contrast) + mean
        hsv = cv2.cvtColor(np.clip(image, 0, 255).astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + 360 * rng.uniform(-_HUE, _HUE)) % 360
        hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
        frames[t] = np.round(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
    return replace(clip, frames=frames)


def blur(clip: LabelledClip, rng: Rng) -> LabelledClip:
    """Blur each frame, more or less."""
    side = (_BLUR_SIDE, _BLUR_SIDE)
    frames = [np.asarray(cv2.GaussianBlur(frame, side, rng.uniform(*_SIGMA))) for frame in clip.frames]
    return replace(clip, frames=np.stack(frames))


def flip(clip: LabelledClip, rng: Rng) -> LabelledClip:
    """Mirror a clip in x and in y, each in half of the cases."""
    frames, xy = clip.frames, clip.xy
    if rng.random() < 0.5:
        frames = frames[:, :, ::-1]
        xy = np.stack([clip.size[0] - 1 - xy[..., 0], xy[..., 1]], -1)
    if rng.random() < 0.5:
        frames = frames[:, ::-1]
        xy = np.stack([xy[..., 0], clip.size[1] - 1 - xy[..., 1]], -1)
    return replace(clip, frames=np.ascontiguousarray(frames), xy=np.asarray(xy, np.float32))


def crop(clip: LabelledClip, size: tuple[int, int], rng: Rng) -> LabelledClip:
    """Pad, scale and crop, as a shaky hand with a zoom would.

    The scale drifts. The crop begins around the points that are visible in the first frame and wanders; it
    never leaves the padded image. Points outside are hidden, and tracks that are ever farther than 1000 px
    from the crop's centre are left out.

    Args:
        clip: The clip.
        size: Width and height of the crop, px.
        rng: Decides.
    """
    before, after = rng.integers(0, _PADDING + 1, (2, 2))
    padded = before + np.array(clip.size) + after
    scales = _scales(len(clip), (np.array(size) + _SPARE) / padded, rng)
    # In the padded and scaled image; pixel (0, 0) is the centre of the first pixel, at any scale.
    xy = (clip.xy + before + 0.5) * scales[:, None] - 0.5
    first = xy[0][clip.visible[0] & clip.known[0]]
    middle = first.mean(0) if len(first) else (scales[0] * padded - 1) / 2
    corners = _corners(middle, scales * padded, np.array(size), rng)
    xy = (xy - corners[:, None]).astype(np.float32)
    frames = []
    for frame, scale, corner in zip(clip.frames, scales, corners, strict=True):
        shift = (before + 0.5) * scale - 0.5 - corner
        matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
        frames.append(np.asarray(cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR), np.uint8))
    far = np.linalg.norm(xy - np.array(size) / 2, axis=-1) > _FARTHEST
    near = ~(far & clip.known).any(0)
    inside = ((xy >= 0) & (xy <= np.array(size) - 1)).all(-1)
    return replace(clip, frames=np.stack(frames), xy=xy, visible=clip.visible & inside).of_tracks(near)


def _scales(length: int, least: Floats, rng: Rng) -> Floats:
    """(T, 2) scales in x and y that drift, each by itself but not far from each other."""
    scale = np.full(2, rng.uniform(*_SCALE))
    drift = _drift(length, _SCALE_DRIFT, rng)
    scales = np.empty((length, 2))
    for t in range(length):
        scale = scale + drift[t]
        scale = _KEPT * scale + (1 - _KEPT) * scale[::-1]
        scale = np.maximum(np.clip(scale, *_SCALE_LIMITS), least)
        scales[t] = scale
    return scales


def _corners(middle: Floats, scaled: Floats, size: NDArray[np.integer], rng: Rng) -> Floats:
    """(T, 2) upper left corners of crops that begin around a point and wander inside (T, 2) images."""
    corner = middle - (size - 1) / 2
    shake = _drift(len(scaled), _SHAKE, rng)
    corners = np.empty_like(scaled)
    for t, image in enumerate(scaled):
        corner = np.clip(corner + shake[t], 0, image - size)
        corners[t] = corner
    return corners


def _drift(length: int, most: float, rng: Rng) -> Floats:
    """(T, 2) steps, none in the first frame, then random ones that are smoothed over time."""
    steps = np.zeros((length, 2))
    for t in range(1, length):
        draw = rng.uniform(-most, most, 2)
        steps[t] = draw if t == 1 else _KEPT * steps[t - 1] + (1 - _KEPT) * draw
    return steps
