"""Command-line options for recordings and trackers, the same in every command.

The settings of a tracker are those of its dataclasses: a field becomes an option of the same name, its
entry in the docstring the help. A parameter file of the nodes may give them as well; what stands on the
command line wins.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from numpy.typing import ArrayLike

from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.tracking.config import BACKENDS, PRECISIONS, SessionConfig, TrackerConfig

if TYPE_CHECKING:
    from cotracker_ros.tracking import PointTracker, TrackingSession


class OptionError(ValueError):
    """An option's value will not do; the text is one sentence."""


def add_recording_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the topics of a bag."""
    group = parser.add_argument_group("topics", "found by type when there is only one that could be meant")
    group.add_argument("--image-topic", metavar="TOPIC", help="colour images, raw or compressed")
    group.add_argument(
        "--depth-topic", metavar="TOPIC", help="depth images; 'none': follow the points in 2D only"
    )
    group.add_argument("--camera-info-topic", metavar="TOPIC", help="calibration of the colour camera")


def add_tracker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose and set up a tracker (see `tracker_from`)."""
    group = parser.add_argument_group("tracker")
    group.add_argument(
        "--config",
        type=Path,
        action="append",
        metavar="YAML",
        help="parameter file of the nodes, such as config/tracker.yaml; may be given several times",
    )
    group.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="auto: the network, or KLT where torch is not installed",
    )
    group.add_argument("--weights", default="", help="a path or a name such as scaled_online [default]")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    group.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the network [auto]")
    group.add_argument("--compile", action="store_true", help="use torch.compile; slow at the start")
    add_fields(group, TrackerConfig)


def add_session_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how tracks begin and end (see `session_from`)."""
    add_fields(parser.add_argument_group("beginning and end of tracks"), SessionConfig)


def add_points_argument(parser: Any) -> None:
    """Add ``--points``, positions in the first image."""
    parser.add_argument(
        "--points", nargs="+", type=_point, metavar="X,Y", help="positions in the first image, px"
    )


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no point; write X,Y such as 320,240") from None
    return x, y


def add_fields(
    group: argparse._ArgumentGroup,
    config: type,
    *,
    prefix: str = "",
    leave_out: Sequence[str] = (),
) -> None:
    """Add an option for each field of a configuration dataclass.

    Fields that are dataclasses themselves add theirs, prefixed: "map.voxel_size", the nodes' parameter, is
    --map-voxel-size. They are for parameter files and not listed in the help.

    Args:
        group: Where to add them.
        config: The dataclass; every field needs a default.
        prefix: Put before each name.
        leave_out: Fields whose option exists already.
    """
    kinds = typing.get_type_hints(config)
    descriptions = _descriptions(config)
    for entry in dataclasses.fields(config):
        name, kind = prefix + entry.name, kinds[entry.name]
        if entry.name in leave_out:
            continue
        if dataclasses.is_dataclass(kind):
            add_fields(group, typing.cast(type, kind), prefix=f"{name}.")
            continue
        text = f"{descriptions.get(entry.name, '')} [{entry.default}]".replace("%", "%%")
        settings: dict[str, Any] = {"dest": name, "default": entry.default}
        settings["help"] = argparse.SUPPRESS if prefix else text
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        else:
            settings |= {"type": kind, "metavar": kind.__name__.upper()}
        group.add_argument(f"--{re.sub('[._]', '-', name)}", **settings)


def config_from(args: argparse.Namespace, config: type, *, prefix: str = "") -> Any:
    """Make a configuration dataclass from the options that `add_fields` added.

    Raises:
        OptionError: A value is refused.
    """
    kinds = typing.get_type_hints(config)
    values = {}
    for entry in dataclasses.fields(config):
        name, kind = prefix + entry.name, kinds[entry.name]
        nested = dataclasses.is_dataclass(kind)
        values[entry.name] = config_from(args, kind, prefix=f"{name}.") if nested else getattr(args, name)
    try:
        return config(**values)
    except ValueError as error:
        raise OptionError(str(error)) from error


def tracker_from(args: argparse.Namespace) -> PointTracker:
    """Make the tracker that the options ask for.

    Raises:
        OptionError: A setting, the weights or the device will not do.
    """
    from cotracker_ros.tracking import create_tracker  # torch comes with it

    config = config_from(args, TrackerConfig)
    try:
        return create_tracker(
            args.backend,
            weights=args.weights,
            device=args.device,
            precision=args.precision,
            compile=args.compile,
            config=config,
        )
    except ValueError as error:
        raise OptionError(str(error)) from error


def session_from(
    args: argparse.Namespace, config: SessionConfig, points: ArrayLike | None
) -> TrackingSession:
    """Make a tracking session that follows some points of the first image, besides what ``config`` seeds.

    Raises:
        OptionError: A setting, the weights, the device or a point will not do.
    """
    from cotracker_ros.tracking import TrackingSession

    session = TrackingSession(tracker_from(args), config)
    if points is not None:
        try:
            session.add_points(points)
        except ValueError as error:
            raise OptionError(str(error)) from error
    return session


def read_parameter_file(path: Path) -> dict[str, Any]:
    """Return all ``ros__parameters`` of a ROS parameter file, whatever the node's name.

    Raises:
        RecordingError: It cannot be read, or it is no parameter file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise RecordingError(f"the parameter file {path} cannot be read: {reason}") from error
    nodes = content.values() if isinstance(content, dict) else ()
    found = [
        node["ros__parameters"] for node in nodes if isinstance(node, dict) and "ros__parameters" in node
    ]
    if not found or not all(isinstance(parameters, dict) for parameters in found):
        raise RecordingError(f"{path} is no ROS parameter file: it has no node with ros__parameters")
    return {name: value for parameters in found for name, value in _flat(parameters)}


def _flat(parameters: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def apply_parameter_file(parser: argparse.ArgumentParser, path: Path) -> None:
    """Make the values of a parameter file the defaults of a parser's options.

    Parameters that are no options (queue sizes, topics, other nodes') are passed over.

    Raises:
        RecordingError: The file cannot be read, or a value is of another type than its option.
    """
    parameters = read_parameter_file(path)
    for action in parser._actions:
        if action.dest not in parameters:
            continue
        value = parameters[action.dest]
        kind = action.type if isinstance(action.type, type) else type(action.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or (action.choices and value not in action.choices):
            wanted = (
                f"one of {', '.join(action.choices)}"
                if action.choices
                else f"a value of type {kind.__name__}"
            )
            raise RecordingError(f"{path}: {action.dest} is {value!r}; give {wanted}")
        parser.set_defaults(**{action.dest: value})


def _descriptions(config: type) -> dict[str, str]:
    """Return what the ``Attributes:`` section of a dataclass's docstring says about each field."""
    section = inspect.cleandoc(config.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
