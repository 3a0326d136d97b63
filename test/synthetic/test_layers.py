"""Image and truth of layers agree: dots are where the tracks say, and what hides them is what is drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cotracker_ros.synthetic.clip_motion import Timing, hand_held, object_motion
from cotracker_ros.synthetic.clip_scene import View
from cotracker_ros.synthetic.clip_tracks import within
from cotracker_ros.synthetic.clip_world import Stack
from cotracker_ros.synthetic.layers import Layer, Ripple

SIZE = (160, 128)
FRAMES = 6


def dotted(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Black with bright soft dots; (N, 2) their exact middles."""
    x, y = np.meshgrid(np.arange(14.0, width - 13, 21) + 0.3, np.arange(14.0, height - 13, 21) - 0.2)
    dots = np.stack([x.ravel(), y.ravel()], axis=-1)
    grid_y, grid_x = np.mgrid[0:height, 0:width]
    image = np.zeros((height, width))
    for dot in dots:
        image += np.exp(-((grid_x - dot[0]) ** 2 + (grid_y - dot[1]) ** 2) / (2 * 1.1**2))
    return np.repeat(np.round(240 * image).astype(np.uint8)[..., None], 3, axis=2), dots


def view(seed: int, *, readout: float) -> View:
    rng = np.random.default_rng(seed)
    times = np.arange(FRAMES, dtype=float)[:, None, None] + readout * np.array([-0.5, 0.5])
    times = np.repeat(times, 2, axis=1)  # the middle of the exposure, and its only moment
    return View(times, SIZE, FRAMES, hand_held(rng, Timing(times, 5.0, False), SIZE))


def ripple(seed: int) -> Ripple:
    rng = np.random.default_rng(seed)
    return Ripple(
        waves=np.array([[0.06, 0.02], [-0.01, 0.05]]),
        shifts=np.array([[1.5, 2.0], [2.5, -1.0]]),
        phases=rng.uniform(0, 6, (FRAMES, 2)),
    )


def layer(
    seed: int, texture: np.ndarray, *, readout: float = 0.0, bent: bool = False, masked: bool = False
) -> Layer:
    rng = np.random.default_rng(seed + 50)
    seen = view(seed, readout=readout)
    moved = object_motion(rng, seen.times, 2.0, 60.0, FRAMES)
    mask = np.pad(np.full((texture.shape[0] - 6, texture.shape[1] - 6), 255, np.uint8), 3) if masked else None
    made = seen.layer(texture, mask, moved, 0.5, ripple=ripple(seed) if bent else None)
    assert made is not None
    return made


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("readout", "bent"), [(0.0, False), (0.8, False), (0.0, True), (0.8, True)])
def test_a_dot_is_drawn_where_its_track_is(seed: int, readout: float, bent: bool) -> None:
    texture, dots = dotted(190, 170)
    sheet = layer(seed, texture, readout=readout, bent=bent)
    xy = sheet.image_of(dots)
    errors = []
    for frame in range(FRAMES):
        image = Stack([sheet]).draw(frame, SIZE)[..., 0].astype(float)
        for x, y in xy[frame]:
            column, row = round(x), round(y)
            if not (7 < column < SIZE[0] - 8 and 7 < row < SIZE[1] - 8):
                continue
            part = image[row - 5 : row + 6, column - 5 : column + 6]
            grid_y, grid_x = np.mgrid[row - 5 : row + 6, column - 5 : column + 6]
            # The middle of a dot's brightness; a dot that is bent or seen at a slant moves it very little.
            errors.append(((grid_x * part).sum() / part.sum() - x, (grid_y * part).sum() / part.sum() - y))
    assert len(errors) > 50
    # Where the scale changes across a dot, its middle of brightness leans to the larger side by some 0.01 px.
    assert np.abs(np.mean(errors, axis=0)).max() < 0.02
    distance = np.hypot(*np.transpose(errors))
    assert np.median(distance) < 0.05
    assert np.percentile(distance, 95) < (0.15 if bent else 0.08)


@pytest.mark.parametrize(("readout", "bent"), [(0.0, False), (0.8, True)])
def test_image_of_inverts_texture_at(readout: float, bent: bool) -> None:
    sheet = layer(4, dotted(190, 170)[0], readout=readout, bent=bent)
    rng = np.random.default_rng(0)
    xy = rng.uniform(-60, 220, (40, 2))
    for frame in range(FRAMES):
        places = sheet.place_at(xy, np.full(40, frame))[:, :2]
        assert np.abs(sheet.image_of(places)[frame] - xy).max() < 0.01


def test_visibility_is_what_a_label_image_shows() -> None:
    # Layers of one even colour each draw a picture of labels; each pixel then says which layer it belongs to.
    ground = layer(0, np.full((170, 190, 3), 40, np.uint8), readout=0.5)
    things = [
        layer(1, np.full((70, 60, 3), 120, np.uint8), readout=0.5, masked=True),
        layer(2, np.full((60, 90, 3), 200, np.uint8), readout=0.5, masked=True, bent=True),
    ]
    layers = [ground, *things]
    x, y = np.meshgrid(np.arange(0, SIZE[0], 3), np.arange(0, SIZE[1], 3))
    pixels = np.stack([x.ravel(), y.ravel()], axis=-1).astype(float)
    seen_labels = set()
    for frame in (0, FRAMES - 1):
        labels = Stack(layers).draw(frame, SIZE)[y.ravel(), x.ravel(), 0].astype(int)
        pure = np.isin(labels, (40, 120, 200))  # not on an edge
        for index, colour in ((0, 40), (1, 120), (2, 200)):
            places = layers[index].place_at(pixels, np.full(len(pixels), frame))[:, :2]
            xy, cover = Stack(layers).follow(np.full(len(places), index), places)
            assert np.abs(xy[frame] - pixels).max() < 0.01
            on_sheet = layers[index].mask_at(xy[frame], np.full(len(pixels), frame))[0] > 0.99
            usable = pure & on_sheet & within(xy[frame], SIZE)
            np.testing.assert_array_equal(cover[frame][usable] < 0.5, labels[usable] == colour)
            seen_labels |= set(labels[usable].tolist())
    assert seen_labels == {40, 120, 200}


def test_a_shadow_hides_nothing() -> None:
    ground = layer(0, np.full((170, 190, 3), 200, np.uint8))
    sheet = layer(1, np.zeros((70, 60, 3), np.uint8), masked=True)
    shadow = Layer(sheet.texture, sheet.mask, sheet.maps, sheet.height, solid=False)
    dark = Stack([ground, shadow]).draw(0, SIZE).min(axis=2) < 50
    assert dark.any()
    y, x = np.argwhere(dark)[0]
    places = ground.place_at(np.array([[x, y]], float), np.zeros(1, int))[:, :2]
    assert Stack([ground, shadow]).follow(np.zeros(1, int), places)[1][0, 0] == 0
    assert Stack([ground, sheet]).follow(np.zeros(1, int), places)[1][0, 0] == 1


def test_an_exposure_of_several_moments_is_their_mean() -> None:
    seen = view(3, readout=0.0)
    texture = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8), (0, 0), 2
    )
    sheet = seen.layer(texture, None, np.broadcast_to(np.eye(3), (*seen.times.shape, 3, 3)), 0.5)
    both = np.concatenate(
        [sheet.maps[:, :1], sheet.maps[:, 1:], np.roll(sheet.maps[:, 1:], 1, axis=0)], axis=1
    )
    blurred = Stack([Layer(texture, None, both, sheet.height)]).draw(3, SIZE).astype(int)
    mean = (Stack([sheet]).draw(3, SIZE).astype(int) + Stack([sheet]).draw(2, SIZE)) / 2
    assert np.abs(blurred - mean).max() <= 0.5
