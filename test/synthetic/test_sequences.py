"""Rendered RGB-D sequences: the same every time, depth with a camera's errors, truth for any pixel."""

import numpy as np
import pytest

from cotracker_ros.synthetic.sequences import SequenceError, rendered_sequence

SIZE = (160, 120)


@pytest.fixture(scope="module")
def sequence():
    return rendered_sequence("occlusion", size=SIZE, rate=2.0)


def test_the_same_arguments_give_the_same_sequence(sequence):
    again = rendered_sequence("occlusion", size=SIZE, rate=2.0, seconds=1.0)
    for name in ("images", "depth", "owner", "camera_poses", "body_poses", "stamps"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sequence, name)[:2])
    other = rendered_sequence("occlusion", size=SIZE, rate=2.0, seconds=1.0, seed=1)
    assert (other.images != again.images).any()


def test_shapes_and_bodies(sequence):
    assert len(sequence) == 20 and sequence.body_names == ["hall", "box", "drum"]
    assert sequence.images.shape == (20, 120, 160, 3) and sequence.depth.shape == (20, 120, 160)
    assert sequence.camera_poses.shape == (20, 4, 4) and sequence.body_poses.shape == (20, 3, 4, 4)
    assert (np.diff(sequence.stamps) == 500_000_000).all()


def test_bodies_are_hidden_for_a_while_and_come_back(sequence):
    for body in (1, 2):
        seen = (sequence.owner == body).any(axis=(1, 2))
        hidden = np.flatnonzero(~seen)
        assert seen[0] and seen[-1] and len(hidden) >= 1
        assert (np.diff(hidden) == 1).all()


def test_depth_has_errors_holes_and_pixels_between_near_and_far(sequence):
    pixels = np.stack(np.meshgrid(np.arange(4, 156, 3), np.arange(4, 116, 3)), -1).reshape(-1, 2)
    truth = sequence.truth_of(pixels.astype(float), [0] * len(pixels))
    camera = sequence.camera_poses[0]
    z = ((truth.xyz[0] - camera[:3, 3]) @ camera[:3, :3])[:, 2]
    measured = sequence.metres(0)[pixels[:, 1], pixels[:, 0]]
    assert 0.01 < np.isnan(measured).mean() < 0.2
    error = np.abs(measured - z) / z**2  # noise grows with the square of the distance
    assert 0.0005 < np.nanmedian(error) < 0.01
    assert 0.002 < (error > 0.03).mean() < 0.1


def test_truth_of_pixels_keeps_their_order_and_their_bodies(sequence):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 20, 60).tolist()
    pixels = rng.uniform(2, (157, 117), (60, 2))
    truth = sequence.truth_of(pixels, images)
    np.testing.assert_allclose(truth.xy[images, np.arange(60)], pixels, atol=1e-6)
    clear = sequence.clear_of_outlines(pixels, images)
    column, row = np.round(pixels).astype(int).T
    np.testing.assert_array_equal(truth.body[clear], sequence.owner[images, row, column][clear])
    assert clear.mean() > 0.7


def test_pixels_at_outlines_are_told(sequence):
    owner = sequence.owner[0]
    row = int(np.flatnonzero((owner == 1).any(axis=1)).mean())
    edge = int(np.flatnonzero(owner[row] == 1).max())
    pixels = np.array([[edge, row], [edge + 1, row], [edge - 6, row], [edge + 9, row]], float)
    assert sequence.clear_of_outlines(pixels, [0] * 4).tolist() == [False, False, True, True]


def test_most_of_the_view_moves_in_the_crowded_sequence():
    crowded = rendered_sequence("crowded", size=(64, 48), rate=0.4)
    moving = (crowded.owner > 0).mean(axis=(1, 2))
    assert moving[0] < 0.02 and moving[2] > 0.8


def test_names_and_lengths_are_checked():
    with pytest.raises(SequenceError, match="no rendered sequence 'kitchen'; choose from static_room"):
        rendered_sequence("kitchen")
    with pytest.raises(SequenceError, match="make no sequence"):
        rendered_sequence("workshop", seconds=0.01)
