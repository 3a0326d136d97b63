"""Speed flags and velocities of points measured by a camera whose noise is that of a real one."""

import numpy as np
import pytest

from cotracker_ros.reconstruction import DepthSampling, MotionConfig, PointMotion, pose_matrix
from cotracker_ros.reconstruction.motion import at_time, feigned_speed, for_ids, measure, unknown_points

RATE = 30.0
FOCAL = 525.0
COUNT = 300
CONFIG = MotionConfig()
SAMPLING = DepthSampling()


def stamp(image):
    return 1 + round(image / RATE * 1e9)


def watch(path, images, *, lost=0.0, alike=0.0, slip=0.0, seed=0, feigned=0.0):
    """Filter points that a camera at the origin measures.

    Args:
        path: (image) -> (N, 3) true positions.
        images: Number of images.
        lost: Share of the measurements that are missing.
        alike: Correlation of the depth noise from image to image.
        slip: The tracker's random walk, px an image.
        seed: Of the noise.
        feigned: Speeds that the camera's motion may feign, m/s.
    """
    rng = np.random.default_rng(seed)
    count = len(path(0))
    states, motions = unknown_points(np.arange(count)), []
    depth_error, walk = rng.normal(size=count), np.zeros((count, 2))
    for image in range(images):
        truth = path(image)
        sigma = SAMPLING.noise.sigma(truth[:, 2])
        depth_error = alike * depth_error + np.sqrt(1 - alike**2) * rng.normal(size=count)
        walk += slip * rng.normal(size=(count, 2))
        pixels = walk + SAMPLING.pixel_sigma * rng.normal(size=(count, 2))
        seen = truth * (1 + depth_error * sigma / truth[:, 2])[:, None]
        seen[:, :2] += pixels / FOCAL * truth[:, 2:]
        seen[rng.random(count) < lost] = np.nan
        along = seen / seen[:, 2:] * sigma[:, None]
        across = truth[:, 2:] * SAMPLING.pixel_sigma / FOCAL
        ray_sigma = np.linalg.norm(along, axis=1)
        states, _ = measure(states, stamp(image), seen, along**2 + across**2, ray_sigma, CONFIG, feigned)
        motions.append(at_time(states, stamp(image), CONFIG))
    return states, motions


def line(z, speed, seed=1):
    """Points at the depth z that go straight ahead in all directions."""
    rng = np.random.default_rng(seed)
    start = np.column_stack([rng.uniform(-0.3, 0.3, (COUNT, 2)) * z, np.full(COUNT, z)])
    way = rng.normal(size=(COUNT, 3))
    way *= speed / np.linalg.norm(way, axis=1)[:, None]
    return (lambda image: start + way * image / RATE), way


def share(motions, kind):
    return np.mean([motion.kind == kind for motion in motions])


NOISE = [{}, {"lost": 0.3}, {"alike": 0.5, "slip": 0.1}]


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("z", [1.0, 2.0, 3.0])
def test_still_points_do_not_move_and_are_told_within_a_second(z, noise):
    _, motions = watch(line(z, 0.0)[0], 90, **noise)
    assert share(motions, PointMotion.MOVING) < 0.002
    assert share(motions[30:], PointMotion.STATIC) > 0.98


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("z", [1.0, 2.0, 3.0])
def test_slow_points_are_told_within_half_a_second_and_never_called_still(z, noise):
    _, motions = watch(line(z, 0.2)[0], 45, **noise)
    assert share(motions[15:16], PointMotion.MOVING) > 0.95
    assert share(motions[20:], PointMotion.MOVING) > 0.98
    assert share(motions, PointMotion.STATIC) < 0.002


def test_what_noise_hides_is_unknown_and_not_still():
    _, motions = watch(line(6.0, 0.0)[0], 12)
    assert share(motions, PointMotion.UNKNOWN) > 0.99


def test_the_velocity_is_as_good_as_it_says():
    path, way = line(2.0, 0.3)
    states, _ = watch(path, 60)
    ratio = (states.velocity - way) ** 2 / states.speed_variance
    # It allows for accelerations that these points do not make, so it is surer than it says.
    assert ratio.mean() < 1.0
    assert (ratio < 9.0).mean() > 0.99
    assert np.sqrt(states.speed_variance.max()) < 0.1


def test_what_turns_round_and_round_keeps_moving():
    def path(image):
        angle = 2 * np.pi * (image / RATE + np.linspace(0, 1, COUNT))
        return np.column_stack([0.08 * np.cos(angle), 0.08 * np.sin(angle), np.full(COUNT, 1.5)])

    _, motions = watch(path, 90)
    assert share(motions[20:], PointMotion.MOVING) > 0.95
    assert share(motions, PointMotion.STATIC) < 0.01


def test_what_stops_is_still_again_and_what_starts_moves():
    start = line(1.5, 0.0)[0](0)

    def path(image):  # moves from image 30 to image 60
        return start + np.array([0.3 * np.clip(image - 30, 0, 30) / RATE, 0, 0])

    _, motions = watch(path, 100)
    assert share(motions[20:30], PointMotion.STATIC) > 0.99
    assert share(motions[40:60], PointMotion.MOVING) > 0.98
    assert share(motions[90:], PointMotion.STATIC) > 0.98


@pytest.mark.parametrize("noise", NOISE)
def test_what_starts_to_move_is_not_still_a_quarter_of_a_second_later(noise):
    start = line(1.5, 0.0)[0](0)

    def path(image):  # at once, from image 40 on
        return start + np.array([0.25 * max(image - 40, 0) / RATE, 0, 0])

    _, motions = watch(path, 60, **noise)
    assert share(motions[30:40], PointMotion.STATIC) > 0.98
    assert share(motions[48:], PointMotion.STATIC) < 0.02
    assert share(motions[55:], PointMotion.MOVING) > 0.9


def test_what_gathers_speed_slowly_is_noticed_by_where_it_is():
    start = line(1.5, 0.0)[0](0)

    def path(image):  # 0.3 m/s^2 from image 40 on
        return start + np.array([0.15 * (max(image - 40, 0) / RATE) ** 2, 0, 0])

    _, motions = watch(path, 60)
    assert share(motions[53:], PointMotion.STATIC) < 0.02  # 0.13 m/s, 3 cm away


def test_what_contradicts_its_place_again_and_again_is_not_called_still():
    states, _ = watch(line(1.0, 0.0)[0], 30)
    there = states.position + np.array([0.0, 0.0, 1.0])
    for image in range(30, 32):
        states, accepted = measure(
            states, stamp(image), there, np.full_like(there, 1e-5), np.full(COUNT, 0.003), CONFIG
        )
    assert not accepted.any()
    assert (at_time(states, stamp(31), CONFIG).kind == PointMotion.UNKNOWN).all()


def test_a_flag_needs_more_than_one_wild_measurement():
    states, _ = watch(line(1.0, 0.0)[0], 30)
    kick = states.position + np.array([0.04, 0.0, 0.0])  # too near to be rejected
    states, accepted = measure(
        states, stamp(30), kick, np.full_like(kick, 4e-6), np.full(COUNT, 0.002), CONFIG
    )
    assert accepted.all()
    assert (at_time(states, stamp(30), CONFIG).kind == PointMotion.STATIC).all()


def test_flags_are_forgotten_with_time_and_with_the_track():
    states, motions = watch(line(1.0, 0.2)[0], 40)
    assert (motions[-1].kind == PointMotion.MOVING).all()
    assert (at_time(states, stamp(40 + 3 * RATE), CONFIG).kind == PointMotion.UNKNOWN).all()
    swapped = for_ids(states, states.ids[::-1], np.arange(COUNT) < 10)
    kind = at_time(swapped, stamp(40), CONFIG).kind
    assert (kind[:10] == PointMotion.UNKNOWN).all()
    assert (kind[10:] == PointMotion.MOVING).all()


def test_a_point_that_starts_again_elsewhere_is_unknown():
    states, _ = watch(line(1.0, 0.0)[0], 30)
    there = states.position + np.array([0.0, 0.0, 1.0])
    for image in range(30, 30 + CONFIG.max_rejections + 1):
        states, accepted = measure(
            states, stamp(image), there, np.full_like(there, 1e-5), np.full(COUNT, 0.003), CONFIG
        )
    assert accepted.all()
    assert (at_time(states, stamp(image), CONFIG).kind == PointMotion.UNKNOWN).all()
    np.testing.assert_allclose(states.filters[0], [there, there])  # the trend, too


def test_a_camera_that_turns_feigns_speed_where_points_are_far():
    turned = pose_matrix((0.1, 0, 0), (0, np.sin(0.01), 0, np.cos(0.01)))  # by 0.02 rad
    positions = np.array([[0, 0, 1.0], [0, 0, 5.0], [np.nan] * 3])
    speed = feigned_speed(positions, np.eye(4), turned, 0.1)
    np.testing.assert_allclose(speed, 0.05 * np.array([0.1 + 0.02, 0.1 + 0.1, 0]) / 0.1, rtol=0.02)
    assert not feigned_speed(positions, turned, turned, 0.1).any()


def test_what_the_camera_may_feign_is_neither_moving_nor_still():
    _, motions = watch(line(1.0, 0.2)[0], 45, feigned=0.2)
    assert share(motions[20:], PointMotion.UNKNOWN) > 0.99
    _, motions = watch(line(1.0, 0.5)[0], 45, feigned=0.2)
    assert share(motions[20:], PointMotion.MOVING) > 0.99
    _, motions = watch(line(1.0, 0.0)[0], 45, feigned=0.2)
    assert share(motions[20:], PointMotion.STATIC) > 0.99
