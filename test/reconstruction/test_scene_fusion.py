"""Scenes of the real lifter, fused by the real Open3D where it is installed."""

from dataclasses import replace

import numpy as np
import pytest
from dense_scenes import BALL, CAMERA, RADIUS, WALL, pose, view
from lifting_scenes import FRAME, OPTICAL, make_lifter, make_tracks

from cotracker_ros.reconstruction.dense import DenseMap
from cotracker_ros.reconstruction.dense_config import DenseConfig
from cotracker_ros.reconstruction.scene import Odometry, OdometryState, RigidBodies, RigidBody
from cotracker_ros.reconstruction.scene_fusion import SceneFusion

pytest.importorskip("open3d", exc_type=ImportError)

VOXEL = 0.02
POINTS = [[10, 10], [150, 10], [10, 110], [150, 110]]  # on the wall
ZERO = np.zeros((6, 6))


def make_fusion(**lifting):
    lifter = make_lifter(CAMERA, **{"target_frame": "map"} | lifting)
    dense = DenseMap(DenseConfig(VOXEL, 0.08, memory=20, every=1, min_images=1))
    fusion = SceneFusion(dense, lifter)
    fusion.set_camera(CAMERA)
    return fusion, lifter


def feed(fusion, lifter, frame, at, ball=BALL):
    """Give both what the camera saw and return the scene."""
    depth, rgb, _ = view(at, ball)
    lifter.transforms.set("map", OPTICAL, frame * FRAME, at)
    fusion.add_image(frame * FRAME, rgb, OPTICAL)
    fusion.add_depth(frame * FRAME, depth, OPTICAL)
    lifter.add_depth(frame * FRAME, depth, OPTICAL)
    (scene,) = lifter.add_tracks(make_tracks(frame, POINTS), OPTICAL)
    return scene


def ball_body(at):
    spread = np.linspace(-0.7, 0.7, 5) * RADIUS
    x, y = (values.ravel() for values in np.meshgrid(spread, spread))
    points = np.stack([x, y, -np.sqrt(np.maximum(RADIUS**2 - x**2 - y**2, 0))], axis=1)
    members = np.arange(len(points), dtype=np.uint32)
    return RigidBody(1, "", pose(*at), ZERO, np.zeros(6), ZERO, False, 0, members, points)


def test_images_are_fused_where_transforms_say():
    fusion, lifter = make_fusion()
    for frame in range(4):
        scene = feed(fusion, lifter, frame, pose(0.1 * frame, 0, 0))
        assert fusion.add_scene(scene)
    assert (fusion.fused, fusion.skipped) == (4, 0)
    xyz = fusion.dense.mesh().xyz
    error = np.minimum(np.abs(np.linalg.norm(xyz - BALL, axis=1) - RADIUS), np.abs(xyz[:, 2] - WALL))
    assert np.percentile(error, 99) < VOXEL
    assert xyz[:, 0].max() - xyz[:, 0].min() > 2.2  # 2.1 m wide is one view


def test_bodies_and_moving_points_leave_no_ghost():
    fusion, lifter = make_fusion()
    for frame in range(6):
        at = BALL + np.array([0.15 * frame - 0.4, 0, 0])
        scene = feed(fusion, lifter, frame, pose(), at)
        bodies = RigidBodies(frame, frame * FRAME, 0, "map", (ball_body(at),))
        assert fusion.add_scene(replace(scene, bodies=bodies))
    # Of the ball at most its grazing border may be seen.
    assert np.mean(fusion.dense.mesh().xyz[:, 2] < WALL - VOXEL) < 0.01


def test_the_pose_by_the_tracks_counts_where_it_is_asked_for():
    fusion, lifter = make_fusion(camera_pose="tracks", target_frame="odom", fixed_frame="odom")
    scene = feed(fusion, lifter, 0, pose())
    odometry = Odometry(
        0, "odom", OPTICAL, pose(0, 0, 1), ZERO, np.zeros(6), ZERO, OdometryState.TRACKING, "", 4
    )
    assert not fusion.add_scene(replace(scene, odometry=replace(odometry, state=OdometryState.LOST)))
    assert fusion.skipped == 1 and "pose was not measured" in fusion.last_event
    scene = feed(fusion, lifter, 1, pose())
    assert fusion.add_scene(replace(scene, odometry=odometry))
    assert np.median(fusion.dense.mesh().xyz[:, 2]) == pytest.approx(WALL + 1, abs=VOXEL)


def test_a_guessed_pose_is_not_fused_and_a_lost_map_begins_anew():
    fusion, lifter = make_fusion(camera_pose="tracks", target_frame="odom")
    right = Odometry(0, "odom", OPTICAL, pose(), ZERO, np.zeros(6), ZERO, OdometryState.TRACKING, "", 4)
    astray, back = replace(right, astray=True), replace(right, found_back=True)
    elsewhere = replace(right, pose=pose(0, 0, 5))
    nearest = []
    for frame, odometry in enumerate([right, astray, back, astray, elsewhere]):
        fused = fusion.add_scene(replace(feed(fusion, lifter, frame, pose()), odometry=odometry))
        assert fused is not odometry.astray
        nearest.append(fusion.dense.mesh().xyz[:, 2].min())
    assert max(nearest[:4]) < 5 < nearest[4]


def test_the_pose_of_the_robot_is_taken_to_the_camera():
    fusion, lifter = make_fusion(camera_pose="tracks", target_frame="odom", base_frame="base")
    lifter.transforms.set("base", OPTICAL, 0, pose(0, 0, 0.5), True)
    depth, rgb, _ = view(pose())
    fusion.add_image(0, rgb, OPTICAL)
    fusion.add_depth(0, depth, OPTICAL)
    lifter.add_depth(0, depth, OPTICAL)
    (scene,) = lifter.add_tracks(make_tracks(0, POINTS), OPTICAL)
    odometry = Odometry(
        0, "odom", "base", pose(0, 0, 1), ZERO, np.zeros(6), ZERO, OdometryState.TRACKING, "", 4
    )
    assert fusion.add_scene(replace(scene, odometry=odometry))
    assert np.median(fusion.dense.mesh().xyz[:, 2]) == pytest.approx(WALL + 1.5, abs=VOXEL)


def test_what_is_missing_is_counted_with_its_reason():
    fusion, lifter = make_fusion()
    scene = feed(fusion, lifter, 1, pose())
    assert fusion.add_scene(scene)
    assert not fusion.add_scene(scene)  # its image has been used
    assert fusion.skipped == 1 and "image of a scene is no longer there" in fusion.last_event
    scene = feed(fusion, lifter, 2, pose())
    none = np.zeros_like(scene.tracks.source)
    assert not fusion.add_scene(replace(scene, tracks=replace(scene.tracks, source=none)))
    assert fusion.skipped == 2 and "no point of the image was measured" in fusion.last_event


def test_images_that_wait_are_bounded():
    fusion, lifter = make_fusion(max_pending=3)
    _, rgb, _ = view(pose())
    for frame in range(10):
        fusion.add_image(frame * FRAME, rgb, OPTICAL)
    assert len(fusion._images) == 3
    scene = feed(fusion, lifter, 10, pose())
    assert fusion.add_scene(scene)
    assert not fusion._images


def test_another_fixed_frame_starts_the_map_anew():
    fusion, lifter = make_fusion()
    fusion.add_scene(feed(fusion, lifter, 0, pose()))
    lifter.config = replace(lifter.config, target_frame="hall", fixed_frame="hall")
    lifter.transforms.set("hall", "map", 0, pose(0, 0, 5), True)
    fusion.add_scene(feed(fusion, lifter, 1, pose()))
    assert fusion.fused == 2
    assert fusion.dense.mesh().xyz[:, 2].min() > 5
