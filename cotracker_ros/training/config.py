"""Settings of a training run, read from a YAML file and checked."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from cotracker_ros.model import CoTracker3Config

SCHEDULES = ("one_cycle", "cosine", "trapezoid")
STARTS = ("query", "lucas_kanade", "rollout")


class TrainingError(ValueError):
    """Something about a training run that the user can mend; the text is one sentence."""


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise TrainingError(message)


@dataclass(frozen=True)
class LossConfig:
    """Weights and shapes of the losses; the defaults are CoTracker3's, but for `masked`.

    Attributes:
        visible: Weight of the position error of visible points.
        hidden: Weight of the position error of hidden ones.
        visibility: Weight of the error of the visibility.
        confidence: Weight of the error of the confidence.
        features: Weight of the loss on the features alone; 0 leaves it out.
        gamma: Each iteration but the last counts by this factor less than the next.
        huber: Error above which the loss of visible points grows linearly, px of the network's input.
        close: Error up to which a point should be confident, px of the network's input.
        hidden_balance: How much more a hidden point counts for the visibility than a visible one.
        masked: Judge visibility and confidence only where the truth is known and the track has begun; False
            judges them in every frame of a window, as published.
        freeze_visibility: Train positions only and leave the head of visibility and confidence as it is.
    """

    visible: float = 0.05
    hidden: float = 0.01
    visibility: float = 1.0
    confidence: float = 1.0
    features: float = 0.0
    gamma: float = 0.8
    huber: float = 6.0
    close: float = 12.0
    hidden_balance: float = 1.0
    masked: bool = True
    freeze_visibility: bool = False

    def __post_init__(self) -> None:
        for name in ("visible", "hidden", "visibility", "confidence", "features"):
            _check(getattr(self, name) >= 0, f"loss.{name} is {getattr(self, name)}; give 0 or more")
        for name in ("gamma", "huber", "close", "hidden_balance"):
            _check(getattr(self, name) > 0, f"loss.{name} is {getattr(self, name)}; give a number above 0")


@dataclass(frozen=True)
class DataConfig:
    """Where clips come from and how they are cut.

    Attributes:
        source: ``synthetic`` (made while training), ``kubric`` (TAP-Vid-Kubric on disk) or ``labels`` (a
            folder that `cotracker_ros distill` wrote).
        path: Folder of the data set; not for ``synthetic``.
        frames: Frames of a clip as it is made or read.
        least_frames: Fewest frames of a clip of ``kubric`` or ``labels``, whose number is drawn; 0 takes
            ``frames`` always.
        max_stride: Largest step from one frame of ``kubric`` to the next, drawn per clip.
        window: Frames of it that are trained on at a time; with starts ``query`` it is the whole clip.
        sizes: Widths and heights that clips are drawn from, px.
        tracks: Most tracks of a clip.
        late: Share of clips whose window begins some frames after the query.
        photographs: Use pictures in the public domain among the textures of synthetic clips; they come with
            scikit-image.
        covers: Move pieces of other clips of ``labels`` across each clip (see `covers`): which points are
            hidden is learned from those, and not from what the labels call hidden.
        workers: Processes that make clips.
    """

    source: str = "synthetic"
    path: str = ""
    frames: int = 30
    least_frames: int = 0
    max_stride: int = 1
    window: int = 24
    sizes: tuple[tuple[int, int], ...] = ((160, 160),)
    tracks: int = 64
    late: float = 0.25
    photographs: bool = False
    covers: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        _check(
            self.source in ("synthetic", "kubric", "labels"),
            f"data.source is '{self.source}'; give synthetic, kubric or labels",
        )
        _check(
            self.source == "synthetic" or bool(self.path),
            f"data.source is '{self.source}' without a folder; give data.path",
        )
        _check(2 <= self.window <= self.frames, f"data.window is {self.window}; give 2 to data.frames frames")
        _check(
            self.least_frames == 0 or self.window <= self.least_frames <= self.frames,
            f"data.least_frames is {self.least_frames}; give 0 or data.window to data.frames frames",
        )
        _check(
            not self.covers or self.source == "labels",
            f"data.covers is set but data.source is '{self.source}'; only labels are covered",
        )
        _check(self.max_stride >= 1, f"data.max_stride is {self.max_stride}; give at least 1")
        _check(bool(self.sizes), "data.sizes is empty; give at least one [width, height]")
        for size in self.sizes:
            _check(
                isinstance(size, tuple) and len(size) == 2 and min(size) >= 32,
                f"data.sizes holds {size}; give [width, height] of at least 32 px each",
            )
        _check(self.tracks >= 1, f"data.tracks is {self.tracks}; give at least 1")
        _check(0 <= self.late <= 1, f"data.late is {self.late}; give a share from 0 to 1")
        _check(self.workers >= 0, f"data.workers is {self.workers}; give 0 or more")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        model: Sizes of the network.
        data: Clips.
        loss: Losses.
        initial: Weights to start from, as `find_weights` names them; "" starts from scratch.
        starts: Where a window's estimates begin: ``query`` (at the query, windows unrolled as published),
            ``lucas_kanade`` (as a stream that Lucas-Kanade carries on would, see `starts`) or ``rollout``
            (some of the clips as the network itself, as it is by then, would).
        rollouts: Share of clips that start from the network's own stream, with starts ``rollout``.
        iterations: Refinement passes.
        steps: Optimiser steps.
        batch: Clips per step and process.
        rate: Highest learning rate.
        schedule: ``one_cycle`` (as published: up and down along cosines, over 100 more steps than there are),
            ``cosine`` (the same over the steps alone) or ``trapezoid`` (level, then a straight fall to 0).
        warm_up: Share of the steps in which the rate rises.
        fall: Share of the steps in which it falls, for ``trapezoid``.
        weight_decay: AdamW's.
        clip_norm: Largest norm of the gradient.
        average: Decay of the running average of the weights, which is what is evaluated and kept.
        precision: ``bf16`` or ``fp32``.
        seed: For the network's first weights and the clips.
        snapshot_every: Steps between two snapshots, from which a run can go on.
        evaluate_every: Steps between two evaluations against KLT on held-out clips; 0 means none.
        evaluate_clips: Held-out clips of each.
        verifier_clips: Synthetic clips on which a causal network's verifier is fitted, after the last step;
            0: none is.
    """

    model: CoTracker3Config = field(default_factory=CoTracker3Config)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    initial: str = ""
    starts: str = "query"
    rollouts: float = 0.5
    iterations: int = 4
    steps: int = 50_000
    batch: int = 1
    rate: float = 5e-4
    schedule: str = "one_cycle"
    warm_up: float = 0.05
    fall: float = 0.4
    weight_decay: float = 5e-4
    clip_norm: float = 1.0
    average: float = 0.999
    precision: str = "bf16"
    seed: int = 42
    snapshot_every: int = 200
    evaluate_every: int = 2000
    evaluate_clips: int = 12
    verifier_clips: int = 0

    def __post_init__(self) -> None:
        _check(self.starts in STARTS, f"starts is '{self.starts}'; give one of {', '.join(STARTS)}")
        _check(
            self.starts == "query" or self.model.causal,
            f"starts is '{self.starts}' but the network is not causal; give starts: query",
        )
        _check(
            self.schedule in SCHEDULES, f"schedule is '{self.schedule}'; give one of {', '.join(SCHEDULES)}"
        )
        _check(self.precision in ("fp32", "bf16"), f"precision is '{self.precision}'; give fp32 or bf16")
        for name in ("iterations", "steps", "batch", "snapshot_every", "evaluate_clips"):
            _check(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; give at least 1")
        for name in ("rate", "clip_norm"):
            _check(getattr(self, name) > 0, f"{name} is {getattr(self, name)}; give a number above 0")
        for name in ("warm_up", "fall", "rollouts"):
            _check(
                0 <= getattr(self, name) <= 1, f"{name} is {getattr(self, name)}; give a share from 0 to 1"
            )
        _check(0 <= self.average < 1, f"average is {self.average}; give a decay from 0 to below 1")
        _check(self.evaluate_every >= 0, f"evaluate_every is {self.evaluate_every}; give 0 (never) or steps")
        _check(self.verifier_clips >= 0, f"verifier_clips is {self.verifier_clips}; give 0 (none) or more")
        _check(
            not self.verifier_clips or self.model.causal,
            f"verifier_clips is {self.verifier_clips}, but the network is not causal; give 0",
        )
        _check(
            not self.model.verifier,
            f"model.verifier is {self.model.verifier}, but it is fitted at the end; give verifier_clips",
        )
        _check(self.weight_decay >= 0, f"weight_decay is {self.weight_decay}; give 0 or more")
        stride = self.model.stride
        for width, height in self.data.sizes:
            _check(
                width % stride == 0 and height % stride == 0,
                f"data.sizes holds {width}x{height}; give multiples of the network's stride, {stride}",
            )


def preset_names() -> list[str]:
    """Return the names of the presets that the package ships."""
    folder = files("cotracker_ros.training").joinpath("presets")
    return sorted(Path(str(entry)).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_config(name: str, changes: dict[str, Any] | None = None) -> TrainConfig:
    """Read a run's settings.

    Args:
        name: A YAML file or the name of a preset.
        changes: Settings to replace, with dotted names, such as ``{"data.path": "kubric"}``.

    Raises:
        TrainingError: There is no such file or preset, or a setting is unknown or wrong.
    """
    path = Path(name)
    if not path.suffix:
        path = Path(str(files("cotracker_ros.training") / "presets" / f"{name}.yaml"))
        if not path.is_file():
            raise TrainingError(
                f"there is no preset '{name}'; give a YAML file or one of {', '.join(preset_names())}"
            )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingError(f"the settings {path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise TrainingError(f"{path} holds no settings; write 'name: value' lines")
    for dotted, value in (changes or {}).items():
        *parents, last = dotted.split(".")
        place = content
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise TrainingError(f"the setting '{dotted}' is unknown; '{parent}' holds no settings")
        place[last] = value
    return from_values(TrainConfig, content)


def from_values(kind: type, values: dict[str, Any], prefix: str = "") -> Any:
    """Make a configuration dataclass from plain values, as JSON and YAML hold them.

    Raises:
        TrainingError: A setting is unknown, of a wrong type or refused.
    """
    kinds = typing.get_type_hints(kind)
    known = {entry.name for entry in dataclasses.fields(kind)}
    unknown = sorted(str(name) for name in set(values) - known)
    if unknown:
        raise TrainingError(
            f"the setting '{prefix}{unknown[0]}' is unknown; known are {', '.join(sorted(known))}"
        )
    made = {}
    for name, value in values.items():
        wanted = kinds[name]
        if dataclasses.is_dataclass(wanted):
            if not isinstance(value, dict):
                raise TrainingError(f"{prefix}{name} is {value!r}; give settings below it")
            made[name] = from_values(typing.cast(type, wanted), value, f"{prefix}{name}.")
        else:
            made[name] = _plain(value, wanted, prefix + name)
    try:
        return kind(**made)
    except TrainingError:
        raise
    except ValueError as error:
        raise TrainingError(f"{prefix}{error}") from error


def _plain(value: Any, wanted: Any, name: str) -> Any:
    if wanted is float and type(value) in (int, str):
        try:  # YAML takes 6e-4 for a word
            return float(value)
        except ValueError:
            pass
    if typing.get_origin(wanted) is tuple and isinstance(value, (list, tuple)):
        parts = tuple(tuple(part) if isinstance(part, list) else part for part in value)
        if all(type(number) is int for part in parts for number in (part if type(part) is tuple else [part])):
            return parts
        raise TrainingError(f"{name} is {value!r}; give whole numbers")
    if type(value) is not wanted:
        raise TrainingError(
            f"{name} is {value!r}; give a value of type {getattr(wanted, '__name__', wanted)}"
        )
    return value
