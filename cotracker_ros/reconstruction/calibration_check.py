"""Considers that camera_info may give a wrong focal length, and notices when it does.

With a wrong focal length a turn is told differently by how far points move in the image and by how their
depths change. How the pose, and each landmark, would be different with another focal length is carried along
(the consider parameter of Schmidt's Kalman filter, 1966): it says by how much the pose may be off, and the
landmarks' errors, compared with it, say what the focal length is. Without a turn nothing is told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.landmarks import Landmarks, sway
from cotracker_ros.reconstruction.pose_fit import Vote
from cotracker_ros.reconstruction.rigid import solve_normal

_MEMORY = 0.99  # what one image leaves of the evidence of those before
_REPEATED = 10.0  # images that tell no more than one, as the errors of a track stay the same
_OPINIONS = 4.0  # images that differ are worth so many independent ones at most
_LIKELY = 2.0  # sigmas from which on a contradiction makes the pose less certain ...
_CERTAIN = 4.0  # ... and from which on it is believed


@dataclass(frozen=True)
class FocalEvidence:
    """What landmarks said of the logarithm of the right focal length over the given one.

    Attributes:
        information: Sum over the images of the inverse variance of what each said ...
        weighted: ... of what it said, times that ...
        squared: ... and of its square, times that.
    """

    information: float = 0.0
    weighted: float = 0.0
    squared: float = 0.0

    @property
    def log_ratio(self) -> float:
        """The estimate; 0 where nothing was said."""
        return self.weighted / self.information if self.information > 0 else 0.0

    @property
    def sigmas(self) -> float:
        """By how many standard deviations the estimate is not 0.

        What images say differently, as when something moves, makes it uncertain, however often it is said.
        """
        if not self.information > 0:
            return 0.0
        scatter = max(self.squared / self.information - self.log_ratio**2, 0.0)
        return abs(self.log_ratio) / float(np.sqrt(1 / self.information + scatter / _OPINIONS))

    def wrong(self, limit: float) -> bool:
        """Say whether the given focal length is certainly off, by more than the share `limit`."""
        return self.sigmas > _CERTAIN and abs(self.log_ratio) > limit

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return (
            "the tracks contradict camera_info: as depths change when the camera turns, the focal length is "
            f"{np.exp(self.log_ratio):.2f} times the one given"
        )

    def sigma(self, prior: float) -> float:
        """Return by which share the given focal length may be off, `prior` where nothing says otherwise."""
        return float(np.hypot(prior, self.log_ratio)) if self.sigmas > _LIKELY else prior

    def and_then(self, said: FocalEvidence) -> FocalEvidence:
        """Return the evidence with what a later image `said`."""
        return FocalEvidence(
            _MEMORY * self.information + said.information,
            _MEMORY * self.weighted + said.weighted,
            _MEMORY * self.squared + said.squared,
        )


def consider(landmarks: Landmarks, vote: Vote) -> tuple[Vote, FocalEvidence]:
    """Return a vote whose fit knows how it depends on the focal length, and what it tells of that.

    Args:
        landmarks: N of them.
        vote: What they say.
    """
    fit, counted = vote.fit, vote.agrees.astype(np.float64)
    direct = sway(landmarks, vote.rows, fit.seen.uvw, np.zeros(6), fit.pose, fit.seen.by_point)
    weighted = (fit.weighted * counted).reshape(6, -1)
    by_pose = fit.seen.by_pose
    by_focal = solve_normal(weighted @ by_pose.reshape(6, -1).T, weighted @ direct.reshape(-1))
    left = direct - (by_focal @ by_pose.reshape(6, -1)).reshape(direct.shape)
    across = np.einsum("abm,bm->am", fit.information, left) * counted
    vote = replace(vote, fit=replace(fit, by_focal=by_focal))
    return vote, _said(across, left, fit.errors.residual)


def _said(
    across: NDArray[np.float64], left: NDArray[np.float64], residual: NDArray[np.float64]
) -> FocalEvidence:
    """Return what one image says: how well errors (3, M) go with their derivatives `left` (3, M).

    `across` (3, M) is the errors' inverse covariances times `left`.
    """
    information = float((across * left).sum()) / _REPEATED
    weighted = -float((across * residual).sum()) / _REPEATED
    return FocalEvidence(information, weighted, weighted**2 / information if information > 0 else 0.0)
