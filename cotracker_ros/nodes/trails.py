"""The recent past of 3D tracks, drawn as RViz markers in a thread of its own."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from numpy.typing import NDArray
from visualization_msgs.msg import MarkerArray

from cotracker_ros.messages import to_ros, trail_marker_fields
from cotracker_ros.nodes.managed_node import ManagedNode
from cotracker_ros.nodes.qos import RESULTS
from cotracker_ros.nodes.worker import Worker
from cotracker_ros.reconstruction import Tracks3D


def trail_positions(history: list[Tracks3D]) -> NDArray[np.float32]:
    """Where the tracks of the newest entry were in all entries.

    Args:
        history: T entries, oldest first, in the same frame.

    Returns:
        (T, N, 3) float32, m; NaN where a track was not there or had no depth.
    """
    newest = history[-1]
    trails = np.full((len(history), len(newest), 3), np.nan, np.float32)
    order = np.argsort(newest.ids)
    for i, tracks in enumerate(history):
        place = np.searchsorted(newest.ids, tracks.ids, sorter=order).clip(max=max(len(order) - 1, 0))
        if len(order):
            column = order[place]
            known = newest.ids[column] == tracks.ids
            trails[i, column[known]] = tracks.xyz[known]
    return trails


class TrailMarkers:
    """Publishes trails, when somebody listens and not more often than a viewer can show.

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
        self._history: deque[Tracks3D] = deque(maxlen=length)
        self._period = period
        self._next = 0.0
        self._worker: Worker[list[Tracks3D]] = Worker("markers", 1, self._draw, self._failed)

    def add(self, tracks: Tracks3D) -> None:
        """Take the tracks of the next image; another epoch or frame starts new trails."""
        newest = self._history[-1] if self._history else tracks
        if (newest.epoch, newest.frame_id) != (tracks.epoch, tracks.frame_id):
            self._history.clear()
        self._history.append(tracks)
        now = time.monotonic()
        if now >= self._next and self._publisher.get_subscription_count():
            self._next = now + self._period
            self._worker.put("", list(self._history))

    def set_style(self, length: int, period: float) -> None:
        """Use another length and period from now on."""
        self._period = period
        if length != self._history.maxlen:
            self._history = deque(self._history, maxlen=length)

    def clear(self) -> None:
        """Forget the trails."""
        self._history.clear()

    def destroy(self) -> None:
        """End the thread and take the topic away."""
        self._worker.stop()
        self._node.destroy_lifecycle_publisher(self._publisher)

    def _draw(self, _: str, history: list[Tracks3D]) -> None:
        newest = history[-1]
        fields = trail_marker_fields(
            trail_positions(history), newest.rgb, stamp=newest.stamp, frame_id=newest.frame_id
        )
        self._publisher.publish(to_ros(MarkerArray, fields))

    def _failed(self, _: str, error: Exception) -> None:
        self._logger.error(f"The markers could not be drawn: {error}", throttle_duration_sec=5.0)
