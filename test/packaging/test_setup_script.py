"""What `make setup` says on a machine that it cannot work on: one sentence, before anything is made."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "dirname", "cat", "env")
COMPILERS = ("cc", "c++", "cmake", "make")


class Machine:
    """A machine whose only commands are those of one folder."""

    def __init__(self, folder: Path) -> None:
        self.commands = folder / "bin"
        self.checkout = folder / "checkout"
        self.commands.mkdir()
        shutil.copytree(ROOT / "scripts", self.checkout / "scripts")
        for tool in TOOLS:
            (self.commands / tool).symlink_to(shutil.which(tool))
        for compiler in COMPILERS:
            self.add(compiler, "exit 0")
        self.add("uname", 'case "$1" in -s) echo Linux;; -m) echo x86_64;; esac')
        self.add("python3", "echo good 3.11")

    def add(self, command: str, script: str) -> None:
        path = self.commands / command
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def remove(self, command: str) -> None:
        (self.commands / command).unlink()

    def refusal(self, distro: str = "kilted", **environment: str) -> str:
        """Run the script, which must refuse with one line, and return that line."""
        result = subprocess.run(
            [self.commands / "bash", self.checkout / "scripts" / "setup.sh", distro],
            env={"PATH": str(self.commands), **environment},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert result.returncode == 1, result
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert sorted(path.name for path in self.checkout.iterdir()) == ["scripts"]
        return lines[0]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_another_processor(machine: Machine) -> None:
    machine.add("uname", 'case "$1" in -s) echo Linux;; -m) echo aarch64;; esac')
    assert "x86-64 only and this is Linux aarch64" in machine.refusal()


def test_another_system(machine: Machine) -> None:
    machine.add("uname", 'case "$1" in -s) echo Darwin;; -m) echo x86_64;; esac')
    assert "this is Darwin x86_64" in machine.refusal()


@pytest.mark.parametrize(
    ("command", "name"),
    [("cc", "C compiler"), ("c++", "C++ compiler"), ("cmake", "CMake"), ("make", "make")],
)
def test_a_tool_is_missing(machine: Machine, command: str, name: str) -> None:
    machine.remove(command)
    assert f"no {name} was found: install one" in machine.refusal()


def test_a_compiler_of_another_name_is_found(machine: Machine) -> None:
    machine.remove("cc")
    machine.add("clang", "exit 0")
    machine.remove("cmake")
    assert "CMake" in machine.refusal()


def test_a_compiler_may_be_named(machine: Machine) -> None:
    machine.remove("c++")
    machine.add("special-c++", "exit 0")
    machine.remove("cmake")
    assert "CMake" in machine.refusal(CXX="special-c++ -m64")


def test_a_path_with_a_space(machine: Machine) -> None:
    machine.checkout = machine.checkout.rename(machine.checkout.with_name("my checkout"))
    assert "has a space in it" in machine.refusal()


def test_no_python(machine: Machine) -> None:
    machine.remove("python3")
    assert "no Python was found as python3" in machine.refusal()


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        ("old 3.9", "python3 is Python 3.9, which is too old: Python 3.10 to 3.13 is needed"),
        ("new 3.14", "python3 is Python 3.14, which is too new for the ROS 2 wheels"),
        ("kind 3.11", "python3 is not CPython"),
        (
            "headers 3.11",
            "python3 has no Python.h: install its headers (Debian, Ubuntu: apt install python3.11-dev)",
        ),
        ("venv 3.12", "python3 has no venv module: install it (Debian, Ubuntu: apt install python3.12-venv)"),
    ],
)
def test_a_python_that_cannot_be_used(machine: Machine, verdict: str, sentence: str) -> None:
    machine.add("python3", f"echo {verdict}")
    assert sentence in machine.refusal()


def test_a_named_python_is_the_only_one_tried(machine: Machine) -> None:
    machine.add("mypython", "echo old 3.8")
    assert "mypython is Python 3.8, which is too old" in machine.refusal(PYTHON="mypython")


def test_the_judgement_of_a_real_interpreter() -> None:
    """The code that the script runs in an interpreter must know at least this one."""
    script = (ROOT / "scripts" / "setup.sh").read_text()
    code = script.split('"$1" -c \'')[1].split("' 2>/dev/null")[0]
    result = subprocess.run(["python3", "-c", code], capture_output=True, text=True, timeout=30)
    assert result.stdout.split()[0] in ("good", "headers", "venv"), result


def test_an_unknown_distribution(machine: Machine) -> None:
    assert "no ROS 2 wheels for 'humble': choose ROS_DISTRO=kilted" in machine.refusal("humble")


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, [], "kilted"),
        ({"ROS_DISTRO": "humble"}, [], "kilted"),
        ({"ROS_DISTRO": "jazzy"}, [], "jazzy"),
        ({}, ["ROS_DISTRO=jazzy"], "jazzy"),
        ({}, ["ROS_DISTRO=humble"], "humble"),
    ],
)
def test_which_distribution_make_chooses(
    environment: dict[str, str], arguments: list[str], expected: str
) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    result = subprocess.run(
        ["make", "--dry-run", "setup", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.stdout.split()[-2:] == ["scripts/setup.sh", expected], result
