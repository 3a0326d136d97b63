"""Stamps and headers."""

from __future__ import annotations

from typing import Any

_NS = 1_000_000_000


def stamp_ns(time: Any) -> int:
    """Return the nanoseconds of a builtin_interfaces/Time (``sec``, ``nanosec``)."""
    return int(time.sec) * _NS + int(time.nanosec)


def time_fields(stamp: int) -> dict[str, Any]:
    """Return the fields of builtin_interfaces/Time for a stamp in ns."""
    sec, nanosec = divmod(int(stamp), _NS)
    return {"sec": sec, "nanosec": nanosec}


def header_fields(stamp: int, frame_id: str) -> dict[str, Any]:
    """Return the fields of std_msgs/Header for a stamp in ns."""
    return {"stamp": time_fields(stamp), "frame_id": frame_id}
