"""Bodies of tracks that the user gave a common label, and what is remembered of any."""

from dataclasses import fields, replace

import numpy as np
import pytest
from body_scenes import Follower, Thing, World, box_points, moving, pose, run, steps

from cotracker_ros.reconstruction.bodies import BodyTracker
from cotracker_ros.reconstruction.body_config import BodiesConfig

STILL = (0, 0, 0)
SETS_OFF = steps(pose(0, 0, 2), (2, STILL, STILL), (9, (0.3, 0, 0), (0, 0.3, 0)))


def test_labelled_tracks_are_a_body_before_they_move():
    world = World([Thing(SETS_OFF, box_points(12), label="cup")])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 110, follower)
    assert [body.label for body in results[0].bodies] == ["cup"]
    assert {body.id for result in results for body in result.bodies} == {1}
    for result in results[:60]:
        assert np.linalg.norm(result.bodies[0].twist[:3]) < 0.02
        assert np.abs(result.bodies[0].pose - results[0].bodies[0].pose).max() < 0.005
    assert len(results[-1].bodies[0].members) >= 11
    assert np.linalg.norm(np.array(follower.errors)[:, :3], axis=1).max() < 0.012
    assert np.mean(follower.nees) / 6 < 3


def test_of_labelled_tracks_those_that_move_are_the_body():
    table = Thing(moving(pose(0, 0, 2.3)), box_points(14, seed=3), label="cup")
    world = World([Thing(SETS_OFF, box_points(12), label="cup"), table])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 110, follower)
    assert len(results[30].bodies[0].members) == 26
    (body,) = results[-1].bodies
    assert (body.id, body.label) == (1, "cup")
    assert world.purity(body) == (0, 1.0)
    # Its pose goes on from where it stood.
    moved = world.things[0].pose(109 / 30) @ np.linalg.inv(world.things[0].pose(0))
    truth = moved @ results[0].bodies[0].pose
    assert np.linalg.norm(body.pose[:3, 3] - truth[:3, 3]) < 0.015
    assert np.mean(follower.nees) / 6 < 3


@pytest.mark.parametrize("correlation", [0.0, 0.9])
@pytest.mark.parametrize("speed", [0.1, 0.3])
def test_body_that_sets_off_is_not_faster_than_it_is(speed, correlation):
    """The way from where it stood was not made within the image in which it is noticed."""
    thing = Thing(
        steps(pose(-0.5, 0, 2), (1, STILL, STILL), (9, (speed, 0, 0), STILL)), box_points(20), label="cup"
    )
    world = World([thing], correlation=correlation)
    follower = Follower(world, 0)
    run(world, BodyTracker(), 75, follower)
    along = [
        error[0] for error, frame in zip(follower.twist_errors, follower.frames, strict=True) if frame >= 30
    ]
    assert max(along) < 0.08
    assert max(abs(error) for error in along[12:]) < 0.06


def test_labelled_body_keeps_to_itself():
    carried = moving(pose(-0.5, 0, 2), (0.3, 0, 0), (0, 0.2, 0))
    cup, hand = Thing(carried, box_points(12), label="cup"), Thing(carried, box_points(20, seed=1) + 0.2)
    world = World([cup, hand])
    results = run(world, BodyTracker(), 100)
    labels = {body.label: world.purity(body) for body in results[-1].bodies}
    assert labels == {"cup": (0, 1.0), "": (1, 1.0)}


def test_two_labels_are_two_bodies():
    cup = Thing(moving(pose(-0.3, 0, 2)), box_points(8), label="cup")
    world = World([cup, Thing(moving(pose(0.3, 0, 2)), box_points(8, seed=1), label="plate")])
    results = run(world, BodyTracker(), 20)
    assert [body.label for body in results[-1].bodies] == ["cup", "plate"]


def test_labelled_body_may_rest_for_ever_and_be_hidden_for_long():
    cup = Thing(moving(pose(0, 0, 2)), box_points(8), lambda t: not 1 < t < 8, label="cup")
    world = World([cup], static=20)
    results = run(world, BodyTracker(BodiesConfig(rest_seconds=1.0, forget_seconds=2.0)), 260)
    assert not results[150].bodies
    assert [(body.id, body.label) for body in results[-1].bodies] == [(1, "cup")]


def test_two_tracks_are_no_body():
    world = World([Thing(moving(pose(0, 0, 2), (0.3, 0, 0)), box_points(2), label="cup")])
    assert not any(result.bodies for result in run(world, BodyTracker(), 60))


def test_points_on_a_line_do_not_pretend_to_know_the_turn_about_it():
    line = np.linspace(-0.1, 0.1, 5)[:, None] * (1, 0, 0)
    world = World([Thing(moving(pose(0, 0, 2), (0.2, 0, 0), (1.0, 0, 0)), line, label="rod")])
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 60, follower)
    sigma = np.sqrt(np.diag(results[-1].bodies[0].covariance))
    assert sigma[3] > 5 * sigma[5] and sigma[3] > 0.5
    assert np.linalg.norm(follower.errors[-1][:3]) < 0.02
    assert np.mean(follower.nees) / 6 < 3


def test_new_labelled_tracks_join_their_body():
    world = World([Thing(moving(pose(0, 0, 2)), box_points(10), label="cup")])
    tracker = BodyTracker()
    tracks, camera = world.tracks(0)
    few = np.flatnonzero(np.arange(len(tracks)) < len(tracks) - 4)
    tracker.update(_rows(tracks, few), camera)
    (body,) = tracker.update(*world.tracks(1)).bodies
    assert len(body.members) == 10


def test_another_epoch_starts_anew_but_ids_go_on():
    world = World([Thing(moving(pose(0, 0, 2)), box_points(10), label="cup")])
    tracker = BodyTracker()
    run(world, tracker, 5)
    tracks, camera = world.tracks(0, epoch=1)
    (body,) = tracker.update(tracks, camera).bodies
    assert body.id == 2 and body.since == tracks.stamp
    tracker.reset()
    assert tracker.update(tracks, camera).bodies[0].id == 1


def test_tracks_that_are_gone_are_no_members():
    world = World([Thing(moving(pose(-0.5, 0, 2), (0.3, 0, 0)), box_points(20), label="cup")])
    tracker = BodyTracker()
    run(world, tracker, 20)
    for frame in range(20, 60):
        tracks, camera = world.tracks(frame)
        bodies = tracker.update(_rows(tracks, np.arange(len(tracks) - 12)), camera)
    assert len(bodies.bodies[0].members) == 8
    for frame in range(60, 120):
        tracks, camera = world.tracks(frame)
        bodies = tracker.update(_rows(tracks, np.arange(80)), camera)
    assert not bodies.bodies and not tracker.state.bodies


def test_same_input_gives_the_same_result():
    def once():
        world = World(
            [Thing(moving(pose(-0.5, 0, 2), (0.3, 0, 0), (0, 0.3, 0)), box_points(20))], outliers=20
        )
        return run(world, BodyTracker(), 60)[-1]

    one, two = once(), once()
    assert len(one.bodies) == 1
    for a, b in zip(one.bodies, two.bodies, strict=True):
        assert all(np.array_equal(getattr(a, item.name), getattr(b, item.name)) for item in fields(a))


def test_memory_is_bounded():
    """Tracks come and go, bodies appear and vanish; what is remembered does not grow."""
    tracker, config = BodyTracker(BodiesConfig(max_bodies=6)), 6
    sizes = []
    for act in range(15):
        things = [
            Thing(moving(pose(x, 0, 2), (0.3, 0, 0), (0, 0.3, 0)), box_points(8, seed=act)) for x in (-0.6, 0)
        ]
        world = World(things, static=20, seed=act)
        for frame in range(30):
            tracks, camera = world.tracks(frame)
            ids = tracks.ids + np.uint32(1000 * act)
            stamp = tracks.stamp + act * 1_000_000_000
            tracker.update(replace(tracks, ids=ids, stamp=stamp), camera)
        state = tracker.state
        arrays = [state.window.xyz, state.members.model, *(body.path for body in state.bodies.values())]
        sizes.append(sum(array.size for array in arrays))
        assert len(state.bodies) <= config and len(state.looks) <= 4 and len(state.agreed) <= 15
    assert state.next_id > 15
    assert max(sizes[5:]) <= 1.2 * max(sizes[:5])


def test_no_tracks_at_all():
    world = World(static=0)
    assert not any(result.bodies for result in run(world, BodyTracker(), 40))


def test_slow_and_irregular_images():
    world = World([Thing(moving(pose(-0.5, 0, 2), (0.2, 0, 0), (0, 0.2, 0)), box_points(20))], rate=8.0)
    follower = Follower(world, 0)
    results = run(world, BodyTracker(), 50, follower)
    assert {body.id for result in results for body in result.bodies} == {1}
    assert np.mean(follower.nees) / 6 < 3


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"window_seconds": 0}, "window_seconds"),
        ({"gate_sigmas": float("nan")}, "gate_sigmas"),
        ({"min_members": 2}, "min_members"),
        ({"max_bodies": 0}, "max_bodies"),
        ({"world_share": 1.5}, "world_share"),
    ],
)
def test_senseless_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        BodiesConfig(**settings)


def _rows(tracks, rows):
    arrays = ("ids", "xyz", "velocity", "sigma", "source", "motion", "flags", "rgb")
    part = {name: getattr(tracks, name)[rows] for name in arrays}
    return replace(tracks, labels=tuple(tracks.labels[row] for row in rows), **part)
