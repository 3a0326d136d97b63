"""Short rendered clips with exact truth, for tests and for training."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.random_room import random_room
from cotracker_ros.synthetic.render import Frame, Renderer
from cotracker_ros.synthetic.scene import Intrinsics, Scene
from cotracker_ros.synthetic.sensor import ColourSensor
from cotracker_ros.synthetic.truth import Anchors, Truth, pick_anchors, trace

FIRST_STAMP = 1_700_000_000_000_000_000  # ns
FOCAL_PER_WIDTH = 0.82  # focal length as a fraction of the image's width: about 63 degrees across


@dataclass(frozen=True, eq=False)
class Clip:
    """A rendered clip.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        depth: (T, H, W) float32 m, exact, NaN where there is nothing.
        truth: Exact tracks.
        view: The camera.
    """

    frames: NDArray[np.uint8]
    depth: NDArray[np.float32]
    truth: Truth
    view: Intrinsics


class Recorder:
    """Renders a scene image by image, as a camera records it, and gathers the truth on the way."""

    def __init__(
        self,
        scene: Scene,
        view: Intrinsics,
        stamps: NDArray[np.int64],
        *,
        query_frames: tuple[int, ...] = (0,),
        static: int = 40,
        moving: int = 10,
        noise: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Prepare a recording.

        Args:
            scene: What happens.
            view: The camera.
            stamps: (T,) times of the images, ns; time 0 of the scene is the first.
            query_frames: Images in which points are chosen.
            static: Points chosen on the static world in each of them.
            moving: Points chosen on each moving body in each of them.
            noise: Noise of the colour sensor, see `ColourSensor`.
            seed: For noise and choice of points.
        """
        self.stamps = stamps
        self._scene, self._view, self._seed = scene, view, seed
        self._query_frames, self._static, self._moving = query_frames, static, moving
        self._renderer = Renderer(scene, view)
        self._sensor = ColourSensor(view, noise=noise)
        self._anchors: list[Anchors] = []

    def rng(self, purpose: int, k: int) -> np.random.Generator:
        """Return the random generator for one purpose in one image, so that order does not matter."""
        return np.random.default_rng([self._seed, purpose, k])

    def images(self) -> Iterator[tuple[int, NDArray[np.uint8], Frame]]:
        """Yield (stamp, image as the sensor delivers it, exact frame) for each stamp."""
        times = (self.stamps - self.stamps[0]) * 1e-9
        for k, (stamp, seconds, frame) in enumerate(
            zip(self.stamps, times, self._frames(times), strict=True)
        ):
            if k in self._query_frames:
                chosen = pick_anchors(
                    self._scene,
                    self._view,
                    frame,
                    float(seconds),
                    k,
                    static=self._static,
                    moving=self._moving,
                    rng=self.rng(0, k),
                )
                self._anchors.append(chosen)
            yield int(stamp), self._sensor.expose(frame.image, self.rng(1, k)), frame

    def _frames(self, times: NDArray[np.float64]) -> Iterator[Frame]:
        """Render ahead on all processors; NumPy and OpenCV let threads run side by side."""
        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as pool:
            ahead: deque[Future[Frame]] = deque()
            try:
                for seconds in times:
                    ahead.append(pool.submit(self._renderer.render, float(seconds)))
                    if len(ahead) > workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:  # whoever stops early need not wait for the rest
                for future in ahead:
                    future.cancel()

    def truth(self) -> Truth:
        """Return the tracks of the points that were chosen so far, through all images."""
        return trace(self._scene, self._view, Anchors.joined(self._anchors), self.stamps)


def even_stamps(count: int, rate: float) -> NDArray[np.int64]:
    """Return (count,) stamps in ns at `rate` images per second."""
    return FIRST_STAMP + np.round(np.arange(count) * 1e9 / rate).astype(np.int64)


def scene_clip(
    seed: int = 0,
    frames: int = 24,
    size: tuple[int, int] = (160, 120),
    *,
    rate: float = 15.0,
    query_frames: tuple[int, ...] = (0,),
    static: int = 40,
    moving: int = 10,
    noise: float = 1.0,
    scene: Scene | None = None,
) -> Clip:
    """Render a short clip with exact truth.

    Args:
        seed: The same seed gives the same clip.
        frames: Number of images.
        size: Width and height, px.
        rate: Images per second; a lower rate means faster motion in the image.
        query_frames: Images in which points are chosen.
        static: Points chosen on the static world in each of them.
        moving: Points chosen on each moving body in each of them.
        noise: Noise of the colour sensor; 0 is none.
        scene: What to render; `random_room` with this seed if not given.

    Raises:
        ValueError: No images asked for, or queries in images that do not exist.
    """
    if frames < 1 or rate <= 0:
        raise ValueError(f"a clip needs images and a rate, got {frames} at {rate}/s; give positive numbers")
    if any(not 0 <= k < frames for k in query_frames) or not query_frames:
        raise ValueError(
            f"query frames {query_frames} are not all in 0..{frames - 1}; choose existing images"
        )
    view = Intrinsics.centred(*size, focal=FOCAL_PER_WIDTH * size[0])
    recorder = Recorder(
        scene or random_room(seed),
        view,
        even_stamps(frames, rate),
        query_frames=query_frames,
        static=static,
        moving=moving,
        noise=noise,
        seed=seed,
    )
    images, depths = [], []
    for _, image, frame in recorder.images():
        images.append(image)
        depths.append(np.where(np.isfinite(frame.depth), frame.depth, np.float32(np.nan)))
    return Clip(np.stack(images), np.stack(depths), recorder.truth(), view)
