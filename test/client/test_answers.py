"""What the client makes of results: no ROS."""

import numpy as np
import pytest

from cotracker_ros.client import ClientError, answers
from cotracker_ros.client.memory import Memory
from cotracker_ros.client.target import Target
from cotracker_ros.reconstruction import DepthSource, PointMotion, Tracks3D, TransformBuffer
from cotracker_ros.reconstruction.scene import RigidBodies, RigidBody
from cotracker_ros.tracking.types import TrackFlag, Tracks

NS = 1_000_000_000
PERIOD = NS // 10
MEASURED, HELD, NONE = DepthSource.MEASURED, DepthSource.HELD, DepthSource.NONE
# The camera looks along x of the robot, 1 m above its base.
IN_BASE = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])


def flat(i, *, ids=(1, 2, 3), visible=(True, True, True), labels=("cup", "cup", ""), epoch=0, xy=None):
    count = len(ids)
    return Tracks(
        frame=i,
        stamp=NS + i * PERIOD,
        newest=NS + i * PERIOD,
        epoch=epoch,
        image_size=(64, 48),
        revised=False,
        ids=np.array(ids, np.uint32),
        xy=np.array(xy if xy is not None else [[10, 10]] * count, np.float32).reshape(-1, 2),
        visibility=np.ones(count, np.float32),
        confidence=np.ones(count, np.float32),
        flags=np.where(visible, TrackFlag.VISIBLE, 0).astype(np.uint8),
        age=np.zeros(count, np.uint32),
        rgb=np.zeros((count, 3), np.uint8),
        labels=labels,
    )


def deep(
    i, source=(MEASURED, MEASURED, MEASURED), *, ids=(1, 2, 3), labels=("cup", "cup", ""), epoch=0, **changed
):
    count = len(ids)
    values = {
        "xyz": np.array([[0.0, 0, 2], [0.2, 0, 2], [9, 9, 9]], np.float32)[:count],
        "velocity": np.zeros((count, 3), np.float32),
        "sigma": np.full(count, 0.01, np.float32),
        "motion": np.full(count, PointMotion.STATIC, np.uint8),
    }
    return Tracks3D(
        frame=i,
        stamp=NS + i * PERIOD,
        epoch=epoch,
        frame_id="camera",
        ids=np.array(ids, np.uint32),
        source=np.array(source, np.uint8),
        flags=np.full(count, TrackFlag.VISIBLE, np.uint8),
        rgb=np.zeros((count, 3), np.uint8),
        labels=labels,
        **values | changed,
    )


def remembered(*tracks_3d, at=100.0):
    memory = Memory()
    for tracks in tracks_3d:
        memory.put_tracks_3d(tracks, at)
    return memory


def where(memory, what="cup", frame="", *, transforms=None, now=100.0, max_age=0.5):
    return answers.position(memory, Target.of(what), frame, transforms or TransformBuffer(), now, max_age)


@pytest.mark.parametrize("what", ["", [], None, [1, "a"], 1.5j, -1, [2**32]])
def test_what_names_no_tracks_is_refused(what):
    with pytest.raises(ClientError, match="give a label, an id or a list of ids"):
        Target.of(what)


def test_tracks_are_named_by_label_by_id_and_by_ids():
    ids, labels = np.array([4, 5, 6], np.uint32), ("a", "b", "a")
    assert Target.of("a").among(ids, labels).tolist() == [True, False, True]
    assert Target.of(5).among(ids, labels).tolist() == [False, True, False]
    assert Target.of(np.array([4, 6, 99], np.uint32)).among(ids, labels).tolist() == [True, False, True]
    with pytest.raises(ClientError, match=r"no track is labelled 'c' \(there are: a, b\)"):
        Target.of("c").among(ids, labels)
    with pytest.raises(ClientError, match="there is no track 7"):
        Target.of(7).among(ids, labels)


def test_a_label_is_where_the_median_of_its_measured_points_is():
    xyz = np.array([[0, 0, 2], [1, 0, 2], [50, 50, 50]], np.float32)  # the third has slipped off
    motion = np.array([PointMotion.MOVING, PointMotion.MOVING, PointMotion.STATIC], np.uint8)
    memory = remembered(deep(0, labels=("cup",) * 3, xyz=xyz, motion=motion))
    position = where(memory, now=100.2)
    np.testing.assert_allclose(position.xyz, [1, 0, 2])
    assert position.frame == "camera"
    assert position.stamp == NS
    assert position.measured
    assert position.age == pytest.approx(0.2)
    assert position.moving is True
    assert (position.points, position.total) == (3, 3)
    assert position.sigma == pytest.approx(0.01)


def test_points_without_measurement_do_not_count_beside_measured_ones():
    position = where(remembered(deep(0, (MEASURED, NONE, MEASURED), xyz=np.full((3, 3), 3, np.float32))))
    assert (position.points, position.total) == (1, 2)


def test_motion_that_nobody_knows_is_told_as_unknown():
    motion = np.full(3, PointMotion.UNKNOWN, np.uint8)
    assert where(remembered(deep(0, motion=motion))).moving is None


def test_a_hidden_object_carries_its_age_and_is_refused_when_that_is_too_old():
    hidden = [deep(i, (HELD, HELD, MEASURED)) for i in range(1, 4)]
    memory = remembered(deep(0), *hidden)
    position = where(memory, now=100.1)
    assert not position.measured
    assert position.source == HELD
    assert position.stamp == NS + 3 * PERIOD
    assert position.age == pytest.approx(0.4)
    with pytest.raises(ClientError, match=r"'cup' was last measured 0.60 s ago, .* more than 0.5 s"):
        where(memory, now=100.3)


def test_a_held_position_rests_on_the_points_that_were_seen_last():
    xyz = np.array([[0, 0, 2], [5, 5, 5], [9, 9, 9]], np.float32)
    memory = remembered(
        deep(0), deep(1, (MEASURED, HELD, MEASURED)), deep(2, (HELD, HELD, MEASURED), xyz=xyz)
    )
    position = where(memory)
    np.testing.assert_allclose(position.xyz, xyz[0])
    assert position.points == 1


def test_a_stream_that_ended_gives_no_position():
    with pytest.raises(ClientError, match=r"last measured 2\.00 s ago"):
        where(remembered(deep(0)), now=102.0)


def test_reasons_for_no_position():
    with pytest.raises(ClientError, match="no 3D tracks have come"):
        where(Memory())
    with pytest.raises(ClientError, match="depth was never measured at 'cup'"):
        where(remembered(deep(0, (NONE, NONE, MEASURED))))
    with pytest.raises(ClientError, match="no track is labelled 'plate'"):
        where(remembered(deep(0)), "plate")
    with pytest.raises(ClientError, match=r'no transform names the frame "camera"'):
        where(remembered(deep(0)), frame="base")


def test_a_removed_track_is_not_found_in_older_images():
    memory = remembered(deep(0), deep(1, (MEASURED,), ids=(3,), labels=("",)))
    with pytest.raises(ClientError, match="no track is labelled 'cup'"):
        where(memory)
    assert set(memory.measured) == {3}


def test_a_stream_that_begins_anew_leaves_nothing_behind():
    memory = remembered(deep(5), deep(6), deep(0, (HELD, HELD, HELD), epoch=1))
    assert len(memory.tracks_3d) == 1
    with pytest.raises(ClientError, match="never measured"):
        where(memory)


def test_positions_are_carried_into_a_frame_at_the_images_stamp():
    transforms = TransformBuffer()
    for i in range(2):
        moved = IN_BASE.copy()
        moved[0, 3] = 10 * i
        transforms.set("base", "camera", NS + i * PERIOD, moved)
    position = where(remembered(deep(0), deep(1)), frame="base", transforms=transforms)
    np.testing.assert_allclose(position.xyz, [12, -0.1, 1], atol=1e-6)
    assert position.frame == "base"


def test_the_image_before_answers_while_the_newest_transform_is_on_its_way():
    transforms = TransformBuffer()
    transforms.set("base", "camera", NS, IN_BASE)
    memory = remembered(deep(0), deep(1))
    position = where(memory, frame="base", transforms=transforms)
    assert position.stamp == NS
    assert position.age == pytest.approx(0.1)
    with pytest.raises(ClientError, match=r"more than 0\.05 s"):
        where(memory, frame="base", transforms=transforms, max_age=0.05)


def test_visible_share_is_of_the_newest_image_and_not_of_an_old_one():
    memory = Memory()
    memory.put_tracks(flat(0), 100.0)
    memory.put_tracks(flat(1, visible=(True, False, False)), 100.1)
    assert answers.visible_share(memory, Target.of("cup"), 100.2) == 0.5
    assert answers.visible_share(memory, Target.of([1]), 100.2) == 1.0
    with pytest.raises(ClientError, match=r"the last 2D tracks came 5\.0 s ago"):
        answers.visible_share(memory, Target.of("cup"), 105.1)


def test_moving_tracks_are_seen_fast_and_believed_to_move():
    speed = np.array([[0.3, 0, 0], [0.01, 0, 0], [np.nan] * 3], np.float32)
    motion = np.full(3, PointMotion.MOVING, np.uint8)
    memory = remembered(deep(0, velocity=speed, motion=motion))
    memory.put_tracks(flat(0, xy=[[10, 10], [40, 40], [10, 10]]), 100.0)

    def moving(what, **changed):
        return answers.moving_ids(memory, what, changed.get("speed", 0.1), 100.0).tolist()

    assert moving(None) == [1]
    assert moving(None, speed=0.005) == [1, 2]
    assert moving([0, 0, 20, 20], speed=0.005) == [1]
    assert moving([30, 30, 20, 20], speed=0.005) == [2]
    assert moving(Target.of("cup")) == [1]
    assert answers.seen_in_box(memory, [0, 0, 20, 20], 100.0).tolist() == [1, 3]
    assert answers.enough_move(memory, Target.of("cup"), 0.005, 5, 100.0), "all that there are"
    assert not answers.enough_move(memory, None, 0.005, 5, 100.0)
    assert not answers.enough_move(memory, Target.of("cup"), 0.1, 2, 100.0)
    memory.put_tracks_3d(deep(1, (HELD, MEASURED, MEASURED), velocity=speed, motion=motion), 100.0)
    assert moving(None) == [], "what is not measured is not seen to move"


def body(i, label="cup", members=(1, 2), *, id=1):
    pose = np.eye(4)
    pose[:3, 3] = 0, 0, 2
    return RigidBody(
        id=id,
        label=label,
        pose=pose,
        covariance=np.eye(6),
        twist=np.array([0.0, 0, 1, 0, 2, 0]),
        twist_covariance=np.eye(6),
        predicted=False,
        since=NS,
        members=np.array(members, np.uint32),
        points=np.zeros((len(members), 3)),
    )


def bodies(i, *found):
    return RigidBodies(frame=i, stamp=NS + i * PERIOD, epoch=0, frame_id="camera", bodies=found)


def test_a_bodys_pose_and_twist_are_carried_into_a_frame():
    transforms = TransformBuffer()
    transforms.set("base", "camera", 0, IN_BASE, static=True)
    memory = Memory()
    memory.put_bodies(bodies(0, body(0), body(0, members=(5, 6, 7), id=2), body(0, "lid", id=3)), 100.0)
    found = answers.body_pose(memory, "cup", "base", transforms, 100.1, 0.5)
    assert found.id == 2, "the one with most points"
    np.testing.assert_allclose(found.xyz, [2, 0, 1])
    np.testing.assert_allclose(found.quaternion, [-0.5, 0.5, -0.5, 0.5])
    np.testing.assert_allclose(found.twist, [1, 0, 0, 0, 0, -2])
    assert found.age == pytest.approx(0.1)
    with pytest.raises(ClientError, match=r"no moving body is labelled 'pan' \(moving: 'cup', 'lid'\)"):
        answers.body_pose(memory, "pan", "base", transforms, 100.1, 0.5)
    with pytest.raises(ClientError, match=r"'cup' was last seen 1\.00 s ago"):
        answers.body_pose(memory, "cup", "base", transforms, 101.0, 0.5)
