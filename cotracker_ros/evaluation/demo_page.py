"""The words and numbers of the demonstration's report."""

from __future__ import annotations

import math
import os
import platform
import textwrap
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cotracker_ros
from cotracker_ros.evaluation.demo_run import DemoRun
from cotracker_ros.evaluation.recorded import RecordedRun
from cotracker_ros.evaluation.report import Report, Section, Table, Tile, TileRow
from cotracker_ros.evaluation.summary import LatencySummary, RunSummary
from cotracker_ros.evaluation.tapvid import METRIC_SIZE, THRESHOLDS
from cotracker_ros.evaluation.tracking3d import ErrorSummary

_KLT_NOTICE = (
    "These tracks were made by KLT (pyramidal Lucas-Kanade), which two cores run live beside player, lifter "
    "and recorder. KLT loses a point at the first occlusion and never finds it again, and it drifts slowly: "
    "the accuracy below is that of the fast fallback, not of the network that is the default elsewhere. Give "
    "--weights default --rate 0.25 to see that."
)
_MANY_DROPPED = 0.2  # share of the images above which the report warns
_LIBRARIES = ("numpy", "opencv-python-headless", "torch", "rosbags", "av", "rclpy")


def page_of_run(
    demo: DemoRun,
    run: RecordedRun,
    summary: RunSummary,
    image_size: tuple[int, int],
    figures: Mapping[str, Path],
) -> Report:
    """Put together what the page says about a run."""
    width, height = image_size
    rows = [_speed_tiles(summary)]
    sections = [_speed_section(demo, run, summary, figures)]
    if summary.tapvid is not None:
        rows.insert(0, _accuracy_tiles(summary))
        sections.insert(0, _accuracy_section(demo, summary, figures))
    else:
        sections.append(Section("Visibility", [_VISIBILITY], [figures["visibility"]]))
    if "top_view" in figures:
        sections.insert(1, _space_section(summary, figures))
    sections += [_files_section(demo), _settings_section(demo)]
    return Report(
        title="Points followed, live",
        subtitle=(
            f"cotracker_ros {cotracker_ros.__version__} on {demo.name}: {summary.images} images of "
            f"{width} × {height} px in {summary.seconds:.1f} s, played at {demo.rate:g}× speed "
            f"through the real nodes over DDS."
        ),
        notices=notices(demo, run, summary),
        rows=rows,
        video="overlay.mp4",
        sections=sections,
    )


def notices(demo: DemoRun, run: RecordedRun, summary: RunSummary) -> list[str]:
    """What must be known before the numbers are read."""
    tracker = demo.parameters["tracker"]
    said = [_KLT_NOTICE] if uses_klt(tracker["backend"], tracker["weights"]) else []
    if summary.dropped > _MANY_DROPPED * summary.images:
        said.append(
            f"The tracker answered only {summary.answered} of {summary.images} images, and the accuracy "
            "suffers from that: this machine is too slow for it, or too busy. Play more slowly (--rate 0.2)."
        )
    diagnosed = run.diagnostics.get("tracker", {})
    if int(diagnosed.get("images dropped, bad", 0)):
        said.append(f"The tracker could not use some images. {diagnosed.get('last event', '')}")
    return said


def terminal_table(demo: DemoRun, run: RecordedRun, summary: RunSummary) -> str:
    """The headline numbers, one a line, after what must be known before."""
    rows = [_speed_tiles(summary)]
    if summary.tapvid is not None:
        rows.insert(0, _accuracy_tiles(summary))
    lines = [textwrap.fill(notice, 100) for notice in notices(demo, run, summary)]
    for row in rows:
        lines.append(row.title)
        lines += [f"  {tile.label:<28}{tile.value:>8} {tile.unit}".rstrip() for tile in row.tiles]
    return "\n".join(lines)


def uses_klt(backend: str, weights: str) -> bool:
    """Whether KLT tracks in the demo: asked for, or because no weights are named."""
    return backend == "klt" or (backend == "auto" and not weights)


def number(value: float, digits: int = 1) -> str:
    """A number for people; a dash where there is none."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "–"


def _accuracy_tiles(summary: RunSummary) -> TileRow:
    assert summary.tapvid is not None
    tapvid = summary.tapvid
    tiles = [
        Tile("Average Jaccard (AJ)", number(100 * tapvid["average_jaccard"]), "%", "position and visibility"),
        Tile(
            "δ avg",
            number(100 * tapvid["average_pts_within_thresh"]),
            "%",
            "position of the points that can be seen",
        ),
        Tile(
            "Occlusion accuracy (OA)",
            number(100 * tapvid["occlusion_accuracy"]),
            "%",
            "visible or not: said rightly",
        ),
    ]
    if summary.accuracy_3d is not None:
        measured = summary.accuracy_3d.measured
        tiles.append(Tile("3D error, median", number(measured.median_cm), "cm", "where depth was measured"))
        tiles.append(Tile("3D error, 95 %", number(measured.p95_cm), "cm", "where depth was measured"))
    return TileRow("Accuracy against the exact truth", tiles)


def _speed_tiles(summary: RunSummary) -> TileRow:
    latency = summary.latency
    share = 100 * summary.dropped / max(summary.images, 1)
    return TileRow(
        "Latency from image published to 2D tracks received",
        [
            Tile("Latency p50", number(latency.p50), "ms", "half of the images"),
            Tile("Latency p95", number(latency.p95), "ms", "19 of 20 images"),
            Tile("Latency p99", number(latency.p99), "ms", "99 of 100 images"),
            Tile(
                "Images dropped",
                str(summary.dropped),
                f"of {summary.images}",
                f"{number(share)} % without an answer",
            ),
        ],
    )


_VISIBILITY = "How many of the followed points the tracker calls visible, image by image."


def _accuracy_section(demo: DemoRun, summary: RunSummary, figures: Mapping[str, Path]) -> Section:
    assert summary.tapvid is not None and demo.truth is not None
    tapvid = summary.tapvid
    header = ["threshold", *(f"{threshold} px" for threshold in THRESHOLDS), "average"]
    names = (("within the threshold (δ)", "pts_within"), ("Jaccard", "jaccard"))
    averages = (tapvid["average_pts_within_thresh"], tapvid["average_jaccard"])
    rows = [
        [
            title,
            *(f"{number(100 * tapvid[f'{key}_{threshold}'])} %" for threshold in THRESHOLDS),
            f"{number(100 * average)} %",
        ]
        for (title, key), average in zip(names, averages, strict=True)
    ]
    return Section(
        "How accurate in the image",
        [
            f"{summary.points} points that can be seen in the first image were asked for there, over the "
            "tracker's service, and compared with their exact positions in every later image: also where "
            "they pass behind something, leave the image, or turn away.",
            "The measures are those of TAP-Vid, in its 'query first' way. A position counts when it is "
            f"within 1, 2, 4, 8 or 16 px at {METRIC_SIZE[0]}×{METRIC_SIZE[1]}; δ is the share of the visible "
            "points for which that holds, and Jaccard also punishes visible points that were given up and "
            "hidden points that were called visible. An image without an answer counts with the answer "
            "before it, because that is what a robot has at that moment.",
        ],
        [figures["errors"], figures["visibility"]],
        Table(header, rows),
    )


def _space_section(summary: RunSummary, figures: Mapping[str, Path]) -> Section:
    if summary.accuracy_3d is None:
        return Section(
            "Where the points are in space",
            ["Positions with measured depth, seen from above: dots stand still, lines are what moved."],
            [figures["top_view"]],
        )
    accuracy = summary.accuracy_3d
    moving = summary.accuracy_moving
    assert moving is not None
    rows = [
        _error_row("measured", accuracy.measured),
        _error_row("measured, on moving things", moving.measured),
        _error_row("held through occlusions and holes", accuracy.held),
        _error_row("all", accuracy.all),
    ]
    return Section(
        "How accurate in space",
        [
            "The distance between a 3D track and its true position in the world frame. 'Measured' positions "
            "come from the depth image of the same instant; 'held' ones stay where they were last measured "
            "while a point is hidden or its depth is missing, so they are wrong for what moves on meanwhile. "
            f"{number(100 * accuracy.coverage)} % of the points that can be seen have a 3D position.",
        ],
        [figures["errors_3d"], figures["top_view"]],
        Table(["depth", "positions", "median [cm]", "95 % below [cm]"], rows),
    )


def _error_row(name: str, error: ErrorSummary) -> list[str]:
    return [name, f"{error.count:,}", number(error.median_cm), number(error.p95_cm)]


def _speed_section(
    demo: DemoRun, run: RecordedRun, summary: RunSummary, figures: Mapping[str, Path]
) -> Section:
    rows = [_latency_row("2D tracks", summary.latency, len(run.latency))]
    if summary.latency_3d is not None:
        rows.append(_latency_row("3D tracks", summary.latency_3d, len(run.latency_3d)))
    return Section(
        "How fast",
        [
            "Player, tracker, lifter and recorder are separate processes. The clock starts when the player "
            "hands an image to DDS and stops when the tracks of that image arrive at the recorder: "
            "transport, decoding, tracking and transport back are all in it. The recorder also receives "
            "every image, so it takes its share of this machine.",
            f"{summary.answered} of {summary.images} images were answered. An image is dropped when newer "
            "ones arrive before the tracker gets to it: late answers are worse for a robot than none.",
        ],
        [figures["latency"]],
        Table(["", "answers", "p50 [ms]", "p95 [ms]", "p99 [ms]"], rows),
    )


def _latency_row(name: str, latency: LatencySummary, count: int) -> list[str]:
    return [name, str(count), number(latency.p50), number(latency.p95), number(latency.p99)]


def _files_section(demo: DemoRun) -> Section:
    descriptions = {
        "overlay.mp4": "the images with their tracks",
        "cloud.ply": "coloured points: the map of what stands still",
        "output": "MCAP bag with every topic that was published (an overlay is only published to listeners)",
        "plots": "the plots of this page",
        "summary.json": "the numbers of this page",
        "arrivals.csv": "when each message was published and received",
        "parameters.yaml": "parameters of the nodes",
        "logs": "what the nodes said",
    }
    rows = [[name, text] for name, text in descriptions.items() if (demo.output / name).exists()]
    topics = [f"{topic} ({count:,})" for topic, count in sorted(demo.topics.items()) if count]
    rows.append(["recorded topics", ", ".join(topics)])
    return Section("What lies beside this page", [], [], Table(["file", "content"], rows))


def _settings_section(demo: DemoRun) -> Section:
    rows = [
        [node, ", ".join(f"{name}: {value}" for name, value in parameters.items() if name != "qos_overrides")]
        for node, parameters in demo.parameters.items()
    ]
    rows += [
        ["machine", f"{_processor()}, {os.cpu_count()} cores, {_memory()}"],
        ["system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"],
        [
            "ROS",
            os.environ.get("ROS_DISTRO", "unknown"),
        ],
        ["libraries", ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)],
    ]
    return Section(
        "Settings and machine",
        ["Parameters that differ from the nodes' defaults; everything else is as shipped."],
        [],
        Table(["", "value"], rows),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
