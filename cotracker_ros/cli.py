"""The command ``cotracker_ros``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from cotracker_ros import __version__

# Name, module (with add_arguments and run) and what it does; a module is imported when its command is used.
_COMMANDS = {
    "demo": (
        "cotracker_ros.evaluation.demo",
        "run the real nodes on a sample or your own recording, with a report",
    ),
    "replay": (
        "cotracker_ros.recordings.replay_command",
        "track a recording without DDS, every image, into a bag",
    ),
    "track": (
        "cotracker_ros.recordings.track_command",
        "track a video: overlay video and tables of the tracks",
    ),
    "train": (
        "cotracker_ros.training.train_command",
        "train a network on clips with known tracks",
    ),
    "evaluate": (
        "cotracker_ros.evaluation.evaluate_command",
        "score trackers on labelled clips, static scenes and videos, side by side",
    ),
    "distill": (
        "cotracker_ros.training.distill_command",
        "learn from several teachers on recordings that nobody labelled",
    ),
    "bench": ("cotracker_ros.evaluation.bench", "measure speed, latency and memory on this machine"),
}
_USER_ERROR = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Errors that the user can mend are one line on stderr and exit code 2; any other keeps its traceback.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        parser, commands = _parsers()
        name = next((word for word in arguments if not word.startswith("-")), "")
        module = _load(name, commands[name]) if name in commands else None
        args = parser.parse_args(arguments)
        if module is None:
            parser.print_help()
            return _USER_ERROR
        if getattr(args, "config", None):
            args = _with_parameter_files(parser, commands[name], args, arguments)
        return int(module.run(args))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("cotracker_ros"):
            raise
        print(
            f"cotracker_ros: the Python package '{error.name}' is needed for this: install it",
            file=sys.stderr,
        )
        return _USER_ERROR
    except (ValueError, OSError) as error:
        if not _is_deliberate(error):
            raise
        print(f"cotracker_ros: {error}", file=sys.stderr)
        return _USER_ERROR


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="cotracker_ros", description="Follow any point a camera sees, live, and know where it is in 3D."
    )
    parser.add_argument("--version", action="version", version=f"cotracker_ros {__version__}")
    choices = parser.add_subparsers(metavar="COMMAND", title="commands")
    return parser, {
        name: choices.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        for name, (_, text) in _COMMANDS.items()
    }


def _load(name: str, parser: argparse.ArgumentParser) -> ModuleType:
    module = importlib.import_module(_COMMANDS[name][0])
    module.add_arguments(parser)
    return module


def _with_parameter_files(
    parser: argparse.ArgumentParser,
    command: argparse.ArgumentParser,
    args: argparse.Namespace,
    arguments: list[str],
) -> argparse.Namespace:
    """Parse again with the parameter files' values as defaults, so that the command line wins."""
    from cotracker_ros.recordings.options import apply_parameter_file

    for path in args.config:
        apply_parameter_file(command, path)
    return parser.parse_args(arguments)


def _is_deliberate(error: Exception) -> bool:
    """Say whether an error is for the user: one of this package's classes, or the system's on a file."""
    return isinstance(error, OSError) or type(error).__module__.startswith("cotracker_ros.")


if __name__ == "__main__":
    sys.exit(main())
