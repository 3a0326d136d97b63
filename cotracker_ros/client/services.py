"""Requests to the tracker, answered or refused in one sentence."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from cotracker_ros.client.errors import ClientError
from cotracker_ros.srv import AddPoints, AddRegion, RemoveTracks


class TrackerServices:
    """The services of one tracker node, or of one of its cameras.

    Args:
        node: Node that calls them; something else must spin it.
        tracker: Name of the tracker node, or "NODE/CAMERA".
        timeout: s to wait for a service to appear, and for its answer.
    """

    def __init__(self, node: Node, tracker: str, timeout: float) -> None:
        self._tracker = tracker
        self._timeout = timeout
        group = ReentrantCallbackGroup()
        self._clients: dict[Any, Any] = {
            kind: node.create_client(kind, f"{tracker}/{verb}", callback_group=group)
            for kind, verb in (
                (AddPoints, "add_points"),
                (AddRegion, "add_region"),
                (RemoveTracks, "remove_tracks"),
            )
        }

    def call(self, request: Any) -> Any:
        """Send a request of one of the services and return the response, `success` or not.

        Raises:
            ClientError: There is no such service, or it does not answer in time.
        """
        kind = next(k for k in self._clients if isinstance(request, k.Request))
        client = self._clients[kind]
        name = client.service_name if hasattr(client, "service_name") else client.srv_name
        if not client.wait_for_service(self._timeout):
            raise ClientError(
                f"there is no service {name} after {self._timeout:g} s: start the tracker node "
                f"'{self._tracker}', and see whether it is configured"
            )
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(self._timeout):
            client.remove_pending_request(future)
            raise ClientError(
                f"{name} did not answer within {self._timeout:g} s: see whether it is overloaded"
            )
        return future.result()
