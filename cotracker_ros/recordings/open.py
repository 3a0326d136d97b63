"""From a path to a recording."""

from __future__ import annotations

from pathlib import Path

from cotracker_ros.recordings.bagfile import bag_kind
from cotracker_ros.recordings.bags import BagRecording
from cotracker_ros.recordings.base import Recording
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.topics import NO_TOPIC
from cotracker_ros.recordings.videos import ImageFolder, VideoRecording


def open_recording(
    path: str | Path,
    *,
    image_topic: str | None = None,
    depth_topic: str | None = None,
    camera_info_topic: str | None = None,
) -> Recording:
    """Open a bag (MCAP, sqlite3, ROS 1), a video file or a folder of images.

    Args:
        path: File or folder.
        image_topic: Topic of the colour images in a bag; None: the only one of that type.
        depth_topic: Topic of the depth images; None: the only one, if any; "none": read no depth.
        camera_info_topic: Topic of the calibration; None: the one beside the image topic, or the only one.

    Raises:
        RecordingError: It does not exist, cannot be read, is empty, or has no topic or several that could
            be meant.
    """
    path = Path(path)
    if not path.exists():
        raise RecordingError(f"{path} does not exist")
    if bag_kind(path):
        return BagRecording(path, image=image_topic, depth=depth_topic, camera_info=camera_info_topic)
    if any(topic not in (None, "", NO_TOPIC) for topic in (image_topic, depth_topic, camera_info_topic)):
        raise RecordingError(f"topics were named, but {path} is no bag")
    return ImageFolder(path) if path.is_dir() else VideoRecording(path)
