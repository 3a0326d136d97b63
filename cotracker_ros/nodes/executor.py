"""An executor for nodes whose callbacks are quick, but whose services may have to wait."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rclpy.executors import ShutdownException, SingleThreadedExecutor, TimeoutException
from rclpy.logging import get_logger
from rclpy.service import Service
from rclpy.task import Task

# Two that may wait (of the node, of its lifecycle and parameters), and one to answer meanwhile.
_THREADS = 3


class ServicesAsideExecutor(SingleThreadedExecutor):
    """Runs services in threads of their own and everything else in the thread that spins.

    A service may wait for the tracker, or load a model, while images still come in. rclpy's multi-threaded
    executor would do, but it collects all entities anew several times for each message: 4 ms of processor
    time per image more than this.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="service")

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and run it, or hand it over if it is a service's."""
        entity: Any
        try:
            task, entity, _ = self.wait_for_ready_callbacks(timeout_sec=timeout_sec)
        except (ShutdownException, TimeoutException):
            return
        if isinstance(entity, Service):
            self._pool.submit(self._serve, task)
            return
        task()
        task.result()  # raises what the callback raised

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop; waits for services in work."""
        done = super().shutdown(timeout_sec)
        self._pool.shutdown()
        return done

    @staticmethod
    def _serve(task: Task) -> None:
        task()
        error = task.exception()
        if error is not None:  # the caller gets no answer, but the node lives on
            get_logger("service").error("".join(traceback.format_exception(error)))
