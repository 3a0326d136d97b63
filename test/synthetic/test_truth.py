"""The truth against independent facts: projection, rendered depth, and the pictures themselves."""

import cv2
import numpy as np
import pytest

from cotracker_ros.synthetic import Anchors, Intrinsics, Truth, even_stamps, scene_clip, trace, workshop


@pytest.fixture(scope="module")
def clip():
    return scene_clip(1, 24, (320, 240), rate=8, query_frames=(0, 12), static=60, moving=20, noise=0.0)


def bilinear(image, xy):
    """Sample (H, W[, C]) at (N, 2)."""
    xy = np.asarray(xy, np.float32)[None]
    return cv2.remap(image, xy[..., 0], xy[..., 1], cv2.INTER_LINEAR)[0]


def in_camera(truth, k):
    return (truth.xyz[k] - truth.camera_poses[k, :3, 3]) @ truth.camera_poses[k, :3, :3]


def test_shapes_and_kinds(clip):
    truth = clip.truth
    frames, points, bodies = 24, len(truth), 4
    assert points >= 120 and set(truth.body) == {0, 1, 2, 3}
    assert truth.xy.shape == (frames, points, 2) and truth.visible.shape == (frames, points)
    assert truth.xyz.shape == (frames, points, 3) and truth.camera_poses.shape == (frames, 4, 4)
    assert truth.body_poses.shape == (frames, bodies, 4, 4) and len(truth.body_names) == bodies
    assert clip.frames.shape == (frames, 240, 320, 3) and clip.frames.dtype == np.uint8
    assert (np.diff(truth.stamps) == 125_000_000).all()


def test_world_points_reproject_onto_the_tracks(clip):
    truth = clip.truth
    for k in range(len(truth.stamps)):
        xyz = in_camera(truth, k)
        front = xyz[:, 2] > 0
        projected = xyz[front] @ truth.K.T
        np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], truth.xy[k, front], atol=1e-6)
        assert np.isnan(truth.xy[k, ~front]).all() and not truth.visible[k, ~front].any()


def test_points_stay_fixed_to_their_bodies(clip):
    truth = clip.truth
    own = truth.body_poses[:, truth.body]
    local = np.einsum("tnji,tnj->tni", own[..., :3, :3], truth.xyz - own[..., :3, 3])
    np.testing.assert_allclose(local, np.broadcast_to(local[:1], local.shape), atol=1e-9)
    np.testing.assert_array_equal(truth.body_poses[:, 0], np.broadcast_to(np.eye(4), (24, 4, 4)))
    moved = np.linalg.norm(truth.xyz[-1] - truth.xyz[0], axis=1)
    assert (moved[truth.body == 0] < 1e-9).all() and (moved[truth.body > 0] > 0.05).all()


def test_visible_points_lie_on_the_rendered_depth_and_hidden_ones_behind_it(clip):
    truth = clip.truth
    hidden_seen, errors, spreads = 0, [], []
    for k in range(len(truth.stamps)):
        z = in_camera(truth, k)[:, 2]
        inside = ((truth.xy[k] > 1) & (truth.xy[k] < truth.image_size - 2)).all(axis=1)
        pixels = truth.xy[k, inside]
        depth = clip.depth[k]
        low, high = cv2.erode(depth, np.ones((3, 3))), cv2.dilate(depth, np.ones((3, 3)))
        near = tuple(np.round(pixels).astype(int).T[::-1])
        spread = (high - low)[near]
        smooth = spread < 0.1  # away from outlines, where interpolation means nothing
        inverse = bilinear(1 / depth, pixels)  # linear across a plane, unlike depth
        visible = truth.visible[k, inside]
        errors.append(np.abs(1 / inverse - z[inside])[smooth & visible])
        spreads.append(spread[smooth & visible])
        hidden = smooth & ~visible
        assert (z[inside][hidden] > 1 / inverse[hidden] + 1e-3).all()
        hidden_seen += hidden.sum()
    assert hidden_seen > 50
    error, spread = np.concatenate(errors), np.concatenate(spreads)
    assert (error < spread + 1e-3).all()  # the neighbouring pixels' depths are on either side
    assert (error < 1e-5).mean() > 0.8  # planes
    assert (error < 1e-3 + 0.1 * spread).mean() > 0.99  # all but folds


def test_queries_are_visible_and_sub_pixel(clip):
    truth = clip.truth
    index = np.arange(len(truth))
    assert set(truth.query_frame) == {0, 12}
    assert truth.visible[truth.query_frame, index].all()
    np.testing.assert_array_equal(truth.queries[:, 1:], truth.xy[truth.query_frame, index])
    fraction = truth.queries[:, 1:] % 1
    assert fraction.std() > 0.2  # not all on pixel centres


def test_occlusions_are_many_but_not_too_many_and_some_end(clip):
    truth = clip.truth
    inside = ((truth.xy >= -0.5) & (truth.xy <= truth.image_size - 0.5)).all(axis=-1)
    hidden = inside & ~truth.visible
    assert 0.02 < hidden.mean() < 0.4
    assert not (truth.visible & ~inside).any()
    starts = truth.visible[:-1] & hidden[1:]
    ends = hidden[:-1] & truth.visible[1:]
    assert (starts.any(axis=0) & ends.any(axis=0)).sum() >= 5


def test_patches_around_visible_points_look_the_same_after_warping(clip):
    """The homography or rotation in between is small from frame to frame: a shifted patch must match."""
    truth = clip.truth
    offsets = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), axis=-1).reshape(-1, 2)

    def errors(shift):
        found = []
        for k in range(0, 23, 2):
            both = truth.visible[k] & truth.visible[k + 1]
            both &= ((truth.xy[k] > 6) & (truth.xy[k] < truth.image_size - 7)).all(axis=1)
            both &= ((truth.xy[k + 1] > 6) & (truth.xy[k + 1] < truth.image_size - 7)).all(axis=1)
            for i in np.flatnonzero(both):
                a = bilinear(clip.frames[k], truth.xy[k, i] + offsets).astype(float)
                b = bilinear(clip.frames[k + 1], truth.xy[k + 1, i] + shift + offsets).astype(float)
                found.append(np.abs(a - b).mean())
        return np.median(found)

    exact = errors((0.0, 0.0))
    assert exact < 8
    for shift in ((0.3, 0), (-0.3, 0), (0, 0.3), (0, -0.3)):
        assert errors(shift) > exact


def test_same_seed_same_clip_and_another_seed_another():
    first, again, other = (scene_clip(seed, 2, (96, 64)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.depth, again.depth)
    np.testing.assert_array_equal(first.truth.xy, again.truth.xy)
    assert (first.frames != other.frames).mean() > 0.5


def test_truth_survives_saving(clip, tmp_path):
    clip.truth.save(tmp_path / "truth.npz")
    loaded = Truth.load(tmp_path / "truth.npz")
    for name, value in vars(clip.truth).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)


def test_a_file_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", xy=np.zeros(3))
    with pytest.raises(ValueError, match="is not a truth file"):
        Truth.load(tmp_path / "other.npz")


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"rate": 0.0}, {"query_frames": ()}, {"query_frames": (24,)}]
)
def test_impossible_clips_are_refused(wrong):
    with pytest.raises(ValueError):
        scene_clip(0, **wrong)


def test_cart_of_the_workshop_passes_behind_the_pillar_and_comes_back():
    sign = Anchors(np.array([1]), np.array([[-0.17, 0.0, 0.17]]), np.array([0]))
    view = Intrinsics.centred(640, 480, focal=525.0)
    visible = trace(workshop(0), view, sign, even_stamps(101, 10.0)).visible[:, 0]
    changes = visible[np.flatnonzero(np.diff(visible, prepend=~visible[0]))].tolist()
    assert visible[0] and changes.count(False) >= 2 and changes.count(True) >= 3
    assert 0.05 < (~visible).mean() < 0.6
