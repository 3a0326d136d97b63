"""Labelled clips: parts of them keep what belongs together."""

from dataclasses import replace

import numpy as np
import pytest
from drifting import drifting_clip

from cotracker_ros.tracking.labelled import LabelledClip


@pytest.fixture
def clip() -> LabelledClip:
    return replace(drifting_clip(tracks=5), name="lab", query_frames=np.array([0, 3, 7, -1, 3]))


@pytest.mark.parametrize(
    ("frames", "asked"),
    [
        (slice(None, None, -1), [7, 4, 0, -1, 4]),
        (slice(2, 7), [-1, 1, -1, -1, 1]),
        (np.array([3, 7, 7, 3]), [-1, 0, 1, -1, 0]),
    ],
    ids=["backward", "a part", "repeated"],
)
def test_some_frames(clip: LabelledClip, frames, asked: list[int]) -> None:
    part = clip.in_frames(frames)
    assert part.query_frames.tolist() == asked
    assert part.name == "lab"
    for name in ("frames", "xy", "visible", "known"):
        assert np.array_equal(getattr(part, name), getattr(clip, name)[frames])


def test_some_tracks(clip: LabelledClip) -> None:
    part = clip.of_tracks(np.array([2, 1]))
    assert part.query_frames.tolist() == [7, 3]
    assert part.name == "lab"
    for name in ("xy", "visible", "known"):
        assert np.array_equal(getattr(part, name), getattr(clip, name)[:, [2, 1]])


def test_clips_whose_frames_are_all_alike_stay_so() -> None:
    clip = drifting_clip()
    assert clip.in_frames(slice(2)).query_frames is None
    assert clip.of_tracks(np.array([1])).query_frames is None


@pytest.mark.parametrize(
    ("asked", "said"), [([0, 1], "give one frame for each of 5"), ([0, 1, 8, 0, 0], "give -1 to 7")]
)
def test_frames_that_are_not_there_are_refused(asked: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(drifting_clip(tracks=5), query_frames=np.array(asked))
