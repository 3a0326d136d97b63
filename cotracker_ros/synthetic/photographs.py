"""Photographs in the public domain, as one family of textures.

None is part of this package. They are found where other packages have installed them: scikit-image (extra
``train``) and matplotlib. Only files on the list below are used, recognised by name and contents, so that
everything trained on is known with its source and licence.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.clip_motion import Rng
from cotracker_ros.synthetic.clip_textures import palette
from cotracker_ros.synthetic.patterns import Image, ramp


@dataclass(frozen=True)
class Photograph:
    """A picture that may be used.

    Attributes:
        file: Name of the file.
        sha256: Of its contents.
        shows: What is on it.
        source: Where it comes from and where it is installed.
        licence: On what terms.
        held_out: Whether it is for evaluation only.
    """

    file: str
    sha256: str
    shows: str
    source: str
    licence: str
    held_out: bool = False


# Licences as stated in the documentation of `skimage.data` 0.26; of the last one on Wikimedia Commons.
ALLOWED = (
    Photograph(
        "astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "Eileen Collins",
        "NASA Great Images, in scikit-image",
        "public domain (NASA)",
    ),
    Photograph(
        "brick.png",
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
        "brick wall",
        "CC0Textures Bricks25, in scikit-image",
        "CC0",
    ),
    Photograph(
        "chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "cat",
        "Stefan van der Walt, in scikit-image",
        "CC0",
    ),
    Photograph(
        "coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "cup on a wooden table",
        "Rachel Michetti, in scikit-image",
        "CC0",
    ),
    Photograph(
        "gravel.png",
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
        "gravel",
        "CC0Textures Gravel04, in scikit-image",
        "CC0",
    ),
    Photograph(
        "retina.jpg",
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        "back of an eye",
        "Mikael Häggström, Wikimedia Commons, in scikit-image",
        "CC0",
    ),
    Photograph(
        "camera.png",
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        "man with a camera",
        "Lav Varshney, in scikit-image",
        "CC0",
        held_out=True,
    ),
    Photograph(
        "grass.png",
        "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
        "grass",
        "linolafett, DeviantArt 434853879, in scikit-image",
        "CC0",
        held_out=True,
    ),
    Photograph(
        "grace_hopper.jpg",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
        "Grace Hopper",
        "US Navy, Wikimedia Commons, in matplotlib",
        "public domain (US Navy)",
        held_out=True,
    ),
)


def installed_photographs() -> str:
    """Return the folders in which the pictures may be installed, joined by the system's path separator.

    It is what `ClipConfig.photographs` takes; empty where neither package is installed.
    """
    folders = []
    for package, inside in (("skimage", "data"), ("matplotlib", "mpl-data/sample_data")):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            folder = Path(place) / inside
            if folder.is_dir():
                folders.append(str(folder))
    return os.pathsep.join(folders)


@lru_cache(maxsize=4)
def photographs(folders: str, held_out: bool) -> tuple[Image, ...]:
    """Return the allowed pictures, (H, W, 3) uint8 RGB, in the order of the list.

    Args:
        folders: Folders to look into, joined by the system's path separator.
        held_out: Those for evaluation rather than those for training.
    """
    found = []
    for picture in ALLOWED:
        if picture.held_out != held_out:
            continue
        for folder in filter(None, folders.split(os.pathsep)):
            path = Path(folder) / picture.file
            if path.is_file():
                contents = path.read_bytes()
                if hashlib.sha256(contents).hexdigest() == picture.sha256:
                    found.append(_decoded(contents))
                    break
    return tuple(found)


def photograph_texture(rng: Rng, pictures: tuple[Image, ...], size: int) -> Image:
    """Return a random part of one of the pictures, (size, size, 3); a grey one is coloured."""
    picture = pictures[int(rng.integers(len(pictures)))]
    largest = min(picture.shape[:2])
    side = int(rng.uniform(0.55, 1) * largest)
    left, top = int(rng.integers(picture.shape[1] - side + 1)), int(rng.integers(picture.shape[0] - side + 1))
    part = np.rot90(picture[top : top + side, left : left + side], int(rng.integers(4)))
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=method), np.uint8)
    if (picture[::16, ::16, 0] == picture[::16, ::16, 2]).all() and rng.random() < 0.7:
        colours = palette(rng, int(rng.integers(2, 5)))
        image = ramp(image[..., 0] / np.float32(255), sorted(colours, key=sum))
    return image


def _decoded(contents: bytes) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise AssertionError("a picture with the right contents cannot be decoded")
    height, width = picture.shape[:2]
    if min(height, width) > 1024:
        smaller = 700 / min(height, width)
        picture = cv2.resize(picture, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)
