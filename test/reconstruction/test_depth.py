import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.depth import DepthNoise, DepthSampling, at_rims, sample_depth

W, H = 160, 120
CAMERA = CameraModel.pinhole(W, H, 150.0, 150.0, 79.5, 59.5)
PIXELS = np.stack(np.meshgrid(np.arange(W), np.arange(H)), axis=-1).astype(float)


def plane(nx, ny, distance):
    """Depth of the plane z = distance + nx x + ny y at any pixels (..., 2)."""

    def depth(xy):
        ray = CAMERA.unproject(xy.reshape(-1, 2)).reshape(*xy.shape[:-1], 3)
        return distance / (1 - nx * ray[..., 0] - ny * ray[..., 1])

    return depth


def step_image(near=1.0, far=2.0, edge=80, mixed=0):
    """A near half on the left, a far half on the right and `mixed` columns of in-between depths."""
    depth = np.full((H, W), far, dtype=np.float32)
    depth[:, :edge] = near
    for column in range(mixed):
        depth[:, edge + column] = near + (far - near) * (column + 1) / (mixed + 1)
    return depth


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-1.0, 1.0),
    st.floats(-1.0, 1.0),
    st.floats(0.3, 8.0),
    st.lists(st.tuples(st.floats(2.0, W - 3.0), st.floats(2.0, H - 3.0)), min_size=1, max_size=20),
)
def test_planes_are_read_exactly_between_pixels(nx, ny, distance, points):
    truth = plane(nx, ny, distance)
    xy = np.array(points)
    z, sigma = sample_depth(truth(PIXELS).astype(np.float32), xy)
    np.testing.assert_allclose(z, truth(xy), rtol=2e-5)
    assert (sigma > 0).all()


def test_spheres_are_read_to_a_fraction_of_a_millimetre():
    # x^2 + y^2 + (z - 1)^2 = 0.3^2 along the ray (a, b, 1) z, where both exist.
    def truth(xy):
        ray = CAMERA.unproject(xy.reshape(-1, 2))
        q = (ray**2).sum(axis=1)
        return ((1 - np.sqrt(1 - q * (1 - 0.09))) / q).reshape(xy.shape[:-1])

    with np.errstate(invalid="ignore"):
        depth = truth(PIXELS).astype(np.float32)
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, 200), rng.uniform(0, 30, 200)
    xy = np.stack([79.5 + radius * np.cos(angle), 59.5 + radius * np.sin(angle)], axis=1)
    z, _ = sample_depth(depth, xy)
    assert np.abs(z - truth(xy)).max() < 5e-4


@pytest.mark.parametrize("mixed", [0, 1])
def test_depth_does_not_bleed_across_a_step(mixed):
    depth = step_image(mixed=mixed)
    x = np.concatenate([np.linspace(70, 79, 91), np.linspace(80.6 + mixed, 90, 91)])
    z, _ = sample_depth(depth, np.stack([x, np.full_like(x, 60.3)], axis=1))
    np.testing.assert_allclose(z, np.where(x < 80, 1.0, 2.0), atol=1e-5)


@pytest.mark.parametrize(("slope", "tolerated"), [(0.0, 0.0), (1.0, 0.0), (0.4, 0.004)])
def test_noisy_edge_with_mixed_pixels_never_gives_a_depth_in_between(slope, tolerated):
    rng = np.random.default_rng(1)
    near, far = plane(0.3, 0.1, 1.0), plane(-0.2, 0.1, 2.5)
    edge = 20 + slope * PIXELS[..., 1]
    depth = np.where(PIXELS[..., 0] < edge, near(PIXELS), far(PIXELS))
    mixed = np.abs(PIXELS[..., 0] - edge) < 0.7
    depth[mixed] = (near(PIXELS) * 0.5 + far(PIXELS) * 0.5)[mixed]
    depth = (depth + rng.normal(size=depth.shape) * DepthNoise().sigma(depth)).astype(np.float32)
    y, offset = rng.uniform(5, H - 5, 5000), rng.uniform(-6, 6, 5000)
    xy = np.stack([20 + slope * y + offset, y], axis=1)
    z, sigma = sample_depth(depth, xy)
    between = np.minimum(np.abs(z - near(xy)), np.abs(z - far(xy)))
    assert (between > 0.06).mean() <= tolerated  # a few sensor sigmas; the step is 1.5 m high
    # More than a pixel from the edge there is no doubt about the side either.
    clear = np.abs(offset) > np.hypot(1, slope)
    error = np.abs(z - np.where(offset < 0, near(xy), far(xy)))[clear]
    assert np.isfinite(error).all()
    assert (error > 0.06).mean() <= tolerated
    assert (error < 2 * sigma[clear]).mean() > 0.95


def test_a_point_on_the_mixed_column_takes_a_surface_and_not_the_mix():
    z, _ = sample_depth(step_image(mixed=1), np.array([[80.0, 50.0], [79.8, 50.0], [80.4, 50.0]]))
    assert set(np.round(z, 4)) <= {1.0, 2.0}


def test_expected_depth_decides_close_calls_only():
    depth = step_image()
    close = np.array([[79.4, 50.0], [79.6, 50.0]])
    np.testing.assert_allclose(sample_depth(depth, close, expected=np.full(2, 2.0))[0], 2.0)
    np.testing.assert_allclose(sample_depth(depth, close, expected=np.full(2, 1.0))[0], 1.0)
    clear = np.array([[77.0, 50.0], [83.0, 50.0]])
    np.testing.assert_allclose(sample_depth(depth, clear, expected=np.array([2.0, 1.0]))[0], [1.0, 2.0])


def test_single_wrong_pixels_do_not_count():
    depth = np.full((H, W), 2.0, dtype=np.float32)
    depth[50, 50] = 0.5
    depth[70, 70:72] = 9.0
    z, _ = sample_depth(depth, np.array([[50.0, 50.0], [70.5, 70.0]]))
    np.testing.assert_allclose(z, 2.0, rtol=1e-6)


def test_small_holes_are_bridged_and_large_ones_have_no_depth():
    depth = np.full((H, W), 2.0, dtype=np.float32)
    depth[30, 40] = np.nan
    depth[60:70, 60:70] = np.nan
    depth[90, 90] = 0.0  # invalid by ROS's convention for millimetres
    z, sigma = sample_depth(depth, np.array([[40.0, 30.0], [64.5, 64.5], [61.0, 65.0], [90.0, 90.0]]))
    assert np.isnan(z).tolist() == [False, True, True, False]
    assert np.isnan(sigma).tolist() == [False, True, True, False]


def test_outside_the_image_and_nan_have_no_depth():
    depth = np.full((H, W), 2.0, dtype=np.float32)
    xy = np.array(
        [[-0.6, 5], [W - 0.4, 5], [5, H], [np.nan, 5], [np.inf, 5], [-0.4, -0.4], [W - 0.6, H - 0.6]]
    )
    z, _ = sample_depth(depth, xy)
    assert np.isnan(z).tolist() == [True] * 5 + [False] * 2
    assert sample_depth(depth, np.zeros((0, 2)))[0].shape == (0,)


def test_images_smaller_than_the_neighbourhood_work():
    z, _ = sample_depth(np.full((2, 2), 1.5, dtype=np.float32), np.array([[0.5, 0.5]]))
    np.testing.assert_allclose(z, 1.5)


def test_sigma_is_the_sensors_on_flat_ground_and_more_on_slopes():
    flat = np.full((H, W), 2.0, dtype=np.float32)
    xy = np.array([[80.0, 60.0]])
    np.testing.assert_allclose(sample_depth(flat, xy)[1], 0.0012 + 0.0019 * 1.6**2, rtol=1e-3)
    steep = plane(2.0, 0.0, 2.0)(PIXELS).astype(np.float32)
    # dz/du = nx z^2 / (f d): half a pixel of it adds.
    expected = np.hypot(DepthNoise().sigma(2.0), 0.5 * 2.0 * 2.0 / 150.0)
    np.testing.assert_allclose(sample_depth(steep, np.array([[79.5, 59.5]]))[1], expected, rtol=0.02)


def test_readings_out_of_range_are_invalid():
    config = DepthSampling(min_depth=0.3, max_depth=5.0)
    for value in (0.2, 6.0, np.inf):
        z, _ = sample_depth(np.full((H, W), value, dtype=np.float32), np.array([[50.0, 50.0]]), config)
        assert np.isnan(z).all()


@pytest.mark.parametrize(
    "change",
    [{"radius": 0}, {"hole_radius": 0.0}, {"pixel_sigma": -1.0}, {"min_depth": 2.0, "max_depth": 1.0}],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match="give"):
        DepthSampling(**change)
    with pytest.raises(ValueError, match="positive base"):
        DepthNoise(base=0.0)


class TestRims:
    """Where a tracker's patch shows two surfaces."""

    def plane(self, shape=(120, 160)):
        """A plane that is much inclined: its inverse depth is linear in the pixel."""
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        return (1 / (0.4 + 0.002 * columns + 0.001 * rows)).astype(np.float32)

    def test_an_inclined_plane_has_none(self):
        depth = self.plane()
        xy = np.stack(np.meshgrid(np.arange(12, 148, 8.3), np.arange(12, 108, 8.3)), -1).reshape(-1, 2)
        assert not at_rims(depth, xy, 10.0).any()

    def test_the_surroundings_of_a_box_are(self):
        depth = self.plane()
        depth[40:80, 60:100] = 0.9
        xy = np.array([[57, 60], [63, 60], [80, 60], [95, 60], [104, 60], [30, 60], [80, 83]])
        assert at_rims(depth, xy, 10.0).tolist() == [True, True, False, True, True, False, True]
        assert not at_rims(depth, [[104, 60]], 3.0).any()

    def test_holes_say_nothing_and_noise_is_no_rim(self):
        rng = np.random.default_rng(0)
        depth = np.full((120, 160), 3.0, np.float32)
        depth += rng.normal(0, DepthNoise().sigma(np.array(3.0)), depth.shape).astype(np.float32)
        depth[rng.random(depth.shape) < 0.1] = np.nan
        xy = rng.uniform(12, 100, (200, 2))
        assert at_rims(depth, xy, 10.0).mean() < 0.01
        assert not at_rims(np.zeros((120, 160), np.float32), xy, 10.0).any()
