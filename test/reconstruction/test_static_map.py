import threading

import numpy as np
import pytest
from lifting_scenes import CAMERA, FRAME, OPTICAL, flat_depth, make_lifter, step

from cotracker_ros.reconstruction import (
    DepthSource,
    PointMotion,
    StaticMap,
    StaticMapConfig,
    Tracks3D,
    TransformBuffer,
    pose_matrix,
    read_ply,
)
from cotracker_ros.tracking.types import TrackFlag

UNKNOWN, STATIC, MOVING = PointMotion.UNKNOWN, PointMotion.STATIC, PointMotion.MOVING


def points(xyz, *, ids=None, sigma=0.01, source=DepthSource.MEASURED, motion=STATIC, rgb=(100, 150, 200)):
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
    floor = 0.001  # what the camera's calibration gets wrong
    sigma = np.hypot(1 / np.sqrt(1 / 0.01**2 + 1 / 0.03**2), floor)
    np.testing.assert_allclose(chart.sigma, [sigma], rtol=1e-5)


def test_two_views_at_right_angles_leave_no_direction_uncertain():
    chart = StaticMap(StaticMapConfig(min_measurements=1))
    truth = np.array([0.3, 0.2, 2.0])
    chart.add(points(truth + np.array([0, 0, 0.1]), sigma=0.1), centre=(0.3, 0.2, 0.0), ray_sigma=0.002)
    one = chart.points()
    np.testing.assert_allclose(np.sqrt(np.diag(one.covariance[0])), [0.0043, 0.0043, 0.1], rtol=0.01)
    np.testing.assert_allclose(one.sigma, [0.1], rtol=0.01)
    chart.add(points(truth - np.array([0.1, 0, 0]), sigma=0.1), centre=(-1.7, 0.2, 2.0), ray_sigma=0.002)
    both = chart.points()
    np.testing.assert_allclose(both.xyz, [truth], atol=1e-3)
    assert both.sigma < 0.006


def test_the_covariance_is_honest_for_noise_that_grows_along_the_ray():
    rng = np.random.default_rng(5)
    chart = StaticMap(StaticMapConfig(voxel_size=0.001))
    count, sigma, angle = 200, 0.03, 0.001
    way = rng.uniform((-0.5, -0.4, 1), (0.5, 0.4, 1), (count, 3))
    way /= np.linalg.norm(way, axis=1)[:, None]
    truth = way * rng.uniform(1, 4, (count, 1))
    for _ in range(20):
        noise = way * rng.normal(0, sigma, (count, 1))
        side = rng.normal(0, 1, (count, 3))
        side -= (side * way).sum(axis=1, keepdims=True) * way
        noise += side * angle * np.linalg.norm(truth, axis=1)[:, None]
        chart.add(points(truth + noise, sigma=sigma), centre=(0, 0, 0), ray_sigma=angle)
    found = chart.points()
    assert len(found) == count
    order = ((found.xyz[:, None] - truth) ** 2).sum(axis=2).argmin(axis=1)
    error = found.xyz - truth[order]
    spread = np.einsum("ni,nij,nj->n", error, np.linalg.inv(found.covariance.astype(float)), error)
    assert 1.0 < spread.mean() < 4.0  # three degrees of freedom; the floor makes it a little less
    np.testing.assert_allclose(
        found.sigma, np.sqrt(np.linalg.eigvalsh(found.covariance.astype(float))[:, -1]), rtol=1e-3
    )


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


def test_an_id_that_is_asked_for_anew_is_another_point():
    chart = StaticMap()
    for _ in range(6):
        chart.add(points(TRUTH[:1], ids=[4]))
    again = points(TRUTH[1:2], ids=[4])
    again.flags[:] |= np.uint8(TrackFlag.NEW)
    chart.add(again)
    assert len(chart.points()) == 1
    for _ in range(6):
        chart.add(points(TRUTH[1:2], ids=[4]))
    np.testing.assert_allclose(np.sort(chart.xyz, axis=0), np.sort(TRUTH[:2], axis=0), atol=1e-6)


def test_a_saved_map_is_read_back(tmp_path):
    chart = StaticMap()
    for _ in range(6):
        chart.add(points(TRUTH))
    chart.points().save(tmp_path / "map.ply")
    cloud = read_ply(tmp_path / "map.ply")
    np.testing.assert_array_equal(cloud.xyz, chart.xyz)
    np.testing.assert_array_equal(cloud.rgb, chart.rgb)
    np.testing.assert_array_equal(cloud.fields["sigma"], chart.sigma)


def test_held_and_rarely_measured_points_do_not_count():
    chart = StaticMap()
    for _ in range(10):
        chart.add(points(TRUTH, source=DepthSource.HELD))
    for _ in range(4):
        chart.add(points(TRUTH))
    assert len(chart.points()) == 0


def test_what_is_not_known_to_stand_still_waits_until_it_is():
    chart = StaticMap()
    for _ in range(20):
        chart.add(points(TRUTH, motion=UNKNOWN))
    assert len(chart.points()) == 0
    chart.add(points(TRUTH, motion=[STATIC, UNKNOWN, MOVING]))
    np.testing.assert_allclose(chart.xyz, TRUTH[:1], atol=1e-6)
    chart.add(NOTHING)  # who left without being known is forgotten
    np.testing.assert_allclose(chart.xyz, TRUTH[:1], atol=1e-6)


def test_members_of_moving_bodies_stay_out_whatever_their_flags_say():
    chart = StaticMap()
    for _ in range(10):
        chart.add(points(TRUTH), exclude=np.array([True, False, False]))
    assert len(chart.points()) == 2
    assert not (np.abs(chart.xyz - TRUTH[0]).max(axis=1) < 0.1).any()


@pytest.mark.parametrize("tracks_ended", [10, 3000])
def test_where_a_track_starts_to_move_the_map_is_forgotten(tracks_ended):
    chart = StaticMap(StaticMapConfig(min_measurements=2))
    for first in range(0, tracks_ended, 10):  # many tracks stood there before
        ids = np.arange(first, first + 10)
        for _ in range(2):
            chart.add(points(TRUTH[[0] * 5 + [1] * 5], ids=ids))
    chart.add(NOTHING)
    assert len(chart.points()) == 2
    for _ in range(3):
        chart.add(points(TRUTH[:1], ids=[5000]))
    for image in range(6):
        chart.add(points(TRUTH[:1] + 0.02 * image, ids=[5000], motion=MOVING))
    np.testing.assert_allclose(chart.xyz, TRUTH[1:2], atol=1e-6)
    for _ in range(3):
        chart.add(points(TRUTH[:1], ids=[6000]))  # something else stands there now
    assert len(chart.points()) == 2


def merged_map(monkeypatch, xyz):
    """A map whose points have all been sorted into voxels."""
    monkeypatch.setattr("cotracker_ros.reconstruction.static_map._MERGE_LEAST", 1)
    chart = StaticMap(StaticMapConfig(min_measurements=1))
    chart.add(points(xyz))
    chart.add(NOTHING)
    assert len(chart._voxels) == len(xyz)
    return chart


@pytest.mark.parametrize("size", [(160, 120), (80, 60)])
def test_what_depth_images_look_through_goes(monkeypatch, size):
    wall, ghost, hidden, aside = [0.3, 0.3, 2.0], [-0.3, 0.0, 1.5], [0.0, -0.3, 2.5], [9.0, 0.0, 1.5]
    chart = merged_map(monkeypatch, [wall, ghost, hidden, aside])
    for image in range(3):
        assert len(chart.points()) == 4, image
        chart.check(flat_depth(2.0, size), CAMERA, np.eye(4))
    np.testing.assert_allclose(sorted(chart.xyz.tolist()), sorted([wall, hidden, aside]), atol=1e-6)
    chart.add(points(np.array([ghost]), ids=[9]))  # comes back when it is measured there again
    chart.add(NOTHING)
    assert len(chart.points()) == 4


def test_holes_and_one_wrong_image_take_nothing_away(monkeypatch):
    chart = merged_map(monkeypatch, [[-0.3, 0.0, 1.5], [0.3, 0.0, 1.5]])
    far, right = flat_depth(2.0), flat_depth(1.5)
    for depth in (far, far, right, far, far, right, *[flat_depth(np.nan)] * 5, *[flat_depth(0.0)] * 5):
        chart.check(depth, CAMERA, np.eye(4))
    edge = flat_depth(2.0)
    edge[:, :52] = 1.5  # the first point's surface ends two pixels beside it
    for _ in range(5):
        chart.check(edge, CAMERA, np.eye(4))
    np.testing.assert_allclose(chart.xyz, [[-0.3, 0.0, 1.5]], atol=1e-6)


def test_a_large_map_is_checked_bit_by_bit(monkeypatch):
    xyz = np.stack(np.meshgrid(np.arange(50), np.arange(100), [0]), axis=-1).reshape(-1, 3) * 0.011
    chart = merged_map(monkeypatch, xyz + np.array([-0.27, -0.54, 1.5]))
    left = []
    for _ in range(15):
        chart.check(flat_depth(2.0), CAMERA, np.eye(4))
        left.append(len(chart.points()))
    assert left[9] == 5000
    assert left[10:] == [4000, 3000, 2000, 1000, 0]


def test_what_moves_stays_out_even_after_it_stops():
    chart = StaticMap()
    for _ in range(10):
        chart.add(points(TRUTH))
    for image in range(5):
        chart.add(points(TRUTH + np.array([0.01 * image, 0, 0]), motion=[MOVING, STATIC, STATIC]))
    for _ in range(50):
        chart.add(points(TRUTH))
    assert len(chart.points()) == 2
    assert not (np.abs(chart.xyz - TRUTH[0]).max(axis=1) < 0.1).any()


def test_what_creeps_stays_out_by_its_spread():
    chart = StaticMap()
    for image in range(100):
        chart.add(points([[0.002 * image, 0, 1.0], [1.0, 0.0, 2.0]], sigma=0.005))
    np.testing.assert_allclose(chart.xyz, [[1.0, 0.0, 2.0]], atol=1e-6)


def test_voxels_number_and_radius_bound_the_map():
    rng = np.random.default_rng(1)
    chart = StaticMap(StaticMapConfig(voxel_size=0.1, max_points=500, radius=5.0, min_measurements=1))
    for frame in range(300):
        ids = np.arange(50) + 50 * frame
        chart.add(points(rng.uniform(-10, 10, (50, 3)), ids=ids), centre=(0, 0, 0))
    assert 0 < len(chart.points()) <= 500
    assert np.linalg.norm(chart.xyz, axis=1).max() <= 5.0 + 0.1  # by the voxels' middles
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


def test_thirty_minutes_leave_as_much_behind_as_three():
    """At 30 images a second, with tracks that come and go while the camera goes round."""
    rng = np.random.default_rng(2)
    room = rng.uniform((-2, -2, 0.5), (2, 2, 2.5), (5000, 3))
    config = StaticMapConfig(voxel_size=0.05, radius=3.0, max_points=1500, min_measurements=1)
    chart, most = StaticMap(config), {}
    for image in range(0, 54_000, 45):  # those between would only repeat them
        first = 40 * (image // 45)
        xyz = room[(first + np.arange(40)) % len(room)] + rng.normal(0, 0.003, (40, 3))
        chart.add(points(xyz, ids=first + np.arange(40), sigma=0.005), centre=(0.0, 0.0, 1.0))
        sums = (chart._voxels, chart._ended, chart._live.sums)
        size = sum(array.nbytes for part in sums for array in vars(part).values()) + chart._erased.nbytes
        minutes = 3 if image < 5_400 else 30
        most[minutes] = max(most.get(minutes, 0), size)
    assert most[30] <= 1.02 * most[3]
    assert most[30] < (1500 + 2048 + 80) * 160
    assert len(chart.points()) == 1500


def test_a_track_that_stays_for_hours_weighs_no_more_than_its_last_seconds():
    chart = StaticMap()
    for image in range(2000):  # the pose of the camera drifts by 2 mm in the middle
        chart.add(points([[0.5, 0.5, 1.0 if image < 1000 else 1.002]], sigma=0.01))
    np.testing.assert_allclose(chart.xyz, [[0.5, 0.5, 1.002]], atol=2e-4)


def moving_camera():
    buffer = TransformBuffer()
    lifter = make_lifter(transforms=buffer, target_frame="", fixed_frame="world")

    def play(images, epoch, start):
        for image in range(start, start + images):
            x = 0.01 * image
            buffer.set("world", OPTICAL, image * FRAME, pose_matrix((x, 0, 0), (0, 0, 0, 1)))
            # In the middle of voxels: at their edges, rounding would decide which one a point is in.
            truth = np.array([[0.205, 0.105, 1.505], [0.505, -0.205, 1.505]]) - [x, 0, 0]
            step(lifter, image, CAMERA.project(truth), flat_depth(1.505), epoch=epoch)

    return lifter, play


@pytest.mark.parametrize("start", [0, 60], ids=["a bag that loops", "a tracker that starts over"])
def test_the_map_goes_on_when_the_stream_starts_over_and_the_camera_is_known(start):
    lifter, play = moving_camera()
    play(60, 0, 0)
    before = lifter.map.points()
    assert len(before) == 2
    play(5, 1, start)
    np.testing.assert_allclose(lifter.map.xyz, before.xyz, atol=1e-6)
    play(50, 1, start + 5)
    after = lifter.map.points()
    np.testing.assert_allclose(after.xyz, before.xyz, atol=3e-3)
    assert lifter.map_frame == "world"
    lifter.reset()
    assert len(lifter.map.points()) == 0


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
