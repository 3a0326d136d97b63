import numpy as np
import pytest
from clips import texture

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.rgbd import RgbdFrame
from cotracker_ros.evaluation.datasets.static_scene import static_tracks
from cotracker_ros.reconstruction.camera import CameraModel

SIZE = (128, 96)
CAMERA = CameraModel.pinhole(*SIZE, 100.0, 100.0, 63.5, 47.5)
WALL = 2.0  # m


def view(*, x=0.0, z=0.0, depth=None, camera=CAMERA):
    """A frame before a wall; only the first frame's picture matters."""
    pose = np.eye(4)
    pose[:3, 3] = x, 0, z
    if depth is None:
        depth = np.full(SIZE[::-1], WALL - z, np.float32)
    return RgbdFrame(texture(SIZE), depth, pose, camera)


def test_a_step_to_the_right_moves_points_to_the_left():
    xy, visible, known = static_tracks([view(), view(x=0.04), view(x=-0.1)])
    assert xy.shape[1] > 20
    np.testing.assert_allclose(xy[1] - xy[0], np.broadcast_to([-2, 0], xy[0].shape), atol=1e-4)
    np.testing.assert_allclose(xy[2] - xy[0], np.broadcast_to([5, 0], xy[0].shape), atol=1e-4)
    assert known.all()
    inside = (xy >= 0).all(-1) & (xy <= np.array(SIZE) - 1).all(-1)
    np.testing.assert_array_equal(visible, inside)
    assert not visible.all()


def test_a_step_forward_spreads_points():
    xy, _, _ = static_tracks([view(), view(z=1.0)])
    centre = np.array([63.5, 47.5])
    np.testing.assert_allclose(xy[1] - centre, 2 * (xy[0] - centre), atol=1e-3)


def test_a_turn_of_the_camera_moves_points_round_the_centre():
    turned = view()
    turned.pose[:2, :2] = [[0, -1], [1, 0]]  # a quarter turn clockwise, as seen in the image
    xy, _, _ = static_tracks([view(), turned])
    offset = xy - np.array([63.5, 47.5])
    np.testing.assert_allclose(offset[1], offset[0] @ [[0, -1], [1, 0]], atol=1e-3)


def test_distortion_is_followed():
    bent = CameraModel(*SIZE, CAMERA.K, "plumb_bob", np.array([-0.2, 0.05, 0, 0]))
    xy, _, _ = static_tracks([view(camera=bent), view(x=0.04, camera=bent)])
    assert np.ptp(xy[1, :, 0] - xy[0, :, 0]) > 0.1  # a pinhole would move all by the same
    rays = bent.unproject(xy[0])
    np.testing.assert_allclose(xy[1], bent.project(rays - [0.02, 0, 0]), atol=1e-3)


def test_what_stands_before_a_point_hides_it_and_holes_leave_it_open():
    covered, holes = np.full((2, *SIZE[::-1]), WALL, np.float32)
    covered[:, :64] = 1.0
    holes[:, :64] = 0.0
    xy, visible, known = static_tracks([view(), view(depth=covered), view(depth=holes)])
    left, right = xy[0, :, 0] < 60, xy[0, :, 0] > 68
    assert left.any() and right.any()
    assert not visible[1, left].any() and known[1, left].all()
    assert not visible[2, left].any() and not known[2, left].any()
    assert visible[:, right].all() and known[:, right].all()


@pytest.mark.parametrize(
    ("depth", "visible", "known"),
    [(1.95, True, True), (2.05, True, True), (1.9, False, False), (2.2, False, False), (1.8, False, True)],
)
def test_depth_must_agree_within_six_centimetres_and_hides_from_twelve(depth, visible, known):
    other = view(depth=np.full(SIZE[::-1], depth, np.float32))
    _, found, told = static_tracks([view(), other])
    assert (found[1] == visible).all()
    assert (told[1] == known).all()


def test_one_of_nine_depths_that_agrees_is_enough_and_all_must_hide():
    speckled = np.full(SIZE[::-1], 1.0, np.float32)
    speckled[::3, ::3] = WALL  # of the nine, 3 px apart, all or none are on this grid
    xy, visible, known = static_tracks([view(), view(depth=speckled)])
    on_grid = (xy[0].round() % 3 == 0).all(-1)
    whole = ((xy[0] > 4) & (xy[0] < np.array(SIZE) - 5)).all(-1)  # the nine are inside the image
    assert (on_grid & whole).any()
    np.testing.assert_array_equal(visible[1, whole], on_grid[whole])
    assert known[1].all()


def test_points_behind_the_camera_stay_where_they_were():
    xy, visible, known = static_tracks([view(), view(x=0.04), view(z=3.0), view()])
    np.testing.assert_array_equal(xy[2], xy[1])
    assert not visible[2].any() and known[2].all()
    np.testing.assert_allclose(xy[3], xy[0], atol=1e-4)


def test_points_have_flat_depth_within_reach():
    depth = np.full(SIZE[::-1], WALL, np.float32)
    depth[:, 40:] = 2.5  # an edge
    depth[:, 80:] = 7.0  # too far
    depth[:30] = 0.0  # nothing measured
    xy, _, _ = static_tracks([view(depth=depth)])
    column, row = xy[0].round().T
    assert ((column <= 35) | ((column >= 44) & (column <= 75))).all()
    assert (row >= 34).all()
    far, _, _ = static_tracks([view(depth=depth)], max_depth=8.0)
    assert (far[0, :, 0] > 84).any()


def test_points_are_drawn_by_the_seed():
    frames = [view()]
    some = [static_tracks(frames, count=10, seed=seed)[0] for seed in (0, 0, 1)]
    assert some[0].shape == (1, 10, 2)
    np.testing.assert_array_equal(some[0], some[1])
    assert (some[0] != some[2]).any()


def test_a_first_frame_without_depth_or_texture_is_named():
    with pytest.raises(DatasetError, match="corners only 0 have a depth"):
        static_tracks([view(depth=np.zeros(SIZE[::-1], np.float32))])
    blank = view()
    blank.image[:] = 90
    with pytest.raises(DatasetError, match="of 0 corners only 0"):
        static_tracks([blank])
