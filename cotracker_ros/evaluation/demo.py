"""The demonstration: the real nodes track a recording over DDS, and a report says how well.

Player, tracker, lifter and recorder run as processes of their own, found by each other on this machine
only. With the sample recording the points that are scored are the true ones that can be seen in its first
image: the player publishes that image and waits, the points are asked for over the tracker's service, and
only then does the recording play at its own pace.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from tqdm import tqdm

from cotracker_ros.evaluation.demo_page import uses_klt
from cotracker_ros.evaluation.demo_report import report_run
from cotracker_ros.evaluation.demo_run import DemoRun
from cotracker_ros.evaluation.network import private_network
from cotracker_ros.evaluation.processes import DemoError, Processes
from cotracker_ros.evaluation.summary import TrueTracks
from cotracker_ros.recordings import ImageEvent, Recording, TransformEvent, open_recording
from cotracker_ros.tracking.config import BACKENDS

_SAMPLE = Path("out/sample")
_LOOK_AHEAD = 200  # messages of a recording in which its transforms are looked for
_SILENCE = 90.0  # s without a word from the recorder after which the run has failed


@dataclass(frozen=True)
class DemoConfig:
    """What the demonstration does.

    Attributes:
        input: Bag, video file or image folder; None for the sample recording.
        output: Folder of the results; what an earlier run left there is replaced.
        backend: What tracks: "network", "klt", or "auto": the network where weights are named, else KLT,
            which two cores run live beside all the rest.
        weights: Weights of the network: a path or a name.
        rate: Speed of the player; 1 is the speed of the recording.
        corners: Corners that are followed beside the points that are scored.
    """

    input: Path | None
    output: Path
    backend: str = "auto"
    weights: str = ""
    rate: float = 1.0
    corners: int = 100

    def __post_init__(self) -> None:
        if self.input is not None and not self.input.exists():
            raise ValueError(f"{self.input} does not exist; give a bag, a video file or an image folder")
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate:g}; give a speed above 0")
        if self.corners < 0:
            raise ValueError(f"corners is {self.corners}; give 0 or more")


@dataclass(frozen=True)
class _Source:
    """The recording to play, and its truth if it has one."""

    path: Path
    recording: Recording
    truth: TrueTracks | None


@dataclass
class _Progress:
    """What the recorder has said so far."""

    counts: dict[str, int] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    ended: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``cotracker_ros demo``."""
    parser.add_argument(
        "--input", type=Path, help="bag, video file or image folder; default: a rendered sample"
    )
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder of the results")
    parser.add_argument(
        "--backend", default="auto", choices=BACKENDS, help="auto: KLT, unless --weights are given"
    )
    parser.add_argument("--weights", default="", help="weights of the network: a path or a name")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of the player")
    parser.add_argument("--corners", type=int, default=100, help="corners followed beside the scored points")


def run(args: argparse.Namespace) -> int:
    """Run the demonstration from the command line."""
    with _ending_on_terminate():
        try:
            demonstrate(
                DemoConfig(
                    input=args.input,
                    output=args.output,
                    backend=args.backend,
                    weights=args.weights,
                    rate=args.rate,
                    corners=args.corners,
                )
            )
        except (DemoError, ValueError, OSError) as error:
            print(f"cotracker_ros demo: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("cotracker_ros demo: interrupted", file=sys.stderr)
            return 130
    return 0


def demonstrate(config: DemoConfig, sample: Path = _SAMPLE) -> None:
    """Play, track, record and report.

    Args:
        config: What to do.
        sample: Folder in which the sample recording is kept between runs.

    Raises:
        DemoError: There is no ROS 2, or the nodes do not come up or fail.
        ValueError, OSError: The recording cannot be read.
    """
    begin = time.monotonic()
    if importlib.util.find_spec("rclpy") is None:
        raise DemoError("the demo runs the real nodes and needs ROS 2: run make demo, or cotracker_ros track")
    source = _open_source(config, sample)
    _clear(config.output)
    parameters = _node_parameters(config, source)
    progress = _play_and_record(config, source, parameters)
    print("Writing the report", flush=True)
    summary = report_run(
        DemoRun(
            name=str(config.input) if config.input else "the sample recording",
            recording=source.recording,
            output=config.output,
            truth=source.truth,
            truth_ids=progress.ids,
            topics=progress.counts,
            parameters=parameters,
            rate=config.rate,
        )
    )
    print(f"\n{summary}\n\nReport: {config.output / 'report.html'}   ({time.monotonic() - begin:.0f} s)")


def _open_source(config: DemoConfig, sample: Path) -> _Source:
    if config.input is not None:
        return _Source(config.input, open_recording(config.input), None)
    from cotracker_ros.synthetic.sample import make_sample, sample_exists

    if not sample_exists(sample):
        print(f"Rendering the sample recording into {sample} (once)", flush=True)
        make_sample(sample)
    truth = TrueTracks.load(sample / "truth.npz")
    return _Source(sample / "sample", open_recording(sample / "sample"), truth)


def _clear(output: Path) -> None:
    """Make the folder and remove what an earlier run wrote into it, but nothing else."""
    output.mkdir(parents=True, exist_ok=True)
    for name in ("logs", "plots", "output"):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in (
        "report.html",
        "overlay.mp4",
        "cloud.ply",
        "arrivals.csv",
        "summary.json",
        "parameters.yaml",
    ):
        (output / name).unlink(missing_ok=True)


def _node_parameters(config: DemoConfig, source: _Source) -> dict[str, dict[str, Any]]:
    """Parameters of the nodes, by node name, where they differ from the defaults."""
    tracker = {
        "backend": "klt" if uses_klt(config.backend, config.weights) else config.backend,
        "weights": config.weights,
        "update_every": 1,
        "queue_size": 8,  # rides out what else the machine does; being late shows in the latency
        "seed": "corners" if config.corners else "none",
        "seed_count": max(config.corners, 1),
        "budget": config.corners + (source.truth.xy.shape[1] if source.truth else 0),
        # What KLT has lost it never finds again: new corners take the place.
        "retire_after": 20 if uses_klt(config.backend, config.weights) else 0,
        "qos_overrides": _reliable("/image"),
    }
    player = {"path": str(source.path.resolve()), "rate": config.rate, "start_paused": True}
    parameters: dict[str, dict[str, Any]] = {"player": player, "tracker": tracker}
    if source.recording.summary.has_depth:
        frame = _root_frame(source.recording)
        parameters["lifter"] = {
            "target_frame": frame,
            "map_period": 1.0,
            "marker_period": 1.0,
            "qos_overrides": _reliable("/depth"),
        }
    return parameters


def _reliable(topic: str) -> dict[str, Any]:
    """Parameters with which a node asks for every message: a recording, unlike a camera, can wait."""
    return {topic: {"subscription": {"reliability": "reliable"}}}


def _root_frame(recording: Recording) -> str:
    """The frame at the root of the transforms above the camera, "" (the camera's own) without transforms."""
    parents: dict[str, str] = {}
    frame = ""
    for event in itertools.islice(recording.events(), _LOOK_AHEAD):
        if isinstance(event, TransformEvent):
            parents[event.child] = event.parent
        elif isinstance(event, ImageEvent) and not frame:
            frame = event.frame_id
    root = frame
    while root in parents:
        root = parents.pop(root)  # taken out, so that a loop ends
    return root if root != frame else ""


def _play_and_record(config: DemoConfig, source: _Source, parameters: dict[str, dict[str, Any]]) -> _Progress:
    output = config.output
    file = output / "parameters.yaml"
    file.write_text(
        yaml.safe_dump(
            {name: {"ros__parameters": values} for name, values in parameters.items()}, sort_keys=False
        )
    )
    plan = output / "logs" / "plan.json"
    with Processes(output / "logs", private_network()) as processes:
        plan.write_text(json.dumps(_plan(output, source, list(parameters))))
        for name in parameters:
            command = [sys.executable, "-m", f"cotracker_ros.nodes.{name}_node", "--ros-args"]
            command += ["--params-file", str(file)]
            if name == "lifter":
                command += ["-r", "tracks:=/tracker/tracks"]
            processes.start(name, command)
        recorder = processes.start(
            "recorder", [sys.executable, "-m", "cotracker_ros.nodes.recorder", str(plan)], read=True
        )
        return _follow(recorder, processes, list(parameters), source.recording.summary.images)


def _plan(output: Path, source: _Source, nodes: list[str]) -> dict[str, Any]:
    """The recorder's plan (`cotracker_ros.nodes.recorder.RecorderPlan`)."""
    results = ["/tracker/tracks"] + (["/lifter/tracks_3d"] if "lifter" in nodes else [])
    return {
        "bag": str(output / "output"),
        "arrivals": str(output / "arrivals.csv"),
        "nodes": [f"/{name}" for name in reversed(nodes)],
        "tracker": "/tracker",
        "player": "/player",
        "image": "/image",
        "points": source.truth.xy[0].tolist() if source.truth is not None else [],
        "exclude": ["/transition_event", "/tracker/overlay"],
        "results": results,
    }


def _follow(
    recorder: subprocess.Popen[str], processes: Processes, nodes: list[str], images: int | None
) -> _Progress:
    """Show the recorder's progress until it ends.

    Raises:
        DemoError: It fails, or one of the nodes does.
    """
    assert recorder.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read_lines, args=(recorder.stdout, lines), daemon=True)
    reader.start()
    progress = _Progress()
    heard = time.monotonic()
    with tqdm(total=images, unit="image", desc="Tracking live", disable=None) as bar:
        while not progress.ended:
            try:
                line = lines.get(timeout=0.5)
            except queue.Empty:
                processes.check(*nodes)
                if time.monotonic() - heard > _SILENCE:
                    raise DemoError(f"nothing happens any more: {processes.last_words('recorder')}") from None
                continue
            heard = time.monotonic()
            if line is None:
                progress.ended = True
            else:
                _take_in(json.loads(line), progress, processes, bar)
    reader.join()
    if recorder.wait() != 0:
        raise DemoError(f"the recorder failed: {processes.last_words('recorder')}")
    return progress


def _take_in(said: dict[str, Any], progress: _Progress, processes: Processes, bar: Any) -> None:
    event, value = said["event"], said["value"]
    if event == "counts":
        progress.counts = value
        bar.update(value.get("/image", 0) - bar.n)
    elif event == "ids":
        progress.ids = value
    elif event == "state":
        bar.set_postfix_str(value)
    elif event == "failed":
        node = next((name for name in ("player", "tracker", "lifter") if f"/{name}" in value), "recorder")
        raise DemoError(f"{value}: {processes.last_words(node)}")


def _read_lines(stream: Any, lines: queue.Queue[str | None]) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


@contextmanager
def _ending_on_terminate() -> Iterator[None]:
    """Turn SIGTERM into an interrupt for a while, so that children are ended as on Ctrl-C."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
