"""Assignment, flags and consistency on cases worked by hand."""

import math

import numpy as np
import pytest

from cotracker_ros.evaluation.scene_metrics import (
    body_assignment,
    carried_along,
    motion_flags,
    point_speeds,
    pose_consistency,
    pose_errors,
    squared_distances,
)
from cotracker_ros.reconstruction.types import PointMotion
from cotracker_ros.synthetic.motion import pose_matrix, rotation

BODY = np.array([0, 0, 1, 1, 1, 2, 2])
ALL = np.ones(7, bool)


def counted(images):
    return np.tile(BODY > 0, (images, 1))


def test_perfect_assignment():
    assigned = np.tile([0, 0, 7, 7, 7, 4, 4], (3, 1))
    found = body_assignment(BODY, assigned, counted(3), ALL)
    assert (found.precision, found.recall, found.static_members) == (1.0, 1.0, 0.0)
    assert [(b.body, b.precision, b.recall, b.switches, b.ids) for b in found.bodies] == [
        (1, 1.0, 1.0, 0, (7,)),
        (2, 1.0, 1.0, 0, (4,)),
    ]
    np.testing.assert_array_equal(found.matched, [[0, 7, 4]] * 3)


def test_members_of_the_wrong_body_and_of_the_static_world_cost_precision():
    # Body 7 holds all of true body 1, one static point and one point of true body 2; the rest of 2 is alone.
    found = body_assignment(BODY, [[0, 7, 7, 7, 7, 7, 0]], counted(1), ALL)
    first, second = found.bodies
    assert first.precision == pytest.approx(3 / 5) and first.recall == 1.0
    assert math.isnan(second.precision) and second.recall == 0.0 and second.ids == ()
    assert found.precision == pytest.approx(3 / 5) and found.recall == pytest.approx(3 / 5)
    assert found.static_members == pytest.approx(1 / 5)


def test_a_body_in_two_pieces_is_matched_with_the_larger_one_only():
    found = body_assignment(BODY, [[0, 0, 7, 7, 8, 4, 4]], counted(1), ALL)
    assert found.bodies[0].recall == pytest.approx(2 / 3) and found.bodies[0].precision == 1.0
    assert found.precision == pytest.approx(4 / 5)


def test_a_new_id_is_a_switch_and_an_image_without_is_none():
    assigned = np.zeros((5, 7), int)
    assigned[[0, 1], 2:5] = 7
    assigned[[3, 4], 2:5] = 9
    found = body_assignment(BODY, assigned, counted(5), ALL)
    assert found.bodies[0].switches == 1 and found.bodies[0].ids == (7, 9)
    assert found.bodies[0].recall == pytest.approx(4 / 5)


def test_of_two_equal_pieces_the_one_of_before_stays():
    assigned = [[0, 0, 0, 0, 0, 9, 9], [0, 0, 0, 0, 0, 3, 9]]
    found = body_assignment(BODY, assigned, counted(2), ALL)
    assert found.bodies[1].switches == 0 and found.bodies[1].ids == (9,)


def test_tracks_that_are_not_judged_or_not_counted():
    assigned = [[5, 0, 7, 7, 0, 4, 0]]
    judged = ALL.copy()
    judged[0] = False  # the wrong member is on an outline
    waits = counted(1)
    waits[0, 4] = waits[0, 6] = False  # these need not be found yet
    found = body_assignment(BODY, assigned, waits, judged)
    assert found.precision == 1.0 and found.recall == 1.0
    with pytest.raises(ValueError, match="do not belong together"):
        body_assignment(BODY, assigned, counted(2), judged)


def test_nothing_moves_and_nothing_is_found():
    found = body_assignment(np.zeros(3, int), np.zeros((2, 3), int), np.zeros((2, 3), bool), ALL[:3])
    assert found.bodies == () and math.isnan(found.precision) and math.isnan(found.recall)


def test_motion_flags_count_what_surely_moves_or_stands():
    unknown, static, moving = PointMotion.UNKNOWN, PointMotion.STATIC, PointMotion.MOVING
    flags = [[moving, static, unknown, moving, static, moving]]
    speed = [[0.5, 0.2, 0.1, 0.0, 0.005, 0.03]]  # the last one is neither
    found = motion_flags(flags, speed, np.ones((1, 6), bool))
    assert found.moving == (1, 1, 1) and found.static == (0, 1, 1)
    assert found.moving_found == pytest.approx(1 / 3) and found.static_found == pytest.approx(1 / 2)
    assert found.moving_called_static == pytest.approx(1 / 3)
    assert math.isnan(motion_flags(flags, speed, np.zeros((1, 6), bool)).static_called_moving)


def test_speeds_are_those_of_the_points():
    stamps = np.arange(5) * 100_000_000
    xyz = np.zeros((5, 2, 3))
    xyz[:, 1, 0] = 0.3 * stamps * 1e-9
    np.testing.assert_allclose(point_speeds(xyz, stamps), np.tile([0.0, 0.3], (5, 1)), atol=1e-12)


def test_pose_errors_are_in_the_axes_of_the_fixed_frame():
    truth = pose_matrix((1, 2, 3), (0.3, -0.2, 1.4))[None]
    turn = np.eye(4)
    turn[:3, :3] = rotation(0, 0, 0.1)
    given = truth.copy()
    given[0, :3, :3] = turn[:3, :3] @ truth[0, :3, :3]
    given[0, :3, 3] += (0.01, 0, -0.02)
    np.testing.assert_allclose(pose_errors(given, truth), [[0.01, 0, -0.02, 0, 0, 0.1]], atol=1e-12)
    np.testing.assert_allclose(pose_errors(truth, truth), np.zeros((1, 6)), atol=1e-12)
    half = truth @ pose_matrix((0, 0, 0), (0, 0, np.pi))
    assert np.linalg.norm(pose_errors(half, truth)[0, 3:]) == pytest.approx(np.pi)


def test_honest_errors_are_within_three_sigma():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    covariance = np.tile(root @ root.T, (4000, 1, 1))
    errors = rng.normal(size=(4000, 6)) @ root.T
    assert squared_distances(errors, covariance).mean() == pytest.approx(6, abs=0.25)
    found = pose_consistency(errors, covariance)
    assert found.nees == pytest.approx(0.89, abs=0.05) and found.beyond < 0.006
    boastful = pose_consistency(errors, covariance / 9)
    assert boastful.beyond > 0.6 and boastful.nees > 7
    assert pose_consistency(np.zeros((0, 6)), np.zeros((0, 6, 6))).count == 0


def test_a_covariance_of_nothing_allows_only_no_error():
    zero = np.zeros((2, 6, 6))
    errors = np.zeros((2, 6))
    errors[1, 0] = 1e-3
    distances = squared_distances(errors, zero)
    assert distances[0] == 0 and distances[1] > 1e6
    assert squared_distances(errors[:1], np.full((1, 6, 6), np.nan))[0] == math.inf


def test_a_frame_is_carried_along_by_its_body():
    truth = np.stack([pose_matrix((0.1 * t, 0, 0), (0, 0, 0.5 * t)) for t in range(3)])
    first = pose_matrix((0.0, 1.0, 0.0))
    expected = carried_along(first, truth)
    np.testing.assert_allclose(expected[0], first, atol=1e-12)
    np.testing.assert_allclose(expected[2, :3, 3], [0.2 - math.sin(1.0), math.cos(1.0), 0], atol=1e-12)
