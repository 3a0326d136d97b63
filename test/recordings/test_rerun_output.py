"""Rerun recordings: read back with Rerun's own tools where it is installed."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import FIXED, body, scene

from cotracker_ros.cli import main
from cotracker_ros.reconstruction import CameraModel, Lifter, LifterConfig
from cotracker_ros.recordings import (
    CameraEvent,
    ImageEvent,
    RecordingError,
    ReplayStep,
    open_recording,
    replay,
)
from cotracker_ros.recordings.outputs import run_steps
from cotracker_ros.recordings.rerun_output import RerunOutput
from cotracker_ros.tracking import SessionConfig, TrackingSession, create_tracker

from .conftest import textured_messages, write_rosbag2


def test_without_rerun_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(RecordingError, match=r"pip install .*\[rerun\]"):
        RerunOutput(tmp_path / "out.rrd")
    assert not (tmp_path / "out.rrd").exists()


def rows(path):
    """Everything in the recording: entity -> rows of (stamp or None, {component: value}), oldest first."""
    chunks = pytest.importorskip("rerun.chunk", reason="reading recordings needs Rerun")
    found = {}
    for chunk in chunks.RrdReader(path).stream().to_chunks():
        batch = chunk.to_record_batch()
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names if ":" in name}
        stamps = batch.column("stamp").cast("int64").to_pylist() if "stamp" in batch.schema.names else None
        for i in range(batch.num_rows):
            values = {name: column[i] for name, column in columns.items() if column[i] is not None}
            found.setdefault(chunk.entity_path, []).append((stamps[i] if stamps else None, values))
    return {entity: sorted(items, key=lambda item: item[0] or 0) for entity, items in found.items()}


@pytest.fixture
def rerun():
    return pytest.importorskip("rerun", reason="writing recordings needs Rerun")


def run_replay(path, messages, **lifting):
    recording = open_recording(write_rosbag2(path.parent / "bag", messages))
    lifter = Lifter(LifterConfig(**lifting)) if recording.summary.has_depth else None
    session = TrackingSession(create_tracker("klt"), SessionConfig(seed="grid", seed_count=9))
    run_steps(replay(recording, session, lifter), [RerunOutput(path, lifter)], images=4, progress=False)
    return rows(path)


def test_a_replay_becomes_a_recording(rerun, tmp_path):
    found = run_replay(tmp_path / "new" / "out.rrd", textured_messages(images=4), target_frame="map")
    stamps = [1_000_000_000 + i * 100_000_000 for i in range(4)]
    assert {"/world/trails/static", "/world/camera_path", "/world/map"} <= set(found)
    images = [item for item in found["/world/camera/image"] if "EncodedImage:blob" in item[1]]
    assert [stamp for stamp, _ in images] == stamps
    assert bytes(images[0][1]["EncodedImage:blob"][0][:3]) == b"\xff\xd8\xff", "a JPEG"
    lenses = [values for _, values in found["/world/camera/image"] if "Pinhole:image_from_camera" in values]
    # Column by column; the principal point is counted from the corner of the first pixel.
    np.testing.assert_allclose(lenses[-1]["Pinhole:image_from_camera"][0], [100, 0, 0, 0, 100, 0, 64, 48, 1])
    assert [stamp for stamp, _ in found["/world/camera/image/tracks"]] == stamps
    camera = [values["Transform3D:translation"][0][0] for _, values in found["/world/camera"]]
    np.testing.assert_allclose(camera, [0, 0.04, 0.08, 0.12], atol=1e-6)
    points = np.array(found["/world/points"][-1][1]["Points3D:positions"])
    np.testing.assert_allclose(points[:, 2], 2.0, atol=0.01, err_msg="the wall is at 2 m")


def test_points_in_the_camera_frame_are_drawn_where_they_are(rerun, tmp_path):
    given = {"fixed_frame": "map", "target_frame": "camera_optical_frame"}
    found = run_replay(tmp_path / "a.rrd", textured_messages(images=4), **given)
    first, last = (np.array(found["/world/points"][i][1]["Points3D:positions"]) for i in (0, -1))
    still = np.linalg.norm(first[:, None] - last[None], axis=2).min(axis=1)
    assert (still < 0.02).sum() >= 6, "the camera moved by 0.12 m, the wall did not"


def test_a_recording_without_depth_has_image_and_tracks(rerun, tmp_path):
    messages = [m for m in textured_messages(images=3) if m[0] == "/camera/color/image_raw"]
    found = run_replay(tmp_path / "a.rrd", messages)
    assert len(found["/world/camera/image/tracks"]) == 3
    assert "/world/points" not in found


def test_large_images_are_stored_smaller_with_tracks_and_lens_that_fit(rerun, tmp_path):
    output = RerunOutput(tmp_path / "a.rrd", None)
    camera = CameraModel(1920, 1080, np.array([[1000.0, 0, 959.5], [0, 1000, 539.5], [0, 0, 1]]))
    output.take(ReplayStep(CameraEvent(5, "camera", camera), 5, "camera"))
    step = ReplayStep(ImageEvent(5, "camera", np.zeros((1080, 1920, 3), np.uint8)), 5, "camera")
    output.take(step)
    output.finish(step)
    values = {}
    for _, more in rows(tmp_path / "a.rrd")["/world/camera/image"]:
        values |= more
    image = cv2.imdecode(np.array(values["EncodedImage:blob"][0], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (540, 960, 3)
    lens = values["Pinhole:image_from_camera"][0]
    np.testing.assert_allclose(lens, [500, 0, 0, 0, 500, 0, 480, 270, 1])


def made_up(path, scenes):
    lifter = Lifter(LifterConfig(target_frame=FIXED, camera_pose="tracks"))
    lifter.scene.fixed_frame = FIXED
    output = RerunOutput(path, lifter)
    for item in scenes:
        step = ReplayStep(None, 0, "camera_optical_frame", (), (item,))
        output.take(step)
    output.finish(step)
    return rows(path)


def test_bodies_come_and_go_and_the_odometry_has_its_course(rerun, tmp_path):
    found = made_up(
        tmp_path / "a.rrd", [scene(0, body(3), body(4, predicted=True)), scene(1, body(3)), scene(2)]
    )
    boxes = [values for _, values in found["/world/bodies"]]
    assert [len(values["Boxes3D:centers"]) for values in boxes] == [2, 1, 0]
    assert boxes[0]["Boxes3D:labels"] == ["3 cup", "4 cup (predicted)"]
    np.testing.assert_allclose(boxes[0]["Boxes3D:centers"][0], [1.0, 2.1, 3.0], atol=1e-6)
    np.testing.assert_allclose(boxes[0]["Boxes3D:half_sizes"][0], [0.2, 0.1, 0.005], atol=1e-6)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(np.abs(boxes[0]["Boxes3D:quaternions"][0]), [0, 0, half, half], atol=1e-6)
    arrows = found["/world/bodies/axes"][0][1]["Arrows3D:vectors"]
    np.testing.assert_allclose(arrows[0], [0, 0.15, 0], atol=1e-6)
    assert [values["Scalars:scalars"] for _, values in found["/odometry/state"]] == [[0.0]] * 3
    assert [values["TextLog:text"] for _, values in found["/odometry/log"]] == [["tracking"]]
    assert [values["Transform3D:translation"][0][0] for _, values in found["/world/camera"]] == pytest.approx(
        [0, 0.1, 0.2]
    )


def test_a_layout_is_in_the_file(rerun, tmp_path):
    made_up(tmp_path / "a.rrd", [scene(0)])
    chunks = pytest.importorskip("rerun.chunk")
    assert len(chunks.RrdReader(tmp_path / "a.rrd").blueprints()) == 1


def test_a_file_that_is_there_is_not_replaced_unasked(rerun, tmp_path):
    path = tmp_path / "a.rrd"
    path.write_text("precious")
    with pytest.raises(RecordingError, match="exists already"):
        RerunOutput(path)
    assert path.read_text() == "precious"
    output = RerunOutput(path, overwrite=True)
    output.finish(ReplayStep(None, 0, ""))
    assert path.read_bytes()[:4] == b"RRF2"


def test_a_place_that_cannot_be_written_is_refused(rerun):
    with pytest.raises(RecordingError, match="cannot be written"):
        RerunOutput(Path("/proc/no/a.rrd"))


def test_the_command_writes_one_and_says_what_is_missing(tmp_path, monkeypatch, capsys):
    source = write_rosbag2(tmp_path / "bag", textured_messages(images=2))
    arguments = ["replay", str(source), str(tmp_path / "out.mcap"), "--backend", "klt"]
    arguments += ["--rerun", str(tmp_path / "out.rrd"), "--target-frame", "map", "--overwrite"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "rerun", None)
        assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install" in line
    pytest.importorskip("rerun")
    assert main(arguments) == 0
    assert len(rows(tmp_path / "out.rrd")["/world/camera"]) == 2
