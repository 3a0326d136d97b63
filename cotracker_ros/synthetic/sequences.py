"""RGB-D sequences of known scenes with the errors of a depth camera, to judge what is made of them.

All truth is exact: the pose of the camera and of every body at any time, and, for any pixel that somebody
follows, the point that it shows. Depth has noise that grows with the square of the distance, steps of
disparity, holes, shadows of the projector and pixels between near and far at rims.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.clip import FOCAL_PER_WIDTH, Recorder, even_stamps
from cotracker_ros.synthetic.motion import Matrix
from cotracker_ros.synthetic.scene import Intrinsics, Scene
from cotracker_ros.synthetic.sensor import measure_depth
from cotracker_ros.synthetic.sequence_scenes import crowded, furnished_room, occlusion
from cotracker_ros.synthetic.truth import Anchors, Truth, anchors_at, trace
from cotracker_ros.synthetic.workshop import workshop

_BLEEDING = 0.4  # share of the rims
_OUTLINE = 2  # px; what is followed so near to the outline of a body may be of either side


class SequenceError(ValueError):
    """A sequence that cannot be rendered; the text is one sentence."""


@dataclass(frozen=True)
class SequenceKind:
    """One of the scenes that are rendered.

    Attributes:
        about: What happens, for the reader.
        scene: Makes the scene from a seed.
        seconds: How long it takes.
    """

    about: str
    scene: Callable[[int], Scene]
    seconds: float = 10.0


SEQUENCES: dict[str, SequenceKind] = {
    "static_room": SequenceKind("a furnished room in which only the camera moves", furnished_room),
    "workshop": SequenceKind("the same room with a cart, a parcel, a ball and a globe that move", workshop),
    "crowded": SequenceKind("two boards are carried past and fill most of the view for seconds", crowded),
    "occlusion": SequenceKind("a box and a drum pass behind a partition that hides them whole", occlusion),
}
"""The sequences by name."""


@dataclass(frozen=True, eq=False)
class RgbdSequence:
    """A rendered sequence of T images.

    Attributes:
        name: What to call it.
        scene: What was rendered; time 0 is the first stamp.
        view: The camera.
        stamps: (T,) int64, ns.
        images: (T, H, W, 3) uint8 RGB.
        depth: (T, H, W) uint16, mm, 0 where nothing was measured.
        owner: (T, H, W) int8, index of the body that each pixel truly shows, -1 where there is nothing.
        camera_poses: (T, 4, 4) world from optical frame, m.
        body_poses: (T, B, 4, 4) world from body, m.
    """

    name: str
    scene: Scene
    view: Intrinsics
    stamps: NDArray[np.int64]
    images: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    owner: NDArray[np.int8]
    camera_poses: Matrix
    body_poses: Matrix

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def body_names(self) -> list[str]:
        """Names of the bodies; the first is the static world."""
        return [body.name for body in self.scene.bodies]

    def metres(self, k: int) -> NDArray[np.float32]:
        """Return depth image `k` (H, W) float32, m, NaN where nothing was measured."""
        return np.where(self.depth[k] > 0, self.depth[k].astype(np.float32) / 1000, np.float32(np.nan))

    def truth_of(self, pixels: NDArray[Any], images: Sequence[int]) -> Truth:
        """Return the exact tracks of the points that are seen at pixels (N, 2) of the images numbered so.

        The tracks come in the order of the pixels; where there is nothing to see they are NaN.
        """
        begun = np.asarray(images, np.int64)
        order = np.argsort(begun, kind="stable")
        groups = []
        for k in np.unique(begun).tolist():
            seconds = float(self.stamps[k] - self.stamps[0]) * 1e-9
            groups.append(anchors_at(self.scene, self.view, pixels[begun == k], seconds, k))
        joined = Anchors.joined(groups)
        back = np.argsort(order)
        anchors = Anchors(joined.body[back], joined.xyz[back], joined.query_frame[back])
        return trace(self.scene, self.view, anchors, self.stamps)

    def clear_of_outlines(self, pixels: NDArray[Any], images: Sequence[int]) -> NDArray[np.bool_]:
        """Tell (N,) which pixels show one body only in all of the 5x5 pixels around them."""
        clear = np.zeros(len(pixels), np.bool_)
        window = np.ones((2 * _OUTLINE + 1, 2 * _OUTLINE + 1), np.uint8)
        last = np.array([self.view.width, self.view.height]) - 1
        columns, rows = np.round(pixels).astype(int).clip(0, last).T
        for k in np.unique(images).tolist():
            here = np.asarray(images) == k
            owner = (self.owner[k] + 1).astype(np.uint8)
            even = cv2.erode(owner, window) == cv2.dilate(owner, window)
            clear[here] = even[rows[here], columns[here]]
        return clear


def rendered_sequence(
    name: str,
    *,
    seed: int = 0,
    size: tuple[int, int] = (320, 240),
    rate: float = 20.0,
    seconds: float | None = None,
) -> RgbdSequence:
    """Render a sequence; the same arguments give the same sequence.

    Args:
        name: One of `SEQUENCES`.
        seed: Textures, noise.
        size: Width and height, px.
        rate: Images per second.
        seconds: Length from the start on; None for all of it.

    Raises:
        SequenceError: There is no such sequence, or it would have no image.
    """
    if name not in SEQUENCES:
        raise SequenceError(f"there is no rendered sequence '{name}'; choose from {', '.join(SEQUENCES)}")
    kind = SEQUENCES[name]
    duration = kind.seconds if seconds is None else seconds
    count = round(duration * rate) if duration > 0 and rate > 0 else 0
    if count < 2:
        raise SequenceError(
            f"{duration} s at {rate} images/s make no sequence; give at least the time of two images"
        )
    return record_scene(kind.scene(seed), name, even_stamps(count, rate), size=size, seed=seed)


def record_scene(
    scene: Scene,
    name: str,
    stamps: NDArray[np.int64],
    *,
    size: tuple[int, int] = (320, 240),
    seed: int = 0,
) -> RgbdSequence:
    """Render any scene as an RGB-D camera records it.

    Args:
        scene: What happens.
        name: What to call it.
        stamps: (T,) times of the images, ns; time 0 of the scene is the first.
        size: Width and height, px.
        seed: Of the noise.
    """
    view = Intrinsics.centred(*size, focal=FOCAL_PER_WIDTH * size[0])
    recorder = Recorder(scene, view, stamps, query_frames=(), seed=seed)
    shape = (len(stamps), view.height, view.width)
    images, depth = np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint16)
    owner, cameras = np.empty(shape, np.int8), np.empty((len(stamps), 4, 4))
    body_of = np.array([body for body, _ in scene.parts] + [-1], np.int8)
    for k, (_, image, frame) in enumerate(recorder.images()):
        images[k], cameras[k] = image, frame.pose
        depth[k] = measure_depth(frame.depth, view, recorder.rng(2, k), bleeding=_BLEEDING)
        owner[k] = body_of[frame.part]
    bodies = np.stack([scene.body_poses(float(stamp - stamps[0]) * 1e-9) for stamp in stamps])
    return RgbdSequence(name, scene, view, stamps, images, depth, owner, cameras, bodies)
