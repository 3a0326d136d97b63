from dataclasses import fields

import numpy as np
import pytest
from lifting_scenes import CAMERA, FRAME, OCCLUDED, OPTICAL, SEEN, flat_depth, make_lifter, make_tracks, step

from cotracker_ros.reconstruction import (
    CameraModel,
    DepthSource,
    LifterConfig,
    MotionConfig,
    StaticMapConfig,
    TransformBuffer,
    TransformError,
    pose_matrix,
)

GRID = np.stack(np.meshgrid(np.linspace(10, 150, 6), np.linspace(10, 110, 5)), axis=-1).reshape(-1, 2)


def sources(result):
    return result.source.tolist()


def shift(x, y=0.0, z=0.0):
    return pose_matrix((x, y, z), (0, 0, 0, 1))


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("none", ()),
        ("plumb_bob", (-0.3, 0.1, 1e-3, -5e-4, 0.0)),
        ("equidistant", (-0.02, 0.003, -0.001, 0.0002)),
    ],
)
def test_points_of_a_plane_land_on_it_through_any_lens(model, coefficients):
    camera = CameraModel(160, 120, CAMERA.K, model, np.array(coefficients))
    truth = np.random.default_rng(0).uniform((-0.9, -0.6, 2.0), (0.9, 0.6, 2.0), (50, 3))
    result = step(make_lifter(camera), 0, camera.project(truth), flat_depth(2.0))
    np.testing.assert_allclose(result.xyz, truth, atol=1e-4)
    assert result.frame_id == OPTICAL
    assert (result.source == DepthSource.MEASURED).all()
    assert np.isnan(result.velocity).all()  # one image does not tell


def test_depth_of_half_the_size_is_read_at_the_same_place():
    ramp = (1.0 + 0.005 * np.arange(160, dtype=np.float32))[None].repeat(120, axis=0)
    half = ramp.reshape(60, 2, 80, 2).mean(axis=(1, 3))
    full = step(make_lifter(), 0, GRID, ramp)
    halved = step(make_lifter(), 0, GRID, half)
    np.testing.assert_allclose(halved.xyz, full.xyz, atol=1e-3)


def test_result_is_in_the_target_frame_at_the_images_stamp():
    buffer = TransformBuffer()
    buffer.set("odom", "base", 0, shift(0.0))
    buffer.set("odom", "base", 10 * FRAME, shift(1.0))
    buffer.set("base", OPTICAL, 0, pose_matrix((0, 0, 0.5), (-0.5, 0.5, -0.5, 0.5)), static=True)
    lifter = make_lifter(transforms=buffer, target_frame="odom")
    result = step(lifter, 5, [[79.5, 59.5]], flat_depth(2.0))
    # Optical z is base x: two metres ahead of a base that has gone half a metre by then.
    np.testing.assert_allclose(result.xyz, [[2.5, 0.0, 0.5]], atol=1e-6)
    assert (result.frame_id, result.stamp) == ("odom", 5 * FRAME)


def test_an_occluded_point_keeps_its_place_and_not_the_occluders_depth():
    lifter = make_lifter()
    xy = [[60.0, 60.0], [100.0, 60.0]]
    for frame in range(10):
        before = step(lifter, frame, xy, flat_depth(2.0))
    hidden = flat_depth(2.0)
    hidden[:, :80] = 0.7
    sigma = [before.sigma[0]]
    for frame in range(10, 40):
        result = step(lifter, frame, xy, hidden, flags=[OCCLUDED, SEEN])
        assert sources(result) == [DepthSource.HELD, DepthSource.MEASURED]
        sigma.append(result.sigma[0])
    np.testing.assert_allclose(result.xyz[0], before.xyz[0], atol=1e-3)
    assert (np.diff(sigma) > 0).all()
    after = step(lifter, 40, xy, flat_depth(2.0))
    assert sources(after) == [DepthSource.MEASURED] * 2


def test_an_occluder_that_the_tracker_misses_is_rejected_for_a_bounded_time():
    lifter = make_lifter(motion=MotionConfig(max_rejections=5))
    for frame in range(10):
        step(lifter, frame, [[60.0, 60.0]], flat_depth(2.0))
    depths = [step(lifter, frame, [[60.0, 60.0]], flat_depth(0.7)) for frame in range(10, 18)]
    assert [int(result.source[0]) for result in depths] == [2] * 5 + [1] * 3
    np.testing.assert_allclose([result.xyz[0, 2] for result in depths], [2.0] * 5 + [0.7] * 3, atol=1e-3)
    assert lifter.counters.points_rejected == 5


def test_a_hole_holds_and_a_point_never_measured_is_nan():
    holes = flat_depth(2.0)
    holes[:, 80:] = np.nan
    lifter = make_lifter()
    xy = [[60.0, 60.0], [100.0, 60.0]]
    result = step(lifter, 0, xy, holes)
    assert sources(result) == [DepthSource.MEASURED, DepthSource.NONE]
    assert np.isnan(result.xyz[1]).all()
    assert np.isnan(result.sigma[1])
    holes[:, :] = np.nan
    holes[0, 0] = 2.0
    assert sources(step(lifter, 1, xy, holes)) == [DepthSource.HELD, DepthSource.NONE]


def test_velocity_of_a_moving_point_is_found_and_carries_it_behind_an_occluder():
    lifter = make_lifter()
    speed = np.array([0.3, 0.0, 0.2])
    for frame in range(30):
        truth = np.array([[-0.4, 0.1, 2.0]]) + speed * frame * FRAME * 1e-9
        result = step(lifter, frame, CAMERA.project(truth), flat_depth(truth[0, 2]))
    np.testing.assert_allclose(result.velocity[0], speed, atol=0.03)
    for frame in range(30, 42):  # 0.4 s
        truth = np.array([[-0.4, 0.1, 2.0]]) + speed * frame * FRAME * 1e-9
        result = step(lifter, frame, CAMERA.project(truth), flat_depth(0.5), flags=OCCLUDED)
    assert sources(result) == [DepthSource.HELD]
    assert np.abs(result.xyz[0] - truth[0]).max() < 0.02
    for frame in range(42, 90):
        result = step(lifter, frame, [[0.0, 0.0]], flat_depth(0.5), flags=OCCLUDED)
    # Not carried on for ever: it stopped after half a second, and says how unsure it is.
    assert np.linalg.norm(result.xyz[0] - truth[0]) < 0.1
    assert result.sigma[0] > 0.5
    assert np.isnan(result.velocity).all()


def test_noise_does_not_make_still_points_move():
    rng = np.random.default_rng(3)
    lifter = make_lifter()
    moved = []
    for frame in range(100):
        depth = flat_depth(2.0) + rng.normal(0, 0.006, (120, 160)).astype(np.float32)
        result = step(lifter, frame, GRID + rng.normal(0, 0.2, GRID.shape), depth)
        if frame > 20:
            moved.append(np.linalg.norm(result.velocity, axis=1))
    assert np.quantile(moved, 0.95) < 0.1
    assert len(lifter.map.points()) >= len(GRID) - 2


def test_held_points_stand_still_in_the_fixed_frame_while_the_camera_moves():
    buffer = TransformBuffer()
    for frame in range(40):
        buffer.set("world", OPTICAL, frame * FRAME, shift(0.01 * frame))
    lifter = make_lifter(transforms=buffer, target_frame="", fixed_frame="world")
    for frame in range(40):
        truth = np.array([[0.2 - 0.01 * frame, 0.0, 2.0]])  # in the camera's frame
        flags = SEEN if frame < 20 else OCCLUDED
        result = step(
            lifter, frame, CAMERA.project(truth), flat_depth(2.0 if frame < 20 else 0.5), flags=flags
        )
        np.testing.assert_allclose(result.xyz, truth, atol=2e-3)
    assert result.frame_id == OPTICAL
    assert lifter.map_frame == "world"
    np.testing.assert_allclose(lifter.map.xyz, [[0.2, 0.0, 2.0]], atol=2e-3)


def test_tracks_wait_for_late_depth_and_come_in_order():
    lifter = make_lifter(max_wait=0.5)
    assert lifter.add_tracks(make_tracks(0, GRID), OPTICAL) == []
    assert lifter.add_tracks(make_tracks(1, GRID), OPTICAL) == []
    lifter.add_depth(0, flat_depth(), OPTICAL)
    (first,) = lifter.ready()
    assert first.tracks.frame == 0
    lifter.add_depth(FRAME, flat_depth(), OPTICAL)
    (second,) = lifter.add_tracks(make_tracks(2, GRID), OPTICAL)
    assert second.tracks.frame == 1
    (third,) = lifter.flush()
    assert third.tracks.frame == 2
    assert (first.tracks.source == DepthSource.MEASURED).all()
    assert (third.tracks.source == DepthSource.HELD).all()


def test_waiting_ends_by_the_time_of_the_stream():
    lifter = make_lifter(max_wait=0.1)
    results = [lifter.add_tracks(make_tracks(frame, GRID), OPTICAL) for frame in range(6)]
    assert [len(result) for result in results] == [0, 0, 0, 0, 1, 1]
    assert (results[4][0].tracks.source == DepthSource.NONE).all()
    assert lifter.counters.depth_missing == 2
    assert "no depth image belongs" in lifter.last_event


def test_depth_out_of_tolerance_is_not_used():
    lifter = make_lifter(tolerance=0.02)
    lifter.add_depth(25_000_000, flat_depth(), OPTICAL)
    (scene,) = lifter.add_tracks(make_tracks(0, GRID), OPTICAL)
    assert (scene.tracks.source == DepthSource.NONE).all()
    lifter.add_depth(FRAME + 15_000_000, flat_depth(), OPTICAL)
    (scene,) = lifter.add_tracks(make_tracks(1, GRID), OPTICAL)
    assert (scene.tracks.source == DepthSource.MEASURED).all()


def test_tracks_much_later_than_their_depth_find_it():
    lifter = make_lifter()
    for frame in range(60):
        lifter.add_depth(frame * FRAME, flat_depth(1.0 + 0.01 * frame), OPTICAL)
    (scene,) = lifter.add_tracks(make_tracks(10, GRID), OPTICAL)
    np.testing.assert_allclose(scene.tracks.xyz[:, 2], 1.1, atol=1e-6)


def test_missing_transform_drops_with_a_sentence_and_recovers_with_the_state_kept():
    buffer = TransformBuffer()
    lifter = make_lifter(transforms=buffer, target_frame="odom", max_wait=0.1)
    for frame in range(2):
        buffer.set("odom", OPTICAL, frame * FRAME, shift(1.0))
        step(lifter, frame, GRID, flat_depth())
    count = 0
    for frame in range(2, 10):
        lifter.add_depth(frame * FRAME, flat_depth(), OPTICAL)
        count += len(lifter.add_tracks(make_tracks(frame, GRID), OPTICAL))
    assert count == 0
    assert lifter.counters.transform_missing == 4  # the others still wait
    assert "after its newest data" in lifter.last_event
    assert "\n" not in lifter.last_event
    buffer.set("odom", OPTICAL, 20 * FRAME, shift(1.0))
    results = lifter.ready()
    assert [scene.tracks.frame for scene in results] == [6, 7, 8, 9]
    hidden = step(lifter, 10, GRID, flat_depth(0.5), flags=OCCLUDED)
    assert (hidden.source == DepthSource.HELD).all()


def test_unknown_frames_are_dropped_too():
    lifter = make_lifter(target_frame="nowhere")
    lifter.add_depth(0, flat_depth(), OPTICAL)
    assert lifter.add_tracks(make_tracks(0, GRID), OPTICAL) == []
    assert lifter.flush() == []
    assert "nowhere" in lifter.last_event or OPTICAL in lifter.last_event


def test_tracks_without_a_frame_stay_in_the_cameras_or_are_dropped():
    (result,) = _without_frame(make_lifter())
    assert result.frame_id == OPTICAL
    lifter = make_lifter(camera=None, target_frame="odom")
    lifter.set_camera(CAMERA, "", 0)
    assert _without_frame(lifter) == []
    assert "empty frame name" in lifter.last_event


def _without_frame(lifter):
    lifter.add_depth(0, flat_depth(), "")
    scenes = lifter.add_tracks(make_tracks(0, GRID), "") + lifter.flush()
    return [scene.tracks for scene in scenes]


def test_any_source_of_transforms_serves():
    class Source:
        def lookup(self, target, source, stamp):
            if stamp == 0:
                raise TransformError("not yet")
            return shift(5.0)

    lifter = make_lifter(transforms=Source(), target_frame="odom")
    result = step(lifter, 1, [[79.5, 59.5]], flat_depth(2.0))
    np.testing.assert_allclose(result.xyz, [[5.0, 0.0, 2.0]], atol=1e-6)


def test_all_invalid_depth_is_counted_and_holds():
    lifter = make_lifter()
    step(lifter, 0, GRID, flat_depth())
    for frame, depth in enumerate(
        (np.full((120, 160), np.nan, np.float32), np.zeros((120, 160), np.float32)), 1
    ):
        result = step(lifter, frame, GRID, depth)
        assert (result.source == DepthSource.HELD).all()
    assert lifter.counters.depth_invalid == 2
    lifter.add_depth(3 * FRAME, np.zeros((0, 0), np.float32), OPTICAL)
    assert lifter.counters.depth_invalid == 3


def test_depth_of_another_shape_is_counted_and_holds():
    lifter = make_lifter()
    step(lifter, 0, GRID, flat_depth())
    result = step(lifter, 1, GRID, flat_depth(1.0, size=(160, 160)))
    assert (result.source == DepthSource.HELD).all()
    assert lifter.counters.depth_size_mismatch == 1
    assert "160x160" in lifter.last_event


def test_depth_in_another_frame_is_used_only_where_it_may_be_registered():
    buffer = TransformBuffer()
    lifter = make_lifter(transforms=buffer)
    tracks = [make_tracks(frame, GRID) for frame in range(3)]

    def lift(frame):
        lifter.add_depth(tracks[frame].stamp, flat_depth(), "depth_frame")
        return lifter.add_tracks(tracks[frame], OPTICAL)[0].tracks

    assert (lift(0).source == DepthSource.MEASURED).all()
    assert lifter.counters.depth_frame_unknown == 1
    buffer.set(OPTICAL, "depth_frame", 0, shift(0.05), static=True)
    assert (lift(1).source == DepthSource.HELD).all()
    assert lifter.counters.depth_not_registered == 1
    assert "register the depth" in lifter.last_event
    buffer.set(OPTICAL, "depth_frame", 0, shift(0.001), static=True)
    assert (lift(2).source == DepthSource.MEASURED).all()


def test_without_a_camera_tracks_wait_and_are_dropped_with_a_sentence():
    lifter = make_lifter(camera=None)
    lifter.add_depth(0, flat_depth(), OPTICAL)
    assert lifter.add_tracks(make_tracks(0, GRID), OPTICAL) == []
    lifter.set_camera(CAMERA, OPTICAL, 0)
    assert len(lifter.ready()) == 1
    lifter = make_lifter(camera=None)
    lifter.add_tracks(make_tracks(0, GRID), OPTICAL)
    assert lifter.flush() == []
    assert lifter.counters.camera_missing == 1
    assert "camera_info" in lifter.last_event


def test_a_camera_of_another_shape_is_refused_and_a_scaled_one_is_not():
    lifter = make_lifter(CAMERA.scaled(320, 240))
    result = step(lifter, 0, [[79.5, 59.5]], flat_depth())
    np.testing.assert_allclose(result.xyz, [[0, 0, 2]], atol=1e-6)
    lifter.set_camera(CameraModel.pinhole(640, 360, 500, 500, 320, 180), OPTICAL, 0)
    lifter.add_depth(FRAME, flat_depth(), OPTICAL)
    assert lifter.add_tracks(make_tracks(1, GRID), OPTICAL) == []
    assert lifter.counters.camera_mismatch == lifter.counters.images_dropped == 1


def test_points_come_go_and_change_places_without_mixing():
    lifter = make_lifter()
    step(lifter, 0, [[60.0, 60.0], [100.0, 60.0]], flat_depth(), ids=[5, 2])
    result = step(
        lifter, 1, [[100.0, 60.0], [20.0, 20.0], [60.0, 60.0]], flat_depth(), ids=[2, 9, 5], flags=OCCLUDED
    )
    assert sources(result) == [DepthSource.HELD, DepthSource.NONE, DepthSource.HELD]
    np.testing.assert_allclose(result.xyz[[0, 2], 0], [(100 - 79.5) / 75, (60 - 79.5) / 75], atol=1e-5)
    step(lifter, 2, [[100.0, 60.0]], flat_depth(), ids=[2])
    assert lifter.scene.points.ids.tolist() == [2]
    empty = step(lifter, 3, np.zeros((0, 2)), flat_depth())
    assert empty.xyz.shape == (0, 3)


def test_a_new_epoch_forgets_points_and_keeps_the_map():
    lifter = make_lifter()
    for frame in range(20):
        step(lifter, frame, GRID, flat_depth())
    before = len(lifter.map.points())
    result = step(lifter, 20, GRID, flat_depth(), epoch=1, flags=OCCLUDED)
    assert (result.source == DepthSource.NONE).all()
    assert len(lifter.map.points()) == before == len(GRID)


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_bag_that_starts_over_is_lifted_again(epoch):
    lifter = make_lifter()
    for frame in range(60):
        step(lifter, frame, GRID, flat_depth(2.0))
    for frame in range(3):
        result = step(lifter, frame, GRID, flat_depth(1.0), epoch=epoch)
    np.testing.assert_allclose(result.xyz[:, 2], 1.0, atol=1e-6)
    assert lifter.counters.time_jumps == 2  # the depth images' and the tracks'
    assert len(lifter.state.depth) == 3


def test_tracks_that_start_over_before_their_depth_do_not_get_the_old_one():
    lifter = make_lifter()
    for frame in range(60):
        step(lifter, frame, GRID, flat_depth(2.0))
    lifter.add_tracks(make_tracks(0, GRID, epoch=1), OPTICAL)
    lifter.add_depth(0, flat_depth(1.0), OPTICAL)
    (scene,) = lifter.ready()
    np.testing.assert_allclose(scene.tracks.xyz[:, 2], 1.0, atol=1e-6)


def test_revised_and_late_tracks_are_passed_over():
    lifter = make_lifter()
    for frame in range(3):
        step(lifter, frame, GRID, flat_depth())
    assert lifter.add_tracks(make_tracks(1, GRID, revised=True), OPTICAL) == []
    assert lifter.add_tracks(make_tracks(1, GRID), OPTICAL) == []
    assert (lifter.counters.revised, lifter.counters.out_of_order) == (1, 1)


def test_reset_forgets_all_but_the_camera():
    lifter = make_lifter()
    for frame in range(8):
        step(lifter, frame, GRID, flat_depth())
    lifter.reset()
    assert len(lifter.map.points()) == len(lifter.scene.points) == len(lifter.state.depth) == 0
    result = step(lifter, 0, GRID, flat_depth())
    assert (result.source == DepthSource.MEASURED).all()


def test_memory_is_bounded_over_ten_thousand_images():
    def size(lifter):
        state = lifter.state
        live = lifter.map._live
        return (
            len(state.depth),
            len(state.pending),
            len(state.finished),
            len(lifter.scene.points),
            len(live.sums),
        )

    lifter = make_lifter(max_pending=8, max_wait=1000.0)
    depth = flat_depth()
    xy = GRID[:8]
    sizes = []
    for frame in range(10_000):
        if frame % 100 < 50:  # for half of the time there is no depth at all
            lifter.add_depth(frame * FRAME, depth, OPTICAL)
        lifter.add_tracks(make_tracks(frame, xy, ids=np.arange(8) + frame // 10), OPTICAL)
        if frame in (399, 9_999):
            sizes.append(size(lifter))
    assert sizes[0] == sizes[1]
    assert sizes[1][1] == 8
    assert lifter.counters.hurried > 0
    assert len(lifter.map.points()) <= 8


def test_the_same_calls_give_the_same_bytes():
    def run():
        rng = np.random.default_rng(7)
        lifter = make_lifter()
        out = []
        for frame in range(30):
            depth = flat_depth() + rng.normal(0, 0.01, (120, 160)).astype(np.float32)
            depth[rng.random(depth.shape) < 0.1] = np.nan
            lifter.add_depth(frame * FRAME, depth, OPTICAL)
            flags = np.where(rng.random(len(GRID)) < 0.2, OCCLUDED, SEEN)
            out += lifter.add_tracks(
                make_tracks(frame, GRID + rng.normal(0, 0.3, GRID.shape), flags=flags), OPTICAL
            )
        return b"".join(
            getattr(scene.tracks, name).tobytes()
            for scene in out
            for name in ("xyz", "velocity", "sigma", "source", "motion")
        )

    assert run() == run()


def test_settings_may_change_while_it_runs():
    lifter = make_lifter()
    for frame in range(30):
        step(lifter, frame, GRID, flat_depth())
    lifter.config = LifterConfig(history_images=5, map=StaticMapConfig(max_points=3))
    result = step(lifter, 30, GRID, flat_depth(0.5), flags=OCCLUDED)
    assert (result.source == DepthSource.HELD).all()
    assert len(lifter.state.depth) == 5
    assert len(lifter.map.points()) == 3


def test_counters_are_a_snapshot():
    lifter = make_lifter()
    before = lifter.counters
    result = step(lifter, 0, GRID, flat_depth())
    assert before.depth_images == 0
    after = lifter.counters
    assert (after.images_lifted, after.points_measured) == (1, len(result))
    assert all(isinstance(getattr(after, item.name), int) for item in fields(after))


@pytest.mark.parametrize(
    "change",
    [
        {"tolerance": -1.0},
        {"max_wait": np.nan},
        {"history_seconds": 0.0},
        {"max_pending": 0},
        {"jump_back": 0.0},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        LifterConfig(**change)
    with pytest.raises(ValueError, match="process_noise"):
        MotionConfig(process_noise=0.0)
