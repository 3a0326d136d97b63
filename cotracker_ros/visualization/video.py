"""Videos that browsers play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


class VideoWriter:
    """Writes RGB images into an MP4 file (H.264, 4:2:0, index in front), which every browser plays.

    OpenCV's own encoder is no help here: its wheels come without H.264, and no browser plays the MPEG-4
    part 2 that they have. A context manager; the file is complete when the context ends.
    """

    def __init__(self, path: str | Path, fps: float, *, quality: int = 21) -> None:
        """Say what to write; the file is made with the first image.

        Args:
            path: The MP4 file; its folder must exist.
            fps: Images per second.
            quality: x264's constant rate factor: 18 can hardly be told from the original, 28 is small.

        Raises:
            ValueError: The frame rate is not positive.
            ImportError: The encoder (PyAV) is not installed.
        """
        if not fps > 0:
            raise ValueError(f"the frame rate is {fps}; give a positive number of images per second")
        import av  # here, not above: everything else in this room works without it

        self._av = av
        self._path = Path(path)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._quality = quality
        self._container: Any = None
        self._stream: Any = None
        self._shape = (0, 0, 0)

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append an image, (H, W, 3) uint8 RGB, of the same size as all others.

        Raises:
            ValueError: The image has another shape or type.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"an image is {image.shape} {image.dtype}; give (H, W, 3) uint8")
        if self._container is None:
            self._open(image)
        elif image.shape != self._shape:
            raise ValueError(f"an image has the shape {image.shape}, the video has {self._shape}")
        # 4:2:0 needs even sides: an odd one is continued by its last row or column.
        height, width = image.shape[:2]
        even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        frame = self._av.VideoFrame.from_ndarray(np.asarray(even, np.uint8), format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Complete the file. Without a single image there is none."""
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, image: NDArray[np.uint8]) -> None:
        self._shape = image.shape
        self._container = self._av.open(str(self._path), "w", options={"movflags": "faststart"})
        options = {"crf": str(self._quality), "preset": "veryfast"}
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=options)
        self._stream.width = image.shape[1] + image.shape[1] % 2
        self._stream.height = image.shape[0] + image.shape[0] % 2
        self._stream.pix_fmt = "yuv420p"
