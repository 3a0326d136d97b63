"""Fusion of rendered depth, by the real Open3D where it is installed."""

import importlib
import sys

import numpy as np
import pytest
from dense_scenes import BALL, BALL_COLOUR, CAMERA, RADIUS, WALL, WALL_COLOUR, pose, view

from cotracker_ros.reconstruction import CameraModel, read_ply
from cotracker_ros.reconstruction.dense import DenseError, DenseMap
from cotracker_ros.reconstruction.dense_config import DenseConfig
from cotracker_ros.reconstruction.open3d_library import Open3dError, load_open3d

VOXEL = 0.02
FORWARD = np.array([0.0, 0.0, 1.0])
PATH = [pose(x, y) for x in (-0.1, 0.0, 0.1) for y in (-0.05, 0.05)]


def beside(x):
    """Where the ball is when it is moved to the right."""
    return BALL + np.array([x, 0, 0])


@pytest.fixture
def open3d():
    return pytest.importorskip("open3d", exc_type=ImportError)


def make_map(**settings):
    given = {"voxel_size": VOXEL, "truncation": 0.08, "memory": 20.0, "every": 1, "min_images": 1}
    return DenseMap(DenseConfig(**given | settings))


def test_wall_and_ball_are_fused_to_within_a_voxel(open3d):
    dense = make_map()
    for at in PATH:
        depth, rgb, _ = view(at)
        assert dense.add(depth, rgb, CAMERA, at)
    mesh = dense.mesh()
    assert mesh.triangles.max() < len(mesh) and len(mesh) > 2000
    to_ball = np.abs(np.linalg.norm(mesh.xyz - BALL, axis=1) - RADIUS)
    to_wall = np.abs(mesh.xyz[:, 2] - WALL)
    error = np.minimum(to_ball, to_wall)
    assert np.median(error) < VOXEL / 10
    assert np.percentile(error, 99) < VOXEL
    front = mesh.xyz[(to_ball < VOXEL) & (mesh.xyz[:, 2] < BALL[2] - RADIUS / 2)]
    assert len(front) > 100  # the ball's near side is there
    on_ball = np.linalg.norm(mesh.xyz - (BALL - RADIUS * FORWARD), axis=1) < 0.1
    on_wall = (to_wall < VOXEL) & (np.abs(mesh.xyz[:, 0]) > 0.6)
    np.testing.assert_allclose(np.median(mesh.rgb[on_ball], axis=0), BALL_COLOUR, atol=2)
    np.testing.assert_allclose(np.median(mesh.rgb[on_wall], axis=0), WALL_COLOUR, atol=2)


def test_triangles_face_the_camera(open3d):
    dense = make_map()
    depth, rgb, _ = view(pose(), ball=None)
    dense.add(depth, rgb, CAMERA, pose())
    mesh = dense.mesh()
    a, b, c = np.moveaxis(mesh.xyz[mesh.triangles].astype(float), 1, 0)
    normal = np.cross(b - a, c - a)
    assert (normal[np.abs(normal[:, 2]) > 1e-9, 2] < 0).all()


def test_what_moves_leaves_no_ghost_when_it_is_masked(open3d):
    masked, plain = make_map(), make_map()
    for i, at in enumerate(PATH):
        depth, rgb, hit = view(at, ball=beside(0.15 * i - 0.4))
        masked.add(depth, rgb, CAMERA, at, hit)
        plain.add(depth, rgb, CAMERA, at)
    assert (masked.mesh().xyz[:, 2] > WALL - VOXEL).all()
    assert (plain.mesh().xyz[:, 2] < WALL - 0.2).any()


def test_what_has_gone_vanishes_after_some_images(open3d):
    dense = make_map()
    depth, rgb, _ = view(pose())
    for _ in range(2):
        dense.add(depth, rgb, CAMERA, pose())
    assert (dense.mesh().xyz[:, 2] < WALL - 0.3).any()
    depth, rgb, _ = view(pose(), ball=None)
    for _ in range(8):
        dense.add(depth, rgb, CAMERA, pose())
    assert (dense.mesh().xyz[:, 2] > WALL - VOXEL).all()


def test_what_has_gone_vanishes_before_a_wall_that_is_too_far_to_be_mapped(open3d):
    dense = make_map(max_depth=1.7)
    depth, rgb, _ = view(pose())
    dense.add(depth, rgb, CAMERA, pose())
    depth, rgb, _ = view(pose(), ball=None)
    depth[:10, :10] = 1.6  # something is near enough
    for _ in range(4):
        dense.add(depth, rgb, CAMERA, pose())
    xyz = dense.mesh().xyz
    assert len(xyz) and xyz[:, 0].max() < -0.6  # only what is in the corner of the image


def test_memory_is_bounded_and_keeps_what_was_seen_last(open3d):
    dense = make_map(memory=4.0)
    budget = dense.config.blocks
    assert budget < 400
    capacity = dense._grid.hashmap().capacity()
    for i in range(25):
        at = pose(0.2 * i)
        depth, rgb, _ = view(at, ball=None)
        dense.add(depth, rgb, CAMERA, at)
        assert dense.blocks <= budget
    assert dense._grid.hashmap().capacity() == capacity  # Open3D would double it
    x = dense.mesh().xyz[:, 0]
    assert x.min() > 0.5 and x.max() > 4.8  # the beginning of the wall is forgotten, its end is not


def test_room_made_by_forgetting_holds_nothing_of_what_was_there(open3d):
    dense = make_map(memory=4.0)
    for i in range(25):
        at = pose(0.2 * i, z=0.005 * i)  # the wall at other places in the blocks
        depth, rgb, _ = view(at, ball=None)
        dense.add(depth, rgb, CAMERA, at)
    assert np.abs(dense.mesh().xyz[:, 2] - WALL).max() < VOXEL


def test_an_image_larger_than_the_memory_is_fused_near_the_camera(open3d):
    dense = make_map(memory=1.0)
    depth, rgb, _ = view(pose())
    assert dense.add(depth, rgb, CAMERA, pose())
    assert dense.blocks == dense.config.blocks
    assert dense.mesh().xyz[:, 2].min() < 1.3


def test_depth_and_colour_may_differ_in_resolution(open3d):
    dense = make_map()
    fine = CAMERA.scaled(320, 240)
    for at in PATH:
        depth, _, _ = view(at)
        _, rgb, _ = view(at, camera=fine)
        dense.add(depth, rgb, fine, at)
    mesh = dense.mesh()
    error = np.minimum(
        np.abs(np.linalg.norm(mesh.xyz - BALL, axis=1) - RADIUS), np.abs(mesh.xyz[:, 2] - WALL)
    )
    assert np.percentile(error, 98) < VOXEL
    right = (np.abs(mesh.xyz[:, 0] - 0.8) < 0.02) & (np.abs(mesh.xyz[:, 2] - WALL) < VOXEL)
    np.testing.assert_allclose(np.median(mesh.rgb[right], axis=0), WALL_COLOUR, atol=2)


def test_distortion_is_taken_out(open3d):
    bent = CameraModel(160, 120, CAMERA.K, "plumb_bob", np.array([-0.3, 0.1, 0.0, 0.0, 0.0]))
    ball = beside(0.5)  # near the border, where distortion is strong

    def ball_error(camera):
        dense = make_map()
        for at in PATH:
            depth, rgb, _ = view(at, ball=ball, camera=bent)
            dense.add(depth, rgb, camera, at)
        xyz = dense.mesh().xyz
        found = xyz[xyz[:, 2] < BALL[2] - 0.1]
        return np.percentile(np.abs(np.linalg.norm(found - ball, axis=1) - RADIUS), 90)

    assert ball_error(bent) < VOXEL / 2
    assert ball_error(CAMERA) > VOXEL


def test_files_can_be_read_again(open3d, tmp_path):
    dense = make_map()
    depth, rgb, _ = view(pose())
    dense.add(depth, rgb, CAMERA, pose())
    written = dense.save(tmp_path / "new" / "mesh.ply")
    for name in ("mesh.ply", "mesh_cloud.ply"):
        cloud = read_ply(tmp_path / "new" / name)
        np.testing.assert_array_equal(cloud.xyz, written.xyz)
        np.testing.assert_array_equal(cloud.rgb, written.rgb)
    mesh = open3d.io.read_triangle_mesh(str(tmp_path / "new" / "mesh.ply"))
    np.testing.assert_array_equal(np.asarray(mesh.triangles), written.triangles)


def test_images_are_passed_over_and_unusable_ones_are_not_fused(open3d):
    dense = make_map(every=3)
    depth, rgb, _ = view(pose())
    assert [dense.add(depth, rgb, CAMERA, pose()) for _ in range(5)] == [True, False, False, True, False]
    dense = make_map(max_depth=1.0)
    assert not dense.add(depth, rgb, CAMERA, pose())  # all is farther
    assert not dense.add(np.full_like(depth, np.nan), rgb, CAMERA, pose())
    assert not dense.add(depth, rgb, CAMERA, pose(), np.ones(depth.shape, bool))
    assert len(dense.mesh()) == 0 and dense.blocks == 0
    lonely = np.zeros_like(depth)
    lonely[61, 81] = 0.5
    dense.add(lonely, rgb, CAMERA, pose())  # so few pixels that Open3D may see none


def test_reset_forgets_everything(open3d, tmp_path):
    dense = make_map()
    depth, rgb, _ = view(pose())
    dense.add(depth, rgb, CAMERA, pose())
    dense.reset()
    assert len(dense.save(tmp_path / "empty.ply")) == 0
    assert len(read_ply(tmp_path / "empty.ply").xyz) == 0


def test_what_does_not_belong_together_is_refused(open3d):
    dense = make_map()
    depth, rgb, _ = view(pose())
    with pytest.raises(DenseError, match=r"100x120.*160x120.*register"):
        dense.add(depth[:, :100], rgb, CAMERA, pose())
    with pytest.raises(DenseError, match=r"mask.*\(10, 10\)"):
        dense.add(depth, rgb, CAMERA, pose(), np.zeros((10, 10), bool))
    with pytest.raises(DenseError, match="pose"):
        dense.add(depth, rgb, CAMERA, np.full((4, 4), np.nan))
    with pytest.raises(DenseError, match="shape"):
        dense.add(depth, rgb[..., 0], CAMERA, pose())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"voxel_size": 0.0}, "voxel_size is 0.0"),
        ({"voxel_size": 0.05}, "at least two voxels"),
        ({"max_depth": 0.03}, "max_depth is 0.03"),
        ({"memory": 1e-6}, "at least 1 MB"),
        ({"every": 0}, "every is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        DenseConfig(**settings)


def test_a_missing_open3d_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)  # what import makes of it: ModuleNotFoundError
    with pytest.raises(Open3dError, match=r"needs the Python package 'open3d'.*pip install .*\[dense\]"):
        DenseMap()


def test_an_open3d_that_cannot_be_loaded_says_what_it_misses(monkeypatch):
    def broken(name):
        raise ImportError("libusb-1.0.so.0: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(Open3dError, match=r"cannot be loaded \(libusb-1.0.so.0.*apt install") as caught:
        load_open3d("This")
    assert "\n" not in str(caught.value)
