import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotracker_ros.reconstruction.poses import (
    interpolate_pose,
    invert_pose,
    pose_matrix,
    quaternion_from_rotation,
    rotation_from_quaternion,
    slerp,
    transform_points,
)
from cotracker_ros.reconstruction.transforms import TransformBuffer, TransformError

SECOND = 1_000_000_000
component = st.floats(-1, 1)
quaternions = (
    st.tuples(component, component, component, component)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
    .map(lambda q: np.array(q) / np.linalg.norm(q))
)
poses = st.builds(pose_matrix, st.tuples(*[st.floats(-10, 10)] * 3), quaternions)


def shift(x, y=0.0, z=0.0):
    return pose_matrix((x, y, z), (0, 0, 0, 1))


@given(quaternions)
def test_quaternion_and_rotation_are_each_others_inverse(quaternion):
    rotation = rotation_from_quaternion(quaternion)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    back = quaternion_from_rotation(rotation)
    np.testing.assert_allclose(back, quaternion if back @ quaternion > 0 else -quaternion, atol=1e-7)


@given(poses, poses)
def test_inverse_of_a_product(a, b):
    np.testing.assert_allclose(invert_pose(a @ b), invert_pose(b) @ invert_pose(a), atol=1e-9)
    np.testing.assert_allclose(transform_points(invert_pose(a), a[None, :3, 3]), np.zeros((1, 3)), atol=1e-9)


@given(quaternions, quaternions, st.floats(0, 1))
def test_slerp_divides_the_angle(a, b, fraction):
    mixed = slerp(a, b, fraction)

    def angle(p, q):
        return 2 * np.arccos(np.clip(abs(p @ q), 0, 1))

    np.testing.assert_allclose(angle(a, mixed), fraction * angle(a, b), atol=1e-6)


@given(poses, poses)
def test_interpolation_meets_both_ends(a, b):
    np.testing.assert_allclose(interpolate_pose(a, b, 0.0), a, atol=1e-9)
    np.testing.assert_allclose(interpolate_pose(a, b, 1.0), b, atol=1e-9)


def test_a_quarter_turn_about_z_turns_x_into_y():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        rotation_from_quaternion((0, 0, half, half)) @ [1, 0, 0], [0, 1, 0], atol=1e-12
    )


def test_what_is_no_rotation_is_refused():
    with pytest.raises(ValueError, match="no rotation"):
        rotation_from_quaternion((0, 0, 0, 0))
    with pytest.raises(ValueError, match="no rotation"):
        quaternion_from_rotation(np.diag([1.0, 1.0, -1.0]))
    with pytest.raises(ValueError, match="not finite"):
        pose_matrix((np.nan, 0, 0), (0, 0, 0, 1))


@given(poses, poses, poses)
def test_lookup_composes_along_the_tree(world_base, base_camera, base_hand):
    buffer = TransformBuffer()
    buffer.set("world", "base", 5, world_base)
    buffer.set("base", "camera", 0, base_camera, static=True)
    buffer.set("base", "hand", 0, base_hand, static=True)
    np.testing.assert_allclose(buffer.lookup("world", "camera", 5), world_base @ base_camera, atol=1e-9)
    np.testing.assert_allclose(
        buffer.lookup("camera", "world", 5), invert_pose(world_base @ base_camera), atol=1e-9
    )
    # Between siblings the moving part above them does not matter, whatever the time.
    np.testing.assert_allclose(
        buffer.lookup("hand", "camera", 99), invert_pose(base_hand) @ base_camera, atol=1e-9
    )


def test_lookup_interpolates_between_samples():
    buffer = TransformBuffer()
    buffer.set("world", "camera", SECOND, shift(1.0))
    buffer.set("world", "camera", 2 * SECOND, pose_matrix((3, 0, 0), (0, 0, 1, 0)))
    matrix = buffer.lookup("world", "camera", int(1.5 * SECOND))
    np.testing.assert_allclose(matrix[:3, 3], [2, 0, 0])
    np.testing.assert_allclose(np.abs(matrix[:3, :3] @ [1, 0, 0]), [0, 1, 0], atol=1e-9)


def test_a_frame_has_the_parent_told_last():
    buffer = TransformBuffer()
    assert buffer.parent("camera") == ""
    buffer.set("world", "camera", SECOND, shift(1.0))
    buffer.set("odom", "camera", SECOND, shift(1.0))
    assert (buffer.parent("/camera"), buffer.parent("odom")) == ("odom", "")


def test_samples_may_arrive_in_any_order():
    buffer = TransformBuffer()
    for second in (3, 1, 2):
        buffer.set("world", "camera", second * SECOND // 10, shift(second))
    np.testing.assert_allclose(buffer.lookup("world", "camera", SECOND // 4)[0, 3], 2.5)


def test_errors_say_what_is_missing_and_whether_waiting_helps():
    buffer = TransformBuffer()
    with pytest.raises(TransformError, match='frame "world" \\(known: none\\)'):
        buffer.lookup("camera", "world", 0)
    buffer.set("world", "camera", SECOND, shift(1))
    buffer.set("world", "camera", 2 * SECOND, shift(2))
    buffer.set("map", "other", 0, shift(1), static=True)
    for args, sentence, may_come in [
        (("world", "nowhere", SECOND), '"nowhere"', True),
        (("world", "other", SECOND), "not connected", True),
        (("world", "camera", 0), "1.000 s before its oldest", False),
        (("world", "camera", 2 * SECOND + 30_000_000), "0.030 s after its newest", True),
    ]:
        with pytest.raises(TransformError, match=sentence) as caught:
            buffer.lookup(*args)
        assert caught.value.may_come == may_come
        assert "\n" not in str(caught.value)


def test_old_samples_are_forgotten_and_memory_is_bounded():
    buffer = TransformBuffer(seconds=2.0)
    for step in range(10_000):
        buffer.set("world", "camera", step * SECOND // 100, shift(step))
    assert len(buffer._links["camera"].stamps) == 201
    with pytest.raises(TransformError, match="before its oldest"):
        buffer.lookup("world", "camera", 97 * SECOND)
    buffer.lookup("world", "camera", 98 * SECOND)


def test_time_jumping_back_forgets_what_moved_and_keeps_what_is_static():
    buffer = TransformBuffer()
    buffer.set("world", "base", 0, shift(7), static=True)
    buffer.set("base", "camera", 8 * SECOND, shift(1))
    buffer.set("base", "hand", 8 * SECOND, shift(2))
    buffer.set("base", "camera", SECOND, shift(3))
    np.testing.assert_allclose(buffer.lookup("world", "camera", SECOND)[0, 3], 10)
    with pytest.raises(TransformError, match="no data"):
        buffer.lookup("base", "hand", 8 * SECOND)


def test_a_new_parent_replaces_the_old_one():
    buffer = TransformBuffer()
    buffer.set("table", "cup", 0, shift(1), static=True)
    buffer.set("hand", "cup", 5, shift(2))
    np.testing.assert_allclose(buffer.lookup("hand", "cup", 5)[0, 3], 2)
    with pytest.raises(TransformError, match='"table"'):
        buffer.lookup("table", "cup", 5)


def test_leading_slashes_of_ros1_names_do_not_matter():
    buffer = TransformBuffer()
    buffer.set("/world", "/camera", 0, shift(1), static=True)
    np.testing.assert_allclose(buffer.lookup("world", "camera", 3)[0, 3], 1)


@pytest.mark.parametrize(
    ("parent", "child", "matrix", "sentence"),
    [
        ("a", "a", np.eye(4), "loop"),
        ("c", "a", np.eye(4), "loop"),
        ("a", "", np.eye(4), "empty"),
        ("a", "d", np.eye(3), "4x4"),
        ("a", "d", np.full((4, 4), np.nan), "4x4"),
        ("a", "d", np.diag([2.0, 2.0, 2.0, 1.0]), "no rotation"),
    ],
)
def test_transforms_that_cannot_be_are_refused(parent, child, matrix, sentence):
    buffer = TransformBuffer()
    buffer.set("a", "b", 0, np.eye(4), static=True)
    buffer.set("b", "c", 0, np.eye(4), static=True)
    with pytest.raises(ValueError, match=sentence):
        buffer.set(parent, child, 0, matrix)


def test_threads_may_write_and_read_at_once():
    buffer = TransformBuffer(seconds=1000.0)
    buffer.set("world", "camera", 0, shift(0))
    buffer.set("world", "camera", 1000, shift(1000))
    errors = []

    def work(offset):
        try:
            for step in range(offset, 1000, 4):
                buffer.set("world", "camera", step, shift(step))
                assert abs(buffer.lookup("world", "camera", step // 2)[0, 3] - step // 2) < 1e-9
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
