from dataclasses import replace

import numpy as np
import pytest
from scenes import CAMERA, FIXED, odometry, pose_at, scene, tracks_3d

from cotracker_ros.reconstruction import DepthSource, OdometryState, SceneUpdate
from cotracker_ros.visualization.scene_history import SceneHistory, trail_positions


def test_trails_follow_ids_through_changes():
    history = [tracks_3d(i, ids) for i, ids in enumerate(([1, 2, 3], [9, 3, 1], [3, 4, 1]))]
    for i, tracks in enumerate(history):
        tracks.xyz[:, 0] = i
        tracks.xyz[:, 1] = tracks.ids
    trails = trail_positions(history)
    assert trails.shape == (3, 3, 3)
    np.testing.assert_array_equal(trails[:, 0, 0], [0, 1, 2])  # id 3
    np.testing.assert_array_equal(trails[:, 1, 0], [np.nan, np.nan, 2])  # id 4
    np.testing.assert_array_equal(trails[:, 2, 1], [1, 1, 1])  # id 1
    history[1].source[2] = DepthSource.HELD
    np.testing.assert_array_equal(trail_positions(history)[:, 2, 0], [0, np.nan, 2])  # a guess is no trail
    assert trail_positions([history[0], tracks_3d(1, [])]).shape == (2, 0, 3)


def test_the_past_is_bounded_and_the_path_leads_to_the_camera():
    history = SceneHistory(5)
    for i in range(3000):
        history.add(SceneUpdate(tracks_3d(i), odometry(i), None))
    view = history.view()
    assert view.trails().shape == (5, 3, 3)
    assert len(view.path) <= 1001
    np.testing.assert_allclose(view.path[-1], [299.9, 0, 0])


def test_a_camera_that_stands_does_not_lengthen_its_path():
    history = SceneHistory(5)
    for i in range(50):
        history.add(SceneUpdate(tracks_3d(i), odometry(i, x=0.001 * (i % 2)), None))
    assert len(history.view().path) == 2  # where it was kept, and where it is


def test_where_the_camera_was_lost_the_path_has_a_gap():
    history = SceneHistory(5)
    states = [OdometryState.TRACKING] * 2 + [OdometryState.LOST] * 3 + [OdometryState.PREDICTED]
    for i, state in enumerate(states):
        history.add(SceneUpdate(tracks_3d(i), odometry(i, state=state), None))
        if state == OdometryState.LOST:
            assert np.isnan(history.view().path[-1]).all(), "a guess is not drawn"
    np.testing.assert_allclose(history.view().path[:, 0], [0, 0.1, np.nan, 0.5])


def test_where_the_camera_was_found_back_trails_and_path_begin_anew():
    history = SceneHistory(5)
    for i in range(4):
        found = replace(odometry(i, x=7.0 if i < 3 else 1.0), found_back=i == 3)
        history.add(SceneUpdate(tracks_3d(i), found, None))
    view = history.view()
    np.testing.assert_allclose(view.path[:, 0], [7, np.nan, 1])
    assert len(view.trails()) == 1


def test_another_epoch_or_frame_starts_anew():
    history = SceneHistory(5)
    history.add(scene(0))
    history.add(scene(1, frame_id="base_link"))
    view = history.view()
    assert len(view.recent) == 1
    assert len(view.path) == 2, "the path is in another frame, which goes on"
    history.add(scene(2, epoch=1))
    assert len(history.view().recent) == 1
    assert len(history.view().path) == 1
    history.add(SceneUpdate(tracks_3d(3, epoch=1), odometry(3, frame_id="map"), None))
    assert len(history.view().path) == 1


def test_length_can_change_and_all_can_be_forgotten():
    history = SceneHistory(5)
    for i in range(5):
        history.add(scene(i))
    history.set_length(2)
    assert len(history.view().recent) == 2
    history.clear()
    with pytest.raises(ValueError, match="no scene"):
        history.view()


def test_what_stands_still_before_a_moving_camera_has_no_trail():
    history = SceneHistory(5)
    wall = np.array([[0.0, 0, 2], [1, 0, 2]])
    for i in range(4):
        in_camera = tracks_3d(i, (1, 2), frame_id=CAMERA, xyz=wall - [0.1 * i, 0, 0])
        history.add(SceneUpdate(in_camera, odometry(i), None))
    view = history.view()
    assert view.scene.tracks.frame_id == FIXED
    np.testing.assert_allclose(view.trails(), np.broadcast_to(wall, (4, 2, 3)), atol=1e-6)


def test_the_path_of_a_camera_whose_pose_is_given():
    history = SceneHistory(5)
    for i in range(3):
        history.add(SceneUpdate(tracks_3d(i), None, None), pose_at(0.1 * i))
    np.testing.assert_allclose(history.view().path[:, 0], [0, 0.1, 0.2])
