"""What training clips are made of: articulated things and families of textures."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from cotracker_ros.synthetic import texture_bank
from cotracker_ros.synthetic.clip_scene import _articulated, random_view
from cotracker_ros.synthetic.clip_textures import FAMILIES, Family, laid, leaves, plain, speckled, stripes
from cotracker_ros.synthetic.texture_bank import Bank


@pytest.fixture(autouse=True, scope="module")
def few_textures() -> Iterator[None]:
    """A small stock, so that tests do not wait for the whole one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texture_bank, "_SLOTS", {False: 8, True: 8})
        yield


def test_parts_of_an_articulated_thing_turn_about_a_joint_that_they_share() -> None:
    turned = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        parts = _articulated(rng, random_view(rng, 20, (128, 128)), Bank(0, False), 0.5)
        if len(parts) != 2:  # of three, the outer ones share no joint
            continue
        first, second = (part.maps[:, 0, 0] for part in parts)
        between = second @ np.linalg.inv(first)  # texture of the second part from that of the first
        between /= between[:, 2:, 2:]
        np.testing.assert_allclose(between[:, 2, :2], 0, atol=1e-9)  # rigid: one lies flat on the other
        np.testing.assert_allclose(np.linalg.det(between[:, :2, :2]), 1, atol=1e-6)
        change = (between[1:] - between[0])[:, :2]
        angle = np.abs(change[:, :, :2]).max()
        if angle < 1e-3:
            continue
        turned += 1
        joint = np.linalg.lstsq(change[..., :2].reshape(-1, 2), -change[..., 2].ravel(), rcond=None)[0]
        assert np.abs(change @ np.array([*joint, 1])).max() < 1e-6  # the same place of both at all times
    assert turned >= 3


def contrast(image: np.ndarray) -> float:
    """Deviation of the grey levels around a place, as a tracker's window sees it."""
    grey = image.astype(np.float32).mean(axis=2)
    mean = cv2.blur(grey, (13, 13))
    return float(np.median(np.sqrt(np.maximum(cv2.blur(grey * grey, (13, 13)) - mean * mean, 0))))


def repetition(image: np.ndarray) -> float:
    """Correlation of the middle of a picture with the place elsewhere in it that is most alike."""
    grey = image.astype(float).mean(axis=2)
    grey = (grey - grey.mean()) / grey.std()
    power = np.abs(np.fft.fft2(grey)) ** 2
    alike = np.fft.ifft2(power).real / grey.size
    y, x = np.meshgrid(*(np.minimum(np.arange(n), n - np.arange(n)) for n in grey.shape), indexing="ij")
    return float(alike[np.hypot(x, y) > 12].max())


@pytest.mark.parametrize("family", [family for family, _ in FAMILIES], ids=lambda family: family.__name__)
def test_a_family_follows_its_generator(family: Family) -> None:
    first, again, other = (family(np.random.default_rng(seed), 128) for seed in (3, 3, 4))
    assert (first.shape, first.dtype) == ((128, 128, 3), np.uint8)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_some_families_have_little_contrast_and_some_repeat_themselves() -> None:
    def median(measure: Callable[[np.ndarray], float], family: Family) -> float:
        return float(np.median([measure(family(np.random.default_rng(seed), 128)) for seed in range(6)]))

    assert median(contrast, plain) < 5
    assert median(contrast, plain) < median(contrast, speckled) < median(contrast, leaves)
    assert min(median(repetition, family) for family in (laid, stripes)) > median(repetition, leaves) + 0.2
