"""``cotracker_ros bench``: speed, latency and memory of the trackers on this machine, in one run."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from tqdm import tqdm

from cotracker_ros.evaluation import default_speed
from cotracker_ros.evaluation.default_speed import moving_picture, spread_queries
from cotracker_ros.evaluation.published_protocol import PublishedProtocol, published_layers
from cotracker_ros.model import CoTracker3, CoTracker3Config
from cotracker_ros.tracking import KltTracker, StreamTracker, TrackerConfig
from cotracker_ros.tracking.base import PointTracker
from cotracker_ros.tracking.network import load_model, pick_device

# A network small enough to see 10,000 images pass in a minute; only its memory is looked at.
TINY = CoTracker3Config(
    stem_width=8, stage_widths=(8, 8, 8, 8), head_width=16, feature_width=16, corr_levels=2, corr_radius=1,
    support_radius=1, corr_hidden=16, corr_width=16, hidden=32, heads=2, depth=1, virtual_tracks=4,
)  # fmt: skip
PARTS = ("encode", "correlate", "update")


@dataclass(frozen=True)
class Measurement:
    """One row of the table.

    Attributes:
        name: What was measured.
        tracks: Number of tracks.
        frames_per_second: New images per second, in the steady state.
        p50: Median time of a call that answers, ms.
        p95: 95th percentile of the same, ms.
        shares: Share of the time spent in encoder, correlation and transformer.
        memory: Resident memory of the whole process at the end, MB.
    """

    name: str
    tracks: int
    frames_per_second: float
    p50: float
    p95: float
    shares: dict[str, float]
    memory: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``bench``."""
    parser.add_argument(
        "--weights", default="", help="weights to run; by default full-size, untrained (as fast)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--tracks", type=int, nargs="+", default=[100, 1000], help="numbers of tracks")
    parser.add_argument("--size", type=int, nargs=2, default=[512, 384], metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--steps", type=int, default=3, help="updates of half a window to time")
    parser.add_argument("--images", type=int, default=10_000, help="images of the memory test")
    parser.add_argument(
        "--scene-images",
        type=int,
        default=5400,
        help="images of the 3D test (54000: 30 minutes at 30 Hz; 0: none)",
    )
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of the tables")


@torch.no_grad()
def run(args: argparse.Namespace) -> int:
    """Measure, print a Markdown table and write it, with the numbers as JSON."""
    device = pick_device(args.device)
    model = load_model(args.weights, device=args.device) if args.weights else CoTracker3().eval().to(device)
    width, height = args.size
    bar = tqdm(total=3 * len(args.tracks) + 1 + (device.type == "cpu"), desc="bench", unit="case")
    rows: list[Measurement] = []

    def add(row: Measurement) -> Measurement:
        rows.append(row)
        bar.update()
        return row

    few, window = args.tracks[0], model.config.window
    size = (width, height)
    windowed = window + window // 2 * args.steps
    if device.type == "cpu":
        add(_published(model, few, size, args.steps))
    for tracks in args.tracks:
        room = TrackerConfig(input_width=width, input_height=height, max_tracks=max(tracks, 1))
        half = replace(room, update_every=window // 2)
        add(_stream(f"update_every {window // 2}, 6 iterations", half, model, tracks, size, windowed))
        single = replace(room, update_every=1, iterations=1, revise=0)
        add(_stream("update_every 1, 1 iteration", single, model, tracks, size, window + 8))
    rough = CoTracker3(model.config).eval().to(device, torch.bfloat16)
    rough.load_state_dict(model.state_dict())
    half = TrackerConfig(window // 2, input_width=width, input_height=height)
    add(_stream(f"update_every {window // 2}, 6 iterations, bf16", half, rough, few, size, windowed))
    for tracks in args.tracks:
        add(_stream("klt", TrackerConfig(), None, tracks, size, window + 100))
    growth = _growth(args.images)
    node = _node_overhead(max(args.tracks))
    shipped = [_default_speed("auto"), _default_speed("fp32"), _default_speed("auto", (640, 480), 500)]
    scene = _scene_speed(args.scene_images)
    bar.close()
    text = _table(rows, growth, node, shipped, scene, device)
    print(text)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "bench.md").write_text(text + "\n")
    numbers = {
        "rows": [asdict(row) for row in rows],
        "growth": growth,
        "node": node,
        "default": shipped,
        "scene": scene,
    }
    (args.out / "bench.json").write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


def _stream(
    name: str,
    config: TrackerConfig,
    model: CoTracker3 | None,
    tracks: int,
    size: tuple[int, int],
    images: int,
) -> Measurement:
    """Time a tracker (KLT without a network) over images, after a window's worth to warm up."""
    tracker: PointTracker = StreamTracker(model, config) if model else KltTracker(config)
    frames = moving_picture(size)
    tracker.add_points(spread_queries(size, tracks))
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]  # to and fro, so that nothing jumps
    warm = model.config.window if model else 16
    answering: list[float] = []
    with _timed_parts(model) as parts:
        begin = 0.0
        for index in range(images):
            if index == warm:
                parts.update(dict.fromkeys(PARTS, 0.0))
                begin = time.perf_counter()
            before = time.perf_counter()
            answers = tracker.track(frames[order[index % len(order)]], stamp=index)
            if index >= warm and answers:
                answering.append(time.perf_counter() - before)
        total = time.perf_counter() - begin
    shares = {part: seconds / total for part, seconds in parts.items()} if model else {}
    return Measurement(name, tracks, (images - warm) / total, *_percentiles(answering), shares, _resident())


def _published(model: CoTracker3, tracks: int, size: tuple[int, int], steps: int) -> Measurement:
    """Time the published protocol's way of doing the same."""
    frames = torch.from_numpy(moving_picture(size)).permute(0, 3, 1, 2).float()
    queries = torch.from_numpy(spread_queries(size, tracks))
    protocol = PublishedProtocol(model, torch.nn.functional.pad(queries, (1, 0)))
    half = model.config.window // 2
    window = frames[[*range(half), *range(half - 1, -1, -1)]]
    taken = []
    with published_layers():
        protocol.step(window)
        for _ in range(steps):
            before = time.perf_counter()
            protocol.step(window)
            taken.append(time.perf_counter() - before)
    rate = half * steps / sum(taken)
    return Measurement(
        "published protocol, 6 iterations", tracks, rate, *_percentiles(taken), {}, _resident()
    )


@contextmanager
def _timed_parts(model: CoTracker3 | None) -> Iterator[dict[str, float]]:
    """Add up the time spent in the parts of a network."""
    seconds = dict.fromkeys(PARTS, 0.0)
    if model is None:
        yield seconds
        return

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            before = time.perf_counter()
            result = function(*args, **kwargs)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[part] += time.perf_counter() - before
            return result

        return call

    for part in PARTS:
        setattr(model, part, timed(part, getattr(model, part)))
    try:
        yield seconds
    finally:
        for part in PARTS:
            delattr(model, part)


def _growth(images: int) -> dict[str, float]:
    """Resident memory after 200 images and after many, MB, with points coming and going."""
    torch.manual_seed(0)
    config = TrackerConfig(update_every=1, iterations=1, revise=0, input_width=0, input_height=0)
    tracker = StreamTracker(CoTracker3(TINY).eval(), config)
    frames = moving_picture((64, 64))
    tracker.add_points(spread_queries((64, 64), 16))
    sizes = {}
    for index in tqdm(range(images + 1), desc="memory", unit="image"):
        tracker.track(frames[index % len(frames)], stamp=index)
        if index % 10 == 0:
            tracker.remove(tracker.ids[:1])
            tracker.add_points([[32.0, 32.0]])
        if index in (200, images):
            sizes[f"after {index}"] = _resident()
    return sizes


def _node_overhead(tracks: int) -> dict[str, float]:
    """What the tracker node adds to KLT on VGA images, ms; nothing where there is no ROS."""
    if importlib.util.find_spec("rclpy") is None or importlib.util.find_spec("cotracker_ros.msg") is None:
        return {}
    command = [sys.executable, "-m", "cotracker_ros.nodes.overhead", str(tracks)]
    return {"tracks": tracks} | _run(command)


def _default_speed(
    precision: str, size: tuple[int, int] = default_speed.SIZE, tracks: int = default_speed.TRACKS
) -> dict[str, Any]:
    """Speed and memory of the shipped network, in a process of its own."""
    options = ["--precision", precision, "--size", *map(str, size), "--tracks", str(tracks)]
    measured = _run([sys.executable, "-m", "cotracker_ros.evaluation.default_speed", "default", *options])
    return {"size": size, "tracks": tracks, "precision": precision} | measured


def _scene_speed(images: int) -> dict[str, float]:
    """Speed and memory of everything in 3D, in a process of its own; nothing for no images."""
    if not images:
        return {}
    command = [sys.executable, "-m", "cotracker_ros.evaluation.scene_speed", str(images)]
    return _run(command, {"OMP_NUM_THREADS": "1"})  # threads on one core only wait for each other


def _run(command: list[str], environment: dict[str, str] | None = None) -> dict[str, float]:
    """Run a measurement that prints JSON, with some more variables in its environment."""
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, env=variables)
    if done.returncode:
        raise RuntimeError(f"{command[2]} could not measure: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    p50, p95 = np.percentile(np.array(seconds) * 1e3, [50, 95])
    return float(p50), float(p95)


def _resident() -> float:
    return psutil.Process().memory_info().rss / 1e6


def _table(
    rows: list[Measurement],
    growth: dict[str, float],
    node: dict[str, float],
    shipped: list[dict[str, Any]],
    scene: dict[str, float],
    device: torch.device,
) -> str:
    base = rows[0].frames_per_second
    lines = [
        f"{platform.machine()}, {psutil.cpu_count(logical=True)} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, device {device}; ratio: frames/s over the first row's",
        "",
        "| tracker | tracks | frames/s | ratio | p50 ms | p95 ms | encode / correlate / update | RSS MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        shares = " / ".join(f"{100 * row.shares[part]:.0f} %" for part in PARTS) if row.shares else ""
        lines.append(
            f"| {row.name} | {row.tracks} | {row.frames_per_second:.2f} | {row.frames_per_second / base:.2f} "
            f"| {row.p50:.1f} | {row.p95:.1f} | {shares} | {row.memory:.0f} |"
        )
    lines += ["", "Memory, MB: " + ", ".join(f"{name} images {size:.0f}" for name, size in growth.items())]
    lines += ["", *map(_shipped_line, shipped)]
    if scene:
        lines += [
            "",
            f"3D on one core, 640x480 at 30 Hz, {scene['tracks']:.0f} tracks (lifting, odometry, bodies, "
            f"map): p50 {scene['p50 ms']:.1f} ms, p95 {scene['p95 ms']:.1f} ms an image; after "
            f"{scene['images'] / 10 / 1800:.1f} and {scene['images'] / 1800:.1f} minutes "
            f"{scene['map points after a tenth']:.0f} and {scene['map points after all']:.0f} points in the "
            f"map, memory {scene['memory MB after a tenth']:.0f} and {scene['memory MB after all']:.0f} MB",
        ]
    if node:
        lines += [
            "",
            f"Node, 640x480 rgb8, {node['tracks']:.0f} tracks, image published to tracks received, less the "
            f"tracker's own time: p50 {node['overhead p50 ms']:.1f} ms, p95 {node['overhead p95 ms']:.1f} ms "
            f"(KLT itself: {node['tracker p50 ms']:.1f}, {node['tracker p95 ms']:.1f})",
        ]
    return "\n".join(lines)


def _shipped_line(row: dict[str, Any]) -> str:
    width, height = row["size"]
    return (
        f"Shipped network, {width}x{height}, {row['tracks']} tracks, precision {row['precision']}: "
        f"{row['images/s']:.1f} images/s, p50 {row['p50 ms']:.1f} ms, p95 {row['p95 ms']:.1f} ms, "
        f"memory in all {row['memory MB']:.0f} MB"
    )
