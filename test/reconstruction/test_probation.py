"""Something that is carried before the camera must not become the world, though it fills the view."""

import numpy as np
import pytest
from ego_scenes import FOCAL, Room, every_track, joined, still, swaying

from cotracker_ros.evaluation.scene_metrics import THREE_SIGMA, squared_distances
from cotracker_ros.reconstruction.ego_motion import EgoMotion
from cotracker_ros.reconstruction.ego_types import CameraPoints, EgoMotionConfig
from cotracker_ros.reconstruction.landmarks import admit, no_landmarks
from cotracker_ros.reconstruction.observation import Observation
from cotracker_ros.reconstruction.pose_fit import errors_from
from cotracker_ros.reconstruction.probation import examine, grown_view, obstructed_voters
from cotracker_ros.reconstruction.rigid import difference
from cotracker_ros.reconstruction.scene import OdometryState
from cotracker_ros.reconstruction.sighting import Sighting

TRACKING, PREDICTED, LOST = OdometryState.TRACKING, OdometryState.PREDICTED, OdometryState.LOST
CONFIG = EgoMotionConfig()
RATE = 30
COMES, STARTS, GOES = 30, 75, 120  # images: a board is there and all but rests, moves off, is gone
FIRST = 10_000  # id of the board's points


def _board(k: int) -> np.ndarray:
    """Return how far the board has come in image `k`, m: 4 cm/s, later 60."""
    slow, fast = min(k, STARTS) - COMES, max(k - STARTS, 0)
    return np.array([0.04 * slow + 0.6 * fast, 0.0, 0.0]) / RATE


def _carried_past(path, images, *, left, seed=0):
    """Yield poses and points: a board hides the view from COMES to GOES, but for `left` of the room's points.

    Tracks of the room that are hidden stay in the list; the board's are born when it has come.
    """
    room = Room(count=240, length=2.4, seed=seed)
    board = Room(count=150, length=1.0, seed=seed + 1)
    board.points[:, 1:] = board.points[:, 1:] * [0.4, 0.05] + [0.0, 0.85]
    visible = np.flatnonzero(
        (np.abs(room.points[:, :2] / room.points[:, 2:]) * FOCAL < [200, 150]).all(axis=1)
    )
    spared = room.rng.choice(visible, left, replace=False)
    for k in range(images):
        pose = path(k / RATE)
        points = every_track(room, pose, k, room.points, 1)
        there = COMES <= k < GOES
        if there:
            hidden = np.ones(len(points.ids), bool)
            hidden[spared] = False
            points.xyz[hidden] = np.nan
            points = joined(points, every_track(board, pose, k, board.points + _board(k), FIRST))
        yield pose, points


def _run(sequence, ego):
    results, errors, voters = [], [], []
    for pose, points in sequence:
        result = ego.update(points, "odom", "camera")
        results.append(result)
        errors.append(difference(result.pose, pose))
        landmarks = ego.state.landmarks
        voters.append(int((landmarks.votes & (landmarks.ids >= FIRST)).sum()))
    distances = squared_distances(np.array(errors[1:]), np.array([item.covariance for item in results[1:]]))
    tracking = np.array([item.state == TRACKING for item in results[1:]])
    beyond = tracking & (distances > THREE_SIGMA[5])
    return results, np.linalg.norm(np.array(errors)[:, :3], axis=1), voters, beyond


@pytest.mark.parametrize("path", [still, swaying])
def test_few_that_are_known_outweigh_many_that_came_later(path):
    """A board with four times as many points rests nearly for 1.5 s, then moves off."""
    results, errors, voters, beyond = _run(_carried_past(path, 125, left=40), EgoMotion())
    assert max(voters) == 0
    assert not beyond.any()
    assert errors.max() < 0.03
    assert sum(item.state is TRACKING for item in results) > 120


def test_without_probation_the_board_takes_the_pose():
    hasty = EgoMotionConfig(probation_seconds=1e-3, obstructed_seconds=1e-3)
    _, errors, voters, _ = _run(_carried_past(still, 110, left=25), EgoMotion(hasty))
    assert max(voters) > 100
    assert errors.max() > 0.1


@pytest.mark.parametrize("path", [still, swaying])
def test_a_view_that_is_hidden_whole_is_flagged_until_the_landmarks_are_back(path):
    results, _, _, beyond = _run(_carried_past(path, 150, left=3), EgoMotion())
    states = [item.state for item in results]
    assert states[COMES + 2] is PREDICTED
    assert set(states[COMES + 20 : COMES + 55]) == {LOST}  # and not begun anew on the board
    assert "known points are seen, most of those that should be in view are hidden" in results[60].reason
    assert results[COMES + 25].covariance[0, 0] > 1
    assert not beyond.any()


def test_landmarks_that_come_back_in_time_tell_the_old_pose_again():
    def sequence():
        for k, pair in enumerate(_carried_past(swaying, 200, left=3)):
            if not COMES + 50 <= k < GOES:
                yield pair

    results, errors, _, _ = _run(sequence(), EgoMotion())
    assert results[COMES + 49].state is LOST
    assert {item.state for item in results[COMES + 52 :]} == {TRACKING}
    assert errors[COMES + 52 :].max() < 0.02
    assert results[-1].covariance[0, 0] < 1e-3


def test_a_blurred_image_does_not_keep_newcomers_from_voting():
    """Most tracks are lost in two images, and many new ones begin there: the voters are few beside them."""
    ego, room, more = EgoMotion(), Room(count=150, length=2.4), Room(count=250, length=2.4, seed=1)
    for k in range(60):
        pose = swaying(k / RATE)
        points = every_track(room, pose, k, room.points, 1)
        blurred = k in (30, 31)
        if blurred:
            points.xyz[40:] = np.nan
        if k >= 30:
            points = joined(points, every_track(more, pose, k, more.points, FIRST))
        result = ego.update(points, "odom", "camera")
        assert bool(ego.state.obstructed) is blurred
    voters = ego.state.landmarks.votes & (ego.state.landmarks.ids >= FIRST)
    assert voters.sum() > 100
    assert result.state is TRACKING
    assert np.linalg.norm(result.pose[:3, 3] - pose[:3, 3]) < 0.02


def test_a_world_that_leaves_the_view_is_not_obstructed():
    """New tracks take over within the time that points stay in view."""
    ego = EgoMotion()
    room = Room(count=900, length=12.0)
    room.points[:, 0] += 3.0
    for k in range(150):
        pose = np.eye(4)
        pose[0, 3] = 1.0 * k / RATE
        result = ego.update(room.see(pose, k), "odom", "camera")
        assert result.state is TRACKING
        assert not ego.state.obstructed
    assert np.linalg.norm(result.pose[:3, 3] - pose[:3, 3]) < 0.08


def _placed(xyz, *, votes):
    count = len(xyz)
    uvw = np.column_stack([xyz[:, :2] / xyz[:, 2:], 1 / xyz[:, 2]])
    sighting = Sighting(uvw, np.full((count, 3), 1e-6))
    landmarks = no_landmarks(np.arange(1, count + 1))
    rows = np.arange(count)
    placed = admit(landmarks, rows, sighting, np.eye(4), np.zeros(6), np.zeros((6, 6)), 0, votes=votes)
    return placed, sighting


def test_a_vote_takes_time_without_contradiction_or_suspicion():
    landmarks, _ = _placed(np.array([[0.0, 0, 2], [0.3, 0, 2], [0, 0.3, 2]]), votes=False)
    for stamp, still_ in ((100, [True, False, False]), (200, [True] * 3), (299, [True] * 3)):
        landmarks = examine(landmarks, np.arange(3), np.array(still_), stamp, wait=200)
        assert landmarks.votes.tolist() == [stamp >= 200, False, False]
    landmarks = examine(landmarks, np.arange(3), np.ones(3, bool), 300, wait=200)
    assert landmarks.votes.all()


def test_the_poses_own_error_is_no_contradiction():
    landmarks, sighting = _placed(np.array([[0.0, 0, 2], [0.3, 0, 2]]), votes=False)
    off = Sighting(sighting.uvw + np.array([0.01, 0, 0]), sighting.variance)
    for sigma, agrees in ((1e-3, False), (0.02, True)):
        errors = errors_from(np.eye(4), np.eye(6) * sigma**2, off, landmarks.position, landmarks.covariance)
        assert (errors.squared < CONFIG.cutoff_sigmas**2).tolist() == [agrees, agrees]


def _points(count):
    return CameraPoints(
        stamp=0,
        epoch=0,
        ids=np.arange(1, count + 1, dtype=np.uint32),
        xyz=np.ones((count, 3)),
        sigma=np.ones(count),
        image_sigma=1e-3,
        moving=np.zeros(count, bool),
    )


def test_obstructed_means_hidden_within_the_view():
    rng = np.random.default_rng(0)
    xyz = np.column_stack([rng.uniform(-1, 1, (100, 2)), np.full(100, 2.0)])
    landmarks, sighting = _placed(xyz, votes=True)
    view = grown_view(None, Observation(_points(100), sighting, np.ones(100, bool)))
    assert view is not None
    np.testing.assert_allclose(view, [sighting.uvw[:, :2].min(axis=0), sighting.uvw[:, :2].max(axis=0)])
    third = np.arange(100) < 33
    voters = obstructed_voters(landmarks, np.eye(4), view, third, 0, CONFIG)
    assert 70 < voters <= 100
    assert obstructed_voters(landmarks, np.eye(4), view, third, 120, CONFIG) == 120
    assert obstructed_voters(landmarks, np.eye(4), view, ~third, voters, CONFIG) == 0
    # Two thirds are no longer seen because the camera has gone on to the right.
    away = np.eye(4)
    away[0, 3] = 1.4
    assert obstructed_voters(landmarks, away, view, xyz[:, 0] > 0.4, 0, CONFIG) == 0
    # Out of all sight nothing is known, and what was believed stays.
    away[0, 3] = 10
    assert obstructed_voters(landmarks, away, view, third, 50, CONFIG) == 50
