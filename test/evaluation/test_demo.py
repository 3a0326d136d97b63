"""The demonstration from end to end, small: real nodes over DDS; and what it says when something is wrong."""

import argparse
import importlib.util
import json

import numpy as np
import pytest

pytest.importorskip("av")

from cotracker_ros.evaluation import demo
from cotracker_ros.recordings import BagWriter


def arguments(*words):
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(words)


def fail(capsys, *words):
    """Run the command, which must fail, and return the one line that it says."""
    assert demo.run(arguments(*words)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_missing_recording_is_said(tmp_path, capsys):
    line = fail(capsys, "--input", str(tmp_path / "none.mcap"), "--output", str(tmp_path / "out"))
    assert "none.mcap does not exist" in line


def test_a_bag_without_images_is_said(tmp_path, capsys):
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/chatter", "std_msgs/msg/String", 1, {"data": "hello"})
    line = fail(capsys, "--input", str(tmp_path / "bag"), "--output", str(tmp_path / "out"))
    assert "image" in line


def test_a_file_that_is_no_recording_is_said(tmp_path, capsys):
    (tmp_path / "video.mp4").write_bytes(b"not a video")
    assert "video.mp4" in fail(
        capsys, "--input", str(tmp_path / "video.mp4"), "--output", str(tmp_path / "out")
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A tiny sample recording for real nodes, which need ROS."""
    pytest.importorskip("rclpy")
    pytest.importorskip("cotracker_ros.msg")
    from cotracker_ros.synthetic.sample import make_sample

    path = tmp_path_factory.mktemp("sample")
    make_sample(path, seconds=1.5, rate=10, size=(160, 120), progress=False)
    return path


def test_a_sample_is_tracked_scored_and_reported(sample, tmp_path):
    output = tmp_path / "out"
    config = demo.DemoConfig(input=None, output=output, backend="klt", corners=20)
    demo.demonstrate(config, sample)
    numbers = json.loads((output / "summary.json").read_text())
    assert numbers["images"] == 15 and numbers["answered"] >= 14
    assert numbers["tapvid"]["average_jaccard"] > 0.2
    assert numbers["accuracy_3d"]["measured"]["median_cm"] < 20
    assert 0 < numbers["latency"]["p50"] < 1000
    for name in ("report.html", "overlay.mp4", "cloud.ply", "output/metadata.yaml", "logs/tracker.log"):
        assert (output / name).stat().st_size > 0 or name.startswith("logs"), name
    with np.load(sample / "truth.npz") as truth:
        assert f"{truth['visible'][0].sum()} points that can be seen" in (output / "report.html").read_text()


def test_a_tracker_that_cannot_be_configured_is_said_with_its_log(sample, tmp_path, capsys):
    output = tmp_path / "out"
    words = ["--input", str(sample / "sample"), "--output", str(output)]
    line = fail(capsys, *words, "--backend", "network", "--weights", "/no/such.pth")
    assert "/tracker cannot be configured" in line and "/no/such.pth" in line
    assert str(output / "logs" / "tracker.log") in line


def test_without_ros_the_demo_says_so_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "needs ROS 2" in fail(capsys, "--output", str(tmp_path / "demo"))
    assert not (tmp_path / "demo").exists()
