"""The definitions of this package's messages, for bags on machines without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

PACKAGE = "cotracker_ros"
MESSAGES = ("TrackArray", "Track3DArray", "RigidBody", "RigidBodyArray")


def definition_texts() -> dict[str, str]:
    """Return the .msg text of each message type ("cotracker_ros/msg/TrackArray").

    Raises:
        FileNotFoundError: The installation lacks the definitions.
    """
    folder = _definition_folder()
    return {f"{PACKAGE}/msg/{name}": (folder / f"{name}.msg").read_text() for name in MESSAGES}


def ros2_typestore() -> Typestore:
    """Return a new rosbags typestore with ROS 2's standard messages and this package's own."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    # The oldest supported distribution: the types written here have not changed since.
    typestore = get_typestore(Stores.ROS2_HUMBLE)
    for typename, text in definition_texts().items():
        typestore.register(get_types_from_msg(text, typename))
    return typestore


def _definition_folder() -> Path:
    here = Path(__file__).resolve()
    # Installed by pip: inside the package. In the source tree: msg/ beside the package. In a ROS
    # workspace: share/cotracker_ros/msg under the prefix.
    candidates = [here.parents[1] / "definitions", here.parents[2] / "msg"]
    candidates += [prefix / "share" / PACKAGE / "msg" for prefix in here.parents]
    for folder in candidates:
        if all((folder / f"{name}.msg").is_file() for name in MESSAGES):
            return folder
    raise FileNotFoundError("the message definitions of cotracker_ros are missing: install the package again")
