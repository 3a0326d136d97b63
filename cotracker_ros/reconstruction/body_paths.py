"""Whether tracks moved as something says they did.

A measurement with an ellipsoid of noise is a quadric: a symmetric (4, 4) matrix Q, for which h @ Q @ h is the
squared error, in sigmas, of a track at h = (x, y, z, 1). In a frame with the pose T it is T^T @ Q @ T, and
measurements of the same place in that frame simply add up. So asking many tracks over many images is one
product of matrices, and the place that suits all measurements of a track best is the minimum of its sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.body_fits import median
from cotracker_ros.reconstruction.body_window import COLUMNS, ROWS, TrackWindow
from cotracker_ros.reconstruction.ellipsoids import inverse, inverse_entries

FOLLOWS = 2.5  # squared error for each degree of freedom of a track that follows a path, at most
SLIDES = 20.0  # squared sigmas of a straight motion away from the path, three degrees of freedom, at most
EVIDENCE = 30.0  # how much better, in squared sigmas, a path must explain a track than rest does
MIN_SEEN = 4  # images of the window in which a track must have been measured to be judged
_TINY = 1e-6  # m^2: keeps the uncertainty of points on a line finite
_HALF = np.where(ROWS == COLUMNS, 0.5, 1.0)
_PAIRS = ((ROWS, ROWS), (COLUMNS, COLUMNS), (COLUMNS, ROWS), (ROWS, COLUMNS))
_PLACES = [4 * a + b[:, None] for a, b in _PAIRS]
"""Of the factors in the products that take quadrics to another frame, among the 16 entries of its pose."""
_FULL = np.zeros((4, 4), np.intp)  # which of the ten entries each entry of the matrix is
_FULL[ROWS, COLUMNS] = _FULL[COLUMNS, ROWS] = np.arange(len(ROWS))
_SQUARE, _LINEAR, _CONSTANT = _FULL[:3, :3], _FULL[:3, 3], _FULL[3, 3]
_UPPER = np.flatnonzero(COLUMNS < 3)  # those of the (3, 3) part
_EYE = np.eye(3)
_POWERS = np.arange(3)[:, None]


@dataclass(frozen=True, eq=False)
class PathFit:
    """How well N tracks keep their places in a frame that moves along a path.

    Attributes:
        chi2: (N,) sum of squared errors, in sigmas.
        freedom: (N,) its degrees of freedom: three for each measurement after the first.
        slide: (N,) the part of it that a straight motion within the moving frame explains, three degrees of
            freedom: it tells slow motions from noise.
        place: (N, 3) best position in the moving frame, m.
        quadric: (10, N) sums of the measurements.
    """

    chi2: NDArray[np.float64]
    freedom: NDArray[np.int64]
    slide: NDArray[np.float64]
    place: NDArray[np.float64]
    quadric: NDArray[np.float64]

    @property
    def ratio(self) -> NDArray[np.float64]:
        """(N,) squared error for each degree of freedom, about 1 for tracks that follow the path."""
        return self.chi2 / np.maximum(self.freedom, 1)

    @property
    def judged(self) -> NDArray[np.bool_]:
        """(N,) bool, tracks that were measured often enough to be judged."""
        return self.freedom >= 3 * (MIN_SEEN - 1)

    def noise(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> float:
        """Return the variance of measurements of tracks, by whose rows the path was found.

        It is that of most of them as a multiple of what they claim, and one at most: claims hold for nearly
        any track; those that keep to one body are often much better, and tell by that which others do not.
        """
        ratio = self.ratio[rows][self.judged[rows]]
        # A path by N tracks has six unknowns for 3 N measurements in each image.
        return min(median(ratio) / (1 - 2 / len(ratio)), 1.0) if len(ratio) > 2 else 1.0

    def stays(self, noise: float | NDArray[np.float64] = 1.0) -> NDArray[np.bool_]:
        """Say which tracks keep their places in the moving frame.

        `noise` is the variance of their measurements as a multiple of what they claim, for all or (N,).
        """
        limit = np.minimum(noise, 1.0)
        return (self.ratio < FOLLOWS * limit) & (self.slide < SLIDES * limit)

    def follows(
        self, rest: NDArray[np.float64], noise: float | NDArray[np.float64] = 1.0
    ) -> NDArray[np.bool_]:
        """Say which tracks follow the path and do not stand still.

        Args:
            rest: (N,) chi2 of standing.
            noise: See `stays`.
        """
        return self.judged & self.stays(noise) & (rest - self.chi2 > EVIDENCE)

    def information(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return (M, 3, 3) inverse covariances of `place`, 1/m^2, of some of the tracks."""
        return np.asarray(self.quadric[_SQUARE][:, :, rows].transpose(2, 0, 1))

    def of(self, rows: NDArray[np.intp]) -> PathFit:
        """Return the fit of some of the tracks."""
        return PathFit(
            chi2=self.chi2[rows],
            freedom=self.freedom[rows],
            slide=self.slide[rows],
            place=self.place[rows],
            quadric=self.quadric[:, rows],
        )


def along_path(
    window: TrackWindow, slots: NDArray[np.intp], rows: NDArray[np.intp], poses: NDArray[np.float64]
) -> PathFit:
    """Ask whether tracks move with a frame.

    Args:
        window: The measurements.
        slots: (F,) images.
        rows: (N,) tracks.
        poses: (F, 4, 4) of the frame in these images.
    """
    quadrics = window.quadric[slots, window.column[rows][:, None]].reshape(len(rows), -1)
    into = _transform(poses).transpose(0, 2, 1)
    weights = np.concatenate((into, into * window.seconds(slots)[:, None, None]), axis=2)
    sums = np.ascontiguousarray((quadrics @ weights.reshape(-1, 2 * len(ROWS))).T)
    return _fit(window, slots, rows, sums[: len(ROWS)], sums[len(ROWS) :])


def at_rest(window: TrackWindow, slots: NDArray[np.intp], rows: NDArray[np.intp]) -> PathFit:
    """Ask whether tracks stand still."""
    quadrics = window.quadric[window.at(slots, rows)].reshape(len(slots), -1)
    weights = np.stack((np.ones(len(slots)), window.seconds(slots)))
    sums = (weights @ quadrics).reshape(2, -1, len(ROWS)).transpose(0, 2, 1)
    total, timed = np.ascontiguousarray(sums)
    return _fit(window, slots, rows, total, timed)


def rest_errors(window: TrackWindow, slots: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return only the `chi2` (N,) of `at_rest`."""
    total = window.quadric[window.at(slots, rows)].sum(axis=0)
    return np.maximum(_best(np.ascontiguousarray(total.T))[2], 0.0)


def displacement(window: TrackWindow, slots: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how tracks (N,) got on in images (F,) at the constant velocity that fits best, (N, 3) m."""
    at = window.at(slots, rows)
    there = window.across[at] > 0
    count = np.maximum(there.sum(axis=0), 1)
    time = window.seconds(slots)[:, None]
    offset = np.where(there, time - (there * time).sum(axis=0) / count, 0.0)
    moment = np.maximum((offset * offset).sum(axis=0), 1e-12)
    # The times' mean is taken out, so the positions' need not be.
    velocity = np.einsum("fn,fni->ni", offset, window.xyz[at]) / moment[:, None]
    return np.asarray(velocity * np.ptp(offset, axis=0)[:, None])


def leverage(points: NDArray[np.float64], members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how uncertain a pose by the measured places of members is at points (N, 3).

    It is a variance (N,), as a multiple of that of a single measurement. `members` is (M, 3) m.
    """
    middle = members.mean(axis=0)
    arm, offset = points - middle, members - middle
    scatter = offset.T @ offset
    spread = inverse((scatter.trace() + _TINY) * _EYE - scatter)
    turned = spread.trace() * (arm * arm).sum(axis=1) - ((arm @ spread) * arm).sum(axis=1)
    return np.asarray(1.0 / len(members) + turned / 3)


def _transform(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (F, 10, 10) matrices that take quadrics into frames with the (F, 4, 4) poses."""
    flat = poses.reshape(-1, 16)
    first, second, third, fourth = (flat.take(places, axis=1) for places in _PLACES)
    return np.asarray((first * second + third * fourth) * _HALF)


def _fit(
    window: TrackWindow,
    slots: NDArray[np.intp],
    rows: NDArray[np.intp],
    total: NDArray[np.float64],
    timed: NDArray[np.float64],
) -> PathFit:
    """Return the fit by sums (10, N) of quadrics in the moving frame, plain and weighted by their times."""
    across = window.across[window.at(slots, rows)]
    seen = (across > 0).sum(axis=0)
    covariance, place, chi2 = _best(total)
    # At the best place all pulls cancel out, so their times' mean need not be taken out of the sum.
    pull = -timed[_LINEAR] - _times(timed[_SQUARE], place)
    weight, first, second = window.seconds(slots) ** _POWERS @ across
    weight = np.maximum(weight, 1e-12)
    moment = np.maximum(second / weight - (first / weight) ** 2, 1e-12)
    slide = (pull * _times(covariance, pull)).sum(axis=0) / moment
    return PathFit(
        chi2=np.maximum(chi2, 0.0),
        freedom=3 * np.maximum(seen - 1, 0),
        slide=slide,
        place=place.T,
        quadric=total,
    )


def _best(
    quadric: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return where quadrics (10, N) are least, and how much they are there.

    Returns:
        The inverses (3, 3, N) of their (3, 3) parts, zero for quadrics of zeros; the places (3, N), m; and
        the squared errors (N,).
    """
    covariance = inverse_entries(quadric[_UPPER]).reshape(3, 3, -1)
    linear = -quadric[_LINEAR]
    place = _times(covariance, linear)
    return covariance, place, quadric[_CONSTANT] - (linear * place).sum(axis=0)


def _times(matrices: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the products (3, N) of (3, 3, N) matrices with vectors (3, N)."""
    return np.asarray((matrices * vectors).sum(axis=1))
