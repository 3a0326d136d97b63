"""The lifter's map of static points: published for latecomers, saved as PLY."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger

from cotracker_ros.messages import map_cloud_fields, to_ros
from cotracker_ros.nodes.managed_node import ManagedNode
from cotracker_ros.nodes.qos import LATCHED
from cotracker_ros.reconstruction import Lifter, MapPoints


class MapOutput:
    """Publishes the lifter's map at a low rate, when it has changed.

    Args:
        node: The lifter node.
        lifter: Whose map it is.
        period: Time between two looks at the map, s.
        path: Gives the file that ~/save_map writes.
        due: Called when it is time to look; it has `publish` called where that may take a while.
    """

    def __init__(
        self,
        node: ManagedNode,
        lifter: Lifter,
        period: float,
        path: Callable[[], str],
        due: Callable[[], None],
    ) -> None:
        self._node = node
        self._lifter = lifter
        self._path = path
        self._published: MapPoints | None = None
        self._images = 0
        self._publisher = node.create_lifecycle_publisher(PointCloud2, "~/map", LATCHED)
        self._timer = node.create_timer(
            period,
            due,
            callback_group=node.timer_group,
            clock=node.steady_clock,
        )
        self._service = node.create_service(
            Trigger, "~/save_map", self._save, callback_group=node.service_group
        )

    def publish(self) -> None:
        """Publish the map if it is another one than before."""
        if not self._publisher.is_activated:
            return
        images = self._lifter.counters.images_lifted
        if images == self._images:
            return
        self._images = images
        points = self._lifter.map.points()
        if self._published is not None and np.array_equal(points.xyz, self._published.xyz):
            return
        self._send(points, self._lifter.map_frame)

    def clear(self, frame_id: str) -> None:
        """Publish an empty map in the frame of the map that was forgotten."""
        if self._published is not None:
            self._send(self._lifter.map.points(), frame_id)

    def destroy(self) -> None:
        """Take topic and service away."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_service(self._service)
        self._node.destroy_lifecycle_publisher(self._publisher)

    def _send(self, points: MapPoints, frame_id: str) -> None:
        stamp = self._node.get_clock().now().nanoseconds
        fields = map_cloud_fields(points, stamp=stamp, frame_id=frame_id)
        self._publisher.publish(to_ros(PointCloud2, fields))
        self._published = points

    def _save(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        points = self._lifter.map.points()
        path = Path(self._path()).expanduser().absolute()
        if not len(points):
            response.message = "The map is empty: nothing was saved."
            return response
        try:
            points.save(path)
        except OSError as error:
            response.message = str(error)
            return response
        response.success = True
        response.message = f"{len(points)} points in frame '{self._lifter.map_frame}' saved to {path}."
        return response
