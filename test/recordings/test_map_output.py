import numpy as np
import pytest

from cotracker_ros.cli import main
from cotracker_ros.reconstruction import read_ply

from .conftest import textured_messages, write_rosbag2


def test_a_replay_writes_its_map(tmp_path, capsys):
    bag = write_rosbag2(tmp_path / "bag", textured_messages(images=12))
    path = tmp_path / "maps" / "wall.ply"
    options = ["--backend", "klt", "--target-frame", "map", "--map", str(path)]
    assert main(["replay", str(bag), str(tmp_path / "out.mcap"), *options]) == 0
    cloud = read_ply(path)
    assert len(cloud.xyz) > 10
    assert np.ptp(cloud.xyz, axis=0).min() < 0.02  # all of it is one wall
    assert np.all(cloud.fields["sigma"] > 0)
    assert f"{len(cloud.xyz)} points of the map in frame 'map'" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["/camera/depth/image_raw", "/camera/color/camera_info"])
def test_a_recording_that_gives_no_map_is_refused(tmp_path, capsys, missing):
    messages = [m for m in textured_messages(images=2) if m[0] != missing]
    bag = write_rosbag2(tmp_path / "bag", messages)
    options = ["--backend", "klt", "--map", str(tmp_path / "map.ply")]
    assert main(["replay", str(bag), str(tmp_path / "out.mcap"), *options]) == 2
    assert "a map needs depth images and camera_info" in capsys.readouterr().err
