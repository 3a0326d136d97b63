import numpy as np
import pytest
from dense_scenes import BALL, CAMERA, RADIUS, WALL, pose, view

from cotracker_ros.reconstruction import CameraModel, DepthSource, Tracks3D
from cotracker_ros.reconstruction.body_masks import MaskConfig, moving_mask, moving_points
from cotracker_ros.reconstruction.scene import RigidBodies, RigidBody
from cotracker_ros.reconstruction.types import PointMotion


def body(points, at=None):
    points = np.asarray(points, np.float64)
    nothing = np.zeros((6, 6))
    return RigidBody(
        id=1,
        label="",
        pose=pose() if at is None else at,
        covariance=nothing,
        twist=np.zeros(6),
        twist_covariance=nothing,
        predicted=False,
        since=0,
        members=np.arange(len(points), dtype=np.uint32),
        points=points,
    )


def scene(*bodies):
    return RigidBodies(frame=0, stamp=0, epoch=0, frame_id="odom", bodies=bodies)


def flat(z, size=(160, 120)):
    return np.full(size[::-1], z, np.float32)


def edges(mask):
    """First and last row and column that are marked."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], rows[-1], columns[0], columns[-1]


SQUARE = [[-0.2, -0.1, 0], [0.2, -0.1, 0], [0.2, 0.1, 0], [-0.2, 0.1, 0]]


def test_a_square_is_marked_with_its_margin():
    # At 1.5 m a pixel is 1 cm: 20 px to each side and 10 px up and down, and the margin and the border.
    mask = moving_mask(flat(1.5), CAMERA, pose(), scene(body(SQUARE, pose(z=1.5))), config=MaskConfig(0.05))
    top, bottom, left, right = edges(mask)
    assert (top, bottom) == pytest.approx((59.5 - 17, 59.5 + 17), abs=1.5)
    assert (left, right) == pytest.approx((79.5 - 27, 79.5 + 27), abs=1.5)
    assert mask[60, 80]
    assert not mask[top, left]  # the corners are round


def test_the_pose_of_the_body_and_of_the_camera_count():
    turn = np.eye(4)  # the camera looks along the fixed frame's x axis
    turn[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    turn[:3, 3] = 5, 0, 0
    at = np.eye(4)
    at[:3, 3] = 6.5, 0.3, 0  # 1.5 m ahead and 0.3 m to the left of it
    points = [[0, -0.1, -0.1], [0, 0.1, -0.1], [0, 0.1, 0.1], [0, -0.1, 0.1]]
    top, bottom, left, right = edges(moving_mask(flat(1.5), CAMERA, turn, scene(body(points, at))))
    assert (top + bottom) / 2 == pytest.approx(59.5, abs=1)
    assert (left + right) / 2 == pytest.approx(79.5 - 30, abs=1)


def test_what_lies_behind_and_before_a_body_stays():
    depth = flat(1.5)
    depth[:, :80] = 2.0
    depth[50:70, 90:95] = 0.8
    depth[60, 100] = np.nan
    mask = moving_mask(depth, CAMERA, pose(), scene(body(SQUARE, pose(z=1.5))))
    assert not mask[:, :77].any()  # but for the border of mixed depths
    assert not mask[53:67, 92].any()
    assert mask[60, 97] and mask[60, 103]


def test_a_ball_known_by_points_on_its_near_side_is_covered():
    depth, _, hit = view(pose())
    spread = np.linspace(-0.7, 0.7, 5) * RADIUS
    x, y = (values.ravel() for values in np.meshgrid(spread, spread))
    keep = x**2 + y**2 < (0.9 * RADIUS) ** 2
    x, y = x[keep], y[keep]
    points = np.stack([x, y, -np.sqrt(RADIUS**2 - x**2 - y**2)], axis=1)
    mask = moving_mask(depth, CAMERA, pose(), scene(body(points, pose(*BALL))))
    assert (mask & hit).sum() > 0.95 * hit.sum()
    assert (mask & ~hit).sum() < 0.35 * hit.sum()  # the border of mixed depths
    assert (depth[mask & ~hit] == WALL).all()


def test_a_lens_bends_the_mask_with_the_image():
    bent = CameraModel(160, 120, CAMERA.K, "plumb_bob", np.array([-0.4, 0.0, 0.0, 0.0]))
    at = pose(0.6, 0, 1.5)
    straight = edges(moving_mask(flat(1.5), CAMERA, pose(), scene(body([[0, 0, 0]], at))))
    middle = edges(moving_mask(flat(1.5), bent, pose(), scene(body([[0, 0, 0]], at))))
    shift = CAMERA.project([[0.6, 0, 1.5]])[0, 0] - bent.project([[0.6, 0, 1.5]])[0, 0]
    assert shift > 3
    assert straight[2] - middle[2] == pytest.approx(shift, abs=1.5)


def test_single_points_mark_a_disc_at_any_resolution():
    for scale in (1, 2):
        depth = flat(1.5, (160 * scale, 120 * scale))
        mask = moving_mask(depth, CAMERA, pose(), None, [[0.0, 0.0, 1.5]], MaskConfig(0.2))
        top, bottom, left, right = edges(mask)
        assert bottom - top == right - left == pytest.approx(2 * (20 * scale + 2), abs=1)
        assert mask.sum() == pytest.approx(np.pi * (20 * scale + 2.5) ** 2, rel=0.1)


@pytest.mark.parametrize("z", [-1.0, 0.0, 1e-7])
def test_what_is_behind_the_camera_marks_nothing(z):
    assert not moving_mask(flat(1.5), CAMERA, pose(), scene(body(SQUARE, pose(z=z)))).any()


def test_what_is_outside_the_image_or_very_near_is_no_trouble():
    assert not moving_mask(flat(1.5), CAMERA, pose(), scene(body(SQUARE, pose(x=50, z=1.5)))).any()
    near = body([[-1e6, 0, 0], [1e6, 0, 0], [0, 1, 0]], pose(z=0.02))
    assert moving_mask(flat(0.02), CAMERA, pose(), scene(near)).all()
    assert not moving_mask(flat(1.5), CAMERA, pose(), scene(body(np.zeros((0, 3))))).any()
    assert not moving_mask(flat(1.5), CAMERA, pose(), None).any()


def test_only_points_that_move_and_have_a_place_count():
    count = 4
    tracks = Tracks3D(
        frame=0,
        stamp=0,
        epoch=0,
        frame_id="odom",
        ids=np.arange(count, dtype=np.uint32),
        xyz=np.arange(3 * count, dtype=np.float32).reshape(count, 3),
        velocity=np.zeros((count, 3), np.float32),
        sigma=np.zeros(count, np.float32),
        source=np.array([DepthSource.MEASURED, DepthSource.HELD, DepthSource.NONE, 1], np.uint8),
        motion=np.array([PointMotion.MOVING] * 3 + [PointMotion.STATIC], np.uint8),
        flags=np.zeros(count, np.uint8),
        rgb=np.zeros((count, 3), np.uint8),
        labels=("",) * count,
    )
    assert moving_points(tracks).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_margins_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="depth_margin is 0"):
        MaskConfig(depth_margin=0.0)
