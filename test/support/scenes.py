"""Made-up scenes: a camera that moves along x, points that stand and move, and a body."""

import numpy as np

from cotracker_ros.reconstruction import (
    Odometry,
    OdometryState,
    PointMotion,
    RigidBodies,
    RigidBody,
    SceneUpdate,
    Tracks3D,
)

START = 1_700_000_000_000_000_000
PERIOD = 100_000_000  # ns
FIXED = "odom"
CAMERA = "camera_optical_frame"
QUARTER_TURN = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # about z


def tracks_3d(i=0, ids=(1, 2, 3), *, epoch=0, frame_id=FIXED, labels=None, xyz=None):
    """Track k stands at (k, 0, 2), but the first one moves by 0.1 m an image."""
    count = len(ids)
    if xyz is None:
        xyz = np.column_stack([np.array(ids, float), np.zeros(count), np.full(count, 2.0)])
        xyz[:1, 0] += 0.1 * i
    motion = np.full(count, PointMotion.STATIC, np.uint8)
    motion[:1] = PointMotion.MOVING
    return Tracks3D(
        frame=i,
        stamp=START + i * PERIOD,
        epoch=epoch,
        frame_id=frame_id,
        ids=np.array(ids, np.uint32),
        xyz=np.asarray(xyz, np.float32),
        velocity=np.zeros((count, 3), np.float32),
        sigma=np.full(count, 0.01, np.float32),
        source=np.ones(count, np.uint8),
        motion=motion,
        flags=np.ones(count, np.uint8),
        rgb=np.full((count, 3), (255, 0, 0), np.uint8),
        labels=labels or ("",) * count,
    )


def pose_at(x, y=0.0, z=0.0, turn=None):
    matrix = np.eye(4) if turn is None else turn.copy()
    matrix[:3, 3] = (x, y, z)
    return matrix


def odometry(i=0, *, state=OdometryState.TRACKING, frame_id=FIXED, x=None):
    """The camera goes 0.1 m along x an image."""
    return Odometry(
        stamp=START + i * PERIOD,
        frame_id=frame_id,
        child_frame_id=CAMERA,
        pose=pose_at(0.1 * i if x is None else x),
        covariance=np.eye(6) * 1e-4,
        twist=np.array([1.0, 0, 0, 0, 0, 0]),
        twist_covariance=np.eye(6) * 1e-3,
        state=state,
        reason="" if state == OdometryState.TRACKING else "too few points",
        points=50,
    )


def body(number=1, *, label="cup", predicted=False, pose=None):
    """Its points span 0.4 x 0.2 x 0 m about (0.1, 0, 0) of its frame."""
    return RigidBody(
        id=number,
        label=label,
        pose=pose_at(1.0, 2.0, 3.0, QUARTER_TURN) if pose is None else pose,
        covariance=np.eye(6) * 1e-4,
        twist=np.zeros(6),
        twist_covariance=np.eye(6) * 1e-3,
        predicted=predicted,
        since=START,
        members=np.array([1, 2], np.uint32),
        points=np.array([[-0.1, -0.1, 0], [0.3, 0.1, 0], [np.nan] * 3]),
    )


def bodies(i=0, *items):
    return RigidBodies(frame=i, stamp=START + i * PERIOD, epoch=0, frame_id=FIXED, bodies=tuple(items))


def scene(i=0, *items, **given):
    """A scene with odometry and the bodies `items`."""
    return SceneUpdate(tracks_3d(i, **given), odometry(i), bodies(i, *items))
