import io
import pickle

import numpy as np
import pytest
from clips import texture
from PIL import Image

from cotracker_ros.evaluation.datasets import DatasetError, read_tapvid

SIZE = (48, 32)


def entry(frames=4, tracks=3, jpeg=False, seed=0):
    rng = np.random.default_rng(seed)
    video = np.stack([texture(SIZE, seed + t) for t in range(frames)])
    return {
        "video": [encoded(image) for image in video] if jpeg else video,
        "points": rng.random((tracks, frames, 2)),
        "occluded": rng.random((tracks, frames)) < 0.4,
    }


def encoded(image):
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=95)
    return data.getvalue()


def write(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


def test_davis_is_resized_as_the_benchmark_does(tmp_path):
    truth = {"bear": entry(seed=1), "car": entry(frames=6, tracks=2, seed=2)}
    clips = list(read_tapvid(write(tmp_path / "tapvid_davis.pkl", truth)))
    assert [clip.name for clip in clips] == ["tapvid_davis/bear", "tapvid_davis/car"]
    for clip, expected in zip(clips, truth.values(), strict=True):
        assert clip.frames.shape == (len(expected["video"]), 256, 256, 3)
        frame = Image.fromarray(expected["video"][1]).resize((256, 256), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(clip.frames[1], np.asarray(frame))
        np.testing.assert_allclose(clip.xy, expected["points"].transpose(1, 0, 2) * 255, atol=1e-4)
        np.testing.assert_array_equal(clip.visible, ~expected["occluded"].T)
        assert clip.known.all()


def test_reading_twice_gives_the_same(tmp_path):
    path = write(tmp_path / "tapvid_davis.pkl", {"bear": entry()})
    first, second = next(read_tapvid(path)), next(read_tapvid(path))
    np.testing.assert_array_equal(first.xy, second.xy)


def test_the_size_of_the_file_can_be_kept(tmp_path):
    truth = entry()
    clip = next(read_tapvid(write(tmp_path / "davis.pkl", {"bear": truth}), size=None))
    assert clip.size == SIZE
    np.testing.assert_array_equal(clip.frames, truth["video"])
    np.testing.assert_allclose(clip.xy, truth["points"].transpose(1, 0, 2) * [47, 31], atol=1e-5)


def test_kinetics_shards_hold_lists_of_jpegs(tmp_path):
    shards = [[entry(jpeg=True, seed=10 * shard + i) for i in range(2)] for shard in range(3)]
    for number, shard in enumerate(shards):
        write(tmp_path / f"{number:04d}_of_0010.pkl", shard)
    clips = list(read_tapvid(tmp_path, size=None))
    assert [clip.name for clip in clips][:3] == [
        "0000_of_0010/0",
        "0000_of_0010/1",
        "0001_of_0010/0",
    ]
    assert len(clips) == 6
    original = texture(SIZE, 10)
    assert (
        np.abs(clips[2].frames[0].astype(int) - original).mean() < 12
    )  # red, green and blue in their places
    one = list(read_tapvid(tmp_path / "0001_of_0010.pkl", size=None))
    np.testing.assert_array_equal(one[0].frames, clips[2].frames)


@pytest.mark.parametrize("kind", [object, None])
def test_jpegs_may_lie_in_an_array(tmp_path, kind):
    truth = entry(jpeg=True)
    truth["video"] = np.array(truth["video"], dtype=kind)
    assert len(next(read_tapvid(write(tmp_path / "a.pkl", [truth])))) == 4


def test_robotap_has_several_dicts(tmp_path):
    for split in range(2):
        write(tmp_path / f"robotap_split{split}.pkl", {f"video_{split}": entry(seed=split)})
    (tmp_path / "README.txt").write_text("not a split")
    names = [clip.name for clip in read_tapvid(tmp_path)]
    assert names == ["robotap_split0/video_0", "robotap_split1/video_1"]


def test_a_clip_is_read_only_when_its_turn_comes(tmp_path):
    bad = entry(jpeg=True)
    bad["video"][2] = bad["video"][2][:100]
    clips = read_tapvid(write(tmp_path / "0000_of_0010.pkl", [entry(jpeg=True), bad]))
    assert len(next(clips)) == 4
    with pytest.raises(DatasetError, match=r"0000_of_0010.pkl, entry 1: .*cannot be decoded"):
        next(clips)


def test_a_hidden_point_may_be_anywhere(tmp_path):
    truth = entry()
    truth["occluded"][0, 1] = True
    truth["points"][0, 1] = np.nan
    clip = next(read_tapvid(write(tmp_path / "a.pkl", [truth])))
    assert np.isfinite(clip.xy).all()
    assert not clip.visible[1, 0]


def broken(**changes):
    return [entry() | changes]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "holds no videos"),
        ([], "holds no videos"),
        (3, "neither a dict nor a list"),
        (entry(), "neither a dict nor a list"),
        ({"weights": np.zeros(3)}, "needs video, points, occluded"),
        ([{"video": 1}], "needs video, points, occluded"),
        (broken(points=np.zeros((3, 5, 2))), "4 frames, points .* do not belong together"),
        (broken(occluded=np.zeros((2, 4), bool)), "do not belong together"),
        (broken(occluded=[[False] * 4] * 3), "occluded is a list"),
        (broken(points=np.full((3, 4, 2), 200.0), occluded=np.zeros((3, 4), bool)), "shares of the image"),
        (broken(video=np.zeros((4, 32, 48), np.uint8)), r"not \(T, H, W, 3\)"),
        (broken(video=[]), "no frames"),
        (broken(video=["a", "b"]), "a frame of the video is a str"),
        (broken(video="video.mp4"), "the video is a str"),
        (broken(video=np.zeros((4, 32, 48, 3))), "a frame of the video is a float"),
    ],
)
def test_wrong_content_is_one_sentence(tmp_path, content, sentence):
    path = write(tmp_path / "davis.pkl", content)
    with pytest.raises(DatasetError, match=sentence) as caught:
        list(read_tapvid(path))
    assert "davis.pkl" in str(caught.value)


def test_missing_files_and_sizes_are_named_at_once(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        read_tapvid(tmp_path / "no.pkl")
    with pytest.raises(DatasetError, match=r"holds no \.pkl file"):
        read_tapvid(tmp_path)
    with pytest.raises(DatasetError, match="at least 2x2"):
        read_tapvid(write(tmp_path / "a.pkl", [entry()]), size=(0, 256))


def test_a_download_that_broke_off_is_named(tmp_path):
    path = write(tmp_path / "davis.pkl", {"bear": entry()})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetError, match="ends in the middle"):
        next(read_tapvid(path))


def test_a_dangerous_file_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "trace").touch, ()

    path = write(tmp_path / "davis.pkl", {"bear": entry() | {"video": Bomb()}})
    with pytest.raises(DatasetError, match="asks to run"):
        next(read_tapvid(path))
    assert not (tmp_path / "trace").exists()
