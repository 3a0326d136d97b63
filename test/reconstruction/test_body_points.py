"""What bodies tell of their members: flags, velocities and the places of hidden ones."""

import numpy as np
import pytest

from cotracker_ros.reconstruction import DepthSource, PointMotion, RigidBody, pose_matrix
from cotracker_ros.reconstruction.body_points import with_bodies
from cotracker_ros.reconstruction.lifting import Lifted
from cotracker_ros.reconstruction.motion import unknown_points

IDS = np.array([9, 4, 7, 5, 8], np.uint32)
STILL, MOVES, UNKNOWN = PointMotion.STATIC, PointMotion.MOVING, PointMotion.UNKNOWN
CENTRE = np.zeros(3)


def lifted(motion, source=(DepthSource.MEASURED,) * 5):
    """Points one metre apart on the x axis, 2 m ahead, measured to 1 cm when they were last."""
    states = unknown_points(IDS)
    states.sigma[:] = 0.01
    xyz = np.column_stack([np.arange(5.0), np.zeros(5), np.full(5, 2.0)])
    return Lifted(
        states=states,
        xyz=xyz,
        velocity=np.full((5, 3), np.nan),
        sigma=np.full(5, 0.01),
        source=np.array(source, np.uint8),
        motion=np.array(motion, np.uint8),
        lever=np.zeros((len(xyz), 3)),
        rejected=0,
    )


def body(members, points, *, twist=(0.0,) * 6, predicted=False, pose=None, sigma=0.0):
    return RigidBody(
        id=1,
        label="",
        pose=np.eye(4) if pose is None else pose,
        covariance=np.eye(6) * sigma**2,
        twist=np.array(twist),
        twist_covariance=np.eye(6),
        predicted=predicted,
        since=0,
        members=np.array(members, np.uint32),
        points=np.array(points, float),
    )


def told(points, *bodies):
    return with_bodies(points, IDS, bodies, CENTRE, 0.1)


TURNING = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
ON_IT = [[0.3, 0.0, 2.0], [0.0, 0.02, 2.0]]  # one far from the axis, one near it


def test_members_move_as_their_body_takes_them_along():
    found = told(lifted([STILL] * 5), body([5, 4], ON_IT, twist=TURNING))
    assert found.motion.tolist() == [STILL, UNKNOWN, STILL, MOVES, STILL]
    np.testing.assert_allclose(found.velocity[3], [0, 0.3, 0])
    assert np.isnan(found.velocity[1]).all()


def test_members_of_a_body_that_is_only_predicted_are_not_still_and_not_known_to_move():
    found = told(lifted([STILL] * 5), body([5, 4], ON_IT, twist=TURNING, predicted=True))
    assert found.motion.tolist() == [STILL, UNKNOWN, STILL, UNKNOWN, STILL]


def test_a_body_at_rest_leaves_its_members_their_flags_and_velocities():
    before = lifted([STILL, STILL, MOVES, UNKNOWN, STILL])
    found = told(before, body([5, 4, 7], [*ON_IT, [0.0, 0.0, 2.0]]))
    np.testing.assert_array_equal(found.motion, before.motion)
    np.testing.assert_array_equal(found.xyz, before.xyz)


def test_a_hidden_member_is_where_its_body_has_it_and_a_seen_one_where_it_is_seen():
    source = [
        DepthSource.MEASURED,
        DepthSource.HELD,
        DepthSource.HELD,
        DepthSource.MEASURED,
        DepthSource.HELD,
    ]
    before = lifted([MOVES] * 5, source)
    pose = pose_matrix([0.0, 0.0, 3.0], [0, 0, np.sqrt(0.5), np.sqrt(0.5)])  # a quarter turn about z
    found = told(before, body([4, 5], [[0.5, 0, 0], [0, 0, 0]], pose=pose, twist=(0.5, 0, 0, 0, 0, 0)))
    np.testing.assert_allclose(found.xyz[1], [0, 0.5, 3], atol=1e-12)
    others = [0, 2, 3, 4]
    np.testing.assert_array_equal(found.xyz[others], before.xyz[others])


def test_a_hidden_member_is_as_uncertain_as_its_body_along_the_ray():
    before = lifted([MOVES] * 5, [DepthSource.HELD] * 5)
    pose = pose_matrix([0.0, 0.0, 2.0], [0, 0, 0, 1])
    near, far = told(before, body([4, 5], [[0, 0, 0], [1, 0, 0]], pose=pose, sigma=0.1)).sigma[[1, 3]]
    assert near == pytest.approx(np.hypot(0.01, 0.1))  # on the ray through the origin no turn shows
    assert far > near


def test_what_was_given_is_not_changed():
    before = lifted([STILL] * 5, [DepthSource.HELD] * 5)
    told(before, body([5, 4], ON_IT, twist=TURNING))
    np.testing.assert_array_equal(before.motion, STILL)
    assert np.isnan(before.velocity).all()
