"""Quality of service of the nodes' topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # its name before Iron
    from rclpy.qos_event import SubscriptionEventCallbacks

# Results are reliable: that suits reliable and best-effort subscribers.
RESULTS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
# The last message is kept for subscribers that come later (maps, static transforms).
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def sensor_data(depth: int) -> QoSProfile:
    """Profile of a camera's subscriber: cameras send best effort, and a late image is worth nothing.

    Args:
        depth: Messages that wait at most. It is as much as the node's own queue holds, so that messages are
            dropped there, where drops are counted.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=max(depth, 5), reliability=ReliabilityPolicy.BEST_EFFORT
    )


def subscribe(
    node: Node,
    message_class: type,
    topic: str,
    callback: Callable[[Any], None],
    qos: QoSProfile,
    *,
    group: CallbackGroup,
    incompatible: Callable[[str], None] | None = None,
) -> Subscription:
    """Subscribe with ``qos_overrides`` parameters, and say aloud when a publisher's QoS does not fit.

    Args:
        node: Subscribing node.
        message_class: Class of the messages.
        topic: Topic, relative names allowed.
        callback: Called with each message.
        qos: Default profile; the user can override history, depth and reliability by parameter.
        group: Callback group.
        incompatible: Called with one sentence when a publisher's QoS does not fit; it is logged anyway.
    """
    name = node.resolve_topic_name(topic)

    def warn(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        sentence = (
            f"A publisher of {name} offers another {policy} than requested, so nothing is received from it: "
            f"set qos_overrides.{name}.subscription.{policy.lower()} to what it offers."
        )
        node.get_logger().warning(sentence)
        if incompatible is not None:
            incompatible(sentence)

    return node.create_subscription(
        message_class,
        topic,
        callback,
        qos,
        callback_group=group,
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=warn),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )
