"""Writing sequences in the layout of TAP-Vid-Kubric."""

from pathlib import Path

import cv2
import numpy as np

from cotracker_ros.tracking.labelled import LabelledClip


def write_kubric(folder: Path, name: str, clip: LabelledClip) -> None:
    (folder / name / "frames").mkdir(parents=True)
    for t, image in enumerate(clip.frames):
        cv2.imwrite(str(folder / name / "frames" / f"{t:03d}.png"), image[..., ::-1])
    tracks = {"coords": clip.xy.transpose(1, 0, 2), "visibility": ~clip.visible.T}  # which means: hidden
    np.save(folder / name / f"{name}.npy", tracks, allow_pickle=True)
