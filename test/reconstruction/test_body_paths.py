"""Tracks against paths, and poses by points, with answers that are known or computed the long way."""

import numpy as np
import pytest

from cotracker_ros.reconstruction.body_fits import BodyPoints, aligned, rotations
from cotracker_ros.reconstruction.body_paths import along_path, at_rest, displacement, leverage
from cotracker_ros.reconstruction.body_window import Measured, TrackWindow
from cotracker_ros.reconstruction.ellipsoids import ellipsoids
from cotracker_ros.reconstruction.rigid import moved, normal_equations, rotation_exp, skew

IMAGES, TRACKS = 6, 5
SLOTS, ROWS = np.arange(IMAGES), np.arange(TRACKS)
STEP = np.array([0.1, 0.02, 0, 0.1, 0.2, 0])  # of the path from one image to the next


def path():
    poses = [np.eye(4)]
    for _ in range(IMAGES - 1):
        poses.append(moved(poses[-1], STEP))
    return np.stack(poses)


def window_of(xyz, across=1e5, along=1e4, seen=None):
    """A window with measurements (F, N, 3) of a camera at the origin; `seen` is (F, N)."""
    window = TrackWindow(8)
    window.follow(np.arange(1, xyz.shape[1] + 1, dtype=np.uint32))
    for image, points in enumerate(xyz):
        there = np.ones(len(points)) if seen is None else seen[image]
        ray = points / np.linalg.norm(points, axis=1)[:, None]
        window.push(image * 100_000_000, Measured(points, ray, across * there, along * there))
    return window


@pytest.fixture
def noisy():
    """Tracks that move along the path, with noise, not all of them in all images."""
    rng = np.random.default_rng(3)
    model = rng.uniform((-0.3, -0.3, 1.7), (0.3, 0.3, 2.3), (TRACKS, 3))
    poses = path()
    xyz = np.einsum("fij,nj->fni", poses[:, :3, :3], model) + poses[:, None, :3, 3]
    seen = rng.random((IMAGES, TRACKS)) < 0.8
    return window_of(xyz + rng.normal(0, 0.005, xyz.shape), seen=seen), poses, seen


def by_least_squares(window, poses, row):
    """Place in the moving frame and chi2 of one track, by a plain solution."""
    equations, target = [], []
    for slot in SLOTS:
        if window.across[slot, row] > 0:
            turn = poses[slot, :3, :3]
            root = np.linalg.cholesky(
                ellipsoids(window.ray[slot, row], window.across[slot, row], window.along[slot, row])
            ).T
            equations.append(root @ turn)
            target.append(root @ (window.xyz[slot, row] - poses[slot, :3, 3]))
    place, chi2, *_ = np.linalg.lstsq(np.concatenate(equations), np.concatenate(target), rcond=None)
    return place, float(chi2[0])


def test_path_fit_is_least_squares(noisy):
    window, poses, seen = noisy
    fit = along_path(window, SLOTS, ROWS, poses)
    for row in ROWS:
        place, chi2 = by_least_squares(window, poses, row)
        assert np.allclose(fit.place[row], place, atol=1e-9)
        assert fit.chi2[row] == pytest.approx(chi2, rel=1e-6)
        assert fit.freedom[row] == 3 * (seen[:, row].sum() - 1)


def test_rest_is_a_path_that_stands_still(noisy):
    window, _, _ = noisy
    rest, path_fit = (
        at_rest(window, SLOTS, ROWS),
        along_path(window, SLOTS, ROWS, np.tile(np.eye(4), (IMAGES, 1, 1))),
    )
    for name in ("chi2", "slide", "place", "quadric"):
        assert np.allclose(getattr(rest, name), getattr(path_fit, name), rtol=1e-6, atol=1e-6)


def test_straight_motion_is_all_slide():
    """A track far off, which goes straight across its ray: all of its error is explained by that."""
    offset = (np.arange(IMAGES) - (IMAGES - 1) / 2) * 0.01
    xyz = np.tile([0.0, 0.0, 50.0], (IMAGES, 1, 1)) + offset[:, None, None] * np.array([1.0, 0, 0])
    window = window_of(xyz)
    rest = at_rest(window, SLOTS, np.array([0]))
    assert rest.chi2[0] == pytest.approx(1e5 * (offset**2).sum(), rel=1e-3)
    assert rest.slide[0] == pytest.approx(rest.chi2[0], rel=1e-3)
    assert np.allclose(displacement(window, SLOTS, np.array([0])), [[0.01 * (IMAGES - 1), 0, 0]])


def test_tracks_are_judged_by_how_well_the_others_keep_to_the_path():
    """Measurements four times as good as they claim, and one that slides by less than they claim."""
    rng = np.random.default_rng(4)
    count, rows = 12, np.arange(12)
    model = rng.uniform((-0.3, -0.3, 1.7), (0.3, 0.3, 2.3), (count, 3))
    poses = path()
    model = model + rng.normal(0, 0.25 * 1e5**-0.5, (IMAGES, count, 3))
    model[:, 0, 0] += np.linspace(-1.5, 1.5, IMAGES) * 1e5**-0.5
    xyz = np.einsum("fij,fnj->fni", poses[:, :3, :3], model) + poses[:, None, :3, 3]
    fit = along_path(window_of(xyz, along=1e5), SLOTS, rows, poses)
    noise = fit.noise(rows)
    assert 1 / 16 < noise < 2 / 16
    assert fit.stays().all()
    assert fit.stays(noise).tolist() == [False] + [True] * (count - 1)
    assert fit.stays(np.where(rows == 0, 1.0, noise)).all()


def test_noise_is_never_more_than_claimed_and_not_told_by_too_few(noisy):
    window, poses, _ = noisy
    fit = along_path(window, SLOTS, ROWS, np.tile(poses[:1], (IMAGES, 1, 1)))
    assert fit.noise(ROWS) == 1.0
    assert along_path(window, SLOTS, ROWS, poses).noise(ROWS[:2]) == 1.0


def test_leverage_is_the_variance_of_a_pose_at_a_point():
    rng = np.random.default_rng(6)
    members, points = rng.uniform(-0.2, 0.2, (7, 3)), rng.uniform(-1, 1, (3, 3))
    both = members.mean(axis=0), np.tile(np.eye(3), (7, 1, 1))
    normal, _ = normal_equations(members - both[0], np.zeros((7, 3)), both[1])
    for point, value in zip(points, leverage(points, members), strict=True):
        at = np.concatenate([np.eye(3), -skew(point - both[0])], axis=1)
        assert value == pytest.approx(np.trace(at @ np.linalg.inv(normal) @ at.T) / 3, rel=1e-3)
    # A pose has six unknowns, of three measurements each.
    assert leverage(members, members).sum() == pytest.approx(2.0, rel=1e-3)


def test_tracks_that_were_never_measured_are_not_judged():
    window = window_of(np.ones((IMAGES, 2, 3)), seen=np.tile([1.0, 0.0], (IMAGES, 1)))
    fit = at_rest(window, SLOTS, np.array([0, 1]))
    assert fit.judged.tolist() == [True, False]
    assert np.isfinite(fit.chi2).all() and np.isfinite(fit.place).all()


def test_a_new_track_does_not_inherit_the_past_of_one_that_is_gone():
    window = window_of(np.ones((IMAGES, 2, 3)))
    window.follow(np.array([9, 2], np.uint32))
    assert at_rest(window, SLOTS, np.array([0, 1])).freedom.tolist() == [0, 3 * (IMAGES - 1)]


def test_poses_are_found_in_spite_of_wild_points():
    rng = np.random.default_rng(5)
    model = rng.uniform(-0.2, 0.2, (12, 3))
    truth = np.stack([moved(np.eye(4), change) for change in rng.normal(0, 0.5, (4, 6))])
    xyz = model @ truth[:, :3, :3].transpose(0, 2, 1) + truth[:, None, :3, 3]
    xyz[:, 0] += 0.5
    information = np.tile(1e6 * np.eye(3), (4, 12, 1, 1))
    information[2, 7:] = 0.0  # a body with fewer points
    start = np.stack([moved(pose, np.full(6, 0.002)) for pose in truth])
    poses, weights = aligned(start, BodyPoints(model, xyz, information), 8.0)
    assert np.allclose(poses, truth, atol=1e-6)
    assert (weights[:, 0] == 0).all() and (weights[:, 1:7] > 0.99).all()


def test_rotations_are_exact_for_none_and_for_large_turns():
    vectors = np.array([[0.0, 0, 0], [1e-9, 0, 0], [0.3, -2.0, 1.0]])
    assert np.allclose(rotations(vectors), [rotation_exp(vector) for vector in vectors], atol=1e-12)
