"""What ego-motion is given for an image, and its settings."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


class EgoMotionError(ValueError):
    """What ego-motion was given cannot be used; the text is one sentence."""


@dataclass(frozen=True)
class EgoMotionConfig:
    """How the camera's motion is found from tracks.

    Attributes:
        min_points: Fewer points that agree give no pose.
        min_share: A pose with which a smaller share of the points agrees, each by its record, is none.
        clear_share: From this share on, and near the prediction, nobody looks for another motion.
        rival_share: When what was predicted holds for at least this share, but most points say otherwise,
            it may as well be they that move.
        cutoff_sigmas: A point that is further off than this does not agree.
        image_drift: Share of its way through the image by which a track is off, as trackers slip, lenses
            distort and calibrations miss. Partly it is the same for all tracks, so it sets how fast the
            pose gets less certain as the view changes.
        focal_sigma: Share by which the focal length of camera_info is off where it is right.
        focal_wrong_share: Share of cameras whose camera_info gives a wrong one, off by some 20 %. As long
            as the tracks have not confirmed it, poses and points are uncertain by that.
        focal_limit: Share by which it has to be off to be called wrong.
        depth_lag: Stamps of depth images may be off against those of the colour images by this, s.
        hypotheses: Triples of points that are tried when the prediction is not good enough.
        max_translation_sigma: A pose less certain than this in any direction is none, m.
        max_rotation_sigma: The same about any axis, rad.
        acceleration: Standard deviation of the camera's acceleration, m/s^2 ...
        turn_acceleration: ... and of its angular one, rad/s^2. They say how good a prediction is.
        max_speed: Nothing that carries the camera is faster, m/s ...
        max_turn: ... or turns faster, rad/s.
        coast_seconds: Without measurement the velocity dies away with this time constant, s.
        lost_seconds: After so long without measurement the camera counts as lost, s.
        restart_seconds: After so long points that are seen but contradict are given up, s.
        astray_seconds: For so long a camera that was lost, and goes on from a guess, may be found back, s.
        lost_distance: Standard deviation of the position of a lost camera, m ...
        lost_angle: ... and of its orientation, rad.
        keyframe_share: New landmarks are taken when those known are fewer than this share of all points
            seen ...
        keyframe_seconds: ... or so long after the last ones, s.
        memory: Images that count in a landmark's place: more do not make it more certain, as the errors of
            one track are alike. The fewer, the more landmarks follow the poses' own errors.
        max_misses: A landmark that contradicts so often in a row is given up.
        probation_seconds: A new landmark votes on the pose when it has agreed for so long, s ...
        obstructed_share: ... or, from when fewer than this share of the voters that should be in view are
            seen and agree until they are back, ...
        obstructed_seconds: ... for so long, s.
        check_distance: A given pose may differ by this from the tracks', m, plus ...
        check_share: ... this share of the way, and ...
        check_angle: ... by this, rad, over ...
        check_seconds: ... the motion of the last so many seconds.
    """

    min_points: int = 8
    min_share: float = 0.35
    clear_share: float = 0.7
    rival_share: float = 0.2
    cutoff_sigmas: float = 4.5
    image_drift: float = 0.04
    focal_sigma: float = 0.02
    focal_wrong_share: float = 0.2
    focal_limit: float = 0.06
    depth_lag: float = 0.02
    hypotheses: int = 64
    max_translation_sigma: float = 0.1
    max_rotation_sigma: float = 0.05
    acceleration: float = 2.0
    turn_acceleration: float = 6.0
    max_speed: float = 10.0
    max_turn: float = 15.0
    coast_seconds: float = 0.3
    lost_seconds: float = 0.5
    restart_seconds: float = 2.0
    astray_seconds: float = 30.0
    lost_distance: float = 2.0
    lost_angle: float = 1.0
    keyframe_share: float = 0.8
    keyframe_seconds: float = 0.5
    memory: float = 200.0
    max_misses: int = 5
    probation_seconds: float = 0.2
    obstructed_share: float = 0.5
    obstructed_seconds: float = 3.0
    check_distance: float = 0.03
    check_share: float = 0.05
    check_angle: float = 0.03
    check_seconds: float = 2.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (np.isfinite(value) and value > 0):
                raise EgoMotionError(f"the ego-motion setting {item.name} is {value}: give a number above 0")
        shares = [item.name for item in fields(self) if item.name.endswith("_share")]
        for name in shares:
            if not getattr(self, name) <= 1:
                raise EgoMotionError(
                    f"the ego-motion setting {name} is {getattr(self, name)}: give a share of at most 1"
                )
        if self.min_points < 4:
            raise EgoMotionError(
                f"the ego-motion setting min_points is {self.min_points}: give 4 or more, as three points "
                "always agree"
            )


@dataclass(frozen=True, eq=False)
class CameraPoints:
    """All N tracks of one image as the camera measured them.

    Attributes:
        stamp: Of the image, ns.
        epoch: Of the tracks: their ids mean nothing in another one.
        ids: (N,) uint32 of all tracks that are alive, seen now or not: what is not among them is forgotten.
        xyz: (N, 3) in the optical frame, m; NaN where the track is not seen. A track that is seen but has no
            depth may be given as any point on its ray with an infinite `sigma`.
        sigma: (N,) standard deviation of z, m.
        image_sigma: Standard deviation of the tracks' place in the image divided by the focal length, both
            in px; one for all, or (N,).
        moving: (N,) bool, tracks that are believed to move in the fixed frame.
    """

    stamp: int
    epoch: int
    ids: NDArray[np.uint32]
    xyz: NDArray[np.float64]
    sigma: NDArray[np.float64]
    image_sigma: float | NDArray[np.float64]
    moving: NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.ids)
        if not (self.xyz.shape == (count, 3) and self.sigma.shape == self.moving.shape == (count,)):
            raise EgoMotionError(
                f"{count} tracks came with positions of shape {self.xyz.shape}, sigmas of {self.sigma.shape} "
                f"and motions of {self.moving.shape}: give one row for each track"
            )
        if not (np.isfinite(self.image_sigma) & (np.asarray(self.image_sigma) > 0)).all():
            raise EgoMotionError(
                f"the tracks' image_sigma is {self.image_sigma}: give px of noise / focal length"
            )
