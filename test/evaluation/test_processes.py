"""Children end with their parent's work, and say why they failed."""

import sys

import pytest

from cotracker_ros.evaluation.processes import DemoError, Processes

# Says that it is ready and then ignores interrupts, as a hanging node would.
STUBBORN = (
    "import signal,sys,time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('ready'); time.sleep(60)"
)
SLEEPER = "import time; print('ready'); time.sleep(60)"


def python(code):
    return [sys.executable, "-u", "-c", code]


def test_children_are_gone_after_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("cotracker_ros.evaluation.processes._PATIENCE", 0.5)
    children = []
    with pytest.raises(KeyboardInterrupt), Processes(tmp_path / "logs", {"ANSWER": "42"}) as processes:
        for name, code in (("sleeper", SLEEPER), ("stubborn", STUBBORN)):
            children.append(processes.start(name, python(code), read=True))
            assert children[-1].stdout.readline() == "ready\n"
        raise KeyboardInterrupt
    assert all(child.poll() is not None for child in children)
    for child in children:
        child.stdout.close()


def test_a_child_that_ended_is_reported_with_its_last_error(tmp_path):
    line = "[ERROR] [1700000000.5] [tracker]: /no/such.pth does not exist"
    with Processes(tmp_path, {}) as processes:
        child = processes.start("tracker", python(f"import sys; print({line!r}); print('bye'); sys.exit(3)"))
        child.wait(20)
        with pytest.raises(
            DemoError, match=r"tracker ended with exit code 3: /no/such.pth does not exist"
        ) as e:
            processes.check("tracker")
        assert str(tmp_path / "tracker.log") in str(e.value)


def test_children_get_the_environment(tmp_path):
    with Processes(tmp_path, {"ANSWER": "42"}) as processes:
        processes.start("child", python("import os; print(os.environ['ANSWER'])")).wait(20)
    assert (tmp_path / "child.log").read_text() == "42\n"
