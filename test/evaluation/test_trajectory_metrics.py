import numpy as np
import pytest

from cotracker_ros.evaluation.trajectory_metrics import rigid_alignment, trajectory_errors


def turned(degrees, axis=2):
    angle = np.radians(degrees)
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(4)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[b, a], matrix[a, b] = np.sin(angle), -np.sin(angle)
    return matrix


def moved(x, y=0.0, z=0.0):
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def straight(count=5, step=0.5):
    return np.stack([moved(step * i) for i in range(count)])


def bent(count=20):
    """A path that uses all three axes and turns."""
    times = np.linspace(0, 2, count)
    return np.stack([moved(np.sin(t), t, t * t / 2) @ turned(20 * t, 0) @ turned(30 * t) for t in times])


def test_the_same_path_in_another_frame_has_no_error():
    path = bent()
    errors = trajectory_errors(path, moved(3, -1, 2) @ turned(70, 1) @ path)
    assert (errors.poses, errors.missing) == (20, 0)
    for name in ("rmse", "rmse_aligned", "drift", "drift_percent", "rotation", "final_rotation", "relative"):
        assert getattr(errors, name) == pytest.approx(0, abs=1e-9), name


def test_a_scaled_straight_path_has_the_errors_worked_out_by_hand():
    true, given = straight(), straight(step=0.6)  # 2 m; 0.1 m too far at each step
    errors = trajectory_errors(true, given)
    assert errors.path == pytest.approx(2.0)
    assert errors.drift == pytest.approx(0.4)
    assert errors.drift_percent == pytest.approx(20.0)
    assert errors.rmse == pytest.approx(np.sqrt((0.01 + 0.04 + 0.09 + 0.16) / 5))
    # Laid middle on middle the errors are -0.2, -0.1, 0, 0.1, 0.2.
    assert errors.rmse_aligned == pytest.approx(np.sqrt(0.1 / 5))
    assert errors.relative == pytest.approx(0.1)
    assert errors.rotation == errors.relative_rotation == pytest.approx(0)
    assert trajectory_errors(true, given, step=2).relative == pytest.approx(0.2)


def test_a_growing_turn_is_measured_in_degrees():
    true = np.stack([np.eye(4)] * 4)
    given = np.stack([turned(2.0 * i, axis=1) for i in range(4)])
    errors = trajectory_errors(true, given)
    assert errors.final_rotation == pytest.approx(6.0)
    assert errors.rotation == pytest.approx(np.sqrt((4 + 16 + 36) / 4))
    assert errors.relative_rotation == pytest.approx(2.0)
    assert errors.drift == pytest.approx(0)
    assert np.isnan(errors.drift_percent)  # of no path at all


def test_half_a_turn_is_180_degrees():
    errors = trajectory_errors(np.stack([np.eye(4)] * 2), np.stack([np.eye(4), turned(180)]))
    assert errors.final_rotation == pytest.approx(180)


def test_missing_poses_are_left_out_and_counted():
    true, given = straight(), straight(step=0.6)
    given[[0, 4]] = np.nan
    errors = trajectory_errors(true, given)
    assert (errors.poses, errors.missing) == (3, 2)
    assert errors.path == pytest.approx(1.0)
    assert errors.drift == pytest.approx(0.2)  # the poses 1 to 3, laid on each other at 1
    nothing = trajectory_errors(true, np.full_like(true, np.nan))
    assert (nothing.poses, nothing.missing) == (0, 5)
    assert np.isnan(nothing.rmse) and np.isnan(nothing.relative)


def at_10_hz(count):
    return np.arange(count) * 100_000_000


def test_drift_over_stretches_of_two_seconds():
    true, given = straight(31), straight(31, step=0.51)
    errors = trajectory_errors(true, given, at_10_hz(31))
    assert errors.stretch_drift == pytest.approx((0.2, 0.2))  # 20 images of 0.01 m each
    assert np.isnan(trajectory_errors(true, given).stretch_drift).all()
    assert np.isnan(trajectory_errors(true[:20], given[:20], at_10_hz(20)).stretch_drift).all()


def test_where_the_true_poses_jump_few_stretches_tell():
    path = straight(101)
    true = path.copy()
    true[95:, 1, 3] += 1.0
    errors = trajectory_errors(true, path, at_10_hz(101))
    assert errors.drift == pytest.approx(1.0)
    assert errors.stretch_drift == pytest.approx((0.0, 1.0))


def test_stretches_hold_with_jittering_stamps_and_leave_out_gaps_and_missing_poses():
    true, given = straight(41), straight(41, step=0.51)
    jitter = np.random.default_rng(1).integers(-1_000_000, 1_000_000, 41)
    errors = trajectory_errors(true, given, at_10_hz(41) + jitter)
    assert errors.stretch_drift == pytest.approx((0.2, 0.2))
    stamps = at_10_hz(41) + 5_000_000_000 * (np.arange(41) >= 25)
    assert trajectory_errors(true, given, stamps).stretch_drift == pytest.approx((0.2, 0.2))
    given[30:] = np.nan
    assert trajectory_errors(true, given, at_10_hz(41)).stretch_drift == pytest.approx((0.2, 0.2))


def test_alignment_is_a_rotation_even_where_a_reflection_would_fit_better():
    points = np.random.default_rng(0).normal(size=(30, 3))
    motion = rigid_alignment(points * [1, 1, -1], points)
    assert np.linalg.det(motion[:3, :3]) == pytest.approx(1)
    truth = moved(1, 2, 3) @ turned(130, 0) @ turned(50, 1)
    found = rigid_alignment(points @ truth[:3, :3].T + truth[:3, 3], points)
    np.testing.assert_allclose(found, truth, atol=1e-12)


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="shape"):
        trajectory_errors(straight(5), straight(4))
    with pytest.raises(ValueError, match="step is 0"):
        trajectory_errors(straight(), straight(), step=0)
