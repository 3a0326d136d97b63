"""What the drawer puts at known pixels."""

import numpy as np
import pytest

from cotracker_ros.tracking.types import TrackFlag, Tracks
from cotracker_ros.visualization.overlay import OverlayDrawer, position_colours

SEEN = TrackFlag.VISIBLE | TrackFlag.IN_FRAME
GREY = np.full((480, 640, 3), 90, np.uint8)


def make_tracks(xy, flags=None, *, ids=None, epoch=0, image_size=(640, 480)):
    xy = np.asarray(xy, np.float32).reshape(-1, 2)
    n = len(xy)
    return Tracks(
        frame=0,
        stamp=0,
        newest=0,
        epoch=epoch,
        image_size=image_size,
        revised=False,
        ids=np.asarray(range(n) if ids is None else ids, np.uint32),
        xy=xy,
        visibility=np.ones(n, np.float32),
        confidence=np.ones(n, np.float32),
        flags=np.full(n, SEEN if flags is None else flags, np.uint8),
        age=np.zeros(n, np.uint32),
        rgb=np.zeros((n, 3), np.uint8),
        labels=("",) * n,
    )


def changed(image):
    return np.any(image != GREY, axis=-1)


def test_a_visible_point_is_filled_with_its_colour():
    tracks = make_tracks([[200, 100]])
    out = OverlayDrawer().draw(GREY, tracks)
    assert out[100, 200].tolist() == position_colours(tracks.xy, (640, 480))[0].tolist()
    assert np.all(GREY == 90), "the input must stay as it is"


def test_an_occluded_point_is_hollow():
    out = OverlayDrawer().draw(GREY, make_tracks([[200, 100]], TrackFlag.IN_FRAME))
    assert not changed(out)[99:102, 199:202].any()
    assert changed(out)[100, 203:206].any()


def test_a_lost_point_is_fainter_than_an_occluded_one():
    def contrast(flags):
        out = OverlayDrawer().draw(GREY, make_tracks([[200, 100]], flags))
        return np.abs(out.astype(int) - 90).sum()

    assert 0 < contrast(TrackFlag.IN_FRAME | TrackFlag.LOST) < 0.6 * contrast(TrackFlag.IN_FRAME)


def test_points_are_drawn_at_sub_pixel_positions():
    out = OverlayDrawer().draw(GREY, make_tracks([[200.5, 100.25]])).astype(float)
    weight = np.abs(out - 90).sum(axis=-1)
    rows, columns = np.indices(weight.shape)
    centre = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
    assert centre == pytest.approx((200.5, 100.25), abs=0.1)


def test_a_trail_fades_and_vanishes():
    drawer = OverlayDrawer(trail_length=8)
    drawer.draw(GREY, make_tracks([[100, 100]]))
    strength = []
    for step in range(1, 60):
        out = drawer.draw(GREY, make_tracks([[100 + 30 * min(step, 8), 100]]))
        strength.append(int(np.abs(out[100, 115].astype(int) - 90).sum()))
    assert strength[0] > strength[3] > strength[6] > 0
    assert strength[-1] == 0


def test_without_trails_only_the_point_is_drawn():
    drawer = OverlayDrawer(trail_length=0)
    drawer.draw(GREY, make_tracks([[100, 100]]))
    out = drawer.draw(GREY, make_tracks([[150, 100]]))
    assert not changed(out)[:, :140].any()


def test_a_track_keeps_its_colour_as_it_moves_and_as_others_come_and_go():
    drawer = OverlayDrawer()
    first = drawer.draw(GREY, make_tracks([[50, 50], [200, 100]], ids=[3, 9]))[100, 200]
    later = drawer.draw(GREY, make_tracks([[600, 400], [30, 30]], ids=[9, 12]))[400, 600]
    assert first.tolist() == later.tolist()


@pytest.mark.parametrize("flags", [None, TrackFlag.IN_FRAME | TrackFlag.LOST])
def test_a_new_epoch_forgets_the_trails(flags):
    drawer = OverlayDrawer()
    drawer.draw(GREY, make_tracks([[100, 100]]))
    drawer.draw(GREY, make_tracks([[200, 100]]))
    out = drawer.draw(GREY, make_tracks([[300, 100]], flags, epoch=1))
    assert not changed(out)[:, :280].any()


def test_state_stays_small_and_positions_may_be_anything():
    drawer = OverlayDrawer()
    for k in range(50):
        drawer.draw(GREY, make_tracks([[1e9, -1e9], [np.nan, 5], [k, k]], ids=[3 * k, 3 * k + 1, 3 * k + 2]))
    assert len(drawer._ids) == 3
    assert drawer.draw(GREY, make_tracks([])).shape == GREY.shape


def test_a_smaller_image_starts_anew():
    drawer = OverlayDrawer()
    drawer.draw(GREY, make_tracks([[100, 100]]))
    small = np.full((60, 81, 3), 90, np.uint8)
    assert drawer.draw(small, make_tracks([[10, 10]], image_size=(81, 60)), "frame 1").shape == small.shape
    with pytest.raises(ValueError, match=r"the image is \(81, 60\) px"):
        drawer.draw(small, make_tracks([[10, 10]]))


def test_the_caption_lies_on_a_strip_at_the_lower_edge():
    out = OverlayDrawer().draw(GREY, make_tracks([]), "frame 7")
    assert changed(out)[-5:].all() and not changed(out)[:400].any()


def test_a_negative_trail_is_refused():
    with pytest.raises(ValueError, match="trail_length is -1"):
        OverlayDrawer(trail_length=-1)
