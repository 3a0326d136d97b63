"""A node of the client's own, spun in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


class BackgroundNode:
    """A node that is spun in the background until it is closed.

    It is never the user's node: what waits for its callbacks can wait anywhere, also in a callback of the
    user's, without keeping anybody from delivering them.

    Args:
        name: Name of the node.
        beside: Node of the user whose context and namespace it shares; None: the default context, which is
            initialised if it is not yet, and then shut down at the end.
    """

    def __init__(self, name: str, beside: Node | None = None) -> None:
        self._context = beside.context if beside else rclpy.get_default_context()
        self._began_ros = beside is None and not self._context.ok()
        if self._began_ros:
            rclpy.init()
        self.node = Node(
            name,
            context=self._context,
            # A name given on the command line (__node:=) is meant for the user's node.
            cli_args=["--ros-args", "--remap", f"__node:={name}"] if beside else None,
            namespace=beside.get_namespace() if beside else None,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._closed = False
        self._ended: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)

    def start(self, ended: Callable[[], None]) -> None:
        """Begin to spin; `ended` is called, in the thread, when that is over for whatever reason."""
        self._ended = ended
        self._thread.start()

    def close(self) -> None:
        """Stop spinning and destroy the node; does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self._executor.shutdown()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self.node.destroy_node()
        if self._began_ros:
            rclpy.try_shutdown()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass  # Ctrl-C or SIGTERM
        finally:
            self._ended()
