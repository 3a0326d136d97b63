"""Recordings of one made-up camera, whose truth is known but not told: does `cotracker_ros distill` pay?

A cheap camera in low light: dim, vignetted, soft, with noise that grows with the light, a pattern of its
sensor that never changes, and JPEG. It looks at one place: the held-out textures of `synthetic`, which the
shipped network was not trained on. Written are:

    drive_00, drive_01, ...   folders of images to distil on, no truth beside them
    unseen.pkl                other clips of the same camera, TAP-Vid's format, for `cotracker_ros evaluate`
    elsewhere.pkl             clips of other textures without that camera: is anything lost?

Usage: python scripts/make_camera_recordings.py --out out/camera
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.clip_scene import random_stack
from cotracker_ros.synthetic.clip_space import random_space
from cotracker_ros.synthetic.clip_tracks import choose_tracks
from cotracker_ros.synthetic.texture_bank import Bank
from cotracker_ros.synthetic.training_clip import ClipConfig, training_clip
from cotracker_ros.tracking.labelled import LabelledClip

SIDE = 256  # px, as TAP-Vid: nothing is resized when it is evaluated
TRACKS = 64
PLACE = 4242  # seed of the textures that only this place has
DRIVES, UNSEEN, ELSEWHERE = 1_000, 5_000, 3_000_000  # first seeds


class NightCamera:
    """What the camera makes of an exact image."""

    def __init__(self, seed: int) -> None:
        """Take the camera's own pattern, which is always the same, and a source of noise, which is not."""
        own = np.random.default_rng(7)
        self._pattern = 1.5 * own.normal(size=(SIDE, SIDE, 3)) + 1.5 * own.normal(size=(1, SIDE, 1))
        y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
        self._light = (0.35 * (1 - 0.175 * (x**2 + y**2)))[..., None]
        self._rng = np.random.default_rng([1, seed])

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the (SIDE, SIDE, 3) uint8 image that it delivers."""
        light = cv2.GaussianBlur(image, (0, 0), 0.7) * self._light
        noise = self._rng.normal(size=light.shape) * np.sqrt(4 + 0.6 * light)
        seen = np.clip(1.6 * (light + noise + self._pattern) + 8, 0, 255).astype(np.uint8)
        code = cv2.imencode(".jpg", seen[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
        return np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def recorded(seed: int, frames: int) -> LabelledClip:
    """Return what the camera records, with the truth."""
    rng = np.random.default_rng([99, seed])
    make = random_space if rng.random() < 0.5 else random_stack
    world = make(rng, frames, (SIDE, SIDE), Bank(PLACE, held_out=True))
    exact = [world.draw(frame, (SIDE, SIDE)) for frame in range(frames)]
    tracks = choose_tracks(rng, world, exact, TRACKS)
    camera = NightCamera(seed)
    return LabelledClip(np.stack([camera(image) for image in exact]), tracks.xy, tracks.visible, tracks.known)


def write_drive(folder: Path, images: NDArray[np.uint8]) -> None:
    """Write images (T, H, W, 3) RGB as a folder that is a recording."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:04d}.png"), image[..., ::-1])


def write_tapvid(path: Path, clips: list[LabelledClip]) -> None:
    """Write clips in the format of TAP-Vid DAVIS; what is hardly known counts there as well."""
    entries = {
        f"{number:02d}": {
            "video": clip.frames,
            "points": (clip.xy / (SIDE - 1)).transpose(1, 0, 2).astype(np.float32),
            "occluded": ~clip.visible.T,
        }
        for number, clip in enumerate(clips)
    }
    path.write_bytes(pickle.dumps(entries))


def main() -> None:
    """Make the recordings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/camera"))
    parser.add_argument("--drives", type=int, default=4, help="recordings to distil on [4]")
    parser.add_argument("--images", type=int, default=96, help="images of each [96]")
    parser.add_argument("--clips", type=int, default=22, help="clips of each evaluation, 48 images each [22]")
    args = parser.parse_args()
    for number in range(args.drives):
        write_drive(args.out / f"drive_{number:02d}", recorded(DRIVES + number, args.images).frames)
    write_tapvid(args.out / "unseen.pkl", [recorded(UNSEEN + i, 48) for i in range(args.clips)])
    plain = ClipConfig(frames=48, width=SIDE, height=SIDE, tracks=TRACKS)
    write_tapvid(args.out / "elsewhere.pkl", [training_clip(ELSEWHERE + i, plain) for i in range(args.clips)])


if __name__ == "__main__":
    main()
