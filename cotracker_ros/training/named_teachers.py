"""From what a user names to a teacher."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cotracker_ros.model import CoTracker3, find_weights
from cotracker_ros.tracking.config import KltConfig
from cotracker_ros.tracking.names import KLT, parse_name
from cotracker_ros.tracking.network import pick_device
from cotracker_ros.training.teachers import (
    CallableTeacher,
    KltTeacher,
    NetworkTeacher,
    Teacher,
    TeacherError,
    told,
)


def make_teachers(names: Sequence[str], device: str = "auto") -> list[Teacher]:
    """Make the teachers of a run.

    Args:
        names: ``klt``, ``default``, the name or path of a checkpoint, each with settings if wanted
            (``klt:max_error=2,window=31``, ``scaled_offline:iterations=6``), or ``package.module:function``.
        device: Where networks run (see `pick_device`).

    Raises:
        TeacherError: A name is given twice, or a function does not exist.
        TrackerNameError: A setting is unknown or has a wrong value.
        WeightsError: There are no such weights.
        DeviceError: The device is absent.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise TeacherError(f"teacher '{twice}' is named twice; name each once")
    return [make_teacher(name, device) for name in names]


def make_teacher(name: str, device: str = "auto") -> Teacher:
    """Make one teacher (see `make_teachers`)."""
    named = parse_name(name)
    if named.kind == "function":
        return _callable_teacher(name)
    if named.kind == KLT:
        (klt,) = named.configure(KltConfig())
        return KltTeacher(name, klt)
    path = find_weights(named.weights)
    model = CoTracker3.from_checkpoint(path, pick_device(device))
    (config,) = named.configure(NetworkTeacher.settings(model))
    return NetworkTeacher(name, f"{file_digest(path)} {config}", model, config)


def _callable_teacher(name: str) -> CallableTeacher:
    module_name, _, attribute = name.partition(":")
    try:
        with _importing_from_here():
            module = importlib.import_module(module_name)
            function: Any = module
            for part in attribute.split("."):
                function = getattr(function, part)
            if inspect.isclass(function):
                function = function()
    except Exception as error:  # whatever a user's module raises while it is imported
        raise TeacherError(f"'{name}' cannot be had: {told(error)}") from error
    if not callable(function):
        raise TeacherError(f"'{name}' is a {type(function).__name__}; name a function or a callable")
    source = getattr(module, "__file__", None)
    return CallableTeacher(name, file_digest(Path(source)) if source else "", function)


@contextmanager
def _importing_from_here() -> Iterator[None]:
    """Find modules in the current folder, as Python itself does for a script that lies there."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def file_digest(path: Path) -> str:
    """Return a short digest of what a file holds."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
