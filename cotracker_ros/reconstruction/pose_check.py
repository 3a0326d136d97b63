"""Checks a camera pose that is given, e.g. by TF, against the motion that the tracks tell."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.reconstruction.ego_types import EgoMotionConfig
from cotracker_ros.reconstruction.poses import invert_pose
from cotracker_ros.reconstruction.rigid import rotation_log

_NS = 1e-9
_MOST = 64  # poses kept, evenly over the time that is looked back
_TELLING = 0.1  # m: after a shorter way the ratio of two lengths says nothing
_SCALED = 0.05  # a ratio of lengths this far from 1 is told


@dataclass(frozen=True, eq=False)
class PosePair:
    """The camera's pose by two sources when an image was taken.

    Attributes:
        stamp: Of the image, ns.
        given: (4, 4) fixed_from_camera, as given.
        tracked: (4, 4) odom_from_camera by the tracks, in any frame that stands still.
        variance: (6,) of `tracked`, growing with time.
    """

    stamp: int
    given: NDArray[np.float64]
    tracked: NDArray[np.float64]
    variance: NDArray[np.float64]


@dataclass
class PoseHistory:
    """Pairs of the last seconds, oldest first; bounded."""

    pairs: deque[PosePair] = field(default_factory=lambda: deque(maxlen=_MOST))

    def add(self, pair: PosePair, seconds: float) -> None:
        """Keep a pair, if the last one is not too near in time, and forget those older than `seconds`."""
        while self.pairs and (pair.stamp - self.pairs[0].stamp) * _NS > seconds:
            self.pairs.popleft()
        if not self.pairs or (pair.stamp - self.pairs[-1].stamp) * _NS >= seconds / _MOST:
            self.pairs.append(pair)


@dataclass(frozen=True)
class Agreement:
    """How the motions of two sources since an earlier image compare.

    Attributes:
        seconds: Time since that image.
        shift: Distance between the two translations, m.
        turn: Angle between the two rotations, rad.
        given_way: Length of the translation as given, m.
        tracked_way: ... and by the tracks, m.
        agrees: Whether shift and turn are within what was allowed.
    """

    seconds: float
    shift: float
    turn: float
    given_way: float
    tracked_way: float
    agrees: bool

    @property
    def sentence(self) -> str:
        """What is wrong, "" when nothing is."""
        if self.agrees:
            return ""
        text = (
            f"in the last {self.seconds:.1f} s the motions by the given pose and by the tracks differ by "
            f"{self.shift:.3f} m and {np.degrees(self.turn):.1f} degrees"
        )
        if min(self.given_way, self.tracked_way) < _TELLING:
            return text
        ratio = self.tracked_way / self.given_way
        if abs(ratio - 1) < _SCALED:
            return text
        return f"{text}: by the tracks the way is {ratio:.2f} times as long, as if depth were so scaled"


def compare(history: PoseHistory, now: PosePair, config: EgoMotionConfig) -> Agreement | None:
    """Compare the motion since the oldest pair that is kept.

    Args:
        history: Earlier pairs.
        now: The newest.
        config: What is allowed.

    Returns:
        The comparison; None where there is no earlier pair.
    """
    if not history.pairs:
        return None
    then = history.pairs[0]
    given = invert_pose(then.given) @ now.given
    tracked = invert_pose(then.tracked) @ now.tracked
    shift = float(np.linalg.norm(given[:3, 3] - tracked[:3, 3]))
    turn = float(np.linalg.norm(rotation_log(given[:3, :3].T @ tracked[:3, :3])))
    given_way, tracked_way = float(np.linalg.norm(given[:3, 3])), float(np.linalg.norm(tracked[:3, 3]))
    turned = float(np.linalg.norm(rotation_log(given[:3, :3])))
    grown = np.maximum(now.variance - then.variance, 0.0)
    sigma = np.sqrt(grown.reshape(2, 3).sum(axis=1))
    far = shift > config.check_distance + config.check_share * given_way + 2 * sigma[0]
    twisted = turn > config.check_angle + config.check_share * turned + 2 * sigma[1]
    return Agreement(
        seconds=(now.stamp - then.stamp) * _NS,
        shift=shift,
        turn=turn,
        given_way=given_way,
        tracked_way=tracked_way,
        agrees=not (far or twisted),
    )
