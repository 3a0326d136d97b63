"""A camera that was lost for long is found back by the landmarks of before, and only by them."""

import numpy as np
import pytest
from ego_scenes import Room, every_track, joined, swaying

from cotracker_ros.evaluation.scene_metrics import THREE_SIGMA, squared_distances
from cotracker_ros.reconstruction.ego_motion import EgoMotion
from cotracker_ros.reconstruction.rigid import difference
from cotracker_ros.reconstruction.scene import OdometryState

RATE = 30
HIDDEN = range(60, 180)  # images in which nothing known is seen, four seconds
IMAGES = 230


def _film(*, meanwhile: bool, carried: float = 0.0, forgotten: bool = False):
    """Yield poses and points of a room that is hidden for a time.

    Args:
        meanwhile: Points of elsewhere are seen while the room is hidden, and some images longer.
        carried: How far half of the room's points are carried while they are hidden, m.
        forgotten: The room's tracks end while they are hidden.
    """
    room, elsewhere = Room(count=200, seed=3), Room(count=150, seed=4)
    for k in range(IMAGES):
        pose = swaying(k / RATE)
        world = room.points.copy()
        world[::2, 0] += carried * (k >= HIDDEN.start)
        first = 5_000 if forgotten and k >= HIDDEN.start else 1
        known = every_track(room, pose, k, world, first)
        other = every_track(elsewhere, pose, k, elsewhere.points, 10_000)
        if k in HIDDEN:
            known.xyz[:] = np.nan
        if not (meanwhile and HIDDEN.start <= k < HIDDEN.stop + 5):
            other.xyz[:] = np.nan
        yield pose, joined(known, other)


def _run(film):
    ego = EgoMotion()
    results, errors = [], []
    for pose, points in film:
        results.append(ego.update(points, "odom", "camera"))
        errors.append(difference(results[-1].pose, pose))
    distances = squared_distances(np.array(errors[1:]), np.array([item.covariance for item in results[1:]]))
    tracking = np.array([item.state is OdometryState.TRACKING for item in results[1:]])
    assert not (tracking & (distances > THREE_SIGMA[5])).any()
    return ego, results, np.linalg.norm(np.array(errors)[:, :3], axis=1)


@pytest.mark.parametrize("meanwhile", [False, True])
def test_the_pose_returns_with_the_landmarks(meanwhile):
    ego, results, errors = _run(_film(meanwhile=meanwhile))
    assert results[HIDDEN.stop - 1].covariance[0, 0] > 1
    assert results[HIDDEN.stop - 1].state is (OdometryState.TRACKING if meanwhile else OdometryState.LOST)
    again = results[HIDDEN.stop + 2 :]
    assert {item.state for item in again} == {OdometryState.TRACKING}
    assert max(item.covariance[0, 0] for item in again) < 1e-3
    assert errors[HIDDEN.stop + 2 :].max() < 0.02
    assert sum(item.found_back for item in results) == meanwhile
    assert ego.state.former is None


def test_what_was_placed_meanwhile_moves_along_and_has_to_prove_itself():
    ego = EgoMotion()
    for _, points in _film(meanwhile=True):
        found = ego.update(points, "odom", "camera").found_back
        if found:
            break
    landmarks, other = ego.state.landmarks, ego.state.landmarks.ids >= 10_000
    assert not landmarks.votes[other].any()
    assert landmarks.votes[~other].sum() > 50
    truth = Room(count=150, seed=4).points[landmarks.ids[other] - 10_000]
    apart = np.linalg.norm(landmarks.position[other] - truth, axis=1)
    assert np.nanmedian(apart) < 0.03


def test_landmarks_that_contradict_each_other_tell_nothing():
    """Half of the room was carried away behind the camera's back: which half stands?"""
    _, results, _ = _run(_film(meanwhile=True, carried=0.3))
    assert not any(item.found_back for item in results)
    assert results[-1].covariance[0, 0] > 1


def test_without_the_tracks_of_before_the_camera_stays_uncertain():
    ego, results, _ = _run(_film(meanwhile=True, forgotten=True))
    assert not any(item.found_back for item in results)
    assert results[-1].covariance[0, 0] > 1
    assert ego.state.former is None
