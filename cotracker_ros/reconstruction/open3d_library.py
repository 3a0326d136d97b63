"""Open3D, an extra that is loaded when it is needed: dense reconstruction, and odometry to compare with."""

from __future__ import annotations

import importlib
from typing import Any


class Open3dError(ValueError):
    """Open3D is not there or cannot be loaded; the text is one sentence that says what to install."""


def load_open3d(purpose: str) -> Any:
    """Return the module ``open3d``.

    Args:
        purpose: What it is wanted for, the subject of the error's sentence.

    Raises:
        Open3dError: It is not installed, or a library of the system that it needs is missing.
    """
    try:
        return importlib.import_module("open3d")
    except ModuleNotFoundError as error:
        raise Open3dError(
            f"{purpose} needs the Python package '{error.name}': install it with "
            "`pip install cotracker_ros[dense]`, or `pip install .[dense]` in the repository"
        ) from error
    except (ImportError, OSError) as error:  # OSError: ctypes says so
        reason = str(error).splitlines()[0]
        raise Open3dError(
            f"{purpose} needs Open3D, which cannot be loaded ({reason}): install what it misses, "
            "on Debian and Ubuntu `apt install libusb-1.0-0 libgl1 libgomp1`"
        ) from error
