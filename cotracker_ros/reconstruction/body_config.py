"""What can be set about moving bodies."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

_NOISES = ("linear_noise", "angular_noise")
_COUNTS = ("window_frames", "min_members", "leave_after", "max_bodies")


@dataclass(frozen=True)
class BodiesConfig:
    """How bodies are found and followed.

    Attributes:
        window_seconds: How far back motions are compared, s. Longer tells slower motions from noise, and is
            later to notice that two bodies part.
        window_frames: How many images of it are kept at most.
        bearing_sigma: How far a track is off across its ray, rad, where nobody tells how large a pixel is.
        sigma_floor: How far a measurement is off in any direction at least, m.
        alike: How many neighbouring tracks err alike (steps of depth, drift of the tracker): poses by N
            tracks are as uncertain as by N divided by this that err by themselves.
        slip: Part of the way of their body by which tracks may slip on it; it adds to the uncertainty of the
            pose as time goes on, because all that is known of the pose since first seen is by the tracks.
        min_members: Fewer tracks that move together by themselves are no body; a label needs three.
        min_displacement: Tracks that move less within the window count as standing still, m, ...
        drift_pixels: ... or less than so many pixels: trackers drift, many tracks alike.
        gate_sigmas: A member further than this from where its body has it contradicts the body.
        linear_noise: Spectral density of a body's acceleration, m^2/s^3.
        angular_noise: Spectral density of its angular acceleration, rad^2/s^3.
        leave_after: A member that contradicts its body in so many images more than it agrees leaves it.
        predict_seconds: How long a body is carried on by its twist while too few of its members are seen, s.
        forget_seconds: How long a body that was lost by then is remembered, to get its id back when its
            members are seen again, s.
        rest_seconds: How long a body that stopped stays a body, s, or three times as long as it moved and a
            second, if that is shorter; one with a label always does.
        world_share: While the camera moves, a motion shared by more than this part of the measured tracks
            that are in no body is the camera's (its pose is wrong), not a body's.
        max_bodies: How many bodies there may be, lost ones included.
        seed: Of the generator that draws hypotheses.
    """

    window_seconds: float = 0.8
    window_frames: int = 24
    bearing_sigma: float = 0.002
    sigma_floor: float = 0.001
    alike: float = 2.5
    slip: float = 0.05
    min_members: int = 4
    min_displacement: float = 0.02
    drift_pixels: float = 6.0
    gate_sigmas: float = 4.0
    linear_noise: float = 0.5
    angular_noise: float = 2.0
    leave_after: int = 6
    predict_seconds: float = 1.0
    forget_seconds: float = 5.0
    rest_seconds: float = 10.0
    world_share: float = 0.7
    max_bodies: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"the bodies' setting {item.name} is {value}: give a number from 0 up")
        for name in ("window_seconds", "bearing_sigma", "gate_sigmas", "alike", *_NOISES):
            if not getattr(self, name) > 0:
                raise ValueError(f"the bodies' setting {name} is {getattr(self, name)}: give more than 0")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"the bodies' setting {name} is {getattr(self, name)}: give at least 1")
        if self.window_frames < 4 or self.min_members < 3:
            raise ValueError(
                f"the bodies' settings window_frames={self.window_frames} and min_members={self.min_members} "
                "tell no motion from noise: give at least 4 and 3"
            )
        if self.world_share > 1:
            raise ValueError(f"the bodies' setting world_share is {self.world_share}: give a part of 1")
