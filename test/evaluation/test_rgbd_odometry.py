"""Open3D's odometry on a rendered wall with a texture, where Open3D is installed."""

import sys

import cv2
import numpy as np
import pytest
from dense_scenes import CAMERA, pose, view

from cotracker_ros.evaluation.datasets.rgbd import RgbdFrame
from cotracker_ros.evaluation.rgbd_odometry import rgbd_odometry
from cotracker_ros.reconstruction.open3d_library import Open3dError

FINE = CAMERA.scaled(320, 240)


def frames(start, count, step=0.02):
    """A camera that moves to the right before a ball and a wall that carry a texture fixed to the world."""
    noise = np.random.default_rng(2).integers(0, 255, (240, 480, 3), dtype=np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 2.0)
    texture = np.asarray(cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX))
    column, row = np.meshgrid(np.arange(FINE.width), np.arange(FINE.height))
    rays = FINE.unproject(np.stack([column.ravel(), row.ravel()], axis=1)).reshape(FINE.height, FINE.width, 3)
    for i in range(count):
        depth, _, _ = view(pose(step * i), camera=FINE)
        world = rays * depth[..., None] + [step * i, 0, 0]
        x, y = (world[..., 0] * 150 + 240).astype(np.float32), (world[..., 1] * 150 + 120).astype(np.float32)
        image = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        yield RgbdFrame(np.asarray(image), depth, start @ pose(step * i), FINE)


def test_the_path_is_found_from_the_first_pose_on():
    pytest.importorskip("open3d", exc_type=ImportError)
    start = pose(1, 2, 3)
    start[:2, :2] = [[0, -1], [1, 0]]
    given = list(frames(start, 4))
    poses, seconds = rgbd_odometry(iter(given))
    assert poses.shape == (4, 4, 4)
    np.testing.assert_array_equal(poses[0], start)
    np.testing.assert_allclose(poses, [frame.pose for frame in given], atol=0.006)
    assert 0 < seconds < 10


def test_nothing_in_common_ends_the_path():
    pytest.importorskip("open3d", exc_type=ImportError)
    first, second = frames(np.eye(4), 2)
    blind = RgbdFrame(second.image, np.zeros_like(second.depth), second.pose, second.camera)
    poses, _ = rgbd_odometry([first, blind, second])
    np.testing.assert_array_equal(poses[0], np.eye(4))
    assert np.isnan(poses[1:]).all()


def test_too_few_frames_have_no_time():
    pytest.importorskip("open3d", exc_type=ImportError)
    assert rgbd_odometry([])[0].shape == (0, 4, 4)
    poses, seconds = rgbd_odometry(list(frames(np.eye(4), 1)))
    assert len(poses) == 1 and np.isnan(seconds)


def test_without_open3d_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(Open3dError, match=r"RGB-D odometry needs.*pip install"):
        rgbd_odometry([])
