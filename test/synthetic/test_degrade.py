"""Light and camera of training clips: each does what it says, and none moves a point."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cotracker_ros.synthetic.degrade import Look, random_look

SIZE = (96, 80)
PLAIN = Look(
    light=np.ones((3, 12, 12, 3), np.float32), haze=0, softness=1, defocus=np.zeros(3), sharpening=0, noise=0,
    coarse=False, quality=0,
)  # fmt: skip


def picture() -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((SIZE[1], SIZE[0], 3)), (0, 0), 2.5)
    return np.clip(110 + 35 * noise / noise.std(), 0, 255).astype(np.uint8)


def seen(look: Look, image: np.ndarray | None = None, frame: int = 0) -> np.ndarray:
    image = picture() if image is None else image
    return look.apply(image, frame, np.random.default_rng(1)).astype(float)


def test_a_plain_look_changes_nothing() -> None:
    assert np.array_equal(seen(PLAIN), picture())


def test_the_exposure_is_that_of_the_frame() -> None:
    light = PLAIN.light.copy()
    light[1] *= 0.5
    look = replace(PLAIN, light=light)
    assert np.array_equal(seen(look, frame=0), picture())
    np.testing.assert_allclose(seen(look, frame=1), picture() / 2, atol=0.51)


@pytest.mark.parametrize("coarse", [False, True])
def test_noise_has_the_deviation_asked_for_and_is_another_in_each_frame(coarse: bool) -> None:
    grey = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    look, rng = replace(PLAIN, noise=6.0, coarse=coarse), np.random.default_rng(0)
    first, second = (look.apply(grey, 0, rng).astype(float) for _ in range(2))
    assert first.std() == pytest.approx(6, rel=0.1)
    assert (first - second).std() > 6


@pytest.mark.parametrize(
    "change",
    [
        {"quality": 60},
        {"softness": 2.0},
        {"softness": 1.7},
        {"defocus": np.full(3, 1.5)},
        {"sharpening": 0.8},
        {"haze": 40.0},
    ],
    ids=str,
)
def test_nothing_moves(change: dict) -> None:
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    dot = 150 * np.exp(-((x - 47.3) ** 2 + (y - 38.6) ** 2) / (2 * 3.0**2))
    image = np.repeat((40 + dot).astype(np.uint8)[..., None], 3, axis=2)
    changed = seen(replace(PLAIN, **change), image)
    assert np.abs(changed - image).max() > 1
    light = np.maximum(changed[..., 1] - np.median(changed[..., 1]), 0) * (np.hypot(x - 47, y - 39) < 15)
    middle = (light * x).sum() / light.sum(), (light * y).sum() / light.sum()
    np.testing.assert_allclose(middle, (47.3, 38.6), atol=0.1)


def test_random_looks_have_everything_at_times() -> None:
    looks = [random_look(np.random.default_rng(seed), 24, SIZE) for seed in range(80)]
    brightness = np.stack([look.light.mean(axis=(1, 2, 3)) for look in looks])
    change = brightness.max(axis=1) / brightness.min(axis=1)
    assert 0.1 < (change > 1.1).mean() < 0.7  # the exposure changes
    for told in ("haze", "noise", "quality", "sharpening"):
        assert 0.05 < np.mean([getattr(look, told) > 0 for look in looks]) < 0.95
    assert 0.05 < np.mean([look.softness > 1 for look in looks]) < 0.5
    hunting = [np.ptp(look.defocus) > 0.1 for look in looks]
    assert 0 < np.mean(hunting) < np.mean([look.defocus.max() > 0 for look in looks]) < 0.6
