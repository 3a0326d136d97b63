from dataclasses import replace

import numpy as np
import pytest
from ego_scenes import FOCAL, HALF, PERIOD, Room, advancing, film, still, swaying

from cotracker_ros.reconstruction.ego_motion import EgoMotion
from cotracker_ros.reconstruction.ego_types import CameraPoints, EgoMotionConfig, EgoMotionError
from cotracker_ros.reconstruction.landmarks import admit, fuse, no_landmarks
from cotracker_ros.reconstruction.pose_fit import fit_pose
from cotracker_ros.reconstruction.poses import invert_pose, transform_points
from cotracker_ros.reconstruction.rigid import difference, moved
from cotracker_ros.reconstruction.scene import OdometryState
from cotracker_ros.reconstruction.sighting import Sighting

TRACKING, PREDICTED, LOST = OdometryState.TRACKING, OdometryState.PREDICTED, OdometryState.LOST
# The simulated camera has no errors that all tracks share.
CALIBRATED = EgoMotionConfig(image_drift=1e-6, focal_sigma=1e-6, focal_wrong_share=1e-6, depth_lag=1e-6)


def _run(sequence, ego=None, given=None):
    """Return odometry and translation errors, m, of the images of a sequence of poses and points."""
    ego = ego or EgoMotion()
    results, errors = [], []
    for pose, points in sequence:
        result = ego.update(points, "odom", "camera", None if given is None else given(pose))
        results.append(result)
        errors.append(difference(pose, result.pose))
    return results, np.linalg.norm(np.array(errors)[:, :3], axis=1), np.array(errors)


def _states(results):
    return [result.state for result in results]


def test_recovers_the_motion_exactly_without_noise():
    results, errors, _ = _run(film(Room(pixel=0, depth=1e-6), swaying, 60))
    assert errors.max() < 2e-4
    assert set(_states(results)) == {TRACKING}
    assert all(result.reason == "" for result in results)
    assert (results[5].frame_id, results[5].child_frame_id) == ("odom", "camera")
    assert results[-1].points > 100


def test_twist_is_the_velocity_in_the_cameras_axes():
    results, _, _ = _run(film(Room(pixel=0, depth=1e-6), swaying, 40))
    motion = invert_pose(swaying(38.5 / 30)) @ swaying(39.5 / 30)
    delta = difference(motion, np.eye(4)) * 30
    np.testing.assert_allclose(results[-1].twist, delta, atol=0.05)


def test_noise_does_not_add_up_while_the_view_stays():
    _, errors, _ = _run(film(Room(count=150), swaying, 180))
    assert errors.max() < 0.015
    assert errors[-30:].mean() < 0.008


def test_drift_is_small_as_all_tracks_are_replaced():
    """5 m past points each of which is seen for a few seconds."""
    room = Room(count=600, length=12.0)
    room.points[:, 0] += 3.0
    results, errors, _ = _run(film(room, advancing, 240))
    assert errors[-1] < 0.05
    sigma = [np.sqrt(np.trace(result.covariance[:3, :3])) for result in results]
    assert sigma[-1] > sigma[60] > sigma[10] > 0


def test_landmarks_do_not_follow_the_poses_that_a_lens_bends():
    """A lens that nobody told of makes poses wrong on the way; back where it began the camera is home."""

    def home(memory):
        ego, room = EgoMotion(replace(EgoMotionConfig(), memory=memory)), Room(count=120)
        for k in range(121):
            away = np.sin(np.pi * k / 120)
            pose = moved(np.eye(4), [0.4 * away, 0, 0.1 * away, 0, 0.3 * away, 0])
            points = room.see(pose, k)
            xyz = points.xyz.copy()
            xyz[:, :2] *= 1 - 0.08 * ((xyz[:, :2] / xyz[:, 2:]) ** 2).sum(axis=1, keepdims=True)
            result = ego.update(replace(points, xyz=xyz), "odom", "camera")
        return np.linalg.norm(result.pose[:3, 3])

    assert home(EgoMotionConfig().memory) < min(0.005, home(20.0) / 2)


@pytest.mark.parametrize(("path", "lost"), [(swaying, 0.0), (swaying, 0.02), (still, 0.0)])
def test_covariance_is_honest(path, lost):
    scores = []
    for seed in range(3):
        film_ = film(Room(count=120, seed=seed), path, 60, share_lost=lost)
        results, _, errors = _run(film_, EgoMotion(CALIBRATED))
        scores += [
            error @ np.linalg.solve(result.covariance, error)
            for result, error in zip(results[5:], errors[5:], strict=True)
        ]
    assert 6 / 3 < np.mean(scores) < 6 * 2.5


def test_covariance_allows_for_a_wrong_focal_length():
    """3 % off, which no statistics of the errors shows."""
    scores = []
    for pose, points in film(Room(), swaying, 120):
        ego = EgoMotion() if not scores else ego  # noqa: F821
        scaled = replace(points, xyz=points.xyz * [0.97, 0.97, 1.0])
        result = ego.update(scaled, "odom", "camera")
        error = difference(pose, result.pose)
        scores.append(error @ np.linalg.solve(result.covariance + np.eye(6) * 1e-9, error))
    assert np.mean(scores[10:]) < 6 * 3


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_stands_outliers(share):
    room = Room(count=300, seed=1)
    bad = room.rng.random(300) < share

    def spoilt():
        for pose, points in film(room, swaying, 90):
            rows = np.isin(points.ids - 1, np.flatnonzero(bad))
            xyz = points.xyz.copy()
            xyz[rows] += room.rng.normal(0, 0.2, (rows.sum(), 3))
            xyz[rows, 2] = np.maximum(xyz[rows, 2], 0.3)
            yield pose, replace(points, xyz=xyz)

    results, errors, _ = _run(spoilt())
    assert errors.max() < 0.015
    assert set(_states(results)) == {TRACKING}


def _with_body(share, speed, path, images, *, start=30, count=300, told_after=1000):
    """Yield a sequence in which the middle of the view, `share` of all points seen, moves off together.

    The points are flagged as moving `told_after` images later.
    """
    room = Room(count=count, seed=3)
    local = transform_points(invert_pose(path(start / 30)), room.points)
    place = (np.abs(local[:, :2] / local[:, 2:] * FOCAL) / HALF).max(axis=1)
    place[place > 1] = np.inf
    body = place <= np.sort(place)[int(share * np.isfinite(place).sum())]
    for k in range(images):
        points = room.points.copy()
        points[body] += np.array([1.0, 0.3, 0]) * speed * max(0, k - start) / 30
        pose = path(k / 30)
        seen = room.see(pose, k, points=points)
        flags = np.isin(seen.ids, room.ids[body]) & (k > start + told_after)
        yield pose, replace(seen, moving=flags)


@pytest.mark.parametrize("path", [swaying, still])
@pytest.mark.parametrize("speed", [0.2, 0.5])
def test_a_body_with_45_percent_of_the_points_does_not_take_the_pose(path, speed):
    results, errors, _ = _run(_with_body(0.45, speed, path, 150))
    assert errors.max() < 0.02
    assert _states(results).count(TRACKING) >= 145


def test_a_slow_body_with_45_percent_does_not_take_the_pose_once_known_to_move():
    results, errors, _ = _run(_with_body(0.45, 0.1, swaying, 150, told_after=15))
    assert errors.max() < 0.02
    assert set(_states(results)) == {TRACKING}


def test_a_body_that_fills_most_of_the_view_is_told_from_the_camera_by_its_start():
    """A camera that stands still goes on standing still when two thirds of all points suddenly move."""
    results, errors, _ = _run(_with_body(0.62, 0.5, still, 90))
    assert errors.max() < 0.01
    told = [result for result in results if result.state is not TRACKING]
    assert told
    assert "either may be the camera's motion" in told[0].reason


def test_says_so_when_everything_moves_and_recovers():
    """All points fly apart for a second and a half, then stand still at other places."""
    room = Room(count=200, seed=5)
    velocity = room.rng.normal(0, 0.6, room.points.shape)

    def sequence():
        for k in range(150):
            moving_for = np.clip(k - 40, 0, 45) / 30
            yield np.eye(4), room.see(np.eye(4), k, points=room.points + velocity * moving_for)

    results, errors, _ = _run(sequence())
    states = _states(results)
    assert TRACKING not in states[46:84]
    assert LOST in states
    assert states[-10:] == [TRACKING] * 10
    sigma = [np.sqrt(np.trace(result.covariance[:3, :3])) for result in results]
    assert all(error < 3 * s + 0.005 for error, s in zip(errors, sigma, strict=True))
    assert all(result.reason for result in results if result.state is not TRACKING)


def test_is_predicted_through_a_gap_and_found_again():
    """No measurement for a third of a second: the pose goes on, its covariance grows, and it comes back."""

    def sequence():
        for k, (pose, points) in enumerate(film(Room(), swaying, 90)):
            gap = 40 <= k < 50
            yield pose, replace(points, xyz=np.full_like(points.xyz, np.nan)) if gap else points

    results, errors, _ = _run(sequence())
    assert set(_states(results[40:50])) == {PREDICTED}
    assert set(_states(results[50:])) == {TRACKING}
    assert errors[40:50].max() < 0.1
    sigma = [np.sqrt(result.covariance[0, 0]) for result in results]
    assert sigma[39] < sigma[41] < sigma[45] < sigma[49]
    assert errors[50:].max() < 0.015
    assert "only 0 known points" in results[45].reason


def test_is_lost_after_seconds_without_measurements_and_found_by_its_landmarks():
    def sequence():
        for k, (pose, points) in enumerate(film(Room(), still, 150)):
            gap = 30 <= k < 120
            yield pose, replace(points, xyz=np.full_like(points.xyz, np.nan)) if gap else points

    results, errors, _ = _run(sequence())
    assert results[100].state is LOST
    assert results[100].covariance[0, 0] > 1
    np.testing.assert_allclose(results[100].twist, 0, atol=1e-3)
    assert set(_states(results[121:])) == {TRACKING}
    assert errors[121:].max() < 0.01
    assert results[-1].covariance[0, 0] < 1e-3


def test_goes_on_by_directions_alone_where_depth_is_missing_for_seconds():
    def sequence():
        for k, (pose, points) in enumerate(film(Room(), swaying, 120)):
            blind = 30 <= k < 110
            yield pose, replace(points, sigma=np.full_like(points.sigma, np.inf)) if blind else points

    results, errors, _ = _run(sequence())
    assert set(_states(results)) == {TRACKING}
    assert errors.max() < 0.03


def test_a_landmark_seen_far_better_than_it_was_known_is_not_more_than_certain():
    xyz = np.array([[0.1, 0.2, 2.0], [0.5, -0.3, 3.0], [-0.4, 0.1, 1.5], [0.3, 0.4, 2.5]])
    sighting = Sighting(np.column_stack([xyz[:, :2] / xyz[:, 2:], 1 / xyz[:, 2]]), np.full((4, 3), 1e-10))
    placed = admit(
        no_landmarks(range(4)), np.arange(4), sighting, np.eye(4), np.zeros(6), np.zeros((6, 6)), 0, True
    )
    vague = replace(placed, covariance=np.tile(np.eye(3) * 0.01, (4, 1, 1)))
    fit = fit_pose(np.eye(4), sighting, vague.position, vague.covariance, np.ones(4), 4.5, wide=False)
    fused = fuse(vague, np.arange(4), fit, fit.errors, np.ones(4, bool), memory=60.0)
    assert np.linalg.eigvalsh(fused.covariance).min() > 0
    np.testing.assert_allclose(fused.covariance[:, 2, 2], 1e-10 * xyz[:, 2] ** 4, rtol=0.2)


def test_depth_that_is_the_same_everywhere_is_not_believed():
    """It would make a flat world; what is left is directions, which do not start a map but go on with one."""

    def constant(points):
        return replace(points, xyz=points.xyz / points.xyz[:, 2:] * 2.0)

    results, _, _ = _run((pose, constant(points)) for pose, points in film(Room(), swaying, 20))
    assert set(_states(results)) == {LOST}
    assert "too few to start from" in results[-1].reason
    later = ((p, constant(c) if k >= 20 else c) for k, (p, c) in enumerate(film(Room(), swaying, 60)))
    _, errors, _ = _run(later)
    assert errors.max() < 0.02


def test_depth_that_is_suddenly_scaled_is_told_and_forgotten():
    def sequence():
        for k, (pose, points) in enumerate(film(Room(), swaying, 60)):
            yield pose, replace(points, xyz=points.xyz * 1.2) if 25 <= k < 35 else points

    results, errors, _ = _run(sequence())
    assert set(_states(results[25:35])) == {PREDICTED}
    assert "agree on one motion" in results[30].reason or "move differently" in results[30].reason
    assert set(_states(results[36:])) == {TRACKING}
    assert errors[36:].max() < 0.02


def test_a_teleported_camera_is_lost_goes_on_and_says_so():
    """All tracks end, others begin metres away: nothing ties the two together."""
    first, second = Room(seed=1), Room(seed=2)
    second.ids += 10_000
    there = moved(np.eye(4), [3.0, 0, 0, 0, 0, 0])

    def sequence():
        yield from film(first, still, 40)
        for k in range(40, 100):
            yield there, second.see(np.eye(4), k)

    results, errors, _ = _run(sequence())
    states = _states(results)
    assert states[40] is PREDICTED
    assert LOST in states[50:60]
    assert "goes on from the one expected" in results[states.index(LOST)].reason
    assert set(states[-20:]) == {TRACKING}
    assert errors[-1] < 3 * np.sqrt(results[-1].covariance[0, 0])


def test_a_jump_with_the_landmarks_in_view_is_doubted_first():
    room = Room(count=600, length=6.0)
    there = moved(np.eye(4), [0.8, 0, 0, 0, 0, 0])

    def sequence():
        for k in range(80):
            pose = np.eye(4) if k < 30 else there
            yield pose, room.see(pose, k)

    results, errors, _ = _run(sequence())
    assert results[30].state is PREDICTED
    assert "jumped by 0.80 m" in results[30].reason
    assert set(_states(results[-20:])) == {TRACKING}
    assert errors[-20:].max() < 0.02


def _patch(points: CameraPoints, rows) -> CameraPoints:
    xyz = points.xyz.copy()
    xyz[~rows] = np.nan
    return replace(points, xyz=xyz)


@pytest.mark.parametrize("kind", ["few", "line", "patch"])
def test_degenerate_geometry_is_no_pose(kind):
    room = Room(count=600, seed=4)
    if kind == "line":
        room.points[:40] = np.linspace([-0.5, -0.3, 1.5], [0.5, 0.3, 3.0], 40)
    if kind == "patch":
        room.points[:12] = np.array([0.0, 0.0, 2.5]) + room.rng.uniform(-0.02, 0.02, (12, 3))
    keep = {"few": 6, "line": 40, "patch": 12}[kind]

    def sequence():
        for k, (pose, points) in enumerate(film(room, still, 50)):
            yield pose, points if k < 30 else _patch(points, points.ids <= keep)

    results, _, _ = _run(sequence())
    assert TRACKING not in _states(results[30:])
    assert results[31].reason
    assert results[31].covariance[0, 0] > results[29].covariance[0, 0]


def test_starts_only_with_enough_points_with_depth():
    room = Room(count=200)
    ego = EgoMotion()
    points = room.see(np.eye(4), 0)
    result = ego.update(replace(points, sigma=np.full_like(points.sigma, np.inf)), "odom", "camera")
    assert result.state is LOST
    assert "too few to start from" in result.reason
    assert ego.update(room.see(np.eye(4), 1), "odom", "camera").state is TRACKING


def test_a_new_epoch_goes_on_from_the_expected_pose():
    ego = EgoMotion()
    _run(film(Room(seed=1), swaying, 40), ego)
    before = ego.predict(ego.state.stamp + PERIOD)
    other = Room(seed=2)
    result = ego.update(replace(other.see(np.eye(4), 40), epoch=1), "odom", "camera")
    assert result.state is PREDICTED
    assert "are new" in result.reason
    np.testing.assert_allclose(result.pose, before)
    follow = ego.update(replace(other.see(np.eye(4), 41), epoch=1), "odom", "camera")
    assert follow.state is TRACKING
    np.testing.assert_allclose(follow.pose[:3, 3], before[:3, 3], atol=0.02)


def test_stamps_that_jump_back_leave_the_camera_lost():
    ego = EgoMotion()
    _run(film(Room(), still, 10), ego)
    result = ego.update(replace(Room(seed=2).see(np.eye(4), 2), epoch=1), "odom", "camera")
    assert result.state is LOST
    assert "jumped back" in result.reason
    assert result.covariance[0, 0] > 1


def test_prediction_goes_on_with_the_velocity_but_not_for_long():
    ego = EgoMotion()
    room = Room(count=900, length=12.0, pixel=0, depth=1e-6)
    _run(film(room, advancing, 40), ego)
    stamp = ego.state.stamp
    near = ego.predict(stamp + PERIOD)[:3, 3] - ego.state.pose[:3, 3]
    far = ego.predict(stamp + 100 * PERIOD)[:3, 3] - ego.state.pose[:3, 3]
    assert near[0] == pytest.approx(0.5 / 30, rel=0.1)
    assert far[0] == pytest.approx(0.5 * EgoMotionConfig().coast_seconds, rel=0.1)


def test_reset_starts_from_a_pose():
    ego = EgoMotion()
    _run(film(Room(), swaying, 10), ego)
    start = moved(np.eye(4), [1, 2, 3, 0.1, 0.2, 0.3])
    ego.reset(start)
    result = ego.update(Room().see(np.eye(4), 0), "odom", "camera")
    np.testing.assert_allclose(result.pose, start)


def test_is_deterministic():
    runs = [_run(film(Room(seed=7), swaying, 40, share_lost=0.05))[0] for _ in range(2)]
    for one, two in zip(*runs, strict=True):
        np.testing.assert_array_equal(one.pose, two.pose)
        np.testing.assert_array_equal(one.covariance, two.covariance)


def test_memory_is_bounded_by_the_list_of_tracks():
    ego = EgoMotion()
    room = Room(count=60, seed=8)
    for pose, points in film(room, swaying, 500, share_lost=0.1):
        ego.update(points, "odom", "camera", given=pose)
        assert len(ego.state.landmarks) == len(points.ids)
    assert room.next > 1000
    assert len(ego.state.history.pairs) <= 64


def test_a_given_pose_that_the_tracks_confirm_is_kept():
    base = moved(np.eye(4), [5, 0, 1, 0, 0.5, 0])
    results, _, _ = _run(film(Room(), swaying, 90), given=lambda pose: base @ pose)
    assert set(_states(results)) == {TRACKING}
    np.testing.assert_array_equal(results[-1].pose, base @ swaying(89 / 30))


def test_scaled_depth_contradicts_a_given_pose():
    """Alone it shows in nothing; against the given pose the way by the tracks is too long."""

    def sequence():
        for pose, points in film(Room(count=900, length=12.0), advancing, 120):
            yield pose, replace(points, xyz=points.xyz * 1.3)

    results, _, _ = _run(sequence(), given=lambda pose: pose)
    assert results[-1].state is LOST
    assert "times as long, as if depth were so scaled" in results[-1].reason


def test_a_given_pose_that_jumps_is_contradicted_until_the_jump_is_past():
    shifted = moved(np.eye(4), [0.3, 0, 0, 0, 0, 0])
    frames = iter(range(200))
    results, _, _ = _run(film(Room(), still, 120), given=lambda pose: pose if next(frames) < 40 else shifted)
    assert set(_states(results[:40])) == {TRACKING}
    assert set(_states(results[41:95])) == {LOST}
    assert results[-1].state is TRACKING


def test_a_given_pose_that_cannot_be_checked_is_flagged():
    ego = EgoMotion()
    _run(film(Room(), still, 10), ego, given=lambda pose: pose)
    points = Room().see(np.eye(4), 10)
    result = ego.update(replace(points, xyz=points.xyz * np.nan), "odom", "camera", np.eye(4))
    assert result.state is PREDICTED
    assert "not checked" in result.reason


@pytest.mark.parametrize(
    "wrong", [{"min_points": 3}, {"min_share": 1.5}, {"acceleration": 0.0}, {"memory": float("nan")}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(EgoMotionError, match=next(iter(wrong))):
        EgoMotionConfig(**wrong)


def test_points_of_other_lengths_are_refused():
    points = Room(count=50).see(np.eye(4), 0)
    with pytest.raises(EgoMotionError, match="one row for each track"):
        replace(points, sigma=points.sigma[:-1])
    with pytest.raises(EgoMotionError, match="image_sigma"):
        replace(points, image_sigma=0.0)
