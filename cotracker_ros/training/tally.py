"""Which teacher gave how many labels: in all, by speed, and by visibility."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.tapvid import METRIC_SIZE
from cotracker_ros.evaluation.track_metrics import SPEEDS
from cotracker_ros.training.label_cache import CachedLabels
from cotracker_ros.training.pseudo_labels import NOBODY

Counts = NDArray[np.int64]
"""(K + 1, S + 1, 2): by teacher, the last row being nobody; by class of `SPEEDS`, the last being tracks whose
speed is not known; hidden and visible (entries of nobody count as hidden)."""


def tally(cached: CachedLabels) -> Counts:
    """Count the labels of a clip. Queries themselves, which nobody needs to teach, are not counted."""
    labels = cached.labels
    teachers = len(cached.record.teachers)
    counted = np.ones(labels.known.shape, bool)
    counted[cached.queries[:, 0].astype(int), np.arange(len(cached.queries))] = False
    who = np.where(labels.chosen == NOBODY, teachers, labels.chosen)
    speed = np.broadcast_to(speed_classes(cached), who.shape)
    counts = np.zeros((teachers + 1, len(SPEEDS) + 1, 2), np.int64)
    np.add.at(counts, (who[counted], speed[counted], labels.visible[counted].astype(int)), 1)
    return counts


def speed_classes(cached: CachedLabels) -> NDArray[np.int64]:
    """(N,) index into `SPEEDS` of each track's mean speed, over steps known at both ends; else its length."""
    labels = cached.labels
    scale = (np.array(METRIC_SIZE) - 1) / (np.array(cached.record.size) - 1)
    length = np.linalg.norm(np.diff(labels.xy, axis=0) * scale, axis=-1)
    steps = labels.known[1:] & labels.known[:-1]
    count = steps.sum(0)
    mean = np.where(steps, length, 0).sum(0) / np.maximum(count, 1)
    classes = np.searchsorted([high for _, high in SPEEDS[:-1]], mean, side="right")
    return np.where(count > 0, classes, len(SPEEDS)).astype(np.int64)


def total(counts: Sequence[Counts], teachers: int) -> Counts:
    """Sum the counts of clips, which may be none."""
    return sum(counts, np.zeros((teachers + 1, len(SPEEDS) + 1, 2), np.int64))
