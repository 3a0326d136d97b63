"""The lifecycle that all nodes share, driven over its services."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn
from std_srvs.srv import Trigger

from cotracker_ros.nodes.managed_node import ManagedNode


class Toy(ManagedNode):
    """Writes down its steps; breaks where it is told to."""

    def __init__(self, **arguments):
        self.steps, self.breaks = [], {}
        super().__init__("toy", [], **arguments)

    def _step(self, name):
        self.steps.append(name)
        if name in self.breaks:
            raise self.breaks[name]

    def prepare(self, configs):
        self._step("prepare")

    def start(self):
        self._step("start")

    def stop(self):
        self._step("stop")

    def release(self):
        self._step("release")

    def diagnose(self):
        return []


@pytest.fixture
def toy(graph):
    return graph.add(Toy, diagnostics_period=0.05)


def change(graph, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return graph.call(ChangeState, "toy/change_state", request).success


def state(graph):
    return graph.call(GetState, "toy/get_state").current_state.label


def test_the_whole_life(graph, toy):
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    assert state(graph) == "active"
    assert change(graph, Transition.TRANSITION_DEACTIVATE)
    assert change(graph, Transition.TRANSITION_CLEANUP)
    assert state(graph) == "unconfigured"
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    assert change(graph, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert state(graph) == "finalized"
    assert toy.steps == ["prepare", "start", "stop", "release"] * 2


def test_a_user_error_fails_with_its_sentence_and_can_be_mended(graph, toy):
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    toy.breaks["prepare"] = ValueError("weights are missing; download them")
    assert not change(graph, Transition.TRANSITION_CONFIGURE)
    assert state(graph) == "unconfigured"
    told = diagnostics.wait_for(lambda m: m.status[0:1] and m.status[0].level == DiagnosticStatus.ERROR)
    assert told.status[0].message == "weights are missing; download them"
    assert toy.steps == ["prepare", "release"], "what it got before it failed is given back"
    toy.breaks.clear()
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert state(graph) == "inactive"


def test_an_unexpected_error_leaves_a_node_that_can_be_configured(graph, toy):
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    toy.breaks["start"] = KeyError("surprise")
    assert not change(graph, Transition.TRANSITION_ACTIVATE)
    assert state(graph) == "unconfigured"
    assert toy.steps == ["prepare", "start", "release"]
    toy.breaks.clear()
    assert toy.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert toy.trigger_activate() == TransitionCallbackReturn.SUCCESS


def test_a_service_that_breaks_leaves_the_node_alive(graph, toy):
    broke = threading.Event()

    def fail(request, response):
        broke.set()
        raise RuntimeError("surprise")

    toy.create_service(Trigger, "fail", fail, callback_group=toy.service_group)
    client = graph.client.create_client(Trigger, "fail")
    assert client.wait_for_service(15)
    client.call_async(Trigger.Request())
    assert broke.wait(15)
    assert change(graph, Transition.TRANSITION_CONFIGURE)


def test_a_destroyed_node_offers_nothing_more(graph):
    toy = graph.add(Toy)
    graph.until(lambda: graph.client.count_services("toy/change_state") == 1)
    graph.executor.remove_node(toy)
    toy.destroy_node()
    graph.nodes.remove(toy)
    graph.until(lambda: "toy" not in graph.client.get_node_names())
    for kind in ("change_state", "get_state", "get_available_transitions"):
        assert graph.client.count_services(f"toy/{kind}") == 0, kind


def test_timers_leave_transitions_alone(graph, toy):
    ran = []
    timed = toy.between_transitions(lambda: ran.append(toy.lifecycle_state))
    toy.prepare = lambda configs: timed()
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert ran == []
    timed()
    assert ran == ["inactive"]


def test_autostart_needs_no_manager(graph):
    toy = graph.add(Toy, autostart=True)
    graph.until(lambda: toy.lifecycle_state == "active")
    assert toy.steps == ["prepare", "start"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_without_a_traceback(graph, number):
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    name = f"ended_by_{number}"
    process = start_process("-p", "autostart:=true", "-p", "diagnostics_period:=0.1", "-r", f"__node:={name}")
    diagnostics.wait_for(lambda m: m.status[0].name == name and m.status[0].level == DiagnosticStatus.ERROR)
    process.send_signal(number)
    _, errors = process.communicate(timeout=15)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "path is empty" in errors, "the failing configure has been told"


def test_a_parameter_of_the_wrong_type_is_one_sentence():
    process = start_process("-p", "rate:=fast")
    _, errors = process.communicate(timeout=15)
    assert process.returncode == 2
    assert "Traceback" not in errors
    assert "rate" in errors


def start_process(*ros_arguments):
    command = [sys.executable, "-m", "cotracker_ros.nodes.player_node", "--ros-args", *ros_arguments]
    return subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True)
