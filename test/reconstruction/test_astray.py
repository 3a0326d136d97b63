"""A scene whose camera was lost: nothing is mapped from a guessed pose, and nothing is confidently wrong."""

from dataclasses import replace

import numpy as np
import pytest
from lifting_scenes import CAMERA, HEIGHT, OCCLUDED, OPTICAL, SEEN, WIDTH, make_lifter, make_tracks

from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.focal_lever import FocalEffect
from cotracker_ros.reconstruction.odometry import seen_by
from cotracker_ros.reconstruction.scene import Odometry, OdometryState, RigidBodies, RigidBody

STEP = 100_000_000  # ns
HIDDEN = range(15, 50)  # images in which a board is before the wall
GRID = np.stack(np.meshgrid(np.arange(10, WIDTH, 14), np.arange(10, HEIGHT, 14)), axis=-1).reshape(-1, 2)


def _leaning(z):
    """Return the depth image of a wall that leans: one of constant depth would come from no sensor."""
    return (z * (1 + 0.2 * np.arange(WIDTH) / WIDTH) * np.ones((HEIGHT, 1))).astype(np.float32)


def _film(images, returns, labels=()):
    """Yield depth images and tracks of a still camera: a wall, and from HIDDEN on a board.

    The first tracks, on the wall, have these labels.
    """
    count = len(GRID)
    for k in range(images):
        board = k in HIDDEN or (k >= HIDDEN.stop and not returns)
        flags = np.repeat([OCCLUDED, SEEN] if board else [SEEN, OCCLUDED], count)
        tracks = make_tracks(k, np.tile(GRID, (2, 1)), ids=np.arange(2 * count), flags=flags, stamp=k * STEP)
        tracks = replace(tracks, labels=(*labels, *tracks.labels[len(labels) :]))
        yield _leaning(1.0 if board else 2.0), tracks


def _run(returns, images=70, labels=(), **settings):
    lifter = make_lifter(CAMERA, camera_pose="tracks", ego_motion=EgoMotionConfig(**settings))
    scenes, sizes = [], []
    for depth, tracks in _film(images, returns, labels):
        lifter.add_depth(tracks.stamp, depth, OPTICAL)
        scenes += lifter.add_tracks(tracks, OPTICAL)
        sizes.append(len(lifter.map.points()))
    return lifter, scenes, np.array(sizes)


def test_nothing_is_mapped_while_the_camera_is_astray_and_the_map_stays_when_it_is_found_back():
    lifter, scenes, sizes = _run(returns=True)
    astray = np.array([scene.odometry.astray for scene in scenes])
    assert astray[HIDDEN.start + 25 : HIDDEN.stop].all()
    assert not astray[: HIDDEN.start].any()
    assert not astray[HIDDEN.stop + 2 :].any()
    assert len(set(sizes[HIDDEN.start : HIDDEN.stop])) == 1
    assert sizes[-1] >= sizes[HIDDEN.start] > 50
    assert np.abs(lifter.map.points().xyz[:, 0] - 2.2).max() < 0.25  # the wall alone; x is forward in odom
    assert lifter.counters.odometry_found_back == 1
    assert lifter.counters.odometry_astray == astray.sum() - sum(
        scene.odometry.astray and scene.odometry.state is not OdometryState.TRACKING for scene in scenes
    )


def test_no_body_gets_the_id_of_another_when_the_camera_is_found_back():
    lifter, scenes, _ = _run(returns=True, labels=("cup",) * 12)
    assert lifter.counters.odometry_found_back == 1
    told = [body.id for scene in scenes for body in scene.bodies.bodies]
    assert sorted(set(told)) == [1, 2]
    assert told == sorted(told)  # the cup's pose from before is in a frame that jumped


def test_no_body_gets_the_id_of_another_in_another_fixed_frame():
    lifter = make_lifter(CAMERA, camera_pose="tracks")
    told = []
    for depth, tracks in _film(HIDDEN.start, returns=True, labels=("cup",) * 12):
        if tracks.stamp == 8 * STEP:
            lifter.config = replace(lifter.config, target_frame="hall", fixed_frame="hall")
        lifter.add_depth(tracks.stamp, depth, OPTICAL)
        scenes = lifter.add_tracks(tracks, OPTICAL)
        told += [(scene.bodies.frame_id, body.id) for scene in scenes for body in scene.bodies.bodies]
    assert list(dict.fromkeys(told)) == [("odom", 1), ("hall", 2)]


def test_the_map_begins_anew_when_nobody_waits_any_longer():
    lifter, scenes, _ = _run(returns=False, astray_seconds=1.0)
    assert not scenes[-1].odometry.astray
    assert scenes[-1].odometry.covariance[0, 0] > 1
    mapped = lifter.map.points().xyz
    assert len(mapped) > 50
    assert mapped[:, 0].max() < 1.5  # of the board, though not of the wall
    assert lifter.counters.odometry_found_back == 0


@pytest.mark.parametrize("apart", [0.0, 2.0])
def test_a_body_is_no_more_certain_than_the_camera_that_sees_it(apart):
    """One radian of the camera's turn moves what is two metres away by two metres."""
    pose = np.eye(4)
    pose[2, 3] = apart
    odometry = Odometry(
        stamp=0,
        frame_id="odom",
        child_frame_id=OPTICAL,
        pose=np.eye(4),
        covariance=np.diag([0.01, 0.01, 0.01, 0.0, 0.04, 0.0]),
        twist=np.zeros(6),
        twist_covariance=np.zeros((6, 6)),
        state=OdometryState.TRACKING,
        reason="",
        points=9,
    )
    ids = np.arange(3, dtype=np.uint32)
    body = RigidBody(1, "", pose, np.eye(6) * 1e-4, np.zeros(6), np.eye(6), False, 0, ids, np.zeros((3, 3)))
    sure = FocalEffect(np.zeros(6), 0.0)
    (seen,) = seen_by(RigidBodies(0, 0, 0, "odom", (body,)), odometry, sure).bodies
    expected = [0.0101 + 0.04 * apart**2, 0.0101, 0.0101, 1e-4, 0.0401, 1e-4]
    np.testing.assert_allclose(np.diagonal(seen.covariance), expected)
