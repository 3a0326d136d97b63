"""Make the README's pictures from the demo's output: docs/demo.webp (moving) and docs/overlay.jpg (still).

Usage, after `make demo`: scripts/in_env.sh kilted python scripts/make_pictures.py [out/demo]
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cotracker_ros.evaluation.recorded import read_run
from cotracker_ros.recordings import ImageEvent, open_recording
from cotracker_ros.visualization import OverlayDrawer

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECORDING = Path("out/sample/sample")
SECONDS = (0.0, 3.6)  # of the recording that moves
STILL = 2.6  # s, the image that stands still
EVERY = 2  # images of the recording per image of the picture
WIDTH = 440  # px of the moving picture


def main(output: Path) -> None:
    """Draw the recorded tracks over the sample and write both pictures."""
    run = read_run(output / "output", output / "arrivals.csv")
    drawer = OverlayDrawer()
    moving, still, start = [], None, None
    for event in open_recording(RECORDING).events():
        if not isinstance(event, ImageEvent) or event.stamp not in run.tracks:
            continue
        start = event.stamp if start is None else start
        seconds = (event.stamp - start) / 1e9
        drawn = drawer.draw(event.image, run.tracks[event.stamp])
        if still is None and seconds >= STILL:
            still = drawn
        if SECONDS[0] <= seconds <= SECONDS[1]:
            moving.append(drawn)
    frames = [Image.fromarray(_shrink(image)) for image in moving[::EVERY]]
    duration = round(1000 * (SECONDS[1] - SECONDS[0]) / len(frames))
    DOCS.mkdir(exist_ok=True)
    frames[0].save(
        DOCS / "demo.webp",
        save_all=True,
        append_images=frames[1:],
        duration=duration,
        loop=0,
        quality=62,
        method=6,
    )
    Image.fromarray(still).save(DOCS / "overlay.jpg", quality=88)
    for name in ("demo.webp", "overlay.jpg"):
        print(f"{DOCS / name}: {(DOCS / name).stat().st_size / 1e3:.0f} kB")


def _shrink(image: np.ndarray) -> np.ndarray:
    height = round(image.shape[0] * WIDTH / image.shape[1])
    return cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo"))
