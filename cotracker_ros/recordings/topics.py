"""Which topics of a bag hold colour, depth and calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cotracker_ros.recordings.bagfile import Topic
from cotracker_ros.recordings.errors import RecordingError

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
NO_TOPIC = "none"

_DEPTH_ENCODINGS = ("16UC1", "32FC1")
# What image_transport appends to the name of the raw topic.
_TRANSPORTS = ("/compressedDepth", "/compressed")


@dataclass(frozen=True)
class ChosenTopics:
    """The topics that are read; "" where there is none."""

    image: str
    depth: str
    camera_info: str


def choose_topics(
    topics: dict[str, Topic],
    first_format: Callable[[str], str],
    *,
    image: str | None,
    depth: str | None,
    camera_info: str | None,
) -> ChosenTopics:
    """Choose by type, and take what the user named.

    Args:
        topics: All topics of the bag.
        first_format: Gives the ``encoding`` or ``format`` of a topic's first image.
        image: Topic that the user named for colour; None: find it.
        depth: The same for depth; "none": read no depth.
        camera_info: The same for the calibration.

    Raises:
        RecordingError: There is no colour topic, or several could be meant, or what was named is missing
            or of the wrong type.
    """
    filled = {name: topic for name, topic in topics.items() if topic.count}
    formats = {
        name: first_format(name)
        for name, topic in filled.items()
        if topic.typename in (IMAGE, COMPRESSED_IMAGE)
    }
    depths = [name for name, text in formats.items() if _is_depth(text)]
    colours = [name for name in formats if name not in depths]
    chosen_image = image or _only(colours, "colour image", "image_topic", topics)
    _check_type(topics, chosen_image, (IMAGE, COMPRESSED_IMAGE), "image_topic")
    if depth == NO_TOPIC:
        chosen_depth = ""
    elif depth:
        chosen_depth = depth
        _check_type(topics, chosen_depth, (IMAGE, COMPRESSED_IMAGE), "depth_topic")
    else:
        chosen_depth = _only(depths, "depth image", "depth_topic", topics) if depths else ""
    if camera_info:
        _check_type(topics, camera_info, (CAMERA_INFO,), "camera_info_topic")
    infos = [name for name, topic in filled.items() if topic.typename == CAMERA_INFO]
    return ChosenTopics(
        chosen_image,
        chosen_depth,
        camera_info or _matching_info(infos, chosen_image, bool(chosen_depth), topics),
    )


def raw_name(topic: str) -> str:
    """Return the name of a topic without what image_transport appended to it."""
    for suffix in _TRANSPORTS:
        if topic.endswith(suffix):
            return topic[: -len(suffix)]
    return topic


def is_rectified(image_topic: str) -> bool:
    """Say whether the images are rectified, from the topic's last name ("image_rect_color")."""
    return "rect" in raw_name(image_topic).rsplit("/", 1)[-1]


def _is_depth(image_format: str) -> bool:
    return image_format in _DEPTH_ENCODINGS or "compressedDepth" in image_format


def _only(names: list[str], what: str, option: str, topics: dict[str, Topic]) -> str:
    # The same camera raw and compressed is one candidate: raw costs nothing to decode.
    candidates = [name for name in names if raw_name(name) == name or raw_name(name) not in names]
    if not candidates:
        listed = ", ".join(f"{topic.name} ({topic.typename})" for topic in topics.values())
        raise RecordingError(f"the bag has no {what} topic; it holds {listed or 'no topics'}")
    if len(candidates) > 1:
        raise RecordingError(
            f"the bag has several {what} topics: choose one with {option} ({', '.join(sorted(candidates))})"
        )
    return candidates[0]


def _matching_info(infos: list[str], image: str, needed: bool, topics: dict[str, Topic]) -> str:
    namespace = raw_name(image).rsplit("/", 1)[0]
    sibling = f"{namespace}/camera_info"
    if sibling in infos:
        return sibling
    if len(infos) > 1 and not needed:
        return ""  # only lifting asks for the calibration
    return _only(infos, "camera_info", "camera_info_topic", topics) if infos else ""


def _check_type(topics: dict[str, Topic], name: str, types: tuple[str, ...], option: str) -> None:
    if name not in topics:
        raise RecordingError(f"{option} {name} is not in the bag; its topics are {', '.join(sorted(topics))}")
    if topics[name].typename not in types:
        raise RecordingError(f"{option} {name} is a {topics[name].typename}, not a {' or '.join(types)}")
