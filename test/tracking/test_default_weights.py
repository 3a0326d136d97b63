"""The weights that the package ships: small, complete, and able to track."""

import numpy as np
import pytest
from drifting import drifting_clip

from cotracker_ros.model.checkpoints import DEFAULT_FILE
from cotracker_ros.tracking import KltTracker, create_tracker, track_video


def test_they_are_small() -> None:
    assert DEFAULT_FILE.stat().st_size <= 10e6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_they_find_points_again_that_were_hidden(precision: str) -> None:
    clip = drifting_clip(11, frames=30, size=(192, 144), tracks=60, bar_speed=4, bar_width=40)
    seen = clip.visible[0]
    truth, visible = clip.xy[:, seen], clip.visible[:, seen]
    queries = np.c_[np.zeros(seen.sum()), truth[0]]
    ours = track_video(clip.frames, queries, tracker=create_tracker(weights="default", precision=precision))
    klt = track_video(clip.frames, queries, tracker=KltTracker())

    error = np.linalg.norm(ours.xy - truth, axis=-1)
    assert np.median(error[visible]) < 0.3
    # The bar has passed over these: Lucas-Kanade has lost most of them for good.
    again = visible & (np.cumsum(~visible, axis=0) > 0)
    assert again.sum() > 100
    assert ((error < 2) & ours.visible)[again].mean() > klt.visible[again].mean() + 0.3
