import numpy as np
import pytest

from cotracker_ros.reconstruction.rigid import (
    about_other_point,
    align,
    align_triples,
    consensus,
    covariance_of,
    difference,
    draw_triples,
    moved,
    refine,
    rotation_exp,
    rotation_log,
    skew,
)


def _points(count=40, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3))


def _map(pose, points):
    return points @ pose[:3, :3].T + pose[:3, 3]


POSE = moved(np.eye(4), [0.3, -0.2, 0.5, 0.4, -0.9, 0.2])


def test_skew_is_the_cross_product():
    a, b = _points(2)
    np.testing.assert_allclose(skew(a) @ b, np.cross(a, b))


@pytest.mark.parametrize(
    "vector", [[0, 0, 0], [1e-10, 0, 0], [0.3, -0.2, 1.1], [0, 3.1, 0], [-1e-4, 2e-4, 0]]
)
def test_rotation_log_undoes_exp(vector):
    np.testing.assert_allclose(rotation_log(rotation_exp(vector)), vector, atol=1e-9)


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, -0.6, 0.8], [2 / 3, -1 / 3, -2 / 3]])
def test_half_turns_have_a_log(axis):
    turn = rotation_exp(np.pi * np.array(axis))
    np.testing.assert_allclose(rotation_exp(rotation_log(turn)), turn, atol=1e-7)


def test_quarter_turn_about_z_is_known():
    np.testing.assert_allclose(
        rotation_exp([0, 0, np.pi / 2]), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12
    )


def test_difference_undoes_moved():
    delta = np.array([0.1, 0.2, -0.3, 0.5, 0.1, -0.4])
    np.testing.assert_allclose(difference(moved(POSE, delta), POSE), delta, atol=1e-12)


def test_align_recovers_a_pose_exactly():
    source = _points()
    np.testing.assert_allclose(align(source, _map(POSE, source)), POSE, atol=1e-12)


def test_align_of_three_points_and_of_points_in_a_plane_is_no_mirror():
    for source in (_points(3), _points(20) * [1, 1, 0]):
        pose = align(source, _map(POSE, source))
        np.testing.assert_allclose(pose, POSE, atol=1e-9)


def test_align_passes_over_points_without_weight():
    source = _points()
    target = _map(POSE, source)
    target[:10] += 5
    weights = np.r_[np.zeros(10), np.ones(30)]
    np.testing.assert_allclose(align(source, target, weights), POSE, atol=1e-12)


def test_align_needs_three_points():
    with pytest.raises(ValueError, match="three or more"):
        align(_points(4), _points(4), [1, 1, 0, 0])


def test_triples_give_poses_and_lines_give_none():
    source = _points(6).reshape(2, 3, 3)
    source[1] = np.outer([0, 1, 2], [1, 1, 1])
    turns, shifts = align_triples(source, _map(POSE, source))
    np.testing.assert_allclose(turns[0], POSE[:3, :3], atol=1e-12)
    np.testing.assert_allclose(shifts[0], POSE[:3, 3], atol=1e-12)
    assert np.isnan(turns[1]).any()


def test_drawn_triples_are_three_different_points_that_are_wanted():
    preference = np.r_[np.zeros(5), 1.0, 1.0, 1.0, 0.1]
    rows = draw_triples(9, 200, np.random.default_rng(0), preference)
    assert rows.min() >= 5
    assert all(len(set(row)) == 3 for row in rows.tolist())
    assert (rows == 8).mean() < 0.2


def _with_outliers(share, seed=1, count=200, sigma=0.003):
    generator = np.random.default_rng(seed)
    source = _points(count, seed)
    target = _map(POSE, source) + generator.normal(0, sigma, (count, 3))
    bad = np.arange(count) < share * count
    target[bad] += generator.uniform(0.05, 0.5, (bad.sum(), 3))
    return source, target, bad, np.full(count, sigma)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.6])
def test_consensus_and_refinement_stand_outliers(share):
    source, target, bad, sigma = _with_outliers(share)
    found = consensus(source, target, sigma, np.random.default_rng(2), threshold=6.0)
    assert found is not None
    assert not found.inliers[bad].any()
    assert found.inliers[~bad].mean() > 0.8
    information = np.eye(3) / sigma[:, None, None] ** 2
    refined = refine(found.pose, source, target, information)
    error = difference(refined.pose, POSE)
    assert np.abs(error[:3]).max() < 0.001
    assert np.abs(error[3:]).max() < 0.002


def test_consensus_is_deterministic():
    source, target, _, sigma = _with_outliers(0.4)
    one = consensus(source, target, sigma, np.random.default_rng(5))
    two = consensus(source, target, sigma, np.random.default_rng(5))
    assert one is not None and two is not None
    np.testing.assert_array_equal(one.pose, two.pose)
    np.testing.assert_array_equal(one.errors, two.errors)


def test_consensus_prefers_points_with_weight():
    """Of two motions with as many points the one whose points count more wins."""
    source, target, _, sigma = _with_outliers(0.0, count=100)
    other = np.arange(100) < 50
    target[other] += [0.2, 0, 0]
    for preferred in (other, ~other):
        weights = np.where(preferred, 1.0, 0.3)
        found = consensus(source, target, sigma, np.random.default_rng(0), weights=weights, threshold=5)
        assert found is not None
        assert found.inliers[preferred].mean() > 0.8
        assert not found.inliers[~preferred].any()


def test_consensus_tries_given_poses():
    source, target, _, sigma = _with_outliers(0.0)
    found = consensus(source, target, sigma, np.random.default_rng(0), hypotheses=1, given=POSE[None])
    assert found is not None
    np.testing.assert_array_equal(found.pose, POSE)


def test_consensus_says_when_there_is_none():
    generator = np.random.default_rng(0)
    line = np.outer(np.arange(10), [1.0, 0, 0])
    assert consensus(line, line, np.full(10, 0.01), generator) is None
    assert consensus(line[:2], line[:2], np.full(2, 0.01), generator) is None


def test_covariance_of_refinement_is_honest():
    """Normalised squared errors of many runs have the mean of a chi-square with 6 degrees of freedom."""
    sigmas = np.array([0.002, 0.004, 0.01])
    source = _points(60)
    information = np.broadcast_to(np.diag(1 / sigmas**2), (60, 3, 3))
    scores = []
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(0, sigmas, (60, 3))
        refined = refine(POSE, source, _map(POSE, source) + noise, information)
        error = difference(POSE, refined.pose)
        scores.append(error @ np.linalg.solve(refined.covariance, error))
    assert 4.0 < np.mean(scores) < 9.0


def test_covariance_grows_with_errors_larger_than_said():
    source, target, _, sigma = _with_outliers(0.0, sigma=0.006)
    told = np.eye(3) / sigma[:, None, None] ** 2
    honest = refine(POSE, source, target, told)
    boasting = refine(POSE, source, target, told * 4)
    ratio = np.trace(boasting.covariance) / np.trace(honest.covariance)
    assert 0.7 < ratio < 3.0


def test_points_on_a_line_do_not_fix_a_pose():
    line = np.outer(np.linspace(0, 1, 10), [1.0, 0, 0])
    refined = refine(np.eye(4), line, line, np.broadcast_to(np.eye(3), (10, 3, 3)))
    assert np.isinf(np.diagonal(refined.covariance)).all()
    np.testing.assert_allclose(refined.pose, np.eye(4), atol=1e-9)


def test_covariance_of_a_normal_matrix_is_its_inverse():
    normal = np.diag([1.0, 2, 4, 8, 16, 32])
    np.testing.assert_allclose(covariance_of(normal), np.linalg.inv(normal))


def test_covariance_about_another_point_has_the_lever_arm():
    """One degree of rotation is 1.7 cm at a metre."""
    covariance = np.diag([0, 0, 0, 0, 0, 0.01**2])
    moved_covariance = about_other_point(covariance, np.array([2.0, 0, 0]))
    np.testing.assert_allclose(np.sqrt(np.diagonal(moved_covariance)), [0, 0.02, 0, 0, 0, 0.01], atol=1e-12)
