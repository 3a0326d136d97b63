"""Where the lifter gets transforms from: tf2_ros where it is installed, else this package's own buffer.

Both are looked up like `cotracker_ros.reconstruction.TransformBuffer`.
"""

from __future__ import annotations

import importlib
import time
from functools import partial
from typing import Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from cotracker_ros.messages import transforms_from_message
from cotracker_ros.reconstruction import TransformBuffer, TransformError, TransformSource

_TF = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
_TF_STATIC = QoSProfile(
    depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
_LISTING_AGE = 1.0  # s; tf2 tells of parents only by a text with all frames, which takes a while to read
_JUMP_BACK = 1_000_000_000  # ns; an older question than that means that time jumped back


class TransformListener(TransformSource, Protocol):
    """Knows where frames are, as far as /tf and /tf_static have told."""

    def parent(self, frame: str) -> str:
        """Return the frame that a frame hangs on, "" where no transform tells of one."""

    def destroy(self) -> None:
        """Stop listening."""


def listen(node: Node) -> TransformListener:
    """Listen to /tf and /tf_static by tf2_ros if it can be imported, else by subscriptions of our own."""
    try:
        tf2_ros = importlib.import_module("tf2_ros")
    except ImportError:
        return TopicTransforms(node)
    return Tf2Transforms(node, tf2_ros)


class TopicTransforms:
    """Fills a `TransformBuffer` from /tf and /tf_static."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer = TransformBuffer()
        group = MutuallyExclusiveCallbackGroup()
        self._subscriptions = [
            node.create_subscription(
                TFMessage, topic, partial(self._take, static=static), qos, callback_group=group
            )
            for topic, static, qos in (("/tf", False, _TF), ("/tf_static", True, _TF_STATIC))
        ]

    def lookup(self, target: str, source: str, stamp: int) -> NDArray[np.float64]:
        """See `TransformSource`."""
        return self._buffer.lookup(target, source, stamp)

    def parent(self, frame: str) -> str:
        """See `TransformListener`."""
        return self._buffer.parent(frame)

    def destroy(self) -> None:
        """See `TransformListener`."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take(self, message: TFMessage, static: bool) -> None:
        try:
            for stamp, parent, child, matrix in transforms_from_message(message):
                self._buffer.set(parent, child, stamp, matrix, static)
        except ValueError as error:
            self._node.get_logger().warning(f"A transform was dropped: {error}", throttle_duration_sec=5.0)


class Tf2Transforms:
    """tf2_ros' buffer and listener.

    Args:
        node: Node that listens.
        tf2_ros: The module.
    """

    def __init__(self, node: Node, tf2_ros: Any) -> None:
        self._exception = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._newest = 0
        self._parents: dict[str, str] = {}
        self._listed = -_LISTING_AGE

    def lookup(self, target: str, source: str, stamp: int) -> NDArray[np.float64]:
        """See `TransformSource`."""
        if stamp < self._newest - _JUMP_BACK:
            self._buffer.clear()  # a bag starts over: tf2 would refuse its transforms as old
            self._newest = stamp
        self._newest = max(self._newest, stamp)
        try:
            transform = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
        except self._exception as error:
            raise TransformError(str(error), may_come="into the past" not in str(error)) from error
        return transforms_from_message(TFMessage(transforms=[transform]))[0][3]

    def parent(self, frame: str) -> str:
        """See `TransformListener`; up to a second old."""
        now = time.monotonic()
        if now - self._listed >= _LISTING_AGE:
            frames = dict(yaml.safe_load(self._buffer.all_frames_as_yaml()) or {})  # "[]" is none
            self._parents = {name: known["parent"] for name, known in frames.items()}
            self._listed = now
        return self._parents.get(frame, "")

    def destroy(self) -> None:
        """See `TransformListener`."""
        self._listener.unregister()
