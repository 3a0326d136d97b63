"""Points, poses and bodies as Markdown tables, and all their numbers for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cotracker_ros.evaluation.recorded_scenes import RecordedScore, RgbdOdometryScore
from cotracker_ros.evaluation.results import finite
from cotracker_ros.evaluation.scene_scores import BodyScore, OdometryScore, SceneScore
from cotracker_ros.evaluation.tables import NOTHING, markdown_table, percent
from cotracker_ros.evaluation.tracking3d import ErrorSummary
from cotracker_ros.evaluation.trajectory_metrics import STRETCH_SECONDS, TrajectoryErrors

OPEN3D = "Open3D, hybrid RGB-D odometry"

_READING = """\
The same 2D tracks are lifted twice: with the camera's pose from the tracks themselves and from transforms. \
Pairs are median / 95th percentile. Errors of tracks are in the fixed frame, so that they include the drift \
of the pose; they also include tracks that slid from their point (*slid*: of those said to be visible), \
which flags and members are not judged by. *Moves found*, *static found*: share of the points that truly \
move (above 5 cm/s) or stand (below 1 cm/s) that are flagged so. *Beyond 3σ*: share of the measured poses \
whose error is larger than their covariance allows in 99.73 % of all cases; *NEES*: median squared error \
over covariance and dimensions, 0.89 if that is honest. *Recall*: of the points that moved and were measured \
for half a second, those in the right body; *precision*: of a body's members, those of the true body. \
*Core ms*: processor time of lifting, odometry, bodies and map, on top of the tracks."""


@dataclass(frozen=True)
class RenderedResult:
    """One tracker on one rendered sequence.

    Attributes:
        sequence: Name of the sequence.
        about: What happens in it.
        size: Width and height, px.
        images: Number of its images.
        rate: Images per second.
        tracker: What the user called the tracker.
        scores: By the source of the camera's pose.
    """

    sequence: str
    about: str
    size: tuple[int, int]
    images: int
    rate: float
    tracker: str
    scores: dict[str, SceneScore]


@dataclass(frozen=True)
class RecordedResult:
    """All trackers on one recording of a scene that stands still.

    Attributes:
        name: Of the recording.
        trackers: Scores by tracker and by the source of the camera's pose.
        open3d: Open3D's odometry on the same images; None where Open3D is not installed.
    """

    name: str
    trackers: dict[str, dict[str, RecordedScore]]
    open3d: RgbdOdometryScore | None


@dataclass
class SceneResults:
    """All that was judged of points in space, poses and bodies.

    Attributes:
        rendered: Of rendered sequences.
        recorded: Of whole recordings of scenes that stand still.
    """

    rendered: list[RenderedResult] = field(default_factory=list)
    recorded: list[RecordedResult] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rendered or self.recorded)


def rendered_tables(results: Sequence[RenderedResult]) -> str:
    """All tables of the rendered sequences, with how to read them."""
    about = [
        f"- **{result.sequence}**: {result.about}; {result.images} images of {result.size[0]}x"
        f"{result.size[1]} px at {result.rate:g} Hz"
        for result in {result.sequence: result for result in results}.values()
    ]
    parts = [
        _READING,
        "\n".join(about),
        f"### Tracks in space\n\n{_points(results)}",
        f"### Ego-motion by the tracks\n\n{_odometry(results)}",
        f"### Moving bodies\n\n{_bodies(results)}",
    ]
    return "\n\n".join(parts)


def recorded_table(result: RecordedResult) -> str:
    """The poses and the points of a recording."""
    header = ["tracker", "camera pose", *_POSE_HEADINGS, "measured, cm", "held, cm", "core ms"]
    rows = []
    for tracker, scores in result.trackers.items():
        for source, score in scores.items():
            pose = _pose_cells(score.odometry)
            points = [_summary(score.measured), _summary(score.held)]
            rows.append([tracker, source, *pose, *points, pair(score.milliseconds, 1)])
    if result.open3d is not None:
        cells = [*_trajectory_cells(result.open3d.errors), NOTHING, NOTHING, NOTHING]
        rows.append([OPEN3D, NOTHING, *cells, NOTHING, NOTHING, f"{result.open3d.milliseconds:.0f}"])
    text = markdown_table(header, rows)
    if result.open3d is None:
        text += "\n\nOpen3D's RGB-D odometry is not among them: install `cotracker_ros[dense]`."
    return text


def scenes_json(results: SceneResults) -> dict[str, Any]:
    """Return all numbers as what `json.dump` writes: ``rendered`` and ``recorded`` where there are any."""
    return {name: finite(found) for name, found in asdict(results).items() if found}


def pair(values: tuple[float, float], digits: int = 1) -> str:
    """Median and 95th percentile: 1.2 / 3.4."""
    return " / ".join(number(value, digits) for value in values) if math.isfinite(values[0]) else NOTHING


def number(value: float, digits: int = 1) -> str:
    """1.2, ∞, or a dash."""
    return "∞" if value == math.inf else f"{value:.{digits}f}" if math.isfinite(value) else NOTHING


_POSE_HEADINGS = (
    "path, m",
    "ATE, cm",
    "ATE aligned, cm",
    "drift, cm",
    "drift, %",
    f"drift in {STRETCH_SECONDS:g} s, cm",
    "rotation, °",
    "tracking, %",
    "NEES",
    "beyond 3σ, %",
)


def _pose_cells(score: OdometryScore | None) -> list[str]:
    if score is None:
        return [NOTHING] * len(_POSE_HEADINGS)
    return [
        *_trajectory_cells(score.errors),
        percent(score.tracking),
        number(score.consistency.nees, 2),
        percent(score.consistency.beyond),
    ]


def _trajectory_cells(errors: TrajectoryErrors) -> list[str]:
    return [
        number(errors.path, 2),
        number(errors.rmse * 100),
        number(errors.rmse_aligned * 100),
        number(errors.drift * 100),
        number(errors.drift_percent),
        pair((errors.stretch_drift[0] * 100, errors.stretch_drift[1] * 100)),
        number(errors.rotation, 2),
    ]


def _points(results: Sequence[RenderedResult]) -> str:
    header = ["sequence", "camera pose", "measured, cm", "held, cm", "given, %", "slid, %"]
    header += ["moves found, %", "called static, %", "static found, %", "called moving, %", "core ms"]
    rows = []
    for result, source, score in _each(results):
        flags = score.flags
        shares = (
            flags.moving_found,
            flags.moving_called_static,
            flags.static_found,
            flags.static_called_moving,
        )
        errors = [_summary(score.points.measured), _summary(score.points.held)]
        given = [percent(score.points.coverage), percent(score.slid)]
        cells = [*errors, *given, *map(percent, shares), pair(score.milliseconds)]
        rows.append([_name(result, results), source, *cells])
    return markdown_table(header, rows)


def _odometry(results: Sequence[RenderedResult]) -> str:
    rows = [
        [_name(result, results), source, *_pose_cells(score.odometry)]
        for result, source, score in _each(results)
        if score.odometry is not None
    ]
    return markdown_table(["sequence", "camera pose", *_POSE_HEADINGS], rows)


def _bodies(results: Sequence[RenderedResult]) -> str:
    header = ["sequence", "camera pose", "body", "precision, %", "recall, %", "ids", "switches"]
    header += ["pose, cm", "turn, °", "predicted, cm", "NEES", "beyond 3σ, %"]
    rows = []
    for result, source, score in _each(results):
        begin = [_name(result, results), source]
        rows += [[*begin, body.name, *_body_cells(body)] for body in score.bodies]
        total = f"all, and {score.false_bodies} of nothing" if score.false_bodies else "all"
        cells = [percent(score.precision), percent(score.recall), *[NOTHING] * 7]
        rows.append([*begin, total, *cells])
    return markdown_table(header, rows)


def _body_cells(body: BodyScore) -> list[str]:
    return [
        percent(body.precision),
        percent(body.recall),
        str(body.ids),
        str(body.switches),
        pair(body.translation),
        pair(body.rotation),
        pair(body.predicted_translation),
        number(body.consistency.nees, 2),
        percent(body.consistency.beyond),
    ]


def _each(results: Sequence[RenderedResult]) -> list[tuple[RenderedResult, str, SceneScore]]:
    return [(result, source, score) for result in results for source, score in result.scores.items()]


def _name(result: RenderedResult, results: Sequence[RenderedResult]) -> str:
    """The sequence, and the tracker where there are several."""
    several = len({other.tracker for other in results}) > 1
    return f"{result.sequence}, {result.tracker}" if several else result.sequence


def _summary(errors: ErrorSummary) -> str:
    return pair((errors.median_cm, errors.p95_cm))
