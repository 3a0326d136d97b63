"""Rendered pictures against projections and plane equations worked out here."""

import cv2
import numpy as np
import pytest

from cotracker_ros.synthetic import textures
from cotracker_ros.synthetic.motion import Still
from cotracker_ros.synthetic.render import Renderer
from cotracker_ros.synthetic.scene import Body, Intrinsics, Lamp, Part, Scene
from cotracker_ros.synthetic.surfaces import Patch, Sphere, Tube
from cotracker_ros.synthetic.textures import Texture

VIEW = Intrinsics(160, 120, 130.0, 130.0, 78.3, 60.9)
EVEN_LIGHT = Lamp((0.3, -2.0, 0.5), (0, 0, 2), colour=(0, 0, 0), ambient=(1, 1, 1))


def placed(rotation_vector, position):
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(np.array(rotation_vector, np.float64))[0]
    pose[:3, 3] = position
    return pose


def scene_of(*parts, lamp=EVEN_LIGHT):
    """A scene in the frame of the camera, which is the world here."""
    return Scene((Body("world", tuple(parts)),), lamp, Still())


def spot_texture(size, x, y, sigma):
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    bright = 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)) + 20
    return np.repeat(bright[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("turn", [(0, 0, 0), (0.4, -0.5, 0.7)])
def test_spot_on_a_texture_appears_where_it_projects(samples, turn):
    texture = Texture(spot_texture((300, 200), 171.0, 83.0, 6.0), 1.5, 1.0)
    pose = placed(turn, (0.1, -0.05, 2.0))
    frame = Renderer(scene_of(Part(Patch(1.5, 1.0), pose, texture)), VIEW, samples=samples).render(0.0)
    # Texel centres lie at (i + 0.5) / size; the patch is centred on its frame.
    local = np.array([(171.5 / 300 - 0.5) * 1.5, (83.5 / 200 - 0.5) * 1.0, 0, 1])
    expected = VIEW.project((pose @ local)[:3])
    weight = np.clip(frame.image[..., 0].astype(np.float64) - 60, 0, None)
    y, x = np.mgrid[0 : VIEW.height, 0 : VIEW.width]
    found = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    np.testing.assert_allclose(found, expected, atol=0.04)


def test_depth_of_a_slanted_plane_is_exact():
    pose = placed((0.5, 0.6, 0.1), (0.0, 0.0, 3.0))
    texture = Texture(spot_texture((64, 64), 32, 32, 8), 20.0, 20.0)
    frame = Renderer(scene_of(Part(Patch(20.0, 20.0), pose, texture)), VIEW, samples=1).render(0.0)
    y, x = np.mgrid[0 : VIEW.height, 0 : VIEW.width]
    rays = np.stack([(x - VIEW.cx) / VIEW.fx, (y - VIEW.cy) / VIEW.fy, np.ones(x.shape)], axis=-1)
    normal = pose[:3, 2]
    np.testing.assert_allclose(frame.depth, normal @ pose[:3, 3] / (rays @ normal), rtol=2e-6)
    assert (frame.part == 0).all()


def test_nearer_surfaces_hide_farther_ones_whatever_their_order():
    grey = Texture(np.full((8, 8, 3), 99, np.uint8), 1.0, 1.0)
    near = Part(Sphere(0.3), placed((0, 0, 0), (0.0, 0.0, 1.5)), grey)
    far = Part(Patch(9.0, 9.0), placed((0, 0, 0), (0.0, 0.0, 4.0)), grey)
    first, second = (Renderer(scene_of(*parts), VIEW).render(0.0) for parts in ((near, far), (far, near)))
    centre = (round(VIEW.cy), round(VIEW.cx))
    assert first.depth[centre] == pytest.approx(1.2, abs=1e-3)
    assert first.part[centre] == 0 and second.part[centre] == 1
    np.testing.assert_array_equal(first.depth, second.depth)
    # The silhouette of a sphere at distance d is a circle of radius f r / sqrt(d^2 - r^2).
    area = np.pi * (130 * 0.3 / np.sqrt(1.5**2 - 0.3**2)) ** 2
    assert (first.part == 0).sum() == pytest.approx(area, rel=0.01)


def test_fine_texture_far_away_turns_into_its_mean_instead_of_shimmering():
    image = np.zeros((512, 512, 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 200
    pose, plain = placed((0, 0, 0), (0.0, 0.0, 6.0)), np.full_like(image, 100)
    fine, mean = (
        Renderer(scene_of(Part(Patch(2.0, 2.0), pose, Texture(picture, 2.0, 2.0))), VIEW).render(0.0)
        for picture in (image, plain)
    )
    inner = cv2.erode((fine.part == 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert inner.sum() > 500
    assert fine.image[inner].mean() == pytest.approx(mean.image[inner].mean(), abs=2)
    assert fine.image[inner].std() < 3


def test_lamp_throws_a_shadow():
    white = Texture(np.full((8, 8, 3), 200, np.uint8), 1.0, 1.0)
    wall = Part(Patch(6.0, 6.0), placed((0, 0, 0), (0.0, 0.0, 4.0)), white)
    post = Part(Tube(0.05, 1.0), placed((np.pi / 2, 0, 0), (0.0, 0.0, 2.0)), white)
    lamp = Lamp((1.0, 0.0, 0.0), (0.0, 0.0, 3.0), colour=(0.8, 0.8, 0.8), ambient=(0.2, 0.2, 0.2))
    image = Renderer(scene_of(wall, post, lamp=lamp), VIEW).render(0.0).image
    # From the lamp at x = 1 past the post at (0, 2) to the wall at z = 4: x = -1.
    shadow = VIEW.project(np.array([-1.0, 0.0, 4.0])).round().astype(int)
    lit = VIEW.project(np.array([-0.6, 0.0, 4.0])).round().astype(int)
    assert image[shadow[1], shadow[0]].max() < 0.5 * image[lit[1], lit[0]].min()


def test_samples_must_be_positive():
    with pytest.raises(ValueError, match="samples"):
        Renderer(scene_of(), VIEW, samples=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: textures.planks(rng, 1.0, 1.0, density=200),
        lambda rng: textures.wood(rng, 1.0, 0.5, density=200),
        lambda rng: textures.bricks(rng, 1.0, 1.0, density=300),
        lambda rng: textures.plaster(rng, 1.0, 1.0, density=300),
        lambda rng: textures.tiles(rng, 0.5, 0.5, [(20, 30, 90), (240, 230, 200), (200, 60, 40)]),
        lambda rng: textures.rug(rng, 1.0, 0.7, [(130, 30, 40), (30, 40, 80), (240, 230, 200)]),
        lambda rng: textures.terrazzo(rng, 0.5, 0.5, (180, 180, 170), [(60, 60, 60), (200, 90, 60)]),
        lambda rng: textures.speckle(rng, 0.5, 0.5, (200, 120, 40), [(30, 30, 60), (240, 240, 220)]),
        lambda rng: textures.page(rng, 0.3, 0.4),
        lambda rng: textures.poster(rng, 0.5, 0.4),
        lambda rng: textures.carton(rng, 0.3, 0.3, (90, 130, 170), [(200, 60, 50), (240, 200, 80)]),
        lambda rng: textures.book_spines(rng, 0.6, 0.3),
        lambda rng: textures.globe(rng, 0.1),
        lambda rng: textures.ball(rng, 0.1, [(190, 50, 40), (240, 230, 200)]),
    ],
)
def test_textures_follow_their_seed_and_give_a_tracker_something_to_hold(make):
    first, again, other = (make(np.random.default_rng(seed)).image for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.1
    grey = cv2.cvtColor(first, cv2.COLOR_RGB2GRAY)
    blocks = [grey[y : y + 48, x : x + 48] for y in range(0, len(grey) - 48, 48) for x in range(0, 90, 48)]
    assert np.median([block.std() for block in blocks]) > 4
