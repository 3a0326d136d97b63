"""What teachers say about a clip, each with the checks of it that judge by: its way back and its drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.training.cycles import cycle_errors
from cotracker_ros.training.drift import drift_errors
from cotracker_ros.training.pseudo_labels import LabelConfig, inside, seen, usable
from cotracker_ros.training.teachers import Teacher, TeacherTracks, ask, told


@dataclass(frozen=True, eq=False)
class Answer:
    """What one teacher says about N points in T frames.

    Attributes:
        teacher: Which of the teachers that were asked.
        tracks: What it says.
        sees: (T, N) bool, where it sees the points (see `seen`).
        can: (T, N) bool, where its positions can be labels (see `usable`).
        cycle: (T, N) error of its ways back, px (see `cycle_errors`).
        drift: (T, N) error of the match with the query's image, px, infinite where there is none (see
            `drift_errors`).
    """

    teacher: int
    tracks: TeacherTracks
    sees: NDArray[np.bool_]
    can: NDArray[np.bool_]
    cycle: NDArray[np.floating]
    drift: NDArray[np.floating]


def ask_all(
    teachers: Sequence[Teacher],
    frames: NDArray[np.uint8],
    queries: NDArray[np.float32],
    config: LabelConfig,
) -> tuple[list[Answer], dict[str, str]]:
    """Ask all teachers and check their answers.

    Args:
        teachers: Whom to ask.
        frames: (T, H, W, 3) uint8, RGB.
        queries: (N, 3) as t, x, y.
        config: Says what counts as seen, and how often ways back are checked.

    Returns:
        The answers of those that did not fail, and what the others raised, by name.
    """
    answers: list[Answer] = []
    failures: dict[str, str] = {}
    for index, teacher in enumerate(teachers):
        try:
            answers.append(_checked(index, teacher, frames, queries, config))
        except Exception as error:  # whatever a teacher raises costs it this clip, and no more
            failures[teacher.name] = told(error)
    return answers, failures


def _checked(
    index: int,
    teacher: Teacher,
    frames: NDArray[np.uint8],
    queries: NDArray[np.float32],
    config: LabelConfig,
) -> Answer:
    size = (frames.shape[2], frames.shape[1])
    tracks = ask(teacher, frames, queries)
    sees = seen(tracks, size, config.min_visibility)
    can = usable(tracks, sees, size)
    cycle = cycle_errors(teacher, frames, queries, tracks, sees, config.checks)
    # Also where it calls the point hidden: a match there says that it is not.
    drift = drift_errors(frames, queries, tracks.xy, can & inside(tracks.xy, size))
    return Answer(index, tracks, sees, can, cycle, drift)
