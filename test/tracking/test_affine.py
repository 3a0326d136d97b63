"""Patches that are found again turned, scaled and with another brightness."""

import cv2
import numpy as np
import pytest

from cotracker_ros.tracking.affine import SURE, WINDOW, Patches, fit_affine, identity_warps, patch_likeness
from cotracker_ros.tracking.polish import cut_patches

COUNT = 12


def picture(seed=5, size=(240, 320)):
    noise = np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 20, 235, cv2.NORM_MINMAX)


def queries():
    return np.random.default_rng(1).uniform((80, 60), (240, 180), (COUNT, 2)).astype(np.float32)


def around_middle(turn, scale):
    """(2, 3) map that turns (degrees) and scales around the picture's middle."""
    return cv2.getRotationMatrix2D((160.0, 120.0), turn, scale)


def moved(image, query, matrix):
    """Return the image under a map (2, 3), and where the queries are in it."""
    there = cv2.warpAffine(image, matrix, (320, 240), flags=cv2.INTER_CUBIC)
    return there, (query @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def patches(image, query):
    return Patches.around(*cut_patches(image, query))


@pytest.mark.parametrize("turn, scale", [(12.0, 1.0), (0.0, 1.2), (-8.0, 0.85)])
def test_a_patch_that_was_turned_and_scaled_is_found_with_its_warp(turn, scale):
    image, query = picture(), queries()
    matrix = around_middle(turn, scale)
    there, truth = moved(image, query, matrix)
    start = truth + np.random.default_rng(2).uniform(-1.5, 1.5, truth.shape).astype(np.float32)
    found = fit_affine(patches(image, query), there, start, identity_warps(COUNT))
    error = np.linalg.norm(found.xy - truth, axis=1)
    assert np.median(error) < 0.1
    assert np.mean(found.alike > SURE) > 0.8
    sure = found.alike > SURE
    assert error[sure].max() < 0.3
    np.testing.assert_allclose(np.median(found.warp[sure], axis=0), matrix[:, :2], atol=0.03)


def test_brightness_and_contrast_do_not_matter():
    image, query = picture(), queries()
    there = np.clip(0.5 * image.astype(np.float32) + 70, 0, 255).astype(np.uint8)
    found = fit_affine(patches(image, query), there, query + np.float32(1.0), identity_warps(COUNT))
    np.testing.assert_allclose(found.xy, query, atol=0.1)
    assert (found.alike > 0.98).all()


def test_a_warp_is_gone_on_from():
    """Turned by 40 degrees, patches are only found by who knows about 30 of them."""
    image, query = picture(), queries()
    there, truth = moved(image, query, around_middle(40.0, 1.0))
    before = np.tile(around_middle(30.0, 1.0)[:, :2].astype(np.float32), (COUNT, 1, 1))
    lost = fit_affine(patches(image, query), there, truth, identity_warps(COUNT))
    found = fit_affine(patches(image, query), there, truth, before)
    assert np.mean(found.alike > SURE) > 0.8
    assert np.mean(lost.alike > SURE) < 0.3
    assert np.median(np.linalg.norm(found.xy - truth, axis=1)) < 0.1


def test_another_picture_and_nothing_at_all_are_not_alike():
    image, query = picture(), queries()
    templates = patches(image, query)
    other = fit_affine(templates, picture(seed=9), query, identity_warps(COUNT))
    assert np.mean(other.alike > 0.85) < 0.1
    blank = np.full_like(image, 128)
    assert (fit_affine(templates, blank, query, identity_warps(COUNT)).alike < 1e-3).all()
    flat = patches(np.full_like(image, 90), query)
    assert (fit_affine(flat, image, query, identity_warps(COUNT)).alike == 0).all()


def test_points_at_and_beyond_the_edge_do_no_harm():
    image = picture()
    query = np.array([[0.0, 0.0], [319.0, 239.0], [-500.0, 90.0], [10.0, 10.0]], np.float32)
    found = fit_affine(patches(image, query), image, query, identity_warps(4))
    assert np.isfinite(found.xy).all() and np.isfinite(found.warp).all()
    np.testing.assert_allclose(found.xy[3], query[3], atol=0.05)


def test_no_points_are_no_points():
    nowhere = np.zeros((0, 2), np.float32)
    found = fit_affine(patches(picture(), nowhere), picture(), nowhere, identity_warps(0))
    assert found.xy.shape == (0, 2) and WINDOW % 2 == 1


def test_likeness_is_that_of_the_fit_where_the_fit_ended():
    image, query = picture(), queries()
    there, truth = moved(image, query, around_middle(12.0, 1.1))
    found = fit_affine(patches(image, query), there, truth, identity_warps(COUNT))
    again = patch_likeness(patches(image, query), there, found.xy, found.warp)
    np.testing.assert_allclose(again, found.alike, atol=1e-5)
    assert (patch_likeness(patches(image, query), there, truth + 30, found.warp) < 0.8).all()
    flat = patches(np.full_like(image, 90), query)
    assert (patch_likeness(flat, there, found.xy, found.warp) == 0).all()
    none = slice(0)
    assert len(patch_likeness(flat.take(none), there, found.xy[none], found.warp[none])) == 0


def test_more_patches_than_one_picture_holds_are_fitted_as_few_are():
    image = picture()
    query = np.random.default_rng(3).uniform((40, 40), (280, 200), (700, 2)).astype(np.float32)
    some = np.r_[0, 511, 512, 699]
    all_of_them = fit_affine(patches(image, query), image, query + np.float32(0.7), identity_warps(700))
    few = fit_affine(patches(image, query[some]), image, query[some] + np.float32(0.7), identity_warps(4))
    for whole, part in zip(all_of_them, few, strict=True):
        np.testing.assert_allclose(whole[some], part, atol=0.01)
    assert np.mean(all_of_them.alike > 0.98) > 0.95


def test_patches_that_come_and_go_are_those_that_were_there():
    image, query = picture(), queries()
    whole = patches(image, query)
    some = whole.take(np.arange(COUNT) != 3).grown(1)
    assert len(some) == COUNT and some.energy[-1] == 0
    some.put(np.array([COUNT - 1]), whole.take(np.array([3])))
    order = np.r_[0:3, 4:COUNT, 3]
    start = query + np.float32(0.6)
    expected = fit_affine(whole, image, start, identity_warps(COUNT))
    found = fit_affine(some, image, start[order], identity_warps(COUNT))
    np.testing.assert_array_equal(found.xy, expected.xy[order])
    np.testing.assert_array_equal(found.alike, expected.alike[order])
