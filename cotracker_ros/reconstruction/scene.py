"""What the reconstruction says about the scene around the tracks: the camera's motion and the moving bodies.

Covariances are (6, 6), translation before rotation, in the axes of the frame that the attribute names, as in
ROS messages; rotations are small angles about those fixed axes, rad.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.types import Tracks3D


class OdometryState(IntEnum):
    """How much an estimate of the camera's pose is worth."""

    TRACKING = 0  # measured in this image
    PREDICTED = 1  # not measurable in this image; carried on from the last motion, covariance grows
    LOST = 2  # not measurable for so long, or so contradictory, that the pose is only a guess


@dataclass(frozen=True, eq=False)
class Odometry:
    """Pose and velocity of the camera when an image was taken.

    Attributes:
        stamp: Stamp of the image, ns.
        frame_id: The fixed frame.
        child_frame_id: The camera's optical frame.
        pose: (4, 4) fixed_from_camera, m.
        covariance: (6, 6) of the pose, in the axes of the fixed frame.
        twist: (6,) linear, m/s, and angular, rad/s, velocity of the camera in its own axes.
        twist_covariance: (6, 6) of the twist, in the camera's axes.
        state: How much it is worth.
        reason: Why it is not TRACKING, one sentence; "" when it is.
        points: Points that agree with the pose.
        given: Whether the pose is somebody else's (TF's), which the tracks confirm (TRACKING), cannot judge
            (PREDICTED) or contradict (LOST).
        astray: Whether the camera was lost and its pose goes on from a guess, off by an unknown jump against
            what was said before. That ends when the camera is found back, or when nobody waits any longer.
        found_back: Whether it was found back in this image, by what was known before: the pose jumped to
            where it belongs, and places in the fixed frame that were told while it was astray are wrong.
    """

    stamp: int
    frame_id: str
    child_frame_id: str
    pose: NDArray[np.float64]
    covariance: NDArray[np.float64]
    twist: NDArray[np.float64]
    twist_covariance: NDArray[np.float64]
    state: OdometryState
    reason: str
    points: int
    given: bool = False
    astray: bool = False
    found_back: bool = False


@dataclass(frozen=True, eq=False)
class RigidBody:
    """A structure that moves in the fixed frame.

    Its frame is put, when it is first seen, at the middle of its points with the axes of the fixed frame, and
    moves with it from then on.

    Attributes:
        id: Lasting id, from 1 on, never used again within a stream.
        label: Common label of its tracks, "" where there is none.
        pose: (4, 4) fixed_from_body, m.
        covariance: (6, 6) of the pose, in the axes of the fixed frame about the body's origin.
        twist: (6,) linear velocity of the body's origin, m/s, and angular velocity, rad/s, in the axes of the
            fixed frame.
        twist_covariance: (6, 6) of the twist.
        predicted: True when no or too few of its points were measured in this image: it is carried on by its
            last twist.
        since: Stamp at which it was first seen, ns.
        members: (M,) uint32, ids of its tracks.
        points: (M, 3) positions of its tracks in the body's frame, m.
    """

    id: int
    label: str
    pose: NDArray[np.float64]
    covariance: NDArray[np.float64]
    twist: NDArray[np.float64]
    twist_covariance: NDArray[np.float64]
    predicted: bool
    since: int
    members: NDArray[np.uint32]
    points: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RigidBodies:
    """The bodies in one image.

    Attributes:
        frame: Number of the image in its epoch.
        stamp: Stamp of the image, ns.
        epoch: Epoch of the 2D tracks.
        frame_id: The fixed frame.
        bodies: The bodies, by id.
    """

    frame: int
    stamp: int
    epoch: int
    frame_id: str
    bodies: tuple[RigidBody, ...]


@dataclass(frozen=True, eq=False)
class SceneUpdate:
    """Everything that the reconstruction says about one image.

    Attributes:
        tracks: The tracks in space, in the target frame.
        odometry: The camera's pose by the tracks, or TF's as they judge it; None where nobody knows how the
            camera moves.
        bodies: The moving bodies, in the fixed frame; None there, too.
    """

    tracks: Tracks3D
    odometry: Odometry | None
    bodies: RigidBodies | None
