"""What a node says about itself on /diagnostics."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def make_status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    """A diagnostic status; floats are written with three digits after the point."""
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        values=[
            KeyValue(key=key, value=f"{value:.3f}" if isinstance(value, float) else str(value))
            for key, value in values.items()
        ],
    )


def resident_memory() -> int:
    """Resident memory of this process, bytes (where /proc is missing: its largest value so far)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return pages * resource.getpagesize()


class StreamClock:
    """Rate and latency of a stream over the last seconds.

    Args:
        span: Length of the window, s.
    """

    def __init__(self, span: float = 5.0) -> None:
        self._span = span
        self._answers: deque[tuple[float, float]] = deque()
        self._last_input: float | None = None
        self._lock = threading.Lock()

    def saw_input(self) -> None:
        """Note that an input arrived."""
        with self._lock:
            self._last_input = time.monotonic()

    def answered(self, arrival: float) -> None:
        """Note that the input that arrived at ``time.monotonic()`` = `arrival` has been answered."""
        now = time.monotonic()
        with self._lock:
            self._answers.append((now, now - arrival))
            self._forget(now)

    def silence(self) -> float | None:
        """Seconds since the last input, None before the first one."""
        with self._lock:
            return None if self._last_input is None else time.monotonic() - self._last_input

    def values(self) -> dict[str, float]:
        """Rate (Hz) and latency from arrival to publication (ms): median and 95th percentile."""
        with self._lock:
            self._forget(time.monotonic())
            times = [at for at, _ in self._answers]
            latencies = [latency for _, latency in self._answers]
        elapsed = times[-1] - times[0] if len(times) > 1 else 0.0
        p50, p95 = np.percentile(latencies, [50, 95]) * 1e3 if latencies else (np.nan, np.nan)
        return {
            "rate [Hz]": (len(times) - 1) / elapsed if elapsed > 0 else 0.0,
            "latency p50 [ms]": float(p50),
            "latency p95 [ms]": float(p95),
        }

    def _forget(self, now: float) -> None:
        while self._answers and self._answers[0][0] < now - self._span:
            self._answers.popleft()
