import numpy as np
import pytest
from scenes import body, pose_at

from cotracker_ros.visualization.scene_style import (
    AXIS_LENGTH,
    body_axes,
    body_box,
    body_colour,
    body_name,
    box_corners,
    box_edges,
    name_place,
    segments,
)


def test_a_box_holds_the_points_and_turns_with_the_body():
    middle, half = body_box(body())
    np.testing.assert_allclose(middle, [0.1, 0, 0])
    np.testing.assert_allclose(half, [0.2, 0.1, 0.005], err_msg="a flat body still has a box")
    corners = box_corners(body())  # the body is turned by 90 degrees about z and stands at (1, 2, 3)
    np.testing.assert_allclose(corners.min(axis=0), [0.9, 1.9, 2.995])
    np.testing.assert_allclose(corners.max(axis=0), [1.1, 2.3, 3.005])


def test_edges_are_the_twelve_of_a_box():
    edges = box_edges(body(pose=pose_at(0)))
    assert edges.shape == (12, 2, 3)
    lengths = np.sort(np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1))
    np.testing.assert_allclose(lengths, [0.01] * 4 + [0.2] * 4 + [0.4] * 4)
    assert len({tuple(np.round(np.sort(e, axis=0).ravel(), 6)) for e in edges}) == 12


def test_a_body_without_points_has_a_box_at_its_origin():
    nothing = body()
    object.__setattr__(nothing, "points", np.zeros((0, 3)))
    np.testing.assert_allclose(box_corners(nothing).mean(axis=0), [1, 2, 3])


def test_a_name_stands_off_the_box_by_its_height():
    corners = box_corners(body())
    place = name_place(body(), 0.1)
    assert np.linalg.norm(corners - place, axis=1).min() == pytest.approx(0.1)
    assert np.linalg.norm(place - corners.mean(axis=0)) > np.linalg.norm(corners[0] - corners.mean(axis=0))
    nothing = body()
    object.__setattr__(nothing, "points", np.zeros((0, 3)))
    assert np.isfinite(name_place(nothing, 0.1)).all()


def test_axes_turn_with_the_body():
    axes = body_axes(body())
    np.testing.assert_allclose(axes[:, 0], np.broadcast_to([1, 2, 3], (3, 3)))
    np.testing.assert_allclose((axes[:, 1] - axes[:, 0]) / AXIS_LENGTH, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]])


def test_names_and_colours_tell_bodies_apart():
    assert body_name(body(7)) == "7 cup"
    assert body_name(body(7, label="", predicted=True)) == "7 (predicted)"
    colours = np.array([body_colour(i) for i in range(1, 9)])
    apart = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 999 * np.eye(8)
    assert apart.min() > 40


def test_segments_leave_out_what_is_unknown():
    lines = np.full((3, 2, 3), np.nan)
    lines[:, 0, 0] = [0, 1, 2]
    lines[:, 0, 1:] = 0
    lines[1, 1] = 5  # seen once
    ends, line = segments(lines)
    np.testing.assert_array_equal(ends[:, :, 0], [[0, 1], [1, 2]])
    np.testing.assert_array_equal(line, [0, 0])
    assert segments(np.zeros((0, 2, 3)))[0].shape == (0, 2, 3)
