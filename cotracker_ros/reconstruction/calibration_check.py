"""Considers that camera_info may give a wrong focal length, and notices when it does.

With a wrong focal length a turn is told differently by how far points move in the image and by how their
depths change. How the pose, and each landmark, would be different with another focal length is carried along
(the consider parameter of Schmidt's Kalman filter, 1966): it says by how much the pose may be off, and the
landmarks' errors, compared with it, say what the focal length is. Without a turn nothing is told.

A given focal length is either right, up to the little by which calibrations are off, or wrong: of another
lens, or of images of another size. Which it is, and how far it may be off then, follows from both and from
what was told by Bayes' rule. So the pose is uncertain by what a wrong one would do to it until a turn has
confirmed the calibration, or contradicted it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.landmarks import Landmarks, sway
from cotracker_ros.reconstruction.pose_fit import Vote
from cotracker_ros.reconstruction.rigid import solve_normal

_MEMORY = 0.99  # what one image leaves of the evidence of those before
_REPEATED = 10.0  # images that tell no more than one, as the errors of a track stay the same
_OPINIONS = 4.0  # images that differ are worth so many independent ones at most
_WRONG = 0.2  # share by which a focal length that is wrong is off (one sigma)
_CERTAIN = 0.99  # probability of a wrong one from which on it is believed ...
_DOUBTFUL = 0.5  # ... until it is less than this


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
    def precision(self) -> float:
        """The inverse variance of the estimate.

        What images say differently, as when something moves, makes it uncertain, however often it is said.
        """
        if not self.information > 0:
            return 0.0
        scatter = max(self.squared / self.information - self.log_ratio**2, 0.0)
        return 1 / (1 / self.information + scatter / _OPINIONS)

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return (
            "the tracks contradict camera_info: as depths change when the camera turns, the focal length is "
            f"{np.exp(self.log_ratio):.2f} times the one given"
        )

    def and_then(self, said: FocalEvidence) -> FocalEvidence:
        """Return the evidence with what a later image `said`."""
        return FocalEvidence(
            _MEMORY * self.information + said.information,
            _MEMORY * self.weighted + said.weighted,
            _MEMORY * self.squared + said.squared,
        )


@dataclass(frozen=True)
class FocalDoubt:
    """What is to be thought of the given focal length.

    Attributes:
        wrong: Probability that it is wrong, see the module's docstring.
        sigma: Share by which it may be off: root of the mean square of what is still possible.
    """

    wrong: float
    sigma: float


def doubt_after(evidence: FocalEvidence, config: EgoMotionConfig) -> FocalDoubt:
    """Return what is to be thought of the given focal length after what landmarks said."""
    share = config.focal_wrong_share
    if_right, likely_right = _after(config.focal_sigma, evidence)
    if_wrong, likely_wrong = _after(_WRONG, evidence)
    wrong = share / (share + (1 - share) * math.exp(likely_right - likely_wrong))
    return FocalDoubt(wrong, math.sqrt(wrong * if_wrong + (1 - wrong) * if_right))


def _after(prior: float, evidence: FocalEvidence) -> tuple[float, float]:
    """Return what the evidence leaves of a belief, normal about 0, and how likely it was by it.

    Args:
        prior: Standard deviation of the belief.
        evidence: What was said.

    Returns:
        The mean square afterwards, and the logarithm of the likelihood, up to what all beliefs share.
    """
    precision, told = evidence.precision, evidence.log_ratio
    shrunk = 1 + prior**2 * precision
    left = prior**2 / shrunk
    return (left * precision * told) ** 2 + left, -(told**2 * precision / shrunk + math.log(shrunk)) / 2


def is_wrong(evidence: FocalEvidence, config: EgoMotionConfig, before: bool) -> bool:
    """Say whether the given focal length is off, by more than `EgoMotionConfig.focal_limit`.

    Args:
        evidence: What was said.
        config: Knows the limit.
        before: Whether it was already found to be off: that is not withdrawn before it is doubtful again.
    """
    wrong = doubt_after(evidence, config).wrong
    return wrong > (_DOUBTFUL if before else _CERTAIN) and abs(evidence.log_ratio) > config.focal_limit


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
