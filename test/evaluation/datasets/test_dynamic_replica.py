import gzip
import json

import numpy as np
import pytest
import torch
from clips import texture

from cotracker_ros.evaluation.datasets import DatasetError, read_dynamic_replica

SIZE = (40, 30)
FRAMES, POINTS = 14, 8


def write_split(folder, split="valid", sequences=("b", "a")):
    """Write sequences in the published layout; point n is visible in the first 4 + 2 n frames."""
    annotations = []
    for name in sequences:
        tracks = folder / f"{name}_left" / "trajectories"
        tracks.mkdir(parents=True)
        for t in range(FRAMES):
            xy = torch.stack(
                [torch.arange(POINTS) + 0.5 * t, torch.full((POINTS,), 10.0), torch.ones(POINTS)], 1
            )
            frame = {
                "img": torch.from_numpy(texture(SIZE, t)),
                "traj_2d": xy,
                "verts_inds_vis": t < 4 + 2 * torch.arange(POINTS),
            }
            torch.save(frame, tracks / f"{t:06d}.pth")
            for camera in ("left", "right"):
                annotations.append(
                    {
                        "sequence_name": name,
                        "frame_number": t,
                        "camera_name": camera,
                        "trajectories": {"path": f"{name}_{camera}/trajectories/{t:06d}.pth"},
                    }
                )
    with gzip.open(folder / f"frame_annotations_{split}.jgz", "wt") as file:
        json.dump(annotations[::-1], file)


def test_reads_the_left_camera_in_the_order_of_the_frames(tmp_path):
    write_split(tmp_path)
    clips = list(read_dynamic_replica(tmp_path))
    assert [clip.name for clip in clips] == ["a", "b"]
    clip = clips[0]
    np.testing.assert_array_equal(clip.frames[3], texture(SIZE, 3))
    # Points 4 to 7 are visible in 12 frames or more, point 3 in ten: not in more than ten.
    np.testing.assert_array_equal(clip.xy[0], [[4, 10], [5, 10], [6, 10], [7, 10]])
    np.testing.assert_array_equal(clip.xy[6, :, 0], [7, 8, 9, 10])
    assert clip.visible.sum(axis=0).tolist() == [12, 14, 14, 14]
    assert clip.known.all()


def test_draws_tracks_by_the_seed(tmp_path):
    write_split(tmp_path)
    drawn = [
        tuple(next(read_dynamic_replica(tmp_path, count=2, seed=seed)).xy[0, :, 0].tolist())
        for seed in range(8)
    ]
    again = next(read_dynamic_replica(tmp_path, count=2, seed=3)).xy[0, :, 0].tolist()
    assert tuple(again) == drawn[3]
    assert len(set(drawn)) > 1


def test_takes_the_first_frames_and_another_size(tmp_path):
    write_split(tmp_path / "valid")
    clip = next(read_dynamic_replica(tmp_path, frames=12, size=(20, 15)))
    assert clip.frames.shape == (12, 15, 20, 3)
    np.testing.assert_allclose(clip.xy[0, 0], [4 * 19 / 39, 10 * 14 / 29], rtol=1e-6)


def test_too_few_frames_leave_no_tracks(tmp_path):
    write_split(tmp_path)
    with pytest.raises(DatasetError, match="visible in more than 10"):
        next(read_dynamic_replica(tmp_path, frames=10))


def test_missing_splits_are_named_at_once(tmp_path):
    write_split(tmp_path)
    with pytest.raises(DatasetError, match=r"no frame_annotations_test\.jgz"):
        read_dynamic_replica(tmp_path, split="test")
    with pytest.raises(DatasetError, match="give at least 1"):
        read_dynamic_replica(tmp_path, count=0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b'[{"sequence_name": "a"')[:20],
        gzip.compress(b'[{"sequence_name": "a"'),
        gzip.compress(b'[{"sequence_name": "a", "camera_name": "left", "frame_number": 0}]'),
        gzip.compress(b'{"a": 1}'),
    ],
)
def test_damaged_lists_are_one_sentence(tmp_path, content):
    (tmp_path / "frame_annotations_valid.jgz").write_bytes(content)
    with pytest.raises(DatasetError, match="damaged or holds no frames"):
        read_dynamic_replica(tmp_path)


def test_a_list_without_the_left_camera_is_named(tmp_path):
    (tmp_path / "frame_annotations_valid.jgz").write_bytes(gzip.compress(b"[]"))
    with pytest.raises(DatasetError, match="no frame of the left camera"):
        read_dynamic_replica(tmp_path)


class Bomb:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "is damaged"),
        (lambda path: torch.save({"img": torch.zeros(3)}, path), "is damaged"),
        (lambda path: torch.save([1], path), "is damaged"),
        (lambda path: torch.save({"img": Bomb()}, path), "is damaged"),
        (
            lambda path: torch.save(
                {
                    "img": torch.zeros(30, 40, 3),
                    "traj_2d": torch.zeros(3, 2),
                    "verts_inds_vis": torch.zeros(4, dtype=torch.bool),
                },
                path,
            ),
            "not those of one frame",
        ),
    ],
)
def test_damaged_frames_are_one_sentence(tmp_path, capsys, damage, sentence):
    write_split(tmp_path)
    damage(tmp_path / "a_left/trajectories/000002.pth")
    with pytest.raises(DatasetError, match=sentence):
        next(read_dynamic_replica(tmp_path))
    assert "ran" not in capsys.readouterr().out
