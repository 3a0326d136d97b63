"""Bodies in simulated scenes of known truth: found, followed, lost, found again, split and merged."""

import numpy as np
import pytest
from body_scenes import Follower, Thing, World, box_points, moving, pose, run, steps

from cotracker_ros.reconstruction.bodies import BodyTracker
from cotracker_ros.reconstruction.body_config import BodiesConfig

STILL = (0, 0, 0)


def _rms(errors, part=slice(0, 3)):
    return float(np.sqrt((np.array(errors)[:, part] ** 2).sum(axis=1).mean()))


def _all_ids(results):
    return sorted({body.id for result in results for body in result.bodies})


@pytest.mark.parametrize(
    ("velocity", "turn"),
    [((0.3, 0, 0.1), STILL), (STILL, (0, 0.8, 0.3)), ((0.3, 0, 0.1), (0, 0.8, 0.3))],
    ids=["translates", "rotates", "both"],
)
def test_one_body_is_found_and_followed(velocity, turn):
    world = World([Thing(moving(pose(-0.5, 0, 2), velocity, turn), box_points(30))])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 100, follower)
    assert _all_ids(results) == [1]
    assert follower.frames[0] < 27 and len(follower.frames) == 100 - follower.frames[0]
    assert _rms(follower.errors) < 0.005
    assert _rms(follower.errors, slice(3, 6)) < np.radians(1.5)
    assert _rms(follower.twist_errors[30:]) < 0.06
    assert world.purity(results[-1].bodies[0]) == (0, 1.0)
    assert len(results[-1].bodies[0].members) >= 28


def test_pose_is_relative_to_where_the_body_was_first_seen():
    world = World([Thing(moving(pose(-0.5, 0, 2), (0.3, 0, 0), (0, 0, 0.5)), box_points(30))])
    results = run(world, BodyTracker(), 60)
    first = next(result for result in results if result.bodies)
    body = first.bodies[0]
    np.testing.assert_allclose(body.pose[:3, :3], np.eye(3), atol=1e-9)
    assert body.since == first.stamp
    # The members' places, put where the body is, are where its tracks are.
    last = results[-1].bodies[0]
    placed = last.points @ last.pose[:3, :3].T + last.pose[:3, 3]
    truth, _ = world.truth(59)
    assert np.linalg.norm(placed - truth[last.members.astype(int) - 1], axis=1).max() < 0.02


@pytest.mark.parametrize(("alike", "least"), [(1.0, 1 / 3), (2.5, 1 / 6)])
def test_covariances_say_how_wrong_poses_and_twists_are(alike, least):
    """Simulated tracks err by themselves, and do not slip; by default it is not trusted that real ones do."""
    nees, twist_nees = [], []
    for seed in range(5):
        thing = Thing(moving(pose(-0.5, 0, 2), (0.3, 0.1, 0), (0.2, 0.4, 0.3)), box_points(25, seed=seed))
        world = World([thing], seed=seed)
        follower = Follower(world, 0)
        run(world, BodyTracker(BodiesConfig(alike=alike, slip=0.0)), 60, follower)
        nees += follower.nees
        twist_nees += follower.twist_nees[20:]
    assert least < np.mean(nees) / 6 < 3
    assert least / 3 < np.mean(twist_nees) / 6 < 3


def test_shaken_body_is_followed():
    def shaken(t):
        return pose(0.15 * np.sin(5 * t), 0, 2, 0, 0, 0.4 * np.sin(4 * t))

    world = World([Thing(shaken, box_points(30))])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 150, follower)
    assert _all_ids(results) == [1]
    assert _rms(follower.errors) < 0.012
    assert np.mean(follower.nees) / 6 < 3


def test_two_bodies_cross():
    world = World(
        [
            Thing(moving(pose(-0.7, 0, 2), (0.4, 0, 0), (0, 0.2, 0.3)), box_points(30)),
            Thing(moving(pose(0.7, 0, 2.3), (-0.4, 0, 0), (0, 0.2, 0)), box_points(30, seed=1)),
        ]
    )
    followers = Follower(world, 0), Follower(world, 1)
    results = run(world, BodyTracker(), 120, *followers)
    assert _all_ids(results) == [1, 2]
    for follower in followers:
        assert len(set(follower.ids)) == 1
        assert _rms(follower.errors) < 0.006
    assert all(world.purity(body)[1] == 1.0 for body in results[-1].bodies)


def test_slipping_tracks_do_not_disturb():
    thing = Thing(moving(pose(-0.5, 0, 2), (0.3, 0, 0.1), (0, 0.8, 0.3)), box_points(30))
    world = World([thing], outliers=28)
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 120, follower)
    assert _all_ids(results) == [1]
    assert _rms(follower.errors) < 0.006
    assert world.purity(results[-1].bodies[0])[1] > 0.95


def test_members_that_slip_off_leave():
    thing = Thing(moving(pose(-0.6, 0, 2), (0.3, 0, 0), (0, 0.3, 0)), box_points(30))
    still = steps(pose(-0.6, 0, 2), (1.5, (0.3, 0, 0), (0, 0.3, 0)), (9, STILL, STILL))
    world = World([thing, Thing(still, box_points(6, seed=5))])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 100, follower)
    (body,) = results[-1].bodies
    assert world.purity(body) == (0, 1.0)
    assert _rms(follower.errors) < 0.008


def test_hidden_body_is_predicted_and_then_seen_again():
    def seen(t):
        return not 2.0 < t < 2.7

    world = World([Thing(moving(pose(-0.7, 0, 2), (0.3, 0, 0), (0, 0.3, 0)), box_points(30), seen)])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(BodiesConfig(slip=0.0)), 120, follower)
    assert _all_ids(results) == [1]
    hidden = [frame for frame in range(30, 120) if results[frame].bodies[0].predicted]
    assert hidden == list(range(61, 81))
    sizes = [np.trace(results[frame].bodies[0].covariance) for frame in (60, 65, 70, 80)]
    assert sizes == sorted(sizes) and sizes[-1] > 10 * sizes[0]
    assert np.mean(follower.nees) / 6 < 3
    assert _rms(follower.errors[-20:]) < 0.006


def test_body_hidden_for_long_is_dropped_and_gets_its_id_back():
    def seen(t):
        return not 2.0 < t < 4.0

    world = World([Thing(moving(pose(-0.7, 0, 2), (0.3, 0, 0), (0, 0.3, 0)), box_points(30), seen)])
    tracker, follower = BodyTracker(), Follower(world, 0)
    results = run(world, tracker, 150, follower)
    gone = [frame for frame in range(30, 150) if not results[frame].bodies]
    assert gone[0] in (90, 91) and gone[-1] in range(119, 123)
    assert _all_ids(results) == [1]
    assert _rms(follower.errors[-20:]) < 0.006


def test_body_with_most_members_hidden_is_measured_by_the_rest():
    def seen(t):
        return np.arange(30) % 6 == 0 if t > 1.5 else np.ones(30, bool)

    world = World([Thing(moving(pose(-0.7, 0, 2), (0.3, 0, 0), (0, 0.3, 0)), box_points(30), seen)])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 100, follower)
    assert not results[-1].bodies[0].predicted
    assert len(results[-1].bodies[0].members) == 30
    assert _rms(follower.errors[-30:]) < 0.015
    assert np.mean(follower.nees[-30:]) / 6 < 3


def test_body_that_splits_goes_on_as_its_larger_part():
    common = (2.0, (0.3, 0, 0), STILL)
    large = Thing(
        steps(pose(-0.6, 0, 2), common, (9, (0.3, 0.25, 0), STILL)), box_points(30) + np.array([0, 0.2, 0])
    )
    small = steps(pose(-0.6, 0, 2), common, (9, (0.3, -0.25, 0), STILL))
    world = World([large, Thing(small, box_points(20, seed=1) - np.array([0, 0.2, 0]))])
    followers = Follower(world, 0), Follower(world, 1)
    results = run(world, BodyTracker(), 110, *followers)
    assert [len(result.bodies) for result in results[30:60]] == [1] * 30
    assert followers[0].ids == [1] * len(followers[0].ids)
    one, two = results[-1].bodies
    assert (one.id, two.id) == (1, 2)
    assert world.purity(one) == (0, 1.0) and world.purity(two) == (1, 1.0)
    assert _rms(followers[0].errors) < 0.01


def test_two_bodies_that_go_on_together_become_one():
    common = (9, (0.2, 0, 0), STILL)
    large = Thing(steps(pose(-0.6, -0.5, 2), (1.5, (0.2, 0.2, 0), STILL), common), box_points(30))
    small = steps(pose(-0.6, 0.5, 2), (1.5, (0.2, -0.2, 0), STILL), common)
    world = World([large, Thing(small, box_points(20, seed=1))])
    results = run(world, BodyTracker(), 110)
    assert [len(result.bodies) for result in results[30:55]] == [2] * 25
    (body,) = results[-1].bodies
    assert len(body.members) >= 48
    kept = [body.id for body in results[40].bodies if world.purity(body)[0] == 0]
    assert [body.id] == kept


def test_body_that_stops_stays_the_same_when_it_goes_on():
    path = steps(
        pose(-0.6, 0, 2), (2, (0.3, 0, 0), (0, 0.3, 0)), (5, STILL, STILL), (9, (0.2, 0.1, 0), (0.2, 0.1, 0))
    )
    world = World([Thing(path, box_points(30))])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 200, follower)
    assert _all_ids(results) == [1]
    assert all(result.bodies for result in results[30:])
    assert np.linalg.norm(results[140].bodies[0].twist[:3]) < 0.03
    assert _rms(follower.errors) < 0.006


def test_bodies_that_stand_still_for_long_end():
    path = steps(pose(-0.6, 0, 2), (2, (0.3, 0, 0), STILL), (9, STILL, STILL))
    world = World([Thing(path, box_points(30))])
    results = run(world, BodyTracker(BodiesConfig(rest_seconds=1.0)), 130)
    assert results[80].bodies and not results[-1].bodies


def test_tracks_seen_later_join():
    def seen(t):
        return np.arange(40) < 20 if t < 1.5 else np.ones(40, bool)

    world = World([Thing(moving(pose(-0.5, 0, 2), (0.3, 0, 0), (0, 0.3, 0)), box_points(40), seen)])
    results = run(world, BodyTracker(), 90)
    assert _all_ids(results) == [1]
    assert len(results[40].bodies[0].members) <= 20
    assert len(results[-1].bodies[0].members) >= 38


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_nothing_is_found_where_nothing_moves(correlation):
    world = World(static=150, correlation=correlation)
    results = run(world, BodyTracker(), 1000)
    assert _all_ids(results) == []


def test_nothing_is_found_among_slipping_tracks():
    world = World(static=150, outliers=40, noise=1.5)
    assert _all_ids(run(world, BodyTracker(), 300)) == []


def test_noise_grows_with_the_square_of_the_distance():
    rms, nees = [], []
    for z in (1.5, 3.5):
        world = World([Thing(moving(pose(-0.5, 0, z), (0.3, 0, 0), (0, 0.3, 0)), box_points(30, 0.5))])
        follower = Follower(world, 0)
        run(world, BodyTracker(), 90, follower)
        rms.append(_rms(follower.errors))
        nees.append(np.mean(follower.nees) / 6)
    assert rms[0] < 0.004 and rms[1] < 0.015
    assert max(nees) < 3


def test_understated_noise_is_noticed():
    world = World([Thing(moving(pose(-0.8, 0, 2), (0.3, 0, 0), (0, 0.3, 0)), box_points(30, 0.5))], noise=2.0)
    world.claimed = 0.5
    tracker, follower = BodyTracker(), Follower(world, 0)
    results = run(world, tracker, 120, follower)
    assert tracker.state.noise > 1.5
    assert max(len(body.members) for body in results[-1].bodies) >= 15
    assert np.mean(follower.nees) / 6 < 3


def test_camera_that_is_not_where_it_is_said_to_be_moves_no_body():
    drift = moving(pose(0.3, 0, 0, 0, 0.1, 0), (0.1, 0, 0.05), (0, 0.1, 0))
    world = World(static=120, camera=moving(pose(), (0.05, 0, 0)))
    world.mistake = lambda t: drift(t - 1.5) if t > 1.5 else np.eye(4)
    assert _all_ids(run(world, BodyTracker(), 120)) == []


@pytest.mark.parametrize("count", [2, 6])
def test_far_tracks_that_a_small_turn_would_explain_are_none_of_it(count):
    near = Thing(moving(pose(-0.6, 0, 2), (0.4, 0, 0)), box_points(8))
    far = Thing(moving(pose(-0.6, 0, 3.2), (0.32, 0, 0)), box_points(count, seed=3))
    world = World([near, far])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 90, follower)
    assert results[-1].bodies
    assert all(world.purity(body)[1] == 1.0 for result in results for body in result.bodies)
    assert _rms(follower.errors) < 0.01
    assert np.mean(follower.nees) / 6 < 3


@pytest.mark.parametrize("seed", range(3))
def test_a_rim_that_slides_slowly_is_let_go_before_it_turns_the_body(seed):
    """Tracks on the rim of another thing next to it, which moves almost alike: within what sensors claim."""
    board = np.random.default_rng(seed).uniform((-0.2, -0.2, -0.01), (0.2, 0.2, 0.01), (8, 3))
    rim = np.array([0.45, 0, 0.1]) + np.linspace(-0.25, 0.25, 4)[:, None] * (0, 1, 0)
    goes = Thing(moving(pose(-0.6, 0, 2), (0.3, 0, 0)), board)
    slides = Thing(steps(pose(-0.6, 0, 2), (0.7, (0.27, 0, 0), STILL), (9, (0.24, 0.05, 0), STILL)), rim)
    world = World([goes, slides], seed=seed, noise=0.3, claimed=3.0)
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 90, follower)
    assert results[-1].bodies
    assert all(world.purity(body) == (0, 1.0) for result in results for body in result.bodies)
    assert _rms(follower.errors, slice(3, 6)) < np.radians(1.0)
    assert np.quantile(follower.nees, 0.99) < 20


def test_few_tracks_that_slide_on_a_body_are_none_themselves():
    points = box_points(30)
    body = Thing(moving(pose(-0.6, 0, 2), (0.4, 0, 0)), points[:24])
    slides = Thing(moving(pose(-0.6, 0, 2), (0.3, 0.05, 0)), points[24:])
    world = World([body, slides])
    results = run(world, BodyTracker(), 80)
    assert _all_ids(results) == [1]
    assert world.purity(results[-1].bodies[0])[0] == 0


def test_two_pairs_far_from_each_other_are_no_body():
    pairs = np.array([[0, 0, 0], [0.06, 0.03, 0], [0.9, 0.5, 0.3], [0.96, 0.5, 0.33]])
    world = World([Thing(moving(pose(-0.9, -0.3, 2), (0.4, 0, 0)), pairs)])
    assert _all_ids(run(world, BodyTracker(), 90)) == []


def test_few_members_that_stick_to_what_hides_the_rest_do_not_bring_it_back():
    points = box_points(12)
    stuck = steps(pose(-0.6, 0, 2), (2.0, (0.3, 0, 0), STILL), (9, STILL, STILL))
    goes_on = Thing(moving(pose(-0.6, 0, 2), (0.3, 0, 0)), points[:7], lambda t: t < 2.0)
    sticks = Thing(stuck, points[7:], lambda t: not 2.0 < t < 2.6)
    results = run(World([goes_on, sticks]), BodyTracker(), 180)
    assert results[59].bodies and not results[59].bodies[0].predicted
    assert all(body.predicted for result in results[61:] for body in result.bodies)
    assert not results[-1].bodies


def test_covariance_allows_for_tracks_that_slip_alike_along_the_way():
    world = World([Thing(moving(pose(-0.6, 0, 2), (0.4, 0, 0)), box_points(8))])
    results = run(world, BodyTracker(), 100)
    first = next(k for k, result in enumerate(results) if result.bodies)
    body, way = results[-1].bodies[0], (99 - first) / 30 * 0.4
    # The tracks fell behind by a twentieth of the way: truly it got so much further.
    error = body.pose[:3, 3] - results[first].bodies[0].pose[:3, 3] - [1.05 * way, 0, 0]
    assert np.linalg.norm(error) > 0.03
    assert error @ np.linalg.solve(body.covariance[:3, :3], error) < 14.2
