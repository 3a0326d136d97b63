"""Which track belongs to which body, and where on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ellipsoids import inverse
from cotracker_ros.reconstruction.ids import rows_of

_PULL = 3.0  # sigmas that a track was off its body before it was found to be off
_ARRAYS = (
    *("body", "former", "model", "information", "covariance", "drift", "misses", "strayed"),
    *("restless", "moving"),
)
_MEMORY = 60.0  # images: a place on a body is a mean over about the last so many measurements


@dataclass
class Members:
    """The tracks as parts of bodies, as parallel arrays in the order of the tracks.

    Attributes:
        ids: (N,) uint32 ids of the tracks.
        labels: N labels.
        code: (N,) int64 number of the label, 0 for "".
        names: The labels by number, from 1 on.
        body: (N,) int64 id of the track's body, 0 for none.
        former: (N,) int64 id of the body that the track left because it contradicted it, 0 for none.
        model: (N, 3) position in the frame of the body, m.
        information: (N, 3, 3) inverse covariance of `model`, 1/m^2.
        covariance: (N, 3, 3) its inverse, m^2.
        drift: (N,) how uncertain the body's pose was when the track joined, as a multiple of its uncertainty
            when it was first seen.
        misses: (N,) int64, images in which the track contradicted its body, less those in which it agreed.
        strayed: (N,) bool, the track was last found to slide away from its body.
        restless: (N,) bool, the track, of no body, was last found not to stand still: it moved, or drifted.
        moving: (N,) bool, it certainly moved.
    """

    ids: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    labels: tuple[str, ...] = ()
    code: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    names: tuple[str, ...] = ()
    body: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    former: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    model: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    information: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3, 3)))
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3, 3)))
    drift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    misses: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    strayed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    restless: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    moving: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def follow(self, ids: NDArray[np.uint32], labels: tuple[str, ...]) -> None:
        """Put the tracks into the order of `ids`; others are forgotten, new ones are in no body."""
        rows, known = rows_of(ids, self.ids)
        for name in _ARRAYS:
            old = getattr(self, name)
            new = np.zeros((len(ids), *old.shape[1:]), old.dtype)
            new[known] = old[rows[known]]
            setattr(self, name, new)
        self.ids, self.labels = ids, labels
        self.names = tuple(sorted(set(labels) - {""}))
        codes = {name: code for code, name in enumerate(("", *self.names))}
        self.code = np.fromiter(map(codes.__getitem__, labels), np.int64, len(labels))

    def of(self, body: int) -> NDArray[np.intp]:
        """Return the rows of the members of a body."""
        return (self.body == body).nonzero()[0]

    def join(
        self,
        rows: NDArray[np.intp],
        body: int,
        model: NDArray[np.float64],
        information: NDArray[np.float64],
        drift: float,
    ) -> None:
        """Make tracks members of a body.

        Args:
            rows: (M,) tracks.
            body: Id of the body.
            model: (M, 3) in the body's frame, m.
            information: (M, 3, 3) inverse covariances of `model`, 1/m^2.
            drift: See the attributes.
        """
        self.body[rows], self.model[rows] = body, model
        self.information[rows], self.covariance[rows] = information, inverse(information)
        self.drift[rows], self.misses[rows], self.former[rows] = drift, 0, 0
        self.strayed[rows] = False

    def observe(
        self, rows: NDArray[np.intp], model: NDArray[np.float64], information: NDArray[np.float64]
    ) -> None:
        """Refine the places of tracks (M,) by measurements, given as `model` and its inverse covariances."""
        total = self.information[rows] * (1.0 - 1.0 / _MEMORY) + information
        pull = information @ (model - self.model[rows])[..., None]
        covariance = inverse(total)
        self.model[rows] += (covariance @ pull)[..., 0]
        self.information[rows], self.covariance[rows] = total, covariance

    def judge(self, rows: NDArray[np.intp], agrees: NDArray[np.bool_], limit: int) -> None:
        """Count whether tracks (M,) agree with their bodies; those that often do not leave theirs."""
        self.misses[rows] = np.maximum(self.misses[rows] + np.where(agrees, -1, 1), 0)
        self.leave(rows[self.misses[rows] >= limit])

    def stray(self, rows: NDArray[np.intp], strays: NDArray[np.bool_]) -> None:
        """Note which of tracks (M,) slide away from their bodies; those that did before leave theirs."""
        again = strays & self.strayed[rows]
        self.strayed[rows] = strays
        self.leave(rows[again])

    def leave(self, rows: NDArray[np.intp]) -> None:
        """Take tracks out of their bodies, because they contradict them."""
        if not len(rows):
            return
        bodies, counts = np.unique(self.body[rows], return_counts=True)
        for body, count in zip(bodies.tolist(), counts.tolist(), strict=True):
            # They have pulled the body by their share of some sigmas of a single point.
            all_of_it = self.of(body)
            self.drift[all_of_it] += _PULL**2 * count**2 / len(all_of_it)
        self.former[rows] = self.body[rows]
        self.body[rows] = 0
