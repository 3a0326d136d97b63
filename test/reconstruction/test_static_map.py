import threading

import numpy as np
import pytest

from cotracker_ros.reconstruction import DepthSource, PointMotion, StaticMap, StaticMapConfig, Tracks3D

UNKNOWN = PointMotion.UNKNOWN


def points(xyz, *, ids=None, sigma=0.01, source=DepthSource.MEASURED, motion=UNKNOWN, rgb=(100, 150, 200)):
    xyz = np.asarray(xyz, dtype=np.float32).reshape(-1, 3)
    count = len(xyz)
    return Tracks3D(
        frame=0,
        stamp=0,
        epoch=0,
        frame_id="map",
        ids=np.arange(count, dtype=np.uint32) if ids is None else np.asarray(ids, dtype=np.uint32),
        xyz=xyz,
        velocity=np.full((count, 3), np.nan, np.float32),
        sigma=np.broadcast_to(np.float32(sigma), (count,)).copy(),
        source=np.full(count, source, np.uint8),
        motion=np.broadcast_to(np.asarray(motion, np.uint8), (count,)).copy(),
        flags=np.full(count, 3, np.uint8),
        rgb=np.broadcast_to(np.asarray(rgb, np.uint8), (count, 3)).copy(),
        labels=("",) * count,
    )


NOTHING = points(np.zeros((0, 3)))
TRUTH = np.array([[0.0, 0.0, 1.0], [1.0, 0.5, 2.0], [-1.0, 0.3, 3.0]])


def test_the_mean_is_weighted_by_certainty_and_gets_more_certain():
    chart = StaticMap(StaticMapConfig(min_measurements=2, max_spread=5.0))
    for z, sigma in ((1.0, 0.01), (1.03, 0.03)):
        chart.add(points([[0, 0, z]], sigma=sigma))
    np.testing.assert_allclose(chart.xyz, [[0, 0, 1.003]], atol=1e-6)
    np.testing.assert_allclose(chart.sigma, [1 / np.sqrt(1 / 0.01**2 + 1 / 0.03**2)], rtol=1e-5)


def test_noisy_measurements_average_out_near_the_truth():
    rng = np.random.default_rng(0)
    chart = StaticMap()
    for _ in range(100):
        chart.add(points(TRUTH + rng.normal(0, 0.005, TRUTH.shape), sigma=0.008))
    order = np.argsort(chart.xyz[:, 2])
    np.testing.assert_allclose(chart.xyz[order], TRUTH, atol=0.003)
    assert chart.rgb.tolist() == [[100, 150, 200]] * 3


def test_points_stay_when_their_tracks_end():
    chart = StaticMap()
    for _ in range(5):
        chart.add(points(TRUTH))
    chart.add(NOTHING)
    assert len(chart.points()) == 3
    for _ in range(5):
        chart.add(points(TRUTH, ids=[7, 8, 9]))
    assert len(chart.points()) == 3  # the same places, seen again
    chart.end_tracks()
    assert len(chart.points()) == 3
    chart.reset()
    assert len(chart.points()) == 0


def test_held_and_rarely_measured_points_do_not_count():
    chart = StaticMap()
    for _ in range(10):
        chart.add(points(TRUTH, source=DepthSource.HELD))
    for _ in range(4):
        chart.add(points(TRUTH))
    assert len(chart.points()) == 0


def test_what_moves_stays_out_even_after_it_stops():
    chart = StaticMap()
    for _ in range(10):
        chart.add(points(TRUTH))
    for step in range(5):
        chart.add(
            points(TRUTH + np.array([0.01 * step, 0, 0]), motion=[PointMotion.MOVING, UNKNOWN, UNKNOWN])
        )
    for _ in range(50):
        chart.add(points(TRUTH))
    assert len(chart.points()) == 2
    assert not (np.abs(chart.xyz - TRUTH[0]).max(axis=1) < 0.1).any()


def test_what_creeps_stays_out_by_its_spread():
    chart = StaticMap()
    for step in range(100):
        chart.add(points([[0.002 * step, 0, 1.0], [1.0, 0.0, 2.0]], sigma=0.005))
    np.testing.assert_allclose(chart.xyz, [[1.0, 0.0, 2.0]], atol=1e-6)


def test_voxels_number_and_radius_bound_the_map():
    rng = np.random.default_rng(1)
    chart = StaticMap(StaticMapConfig(voxel_size=0.1, max_points=500, radius=5.0, min_measurements=1))
    for frame in range(300):
        ids = np.arange(50) + 50 * frame
        chart.add(points(rng.uniform(-10, 10, (50, 3)), ids=ids), centre=(0, 0, 0))
    assert 0 < len(chart.points()) <= 500
    assert np.linalg.norm(chart.xyz, axis=1).max() <= 5.0
    assert len(chart._ended) < 2100
    dense = StaticMap(StaticMapConfig(voxel_size=0.1, min_measurements=1))
    for frame in range(100):
        dense.add(points(rng.uniform(0, 0.1, (50, 3)), ids=np.arange(50) + 50 * frame))
    assert len(dense.points()) == 1


def test_the_longest_unseen_points_go_first():
    chart = StaticMap(StaticMapConfig(voxel_size=0.1, max_points=2, min_measurements=1))
    for frame in range(3):
        chart.add(points([[frame, 0.05, 0.05]], ids=[frame]))
    np.testing.assert_allclose(sorted(chart.xyz[:, 0]), [1, 2])


def test_reading_while_another_thread_adds():
    chart = StaticMap(StaticMapConfig(min_measurements=1))
    errors = []

    def add():
        try:
            for frame in range(200):
                chart.add(points(TRUTH, ids=np.arange(3) + 3 * frame))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=add)
    thread.start()
    while thread.is_alive():
        cloud = chart.points()
        assert len(cloud.xyz) == len(cloud.rgb) == len(cloud.sigma)
    assert not errors
    assert len(chart.points()) == 3


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="voxel_size"):
        StaticMapConfig(voxel_size=0.0)
    with pytest.raises(ValueError, match="too many voxels"):
        StaticMapConfig(voxel_size=1e-6)
