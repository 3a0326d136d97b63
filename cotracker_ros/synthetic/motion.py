"""Poses over time: (4, 4) float64 matrices, world from body, as functions of seconds."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


class Motion(Protocol):
    """Where a body is at a time."""

    def pose(self, seconds: float) -> Matrix:
        """Return the (4, 4) pose, world from body, at a time."""


def rotation(roll: float, pitch: float, yaw: float) -> Matrix:
    """Return Rz(yaw) Ry(pitch) Rx(roll), (3, 3), from angles in rad."""
    (sr, sp, sy), (cr, cp, cy) = np.sin([roll, pitch, yaw]), np.cos([roll, pitch, yaw])
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def pose_matrix(position: Any, angles: Any = (0.0, 0.0, 0.0)) -> Matrix:
    """Return a (4, 4) pose from a position in m and roll, pitch, yaw in rad."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(*angles)
    matrix[:3, 3] = position
    return matrix


def invert(pose: Matrix) -> Matrix:
    """Return the inverse of a rigid (4, 4) pose."""
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def look_at(eye: Any, target: Any, roll: float = 0.0) -> Matrix:
    """Return world from optical frame (x right, y down, z forward) of a camera; world z is up."""
    eye = np.asarray(eye, dtype=np.float64)
    forward = np.asarray(target, dtype=np.float64) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward], axis=1)
    c, s = math.cos(roll), math.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = axes @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    pose[:3, 3] = eye
    return pose


@dataclass(frozen=True)
class Still:
    """A body that does not move."""

    def pose(self, seconds: float) -> Matrix:
        """Return the identity."""
        return np.eye(4)


@dataclass(frozen=True)
class Keyframes:
    """Poses at given times, starting and stopping gently at each; repeats after the last time.

    Attributes:
        keys: Rows of (seconds, x, y, z, roll, pitch, yaw), m and rad, times rising from 0. Angles are
            interpolated as numbers, so that full turns are possible.
    """

    keys: tuple[tuple[float, float, float, float, float, float, float], ...]

    def __post_init__(self) -> None:
        times = [key[0] for key in self.keys]
        if len(times) < 2 or times[0] != 0 or any(b <= a for a, b in itertools.pairwise(times)):
            raise ValueError(f"key times must rise from 0, got {times}; give two or more keys in order")

    def pose(self, seconds: float) -> Matrix:
        """Return the interpolated pose."""
        table = np.array(self.keys)
        times = table[:, 0]
        seconds = seconds % times[-1]
        i = min(int(np.searchsorted(times, seconds, side="right")) - 1, len(times) - 2)
        s = (seconds - times[i]) / (times[i + 1] - times[i])
        eased = s * s * (3 - 2 * s)
        values = table[i, 1:] + eased * (table[i + 1, 1:] - table[i, 1:])
        return pose_matrix(values[:3], values[3:])


@dataclass(frozen=True)
class Drift:
    """Steady motion: constant velocity and constant turn rates from a starting pose."""

    position: tuple[float, float, float]
    velocity: tuple[float, float, float]
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rates: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def pose(self, seconds: float) -> Matrix:
        """Return the pose after `seconds`."""
        position = np.array(self.position) + seconds * np.array(self.velocity)
        return pose_matrix(position, np.array(self.angles) + seconds * np.array(self.rates))


@dataclass(frozen=True)
class HandHeld:
    """A camera (optical frame) that is walked along a closed curve and shakes a little in the hand.

    Attributes:
        eye: Middle of the path, m.
        target: What the camera looks at, m.
        reach: Half the size of the path along each axis, m.
        pan: Half the range over which the aim wanders along each axis, m.
        period: Seconds for one round.
        tremor: Size of the shaking of the aim, m.
        phase: Where on the round it starts, rad.
    """

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    reach: tuple[float, float, float]
    pan: tuple[float, float, float]
    period: float = 10.0
    tremor: float = 0.004
    phase: float = 0.0

    def pose(self, seconds: float) -> Matrix:
        """Return world from optical frame."""
        a = 2 * math.pi * seconds / self.period + self.phase
        # Lissajous figures with different frequencies per axis: smooth, curved, never standing still.
        path = np.array([math.sin(2 * a + 0.7), math.sin(a), math.sin(3 * a + 1.9)])
        aim = np.array([math.sin(a + 2.0), math.sin(2 * a + 0.4), math.sin(a + 0.9)])
        shake = np.array([math.sin(13 * a), math.sin(17 * a + 1.0), math.sin(11 * a + 2.0)])
        eye = np.array(self.eye) + path * self.reach + 0.3 * self.tremor * shake[[2, 0, 1]]
        target = np.array(self.target) + aim * self.pan + self.tremor * shake
        return look_at(eye, target, roll=0.02 * math.sin(a + 1.0) + 0.3 * self.tremor * shake[0])
