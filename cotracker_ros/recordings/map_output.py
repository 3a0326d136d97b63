"""A replay's map of what stands still, as PLY file."""

from __future__ import annotations

from pathlib import Path

from cotracker_ros.reconstruction import Lifter
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.replay import ReplayStep


class MapOutput:
    """Writes the lifter's map at the end.

    Args:
        path: PLY file to write.
        lifter: That of the replay; None: the recording has no depth or no calibration.

    Attributes:
        sentence: What was written, "" before the end.

    Raises:
        RecordingError: There is no lifter.
    """

    def __init__(self, path: Path, lifter: Lifter | None) -> None:
        if lifter is None:
            raise RecordingError("a map needs depth images and camera_info: the recording lacks one of them")
        path.parent.mkdir(parents=True, exist_ok=True)  # better now than after an hour of tracking
        self.sentence = ""
        self._path = path
        self._lifter = lifter

    def take(self, step: ReplayStep) -> None:
        """Take the next step."""

    def finish(self, step: ReplayStep) -> None:
        """Write the file."""
        points = self._lifter.map.points()
        points.save(self._path)
        frame = f" in frame '{self._lifter.map_frame}'" if self._lifter.map_frame else ""
        self.sentence = f"{self._path}: {len(points)} points of the map{frame}"
