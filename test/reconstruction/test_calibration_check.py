"""How pose and landmarks depend on the focal length, and what their errors tell of it."""

from dataclasses import replace

import numpy as np
import pytest
from ego_scenes import Room, film, still, swaying

from cotracker_ros.reconstruction.calibration_check import FocalEvidence
from cotracker_ros.reconstruction.ego_motion import EgoMotion
from cotracker_ros.reconstruction.rigid import difference


def _followed(log_focal, path=swaying, images=60, **noise):
    """Return ego-motion after images taken with a focal length whose logarithm is off by so much."""
    ego = EgoMotion()
    for _, points in film(Room(**noise), path, images):
        narrower = np.exp([-log_focal, -log_focal, 0.0])
        ego.update(replace(points, xyz=points.xyz * narrower), "odom", "camera")
    return ego.state


def test_pose_and_landmarks_depend_on_the_focal_length_as_they_are_said_to():
    """The same noise in all three runs: what differs is the focal length alone."""
    given, longer, shorter = (_followed(off) for off in (0.0, 0.005, -0.005))
    slope = difference(longer.pose, shorter.pose) / 0.01
    assert np.linalg.norm(slope) > 0.5
    np.testing.assert_allclose(given.by_focal, slope, atol=0.06 * np.abs(slope).max())
    marks = [state.landmarks for state in (given, longer, shorter)]
    known = np.all([mark.known & (mark.hits > 20) for mark in marks], axis=0)
    assert known.sum() > 50
    swept = (marks[1].position - marks[2].position)[known] / 0.01
    apart = np.linalg.norm(marks[0].lever[known] - swept, axis=1)
    assert np.median(apart) < 0.1 * np.linalg.norm(swept, axis=1).mean()


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.25])
def test_a_turn_tells_the_right_focal_length(ratio):
    focal = _followed(-np.log(ratio)).focal
    assert np.exp(focal.log_ratio) == pytest.approx(ratio, abs=0.03)
    assert focal.wrong(0.06) == (ratio != 1.0)


def test_a_camera_that_stands_still_tells_nothing():
    focal = _followed(0.2, path=still).focal
    assert focal.sigmas < 3
    assert not focal.wrong(0.06)
    assert focal.sigma(0.02) == 0.02 or focal.sigmas > 2


def test_images_that_contradict_each_other_make_no_evidence():
    agreeing, scattered = FocalEvidence(), FocalEvidence()
    for said in np.tile([0.05, 0.25], 20):
        agreeing = agreeing.and_then(FocalEvidence(400.0, 400.0 * 0.15, 400.0 * 0.15**2))
        scattered = scattered.and_then(FocalEvidence(400.0, 400.0 * said, 400.0 * said**2))
    assert agreeing.log_ratio == pytest.approx(0.15)
    assert scattered.log_ratio == pytest.approx(0.15, abs=0.01)
    assert agreeing.sigmas > 10 > 4 > scattered.sigmas


def test_nothing_said_is_no_evidence():
    assert FocalEvidence().sigmas == 0
    assert FocalEvidence().log_ratio == 0
    assert not FocalEvidence().wrong(0.06)
