"""Records what a set of nodes publishes, and conducts them: brings them up, asks for points, plays.

The demonstration runs this as a process of its own (``python -m cotracker_ros.nodes.recorder PLAN.json``) and
reads its progress as JSON lines from the standard output. Messages go into the bag as they came over DDS,
without being decoded.
"""

from __future__ import annotations

import csv
import importlib
import json
import signal
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.rosbag2 import StoragePlugin, Writer
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from cotracker_ros.messages.definitions import ros2_typestore
from cotracker_ros.srv import AddPoints

_ALWAYS_EXCLUDED = ("/rosout", "/parameter_events")
_ANSWER_TIME = 20.0  # s that a service may take
_RETRY = 0.1  # s between two tries
_FIRST_ANSWER = 6.0  # s that the answer to the first image may take
_STARTS = 4  # tries to have it answered
_DISCOVERY = 1.0  # s after which publishers and subscribers that the graph shows know each other, too


class RecordingFailedError(RuntimeError):
    """The nodes cannot be brought up or do not answer; the text is one sentence."""


@dataclass(frozen=True)
class RecorderPlan:
    """What to record, and how to conduct the nodes.

    Attributes:
        bag: Folder of the bag to write (rosbag2, MCAP); it must not exist.
        arrivals: CSV file to write: when each message with a header was published and received.
        nodes: Lifecycle nodes in the order in which they are configured and activated; the player is last.
        tracker: Tracker node that is asked for the points.
        player: Player node, paused after its first image.
        image: Topic of the images that it plays.
        points: Positions in the first image, px; empty for none.
        exclude: Ends of the names of topics that are not recorded.
        startup: Time that the nodes may take to appear, s.
        quiet: Time without a message on `results` after which a played recording counts as answered, s.
        results: Topics whose silence ends the recording.
    """

    bag: str
    arrivals: str
    nodes: list[str]
    tracker: str
    player: str
    image: str
    points: list[list[float]]
    exclude: list[str]
    startup: float = 60.0
    quiet: float = 1.5
    results: tuple[str, ...] = ()


class Recorder(Node):
    """Subscribes to every topic there is and writes what comes, with the times of sending and arrival."""

    def __init__(self, plan: RecorderPlan, writer: Writer, arrivals: Any) -> None:
        super().__init__("recorder", start_parameter_services=False, enable_rosout=False)
        self.finished = False
        self.counts: dict[str, int] = {}
        self.first_stamps: dict[str, int] = {}
        self.last_result = time.monotonic()
        self._plan = plan
        self._writer = writer
        self._arrivals = csv.writer(arrivals)
        self._arrivals.writerow(["topic", "stamp_ns", "published_ns", "received_ns"])
        self._typestore = ros2_typestore()
        self._own = frozenset((*_ALWAYS_EXCLUDED, *plan.exclude))
        self.create_subscription(Bool, f"{plan.player}/finished", self._on_finished, _latched(1))

    def subscribe_to_new_topics(self) -> None:
        """Subscribe to the topics that have appeared since the last call."""
        for topic, types in self.get_topic_names_and_types():
            if (
                topic in self.counts
                or topic.endswith(tuple(self._own))
                or types[0] not in self._typestore.types
            ):
                continue
            offered = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
            if not offered:
                continue
            self.counts[topic] = 0
            # As `ros2 bag record` does: ask for no more than every publisher offers.
            reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
            latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
            qos = QoSProfile(
                history=HistoryPolicy.KEEP_LAST,
                depth=200,
                reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            )
            connection = self._writer.add_connection(topic, types[0], typestore=self._typestore)
            message_class = _message_class(types[0])
            self.create_subscription(
                message_class, topic, self._keep(topic, message_class, connection), qos, raw=True
            )

    def _keep(self, topic: str, message_class: Any, connection: Any) -> Callable[..., None]:
        fields = message_class.get_fields_and_field_types()
        has_stamp = next(iter(fields.values()), "") == "std_msgs/Header"
        is_result = topic in self._plan.results

        def keep(message: bytes, info: Any) -> None:
            self.counts[topic] += 1
            received = int(info["received_timestamp"])
            self._writer.write(connection, received, message)
            if has_stamp:
                # CDR: four bytes that say how, then the header's stamp.
                seconds, nanoseconds = struct.unpack_from("<iI" if message[1] & 1 else ">iI", message, 4)
                stamp = seconds * 1_000_000_000 + nanoseconds
                self.first_stamps.setdefault(topic, stamp)
                self._arrivals.writerow([topic, stamp, int(info["source_timestamp"]), received])
            if is_result:
                self.last_result = time.monotonic()

        return keep

    def _on_finished(self, message: Bool) -> None:
        self.finished = message.data


def conduct(node: Recorder, plan: RecorderPlan) -> None:
    """Bring the nodes up, ask for the points, play, and wait until everything has been answered.

    Raises:
        RecordingFailedError: A node does not appear, cannot be configured, or refuses.
    """
    for name in plan.nodes:
        _tell("state", f"waiting for {name}")
        _change_state(node, name, Transition.TRANSITION_CONFIGURE, "configured", wait=plan.startup)
    for name in plan.nodes:
        if name != plan.player:
            _change_state(node, name, Transition.TRANSITION_ACTIVATE, "activated")
    _wait_for_subscribers(node, plan)
    _start_player(node, plan)
    _tell("state", "playing")
    _call(node, Trigger, f"{plan.player}/play", Trigger.Request())
    _follow(node, plan)


def _follow(node: Recorder, plan: RecorderPlan) -> None:
    """Record until the player has finished and the results have fallen silent."""
    next_look = 0.0
    while not node.finished or time.monotonic() - node.last_result < plan.quiet:
        rclpy.spin_once(node, timeout_sec=0.1)
        if time.monotonic() > next_look:
            next_look = time.monotonic() + 0.25
            node.subscribe_to_new_topics()
            _tell("counts", node.counts)
        if not node.finished:
            node.last_result = time.monotonic()
    _tell("counts", node.counts)


def _change_state(node: Node, name: str, transition: int, state: str, wait: float = _ANSWER_TIME) -> None:
    request = ChangeState.Request(transition=Transition(id=transition))
    if not _call(node, ChangeState, f"{name}/change_state", request, wait).success:
        raise RecordingFailedError(f"the node {name} cannot be {state}")


def _add_points(node: Recorder, plan: RecorderPlan) -> None:
    """Ask until the tracker has seen the first image."""
    x, y = zip(*plan.points, strict=True)
    request = AddPoints.Request(x=list(x), y=list(y), labels=["truth"])
    deadline = time.monotonic() + _ANSWER_TIME
    while not (answer := _call(node, AddPoints, f"{plan.tracker}/add_points", request)).success:
        if time.monotonic() > deadline:
            raise RecordingFailedError(f"the tracker does not take the points: {answer.message}")
        _spin_for(node, _RETRY)
    _tell("ids", [int(i) for i in answer.ids])


def _wait_for_subscribers(node: Recorder, plan: RecorderPlan) -> None:
    """Wait until everybody listens to whom they should: what is published before is lost to them.

    Raises:
        RecordingFailedError: Somebody does not.
    """
    deadline = time.monotonic() + _ANSWER_TIME
    expected = {plan.image, *plan.results}
    while not (expected <= node.counts.keys() and node.count_subscribers(plan.image) >= 2):
        if time.monotonic() > deadline:
            raise RecordingFailedError(f"the node {plan.tracker} does not listen to {plan.image}")
        node.subscribe_to_new_topics()
        _spin_for(node, _RETRY)
    _spin_for(node, _DISCOVERY)


def _start_player(node: Recorder, plan: RecorderPlan) -> None:
    """Have the first image published, ask for the points in it, and make sure that it is answered.

    On a busy machine player and tracker may not know each other yet, although the graph shows both: the
    image is lost then, and the start is repeated.

    Raises:
        RecordingFailedError: The tracker does not answer that image.
    """
    for _ in range(_STARTS):
        _change_state(node, plan.player, Transition.TRANSITION_ACTIVATE, "activated")
        if not plan.points:
            return
        _tell("state", f"asking for {len(plan.points)} points")
        _add_points(node, plan)
        if _first_image_is_answered(node, plan):
            return
        _change_state(node, plan.player, Transition.TRANSITION_DEACTIVATE, "deactivated")
        _call(node, Trigger, f"{plan.tracker}/reset", Trigger.Request())
    raise RecordingFailedError(f"the node {plan.tracker} does not answer the first image")


def _first_image_is_answered(node: Recorder, plan: RecorderPlan) -> bool:
    topic = f"{plan.tracker}/tracks"
    deadline = time.monotonic() + _FIRST_ANSWER
    while time.monotonic() < deadline:
        _spin_for(node, _RETRY)
        if topic in node.first_stamps:
            return node.first_stamps[topic] == node.first_stamps.get(plan.image)
    return False


def _call(node: Node, service: Any, name: str, request: Any, wait: float = _ANSWER_TIME) -> Any:
    client: Any = node.create_client(service, name)
    deadline = time.monotonic() + wait
    while not client.service_is_ready():
        if time.monotonic() > deadline:
            raise RecordingFailedError(f"{name} did not appear within {wait:.0f} s")
        _spin_for(node, _RETRY)
    future = client.call_async(request)
    rclpy.spin_until_future_complete(node, future, timeout_sec=max(wait, _ANSWER_TIME))
    if not future.done():
        raise RecordingFailedError(f"{name} did not answer within {wait:.0f} s")
    node.destroy_client(client)
    return future.result()


def _spin_for(node: Node, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        rclpy.spin_once(node, timeout_sec=left)


def _latched(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def _message_class(typename: str) -> Any:
    package, _, name = typename.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def _tell(event: str, value: Any) -> None:
    print(json.dumps({"event": event, "value": value}), flush=True)


def main(args: Sequence[str] | None = None) -> int:
    """Carry out the plan whose JSON file is the only argument."""
    (path,) = sys.argv[1:] if args is None else args
    plan = RecorderPlan(**json.loads(Path(path).read_text()))
    rclpy.init(args=[])
    try:
        with (
            Writer(plan.bag, version=8, storage_plugin=StoragePlugin.MCAP) as writer,
            open(plan.arrivals, "w", newline="") as arrivals,
        ):
            node = Recorder(plan, writer, arrivals)
            try:
                conduct(node, plan)
            finally:
                node.destroy_node()
    except RecordingFailedError as error:
        _tell("failed", str(error))
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt now must not cut the end short
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
