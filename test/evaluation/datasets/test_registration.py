"""Depth brought from one camera's view into another's."""

import numpy as np

from cotracker_ros.evaluation.datasets.registration import register_depth
from cotracker_ros.reconstruction import CameraModel, pose_matrix

DEPTH_CAMERA = CameraModel.pinhole(64, 48, 60.0, 60.0, 31.5, 23.5)
BESIDE = pose_matrix((-0.1, 0, 0), (0, 0, 0, 1))


def test_the_same_camera_changes_nothing():
    depth = np.random.default_rng(0).uniform(0.5, 4, (48, 64)).astype(np.float32)
    depth[10:15, 20:30] = 0
    np.testing.assert_allclose(register_depth(depth, DEPTH_CAMERA, DEPTH_CAMERA, np.eye(4)), depth, rtol=1e-6)


def test_a_camera_beside_sees_near_things_further_aside():
    depth = np.zeros((48, 64), np.float32)
    depth[20, 40], depth[30, 40] = 1.0, 3.0
    seen = register_depth(depth, DEPTH_CAMERA, DEPTH_CAMERA, BESIDE)
    # 60 px x 0.1 m / 1 m = 6 px, and 2 px at 3 m.
    assert np.argwhere(seen).tolist() == [[20, 34], [30, 38]]
    np.testing.assert_allclose([seen[20, 34], seen[30, 38]], [1.0, 3.0])


def test_what_is_nearer_hides_what_is_behind():
    depth = np.zeros((48, 64), np.float32)
    depth[20, 40], depth[20, 36] = 1.0, 3.0  # both land on column 34
    seen = register_depth(depth, DEPTH_CAMERA, DEPTH_CAMERA, BESIDE)
    assert seen[20, 34] == 1.0
    assert np.count_nonzero(seen) == 1


def test_another_focal_length_and_another_side_of_the_edge():
    wide = CameraModel.pinhole(64, 48, 30.0, 30.0, 31.5, 23.5)
    depth = np.full((48, 64), 2.0, np.float32)
    depth[0, 0] = np.nan
    seen = register_depth(depth, DEPTH_CAMERA, wide, np.eye(4))
    assert (seen[14:34, 18:46] == 2).all()
    assert (seen[:10] == 0).all() and (seen[:, :14] == 0).all()
    outside = register_depth(depth, DEPTH_CAMERA, wide, pose_matrix((50, 0, 0), (0, 0, 0, 1)))
    assert not outside.any()
    behind = register_depth(depth, DEPTH_CAMERA, wide, pose_matrix((0, 0, -9), (0, 0, 0, 1)))
    assert not behind.any()
