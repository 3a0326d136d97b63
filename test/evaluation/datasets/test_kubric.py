import cv2
import numpy as np
import pytest
from clips import texture

from cotracker_ros.evaluation.datasets import DatasetError, KubricSequences

SIZE = (40, 30)
FRAMES = 5


def write_sequence(folder, name, seed=0, tracks=6):
    """Write a sequence in the layout of the release and return its pictures and tracks."""
    rng = np.random.default_rng(seed)
    (folder / name / "frames").mkdir(parents=True)
    images = [texture(SIZE, seed + t) for t in range(FRAMES)]
    for t, image in enumerate(images):
        cv2.imwrite(str(folder / name / "frames" / f"{t:03d}.png"), image[..., ::-1])
    coords = (rng.random((tracks, FRAMES, 2)) * [39, 29]).astype(np.float32)
    hidden = rng.random((tracks, FRAMES)) < 0.3
    np.save(folder / name / f"{name}.npy", {"coords": coords, "visibility": hidden}, allow_pickle=True)
    return np.stack(images), coords, hidden


def test_reads_images_and_tracks(tmp_path):
    written = [write_sequence(tmp_path / "movi_f", f"{n:04d}", seed=n) for n in range(3)]
    sequences = KubricSequences(tmp_path)
    assert len(sequences) == 3
    assert sequences.names == ("0000", "0001", "0002")
    images, coords, hidden = written[1]
    clip = sequences[1]
    np.testing.assert_array_equal(clip.frames, images)
    np.testing.assert_array_equal(clip.xy, coords.transpose(1, 0, 2))
    np.testing.assert_array_equal(clip.visible, ~hidden.T)
    assert clip.known.all()
    assert clip.name == "0001"
    assert [c.name for c in sequences] == list(sequences.names)


@pytest.mark.parametrize("below", ["", "movi_f", "kubric_movi_f_120_frames_dense/movi_f"])
def test_finds_the_sequences_inside_the_release(tmp_path, below):
    write_sequence(tmp_path / below, "0007")
    assert KubricSequences(tmp_path).names == ("0007",)


def test_reads_some_of_the_frames(tmp_path):
    images, coords, _ = write_sequence(tmp_path, "0000")
    clip = KubricSequences(tmp_path).read(0, slice(1, 5, 2))
    np.testing.assert_array_equal(clip.frames, images[[1, 3]])
    np.testing.assert_array_equal(clip.xy, coords[:, [1, 3]].transpose(1, 0, 2))
    with pytest.raises(DatasetError, match="none of them was asked for"):
        KubricSequences(tmp_path).read(0, slice(9, 12))


def test_what_is_not_a_number_is_unknown_and_what_is_outside_not_visible(tmp_path):
    _, coords, _ = write_sequence(tmp_path, "0000", tracks=3)
    coords[0, 1] = np.nan
    coords[1, 2] = [-3, 5]
    tracks = {"coords": coords, "visibility": np.zeros(coords.shape[:2], bool)}
    np.save(tmp_path / "0000" / "0000.npy", tracks, allow_pickle=True)
    clip = KubricSequences(tmp_path)[0]
    unknown, unseen = np.zeros((FRAMES, 3), bool), np.zeros((FRAMES, 3), bool)
    unknown[1, 0] = unseen[1, 0] = unseen[2, 1] = True
    np.testing.assert_array_equal(clip.known, ~unknown)
    np.testing.assert_array_equal(clip.visible, ~unseen)
    assert np.isfinite(clip.xy).all()


def test_numbers_out_of_range_are_no_sequences(tmp_path):
    write_sequence(tmp_path, "0000")
    with pytest.raises(IndexError):
        KubricSequences(tmp_path)[1]


def test_a_folder_without_sequences_is_named(tmp_path):
    (tmp_path / "0000" / "frames").mkdir(parents=True)
    with pytest.raises(DatasetError, match="holds no sequences"):
        KubricSequences(tmp_path)


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class Bomb:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_cut, "ends in the middle|damaged"),
        (lambda path: path.write_bytes(b""), "cut short or no .npy"),
        (lambda path: path.write_bytes(b"PK\x03\x04"), "cut short or no .npy"),
        (lambda path: np.save(path, np.zeros(3)), "holds no tracks"),
        (lambda path: np.save(path, {"coords": np.zeros((2, 5, 2))}, allow_pickle=True), "holds no tracks"),
        (lambda path: np.save(path, {"coords": Bomb()}, allow_pickle=True), "asks to run"),
        (
            lambda path: np.save(
                path, {"coords": np.zeros((2, 4, 2)), "visibility": np.zeros((2, 4))}, allow_pickle=True
            ),
            "5 frames, but its tracks have 4",
        ),
        (
            lambda path: np.save(
                path, {"coords": np.zeros((2, 5, 2)), "visibility": np.zeros((2, 4))}, allow_pickle=True
            ),
            "do not belong together",
        ),
        (lambda path: (path.parent / "frames/002.png").write_bytes(b"x"), "no image"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path, capsys, damage, sentence):
    write_sequence(tmp_path, "0000")
    damage(tmp_path / "0000" / "0000.npy")
    with pytest.raises(DatasetError, match=sentence):
        KubricSequences(tmp_path)[0]
    assert capsys.readouterr().out == ""
