"""From a recorded run to its files: overlay video, point cloud, plots, numbers and the page about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cotracker_ros.evaluation.demo_page import page_of_run, terminal_table
from cotracker_ros.evaluation.demo_run import DemoRun
from cotracker_ros.evaluation.recorded import Followed, RecordedRun, all_ids, follow, read_run
from cotracker_ros.evaluation.report import write_report
from cotracker_ros.evaluation.summary import RunSummary, summarise
from cotracker_ros.reconstruction.ply import write_ply
from cotracker_ros.reconstruction.types import DepthSource
from cotracker_ros.recordings import Recording
from cotracker_ros.recordings.events import ImageEvent
from cotracker_ros.tracking.types import Tracks
from cotracker_ros.visualization import OverlayDrawer, VideoWriter, plots


def report_run(demo: DemoRun) -> str:
    """Write the overlay, the cloud, the plots, ``summary.json`` and ``report.html`` of a run.

    Returns:
        The headline numbers as a short table for the terminal.

    Raises:
        ValueError: The tracker answered at most one image, or the truth belongs to other images.
    """
    output = demo.output
    run = read_run(output / "output", output / "arrivals.csv")
    stamps, image_size = _write_overlay(demo.recording, run, output / "overlay.mp4")
    if len(run.tracks) < min(2, len(stamps)):
        event = run.diagnostics.get("tracker", {}).get("last event", "").strip() or "it does not say why"
        log = output / "logs" / "tracker.log"
        raise ValueError(
            f"the tracker answered {len(run.tracks)} of {len(stamps)} images: "
            f"{event.splitlines()[0]} (see {log})"
        )
    if demo.truth is not None and not np.array_equal(demo.truth.stamps, stamps):
        raise ValueError("the truth belongs to other images than the recording; remove the sample's folder")
    ids = np.array(demo.truth_ids, np.uint32) if demo.truth is not None else all_ids(run)
    followed = follow(run, stamps, ids)
    summary = summarise(run, followed, stamps, image_size, demo.truth)
    summary.write(output / "summary.json")
    _write_cloud(run, output / "cloud.ply")
    (output / "plots").mkdir(exist_ok=True)
    figures = _plot(run, followed, summary, stamps, demo, output / "plots")
    write_report(output / "report.html", page_of_run(demo, run, summary, image_size, figures))
    return terminal_table(demo, run, summary)


def _write_overlay(
    recording: Recording, run: RecordedRun, path: Path
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Draw the recorded answers over the images of the recording.

    Returns:
        (T,) stamps of all images, and width and height of the last.
    """
    drawer = OverlayDrawer()
    stamps: list[int] = []
    image_size = (0, 0)
    latest: Tracks | None = None
    with VideoWriter(path, _images_per_second(recording)) as video:
        images = (event for event in recording.events() if isinstance(event, ImageEvent))
        for event in tqdm(images, total=recording.summary.images, unit="image", desc="Overlay", disable=None):
            stamps.append(event.stamp)
            size = (event.image.shape[1], event.image.shape[0])
            if len(stamps) > 1 and size != image_size:
                continue  # a video has one size; the tracks of the other images are in the bag
            image_size = size
            # As a robot sees it: without an answer, the one before still holds.
            latest = run.tracks.get(event.stamp, latest)
            image = event.image
            if latest is not None and latest.image_size == size:
                answered = run.latency.get(event.stamp) if latest.stamp == event.stamp else None
                image = drawer.draw(image, latest, _caption(event.stamp - stamps[0], answered))
            video.write(image)
    return np.array(stamps, np.int64), image_size


def _write_cloud(run: RecordedRun, path: Path) -> None:
    """Write the map; without one (nothing is known to stand still) the last 3D positions."""
    if run.map is not None and len(run.map.xyz):
        write_ply(path, run.map.xyz, run.map.rgb)
    elif run.tracks_3d:
        last = run.tracks_3d[max(run.tracks_3d)]
        known = last.source != DepthSource.NONE
        write_ply(path, last.xyz[known], last.rgb[known])


def _images_per_second(recording: Recording) -> float:
    summary = recording.summary
    if summary.images < 2 or not summary.duration > 0:
        return 30.0
    return float(np.clip((summary.images - 1) / summary.duration, 1.0, 120.0))


def _caption(elapsed: int, latency: float | None) -> str:
    answer = "dropped" if latency is None else f"{latency:3.0f} ms"
    return f"{elapsed / 1e9:5.2f} s   {answer}"


def _plot(
    run: RecordedRun,
    followed: Followed,
    summary: RunSummary,
    stamps: NDArray[np.int64],
    demo: DemoRun,
    folder: Path,
) -> dict[str, Path]:
    """Draw what can be drawn; returns the image files by name."""
    seconds = (stamps - stamps[0]) / 1e9
    truth = demo.truth
    latencies = {"2D tracks": run.latency, "3D tracks": run.latency_3d}
    period = 1000 * summary.seconds / max(summary.images - 1, 1) / demo.rate
    figures = {
        "latency": plots.plot_latency(
            {name: np.array(list(values.values())) for name, values in latencies.items() if values}, period
        ),
        "visibility": plots.plot_visibility(
            seconds, followed.visible, truth.visible if truth is not None else None
        ),
    }
    if truth is not None:
        errors = np.linalg.norm(followed.xy - truth.xy, axis=-1)
        errors[~truth.visible] = np.nan
        figures["errors"] = plots.plot_errors(seconds[1:], errors[1:], followed.visible[1:])
    if run.tracks_3d:
        # Only what was measured: a point that is held stays where it was, whatever moves.
        measured = np.where((followed.source == DepthSource.MEASURED)[..., None], followed.xyz, np.nan)
        frame_id = next(iter(run.tracks_3d.values())).frame_id
        figures["top_view"] = plots.plot_top_view(
            measured,
            followed.rgb,
            true_xyz=truth.xyz if truth is not None else None,
            camera=truth.camera if truth is not None else None,
            plane=(0, 2) if "optical" in frame_id or "camera" in frame_id else (1, 0),
        )
        if truth is not None:
            distance = np.linalg.norm(followed.xyz - truth.xyz, axis=-1)[1:]
            source = followed.source[1:]
            figures["errors_3d"] = plots.plot_errors_3d(
                {
                    name: distance[(source == kind) & np.isfinite(distance)]
                    for name, kind in (("measured", DepthSource.MEASURED), ("held", DepthSource.HELD))
                }
            )
    paths = {name: folder / f"{name}.png" for name in figures}
    for name, figure in figures.items():
        plots.save(figure, paths[name])
    return paths
