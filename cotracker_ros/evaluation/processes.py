"""Child processes that never outlive their parent's work."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

_PATIENCE = 5.0  # s to end after an interrupt, before being killed


class DemoError(RuntimeError):
    """The demonstration cannot go on; the text is one sentence that says what to do."""


class Processes:
    """A group of named children with a log file each; leaving the context ends them all.

    Args:
        logs: Folder of the logs; made if need be.
        environment: Variables added to those of this process.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._files: list[IO[Any]] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str], *, read: bool = False) -> subprocess.Popen[str]:
        """Start a child; with `read`, its standard output can be read instead of going to its log."""
        log = open(self.log(name), "w")  # noqa: SIM115 - closed with the group
        self._files.append(log)
        child = subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if read else log,
            stderr=log,
            text=True,
        )
        self._children[name] = child
        return child

    def log(self, name: str) -> Path:
        """Path of a child's log."""
        return self._logs / f"{name}.log"

    def check(self, *names: str) -> None:
        """Make sure that children still run.

        Raises:
            DemoError: One of them has ended.
        """
        for name in names:
            code = self._children[name].poll()
            if code is not None:
                raise DemoError(f"{name} ended with exit code {code}: {self.last_words(name)}")

    def last_words(self, name: str) -> str:
        """The last error in a child's log, and where the log is."""
        lines = [line.strip() for line in self.log(name).read_text(errors="replace").splitlines()]
        lines = [line for line in lines if line]
        errors = [line for line in lines if re.search(r"\[(ERROR|FATAL)\]|Error|cannot", line)]
        said = (errors or lines or ["it said nothing"])[-1]
        # Level, time and name of the node are noise here: "[ERROR] [1700000000.0] [tracker]: text".
        said = re.sub(r"^(\[[^\]]*\]\s*)+:?\s*", "", said)
        return f"{said} (see {self.log(name)})"

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [child for child in self._children.values() if child.poll() is None]
        try:
            for child in running:
                child.send_signal(signal.SIGINT)
            deadline = time.monotonic() + _PATIENCE
            for child in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(max(0.0, deadline - time.monotonic()))
        finally:  # also when a second Ctrl-C cuts the waiting short
            for child in running:
                if child.poll() is None:
                    child.kill()
                    child.wait()
            for file in self._files:
                file.close()
