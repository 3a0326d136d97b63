"""What the pipeline said of a rendered sequence, against its exact truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.scene_metrics import (
    MOVING_ABOVE,
    Assignment,
    MotionFlags,
    PoseConsistency,
    body_assignment,
    carried_along,
    median_p95,
    motion_flags,
    point_speeds,
    pose_consistency,
    pose_errors,
)
from cotracker_ros.evaluation.scene_run import SceneRun
from cotracker_ros.evaluation.tracking3d import Tracking3DMetrics, tracking3d_metrics
from cotracker_ros.evaluation.trajectory_metrics import TrajectoryErrors, trajectory_errors
from cotracker_ros.reconstruction.scene import Odometry, OdometryState, RigidBody, SceneUpdate
from cotracker_ros.reconstruction.types import DepthSource, PointMotion
from cotracker_ros.synthetic.motion import invert
from cotracker_ros.synthetic.sequences import RgbdSequence

_SLID = 1 / 64  # of the image's width; a track further from its point follows something else
_SETTLED = 0.5  # s; a point must have moved, and been followed, for so long before it should be in a body


@dataclass(frozen=True)
class OdometryScore:
    """How exact the camera's pose by the tracks is.

    Attributes:
        errors: Of all poses that were given, whatever their state.
        images: Images of the recording.
        tracking: Share of the images whose pose was measured.
        lost: Share of the images whose pose is only a guess.
        consistency: Errors against stated covariances while TRACKING.
    """

    errors: TrajectoryErrors
    images: int
    tracking: float
    lost: float
    consistency: PoseConsistency


@dataclass(frozen=True)
class BodyScore:
    """How well one true body was found.

    Attributes:
        name: Of the body.
        precision: See `BodyAssignment`.
        recall: See `BodyAssignment`.
        switches: See `BodyAssignment`.
        ids: How many bodies it was matched with.
        translation: Median and 95th percentile of the error of the pose since first seen, cm.
        rotation: The same of the angle, degrees.
        predicted_translation: The same as `translation`, of poses carried on while it was not measured.
        consistency: Errors against stated covariances of measured poses.
    """

    name: str
    precision: float
    recall: float
    switches: int
    ids: int
    translation: tuple[float, float]
    rotation: tuple[float, float]
    predicted_translation: tuple[float, float]
    consistency: PoseConsistency


@dataclass(frozen=True)
class SceneScore:
    """Everything about one run over one sequence.

    Attributes:
        points: Errors of the 3D tracks in the fixed frame.
        slid: Share of the tracks said to be visible that have slid from their point to something else; they
            count among the errors of `points`, not among flags and members.
        flags: Speed flags.
        odometry: The camera's pose by the tracks; None if it was not given.
        bodies: One for each true body that moved.
        precision: Of all memberships in bodies, see `Assignment`.
        recall: Of all tracks that should be members, see `Assignment`.
        false_bodies: Bodies that were never matched with a true one.
        milliseconds: Median and 95th percentile of the processor time for lifting, odometry, bodies and
            map, an image.
    """

    points: Tracking3DMetrics
    slid: float
    flags: MotionFlags
    odometry: OdometryScore | None
    bodies: tuple[BodyScore, ...]
    precision: float
    recall: float
    false_bodies: int
    milliseconds: tuple[float, float]


def score_scene(sequence: RgbdSequence, run: SceneRun) -> SceneScore:
    """Compare a run with the truth.

    A track is judged by the point that its first position shows; one that begins within 2 px of the outline
    of a body may be of either side and is left out. What has slid to something else is not judged by what
    its point does.

    Raises:
        ValueError: The run has no answer.
    """
    if not run.updates:
        raise ValueError(f"no image of {sequence.name} was lifted: {run.lifter.last_event}")
    image_of = {stamp: k for k, stamp in enumerate(sequence.stamps.tolist())}
    rows = _Rows.of(run, image_of)
    truth = sequence.truth_of(rows.first_xy, rows.first_image.tolist())
    clear = sequence.clear_of_outlines(rows.first_xy, rows.first_image.tolist())
    clear &= np.isfinite(truth.xyz[0]).all(axis=1)
    fixed_from_world = invert(world_from_fixed(run, sequence.camera_poses, image_of))
    true_xyz = truth.xyz @ fixed_from_world[:3, :3].T + fixed_from_world[:3, 3]
    visible = rows.visible & clear
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(rows.xy - truth.xy, axis=-1)
        slid = visible & ~(distance <= _SLID * sequence.view.width)
    speed = point_speeds(truth.xyz, sequence.stamps)
    settled = _settled(rows, speed, sequence.stamps) & ~slid
    assignment = body_assignment(truth.body, np.where(slid, 0, rows.assigned), settled, clear)
    bodies = _body_scores(sequence, run.updates, image_of, fixed_from_world, assignment)
    matched = set(np.unique(assignment.matched).tolist())
    every = {body.id for update in run.updates for body in _bodies(update)}
    return SceneScore(
        points=tracking3d_metrics(
            true_xyz[:, clear],
            (truth.visible & rows.asked)[:, clear],
            rows.xyz[:, clear],
            rows.source[:, clear],
        ),
        slid=float(slid.sum() / max(visible.sum(), 1)),
        flags=motion_flags(rows.motion, speed, clear & ~slid & (rows.source != DepthSource.NONE)),
        odometry=score_odometry(sequence.camera_poses, sequence.stamps, run),
        bodies=bodies,
        precision=assignment.precision,
        recall=assignment.recall,
        false_bodies=len(every - matched),
        milliseconds=median_p95(np.array(run.seconds) * 1e3),
    )


def world_from_fixed(
    run: SceneRun, camera_poses: NDArray[np.float64], image_of: dict[int, int]
) -> NDArray[np.float64]:
    """Return (4, 4) where the fixed frame of a run truly is: by its first pose, or the world where TF knows.

    Args:
        run: The run.
        camera_poses: (T, 4, 4) true poses of the camera in the world.
        image_of: Number of the image by stamp.
    """
    odometry = next((update.odometry for update in run.updates if update.odometry is not None), None)
    if odometry is None or run.lifter.config.camera_pose != "tracks":
        return np.eye(4)
    return np.asarray(camera_poses[image_of[odometry.stamp]] @ invert(odometry.pose))


def score_odometry(
    camera_poses: NDArray[np.float64], stamps: NDArray[np.int64], run: SceneRun
) -> OdometryScore | None:
    """Compare the poses of the camera (T, 4, 4) at stamps (T,) with odometry; None where TF gave it."""
    given = {update.odometry.stamp: update.odometry for update in run.updates if update.odometry is not None}
    if not given or run.lifter.config.camera_pose != "tracks":
        return None
    poses = np.full((len(stamps), 4, 4), np.nan)
    for k, stamp in enumerate(stamps.tolist()):
        if stamp in given:
            poses[k] = given[stamp].pose
    odometry: list[tuple[int, Odometry]] = [
        (k, given[stamp]) for k, stamp in enumerate(stamps.tolist()) if stamp in given
    ]
    start, first = odometry[0]
    true = first.pose @ np.linalg.inv(camera_poses[start]) @ camera_poses
    measured = [(k, item) for k, item in odometry if item.state == OdometryState.TRACKING and k != start]
    chosen = [k for k, _ in measured]
    covariances = np.array([item.covariance for _, item in measured]).reshape(-1, 6, 6)
    states = Counter(item.state for _, item in odometry)
    return OdometryScore(
        errors=trajectory_errors(camera_poses, poses, stamps),
        images=len(stamps),
        tracking=states[OdometryState.TRACKING] / len(stamps),
        lost=states[OdometryState.LOST] / len(stamps),
        consistency=pose_consistency(pose_errors(poses[chosen], true[chosen]), covariances),
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    """The answers laid out over T images and N tracks; what was not answered is NONE, UNKNOWN and 0."""

    first_xy: NDArray[np.float64]
    first_image: NDArray[np.int64]
    asked: NDArray[np.bool_]
    xy: NDArray[np.float64]
    visible: NDArray[np.bool_]
    xyz: NDArray[np.float64]
    source: NDArray[np.uint8]
    motion: NDArray[np.uint8]
    assigned: NDArray[np.int64]

    @classmethod
    def of(cls, run: SceneRun, image_of: dict[int, int]) -> _Rows:
        """Lay out a run."""
        ids = np.unique(np.concatenate([tracks.ids for tracks in run.tracks]))
        shape = (len(image_of), len(ids))
        rows = cls(
            np.full((len(ids), 2), np.nan),
            np.full(len(ids), -1, np.int64),
            np.zeros(shape, np.bool_),
            np.full((*shape, 2), np.nan),
            np.zeros(shape, np.bool_),
            np.full((*shape, 3), np.nan),
            np.full(shape, DepthSource.NONE, np.uint8),
            np.full(shape, PointMotion.UNKNOWN, np.uint8),
            np.zeros(shape, np.int64),
        )
        for tracks in run.tracks:
            at, k = np.searchsorted(ids, tracks.ids), image_of[tracks.stamp]
            new = rows.first_image[at] < 0
            rows.first_xy[at[new]], rows.first_image[at[new]] = tracks.xy[new], k
            rows.asked[k, at], rows.xy[k, at], rows.visible[k, at] = True, tracks.xy, tracks.visible
        for update in run.updates:
            lifted = update.tracks
            at, k = np.searchsorted(ids, lifted.ids), image_of[lifted.stamp]
            rows.xyz[k, at], rows.source[k, at], rows.motion[k, at] = lifted.xyz, lifted.source, lifted.motion
            for body in _bodies(update):
                rows.assigned[k, np.searchsorted(ids, body.members)] = body.id
        return rows


def _bodies(update: SceneUpdate) -> tuple[RigidBody, ...]:
    return update.bodies.bodies if update.bodies is not None else ()


def _settled(rows: _Rows, speed: NDArray[np.float64], stamps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(T, N): points that are measured now, and that moved and were measured through the last half second."""
    measured = rows.source == DepthSource.MEASURED
    good = (measured & (speed > MOVING_ABOVE)).cumsum(axis=0)
    settled = np.zeros(measured.shape, np.bool_)
    for k, stamp in enumerate(stamps.tolist()):
        start = int(np.searchsorted(stamps, stamp - round(_SETTLED * 1e9)))
        if stamp - int(stamps[0]) >= _SETTLED * 1e9 and start > 0:
            # A hole in the depth for an image or so does not begin the half second anew.
            settled[k] = (good[k] - good[start - 1] >= 0.8 * (k - start + 1)) & measured[k]
    return settled & (speed > MOVING_ABOVE)


def _body_scores(
    sequence: RgbdSequence,
    updates: Sequence[SceneUpdate],
    image_of: dict[int, int],
    fixed_from_world: NDArray[np.float64],
    assignment: Assignment,
) -> tuple[BodyScore, ...]:
    scores = []
    for found in assignment.bodies:
        errors, predicted, covariances = [], [], []
        for identity in found.ids:
            if _true_body(assignment, identity) != found.body:
                continue
            history = [
                (image_of[update.tracks.stamp], body)
                for update in updates
                for body in _bodies(update)
                if body.id == identity
            ]
            true = fixed_from_world @ sequence.body_poses[[k for k, _ in history], found.body]
            expected = carried_along(history[0][1].pose, true)
            errors.append(pose_errors(np.array([body.pose for _, body in history]), expected)[1:])
            predicted += [body.predicted for _, body in history[1:]]
            covariances += [body.covariance for _, body in history[1:]]
        error = np.concatenate(errors) if errors else np.zeros((0, 6))
        carried = np.array(predicted, bool)
        centimetres = np.linalg.norm(error[:, :3], axis=1) * 100
        degrees = np.degrees(np.linalg.norm(error[:, 3:], axis=1))
        scores.append(
            BodyScore(
                name=sequence.body_names[found.body],
                precision=found.precision,
                recall=found.recall,
                switches=found.switches,
                ids=len(found.ids),
                translation=median_p95(centimetres[~carried]),
                rotation=median_p95(degrees[~carried]),
                predicted_translation=median_p95(centimetres[carried]),
                consistency=pose_consistency(
                    error[~carried], np.array(covariances).reshape(-1, 6, 6)[~carried]
                ),
            )
        )
    return tuple(scores)


def _true_body(assignment: Assignment, identity: int) -> int:
    """The true body that a body was matched with most often."""
    return int(np.argmax((assignment.matched == identity).sum(axis=0)))
