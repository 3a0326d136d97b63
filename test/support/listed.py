"""A recording that is a list of images."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from cotracker_ros.recordings import DropEvent, Event, ImageEvent, Recording, RecordingSummary


class ListedRecording(Recording):
    """Yields its images; None stands for one that cannot be read."""

    def __init__(self, images: Iterable[np.ndarray | None], path: Path) -> None:
        self._images = list(images)
        self._summary = RecordingSummary(path, "images", len(self._images))

    @property
    def summary(self) -> RecordingSummary:
        return self._summary

    def events(self) -> Iterator[Event]:
        for i, image in enumerate(self._images):
            yield DropEvent(i, "", "broken") if image is None else ImageEvent(i, "camera", image)
