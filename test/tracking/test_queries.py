import numpy as np
import pytest
from clips import texture
from hypothesis import given
from hypothesis import strategies as st

from cotracker_ros.tracking import (
    box_points,
    corner_points,
    create_tracker,
    grid_points,
    mask_points,
    track_video,
)


@given(st.integers(8, 400), st.integers(8, 400), st.integers(1, 300))
def test_grids_lie_inside_and_have_about_the_wanted_count(width, height, count):
    points = grid_points((width, height), count=count)
    assert (points >= 0).all()
    assert (points <= [width - 1, height - 1]).all()
    if count >= 10 and 4 * count < min(width, height) ** 2 and max(width, height) < 3 * min(width, height):
        assert len(points) <= 2 * count + 2
    assert np.allclose(points.mean(0), [(width - 1) / 2, (height - 1) / 2], atol=1e-3)


@given(st.floats(-50, 150), st.floats(-50, 100), st.floats(0, 100), st.floats(0, 100), st.floats(1, 50))
def test_boxes_are_clipped_to_the_image(x, y, width, height, spacing):
    if x + width < 0 or y + height < 0 or x > 99 or y > 79:
        with pytest.raises(ValueError, match="outside"):
            box_points((x, y, width, height), (100, 80), spacing=spacing)
        return
    points = box_points((x, y, width, height), (100, 80), spacing=spacing)
    assert len(points) >= 1
    assert (points >= -1e-4).all()
    assert (points <= [99.0001, 79.0001]).all()


def test_neighbours_have_the_spacing():
    points = grid_points((100, 60), spacing=10)
    assert points[1, 0] - points[0, 0] == 10
    assert len(points) == 10 * 6


def test_a_tiny_mask_gives_its_middle():
    mask = np.zeros((50, 50), bool)
    mask[7, 9] = True
    assert mask_points(mask, spacing=20).tolist() == [[9, 7]]
    ring = np.ones((41, 41), bool)
    ring[10:31, 10:31] = False
    points = mask_points(ring, spacing=41)
    assert len(points) == 1


def test_corners_are_found_below_a_pixel_and_only_where_allowed():
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 255
    corners = corner_points(image, 10)
    truth = np.array([[29.5, 19.5], [49.5, 19.5], [29.5, 39.5], [49.5, 39.5]])
    assert len(corners) == 4
    assert all(np.abs(truth - corner).max(1).min() < 0.3 for corner in corners)
    mask = np.zeros((60, 80), bool)
    mask[:, :40] = True
    assert (corner_points(image, 10, mask=mask)[:, 0] < 40).all()
    assert corner_points(np.zeros((60, 80, 3), np.uint8), 5).shape == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "magic"}, "backend is 'magic'"),
        ({"weights": "/nowhere/weights.pth"}, "no weights at"),
        ({"weights": "x", "device": "cuda:7"}, "absent"),
        ({"weights": "x", "device": "toaster"}, "unknown"),
        ({"weights": "x", "precision": "int3"}, "precision is 'int3'"),
        ({"weights": "x", "precision": "fp16", "device": "cpu"}, "needs a GPU"),
    ],
)
def test_trackers_that_cannot_be_made_say_why(arguments, words):
    with pytest.raises(ValueError, match=words) as error:
        create_tracker(**arguments)
    assert "\n" not in str(error.value)


def test_auto_is_the_shipped_network_and_klt_without_torch(monkeypatch):
    tracker = create_tracker()
    assert type(tracker).__name__ == "CausalTracker"
    assert type(create_tracker("network")).__name__ == "CausalTracker"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert type(create_tracker()).__name__ == "KltTracker"


@pytest.mark.parametrize(
    ("frames", "queries", "words"),
    [
        (np.zeros((3, 9, 9), np.uint8), [[0, 1, 1]], "give .T, H, W, 3. uint8"),
        (np.zeros((3, 9, 9, 3), np.uint8), [[3, 1, 1]], "the clip has frames 0 to 2"),
        (np.zeros((3, 9, 9, 3), np.uint8), [[0, np.nan, 1]], "query 0"),
        (np.zeros((3, 9, 9, 3), np.uint8), [[0, 1]], "give .N, 3."),
    ],
)
def test_wrong_clips_are_refused(frames, queries, words):
    with pytest.raises(ValueError, match=words):
        track_video(frames, queries, tracker="klt")


def test_no_queries_give_no_tracks():
    result = track_video(np.stack([texture()] * 2), [], tracker="klt")
    assert result.xy.shape == (2, 0, 2)
