"""``cotracker_ros evaluate`` from the command line to its files, on tiny inputs."""

import json
import pickle
from dataclasses import replace
from threading import Event
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from clips import SMALL, moving_clip, small_network

from cotracker_ros import cli
from cotracker_ros.evaluation import data_sets, scene_evaluation
from cotracker_ros.evaluation.candidates import make_candidates
from cotracker_ros.evaluation.runner import DataSet, evaluate
from cotracker_ros.evaluation.trials import LabelledTask
from cotracker_ros.model.checkpoints import save
from cotracker_ros.synthetic.sequences import SEQUENCES
from cotracker_ros.tracking.labelled import LabelledClip

STEP = np.array([1.3, -0.7])


def run(capsys, *arguments):
    try:
        code = cli.main(["evaluate", *(str(argument) for argument in arguments)])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def video(tmp_path):
    """Nine images that move by STEP."""
    folder = tmp_path / "video"
    folder.mkdir()
    for i, image in enumerate(moving_clip(9, tuple(STEP))):
        cv2.imwrite(str(folder / f"{i}.png"), image[..., ::-1])
    return folder


@pytest.fixture
def tapvid(tmp_path):
    """Two videos in TAP-Vid's format: points that move, one of them hidden for a while."""
    time = np.arange(9)[:, None]
    xy = np.array([60, 60]) + STEP * time
    occluded = np.zeros((2, 9), bool)
    occluded[1, 3:5] = True
    entry = {
        "video": moving_clip(9, tuple(STEP)),
        "points": np.stack([xy, xy + 8]) / np.array([159, 119]),
        "occluded": occluded,
    }
    hidden = entry | {"occluded": np.ones((2, 9), bool)}
    path = tmp_path / "davis.pkl"
    path.write_bytes(pickle.dumps({"box": entry, "nothing": hidden}))
    return path


def clip(length=6, name="clip"):
    xy = (
        np.full((length, 1, 2), 60.0, np.float32) + STEP.astype(np.float32) * np.arange(length)[:, None, None]
    )
    visible = np.ones((length, 1), bool)
    return LabelledClip(moving_clip(length, tuple(STEP)), xy, visible, visible, name)


def test_klt_and_a_network_side_by_side(capsys, tmp_path, video, tapvid):
    save(small_network(), SMALL, tmp_path / "net.safetensors")
    name = f"{tmp_path}/net.safetensors:update_every=4,iterations=1,input_width=64,input_height=64"
    out = tmp_path / "new" / "out"
    arguments = ["--tapvid", tapvid, "--palindrome", video, "--frames", 5, "--tracker", name, "--out", out]
    code, text, err = run(capsys, *arguments, "--device", "cpu")
    assert code == 0, err
    assert (out / "evaluate.md").read_text() == text
    assert "| klt | first = final | 100.0 |" in text  # survival of palindromes
    assert f"| {name} | first |" in text and f"| {name} | final |" in text
    assert "1 clip, queries first, tracked jointly, of 9 images, 256x256 px" in text
    assert "no point to ask for: davis/nothing." in text
    assert "default on a CPU" not in text  # nothing to judge it by

    palindrome, found = json.loads((out / "evaluate.json").read_text())["sets"]
    assert (found["kind"], found["clips"], found["skipped"]) == ("tapvid", ["davis/box"], ["davis/nothing"])
    klt, network = found["trackers"]
    assert (klt["weights"], network["weights"]) == ("klt", f"{tmp_path}/net.safetensors")
    assert klt["first"]["mean"]["pts_within_1"] == 1
    assert klt["first"]["mean"]["true_returning"] == 0.5
    # Windows of 8: images wait 7 to 0 for the first, the ninth for the end.
    assert network["delay"] == pytest.approx(28 / 9)
    assert palindrome["clips"] == ["video 0"]
    assert palindrome["trackers"][0]["first"]["mean"]["home_error_median_px"] < 0.1
    plots = sorted(path.name for path in out.glob("*.png"))
    assert plots == ["0_video.png", "1_davis_pkl.png"]


def test_a_function_of_your_own_is_scored_beside_klt(capsys, tmp_path, tapvid, monkeypatch):
    """One that knows how points move is right everywhere; it has seen the whole clip: no first answers."""
    (tmp_path / "my_trackers.py").write_text(
        "import numpy as np\n"
        f"STEP = np.array({STEP.tolist()})\n"
        "def knows(frames, queries):\n"
        "    time = np.arange(len(frames))[:, None, None] - queries[None, :, :1]\n"
        "    pixel = (np.array(frames.shape[2:0:-1]) - 1) / [159, 119]\n"  # scored at 256x256
        "    xy = queries[None, :, 1:] + STEP * pixel * time\n"
        "    seen = np.ones(xy.shape[:2], bool)\n"
        "    seen[3:5, 1] = False\n"
        "    return xy, seen\n"
        "def fails(frames, queries):\n"
        "    raise RuntimeError('out of memory')\n"
    )
    monkeypatch.chdir(tmp_path)
    asked = "--tapvid", tapvid, "--out", tmp_path / "out", "--tracker"
    code, _, err = run(capsys, *asked, "my_trackers:knows")
    assert code == 0, err
    _, own = json.loads((tmp_path / "out" / "evaluate.json").read_text())["sets"][0]["trackers"]
    assert own["final"]["mean"]["average_jaccard"] == 1
    assert own["first"] is None
    for name, sentence in (
        ("fails", "the tracker 'my_trackers:fails' failed: RuntimeError: out of memory"),
        ("absent", "'my_trackers:absent' cannot be had"),
    ):
        code, _, err = run(capsys, *asked, f"my_trackers:{name}")
        assert code == 2 and sentence in err


def test_one_data_set_can_be_damaged_without_loss_of_the_others(capsys, tmp_path, video):
    (tmp_path / "bad.pkl").write_bytes(b"no pickle")
    arguments = ["--palindrome", video, "--frames", "4", "--tapvid", tmp_path / "bad.pkl"]
    code, text, err = run(capsys, *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert "bad.pkl" in err.splitlines()[-1] and err.splitlines()[-1].startswith("cotracker_ros: ")
    assert "| klt | first = final | 100.0 |" in text
    assert (tmp_path / "out" / "evaluate.json").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "there is nothing to evaluate on; give --rendered"),
        (["--tapvid", "/nowhere.pkl"], "/nowhere.pkl does not exist"),
        (["--palindrome", "."], "neither a bag nor a folder of images"),
        (["--synthetic", "1", "--no-klt"], "name a --tracker, or leave out --no-klt"),
        (["--synthetic", "1", "--tracker", "klt:radius=3"], "has no setting radius"),
        (["--synthetic", "-1"], "synthetic is -1; give 0 or more"),
        (["--palindrome", ".", "--frames", "1"], "goes nowhere"),
        (["--palindrome", ".", "--points", "0"], "points is 0; give at least 1"),
        (["--static-scene", "."], "is no static scene"),
    ],
)
def test_what_cannot_be_done_is_one_line(capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.replace("\r", "\n").splitlines() if line.startswith("cotracker_ros: ")]
    assert sentence in line


class TestRunner:
    def sets(self, *names, **settings):
        return DataSet(
            "set", "tapvid", lambda: (clip(name=name) for name in names), LabelledTask(), **settings
        )

    def test_a_limit_and_all_trackers_on_the_same_clips(self):
        results = []
        extra = make_candidates(["klt", "klt:window=31"])
        evaluate([self.sets("a", "b", "c", extra=extra)], make_candidates(["klt"]), results, limit=2)
        (result,) = results
        assert result.clips == ["a", "b"]
        assert [tracker.name for tracker in result.trackers] == ["klt", "klt:window=31"]
        assert (result.about["frames"], result.about["sizes"]) == ([6], ["160x120"])

    def test_stops_after_the_clip_in_hand(self):
        stop, results = Event(), []

        def clips():
            yield clip(name="a")
            stop.set()
            yield clip(name="b")
            raise AssertionError("a third clip was asked for")

        endless = DataSet("set", "tapvid", clips, LabelledTask())
        evaluate([endless, self.sets("c")], make_candidates(["klt"]), results, stop=stop)
        assert [result.clips for result in results] == [["a", "b"]]


class TestDataSets:
    def test_synthetic_clips_are_held_out_and_run_with_all_settings_of_klt(self, monkeypatch):
        asked = []
        monkeypatch.setattr(
            data_sets, "training_clip", lambda seed, config: asked.append((seed, config)) or clip(8)
        )
        results = []
        evaluate([data_sets.synthetic(2, "first", False)], make_candidates(["klt"]), results)
        assert [seed for seed, _ in asked] == [0, 1]
        config = asked[0][1]
        assert (config.held_out, config.frames, config.width, config.height) == (True, 48, 256, 256)
        names = [tracker.name for tracker in results[0].trackers]
        assert len(names) == 6 and names[0] == "klt" and "klt:max_error=4,window=31" in names
        assert results[0].best_klt.mean("final")["average_jaccard"] == 1

    def test_frames_and_topics_of_a_static_scene_can_be_named(self, monkeypatch, capsys, tmp_path):
        opened = []
        found = iter([[], [clip(name="scene")]])  # nothing to say of its whole length, and one clip

        def opens(source, *_, **options):
            opened.append((source, options["world"], options["image_topic"], options["depth_topic"]))
            return iter(next(found))

        monkeypatch.setattr(scene_evaluation, "registered_static_scene", opens)
        monkeypatch.setattr(data_sets, "static_scene_clips", opens)
        monkeypatch.setattr(scene_evaluation, "score_recording", lambda frames, *_, **__: next(frames, {}))
        options = ["--world", "map", "--image-topic", "/left/image", "--depth-topic", "/left/depth"]
        code, _, err = run(capsys, "--static-scene", tmp_path, *options, "--out", tmp_path / "out")
        assert code == 0, err
        assert opened == [(tmp_path, "map", "/left/image", "/left/depth")] * 2

    def test_dynamic_replica_is_asked_for_in_frame_0(self, monkeypatch, tmp_path):
        from cotracker_ros.evaluation import datasets

        read = []
        fake = SimpleNamespace(clips=lambda folder, split: read.append((folder, split)) or [clip()])
        monkeypatch.setattr(datasets, "read_dynamic_replica", fake.clips, raising=False)
        results = []
        evaluate([data_sets.dynamic_replica(tmp_path, "test", False)], make_candidates(["klt"]), results)
        assert read == [(tmp_path, "test")]
        assert results[0].about["queries"] == "start"


class TestRendered:
    def test_tables_of_points_poses_and_bodies(self, capsys, tmp_path, monkeypatch):
        kind = replace(SEQUENCES["occlusion"], seconds=1.6)
        monkeypatch.setitem(SEQUENCES, "occlusion", kind)
        arguments = ["--rendered", "occlusion", "--rendered-size", 160, 120, "--scene-points", 80]
        code, text, err = run(capsys, *arguments, "--out", tmp_path)
        assert code == 0, err
        assert "## Rendered sequences" in text and "AJ" not in text
        assert "32 images of 160x120 px at 20 Hz" in text
        assert "| occlusion | tracks | " in text and "| occlusion | transforms | box | " in text
        (found,) = json.loads((tmp_path / "evaluate.json").read_text())["rendered"]
        assert found["scores"]["tracks"]["odometry"]["images"] == 32
        assert found["scores"]["transforms"]["points"]["measured"]["median_cm"] < 5

    def test_names_and_sizes_are_checked(self, capsys, tmp_path):
        for arguments, sentence in (
            (["--rendered", "kitchen"], "choose from static_room, workshop, crowded, occlusion"),
            (["--rendered", "--rendered-size", "9", "9"], "give at least 64 px"),
        ):
            code, _, err = run(capsys, *arguments, "--out", tmp_path)
            assert code == 2 and sentence in err
