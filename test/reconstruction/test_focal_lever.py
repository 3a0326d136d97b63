"""What a doubtful focal length does to points, bodies and the map."""

from dataclasses import replace

import numpy as np
import pytest
from lifting_scenes import CAMERA, FRAME, HEIGHT, OCCLUDED, OPTICAL, WIDTH, flat_depth, make_lifter, step

from cotracker_ros.reconstruction import CameraModel, EgoMotionConfig
from cotracker_ros.reconstruction.calibration_check import FocalEvidence, doubt_after
from cotracker_ros.reconstruction.ego_motion import EgoMotion
from cotracker_ros.reconstruction.focal_lever import FocalEffect, lever_of
from cotracker_ros.reconstruction.odometry import seen_by
from cotracker_ros.reconstruction.rigid import moved
from cotracker_ros.reconstruction.scene import Odometry, OdometryState, RigidBodies, RigidBody
from cotracker_ros.reconstruction.static_map import StaticMap, StaticMapConfig
from cotracker_ros.reconstruction.types import DepthSource, PointMotion

POSE = moved(np.eye(4), [0.3, -0.2, 0.5, 0.2, 0.4, -0.1])
BY_FOCAL = np.array([0.2, -0.1, 0.05, 0.1, -0.3, 0.2])
DOUBT = doubt_after(FocalEvidence(), EgoMotionConfig()).sigma
PLACES = [[79.5, 59.5], [139.5, 59.5], [19.5, 99.5]]


def _placed(xyz, log_focal):
    """Return where points that are seen at the same pixels, with the same depths, are taken to be."""
    pose = moved(POSE, BY_FOCAL * log_focal)
    return (xyz * np.exp([-log_focal, -log_focal, 0.0])) @ pose[:3, :3].T + pose[:3, 3]


def test_the_lever_is_the_derivative_by_the_logarithm_of_the_focal_length():
    xyz = np.array([[0.5, 0.2, 2.0], [-1.0, 0.4, 3.0], [0.0, 0.0, 1.0]])
    slope = (_placed(xyz, 1e-5) - _placed(xyz, -1e-5)) / 2e-5
    np.testing.assert_allclose(lever_of(xyz, POSE, BY_FOCAL), slope, atol=1e-6)


@pytest.mark.parametrize("scale", [0.85, 1.2])
def test_points_off_the_axis_are_as_uncertain_as_the_focal_length(scale):
    wrong = CameraModel.pinhole(WIDTH, HEIGHT, 150 * scale, 150 * scale, 79.5, 59.5)
    told, right = (step(make_lifter(camera), 0, PLACES, flat_depth()) for camera in (wrong, CAMERA))
    off = np.linalg.norm(told.xyz - right.xyz, axis=1)
    assert off[1:].min() > 0.1
    assert (off < 3 * told.sigma).all()
    lateral = np.linalg.norm(right.xyz[:, :2], axis=1)
    along = right.sigma[0]
    np.testing.assert_allclose(right.sigma[1:], np.hypot(along, DOUBT * lateral[1:]), rtol=0.1)


def test_a_hidden_point_stays_as_uncertain_as_where_it_was_last_seen():
    lifter = make_lifter()
    seen = step(lifter, 0, PLACES, flat_depth())
    held = step(lifter, 1, PLACES, flat_depth(), flags=OCCLUDED)
    assert (held.source == DepthSource.HELD).all()
    assert (held.sigma >= seen.sigma).all()


def test_who_trusts_the_calibration_can_say_so():
    lifter = make_lifter(ego_motion=EgoMotionConfig(focal_sigma=1e-9, focal_wrong_share=1e-12))
    sigma = step(lifter, 0, PLACES, flat_depth()).sigma
    assert sigma.max() < 1.2 * sigma.min()


def test_what_moves_is_told_as_ever():
    """What is common to all measurements of a point says nothing of whether it moves."""
    lifter = make_lifter()
    for frame in range(30):
        tracks = step(lifter, frame, [[139.5, 59.5], [100.0 + frame, 59.5]], flat_depth())
    assert tracks.motion.tolist() == [PointMotion.STATIC, PointMotion.MOVING]


def _odometry(given):
    off = BY_FOCAL * 0.1
    return Odometry(
        stamp=0,
        frame_id="odom",
        child_frame_id=OPTICAL,
        pose=POSE,
        covariance=np.eye(6) * 1e-6 + np.outer(off, off),
        twist=np.zeros(6),
        twist_covariance=np.zeros((6, 6)),
        state=OdometryState.TRACKING,
        reason="",
        points=9,
        given=given,
    )


@pytest.mark.parametrize("given", [False, True])
def test_a_body_is_as_uncertain_as_the_focal_length_makes_its_place(given):
    by_focal = np.zeros(6) if given else BY_FOCAL
    local = np.array([[0.8, -0.3, 2.0]])
    pose = np.eye(4)
    pose[:3, 3] = (local @ POSE[:3, :3].T + POSE[:3, 3])[0]
    ids = np.arange(3, dtype=np.uint32)
    body = RigidBody(1, "", pose, np.eye(6) * 1e-6, np.zeros(6), np.eye(6), False, 0, ids, np.zeros((3, 3)))
    (seen,) = seen_by(
        RigidBodies(0, 0, 0, "odom", (body,)), _odometry(given), FocalEffect(by_focal, 0.1)
    ).bodies
    expected = np.concatenate([lever_of(local, POSE, by_focal)[0], by_focal[3:]]) * 0.1
    rest = seen.covariance - np.outer(expected, expected)
    assert np.linalg.eigvalsh(rest).max() < 1e-5
    assert np.linalg.eigvalsh(rest).min() > 0


def test_the_map_is_as_uncertain_as_the_focal_length_when_it_was_seen():
    chart = StaticMap(StaticMapConfig(min_measurements=2))
    place, lever = np.array([[0.5, 0.0, 2.0]]), np.array([[-0.5, 0.0, 0.2]])
    shown = step(make_lifter(), 0, [[100.0, 60.0]], flat_depth())
    shown = replace(
        shown,
        xyz=place.astype(np.float32),
        sigma=np.array([0.01], np.float32),
        motion=np.array([PointMotion.STATIC], np.uint8),
    )
    for k in range(4):
        chart.add(replace(shown, stamp=k * FRAME), centre=np.zeros(3), lever=lever)
    sure = chart.points()
    chart.focal_sigma = 0.1
    doubtful = chart.points()
    np.testing.assert_array_equal(sure.xyz, doubtful.xyz)
    added = doubtful.covariance - sure.covariance
    np.testing.assert_allclose(added[0], np.outer(lever[0], lever[0]) * 0.01, rtol=1e-3, atol=1e-6)
    chart.end_tracks()
    np.testing.assert_allclose(chart.points().sigma, doubtful.sigma, rtol=1e-3)


def test_a_lens_that_focuses_is_not_another_camera(monkeypatch):
    again = []
    monkeypatch.setattr(EgoMotion, "recalibrate", lambda self: again.append(True))
    lifter = make_lifter()
    for frame, focal in enumerate((150.0, 151.0, 152.0, 156.0, 157.0)):
        lifter.set_camera(CameraModel.pinhole(WIDTH, HEIGHT, focal, focal, 79.5, 59.5), OPTICAL, 0)
        step(lifter, frame, PLACES, flat_depth())
        assert len(again) == (focal >= 156)
