import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotracker_ros.reconstruction.camera import CameraModel

K = np.array([[500.0, 0.0, 315.25], [0.0, 505.0, 242.5], [0.0, 0.0, 1.0]])
DISTORTIONS = [
    ("none", ()),
    ("plumb_bob", ()),
    ("plumb_bob", (0.1, -0.2, 1e-3, -5e-4)),
    ("plumb_bob", (-0.35, 0.12, 1e-3, -5e-4, -0.01)),
    ("rational_polynomial", (0.5, -0.3, 1e-4, 2e-4, 0.1, 0.6, -0.2, 0.05)),
    ("equidistant", ()),
    ("equidistant", (-0.02, 0.003, -0.001, 0.0002)),
]


def camera(model="none", coefficients=()):
    return CameraModel(640, 480, K, model, np.array(coefficients))


@pytest.mark.parametrize(("model", "coefficients"), DISTORTIONS)
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-0.5, 639.5), st.floats(-0.5, 479.5), st.floats(0.05, 50.0)),
        min_size=1,
        max_size=20,
    )
)
def test_unprojected_pixels_project_back(model, coefficients, samples):
    samples = np.array(samples)
    rays = camera(model, coefficients).unproject(samples[:, :2])
    assert (rays[:, 2] == 1).all()
    back = camera(model, coefficients).project(rays * samples[:, 2:])
    np.testing.assert_allclose(back, samples[:, :2], rtol=0, atol=1e-6)


def test_pinhole_projection_has_the_centre_of_the_first_pixel_at_zero():
    centred = CameraModel.pinhole(640, 480, 600.0, 600.0, 319.5, 239.5)
    np.testing.assert_allclose(
        centred.project([[0.0, 0.0, 2.0], [1.0, -0.5, 2.0]]), [[319.5, 239.5], [619.5, 89.5]]
    )


def test_plumb_bob_matches_the_formula():
    k1, k2, p1, p2, k3 = coefficients = (-0.3, 0.1, 1e-3, -2e-3, 0.02)
    x, y = 0.3, -0.2
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = 500.0 * (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)) + 315.25
    v = 505.0 * (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y) + 242.5
    np.testing.assert_allclose(
        camera("plumb_bob", coefficients).project([[0.6, -0.4, 2.0]]), [[u, v]], atol=1e-9
    )


def test_equidistant_without_coefficients_is_linear_in_the_angle():
    pixel = camera("equidistant").project([[np.tan(0.7), 0.0, 1.0]])
    np.testing.assert_allclose(pixel, [[315.25 + 500 * 0.7, 242.5]], atol=1e-9)
    # 90 degrees off the axis and more: no point of the ray is in front of the camera.
    assert np.isnan(camera("equidistant").unproject([[315.25 + 500 * 1.6, 242.5]])).all()


def test_points_behind_and_nan_have_no_projection():
    pixels = camera("plumb_bob", (0.1, 0.0, 0.0, 0.0)).project(
        [[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [np.nan, 0.0, 1.0], [0.1, 0.1, 1.0]]
    )
    assert np.isnan(pixels).all(axis=1).tolist() == [True, True, True, False]
    assert np.isnan(camera().unproject([[np.nan, 1.0]])).all()


def test_pixels_that_no_ray_reaches_are_nan_and_not_wrong():
    strong = camera("plumb_bob", (-0.9, 0.0, 0.0, 0.0))
    rays = strong.unproject([[0.0, 0.0], [300.0, 200.0]])
    assert np.isnan(rays[0]).all()
    np.testing.assert_allclose(strong.project(rays[1:]), [[300.0, 200.0]], atol=1e-6)


def test_no_points_give_no_points():
    for model, coefficients in DISTORTIONS:
        assert camera(model, coefficients).project(np.zeros((0, 3))).shape == (0, 2)
        assert camera(model, coefficients).unproject(np.zeros((0, 2))).shape == (0, 3)


@pytest.mark.parametrize(("model", "coefficients"), DISTORTIONS)
def test_scaled_camera_sees_the_resized_image(model, coefficients):
    full = camera(model, coefficients)
    half = full.scaled(320, 240)
    points = np.array([[0.3, -0.2, 2.0], [-0.5, 0.4, 3.0]])
    # Where OpenCV's resize puts a pixel centre: (x + 0.5) s - 0.5.
    np.testing.assert_allclose(half.project(points), (full.project(points) + 0.5) * 0.5 - 0.5, atol=1e-9)
    np.testing.assert_allclose(half.scaled(640, 480).K, full.K)


def test_scaling_agrees_with_opencv_resize():
    x = np.arange(640, dtype=np.float32)
    ramp = np.tile(x, (480, 1))  # each pixel holds its own x
    resized = cv2.resize(ramp, (160, 120), interpolation=cv2.INTER_AREA)
    full = CameraModel.pinhole(640, 480, 500.0, 500.0, 320.0, 240.0)
    for u in (3, 80, 150):
        ray = full.scaled(160, 120).unproject([[u, 60]])
        np.testing.assert_allclose(full.project(ray)[0, 0], resized[60, u], atol=1e-3)


def test_region_and_binning():
    part = camera().cropped(100, 50, 200, 100)
    np.testing.assert_allclose(part.project([[0.0, 0.0, 1.0]]), [[215.25, 192.5]])
    assert part.size == (200, 100)
    assert camera().binned(2, 2).size == (320, 240)
    np.testing.assert_allclose(camera().binned(2, 2).K, camera().scaled(320, 240).K)
    with pytest.raises(ValueError, match="does not lie inside"):
        camera().cropped(600, 0, 100, 100)
    with pytest.raises(ValueError, match="binning"):
        camera().binned(0, 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 0}, "0x480"),
        ({"K": np.zeros((3, 3))}, "focal"),
        ({"K": np.zeros(4)}, "4 numbers"),
        ({"K": np.array([[1, 0.5, 1], [0, 1, 1], [0, 0, 1]])}, "skew"),
        ({"K": np.full((3, 3), np.nan)}, "focal"),
        ({"distortion_model": "omni"}, "'omni' is not known"),
        ({"distortion_model": "plumb_bob", "coefficients": np.ones(3)}, "give 0 or 4 or 5"),
        ({"distortion_model": "plumb_bob", "coefficients": np.full(5, np.inf)}, "not finite"),
    ],
)
def test_what_is_no_camera_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        CameraModel(**({"width": 640, "height": 480, "K": K} | change))


def test_camera_cannot_be_changed_by_its_givers_array():
    matrix = K.copy()
    model = CameraModel(640, 480, matrix)
    matrix[0, 0] = 1.0
    assert model.K[0, 0] == 500.0
    with pytest.raises(ValueError, match="read-only"):
        model.K[0, 0] = 1.0
