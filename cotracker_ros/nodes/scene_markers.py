"""Scenes, drawn as RViz markers in a thread of its own."""

from __future__ import annotations

import time

from visualization_msgs.msg import MarkerArray

from cotracker_ros.messages import scene_marker_fields, to_ros
from cotracker_ros.nodes.managed_node import ManagedNode
from cotracker_ros.nodes.qos import RESULTS
from cotracker_ros.nodes.worker import Worker
from cotracker_ros.reconstruction import SceneUpdate
from cotracker_ros.visualization.scene_history import SceneHistory, SceneView


class SceneMarkers:
    """Publishes trails, bodies and the camera's path, when somebody listens, as often as a viewer can show.

    Markers are arrays of messages, which cost rclpy many milliseconds: they are made beside the critical
    path, and what is too much is left out.

    Args:
        node: The lifter node.
        topic: Topic of the markers.
        length: Images that a trail goes back.
        period: Least time between two messages, s.
    """

    def __init__(self, node: ManagedNode, topic: str, length: int, period: float) -> None:
        self._node = node
        self._logger = node.get_logger()
        self._publisher = node.create_lifecycle_publisher(MarkerArray, topic, RESULTS)
        self._history = SceneHistory(length)
        self._period = period
        self._next = 0.0
        self._worker: Worker[SceneView] = Worker("markers", 1, self._draw, self._failed)

    def add(self, scene: SceneUpdate) -> None:
        """Take the next image's scene; another epoch or frame starts new trails."""
        self._history.add(scene)
        now = time.monotonic()
        if now >= self._next and self._publisher.get_subscription_count():
            self._next = now + self._period
            self._worker.put("", self._history.view())

    def set_style(self, length: int, period: float) -> None:
        """Use another length and period from now on."""
        self._period = period
        self._history.set_length(length)

    def clear(self) -> None:
        """Forget trails and path."""
        self._history.clear()

    def destroy(self) -> None:
        """End the thread and take the topic away."""
        self._worker.stop()
        self._node.destroy_lifecycle_publisher(self._publisher)

    def _draw(self, _: str, view: SceneView) -> None:
        self._publisher.publish(to_ros(MarkerArray, scene_marker_fields(view)))

    def _failed(self, _: str, error: Exception) -> None:
        self._logger.error(f"The markers could not be drawn: {error}", throttle_duration_sec=5.0)
