"""``cotracker_ros evaluate``: score any trackers on any clips, side by side with KLT on the same images."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import cv2
import psutil

from cotracker_ros import __version__
from cotracker_ros.evaluation.candidates import Candidate, make_candidates
from cotracker_ros.recordings.interrupt import stop_on_interrupt
from cotracker_ros.recordings.options import OptionError
from cotracker_ros.tracking.names import KLT

if TYPE_CHECKING:
    from cotracker_ros.evaluation.results import SetResult
    from cotracker_ros.evaluation.runner import DataSet
    from cotracker_ros.evaluation.scene_tables import SceneResults

_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    _add_trackers(parser.add_argument_group("trackers"))
    _add_sources(parser.add_argument_group("data, at least one of"))
    _add_parts(parser.add_argument_group("which part of the data"))
    parser.add_argument(
        "--queries",
        choices=("first", "strided"),
        default="first",
        help="ask for each track where it is seen first, or in every fifth frame and track both ways [first]",
    )
    parser.add_argument(
        "--alone",
        action="store_true",
        help="track each query by itself with support points around it, instead of all jointly (but the "
        "corners of palindromes)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/evaluate"),
        metavar="DIR",
        help="folder of tables and plots [out/evaluate]",
    )


def _add_trackers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tracker",
        nargs="+",
        default=[],
        metavar="NAME",
        help="klt, default or a checkpoint; settings follow after a colon, as in klt:max_error=2,window=31 "
        "or default:update_every=4; or a function of yours, package.module:function, as distill takes",
    )
    group.add_argument("--no-klt", action="store_true", help="do not run KLT beside them")
    group.add_argument("--device", default="auto", help="of networks: auto, cpu, cuda, cuda:N or mps")


def _add_sources(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tapvid",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="file of TAP-Vid (DAVIS, Kinetics, RGB-Stacking, RoboTAP), or a folder of its parts",
    )
    group.add_argument("--dynamic-replica", type=Path, metavar="DIR", help="folder of Dynamic Replica")
    group.add_argument(
        "--static-scene",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR|BAG",
        help="RGB-D recording of a scene that stands still: 7-Scenes or TUM RGB-D layout, or a bag with TF; "
        "of its whole length also the points in space and the camera's pose",
    )
    group.add_argument(
        "--rendered",
        nargs="*",
        metavar="NAME",
        help="rendered RGB-D sequences with exact truth, for points in space, ego-motion and moving bodies: "
        "static_room, workshop, crowded, occlusion [all]",
    )
    group.add_argument(
        "--palindrome",
        type=Path,
        nargs="+",
        default=[],
        metavar="VIDEO",
        help="video, image folder or bag, tracked forward and then backward",
    )
    group.add_argument(
        "--synthetic",
        type=int,
        default=0,
        metavar="N",
        help="so many rendered clips of 48 images at 256x256 that training never sees",
    )


def _add_parts(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--limit", type=int, default=0, metavar="CLIPS", help="so many clips of each data set [all]"
    )
    group.add_argument("--split", default="valid", help="of Dynamic Replica [valid]")
    group.add_argument(
        "--starts",
        type=int,
        nargs="+",
        default=[],
        metavar="FRAME",
        help="first frame of each clip of a static scene [one clip after the other]",
    )
    group.add_argument(
        "--length", type=int, default=48, metavar="FRAMES", help="of a clip of a static scene [48]"
    )
    group.add_argument(
        "--no-poses", action="store_true", help="of a static scene the clips only, in the image plane"
    )
    group.add_argument(
        "--rendered-size",
        type=int,
        nargs=2,
        default=(320, 240),
        metavar=("WIDTH", "HEIGHT"),
        help="of the rendered sequences, px [320 240]",
    )
    group.add_argument(
        "--scene-points",
        type=int,
        default=300,
        metavar="N",
        help="corners to follow in rendered sequences and whole recordings [300]",
    )
    group.add_argument(
        "--intrinsics",
        type=float,
        nargs=4,
        metavar=("FX", "FY", "CX", "CY"),
        help="of a static scene's colour camera, px [camera_info, or what is known of the layout]",
    )
    group.add_argument(
        "--palindrome-starts",
        type=int,
        nargs="+",
        default=[],
        metavar="FRAME",
        help="first frame of each palindrome [one after the other]",
    )
    group.add_argument(
        "--frames", type=int, default=24, metavar="FRAMES", help="of a palindrome's way there [24]"
    )
    group.add_argument(
        "--points", type=int, default=100, metavar="N", help="corners to follow in a palindrome [100]"
    )
    group.add_argument("--image-topic", metavar="TOPIC", help="colour images, if a bag holds several")
    group.add_argument("--depth-topic", metavar="TOPIC", help="the same, of a static scene's depth images")
    group.add_argument("--camera-info-topic", metavar="TOPIC", help="the same, of its calibration")
    group.add_argument(
        "--world",
        metavar="FRAME",
        help="frame of a bag's TF in which the scene stands still [the root above the camera]",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    from cotracker_ros.evaluation.accuracy_report import write_report
    from cotracker_ros.evaluation.runner import evaluate
    from cotracker_ros.evaluation.scene_tables import SceneResults

    _check(args)
    sets = list(_data_sets(args))
    if not sets and args.rendered is None:
        raise OptionError(
            "there is nothing to evaluate on; give --rendered, --synthetic, --static-scene, --palindrome, "
            "--tapvid or --dynamic-replica"
        )
    candidates = _candidates(args)
    args.out.mkdir(parents=True, exist_ok=True)  # find out now, not in the end, that it cannot be written to
    results: list[SetResult] = []
    scenes = SceneResults()
    with stop_on_interrupt() as stop:
        try:
            _scenes(args, candidates, scenes, stop)
            evaluate(sets, candidates, results, limit=args.limit, stop=stop, progress=True)
        finally:  # a file that is damaged somewhere does not take with it what was measured before
            if scenes or any(result.clips for result in results):
                print(write_report(args.out, results, _about(), scenes))
    return _INTERRUPTED if stop.is_set() else 0


def _scenes(
    args: argparse.Namespace, candidates: Sequence[Candidate], scenes: SceneResults, stop: Event
) -> None:
    """Judge points in space, the camera's pose and bodies."""
    from cotracker_ros.evaluation.scene_evaluation import evaluate_recording, evaluate_rendered

    if args.rendered is not None:
        evaluate_rendered(
            args.rendered,
            candidates,
            scenes.rendered,
            size=tuple(args.rendered_size),
            points=args.scene_points,
            stop=stop,
            progress=True,
        )
    for path in () if args.no_poses else args.static_scene:
        if stop.is_set():
            return
        found = evaluate_recording(
            path,
            candidates,
            points=args.scene_points,
            intrinsics=_intrinsics(args),
            progress=True,
            **_bag_options(args),
        )
        if found is not None:
            scenes.recorded.append(found)


def _intrinsics(args: argparse.Namespace) -> tuple[float, float, float, float] | None:
    return tuple(args.intrinsics) if args.intrinsics else None


def _bag_options(args: argparse.Namespace) -> dict[str, str | None]:
    names = ("world", "image_topic", "depth_topic", "camera_info_topic")
    return {name: getattr(args, name) for name in names}


def _check(args: argparse.Namespace) -> None:
    for path in (*args.tapvid, args.dynamic_replica, *args.static_scene, *args.palindrome):
        if path is not None and not path.exists():
            raise OptionError(f"{path} does not exist")
    for name in ("limit", "synthetic"):
        if getattr(args, name) < 0:
            raise OptionError(f"{name} is {getattr(args, name)}; give 0 or more")
    for name in ("points", "scene_points"):
        if getattr(args, name) < 1:
            raise OptionError(f"{name.replace('_', '-')} is {getattr(args, name)}; give at least 1")
    if min(args.rendered_size) < 64:
        raise OptionError(f"rendered-size is {args.rendered_size}; give at least 64 px")


def _candidates(args: argparse.Namespace) -> list[Candidate]:
    names = args.tracker if args.no_klt else [KLT, *args.tracker]
    if not names:
        raise OptionError("there is nothing to evaluate; name a --tracker, or leave out --no-klt")
    return make_candidates(names, device=args.device)


def _data_sets(args: argparse.Namespace) -> Iterator[DataSet]:
    from cotracker_ros.evaluation import data_sets

    mode, alone = args.queries, args.alone
    if args.synthetic:
        yield data_sets.synthetic(args.synthetic, mode, alone, with_klt=not args.no_klt)
    for path in args.static_scene:
        yield data_sets.static_scene(
            path,
            mode,
            alone,
            starts=args.starts,
            length=args.length,
            intrinsics=_intrinsics(args),
            **_bag_options(args),
        )
    for path in args.palindrome:
        yield data_sets.palindrome(
            path,
            frames=args.frames,
            starts=args.palindrome_starts,
            points=args.points,
            image_topic=args.image_topic,
        )
    for path in args.tapvid:
        yield data_sets.tapvid(path, mode, alone)
    if args.dynamic_replica:
        yield data_sets.dynamic_replica(args.dynamic_replica, args.split, alone)


def _about() -> dict[str, Any]:
    return {
        "version": __version__,
        "machine": platform.machine(),
        "cores": psutil.cpu_count(),
        "threads": cv2.getNumThreads(),
    }
