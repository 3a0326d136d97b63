"""Teachers: both ways in time, made from names, and asked with care."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import SMALL, moving_clip, small_network, texture

from cotracker_ros.model import CoTracker3, checkpoints
from cotracker_ros.tracking.names import TrackerNameError
from cotracker_ros.training.named_teachers import make_teacher, make_teachers
from cotracker_ros.training.teachers import (
    CallableTeacher,
    KltTeacher,
    NetworkTeacher,
    TeacherError,
    TeacherTracks,
    ask,
    both_ways,
)

STEP = np.array([1.3, -0.7])
QUERIES = np.array([[0, 40, 60], [3, 75, 80], [5, 60, 50]], np.float32)


def truth(frames: int) -> np.ndarray:
    return QUERIES[:, 1:] + STEP * (np.arange(frames)[:, None] - QUERIES[:, 0])[..., None]


def test_klt_follows_points_forward_and_backward() -> None:
    tracks = ask(make_teacher("klt"), moving_clip(12, tuple(STEP)), QUERIES)
    assert tracks.visibility.dtype == np.bool_
    assert tracks.visibility.all()
    assert np.abs(tracks.xy - truth(12)).max() < 0.1


def test_a_tracker_gets_only_the_frames_it_is_needed_for() -> None:
    asked = []

    def forward(frames, queries):
        asked.append((frames[:, 0, 0, 0].tolist(), queries[:, 0].tolist()))
        shape = (len(frames), len(queries))
        return TeacherTracks(np.zeros((*shape, 2), np.float32), np.ones(shape, np.float32))

    frames = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    both_ways(forward, frames, np.array([[2, 0, 0], [4, 0, 0]], np.float32))
    assert asked == [([2, 3, 4, 5, 6, 7, 8, 9], [0.0, 2.0]), ([4, 3, 2, 1, 0], [2.0, 0.0])]


def test_the_past_comes_from_the_reversed_clip_and_the_rest_from_the_clip() -> None:
    def forward(frames, queries):
        count = np.arange(len(frames))[:, None] - queries[:, 0]  # frames since the query, in its own time
        xy = np.repeat(count[..., None], 2, -1).astype(np.float32)
        return TeacherTracks(xy, np.ones(count.shape, bool))

    tracks = both_ways(forward, np.zeros((6, 4, 4, 3), np.uint8), np.array([[2, 0, 0]], np.float32))
    assert tracks.xy[:, 0, 0].tolist() == [2, 1, 0, 1, 2, 3]


def test_settings_stand_after_a_colon() -> None:
    teacher = make_teacher("klt:max_error=2.5,window=31")
    assert isinstance(teacher, KltTeacher)
    assert (teacher.config.max_error, teacher.config.window) == (2.5, 31)
    assert teacher.identity != make_teacher("klt").identity


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("klt:speed=3", "has no setting speed; it knows window, levels, max_error"),
        ("klt:window=4", "window is 4; give an odd number"),
        ("nowhere.at_all:track", "ModuleNotFoundError"),
        ("math:track", "AttributeError"),
        ("math:pi", "is a float"),
    ],
)
def test_impossible_names_are_told_in_one_sentence(name: str, words: str) -> None:
    with pytest.raises((TeacherError, TrackerNameError), match=words):
        make_teacher(name)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(TeacherError, match="'klt' is named twice"):
        make_teachers(["klt", "klt:window=31", "klt"])


@pytest.mark.parametrize("offline", [False, True])
def test_a_checkpoint_teaches_with_support_points_and_without_giving_them_back(
    tmp_path: Path, offline: bool
) -> None:
    network = small_network()
    config = SMALL
    if offline:
        config = replace(SMALL, offline=True)
        tensors = network.state_dict()
        network = CoTracker3(config)
        network.load_state_dict(tensors)
    checkpoints.save(network, config, tmp_path / "net.safetensors")
    teacher = make_teacher(f"{tmp_path / 'net.safetensors'}:iterations=1,input_width=64,input_height=48")
    assert isinstance(teacher, NetworkTeacher)
    assert teacher.config.support_grid == (0 if offline else 5)
    tracks = ask(teacher, moving_clip(10), QUERIES)
    assert tracks.xy.shape == (10, 3, 2)
    assert tracks.knows_hidden
    assert np.isfinite(tracks.xy).all()
    # Other weights are another teacher.
    with (tmp_path / "net.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x3f")
    assert make_teacher(teacher.name).identity != teacher.identity


def test_a_teacher_of_your_own_is_found_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_distill_teacher.py").write_text(
        "import numpy as np\n"
        "class Stay:\n"
        "    def __call__(self, frames, queries):\n"
        "        xy = np.repeat(queries[None, :, 1:], len(frames), 0)\n"
        "        return xy, np.full(xy.shape[:2], 0.95)\n"
    )
    monkeypatch.chdir(tmp_path)
    teacher = make_teacher("my_distill_teacher:Stay")
    tracks = ask(teacher, np.zeros((4, 20, 20, 3), np.uint8), QUERIES)
    assert np.array_equal(tracks.xy[3], QUERIES[:, 1:])
    assert tracks.knows_hidden


@pytest.mark.parametrize(
    ("xy", "visibility", "words"),
    [
        (np.zeros((3, 2, 2)), np.ones((3, 2), bool), r"for 4 frames and 3 queries give \(4, 3, 2\)"),
        (np.zeros((4, 3, 2)), np.ones((4, 3), int), "of type int64"),
        (np.zeros((4, 3, 2)), np.full((4, 3), 2.0), "no probabilities"),
    ],
)
def test_wrong_answers_are_told(xy: np.ndarray, visibility: np.ndarray, words: str) -> None:
    teacher = CallableTeacher("odd", "", lambda frames, queries: (xy, visibility))
    with pytest.raises(TeacherError, match=words):
        ask(teacher, np.stack([texture((20, 20))] * 4), QUERIES)


def test_a_teacher_may_write_into_what_it_was_given() -> None:
    def scales_in_place(frames, queries):
        queries[:, 1:] /= 2
        frames[:] = 0
        return np.zeros((len(frames), len(queries), 2)), np.ones((len(frames), len(queries)), bool)

    frames, queries = moving_clip(4), QUERIES.copy()
    ask(CallableTeacher("rude", "", scales_in_place), frames, queries)
    assert np.array_equal(queries, QUERIES)
    assert frames.any()
