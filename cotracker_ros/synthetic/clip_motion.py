"""Random motions for training clips: smooth paths of objects, hand-held cameras, as matrices over time.

Times are counted in frames and may lie between frames: motion blur and rolling shutters need that. Lengths
are px of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Values = NDArray[np.float64]


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Return a number spread evenly on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def wander(rng: Rng, times: Values, fastest: float, slowest: float, terms: int = 3) -> Values:
    """Return smooth random values at `times`, of speed 1 per frame (root mean square), around 0.

    Args:
        rng: Source of randomness.
        times: (...) times, frames.
        fastest: Shortest period, frames.
        slowest: Longest period, frames.
        terms: Sine waves that are added; one swings to and fro.
    """
    periods = np.exp(rng.uniform(np.log(fastest), np.log(slowest), terms))
    rate = 2 * np.pi / periods
    speed = rng.uniform(0.3, 1.0, terms)
    speed *= np.sqrt(2) / np.linalg.norm(speed)
    phase = rng.uniform(0, 2 * np.pi, terms)
    return np.sin(times[..., None] * rate + phase) @ (speed / rate)


def wander_about(rng: Rng, times: Values, fastest: float, slowest: float) -> Values:
    """Return (..., 2): like `wander` in the plane, more along a random direction than across it."""
    direction = rng.uniform(0, 2 * np.pi)
    main, side = wander(rng, times, fastest, slowest), wander(rng, times, fastest, slowest)
    side *= rng.uniform(0, 0.7)
    cos, sin = np.cos(direction), np.sin(direction)
    return np.stack([cos * main - sin * side, sin * main + cos * side], axis=-1)


def shake_size(rng: Rng, speed: float, width: int) -> float:
    """Return how fast the image shakes in a random hand, px per frame."""
    return log_uniform(rng, 0.02, 1.0) * min(1.0, 0.3 + speed) * width / 256


def path(rng: Rng, times: Values, speed: float, length: int) -> Values:
    """Return a random (..., 2) path of about `speed` px per frame; at some time of the clip it is at 0.

    One of five kinds: wandering, crossing the image once, swinging to and fro, bouncing (sudden reversals),
    going by fits and starts.

    Args:
        rng: Source of randomness.
        times: (...) times, frames.
        speed: Typical speed, px per frame.
        length: Frames of the clip.
    """
    kind = rng.choice(5, p=[0.34, 0.12, 0.26, 0.12, 0.16])
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    start = rng.uniform(0, length)
    moments = np.concatenate([times.ravel(), [start]])
    period = log_uniform(rng, 10, 60)
    if kind == 0:
        places = np.stack([wander(rng, moments, 10, 90), wander(rng, moments, 10, 90)], axis=-1)
        places *= speed / np.sqrt(2)
    else:
        phase = moments / period + rng.random()
        if kind == 1:
            shift = moments + 0.25 * wander(rng, moments, 15, 60)
        elif kind == 2:
            shift = np.sin(2 * np.pi * phase) * period / (2 * np.pi) * np.sqrt(2)
        elif kind == 3:
            shift = (np.abs(phase % 1 - 0.5) - 0.25) * period
        else:
            shift = moments - np.sin(2 * np.pi * phase) * period / (2 * np.pi)
            shift = np.where(phase % 8 > 4, -shift, shift) if period > length / 3 else shift
        places = speed * shift[:, None] * along
    return (places[:-1] - places[-1]).reshape(*times.shape, 2)


def matrices(shape: tuple[int, ...]) -> Values:
    """Return identity matrices, (*shape, 3, 3)."""
    return np.broadcast_to(np.eye(3), (*shape, 3, 3)).copy()


def translation(xy: Values) -> Values:
    """Return (..., 3, 3) matrices that shift by (..., 2)."""
    result = matrices(xy.shape[:-1])
    result[..., :2, 2] = xy
    return result


def rotation(angle: Values) -> Values:
    """Return (..., 3, 3) matrices that turn by (...) rad."""
    result = matrices(angle.shape)
    cos, sin = np.cos(angle), np.sin(angle)
    result[..., 0, 0], result[..., 0, 1] = cos, -sin
    result[..., 1, 0], result[..., 1, 1] = sin, cos
    return result


def stretch(x: Values, y: Values) -> Values:
    """Return (..., 3, 3) matrices that scale by (...) along each axis."""
    result = matrices(x.shape)
    result[..., 0, 0], result[..., 1, 1] = x, y
    return result


def object_motion(rng: Rng, times: Values, speed: float, radius: float, length: int) -> Values:
    """Return (..., 3, 3): a flat object that moves, turns, grows, is squeezed and tilted a little.

    Args:
        rng: Source of randomness.
        times: (...) times, frames.
        speed: Typical speed of its middle, px per frame.
        radius: Its size, px: limits tilting.
        length: Frames of the clip.
    """
    angle = np.zeros_like(times)
    if rng.random() < 0.7:
        turning = log_uniform(rng, 0.001, 0.1) * min(1.0, 3 * speed / 4 + 0.2)
        angle = turning * wander(rng, times, 14, 120)
    size = np.zeros_like(times)
    if rng.random() < 0.6:
        size = np.clip(log_uniform(rng, 0.001, 0.025) * wander(rng, times, 16, 120), -0.5, 0.4)
    squeeze = np.zeros_like(times)
    if rng.random() < 0.4:
        squeeze = np.clip(log_uniform(rng, 0.001, 0.02) * wander(rng, times, 16, 100), -0.35, 0.35)
    turned = rotation(np.full_like(times, rng.uniform(0, np.pi)))
    squeezed = turned @ stretch(np.exp(squeeze), np.exp(-squeeze)) @ np.swapaxes(turned, -1, -2)
    tilt = matrices(times.shape)
    if rng.random() < 0.4:
        for axis in range(2):
            lean = log_uniform(rng, 0.002, 0.03) * wander(rng, times, 16, 100)
            tilt[..., 2, axis] = np.clip(lean, -0.3, 0.3) / radius
    moved = translation(path(rng, times, speed, length))
    return moved @ rotation(angle) @ stretch(np.exp(size), np.exp(size)) @ squeezed @ tilt


@dataclass(frozen=True, eq=False)
class Timing:
    """When the images of a clip are exposed, and how much the camera moves in the meantime.

    Attributes:
        times: (T, 1 + J, 2) times of the first and last row: in the middle of the exposure and at each of
            its J moments, frames.
        speed: Typical motion of the image, px per frame.
        still: Whether the camera stands on something: then it does not even shake.
    """

    times: Values
    speed: float
    still: bool


def random_timing(rng: Rng, frames: int, width: int) -> Timing:
    """Return a random shutter and speed: a good third of the clips are fast, others slow or nearly still.

    Args:
        rng: Source of randomness.
        frames: Frames of the clip.
        width: Of the image, px; an image twice as wide moves twice as far.
    """
    kind = rng.choice(3, p=[0.38, 0.34, 0.28])
    speed = (log_uniform(rng, 3, 12), log_uniform(rng, 0.3, 3), log_uniform(rng, 0.02, 0.3))[kind]
    moments, exposure = 1, 0.0
    if rng.random() < 0.4:
        exposure = rng.uniform(0.15, 0.9)
        moments = int(np.clip(np.ceil(exposure * (speed + 1.5) * width / 256 / 1.2), 2, 4))
    readout = rng.uniform(0.2, 0.9) if rng.random() < 0.35 else 0.0
    steps = np.ones(frames)
    if rng.random() < 0.1:  # dropped frames
        steps = np.where(rng.random(frames) < 0.12, 2.0, 1.0)
    elif rng.random() < 0.1:  # a rate that is not even
        steps = rng.uniform(0.6, 1.5, frames)
    offsets = exposure * np.concatenate([[0], (np.arange(moments) + 0.5) / moments - 0.5])
    times = np.cumsum(steps)[:, None, None] + offsets[None, :, None] + readout * np.array([-0.5, 0.5])
    return Timing(times, speed * width / 256, bool(kind == 2 and rng.random() < 0.4))


@dataclass(frozen=True, eq=False)
class CameraMotion:
    """A camera that looks at planes which face it, at a time grid of any shape.

    Attributes:
        turned: (..., 3, 3) what its rotation and zoom do to the image, px from the image's middle.
        shift: (..., 2) its position, px that a plane at inverse depth 1 moves.
        forward: (...) how far it went towards a plane at inverse depth 1, as a share of the distance.
    """

    turned: Values
    shift: Values
    forward: Values

    def plane(self, inverse_depth: float) -> Values:
        """Return (..., 3, 3): image from the plane at an inverse depth, both px from the middle."""
        nearer = 1 / (1 - inverse_depth * self.forward)
        return self.turned @ stretch(nearer, nearer) @ translation(inverse_depth * self.shift)


def hand_held(rng: Rng, timing: Timing, size: tuple[int, int]) -> CameraMotion:
    """Return a random hand-held camera: pans, turns, zooms, walks, and shakes.

    Args:
        rng: Source of randomness.
        timing: When it is looked at, and how fast it is.
        size: Width and height of the image, px.
    """
    times, speed = timing.times, timing.speed
    width, height = size
    if timing.still:
        return CameraMotion(matrices(times.shape), np.zeros((*times.shape, 2)), np.zeros_like(times))
    # Shares of the motion: sideways (the most), roll, towards the scene.
    shares = rng.dirichlet([3.0, 0.5, 0.7])
    slowest = rng.uniform(24, 110)
    fastest = rng.uniform(9, 20)
    sideways = speed * shares[0] * wander_about(rng, times, fastest, slowest)
    reach = 0.38 * np.hypot(width, height)
    roll = speed * shares[1] / reach * wander(rng, times, fastest, slowest)
    towards = np.clip(speed * shares[2] / reach * wander(rng, times, fastest, slowest), -0.6, 0.45)
    shake = shake_size(rng, speed, width)
    jitter = [wander(rng, times, 3.5, 9, terms=4) for _ in range(3)]
    sideways = sideways + shake * np.stack(jitter[:2], axis=-1)
    roll = roll + 0.3 * shake / reach * jitter[2]
    # How much of the sideways motion is a turn of the camera: all depths move alike then. Large angles would
    # bring the horizon of the planes into view, so the rest of a long pan is walked.
    focal = width * rng.uniform(0.8, 1.6)
    turned = min(rng.random() ** 0.7, 0.25 * focal / (np.abs(sideways).max() + 1e-6))
    zoomed = np.clip(towards * rng.choice([0.0, 0.3, 1.0], p=[0.6, 0.2, 0.2]), -0.5, 0.5)
    lens = np.diag([focal, focal, 1.0])
    seen = lens @ turn(turned * sideways / focal, roll) @ np.linalg.inv(lens)
    seen = seen @ stretch(np.exp(zoomed), np.exp(zoomed))
    return CameraMotion(seen, (1 - turned) * sideways, towards)


def turn(angles: Values, roll: Values) -> Values:
    """Return (..., 3, 3): camera after from before a turn by (..., 2) yaw and pitch and (...) roll, rad."""
    yaw, pitch = angles[..., 0], angles[..., 1]
    about_y, about_x = matrices(roll.shape), matrices(roll.shape)
    about_y[..., 0, 0] = about_y[..., 2, 2] = np.cos(yaw)
    about_y[..., 0, 2], about_y[..., 2, 0] = np.sin(yaw), -np.sin(yaw)
    about_x[..., 1, 1] = about_x[..., 2, 2] = np.cos(pitch)
    about_x[..., 1, 2], about_x[..., 2, 1] = np.sin(pitch), -np.sin(pitch)
    return rotation(roll) @ about_x @ about_y
