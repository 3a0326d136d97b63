"""Sensor models: right on average, noisy as stated, holes where cameras have them."""

import numpy as np
import pytest

from cotracker_ros.synthetic import ColourSensor, Intrinsics, measure_depth

VIEW = Intrinsics.centred(320, 240, focal=260.0)


def wall(depth):
    return np.full((VIEW.height, VIEW.width), depth, np.float32)


def test_depth_noise_grows_with_the_square_of_the_distance():
    deviations = []
    for distance in (1.0, 2.0, 4.0):
        measured = measure_depth(wall(distance), VIEW, np.random.default_rng(0)).astype(float)
        valid = measured > 0
        assert valid.mean() > 0.98
        # Whole disparity steps shift the mean by up to half a step.
        assert measured[valid].mean() == pytest.approx(1000 * distance, abs=1.5 * distance**2)
        deviations.append(measured[valid].std())
    assert 2.5 < deviations[1] / deviations[0] < 5.5 and 2.5 < deviations[2] / deviations[1] < 5.5


@pytest.mark.parametrize("nothing", [np.inf, np.nan, 0.1, 9.0])
def test_depth_out_of_range_is_zero(nothing):
    assert (measure_depth(wall(nothing), VIEW, np.random.default_rng(0)) == 0).all()


def test_holes_lie_at_rims_and_on_the_shadow_side_of_near_objects():
    depth = wall(3.0)
    depth[80:160, 120:200] = 1.0
    hole = measure_depth(depth, VIEW, np.random.default_rng(0)) == 0
    assert hole[81:159, 119:121].all() and hole[81:159, 199:201].all()
    # The projector, to the right, is blocked over f * b * (1/near - 1/far) = 8.7 px on the left side.
    assert hole[100:140, 113:119].mean() > 0.95
    assert hole[100:140, 203:220].mean() < 0.1
    assert hole[100:140, 125:195].mean() < 0.1


def test_grazing_surfaces_return_nothing():
    # z = exp(x tan / f) is seen at the same angle everywhere; the tangent here is 9, beyond the limit of 7.
    column = np.full(VIEW.width, 1.5, np.float32)
    column[100:130] = 1.5 * np.exp(9 / VIEW.fx * np.arange(30))
    column[130:] = column[129]
    measured = measure_depth(np.tile(column, (VIEW.height, 1)), VIEW, np.random.default_rng(0))
    assert (measured[:, 102:128] == 0).all()
    assert (measured[:, :98] > 0).mean() > 0.97 and (measured[:, 132:] > 0).mean() > 0.97


def test_colour_sensor_is_brightest_in_the_middle_and_noise_can_be_off():
    grey = np.full((VIEW.height, VIEW.width, 3), 120, np.uint8)
    quiet = ColourSensor(VIEW, noise=0.0).expose(grey, np.random.default_rng(0))
    np.testing.assert_array_equal(quiet, ColourSensor(VIEW, noise=0.0).expose(grey, np.random.default_rng(1)))
    assert quiet[120, 160, 0] > quiet[0, 0, 0] + 10
    noisy = ColourSensor(VIEW).expose(grey, np.random.default_rng(0))
    assert 1.0 < (noisy.astype(float) - quiet).std() < 4.0
    assert abs((noisy.astype(float) - quiet).mean()) < 0.1


def test_rims_bleed_between_near_and_far_and_nothing_else_changes():
    depth = wall(3.0)
    depth[80:160, 120:200] = 1.0
    clean, bled = (
        measure_depth(depth, VIEW, np.random.default_rng(0), bleeding=share).astype(float)
        for share in (0.0, 0.5)
    )
    rim = np.zeros(depth.shape, bool)
    rim[79:161, 119:201] = True
    rim[81:159, 121:199] = False
    assert (clean[rim] == 0).mean() > 0.9
    flying = (bled[rim] > 1050) & (bled[rim] < 2700)
    assert 0.1 < flying.mean() < 0.6
    wide = np.zeros_like(rim)
    wide[74:166, 104:206] = True
    wide[86:154, 126:194] = False
    inside = bled[~wide]
    near, far = np.abs(inside - 1000) < 40, np.abs(inside - 3000) < 300
    assert (near | far | (inside == 0)).all()
