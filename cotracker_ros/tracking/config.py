"""Settings of the trackers and of a tracking session, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

BACKENDS = ("auto", "network", "klt")
PRECISIONS = ("auto", "fp32", "fp16", "bf16")
SEEDS = ("none", "grid", "corners")


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise ValueError(message)


@dataclass(frozen=True)
class TrackerConfig:
    """What every tracker obeys; fields that only the network knows say so.

    Attributes:
        update_every: Network: frames between two updates, 1 to half the network's window. Half the window
            is the published online protocol, number for number; 1 answers every image. Causal networks
            answer every image whatever it says.
        iterations: Network: refinement passes in each update; 0 means what suits it: 6 as published, 1 where
            every image is answered.
        revise: Network: how many earlier frames of the window an update refines again; -1 means all of
            them (the published protocol). Frames that are not refined keep their cached correlations.
        extrapolate: Network: start a new frame at the last position moved on by this share of the last
            velocity. 0 starts where the point was last (the published protocol).
        input_width: Network: width to which images are resized, px; -1 takes what the network is made for,
            0 keeps the image's own.
        input_height: Network: height to which images are resized, px; -1 and 0 as above.
        support_grid: Network: side of a grid of support points planted in the first image; 0 means none.
        support_refresh: Network: frames after which the support grid is planted anew; 0 means never.
        local_support: Network: side of a grid of support points around each query; 0 means none.
        visible_threshold: A point counts as visible when visibility times confidence is above this; -1 means
            what suits: 0.6 as published, for causal networks 0.3, with a verifier 0.35.
        lost_after: Frames without being visible after which a track is flagged LOST.
        max_tracks: Most tracks at a time; asking for more is refused.
    """

    update_every: int = 8
    iterations: int = 0
    revise: int = -1
    extrapolate: float = 0.0
    input_width: int = -1
    input_height: int = -1
    support_grid: int = 0
    support_refresh: int = 0
    local_support: int = 0
    visible_threshold: float = -1.0
    lost_after: int = 30
    max_tracks: int = 10_000

    def __post_init__(self) -> None:
        for name in ("update_every", "lost_after", "max_tracks"):
            value = getattr(self, name)
            _check(value >= 1, f"{name} is {value}; give at least 1")
        _check(self.iterations >= 0, f"iterations is {self.iterations}; give 0 (what suits) or more")
        _check(
            self.revise >= -1, f"revise is {self.revise}; give -1 (all earlier frames) or a number of frames"
        )
        _check(0 <= self.extrapolate <= 1, f"extrapolate is {self.extrapolate}; give a share from 0 to 1")
        for name in ("input_width", "input_height"):
            value = getattr(self, name)
            _check(
                value in (-1, 0) or 32 <= value <= 8192,
                f"{name} is {value}; give -1 (the network's), 0 (the image's) or 32 to 8192 px",
            )
        for name in ("support_grid", "local_support"):
            value = getattr(self, name)
            _check(0 <= value <= 64, f"{name} is {value}; give 0 (none) to 64 points a side")
        _check(
            self.support_refresh >= 0, f"support_refresh is {self.support_refresh}; give 0 (never) or frames"
        )
        _check(
            self.visible_threshold == -1 or 0 <= self.visible_threshold < 1,
            f"visible_threshold is {self.visible_threshold}; give -1 or a probability from 0 to below 1",
        )


def refinement_passes(config: TrackerConfig, *, every_image: bool) -> int:
    """Return how often an update refines: `TrackerConfig.iterations`, or what suits the tracker."""
    return config.iterations or (1 if every_image else 6)


def visible_from(config: TrackerConfig, *, causal: bool, verified: bool = False) -> float:
    """Return `TrackerConfig.visible_threshold`, or what suits the tracker.

    Args:
        config: Settings.
        causal: Whether the network is causal.
        verified: Whether it has a verifier.
    """
    if config.visible_threshold >= 0:
        return config.visible_threshold
    return 0.35 if verified else 0.3 if causal else 0.6


@dataclass(frozen=True)
class KltConfig:
    """Pyramidal Lucas-Kanade with forward-backward check.

    Attributes:
        window: Side of the patch that is matched, px, odd.
        levels: Halvings of the image for large motions.
        max_error: A point is lost when tracking it forward and back misses its start by this much, px.
    """

    window: int = 21
    levels: int = 4
    max_error: float = 1.0

    def __post_init__(self) -> None:
        _check(
            5 <= self.window <= 101 and self.window % 2 == 1,
            f"window is {self.window}; give an odd number of px from 5 to 101",
        )
        _check(0 <= self.levels <= 8, f"levels is {self.levels}; give 0 to 8")
        _check(self.max_error > 0, f"max_error is {self.max_error}; give a distance above 0 px")


@dataclass(frozen=True)
class SessionConfig:
    """How tracks begin and end by themselves.

    Attributes:
        seed: Queries planted in the first image of an epoch: "none", "grid" or "corners" (Shi-Tomasi).
        seed_count: About how many of them.
        budget: Keep about so many tracks by planting corners where a region runs empty; 0 plants none. When
            it is spent, planted tracks that are long out of sight make room.
        replenish_every: Images between two looks for empty regions.
        retire_after: Remove tracks that were not visible or outside the image for so many images; 0 keeps
            them all.
        jump_back: A stamp that falls behind the newest one by more than this starts a new epoch, s; a smaller
            step back is an image out of order and dropped.
    """

    seed: str = "none"
    seed_count: int = 100
    budget: int = 0
    replenish_every: int = 10
    retire_after: int = 0
    jump_back: float = 0.5

    def __post_init__(self) -> None:
        _check(self.seed in SEEDS, f"seed is '{self.seed}'; give one of {', '.join(SEEDS)}")
        for name in ("seed_count", "replenish_every"):
            value = getattr(self, name)
            _check(value >= 1, f"{name} is {value}; give at least 1")
        for name in ("budget", "retire_after"):
            value = getattr(self, name)
            _check(value >= 0, f"{name} is {value}; give 0 or more")
        _check(self.jump_back > 0, f"jump_back is {self.jump_back}; give a time above 0 s")
