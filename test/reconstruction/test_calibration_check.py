"""How pose and landmarks depend on the focal length, and what their errors tell of it."""

from dataclasses import replace

import numpy as np
import pytest
from ego_scenes import START, Room, advancing, film, still, swaying

from cotracker_ros.evaluation.scene_metrics import THREE_SIGMA
from cotracker_ros.reconstruction.calibration_check import FocalEvidence, doubt_after, is_wrong
from cotracker_ros.reconstruction.ego_motion import EgoMotion
from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.rigid import difference
from cotracker_ros.reconstruction.scene import OdometryState

CONFIG = EgoMotionConfig()
NOTHING_TOLD = doubt_after(FocalEvidence(), CONFIG)


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
    state = _followed(-np.log(ratio))
    assert np.exp(state.focal.log_ratio) == pytest.approx(ratio, abs=0.03)
    assert state.focal_wrong == (ratio != 1.0)
    sigma = doubt_after(state.focal, CONFIG).sigma
    assert sigma < CONFIG.focal_sigma if ratio == 1.0 else sigma > abs(np.log(ratio)) / 1.2


@pytest.mark.parametrize("log_focal", [-0.15, 0.0, 0.15])
def test_a_camera_that_stands_still_tells_nothing(log_focal):
    """Neither that the focal length is wrong, nor that it is right."""
    state = _followed(log_focal, path=still)
    assert not state.focal_wrong
    assert doubt_after(state.focal, CONFIG).sigma > 0.9 * NOTHING_TOLD.sigma


@pytest.mark.parametrize("log_focal", [-0.15, 0.2])
def test_a_small_turn_tells_it_without_bias(log_focal):
    told = [_followed(log_focal, path=advancing, seed=seed).focal for seed in range(3)]
    assert np.mean([one.log_ratio for one in told]) == pytest.approx(-log_focal, abs=0.04)


@pytest.mark.parametrize("path", [swaying, advancing])
@pytest.mark.parametrize("ratio", [0.85, 1.0, 1.2])
def test_the_pose_is_as_uncertain_as_the_focal_length_makes_it(ratio, path):
    """Also before the turn has told: no error is beyond three sigma, as long as the pose counts as known."""
    ego, narrower = EgoMotion(), np.array([1 / ratio, 1 / ratio, 1.0])
    for pose, points in film(Room(length=8.0), path, 60):
        found = ego.update(replace(points, xyz=points.xyz * narrower), "odom", "camera")
        if found.state is OdometryState.TRACKING and found.stamp > START:
            error = difference(found.pose, pose)
            assert error @ np.linalg.solve(found.covariance, error) < THREE_SIGMA[5]
    assert found.state is OdometryState.TRACKING or ratio != 1.0


def test_what_a_wrong_focal_length_did_stays_uncertain_when_camera_info_is_right_again():
    ego, narrower = EgoMotion(), np.array([1 / 1.2, 1 / 1.2, 1.0])
    for k, (pose, points) in enumerate(film(Room(), swaying, 60)):
        if k == 40:
            ego.recalibrate()
        given = points if k >= 40 else replace(points, xyz=points.xyz * narrower)
        found = ego.update(given, "odom", "camera")
        if k > 40:
            error = difference(found.pose, pose)
            assert found.state is OdometryState.TRACKING
            assert np.linalg.norm(error[:3]) > 0.05
            assert error @ np.linalg.solve(found.covariance, error) < THREE_SIGMA[5]


def _said(told, sigma):
    return FocalEvidence(sigma**-2, told * sigma**-2, told**2 * sigma**-2)


@pytest.mark.parametrize("told", [0.0, 0.05, -0.12])
@pytest.mark.parametrize("sigma", [0.01, 0.05, 1.0])
def test_doubt_is_what_bayes_makes_of_a_calibration_that_is_right_or_wrong(told, sigma):
    """Against the integral over all ratios."""
    x, share = np.linspace(-2, 2, 400_001), CONFIG.focal_wrong_share

    def normal(deviation, at):
        return np.exp(-((at / deviation) ** 2) / 2) / deviation

    right = (1 - share) * normal(CONFIG.focal_sigma, x) * normal(sigma, x - told)
    wrong = share * normal(0.2, x) * normal(sigma, x - told)
    doubt = doubt_after(_said(told, sigma), CONFIG)
    assert doubt.wrong == pytest.approx(wrong.sum() / (right + wrong).sum(), rel=1e-3)
    square = ((right + wrong) * x**2).sum() / (right + wrong).sum()
    assert doubt.sigma == pytest.approx(np.sqrt(square), rel=1e-3)


def test_nothing_said_leaves_what_is_known_of_cameras():
    assert FocalEvidence().log_ratio == 0
    assert NOTHING_TOLD.wrong == pytest.approx(CONFIG.focal_wrong_share)
    assert NOTHING_TOLD.sigma == pytest.approx(np.sqrt(0.2 * 0.2**2 + 0.8 * 0.02**2))
    assert 3 * NOTHING_TOLD.sigma > np.log(1.2)
    sure = doubt_after(FocalEvidence(), EgoMotionConfig(focal_wrong_share=1e-9))
    assert sure.sigma == pytest.approx(CONFIG.focal_sigma, rel=1e-3)
    assert not is_wrong(FocalEvidence(), CONFIG, before=True)


def test_what_was_found_wrong_stays_so_until_that_is_doubtful():
    told, faded = _said(0.15, 0.02), _said(0.15, 0.045)
    assert is_wrong(told, CONFIG, before=False)
    assert not is_wrong(faded, CONFIG, before=False)
    assert is_wrong(faded, CONFIG, before=True)
    assert not is_wrong(_said(0.07, 0.05), CONFIG, before=True)
    assert not is_wrong(_said(0.05, 0.001), CONFIG, before=False)  # certainly off, but by little


def test_images_that_contradict_each_other_make_no_evidence():
    agreeing, scattered = FocalEvidence(), FocalEvidence()
    for said in np.tile([0.05, 0.25], 20):
        agreeing = agreeing.and_then(FocalEvidence(400.0, 400.0 * 0.15, 400.0 * 0.15**2))
        scattered = scattered.and_then(FocalEvidence(400.0, 400.0 * said, 400.0 * said**2))
    assert agreeing.log_ratio == pytest.approx(0.15)
    assert scattered.log_ratio == pytest.approx(0.15, abs=0.01)
    assert 0.15 * np.sqrt(agreeing.precision) > 10 > 4 > 0.15 * np.sqrt(scattered.precision)
    assert is_wrong(agreeing, CONFIG, before=False) and not is_wrong(scattered, CONFIG, before=False)
