"""A Python client for a robot's program: follow these points, tell me where they are, wait until they move.

`PointClient` needs ROS and is imported when it is asked for; what it answers with does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cotracker_ros.client.answers import BodyPose, Position
from cotracker_ros.client.errors import ClientError

if TYPE_CHECKING:
    from cotracker_ros.client.point_client import PointClient

__all__ = ["BodyPose", "ClientError", "PointClient", "Position"]


def __getattr__(name: str) -> Any:
    if name == "PointClient":
        from cotracker_ros.client.point_client import PointClient

        return PointClient
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
