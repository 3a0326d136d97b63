"""Scores of answers that are right by construction, and of answers wrong by a known amount."""

import math

import numpy as np
import pytest

from cotracker_ros.evaluation.scene_run import CAMERA_POSES, SceneRun
from cotracker_ros.evaluation.scene_scores import score_scene
from cotracker_ros.reconstruction import Lifter, TransformBuffer
from cotracker_ros.reconstruction.scene import Odometry, OdometryState, RigidBodies, RigidBody, SceneUpdate
from cotracker_ros.reconstruction.types import DepthSource, PointMotion, Tracks3D
from cotracker_ros.synthetic.sequences import rendered_sequence
from cotracker_ros.tracking.types import TrackFlag, Tracks

SIGMA = 0.01


@pytest.fixture(scope="module")
def sequence():
    return rendered_sequence("occlusion", size=(160, 120), rate=10.0, seconds=2.5)


def chosen(sequence):
    """Pixels of the first image: a grid on the static world, and all that shows the box."""
    rows, columns = np.nonzero(sequence.owner[0] == 1)
    grid = np.stack(np.meshgrid(np.arange(10, 150, 12), np.arange(8, 112, 12)), -1).reshape(-1, 2)
    static = grid[sequence.owner[0][grid[:, 1], grid[:, 0]] == 0]
    return np.concatenate([static, np.column_stack([columns, rows])[::7]]).astype(np.float64)


def perfect_run(sequence, *, offset=(0.0, 0.0, 0.0), camera_offset=(0.0, 0.0, 0.0), static_too=False):
    """Answers from the truth in a frame "odom", which is the first camera's; from image 1 on all are moved
    by `offset` (points, bodies) and `camera_offset` (odometry)."""
    xy = chosen(sequence)
    truth = sequence.truth_of(xy, [0] * len(xy))
    odom_from_world = np.linalg.inv(sequence.camera_poses[0])
    run = SceneRun(Lifter(CAMERA_POSES["tracks"]), TransformBuffer())
    ids = np.arange(5, 5 + len(xy), dtype=np.uint32)
    members = ids if static_too else ids[truth.body == 1]
    flags = np.where(truth.visible, TrackFlag.VISIBLE | TrackFlag.IN_FRAME, 0).astype(np.uint8)
    for k, stamp in enumerate(sequence.stamps.tolist()):
        moved = np.array(offset) * (k > 0)
        common = {"frame": k, "stamp": stamp, "epoch": 0, "ids": ids, "flags": flags[k]}
        rgb, labels = np.zeros((len(xy), 3), np.uint8), ("",) * len(xy)
        ones = np.ones(len(xy), np.float32)
        run.tracks.append(
            Tracks(
                **common,
                newest=stamp,
                image_size=(160, 120),
                revised=False,
                xy=truth.xy[k].astype(np.float32),
                visibility=ones,
                confidence=ones,
                age=np.full(len(xy), k, np.uint32),
                rgb=rgb,
                labels=labels,
            )
        )
        xyz = truth.xyz[k] @ odom_from_world[:3, :3].T + odom_from_world[:3, 3] + moved
        tracks = Tracks3D(
            **common,
            frame_id="odom",
            xyz=xyz.astype(np.float32),
            velocity=np.zeros((len(xy), 3), np.float32),
            sigma=ones * SIGMA,
            source=np.where(truth.visible[k], DepthSource.MEASURED, DepthSource.HELD).astype(np.uint8),
            motion=np.where(truth.body == 1, PointMotion.MOVING, PointMotion.STATIC).astype(np.uint8),
            rgb=rgb,
            labels=labels,
        )
        body_pose = odom_from_world @ sequence.body_poses[k, 1] @ np.diag([-1.0, -1.0, 1.0, 1.0])
        body_pose[:3, 3] += moved
        camera = odom_from_world @ sequence.camera_poses[k]
        camera[:3, 3] += np.array(camera_offset) * (k > 0)
        run.updates.append(SceneUpdate(tracks, odometry(stamp, camera), bodies(k, stamp, body_pose, members)))
        run.seconds.append(0.002)
    return run


def odometry(stamp, pose, state=OdometryState.TRACKING):
    covariance = np.eye(6) * SIGMA**2
    return Odometry(stamp, "odom", "camera", pose, covariance, np.zeros(6), covariance, state, "", 50)


def bodies(k, stamp, pose, members):
    covariance = np.eye(6) * SIGMA**2
    body = RigidBody(
        3, "", pose, covariance, np.zeros(6), covariance, False, 0, members, np.zeros((len(members), 3))
    )
    return RigidBodies(k, stamp, 0, "odom", (body,))


def test_the_truth_scores_perfectly(sequence):
    score = score_scene(sequence, perfect_run(sequence))
    assert score.points.all.count > 1000 and score.points.all.p95_cm < 1e-3 and score.points.coverage == 1.0
    assert score.flags.moving_found == 1.0
    assert score.flags.static_called_moving < 0.2  # the box stands still in the first images
    assert score.odometry.errors.rmse < 1e-9 and score.odometry.tracking == 1.0 and score.odometry.lost == 0
    assert score.odometry.errors.path > 0.05 and score.odometry.consistency.beyond == 0
    (box,) = score.bodies
    assert (box.name, box.precision, box.recall, box.switches, box.ids) == ("box", 1.0, 1.0, 0, 1)
    assert box.translation[1] < 1e-6 and box.rotation[1] < 1e-4 and math.isnan(box.predicted_translation[0])
    assert score.precision == 1.0 and score.recall == 1.0 and score.false_bodies == 0
    assert score.milliseconds == pytest.approx((2.0, 2.0))


def test_known_errors_are_found(sequence):
    run = perfect_run(sequence, offset=(0.0, 0.03, 0.04), camera_offset=(0.02, 0.0, 0.0))
    score = score_scene(sequence, run)
    assert score.points.measured.median_cm == pytest.approx(5.0, abs=0.01)
    assert score.bodies[0].translation == pytest.approx((5.0, 5.0), abs=1e-6)
    assert score.bodies[0].consistency.beyond == 1.0  # 5 sigma
    assert score.odometry.errors.drift == pytest.approx(0.02)
    assert score.odometry.consistency.beyond == 0.0  # 2 sigma
    assert score.odometry.consistency.nees == pytest.approx(4 / 6)
    far = score_scene(sequence, perfect_run(sequence, camera_offset=(0.05, 0.0, 0.0)))
    assert far.odometry.consistency.beyond == 1.0


def test_static_members_and_bodies_of_nothing(sequence):
    score = score_scene(sequence, perfect_run(sequence, static_too=True))
    assert score.recall == 1.0 and 0.1 < score.precision < 0.9
    run = perfect_run(sequence)
    static = run.updates[0].tracks.ids[:4]
    for k, update in enumerate(run.updates):
        run.updates[k] = SceneUpdate(update.tracks, None, bodies(k, 0, np.eye(4), static))
    nothing = score_scene(sequence, run)
    assert nothing.false_bodies == 1 and nothing.recall == 0.0 and nothing.precision == 0.0
    assert nothing.odometry is None


def test_lost_poses_are_not_held_against_the_covariance(sequence):
    run = perfect_run(sequence)
    for k, update in enumerate(run.updates[10:], 10):
        wrong = update.odometry.pose.copy()
        wrong[0, 3] += 1.0
        lost = odometry(update.odometry.stamp, wrong, OdometryState.LOST)
        run.updates[k] = SceneUpdate(update.tracks, lost, update.bodies)
    score = score_scene(sequence, run).odometry
    assert score.tracking == pytest.approx(10 / 25) and score.lost == pytest.approx(15 / 25)
    assert score.errors.drift == pytest.approx(1.0) and score.consistency.beyond == 0.0


def test_a_run_without_answers_is_told(sequence):
    with pytest.raises(ValueError, match="no image of occlusion was lifted"):
        score_scene(sequence, SceneRun(Lifter(CAMERA_POSES["tracks"]), TransformBuffer()))
