"""``cotracker_ros replay --mesh`` on a small rendered recording."""

import sys

import numpy as np
import pytest

from cotracker_ros.cli import main
from cotracker_ros.reconstruction import read_ply

from .conftest import textured_messages, write_rosbag2


@pytest.fixture(scope="module")
def recording_path(tmp_path_factory):
    return write_rosbag2(tmp_path_factory.mktemp("recording") / "bag", textured_messages(images=8))


def replay(recording_path, out, *options):
    command = ["replay", str(recording_path), str(out / "out.mcap"), "--backend", "klt", "--seed", "corners"]
    return main([*command, "--mesh", str(out / "new" / "wall.ply"), *options])


def test_the_wall_is_written_as_mesh_and_cloud(recording_path, tmp_path, capsys):
    pytest.importorskip("open3d", exc_type=ImportError)
    settings = ["--dense-voxel-size", "0.03", "--dense-truncation", "0.09", "--dense-memory", "20"]
    settings += ["--dense-every", "1", "--dense-min-images", "1"]
    assert replay(recording_path, tmp_path, "--target-frame", "map", *settings) == 0
    mesh, cloud = (read_ply(tmp_path / "new" / name) for name in ("wall.ply", "wall_cloud.ply"))
    np.testing.assert_array_equal(mesh.xyz, cloud.xyz)
    np.testing.assert_allclose(mesh.xyz[:, 2], 2.0, atol=0.015)
    x = mesh.xyz[:, 0]
    assert x.max() - x.min() == pytest.approx(2.0 * 1.28 + 7 * 0.04, abs=0.1)  # what was seen in all images
    printed = capsys.readouterr().out
    assert f"wall.ply: {len(mesh.xyz)} points" in printed and "from 8 images" in printed


def test_a_mesh_needs_a_frame_that_stands_still(recording_path, tmp_path, capsys):
    assert replay(recording_path, tmp_path) == 2
    assert "how the camera moved: give --fixed-frame" in capsys.readouterr().err


def test_a_mesh_needs_depth(recording_path, tmp_path, capsys):
    assert replay(recording_path, tmp_path, "--depth-topic", "none") == 2
    assert "needs depth images and camera_info" in capsys.readouterr().err


def test_without_open3d_nothing_is_tracked_in_vain(recording_path, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    assert replay(recording_path, tmp_path, "--target-frame", "map") == 2
    assert "pip install cotracker_ros[dense]" in capsys.readouterr().err
    assert not (tmp_path / "out.mcap").exists()


def test_settings_that_make_no_sense_are_one_sentence(recording_path, tmp_path, capsys):
    assert replay(recording_path, tmp_path, "--target-frame", "map", "--dense-every", "0") == 2
    assert "every is 0" in capsys.readouterr().err
