"""What all nodes of this package share: lifecycle, parameters, diagnostics, start and end."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from cotracker_ros.nodes.diagnostics import ERROR, OK, make_status
from cotracker_ros.nodes.executor import ServicesAsideExecutor
from cotracker_ros.nodes.parameters import Configs, NodeParameters, ParameterGroup


@dataclass(frozen=True)
class CommonConfig:
    """Parameters that every node has.

    Attributes:
        autostart: Configure and activate at start, for those who have no lifecycle manager.
        diagnostics_period: Time between two messages on /diagnostics, s.
    """

    autostart: bool = False
    diagnostics_period: float = 1.0

    def __post_init__(self) -> None:
        if not self.diagnostics_period > 0:
            raise ValueError(f"diagnostics_period must be positive, not {self.diagnostics_period:g}.")


_COMMON = ParameterGroup(
    CommonConfig,
    read_only=frozenset({"autostart", "diagnostics_period"}),
    ranges={"diagnostics_period": (0.05, 3600.0)},
)


class ManagedNode(LifecycleNode):
    """A lifecycle node whose errors are one sentence.

    A subclass says what its four steps do (`prepare`, `start`, `stop`, `release`) and raises ValueError or
    OSError with one sentence when a step cannot be done; the node then stays in the state it was in.

    Args:
        name: Default name of the node.
        groups: Configuration dataclasses that become its parameters.
        **node_arguments: Passed to rclpy's node (namespace, parameter_overrides, ...).
    """

    def __init__(self, name: str, groups: Sequence[ParameterGroup], **node_arguments: Any) -> None:
        super().__init__(name, **node_arguments)
        self.lifecycle_state = "unconfigured"
        self.problem = ""  # why the last transition failed
        self._changing = threading.Lock()  # held during transitions
        self.parameters = NodeParameters(
            self,
            [_COMMON, *groups],
            fixed=lambda: self.lifecycle_state != "unconfigured",
            apply=self._apply,
        )
        self.input_group = MutuallyExclusiveCallbackGroup()
        self.service_group = MutuallyExclusiveCallbackGroup()
        self.timer_group = MutuallyExclusiveCallbackGroup()
        # Timers run on a steady clock: a paused bag must not silence the diagnostics.
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        common = self._common()
        self.create_timer(
            common.diagnostics_period,
            self.between_transitions(self._publish_diagnostics),
            callback_group=self.timer_group,
            clock=self.steady_clock,
        )
        if common.autostart:
            self._autostart_timer = self.create_timer(0.0, self._autostart, clock=self.steady_clock)

    def prepare(self, configs: Configs) -> None:
        """Configure: get everything that the work needs."""
        raise NotImplementedError

    def start(self) -> None:
        """Activate: begin to take inputs."""
        raise NotImplementedError

    def stop(self) -> None:
        """Deactivate: take no more inputs and wait for the work in hand."""
        raise NotImplementedError

    def release(self) -> None:
        """Clean up: give back what `prepare` got, also when it got only a part."""
        raise NotImplementedError

    def apply(self, configs: Configs) -> None:
        """Take over live parameters; called only while configured."""

    def diagnose(self) -> list[DiagnosticStatus]:
        """State of the work; called only while configured."""
        raise NotImplementedError

    def between_transitions(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Wrap a timer's callback: it is left out while a transition makes or destroys what it uses."""

        def run() -> None:
            if self._changing.acquire(blocking=False):
                try:
                    callback()
                finally:
                    self._changing.release()

        return run

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        return self._transition(self._configure, "inactive")

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        super().on_activate(state)  # enables the publishers: the work may publish at once
        return self._transition(self.start, "active")

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        result = self._transition(self.stop, "inactive")
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        return self._transition(self.release, "unconfigured")

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        return self._transition(self._end, "finalized")

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A step broke unexpectedly: let everything go, so that the node can be configured again."""
        problem = self.problem
        result = self._transition(self._end, "unconfigured")
        self.problem = self.problem or problem
        return result

    def destroy_node(self) -> None:
        """Stop the work and destroy the node."""
        self._end()
        super().destroy_node()
        # rclpy leaves the lifecycle's services to the garbage collector, and until that comes they answer on.
        self._state_machine.destroy_when_not_in_use()

    def _configure(self) -> None:
        try:
            self.prepare(self.parameters.configs())
        except BaseException:
            self.release()
            raise

    def _end(self) -> None:
        if self.lifecycle_state == "active":
            self.stop()
        if self.lifecycle_state in ("active", "inactive"):
            self.release()
        self.lifecycle_state = "unconfigured"

    def _transition(self, step: Callable[[], None], state_after: str) -> TransitionCallbackReturn:
        # rclpy swallows exceptions of transitions without a word, so they are told here.
        try:
            with self._changing:
                step()
        except (ValueError, OSError) as error:
            self.problem = str(error)
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        self.problem = ""
        self.lifecycle_state = state_after
        return TransitionCallbackReturn.SUCCESS

    def _autostart(self) -> None:
        self._autostart_timer.cancel()
        if self.lifecycle_state != "unconfigured":
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _apply(self, configs: Configs) -> None:
        if self.lifecycle_state in ("inactive", "active"):
            self.apply(configs)

    def _common(self) -> CommonConfig:
        return CommonConfig(*(self.get_parameter(f.name).value for f in _COMMON.fields()))

    def _publish_diagnostics(self) -> None:
        if self.lifecycle_state in ("inactive", "active"):
            statuses = self.diagnose()
        else:
            level, message = (ERROR, self.problem) if self.problem else (OK, self.lifecycle_state)
            statuses = [make_status(self.get_name(), level, message, {})]
        message = DiagnosticArray(status=statuses)
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def run_node(make_node: Callable[[], ManagedNode], args: Sequence[str] | None = None) -> int:
    """Run one node until it is interrupted.

    Args:
        make_node: Makes the node, after rclpy has been initialised.
        args: Command line, by default that of the process.

    Returns:
        Exit code.
    """
    rclpy.init(args=None if args is None else list(args))
    executor = ServicesAsideExecutor()
    node: ManagedNode | None = None
    code = 0
    try:
        node = make_node()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # Ctrl-C or SIGTERM
    except Exception as error:
        if rclpy.ok():
            if not isinstance(error, ParameterException | ValueError):
                raise
            print(f"The node cannot start: {error}", file=sys.stderr)
            code = 2
        # Otherwise a signal has shut the context down while the node was being made: no error.
    executor.shutdown()
    if node is not None:
        node.destroy_node()
    if rclpy.ok():
        rclpy.shutdown()
    return code
