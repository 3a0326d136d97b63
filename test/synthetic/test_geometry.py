"""Shapes and motions against answers worked out by hand."""

import numpy as np
import pytest

from cotracker_ros.synthetic.motion import Drift, HandHeld, Keyframes, invert, look_at, pose_matrix
from cotracker_ros.synthetic.scene import Body, Intrinsics, Lamp, Scene, box, facing
from cotracker_ros.synthetic.surfaces import Patch, Sphere, Tube
from cotracker_ros.synthetic.textures import Texture
from cotracker_ros.synthetic.workshop import _BALL_RADIUS, _ball_path

GREY = Texture(np.full((8, 8, 3), 128, np.uint8), 1.0, 1.0)


def cast(surface, origin, directions):
    rays = np.asarray(directions, np.float64)
    return surface.cast(np.asarray(origin, np.float64), (rays[:, 0], rays[:, 1], rays[:, 2]))


def test_patch_is_hit_within_its_edges_from_its_visible_side_only():
    patch = Patch(2.0, 1.0)
    t = cast(patch, (0, 0, -2), [(0, 0, 1), (0.49, 0.24, 1), (0.51, 0, 1), (0, 0.26, 1), (0, 0, -1)])
    np.testing.assert_allclose(t, [2, 2, np.inf, np.inf, np.inf])
    assert patch.sees(np.array([0, 0, -1.0])) and not patch.sees(np.array([0, 0, 1.0]))


def test_round_patch_has_no_corners():
    t = cast(Patch(2.0, 2.0, round=True), (0, 0, -1), [(0.7, 0.7, 1), (0.72, 0.72, 1)])
    assert np.isfinite(t[0]) and np.isinf(t[1])


def test_patch_is_laid_out_as_an_image():
    u, v = Patch(2.0, 1.0).uv((np.array([-1.0, 1.0]), np.array([-0.5, 0.5]), np.zeros(2)))
    np.testing.assert_allclose(u, [0, 1])
    np.testing.assert_allclose(v, [0, 1])


def test_sphere_and_tube_are_hit_at_their_near_side():
    np.testing.assert_allclose(cast(Sphere(0.5), (-2, 0, 0), [(1, 0, 0), (1, 0.3, 0)]), [1.5, np.inf])
    tube = Tube(0.5, 2.0)
    np.testing.assert_allclose(
        cast(tube, (-2, 0, 0), [(1, 0, 0.6), (1, 0, 0.7), (1, 0.3, 0)]), [1.5, np.inf, np.inf]
    )


@pytest.mark.parametrize("surface", [Patch(1.0, 2.0), Sphere(0.3), Tube(0.3, 0.8)])
def test_endless_shapes_agree_with_the_shape_where_it_is_hit(surface):
    rng = np.random.default_rng(1)
    rays = np.column_stack([rng.uniform(-0.5, 0.5, (500, 2)), np.ones(500)])
    origin = np.array([0.1, 0.2, -1.5])
    if isinstance(surface, Tube):  # from the side: its mantle is upright
        rays, origin = rays[:, [2, 0, 1]], origin[[2, 0, 1]]
    columns = tuple(rays.T)
    t, endless = surface.cast(origin, columns), surface.cast(origin, columns, endless=True)
    hit = np.isfinite(t)
    assert hit.any() and not hit.all() and np.isfinite(endless).all()
    np.testing.assert_allclose(t[hit], endless[hit])


def test_box_is_closed_and_turned_outward():
    parts = box((1.0, 2.0, 3.0), (0.2, 0.4, 0.6), GREY, yaw=0.3)
    centre = np.array([1.0, 2.0, 3.0])
    for part in parts:
        outward = part.pose[:3, :3] @ np.array(part.surface.normal((0, 0, 0)))
        assert outward @ (part.pose[:3, 3] - centre) > 0
        np.testing.assert_allclose(np.linalg.det(part.pose[:3, :3]), 1.0)
    area = sum(part.surface.width * part.surface.height for part in parts)
    np.testing.assert_allclose(area, 2 * (0.2 * 0.4 + 0.2 * 0.6 + 0.4 * 0.6))


def test_facing_puts_the_top_of_the_picture_up():
    pose = facing((4, 0, 1), (-1, 0, 0))
    np.testing.assert_allclose(pose[:3, :3] @ (0, -1, 0), (0, 0, 1))  # up in the picture
    np.testing.assert_allclose(pose[:3, :3] @ (1, 0, 0), (0, -1, 0))  # right, seen from the origin


def test_look_at_has_optical_axes():
    pose = look_at((0, 0, 1), (5, 0, 1))
    np.testing.assert_allclose(pose[:3, :3], [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-12)
    np.testing.assert_allclose(invert(pose) @ pose, np.eye(4), atol=1e-12)


def test_keyframes_pass_through_their_keys_and_repeat():
    motion = Keyframes(((0, 0, 0, 0, 0, 0, 0), (1, 1, 2, 3, 0, 0, 1), (4, 0, 0, 0, 0, 0, 0)))
    np.testing.assert_allclose(motion.pose(1.0), pose_matrix((1, 2, 3), (0, 0, 1)))
    np.testing.assert_allclose(motion.pose(0.5)[:3, 3], (0.5, 1, 1.5))
    np.testing.assert_allclose(motion.pose(5.0), motion.pose(1.0))


def test_keyframes_out_of_order_are_refused():
    with pytest.raises(ValueError, match="rise from 0"):
        Keyframes(((0, 0, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0, 0)))


def test_ball_of_the_workshop_rolls_without_slipping():
    motion, step = Keyframes(_ball_path()), 1e-4
    for seconds in (3.0, 4.75, 6.1):
        before, after = motion.pose(seconds), motion.pose(seconds + step)
        contact = invert(before) @ np.array([*before[:2, 3], before[2, 3] - _BALL_RADIUS, 1])
        speed = (after @ contact - before @ contact)[:3] / step
        assert np.linalg.norm(after[:3, 3] - before[:3, 3]) / step > 0.3
        assert np.linalg.norm(speed) < 1e-3


@pytest.mark.parametrize(
    "motion",
    [
        Drift((1, 2, 3), (0.1, 0, 0), (0.1, 0.2, 0.3), (1, 2, 3)),
        HandHeld((0, 0, 1), (2, 0, 1), (0.2, 0.3, 0.1), (0.1, 0.1, 0.1)),
    ],
)
def test_motions_are_rigid(motion):
    pose = motion.pose(1.234)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(pose[:3, :3]), 1.0)


def test_refined_view_covers_the_same_area():
    view = Intrinsics(4, 3, 5.0, 5.0, 1.4, 1.1)
    points = np.array([[0.1, 0.2, 1.0], [-0.2, 0.1, 2.0]])
    # The centre of a pixel lies between those of its four quarters.
    np.testing.assert_allclose(view.refined(2).project(points), 2 * view.project(points) + 0.5)


def test_scene_needs_a_static_world_first():
    moving = Body("box", tuple(box((0, 0, 0), (1, 1, 1), GREY)), Drift((0, 0, 0), (1, 0, 0)))
    with pytest.raises(ValueError, match="static world"):
        Scene((moving,), Lamp((0, 0, 3), (0, 0, 0)), Drift((0, 0, 0), (0, 0, 0)))
