"""``cotracker_ros distill``: learn from several teachers on recordings that nobody labelled."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from cotracker_ros.recordings import open_recording
from cotracker_ros.recordings.interrupt import stop_on_interrupt
from cotracker_ros.recordings.options import add_fields, config_from
from cotracker_ros.tracking.network import pick_device
from cotracker_ros.training.cutting import CutConfig
from cotracker_ros.training.distill_report import write_report
from cotracker_ros.training.footage import FootageError
from cotracker_ros.training.label_cache import load_labels, write_list
from cotracker_ros.training.labelling import LabelSettings, RecordingResult, label_recording
from cotracker_ros.training.named_teachers import make_teachers
from cotracker_ros.training.pseudo_labels import LabelConfig
from cotracker_ros.training.student import StudentConfig, student_config, train_student
from cotracker_ros.training.teachers import Teacher, TeacherError

_INTERRUPTED = 130
_LABELS = "labels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--recordings",
        nargs="+",
        type=Path,
        required=True,
        metavar="PATH",
        help="bags, videos or image folders to learn on",
    )
    parser.add_argument(
        "--teachers",
        nargs="+",
        required=True,
        metavar="NAME",
        help="klt, default, checkpoints, with settings if wanted (klt:window=31), or package.module:function",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/distill"), metavar="DIR", help="folder of results [out/distill]"
    )
    parser.add_argument("--labels-only", action="store_true", help="stop when the labels are made")
    parser.add_argument("--image-topic", metavar="TOPIC", help="colour images, if a bag holds several")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, default=0, help="of clips, queries and training [0]")
    add_fields(parser.add_argument_group("clips"), CutConfig)
    add_fields(parser.add_argument_group("labels"), LabelConfig)
    add_fields(parser.add_argument_group("student"), StudentConfig)


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    settings = LabelSettings(config_from(args, CutConfig), config_from(args, LabelConfig), args.seed)
    student = config_from(args, StudentConfig)
    device = pick_device(args.device)
    labels = args.out / _LABELS
    # What would fail after the long work had better fail before.
    training = (
        None
        if args.labels_only
        else student_config(student, labels, settings.cut.frames, settings.label.tracks, args.seed)
    )
    teachers = make_teachers(args.teachers, args.device)
    with stop_on_interrupt() as stop:
        results = _label(args, teachers, labels, settings, stop)
    if stop.is_set():
        print("interrupted; the same command goes on where it was")
        return _INTERRUPTED
    names = [teacher.name for teacher in teachers]
    print(write_report(args.out, results, names, settings.label.labels))
    _check(results)
    if training:
        print(f"student: {train_student(training, args.out / 'student', device=device)}")
    return 0


def _label(
    args: argparse.Namespace,
    teachers: list[Teacher],
    folder: Path,
    settings: LabelSettings,
    stop: threading.Event,
) -> list[RecordingResult]:
    recordings = [
        open_recording(path, image_topic=args.image_topic, depth_topic="none") for path in args.recordings
    ]
    results: list[RecordingResult] = []
    for recording in recordings:
        if not stop.is_set():
            results.append(label_recording(recording, teachers, folder, settings, progress=True, stop=stop))
    if not stop.is_set():
        paths = [clip.path for result in results for clip in result.clips if clip.path]
        folder.mkdir(parents=True, exist_ok=True)
        write_list(folder, {path.name: load_labels(path).record.settings for path in paths})
    return results


def _check(results: list[RecordingResult]) -> None:
    """Say why there is nothing to learn from, if there is nothing.

    Raises:
        FootageError: All recordings were refused, or no clip got labels.
        TeacherError: All teachers failed on all clips.
    """
    clips = [clip for result in results for clip in result.clips]
    if any(clip.path for clip in clips):
        return
    refused = [result.refused for result in results if result.refused]
    if not clips and refused:
        raise FootageError("; ".join(refused))
    if clips and all(clip.skipped == "all teachers failed" for clip in clips):
        name, error = next(iter(clips[0].failures.items()))
        raise TeacherError(f"all teachers failed on all {len(clips)} clips, '{name}' with {error}")
    reasons = ", ".join(sorted({clip.skipped for clip in clips}))
    raise FootageError(
        f"none of {len(clips)} clips could be labelled ({reasons}); record more texture and motion, or ask "
        "for fewer tracks"
    )
