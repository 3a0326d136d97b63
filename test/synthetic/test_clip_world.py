"""Scenes of layers: pinhole geometry, and visibility that agrees with what is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from cotracker_ros.synthetic import texture_bank
from cotracker_ros.synthetic.clip_motion import Timing
from cotracker_ros.synthetic.clip_scene import random_stack
from cotracker_ros.synthetic.clip_space import Eye, random_space
from cotracker_ros.synthetic.clip_world import Space, Stack, World
from cotracker_ros.synthetic.layers import Layer
from cotracker_ros.synthetic.texture_bank import Bank


@pytest.fixture(autouse=True, scope="module")
def few_textures() -> Iterator[None]:
    """A small stock, so that tests do not wait for the whole one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texture_bank, "_SLOTS", {False: 8, True: 8})
        yield


SIZE = (120, 96)
FRAMES = 5


def moving_eye() -> Eye:
    times = np.repeat(np.arange(FRAMES, dtype=float)[:, None, None], 2, axis=1)
    times = np.repeat(times, 2, axis=2)
    place = np.stack([0.1 * times, -2 + 0 * times, 1 + 0.05 * times], axis=-1)
    # Looks along y: x right, z up.
    turned = np.broadcast_to(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), (*times.shape, 3, 3))
    return Eye(Timing(times, 1.0, False), SIZE, 100.0, turned, place, np.zeros(3))


def test_a_plane_in_space_is_seen_as_by_a_pinhole() -> None:
    eye = moving_eye()
    origin, x, y = np.array([-0.5, 0.3, 1.5]), np.array([0.01, 0.002, 0]), np.array([0.001, 0.0, -0.012])
    maps = eye.maps(origin, x, y)
    sheet = Layer(np.zeros((60, 80, 3), np.uint8), np.full((60, 80), 255, np.uint8), maps, SIZE[1])
    points = np.array([[0.0, 0.0], [79.0, 10.0], [33.5, 59.0]])
    xy = sheet.image_of(points)
    for frame in range(FRAMES):
        world = origin + points[:, :1] * x + points[:, 1:] * y - eye.place[frame, 0, 0]
        camera = world @ eye.turned[frame, 0, 0].T
        expected = 100 * camera[:, :2] / camera[:, 2:] + (np.array(SIZE) - 1) / 2
        np.testing.assert_allclose(xy[frame], expected, atol=1e-6)
        depth = sheet.place_at(xy[frame], np.full(3, frame))[:, 2]
        np.testing.assert_allclose(1 / depth, camera[:, 2], rtol=1e-6)


def test_the_nearer_plane_hides_wherever_it_stands_in_the_list() -> None:
    eye = moving_eye()
    step = np.array([0.02, 0, 0]), np.array([0, 0, -0.02])
    mask = np.pad(np.full((46, 46), 255, np.uint8), 2)

    def sheet(distance: float, colour: int) -> Layer:
        maps = eye.maps(np.array([-0.5, distance, 1.5]), *step)
        return Layer(np.full((50, 50, 3), colour, np.uint8), mask, maps, SIZE[1])

    wall = dataclasses.replace(sheet(4.0, 10), mask=None)
    near, far = sheet(0.0, 200), sheet(1.0, 100)
    for things in ([near, far], [far, near]):
        world = Space([wall, *things])
        on = np.array([1 + things.index(far), 1 + things.index(near)])
        xy, cover = world.follow(on, np.full((2, 2), 25.0))
        assert cover[:, 0].min() == 1
        assert cover[:, 1].max() == 0
        column, row = np.round(xy[0, 0]).astype(int)
        assert world.draw(0, SIZE)[row, column, 0] == 200


def test_a_face_is_seen_from_its_front_only() -> None:
    eye = moving_eye()
    x, y = np.array([0.02, 0, 0]), np.array([0, 0, -0.02])
    front = Layer(
        np.zeros((50, 50, 3), np.uint8), np.full((50, 50), 255, np.uint8), eye.maps(np.zeros(3), y, x), 96
    )
    back = dataclasses.replace(front, maps=eye.maps(np.zeros(3), x, y))
    normal = np.cross(y, x)  # towards -y, where the camera is
    assert normal[1] < 0
    assert not dataclasses.replace(front, one_sided=True).faces_away.any()
    assert dataclasses.replace(back, one_sided=True).faces_away.all()


def labelled(world: World) -> tuple[World, np.ndarray]:
    """The world in one colour per solid layer, one moment per exposure, and the grey level of each layer."""
    solid = [layer for layer in world.layers if layer.solid]
    levels = np.linspace(20, 250, len(solid)).round().astype(int)
    layers = [
        dataclasses.replace(layer, texture=np.full_like(layer.texture, level), maps=layer.maps[:, [0, 0]])
        for layer, level in zip(solid, levels, strict=True)
    ]
    return (Space if isinstance(world, Space) else Stack)(layers, world.grounds), levels


@pytest.mark.parametrize("make", [random_stack, random_space])
@pytest.mark.parametrize("seed", range(4))
def test_visibility_is_what_an_image_of_labels_shows(make: Callable[..., World], seed: int) -> None:
    rng = np.random.default_rng(seed)
    world, levels = labelled(make(rng, FRAMES, SIZE, Bank(0, False)))
    compared = wrong = 0
    for frame in (0, FRAMES - 1):
        labels = world.draw(frame, SIZE)[..., 0]
        # Pixels whose neighbours are of the same layer: an edge is nobody's.
        even = cv2.erode(labels, np.ones((3, 3))) == cv2.dilate(labels, np.ones((3, 3)))
        even &= np.isin(labels, levels)
        row, column = np.nonzero(even)
        row, column = row[::7], column[::7]
        pixels = np.stack([column, row], axis=-1).astype(float)
        for index, layer in enumerate(world.layers):
            share, depth = layer.mask_at(pixels, np.full(len(pixels), frame))
            mine = (share > 0.99) & (depth > 0) & ~layer.faces_away[frame, 0]
            places = layer.place_at(pixels[mine], np.full(mine.sum(), frame))[:, :2]
            xy, cover = world.follow(np.full(mine.sum(), index), places)
            if mine.any():
                assert np.abs(xy[frame] - pixels[mine]).max() < 0.02
            visible = cover[frame] < 0.5
            drawn = labels[row[mine], column[mine]] == levels[index]
            compared += len(visible)
            wrong += int((visible != drawn).sum())
    assert compared > 500
    assert wrong <= 0.003 * compared
