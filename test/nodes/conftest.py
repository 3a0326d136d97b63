"""Nodes over real DDS, in the domain that this process keeps for its tests."""

import threading
import time

import numpy as np
import pytest

try:
    import rclpy
    from rclpy.callback_groups import ReentrantCallbackGroup
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
except ImportError:  # a machine without ROS
    collect_ignore_glob = ["test_*.py"]
else:
    import cotracker_ros.msg  # noqa: F401  made by colcon build: source install/local_setup.sh first

    from cotracker_ros.nodes.executor import ServicesAsideExecutor

TIMEOUT = 15.0  # s that a test waits for an event before it fails


class Inbox:
    """The messages of a topic, in order."""

    def __init__(self):
        self.messages = []
        self._changed = threading.Condition()

    def put(self, message):
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait(self, condition=len, timeout=TIMEOUT):
        """Wait until `condition(messages)` holds; returns the messages."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self.messages), timeout):
                raise AssertionError(f"timed out with {len(self.messages)} messages")
            return list(self.messages)

    def changed(self, timeout):
        """Wait for the next message, or until `timeout` s have passed."""
        with self._changed:
            self._changed.wait(timeout)

    def wait_for(self, condition, timeout=TIMEOUT):
        """Wait for a message for which `condition` holds; returns the newest one."""
        found = self.wait(lambda messages: any(map(condition, messages)), timeout)
        return [message for message in found if condition(message)][-1]


class Graph:
    """Nodes under test, spun in a thread, and a client node that talks to them."""

    def __init__(self):
        rclpy.init()
        self.executor = ServicesAsideExecutor()
        self._client_executor = SingleThreadedExecutor()
        self.client = rclpy.create_node("client")
        self._group = ReentrantCallbackGroup()
        self.nodes = []
        self._client_executor.add_node(self.client)
        executors = (self.executor, self._client_executor)
        self._threads = [threading.Thread(target=executor.spin, daemon=True) for executor in executors]
        for thread in self._threads:
            thread.start()

    def add(self, node_class, **parameters):
        overrides = [rclpy.Parameter(name, value=value) for name, value in parameters.items()]
        node = node_class(parameter_overrides=overrides)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def close(self):
        self.executor.shutdown()
        self._client_executor.shutdown()
        for thread in self._threads:
            thread.join(TIMEOUT)
        for node in self.nodes:
            node.destroy_node()
        self.client.destroy_node()
        rclpy.shutdown()

    def listen(self, message_class, topic, *, reliable=True, latched=False, depth=50):
        inbox = Inbox()
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=depth, reliability=reliability, durability=durability)
        inbox.subscription = self.client.create_subscription(
            message_class, topic, inbox.put, qos, callback_group=self._group
        )
        return inbox

    def publisher(self, message_class, topic, *, reliable=True, latched=False, subscribers=1):
        """A publisher, once `subscribers` have found it."""
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=50, reliability=reliability, durability=durability)
        publisher = self.client.create_publisher(message_class, topic, qos)
        self.until(lambda: publisher.get_subscription_count() >= subscribers)
        return publisher

    def call(self, service_class, name, request=None, timeout=TIMEOUT):
        client = self.client.create_client(service_class, name, callback_group=self._group)
        assert client.wait_for_service(timeout), f"no service {name}"
        done = threading.Event()
        future = client.call_async(request or service_class.Request())
        future.add_done_callback(lambda _: done.set())
        assert done.wait(timeout), f"no answer from {name}"
        self.client.destroy_client(client)
        return future.result()

    @staticmethod
    def until(condition, timeout=TIMEOUT):
        """Wait for something that has no event in rclpy (discovery)."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "timed out"
            time.sleep(0.005)


@pytest.fixture
def graph():
    made = Graph()
    yield made
    made.close()


@pytest.fixture(scope="session")
def texture():
    """(400, 500, 3) uint8: smooth noise that any tracker can follow."""
    import cv2

    noise = np.random.default_rng(7).integers(0, 255, (400, 500, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX)
