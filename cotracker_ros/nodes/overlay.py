"""The overlay image of a camera: drawn in a thread of its own, and only when somebody watches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from cotracker_ros.messages import image_fields, to_ros
from cotracker_ros.nodes.managed_node import ManagedNode
from cotracker_ros.nodes.qos import RESULTS
from cotracker_ros.nodes.worker import Worker
from cotracker_ros.tracking import Tracks
from cotracker_ros.visualization.overlay import OverlayDrawer

_QUEUE = 4  # images that wait to be drawn


@dataclass(frozen=True, eq=False)
class _Drawing:
    image: NDArray[np.uint8]
    tracks: Tracks
    frame_id: str


class OverlayPublisher:
    """Publishes images with their tracks drawn on them.

    Args:
        node: The tracker node.
        topic: Topic of the overlay.
        trail_length: Images after which a trail has faded away.
    """

    def __init__(self, node: ManagedNode, topic: str, trail_length: int) -> None:
        self._node = node
        self._logger = node.get_logger()
        self._publisher = node.create_lifecycle_publisher(Image, topic, RESULTS)
        self._trail_length = trail_length
        self._drawer = OverlayDrawer(trail_length)
        self._worker: Worker[_Drawing] = Worker("overlay", _QUEUE, self._draw, self._failed)

    def is_watched(self) -> bool:
        """Whether somebody listens."""
        return self._publisher.get_subscription_count() > 0

    def show(self, image: NDArray[np.uint8], tracks: Tracks, frame_id: str) -> None:
        """Draw and publish soon; never blocks."""
        self._worker.put("", _Drawing(image, tracks, frame_id))

    def set_trail_length(self, trail_length: int) -> None:
        """Use another length from the next image on; trails begin anew."""
        if trail_length != self._trail_length:
            self._trail_length = trail_length
            self._drawer = OverlayDrawer(trail_length)

    def destroy(self) -> None:
        """End the thread and take the topic away."""
        self._worker.stop()
        self._node.destroy_lifecycle_publisher(self._publisher)

    def _draw(self, _: str, drawing: _Drawing) -> None:
        overlay = self._drawer.draw(drawing.image, drawing.tracks)
        fields = image_fields(overlay, drawing.tracks.stamp, drawing.frame_id)
        self._publisher.publish(to_ros(Image, fields))

    def _failed(self, _: str, error: Exception) -> None:
        self._logger.error(f"The overlay could not be drawn: {error}", throttle_duration_sec=5.0)
