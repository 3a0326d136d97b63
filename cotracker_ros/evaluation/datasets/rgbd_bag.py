"""Bags as RGB-D frames: each colour image with the depth image and the camera's pose of its moment."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.rgbd import (
    FrameLoader,
    Intrinsics,
    RgbdFrame,
    at_image_size,
    camera_for,
)
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.transforms import TransformBuffer, TransformError
from cotracker_ros.recordings import (
    CameraEvent,
    DepthEvent,
    Event,
    ImageEvent,
    TransformEvent,
    open_recording,
)

_TOGETHER = 20_000_000  # ns; a colour and a depth image of one moment
_SAME_PLACE = 0.01  # m: a depth camera nearer than this to the colour camera counts as registered
_SAME_DIRECTION = 0.02  # difference of the rotation matrices
_PATIENCE = 1_000_000_000  # ns of recording to wait for the depth and the transforms of an image


def bag_frames(
    path: Path,
    *,
    intrinsics: Intrinsics | None = None,
    world: str | None = None,
    image_topic: str | None = None,
    depth_topic: str | None = None,
    camera_info_topic: str | None = None,
) -> Iterator[FrameLoader]:
    """Read the colour images of a bag that have a depth image within 20 ms, a calibration and a pose.

    Args:
        path: The bag.
        intrinsics: Instead of the bag's camera_info.
        world: The frame in which the scene stands still; by default the one that all others hang on a
            second after the first image (odom or map, as a rule).
        image_topic: See `open_recording`.
        depth_topic: See `open_recording`.
        camera_info_topic: See `open_recording`.

    Raises:
        RecordingError: The bag cannot be read.
        DatasetError: It has no depth; or, when all was read, not one image has all that is needed.
    """
    recording = open_recording(
        path, image_topic=image_topic, depth_topic=depth_topic, camera_info_topic=camera_info_topic
    )
    if not recording.summary.depths:
        raise DatasetError(f"{path} has no depth images: record them beside the colour images")
    return _frames(recording.events(), _Matcher(intrinsics, world), path)


def _frames(events: Iterator[Event], matcher: _Matcher, path: Path) -> Iterator[FrameLoader]:
    found = False
    for event in events:
        for frame in matcher.take(event):
            found = True
            yield lambda frame=frame: frame  # type: ignore[misc]
    for frame in matcher.flush():
        found = True
        yield lambda frame=frame: frame  # type: ignore[misc]
    if not found:
        raise DatasetError(f"no image of {path} can be used: {matcher.commonest_trouble()}")


class _Matcher:
    """Holds images back until their depth and transforms have come, or for a second of the recording."""

    def __init__(self, intrinsics: Intrinsics | None, world: str | None) -> None:
        self._intrinsics = intrinsics
        self._world = world  # once known, it stays: the scene must not jump
        self._camera: CameraModel | None = None
        self._parents: dict[str, str] = {}
        self._transforms = TransformBuffer(seconds=60.0)
        self._depths: deque[DepthEvent] = deque()
        self._waiting: deque[ImageEvent] = deque()
        self._troubles: Counter[str] = Counter()

    def take(self, event: Event) -> Iterator[RgbdFrame]:
        """Take what comes next and yield what is complete now."""
        if isinstance(event, ImageEvent):
            self._waiting.append(event)
        elif isinstance(event, DepthEvent):
            self._depths.append(event)
            self._forget_depths()
        elif isinstance(event, CameraEvent):
            self._camera = event.camera
        elif isinstance(event, TransformEvent):
            self._take_transform(event)
        while self._waiting:
            image = self._waiting[0]
            late = event.logged - image.logged > _PATIENCE
            if not late and not self._complete(image):
                return
            yield from self._match(self._waiting.popleft())

    def _take_transform(self, event: TransformEvent) -> None:
        try:
            self._transforms.set(event.parent, event.child, event.stamp, event.matrix, event.static)
        except ValueError as error:  # no rigid pose, or frames that form a loop
            self._troubles[str(error)] += 1
        else:
            self._parents[event.child.lstrip("/")] = event.parent.lstrip("/")

    def flush(self) -> Iterator[RgbdFrame]:
        """Yield what can be made of the images that still wait."""
        while self._waiting:
            yield from self._match(self._waiting.popleft())

    def commonest_trouble(self) -> str:
        """Say why most images were left out."""
        return self._troubles.most_common(1)[0][0] if self._troubles else "it has none"

    def _forget_depths(self) -> None:
        """Drop those that no image that waits or comes can belong to."""
        oldest = self._waiting[0].stamp - _TOGETHER if self._waiting else self._depths[-1].stamp - _PATIENCE
        while self._depths and self._depths[0].stamp < oldest:
            self._depths.popleft()

    def _complete(self, image: ImageEvent) -> bool:
        # Static transforms come first in many bags: which frame all hang on is not known at once.
        if self._world is None or not self._depths or self._depths[-1].stamp < image.stamp:
            return False
        try:
            self._transforms.lookup(self._world, image.frame_id, image.stamp)
        except TransformError as error:
            return not error.may_come
        return bool(self._intrinsics or self._camera)

    def _root(self, frame: str) -> str:
        while frame in self._parents:
            frame = self._parents[frame]
        return frame

    def _registered(self, depth: DepthEvent, image: ImageEvent) -> bool:
        """Say whether both were taken from one place, as far as the transforms tell."""
        if "" in (depth.frame_id, image.frame_id):
            return True
        try:
            offset = self._transforms.lookup(image.frame_id, depth.frame_id, image.stamp)
        except TransformError:
            return True
        turned = np.linalg.norm(offset[:3, :3] - np.eye(3))
        return bool(np.linalg.norm(offset[:3, 3]) <= _SAME_PLACE and turned <= _SAME_DIRECTION)

    def _match(self, image: ImageEvent) -> Iterator[RgbdFrame]:
        depth = min(self._depths, key=lambda event: abs(event.stamp - image.stamp), default=None)
        if depth is not None and not self._registered(depth, image):
            self._troubles["its depth was taken from elsewhere: register the depth to the colour"] += 1
            return
        if depth is None or abs(depth.stamp - image.stamp) > _TOGETHER:
            self._troubles[f"no depth image was taken within {_TOGETHER // 1_000_000} ms of it"] += 1
            return
        known = self._camera
        size = image.image.shape[1], image.image.shape[0]
        if known is None and self._intrinsics:
            known = CameraModel.pinhole(*size, *self._intrinsics)
        if known is None:
            self._troubles["no camera_info came before it: give the intrinsics"] += 1
            return
        world = self._world or self._root(image.frame_id)
        if world == image.frame_id:
            self._troubles[f'no transform says where its frame "{world}" is'] += 1
            return
        try:
            pose = self._transforms.lookup(world, image.frame_id, image.stamp)
        except TransformError as error:
            # Without the seconds, which differ from image to image.
            self._troubles[str(error).split(" is asked for")[0] + " does not reach it"] += 1
            return
        self._world = world
        metres = at_image_size(np.nan_to_num(depth.depth), size, f"the image at {image.stamp} ns")
        yield RgbdFrame(image.image, metres, pose, camera_for(size, known, self._intrinsics), image.stamp)
