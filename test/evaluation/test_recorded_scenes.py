"""Whole recordings of scenes that stand still: points and poses against the given depth and poses."""

import numpy as np
import pytest

from cotracker_ros.evaluation import scene_evaluation
from cotracker_ros.evaluation.candidates import make_candidates
from cotracker_ros.evaluation.datasets.rgbd import RgbdFrame
from cotracker_ros.evaluation.recorded_scenes import (
    FEWEST_IMAGES,
    RgbdOdometryScore,
    recording_inputs,
    score_recording,
)
from cotracker_ros.evaluation.scene_tables import RecordedResult, recorded_table
from cotracker_ros.evaluation.trajectory_metrics import trajectory_errors
from cotracker_ros.reconstruction import CameraModel
from cotracker_ros.synthetic import Scene, even_stamps, random_room
from cotracker_ros.synthetic.sequences import record_scene
from cotracker_ros.tracking import KltTracker

COUNT = 36


@pytest.fixture(scope="module")
def frames():
    room = random_room(3)
    still = Scene(room.bodies[:1], room.lamp, room.camera)
    sequence = record_scene(still, "room", even_stamps(COUNT, 20.0), size=(320, 240))
    camera = CameraModel(320, 240, sequence.view.matrix)
    # Depth as data sets have it: 0 where nothing was measured; poses with the rounding of text files.
    return [
        RgbdFrame(
            sequence.images[k],
            sequence.depth[k].astype(np.float32) / 1000,
            sequence.camera_poses[k].round(6),
            camera,
            int(sequence.stamps[k]),
        )
        for k in range(COUNT)
    ]


@pytest.fixture(scope="module")
def scores(frames):
    return score_recording(iter(frames), KltTracker(), points=120)


def test_points_and_poses_of_a_static_scene(scores):
    assert set(scores) == {"tracks", "transforms"}
    for score in scores.values():
        assert score.measured.count > 500 and score.measured.median_cm < 4
        assert score.milliseconds[0] > 0
    odometry = scores["tracks"].odometry
    assert odometry.images == COUNT and odometry.tracking > 0.9
    assert 0.1 < odometry.errors.path < 2 and odometry.errors.rmse < 0.1


def test_a_short_recording_says_nothing(frames):
    assert score_recording(frames[: FEWEST_IMAGES - 1], KltTracker(), points=20) == {}


def test_recordings_without_times_are_played_at_30_images_a_second(frames):
    timeless = [RgbdFrame(f.image, f.depth, f.pose, f.camera) for f in frames[:4]]
    stamps = [item.stamp for item in recording_inputs(timeless)]
    assert stamps == [0, 33_333_333, 66_666_667, 100_000_000]
    assert [item.stamp for item in recording_inputs(frames[:2])] == [f.stamp for f in frames[:2]]


def test_the_table_tells_open3d_apart_and_says_when_it_is_missing(scores, frames):
    path = np.array([frame.pose for frame in frames])
    open3d = RgbdOdometryScore(trajectory_errors(path, path), 345.0)
    table = recorded_table(RecordedResult("room", {"klt": scores}, open3d))
    assert "| klt | tracks | " in table and "| klt | transforms | " in table
    (row,) = [line for line in table.splitlines() if "Open3D" in line]
    assert "| 345 |" in row and "| 0.0 | 0.0 |" in row
    without = recorded_table(RecordedResult("room", {"klt": scores}, None))
    assert "install `cotracker_ros[dense]`" in without


def test_an_evaluation_goes_on_without_open3d(monkeypatch, frames, tmp_path):
    def missing(_):
        raise scene_evaluation.Open3dError("not there")

    monkeypatch.setattr(scene_evaluation, "score_rgbd_odometry", missing)
    monkeypatch.setattr(
        scene_evaluation, "registered_static_scene", lambda *_: iter([lambda f=frame: f for frame in frames])
    )
    found = scene_evaluation.evaluate_recording(tmp_path, make_candidates(["klt"]), points=40)
    assert found.open3d is None and set(found.trackers["klt"]) == {"tracks", "transforms"}
