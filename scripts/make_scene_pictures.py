"""Make the README's pictures of a scene in 3D from the sample recording (made by `make demo`).

docs/rerun.jpg: screenshot of the Rerun viewer, without a display; it needs a Vulkan driver, such as Mesa's
lavapipe, and is left as it is where there is none.
docs/mesh.jpg: the fused surface, its points painted by NumPy.

Usage: scripts/in_env.sh kilted python scripts/make_scene_pictures.py [recording]
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cotracker_ros.cli import main as command
from cotracker_ros.reconstruction import read_ply

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECORDING = Path("out/sample/sample")
OUTPUT = Path("out/pictures")
OPTIONS = "--seed corners --seed-count 400 --weights default --camera-pose tracks --target-frame odom"
STILL = 2.5  # s from the beginning, the moment that is shown
EYE, TARGET = np.array([-2.2, 1.0, 1.3]), np.array([2.5, -0.2, -0.1])  # m, in the fixed frame (z up)
MENU = 37  # px at the top of Rerun's window


def main(recording: Path) -> None:
    """Replay the recording and draw what came out."""
    files = {kind: OUTPUT / f"scene.{kind}" for kind in ("mcap", "rrd", "ply")}
    options = [*OPTIONS.split(), "--with-inputs", "--overwrite"]
    outputs = ["--rerun", str(files["rrd"]), "--mesh", str(files["ply"])]
    if command(["replay", str(recording), str(files["mcap"]), *options, *outputs]):
        sys.exit(1)
    screenshot(files["rrd"])
    surface = read_ply(OUTPUT / "scene_cloud.ply")
    save(painted(surface.xyz, surface.rgb), "mesh.jpg")


def save(picture: Image.Image, name: str) -> None:
    """Write a picture of at most 200 kB into docs/."""
    for quality in range(90, 40, -5):
        picture.convert("RGB").save(DOCS / name, quality=quality, optimize=True)
        if (DOCS / name).stat().st_size < 200_000:
            break
    print(f"{DOCS / name}: {(DOCS / name).stat().st_size / 1e3:.0f} kB")


def screenshot(recording: Path, patience: float = 60.0) -> None:
    """Take a picture of the Rerun viewer, which runs without a window."""
    from rerun.experimental import ViewerClient

    try:
        with ViewerClient.spawn(headless=True, port=9878) as viewer:
            viewer.open(str(recording.resolve()))
            until = time.monotonic() + patience
            while not (state := viewer.get_state()).recordings or state.loading:
                if time.monotonic() > until:
                    raise RuntimeError("the recording was not loaded in time")
                time.sleep(1)
            (timeline,) = (item for item in state.recordings[0].timelines if item.name == "stamp")
            moment = np.datetime64(timeline.start + int(STILL * 1e9), "ns")
            viewer.set_time("stamp", timestamp=moment, play_state="paused")
            time.sleep(10)  # a viewer without a graphics card draws slowly
            picture = Image.open(io.BytesIO(viewer.take_screenshot()))
            picture = picture.crop((0, MENU, *picture.size))
            save(picture.resize((1280, round(1280 * picture.height / picture.width))), "rerun.jpg")
    except Exception as error:
        print(f"docs/rerun.jpg stays as it is, the Rerun viewer cannot draw here: {error}", file=sys.stderr)


def painted(
    xyz: NDArray[np.float32], rgb: NDArray[np.uint8], size: tuple[int, int] = (900, 600)
) -> Image.Image:
    """Paint points from far to near, as squares."""
    ahead = (TARGET - EYE) / np.linalg.norm(TARGET - EYE)
    right = np.cross(ahead, [0, 0, 1])
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(ahead, right), ahead])  # x right, y down, z ahead
    x, y, depth = turn @ (xyz - EYE).T
    image = np.full((size[1], size[0], 3), 30, np.uint8)
    focal = 0.85 * size[0]
    order = np.argsort(-depth)
    order = order[depth[order] > 0.3]
    column = np.rint(focal * x[order] / depth[order] + size[0] / 2).astype(int)
    row = np.rint(focal * y[order] / depth[order] + size[1] / 2).astype(int)
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            u, v = column + dx, row + dy
            inside = (u >= 0) & (u < size[0]) & (v >= 0) & (v < size[1])
            image[v[inside], u[inside]] = rgb[order[inside]]
    return Image.fromarray(image)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDING)
