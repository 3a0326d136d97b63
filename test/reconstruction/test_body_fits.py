import numpy as np
import pytest

from cotracker_ros.reconstruction.body_fits import BodyPoints, aligned, median, weighed
from cotracker_ros.reconstruction.body_paths import at_rest, rest_errors
from cotracker_ros.reconstruction.body_window import Measured, TrackWindow
from cotracker_ros.reconstruction.ellipsoids import ellipsoids, inverse
from cotracker_ros.reconstruction.rigid import moved


def points_off_their_poses():
    rng = np.random.default_rng(3)
    model = rng.uniform(-0.2, 0.2, (9, 3))
    start = np.stack([moved(np.eye(4), change) for change in rng.normal(0, 0.003, (2, 6))])
    xyz = (model + rng.normal(0, 0.002, model.shape))[None]
    xyz[0, 0] += 0.4
    return start, BodyPoints(model, xyz, np.tile(2.5e5 * np.eye(3), (1, 9, 1, 1)))


def test_weights_alone_are_those_of_the_whole_fit_and_their_poses_lack_its_last_step():
    start, points = points_off_their_poses()
    weights, pose = weighed(start, points, 4.0)
    whole, expected = aligned(start, points, 4.0)
    assert np.allclose(weights, expected, atol=1e-12)
    assert (weights[:, 0] == 0).all() and weights[:, 1:].any()
    assert np.allclose(aligned(pose, points, 4.0, steps=1)[0], whole, atol=1e-12)


def test_points_that_all_bodies_share_count_for_each_of_them():
    start, points = points_off_their_poses()
    each = BodyPoints(points.model, points.xyz.repeat(2, axis=0), points.information.repeat(2, axis=0))
    assert np.allclose(aligned(start, points, 4.0)[0], aligned(start, each, 4.0)[0], atol=1e-12)
    assert np.allclose(points.errors(start), each.linearised(start).squared)


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_the_median_is_that_of_numpy(count):
    values = np.random.default_rng(count).normal(size=count)
    assert median(values) == np.median(values)


def test_inverses_of_ellipsoids_are_ellipsoids_and_zeros_stay_zeros():
    ray = np.array([[0.6, 0.0, 0.8], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    across, along = np.array([4.0, 1e6, 0.0]), np.array([0.25, 1e2, 0.0])
    matrices = ellipsoids(ray, across, along)
    assert np.allclose(inverse(matrices)[:2], ellipsoids(ray[:2], 1 / across[:2], 1 / along[:2]))
    assert (inverse(matrices)[2] == 0).all()


def test_errors_of_rest_are_those_of_the_fit_of_rest():
    rng = np.random.default_rng(1)
    window = TrackWindow(6)
    window.follow(np.arange(5, dtype=np.uint32))
    for k in range(6):
        seen = rng.random(5) < 0.7
        seen[4] = False  # never measured
        ray = rng.normal(size=(5, 3))
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        window.push(
            k + 1, Measured(rng.normal(size=(5, 3)), ray, np.where(seen, 1e4, 0), np.where(seen, 1e2, 0))
        )
    slots, rows = np.arange(6), np.array([4, 2, 0, 1])
    errors = rest_errors(window, slots, rows)
    assert np.allclose(errors, at_rest(window, slots, rows).chi2, rtol=1e-9)
    assert errors[0] == 0 and (errors[1:] > 0).all()
