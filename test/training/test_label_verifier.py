"""The verifier of labels: what it judges by, that it learns whom to believe, and the labels it makes."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clips import moving_clip, texture
from drifting import drifting_clip
from safetensors.torch import load_file, save_file

from cotracker_ros.model.verifier import Verifier
from cotracker_ros.training.answers import Answer, ask_all
from cotracker_ros.training.config import TrainingError
from cotracker_ros.training.drift import drift_errors
from cotracker_ros.training.label_evidence import (
    EVIDENCE,
    apart_from_neighbours,
    certainty,
    evidence,
    lasting,
    near,
)
from cotracker_ros.training.label_fitting import early_queries, gather_cases
from cotracker_ros.training.label_verifier import (
    Judgement,
    LabelVerifierError,
    judge,
    label_by_judgement,
    load_verifier,
    save_verifier,
)
from cotracker_ros.training.likeness import likeness
from cotracker_ros.training.pseudo_labels import NOBODY, LabelConfig
from cotracker_ros.training.teachers import CallableTeacher, TeacherTracks
from cotracker_ros.training.verifying import Cases, fit

SIZE = (160, 120)
AT = np.array([[0, 50, 40]], np.float32)  # one query, in frame 0
CONFIG = LabelConfig()


def answer(teacher: int, xy, visibility, sees=None, threshold: float | None = None) -> Answer:
    """What a teacher says of one point: (T, 2) and (T,)."""
    tracks = TeacherTracks(np.array(xy, np.float32)[:, None], np.array(visibility)[:, None], threshold)
    sees = np.ones(tracks.visibility.shape, bool) if sees is None else np.array(sees)[:, None]
    can = sees | tracks.knows_hidden
    return Answer(teacher, tracks, sees, can, np.zeros(sees.shape), np.zeros(sees.shape))


def at(x: float, frames: int = 4) -> list[list[float]]:
    return [[x, 40.0]] * frames


def column(table: np.ndarray, name: str) -> np.ndarray:
    return table[..., EVIDENCE.index(name)]


# The evidence


def test_distances_end_at_one_which_is_also_what_is_not_known() -> None:
    told = near(np.array([0, 1, 2, 64, 1e9, np.inf, np.nan]))
    assert told[0] == 0
    assert (np.diff(told[:4]) > 0).all()
    assert told[3:].tolist() == [1, 1, 1, 1]


def test_certainty_is_a_half_where_a_teacher_begins_to_call_points_visible() -> None:
    said = np.array([0.0, 0.2, 0.4, 0.7, 1.0])
    own = certainty(answer(0, at(50, 5), said, threshold=0.4), 0.9)
    np.testing.assert_allclose(own[:, 0], [0, 0.25, 0.5, 0.75, 1])
    general = certainty(answer(0, at(50, 5), said), 0.8)
    np.testing.assert_allclose(general[:, 0], [0, 0.125, 0.25, 0.4375, 1])
    assert certainty(answer(0, at(50, 2), np.array([True, False])), 0.9)[:, 0].tolist() == [1, 0]


def test_lasting_counts_the_frames_between_both_ways() -> None:
    sees = np.array([1, 0, 1, 1, 0, 0, 1, 1], bool)[:, None]
    share = lasting(sees, np.array([3]))
    np.testing.assert_allclose(share[:, 0], [2 / 3, 1 / 2, 1, 1, 0, 0, 1 / 3, 2 / 4])


def test_a_point_that_leaves_its_neighbours_is_noticed() -> None:
    start = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [5, 5]], float)
    xy = start + np.arange(6)[:, None, None] * np.array([2.0, 0])
    xy[:, 4, 1] += 1.5 * np.arange(6)
    sees = np.ones((6, 5), bool)
    sees[5, 0] = False
    apart = apart_from_neighbours(xy, sees, np.zeros(5, int))
    np.testing.assert_allclose(apart[:, 4], [0, 1.5, 3, 4.5, 4.5, 4.5])  # over three frames at most
    np.testing.assert_allclose(apart[:, :4], 0)
    assert np.isinf(apart_from_neighbours(xy[:, :1], sees[:, :1], np.zeros(1, int))).all()


def test_patches_are_found_where_they_are_and_not_where_nobody_looks() -> None:
    frames = moving_clip(6, (1.3, -0.7))
    queries = np.array([[1, 60, 60], [1, 90, 50]], np.float32)
    truth = queries[:, 1:] + (np.arange(6)[:, None, None] - 1) * np.array([1.3, -0.7])
    looked = np.ones((6, 2), bool)
    looked[4] = False
    found = likeness(frames, queries, truth + np.array([1.5, 0]), looked)
    assert found.alike[looked].min() > 0.95
    assert np.abs(found.moved[looked] - 1.5).max() < 0.1
    assert (found.alike[4] == 0).all()
    assert np.isinf(found.moved[4]).all()


def test_a_patch_that_comes_nearer_is_still_alike() -> None:
    image, middle = texture((200, 160)), np.array([100.0, 80])
    turns = [cv2.getRotationMatrix2D(tuple(middle), 4 * t, 1.07**t) for t in range(9)]
    frames = np.stack([cv2.warpAffine(image, turn, (200, 160)) for turn in turns])
    queries = np.array([[0, 110, 85]], np.float32)
    truth = np.stack([turn @ [110, 85, 1] for turn in turns])[:, None]
    looked = np.ones((9, 1), bool)
    found = likeness(frames, queries, truth, looked)
    assert found.alike.min() > 0.9
    assert found.moved.max() < 0.5
    assert drift_errors(frames, queries, truth, looked)[-1] > 0.5  # which cannot warp


def test_evidence_is_bounded_whatever_is_missing() -> None:
    frames = moving_clip(4)
    lost = answer(0, [[50, 40], [np.nan, np.nan], [np.inf, 0], [400, 40]], np.ones(4, bool), np.eye(4)[0] > 0)
    lost = replace(lost, cycle=np.full((4, 1), np.inf), drift=np.full((4, 1), np.inf))
    network = answer(1, at(50), np.array([1, 1, 0.95, 0.1]), [True, True, True, False])
    table = evidence([lost, network], frames, AT, 0.9)
    assert table.shape == (2, 4, 1, len(EVIDENCE))
    assert np.isfinite(table).all()
    for name in ("cycle", "no cycle", "drift", "no drift"):
        assert (column(table, name)[0] == 1).all()
        assert (column(table, name)[1] == 0).all()
    assert column(table, "inside")[0, :, 0].tolist() == [1, 0, 0, 0]
    assert column(table, "alone")[:, :, 0].tolist() == [[0, 1, 1, 1], [0, 1, 1, 1]]
    assert column(table, "others")[1, :, 0].tolist() == [1, 1, 1, 1]  # a boolean's word
    assert column(evidence([network], frames, AT, 0.9), "others").tolist() == [[[0.5]] * 4]


def test_who_is_apart_from_those_that_see_the_point() -> None:
    frames = moving_clip(4)
    three = [answer(k, at(x), np.ones(4, bool)) for k, x in enumerate((50, 51, 60))]
    hidden = answer(3, at(54), np.zeros(4), np.zeros(4, bool))
    table = evidence([*three, hidden], frames, AT, 0.9)
    per_pixel = 256 / np.sqrt(160 * 120)
    apart = [near(np.array(d * per_pixel)) for d in (1, 1, 9, 4)]  # the lower middle ones
    np.testing.assert_allclose(column(table, "apart")[:, 2, 0], apart, rtol=1e-5)


# The verifier


def made_cases(count: int) -> Cases:
    """Answers are the likelier right the nearer they are to where the patch fits; the rest says nothing."""
    generator = torch.Generator().manual_seed(1)
    table = torch.rand(count, len(EVIDENCE), generator=generator)
    right = torch.rand(count, generator=generator) < 1 - column(table, "moved")
    seen = torch.rand(count, generator=generator) < column(table, "certain")
    return Cases(table, seen.float(), right.float())


def test_a_fitted_verifier_ranks_the_right_teacher_first() -> None:
    verifier = fit(made_cases(5000), hidden_too=True)
    table = np.random.default_rng(0).random((2, 5, 40, len(EVIDENCE)), dtype=np.float32)
    column(table, "moved")[:] = np.array([0.7, 0.3])[:, None, None]
    column(table, "certain")[:] = np.array([0.9, 0.2])[:, None, None]
    told = judge(verifier, table)
    assert told.near.shape == (2, 5, 40)
    assert (told.near[1] > told.near[0]).mean() > 0.99
    assert told.near.mean((1, 2)) == pytest.approx([0.3, 0.7], abs=0.1)
    assert told.visible.mean((1, 2)) == pytest.approx([0.9, 0.2], abs=0.1)


def test_whether_hidden_ones_are_near_is_learned_when_asked_for() -> None:
    cases = made_cases(3000)
    hidden = Cases(cases.evidence, torch.zeros(3000), torch.ones(3000))
    told = judge(fit(hidden, hidden_too=True), cases.evidence.numpy())
    assert told.near.mean() > 0.9
    assert judge(fit(hidden), cases.evidence.numpy()).near.mean() < 0.9


def test_cases_are_answers_whose_truth_is_known() -> None:
    clip = drifting_clip(3, frames=8, size=(128, 96), tracks=20)
    track, queries = early_queries(clip)

    def truth(frames, asked):
        nearest = [np.abs(clip.xy[int(t)] - (x, y)).sum(-1).argmin() for t, x, y in asked]
        return clip.xy[:, nearest], clip.visible[:, nearest].astype(np.float32)

    def beside(frames, asked):
        xy, visible = truth(frames, asked)
        return xy + 3.0, visible

    teachers = [CallableTeacher("truth", "", truth), CallableTeacher("beside", "", beside)]
    cases = gather_cases(teachers, clip, [(0, 1)], CONFIG)
    known = clip.known[:, track].sum() - len(queries)  # all but the queries, which are known
    assert cases.evidence.shape == (2 * known, len(EVIDENCE))
    assert cases.near.tolist() == [1] * known + [0] * known
    assert cases.visible[:known].sum() == (clip.known & clip.visible)[:, track].sum() - len(queries)
    assert len(gather_cases(teachers, clip, [(0, 1), (1,)], CONFIG).near) == 3 * known


def test_teachers_that_fail_teach_no_verifier() -> None:
    clip = drifting_clip(3, frames=8, size=(128, 96), tracks=20)

    def fails(frames, queries):
        raise RuntimeError("no GPU")

    with pytest.raises(TrainingError, match="no GPU"):
        gather_cases([CallableTeacher("bad", "", fails)], clip, [(0,)], CONFIG)


def test_queries_are_seen_and_early() -> None:
    clip = drifting_clip(3, frames=12, size=(128, 96), tracks=20)
    known = clip.known.copy()
    known[:4, 2] = False  # of this track nothing is known in the first quarter
    track, queries = early_queries(replace(clip, known=known))
    assert 2 not in track
    time = queries[:, 0].astype(int)
    assert time.max() <= 3
    assert (clip.visible & known)[time, track].all()
    np.testing.assert_array_equal(queries[:, 1:], clip.xy[time, track])


# Labels


def told(visible, near_) -> Judgement:
    """Of K teachers about one point in four frames: one number for all frames, or one for each."""
    spread = [np.array([np.broadcast_to(one, 4) for one in part])[..., None] for part in (visible, near_)]
    return Judgement(*spread)


def test_the_answer_most_likely_right_gives_the_label() -> None:
    answers = [answer(0, at(50), np.ones(4, bool)), answer(1, at(51), np.ones(4))]
    labels = label_by_judgement(answers, told([0.9, 0.9], [0.7, 0.8]), AT, SIZE, CONFIG)
    assert (labels.chosen == 1).all()
    assert labels.xy[1:, 0, 0].tolist() == [51, 51, 51]
    assert labels.xy[0, 0, 0] == 50  # the query
    assert labels.visible.all()


def test_below_the_least_reliability_nothing_is_known() -> None:
    answers = [answer(0, at(50), np.ones(4, bool))]
    config = replace(CONFIG, min_reliability=0.6)
    good = label_by_judgement(answers, told([0.9], [0.7]), AT, SIZE, config)  # 0.63
    assert good.known.all()
    bad = label_by_judgement(answers, told([0.8], [0.7]), AT, SIZE, config)  # 0.56
    assert bad.known[:, 0].tolist() == [True, False, False, False]
    assert (bad.chosen == NOBODY).all()


def test_what_is_likely_hidden_is_labelled_hidden_even_where_a_teacher_sees_it() -> None:
    answers = [answer(0, at(50), np.ones(4))]
    labels = label_by_judgement(answers, told([[0.9, 0.9, 0.1, 0.1]], [0.9]), AT, SIZE, CONFIG)
    assert labels.known.all()
    assert labels.visible[:, 0].tolist() == [True, True, False, False]


def test_nothing_is_visible_outside_the_image() -> None:
    answers = [answer(0, [[50, 40], [150, 40], [161, 40], [163, 40]], np.ones(4))]
    labels = label_by_judgement(answers, told([[1, 1, 0.6, 0]], [1]), AT, SIZE, CONFIG)
    assert labels.visible[:, 0].tolist() == [True, True, False, False]


def test_who_has_no_position_is_never_chosen() -> None:
    blind = answer(0, [[50, 40], [np.nan] * 2, [np.nan] * 2, [52, 40]], np.ones(4, bool), np.eye(4)[0] > 0)
    other = answer(1, at(50), np.ones(4, bool), [True, True, False, True])
    labels = label_by_judgement([blind, other], told([1, 1], [1, 0.7]), AT, SIZE, CONFIG)
    assert labels.chosen[:, 0].tolist() == [0, 1, NOBODY, 1]
    assert np.isfinite(labels.xy).all()


def test_reliability_is_steadied_over_neighbouring_frames() -> None:
    answers = [answer(0, at(50), np.ones(4, bool)), answer(1, at(51), np.ones(4, bool))]
    flickering = told([1, 1], [[0.8, 0.8, 0.6, 0.8], [0.7] * 4])
    labels = label_by_judgement(answers, flickering, AT, SIZE, CONFIG)
    assert (labels.chosen == 0).all()


# The file


def test_a_verifier_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    verifier = Verifier(5, len(EVIDENCE))
    save_verifier(verifier, tmp_path / "labels.safetensors")
    loaded = load_verifier(tmp_path / "labels.safetensors")
    assert all(torch.equal(part, loaded.state_dict()[name]) for name, part in verifier.state_dict().items())


@pytest.mark.parametrize("damage", ["missing", "truncated", "other evidence", "no names", "other tensors"])
def test_a_file_that_will_not_do_is_told_in_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "labels.safetensors"
    save_verifier(Verifier(5, len(EVIDENCE)), path)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:50])
    elif damage == "other evidence":
        save_file(load_file(path), path, metadata={"evidence": '["cycle"]'})
    elif damage == "no names":
        save_file(load_file(path), path)
    else:
        save_verifier(Verifier(5, 3), path)
    with pytest.raises(LabelVerifierError, match="use labels 'reliable'") as error:
        load_verifier(path)
    assert "\n" not in str(error.value)


def test_the_shipped_verifier_believes_who_follows_the_point() -> None:
    """A teacher that is exact, against one that slides away while it is as sure of itself."""
    frames = moving_clip(16, (1.3, -0.7))
    queries = np.array([[0, x, y] for x in (40, 60, 80, 100) for y in (50, 65, 80)], np.float32)

    def truth(frames, asked):
        time = np.arange(len(frames))[:, None] - asked[:, 0]
        return asked[:, 1:] + time[..., None] * np.array([1.3, -0.7]), np.ones(time.shape)

    def slides(frames, asked):
        xy, sure = truth(frames, asked)
        return xy + 0.8 * (np.arange(len(frames))[:, None] - asked[:, 0])[..., None], sure

    teachers = [CallableTeacher("slides", "", slides), CallableTeacher("truth", "", truth)]
    answers, failures = ask_all(teachers, frames, queries, CONFIG)
    assert not failures
    judgement = judge(load_verifier(), evidence(answers, frames, queries, CONFIG.min_visibility))
    labels = label_by_judgement(answers, judgement, queries, SIZE, CONFIG)
    assert (labels.chosen[6:] == 1).all()
    assert labels.visible[6:].all()
