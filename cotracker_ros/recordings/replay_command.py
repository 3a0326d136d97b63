"""``cotracker_ros replay``: a recording in, its tracks out, without DDS and without dropping an image."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cotracker_ros.reconstruction import Lifter, LifterConfig
from cotracker_ros.reconstruction.dense_config import DenseConfig
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.map_output import MapOutput
from cotracker_ros.recordings.mesh_output import mesh_output
from cotracker_ros.recordings.open import open_recording
from cotracker_ros.recordings.options import (
    add_fields,
    add_points_argument,
    add_recording_arguments,
    add_session_arguments,
    add_tracker_arguments,
    config_from,
    session_from,
)
from cotracker_ros.recordings.outputs import (
    BagOutput,
    Output,
    TableOutput,
    print_troubles,
    run_steps,
)
from cotracker_ros.recordings.replay import replay
from cotracker_ros.recordings.rerun_output import RerunOutput
from cotracker_ros.recordings.writer import BagWriter
from cotracker_ros.tracking.config import SessionConfig

if TYPE_CHECKING:
    from cotracker_ros.tracking import TrackingSession

_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.usage = "%(prog)s IN OUT [options]"
    parser.add_argument("input", type=Path, metavar="IN", help="bag of ROS 2 or ROS 1, video or image folder")
    parser.add_argument(
        "output", type=Path, metavar="OUT", help="bag to write: OUT.mcap, or a rosbag2 folder"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write one row per image and track")
    parser.add_argument("--npz", type=Path, metavar="FILE", help="also write arrays over images and tracks")
    parser.add_argument("--map", type=Path, metavar="FILE", help="also write what stands still: FILE.ply")
    parser.add_argument(
        "--mesh", type=Path, metavar="FILE", help="also fuse depth into a mesh: FILE.ply and FILE_cloud.ply"
    )
    parser.add_argument(
        "--rerun", type=Path, metavar="FILE", help="also write a recording for the Rerun viewer: FILE.rrd"
    )
    parser.add_argument(
        "--with-inputs", action="store_true", help="also write images, depth, calibration and transforms"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT, and FILE.rrd, if they exist")
    add_points_argument(parser)
    add_recording_arguments(parser)
    add_tracker_arguments(parser)
    add_session_arguments(parser)
    group = parser.add_argument_group(
        "3D", "where the recording has depth and calibration; further settings by parameter file"
    )
    add_fields(group, LifterConfig, leave_out=["jump_back"])
    add_fields(group, DenseConfig, prefix="dense.")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    recording = open_recording(
        args.input,
        image_topic=args.image_topic,
        depth_topic=args.depth_topic,
        camera_info_topic=args.camera_info_topic,
    )
    summary = recording.summary
    lifter_config = config_from(args, LifterConfig)
    lifter = Lifter(lifter_config) if summary.has_depth else None
    output = args.output.resolve()
    if output == args.input.resolve() or output in args.input.resolve().parents:
        raise RecordingError(f"{args.output} would replace the input: give another name")
    writer = BagWriter(args.output, overwrite=args.overwrite)
    tables = [TableOutput(args.csv, args.npz)] if args.csv or args.npz else []
    maps = [MapOutput(args.map, lifter)] if args.map else []
    meshes = (
        [mesh_output(args.mesh, lifter, config_from(args, DenseConfig, prefix="dense."))] if args.mesh else []
    )
    session = _session_from(args)
    viewers = [RerunOutput(args.rerun, lifter, overwrite=args.overwrite)] if args.rerun else []
    start = time.perf_counter()
    with writer as bag:
        outputs: list[Output] = [
            BagOutput(bag, summary, lifter, with_inputs=args.with_inputs),
            *tables,
            *viewers,
            *maps,
            *meshes,
        ]
        steps = replay(recording, session, lifter)
        report = run_steps(steps, outputs, images=summary.images, progress=True)
    print(f"{args.output}: {report.sentence(time.perf_counter() - start)}")
    for sentence in [item.sentence for item in maps] + [item.sentence for item in meshes]:
        print(sentence)
    if summary.depths and lifter is None:
        print("There is depth but no camera_info, so nothing was lifted into 3D.", file=sys.stderr)
    print_troubles(report, session, lifter)
    return _INTERRUPTED if report.interrupted else 0


def _session_from(args: argparse.Namespace) -> TrackingSession:
    config = config_from(args, SessionConfig)
    if config.seed == "none" and not args.points:
        config = replace(config, seed="grid")  # a replay that is told nothing should show something
    return session_from(args, config, args.points)
