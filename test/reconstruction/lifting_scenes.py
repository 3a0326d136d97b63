"""Analytic scenes: a fronto-parallel world whose depth and tracks are known exactly."""

import numpy as np

from cotracker_ros.reconstruction import CameraModel, Lifter, LifterConfig
from cotracker_ros.tracking.types import TrackFlag, Tracks

WIDTH, HEIGHT = 160, 120
CAMERA = CameraModel.pinhole(WIDTH, HEIGHT, 150.0, 150.0, 79.5, 59.5)
FRAME = 33_333_333  # ns between images
OPTICAL = "camera_optical_frame"
SEEN = int(TrackFlag.VISIBLE | TrackFlag.IN_FRAME)
OCCLUDED = int(TrackFlag.IN_FRAME)


def make_tracks(frame, xy, *, ids=None, flags=SEEN, epoch=0, stamp=None, size=(WIDTH, HEIGHT), revised=False):
    xy = np.asarray(xy, dtype=np.float32).reshape(-1, 2)
    count = len(xy)
    stamp = frame * FRAME if stamp is None else stamp
    return Tracks(
        frame=frame,
        stamp=stamp,
        newest=stamp,
        epoch=epoch,
        image_size=size,
        revised=revised,
        ids=np.arange(count, dtype=np.uint32) if ids is None else np.asarray(ids, dtype=np.uint32),
        xy=xy,
        visibility=np.ones(count, np.float32),
        confidence=np.ones(count, np.float32),
        flags=np.broadcast_to(np.asarray(flags, np.uint8), (count,)).copy(),
        age=np.zeros(count, np.uint32),
        rgb=np.full((count, 3), (10, 20, 30), np.uint8),
        labels=("",) * count,
    )


def flat_depth(z=2.0, size=(WIDTH, HEIGHT)):
    return np.full((size[1], size[0]), z, dtype=np.float32)


def make_lifter(camera=CAMERA, transforms=None, **settings):
    lifter = Lifter(LifterConfig(**settings), transforms)
    if camera is not None:
        lifter.set_camera(camera, OPTICAL, 0)
    return lifter


def step(lifter, frame, xy, depth, **kwargs):
    """Give a depth image and the tracks of the same stamp; return the one result."""
    tracks = make_tracks(frame, xy, **kwargs)
    if depth is not None:
        lifter.add_depth(tracks.stamp, depth, OPTICAL)
    (result,) = lifter.add_tracks(tracks, OPTICAL)
    return result.tracks
