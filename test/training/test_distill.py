"""Distillation from end to end: labels on disk, interrupted and stale, failing teachers, the command."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clips import moving_clip
from drifting import drifting_clip
from listed import ListedRecording

from cotracker_ros import cli
from cotracker_ros.messages import image_fields
from cotracker_ros.model import CoTracker3, CoTracker3Config, checkpoints
from cotracker_ros.recordings import BagWriter
from cotracker_ros.training import label_cache, label_clips, labelling, student
from cotracker_ros.training.config import DataConfig, TrainConfig
from cotracker_ros.training.cutting import CutConfig
from cotracker_ros.training.distill_report import write_report
from cotracker_ros.training.label_cache import (
    CachedLabels,
    LabelCacheError,
    LabelFolder,
    load_clip,
    load_labels,
    write_list,
)
from cotracker_ros.training.label_clips import label_source, random_piece
from cotracker_ros.training.label_verifier import LabelVerifierError
from cotracker_ros.training.labelling import LabelSettings, label_recording
from cotracker_ros.training.named_teachers import make_teacher
from cotracker_ros.training.pseudo_labels import LabelConfig
from cotracker_ros.training.samples import unrolled_sample
from cotracker_ros.training.student import StudentConfig, student_config, train_student
from cotracker_ros.training.teachers import CallableTeacher

STEP = (1.0, -0.5)
SETTINGS = LabelSettings(
    CutConfig(frames=8, clips=3, max_stride=1, min_images=6), LabelConfig(tracks=16, query_frames=4)
)
KLT = make_teacher("klt")
NETWORK = CoTracker3Config(
    window=4, causal=True, stem_width=8, stage_widths=(8, 8, 8, 8), head_width=8, feature_width=8,
    corr_levels=2, corr_radius=1, support_radius=1, corr_hidden=8, corr_width=8, hidden=16, heads=2, depth=1,
    mlp_ratio=1.0, virtual_tracks=2, motion_height=48, motion_width=64,
)  # fmt: skip


def known_answer(frames, queries):
    time = np.arange(len(frames))[:, None] - queries[:, 0]
    xy = queries[:, 1:] + time[..., None] * np.array(STEP)
    return xy, np.full(time.shape, 0.99)


TRUTH = CallableTeacher("truth", "1", known_answer)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return moving_clip(16, STEP)


@pytest.fixture
def recording(images: np.ndarray, tmp_path: Path) -> ListedRecording:
    path = tmp_path / "lab.bag"
    path.write_bytes(b"12345")
    return ListedRecording(images, path)


def test_labels_are_true_and_clips_are_found_again_on_disk(recording, images, tmp_path: Path) -> None:
    result = label_recording(recording, [KLT, TRUTH], tmp_path / "labels", SETTINGS)
    assert (result.images, result.kept, result.refused, len(result.clips)) == (16, 16, "", 3)
    for clip in result.clips:
        assert clip.path is not None
        cached = load_labels(clip.path)
        time = np.arange(8)[:, None] - cached.queries[:, 0]
        truth = cached.queries[:, 1:] + time[..., None] * np.array(STEP)
        known, visible = cached.labels.known, cached.labels.visible
        assert known.mean() > 0.9
        assert np.abs(cached.labels.xy - truth)[known].max() < 0.25
        inside = ((truth >= 0) & (truth <= (159, 119))).all(-1)
        assert not visible[~inside].any()
        assert cached.record.teachers == ("klt", "truth")
        frames = load_clip(clip.path).frames
        original = images[list(cached.record.numbers)].astype(int)
        assert np.abs(frames - original).mean() < 3  # JPEG


def test_a_finished_run_does_nothing_again_and_an_interrupted_one_goes_on(recording, tmp_path: Path) -> None:
    calls: list[int] = []
    stop = threading.Event()

    def counting(frames, queries):
        calls.append(1)
        stop.set()  # Ctrl-C during the first clip
        return known_answer(frames, queries)

    folder, teacher = tmp_path / "labels", CallableTeacher("truth", "1", counting)
    first = label_recording(recording, [teacher], folder, SETTINGS, stop=stop)
    assert len(first.clips) == len(list(folder.iterdir())) == 1
    before = len(calls)
    second = label_recording(recording, [teacher], folder, SETTINGS)
    assert (len(second.clips), second.reused) == (3, 1)
    assert len(calls) == 3 * before
    third = label_recording(recording, [teacher], folder, SETTINGS)
    assert (third.reused, len(calls)) == (3, 3 * before)
    assert [clip.path for clip in third.clips] == [clip.path for clip in second.clips]


def test_a_killed_write_leaves_no_clip(recording, tmp_path: Path, monkeypatch) -> None:
    def killed(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    folder = tmp_path / "labels"
    with monkeypatch.context() as patch:
        patch.setattr(label_cache, "save_file", killed)
        with pytest.raises(KeyboardInterrupt):
            label_recording(recording, [TRUTH], folder, SETTINGS)
    assert not list(folder.glob("*.safetensors"))
    label_recording(recording, [TRUTH], folder, SETTINGS)
    assert len(list(folder.glob("*.safetensors"))) == 3
    assert not list(folder.glob("*.part"))


def test_a_full_disk_is_told_and_leaves_nothing_behind(recording, tmp_path: Path, monkeypatch) -> None:
    def full(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(label_cache, "save_file", full)
    with pytest.raises(OSError, match=r"cannot be written: .*No space left"):
        label_recording(recording, [TRUTH], tmp_path / "labels", SETTINGS)
    assert not list((tmp_path / "labels").iterdir())


def test_truncated_files_are_made_again(recording, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    result = label_recording(recording, [TRUTH], folder, SETTINGS)
    paths = [clip.path for clip in result.clips]
    whole = paths[0].read_bytes()
    os.truncate(paths[0], len(whole) // 2)
    paths[1].write_bytes(b"")
    with pytest.raises(LabelCacheError, match="no whole file of labels"):
        load_clip(paths[0])
    again = label_recording(recording, [TRUTH], folder, SETTINGS)
    assert again.reused == 1
    assert paths[0].read_bytes() == whole


@pytest.mark.parametrize(
    "change", ["teacher", "another teacher", "limit", "cut", "seed", "recording"]
)  # fmt: skip
def test_labels_of_other_settings_are_made_again(recording, images, tmp_path: Path, change: str) -> None:
    folder = tmp_path / "labels"
    label_recording(recording, [TRUTH], folder, SETTINGS)
    teachers, settings = [TRUTH], SETTINGS
    if change == "teacher":
        teachers = [replace(TRUTH, identity="2")]
    elif change == "another teacher":
        teachers = [TRUTH, KLT]
    elif change == "limit":
        settings = replace(SETTINGS, label=replace(SETTINGS.label, max_cycle=1.5))
    elif change == "cut":
        settings = replace(SETTINGS, cut=replace(SETTINGS.cut, frames=7))
    elif change == "seed":
        settings = replace(SETTINGS, seed=1)
    else:
        recording = ListedRecording(images[:-1], recording.summary.path)
    assert label_recording(recording, teachers, folder, settings).reused == 0


def test_labels_of_another_verifier_are_made_again(recording, tmp_path: Path, monkeypatch) -> None:
    verified = replace(SETTINGS, label=replace(SETTINGS.label, labels="verified"))
    label_recording(recording, [KLT], tmp_path, verified)
    assert label_recording(recording, [KLT], tmp_path, verified).reused == 3
    stricter = replace(verified, label=replace(verified.label, min_reliability=0.7))
    assert label_recording(recording, [KLT], tmp_path, stricter).reused == 0
    monkeypatch.setattr(labelling, "verifier_identity", lambda: "another")
    assert label_recording(recording, [KLT], tmp_path, stricter).reused == 0


def test_what_only_a_verifier_heeds_leaves_other_labels_as_they_are(
    recording, tmp_path: Path, monkeypatch
) -> None:
    label_recording(recording, [KLT], tmp_path, SETTINGS)
    monkeypatch.setattr(labelling, "verifier_identity", None)
    stricter = replace(SETTINGS, label=replace(SETTINGS.label, min_reliability=0.7))
    assert label_recording(recording, [KLT], tmp_path, stricter).reused == 3


def test_verified_labels_are_true(recording, tmp_path: Path) -> None:
    """A teacher that slides off is as sure of itself as the one that does not, and KLT is there, too."""

    def slides(frames, queries):
        xy, sure = known_answer(frames, queries)
        return xy + 1.5 * (np.arange(len(frames))[:, None] - queries[:, 0])[..., None], sure

    settings = replace(SETTINGS, label=replace(SETTINGS.label, labels="verified"))
    teachers = [CallableTeacher("slides", "1", slides), KLT, TRUTH]
    result = label_recording(recording, teachers, tmp_path, settings)
    for clip in result.clips:
        assert clip.path is not None
        cached = load_labels(clip.path)
        time = np.arange(8)[:, None] - cached.queries[:, 0]
        truth = cached.queries[:, 1:] + time[..., None] * np.array(STEP)
        known = cached.labels.known
        assert known.mean() > 0.8
        far = np.linalg.norm(cached.labels.xy - truth, axis=-1)
        assert (far[known] < 0.25).mean() > 0.9
        assert (cached.labels.chosen[np.abs(time) > 1] != 0).all()


def test_a_missing_verifier_is_told_before_any_teacher_is_asked(
    recording, tmp_path: Path, monkeypatch
) -> None:
    def missing():
        raise LabelVerifierError("no verifier")

    monkeypatch.setattr(labelling, "verifier_identity", missing)
    monkeypatch.setattr(labelling, "ask_all", None)
    settings = replace(SETTINGS, label=replace(SETTINGS.label, labels="verified"))
    with pytest.raises(LabelVerifierError):
        label_recording(recording, [KLT], tmp_path, settings)


def test_a_looser_share_of_labels_needs_no_new_labels(recording, tmp_path: Path) -> None:
    strict = replace(SETTINGS, label=replace(SETTINGS.label, max_cycle=1e-9))
    first = label_recording(recording, [KLT], tmp_path, strict)
    assert {clip.skipped for clip in first.clips} == {"too few reliable labels"}
    loose = replace(strict, label=replace(strict.label, min_known=0.0))
    second = label_recording(recording, [KLT], tmp_path, loose)
    assert (second.reused, [clip.skipped for clip in second.clips]) == (3, [""] * 3)


@pytest.mark.parametrize("labels", ["reliable", "random", "verified"])
def test_a_teacher_that_fails_costs_nobody_but_itself(recording, tmp_path: Path, labels: str) -> None:
    def fails(frames, queries):
        raise RuntimeError("out of memory\nand a long story")

    settings = replace(SETTINGS, label=replace(SETTINGS.label, labels=labels))
    settings = replace(settings, cut=replace(settings.cut, clips=6))
    teachers = [CallableTeacher("bad", "", fails), TRUTH]
    result = label_recording(recording, teachers, tmp_path / "labels", settings)
    assert all(clip.path for clip in result.clips)
    failed = [clip.failures for clip in result.clips if clip.failures]
    assert failed
    assert all(entry == {"bad": "RuntimeError: out of memory"} for entry in failed)
    assert labels == "random" or len(failed) == 6
    assert all((load_labels(clip.path).labels.chosen != 0).all() for clip in result.clips if clip.path)
    again = label_recording(recording, teachers, tmp_path / "labels", settings)
    assert [clip.failures for clip in again.clips] == [clip.failures for clip in result.clips]


def test_random_labels_draw_a_teacher_for_each_clip(recording, tmp_path: Path) -> None:
    settings = LabelSettings(
        replace(SETTINGS.cut, clips=8), replace(SETTINGS.label, labels="random"), SETTINGS.seed
    )
    result = label_recording(recording, [KLT, TRUTH], tmp_path, settings)
    drawn = [
        set(np.unique(load_labels(clip.path).labels.chosen)) - {-1} for clip in result.clips if clip.path
    ]
    assert len(drawn) == 8
    assert all(len(teachers) == 1 for teachers in drawn)
    assert set.union(*drawn) == {0, 1}


def test_clips_without_features_or_motion_are_skipped(images, tmp_path: Path) -> None:
    settings = replace(SETTINGS, label=replace(SETTINGS.label, tracks=2000))
    path = tmp_path / "lab.bag"
    path.touch()
    result = label_recording(ListedRecording(images, path), [TRUTH], tmp_path, settings)
    assert [clip.skipped for clip in result.clips] == ["too few features"] * 3

    rng = np.random.default_rng(0)
    noisy = images[0] + rng.normal(0, 4, (16, *images[0].shape))
    still = np.clip(noisy, 0, 255).astype(np.uint8)
    result = label_recording(ListedRecording([*images, *still], path), [TRUTH], tmp_path, SETTINGS)
    assert [clip.skipped for clip in result.clips][-1] == "nothing moves"
    assert not result.clips[0].skipped


def test_the_report_counts_winners_failures_and_what_was_left_out(recording, tmp_path: Path) -> None:
    def fails(frames, queries):
        raise RuntimeError("no GPU")

    teachers = [CallableTeacher("bad", "", fails), TRUTH]
    result = label_recording(recording, teachers, tmp_path / "labels", SETTINGS)
    clips = (*result.clips, labelling.ClipResult("lab.bag", None, "too few features"))
    short = labelling.RecordingResult("short.mp4", 3, 3, "short.mp4 is too short: 3 of its 3 images")
    text = write_report(tmp_path, [replace(result, clips=clips), short], ["bad", "truth"], "verified")
    assert (tmp_path / "distill.md").read_text() == text
    assert "Clips left out: 1 too few features." in text
    assert "Labels are verified: for each point and frame the teacher that a learned verifier" in text
    assert "short.mp4 is too short" in text
    assert "- bad: RuntimeError: no GPU (3x)" in text
    values = json.loads((tmp_path / "distill.json").read_text())
    assert values["labels"] == "verified"
    truth = values["teachers"]["truth"]["labels"]
    assert values["teachers"]["bad"]["labels"]["all"] == 0
    nobody = values["teachers"]["nobody"]["labels"]
    assert truth["all"] + nobody["all"] == 3 * 7 * 16
    assert truth["0.5-1.5 px"] + truth["1.5-3 px"] == truth["all"]  # 1.6 px to the right at 256, 1.1 up
    assert cv2.imread(str(tmp_path / "distill.png")) is not None


def test_the_report_tells_recordings_apart(recording, tmp_path: Path) -> None:
    result = label_recording(recording, [TRUTH], tmp_path / "labels", SETTINGS)
    first, second = (replace(result, path=name) for name in ("first.bag", "second.bag"))
    split = [replace(first, clips=result.clips[:1]), replace(second, clips=result.clips[1:])]
    text = write_report(tmp_path, split, ["truth"], "reliable")
    values = json.loads((tmp_path / "distill.json").read_text())
    counted = [sum(entry["labels"].values()) for entry in values["recordings"]]
    assert counted == [7 * 16, 2 * 7 * 16]
    assert (
        sum(entry["labels"]["truth"] for entry in values["recordings"])
        == (values["teachers"]["truth"]["labels"]["all"])
    )
    assert "| recording | truth | nobody |" in text
    share = 100 * values["recordings"][1]["labels"]["truth"] / counted[1]
    assert f"| second.bag | {share:.1f} % |" in text


# The folder as a training set


def labelled_folder(recording, folder: Path) -> Path:
    result = label_recording(recording, [KLT], folder, SETTINGS)
    write_list(folder, {clip.path.name: "x" for clip in result.clips if clip.path})
    return folder


def test_a_folder_gives_only_the_clips_of_its_list(recording, tmp_path: Path) -> None:
    folder = labelled_folder(recording, tmp_path / "labels")
    (folder / "stale.safetensors").write_bytes(b"")
    clips = LabelFolder(folder)
    assert len(clips) == 3
    assert clips[0].frames.shape == (8, 120, 160, 3)
    assert [clip.name for clip in clips[1:]] == [clips[1].name, clips[2].name]


def test_an_unfinished_or_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabelCacheError, match="no finished folder of labels"):
        LabelFolder(tmp_path)
    write_list(tmp_path, {})
    with pytest.raises(LabelCacheError, match="holds no labelled clip"):
        LabelFolder(tmp_path)


def test_pieces_show_what_the_labels_say() -> None:
    """A bright dot is where the label says, at any scale and place."""
    frames = np.zeros((6, 90, 120, 3), np.uint8)
    xy = np.zeros((6, 1, 2), np.float32)
    for t in range(6):
        cv2.circle(frames[t], (30 + 5 * t, 40), 4, (255, 255, 255), -1)
        xy[t, 0] = (30 + 5 * t, 40)
    seen = np.ones((6, 1), bool)
    clip = drifting_clip()
    clip = replace(clip, frames=frames, xy=xy, visible=seen, known=seen)
    scales = []
    for seed in range(20):
        piece = random_piece(clip, 4, (48, 40), np.random.default_rng(seed))
        assert piece.frames.shape == (4, 40, 48, 3)
        assert piece.visible[0, 0]
        light = piece.frames[0, :, :, 0].astype(float)
        x, y = piece.xy[0, 0]
        if 8 < x < 40 and 8 < y < 32:
            middle = [
                (light.sum(axis) * np.arange(light.shape[1 - axis])).sum() / light.sum() for axis in (0, 1)
            ]
            assert np.abs(np.array(middle) - (x, y)).max() < 0.35
            scales.append(light.sum())
        assert (piece.visible == ((piece.xy >= 0) & (piece.xy <= (47, 39))).all(-1)).all()
    assert max(scales) > 2 * min(scales)


def test_the_student_is_asked_for_the_points_that_the_teachers_were(recording, tmp_path: Path) -> None:
    (clip, *_) = label_recording(recording, [KLT], tmp_path / "labels", SETTINGS).clips
    queries = load_labels(clip.path).queries
    assert len(set(queries[:, 0])) == 2
    assert np.array_equal(queries, queries.round())  # SIFT features at whole pixels
    data = DataConfig("labels", str(tmp_path), frames=8, window=8, tracks=16)
    config = TrainConfig(data=data)
    sample = unrolled_sample(load_clip(clip.path), config, np.random.default_rng(0))
    assert {tuple(query) for query in sample.queries.tolist()} == {tuple(query) for query in queries.tolist()}


@pytest.mark.parametrize("frames", [12, 16, 24])
def test_pieces_keep_half_of_the_queries_in_their_frames(frames: int) -> None:
    rng = np.random.default_rng(0)
    whole = drifting_clip(frames=16, size=(48, 40), tracks=30)
    numbered = np.broadcast_to(10 * np.arange(16)[:, None, None, None], whole.frames.shape).astype(np.uint8)
    asked = rng.integers(0, 5, 30)
    whole = replace(whole, frames=numbered, query_frames=asked)
    for seed in range(10):
        piece = random_piece(whole, frames, (48, 40), np.random.default_rng(seed))
        there = piece.query_frames >= 0
        assert there.mean() >= 0.5
        assert (piece.frames[piece.query_frames[there], 0, 0, 0] == 10 * asked[there]).all()
        assert there.all() or frames == 12


def test_training_samples_come_at_the_sizes_of_the_run(recording, tmp_path: Path) -> None:
    folder = labelled_folder(recording, tmp_path / "labels")
    config = DataConfig("labels", str(folder), frames=10, window=8, sizes=((64, 48),), tracks=16)
    piece = label_source(config)(np.random.default_rng(0))
    assert piece.frames.shape == (10, 48, 64, 3)
    assert piece.xy.shape == (10, 16, 2)
    varied = label_source(replace(config, least_frames=8))
    assert {len(varied(np.random.default_rng(seed))) for seed in range(12)} == {8, 9, 10}


# The command


@pytest.fixture
def folder_of_images(images: np.ndarray, tmp_path: Path) -> Path:
    folder = tmp_path / "drive"
    folder.mkdir()
    for i, image in enumerate(images):
        cv2.imwrite(str(folder / f"{i}.png"), image[..., ::-1])
    return folder


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


CUT = ("--frames", 8, "--clips", 2, "--tracks", 16, "--min-images", 6)


def test_one_recording_one_robot(folder_of_images: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "small.safetensors"
    network = CoTracker3(NETWORK)
    checkpoints.save(network, NETWORK, weights)
    out = tmp_path / "out"
    arguments = ("distill", "--recordings", folder_of_images, "--teachers", "klt", weights, "--out", out,
                 *CUT, "--student", weights, "--steps", 2, "--workers", 0)  # fmt: skip
    code, text, _ = run(capsys, *arguments)
    assert code == 0
    assert "| klt |" in text
    assert f"student: {out / 'student' / 'student.safetensors'}" in text
    after = CoTracker3.from_checkpoint(out / "student/student.safetensors").state_dict()
    changed = {name for name, part in network.state_dict().items() if not torch.equal(part, after[name])}
    assert any("vis_conf_head" in name for name in changed)
    assert any("fnet" in name for name in changed)

    for name in ("ask", "ask_all"):
        monkeypatch.setattr(labelling, name, None)  # nothing is asked again, and the run is found finished
    code, again, _ = run(capsys, *arguments)
    assert code == 0
    assert again.splitlines()[-1] == text.splitlines()[-1]


def recorded(images: np.ndarray, kind: str, folder: Path) -> Path:
    """The images as a bag, or as a video."""
    if kind == "bag":
        path = folder / "drive.mcap"
        with BagWriter(path) as bag:
            for i, image in enumerate(images):
                stamp = 1_000_000_000 + i * 100_000_000
                bag.write(
                    "/camera/image", "sensor_msgs/msg/Image", stamp, image_fields(image, stamp, "camera")
                )
        return path
    path = folder / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, images.shape[2:0:-1])
    for image in images:
        writer.write(image[..., ::-1])
    writer.release()
    return path


@pytest.mark.parametrize("kind", ["bag", "video"])
def test_labels_only_needs_no_student(images: np.ndarray, tmp_path: Path, capsys, kind: str) -> None:
    out = tmp_path / "out"
    code, _, _ = run(capsys, "distill", "--recordings", recorded(images, kind, tmp_path), "--teachers", "klt",
                     "--out", out, "--labels-only", *CUT)  # fmt: skip
    assert code == 0
    assert len(LabelFolder(out / "labels")) == 2
    assert not (out / "student").exists()


def test_a_video_that_ends_early_is_used_and_the_report_says_so(
    images: np.ndarray, tmp_path: Path, capsys
) -> None:
    path = recorded(images, "video", tmp_path)
    os.truncate(path, int(0.8 * path.stat().st_size))
    code, text, _ = run(capsys, "distill", "--recordings", path, "--teachers", "klt", "--labels-only",
                        "--out", tmp_path / "out", *CUT)  # fmt: skip
    assert code == 0
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {path} | "))
    read = int(row.split(" | ")[1])
    assert row.endswith(f" | the video ends after {read} images, but its header counts 16 |")


def test_labels_are_verified_when_asked_for(folder_of_images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    code, text, _ = run(capsys, "distill", "--recordings", folder_of_images, "--teachers", "klt",
                        "--out", out, "--labels-only", "--labels", "verified", "--min-reliability", 0.5,
                        *CUT)  # fmt: skip
    assert code == 0
    assert "Labels are verified" in text
    assert len(LabelFolder(out / "labels")) == 2


def test_a_still_recording_is_refused_in_one_sentence(tmp_path: Path, images: np.ndarray, capsys) -> None:
    folder = tmp_path / "still"
    folder.mkdir()
    for i in range(14):
        cv2.imwrite(str(folder / f"{i}.png"), images[0])
    code, _, err = run(capsys, "distill", "--recordings", folder, "--teachers", "klt", "--labels-only",
                       "--out", tmp_path / "out")  # fmt: skip
    assert code == 2
    assert err.splitlines()[-1].startswith(f"cotracker_ros: {folder} is too still: 1 of its 14 images differ")


def test_teachers_that_always_fail_are_named(
    folder_of_images: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    (tmp_path / "failing_teacher.py").write_text(
        "def track(frames, queries):\n    raise MemoryError('too big')\n"
    )
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "distill", "--recordings", folder_of_images, "--labels-only", "--teachers",
                       "failing_teacher:track", "--out", tmp_path / "out", *CUT)  # fmt: skip
    assert code == 2
    assert "all teachers failed on all 2 clips, 'failing_teacher:track' with MemoryError: too big" in err


def test_a_student_without_weights_is_told_before_any_work(
    folder_of_images: Path, tmp_path: Path, capsys
) -> None:
    code, _, err = run(capsys, "distill", "--recordings", folder_of_images, "--teachers", "klt", "--student",
                       tmp_path / "none.safetensors", "--out", tmp_path / "out", *CUT)  # fmt: skip
    assert code == 2
    assert "there are no weights at" in err
    assert not (tmp_path / "out").exists()


# The student


def settings_of_student(model: CoTracker3Config, folder: Path, **changes):
    checkpoints.save(CoTracker3(model), model, folder / "w.safetensors")
    config = StudentConfig(student=str(folder / "w.safetensors"), **changes)
    return student_config(config, folder, frames=32, tracks=400, seed=5)


def test_published_networks_get_the_published_second_stage(tmp_path: Path) -> None:
    model = replace(NETWORK, causal=False)
    config = settings_of_student(model, tmp_path)
    assert (config.rate, config.warm_up, config.clip_norm, config.weight_decay) == (5e-5, 0, 10, 1e-5)
    assert (config.schedule, config.data.source, config.model, config.data.tracks) == (
        "one_cycle", "labels", model, 400,
    )  # fmt: skip
    loss = config.loss
    assert loss.freeze_visibility
    assert (loss.visibility, loss.confidence) == (0, 0)
    assert loss.visible == 5 * loss.hidden
    assert (config.starts, config.steps, config.data.covers) == ("query", 2000, False)


def test_offline_networks_get_theirs(tmp_path: Path) -> None:
    config = settings_of_student(replace(NETWORK, causal=False, offline=True), tmp_path)
    assert (config.data.least_frames, config.data.frames) == (32, 32)  # the labelled clips have no more
    assert (config.rate, config.clip_norm, config.loss.freeze_visibility) == (5e-5, 10, True)


def test_causal_networks_learn_what_hides_points_from_covers(tmp_path: Path) -> None:
    config = settings_of_student(NETWORK, tmp_path, rate=1e-4)
    assert config.data.covers
    assert not config.loss.freeze_visibility
    assert (config.loss.visibility, config.loss.confidence) == (1, 1)
    assert (config.starts, config.iterations, config.model, config.rate) == ("rollout", 1, NETWORK, 1e-4)
    assert config.data.tracks < 400


def test_of_covered_clips_only_what_covers_hide_is_known_to_be_hidden(
    recording, tmp_path: Path, monkeypatch
) -> None:
    folder = labelled_folder(recording, tmp_path / "labels")
    path = sorted(folder.glob("*.safetensors"))[0]
    cached, frames = load_labels(path), load_clip(path).frames
    doubted = replace(cached.labels, visible=cached.labels.visible & (np.arange(16) % 2 == 0))
    label_cache.save_clip(path, frames, replace(cached, labels=doubted))
    write_list(folder, {path.name: "x"})
    config = DataConfig("labels", str(folder), frames=8, window=8, sizes=((160, 120),), covers=True)
    source = label_source(config)
    pieces = [source(np.random.default_rng(seed)) for seed in range(5)]
    assert any((piece.known & ~piece.visible).any() for piece in pieces)
    monkeypatch.setattr(label_clips, "cover", lambda clip, behind, rng: clip)
    piece = label_source(config)(np.random.default_rng(0))
    assert not piece.known[:, 1::2].any()
    assert piece.known[:, ::2].any()


def test_other_labels_begin_another_run(recording, tmp_path: Path, monkeypatch) -> None:
    model = NETWORK
    checkpoints.save(CoTracker3(model), model, tmp_path / "w.safetensors")
    folder = labelled_folder(recording, tmp_path / "labels")
    config = student_config(
        StudentConfig(student=str(tmp_path / "w.safetensors")), folder, frames=8, tracks=16, seed=0
    )
    runs = []

    def fake(config, out, device):
        runs.append(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / student.WEIGHTS).write_bytes(b"")

    monkeypatch.setattr(student, "train", fake)
    for digest in ("x", "x", "y"):
        write_list(folder, {path.name: digest for path in folder.glob("*.safetensors")})
        train_student(config, tmp_path / "student", device=torch.device("cpu"))
    assert runs[0] == runs[1] != runs[2]


def test_cached_labels_do_not_lose_anything(recording, tmp_path: Path) -> None:
    (clip, *_) = label_recording(recording, [KLT, TRUTH], tmp_path, SETTINGS).clips
    cached = load_labels(clip.path)
    label_cache.save_clip(tmp_path / "copy.safetensors", load_clip(clip.path).frames, cached)
    copy: CachedLabels = load_labels(tmp_path / "copy.safetensors")
    assert copy.record == cached.record
    for name in ("xy", "visible", "known", "chosen"):
        assert np.array_equal(getattr(copy.labels, name), getattr(cached.labels, name))
