"""Everything a network tracker remembers of one stream, as a value that can be saved and restored."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cotracker_ros.model import Estimates
from cotracker_ros.tracking.affine import Patches
from cotracker_ros.tracking.table import TrackTable

_NUMBERS = ("frames", "answered", "start", "finished")
_LISTS = ("pyramid", "support", "memory", "virtual_memory")
_TENSORS = ("embedding", "known")
_IMAGES = (
    "grey",
    "templates",
    "warps",
    "accompanied",
)  # stay in the computer's memory, where OpenCV finds them


@dataclass(eq=False)
class StreamState:
    """State of one stream. A row is a track or a support point, in the order in which they came.

    Attributes:
        table: The list of rows; support points have the id 0.
        frames: Images received in this epoch.
        answered: Images answered in this epoch.
        start: Image that the window begins with.
        finished: Whether the stream has been ended by `finish`.
        image_size: Width and height of the images, px; None before the first.
        stamps: Stamps of the images of the window, ns, by image number.
        pyramid: Features of the newest images, per level (S, H, W, C); image f is in slot f mod S.
        owner: (R,) int64, the track that a local support point belongs to, else 0.
        started: (R,) bool, whether the row has been part of an update since its query image came.
        support: Query patches, per level (R, Q, C).
        estimates: Positions and logits of the rows in the window's S frames.
        embedding: (R, S, E) correlation embeddings of the last update; empty where no update reuses them.
        memory: Causal networks: keys and values of the frames before, per time block (R, L, K).
        virtual_memory: The same of the virtual tracks, per time block (V, L, K).
        known: (R, L) bool, which rows were there in those frames.
        grey: (H, W) uint8, the newest image for Lucas-Kanade, for causal networks.
        templates: (R, side, side) uint8, the image around each query, for the same.
        warps: (R, 2, 2) float32, how each of them lies in the newest image, for the same.
        patches: What fitting needs of `templates`; not saved, but made anew.
        accompanied: (R,) int64, images in which the row moved as the company of its query did, for the same.
    """

    table: TrackTable = field(default_factory=TrackTable)
    frames: int = 0
    answered: int = 0
    start: int = 0
    finished: bool = False
    image_size: tuple[int, int] | None = None
    stamps: dict[int, int] = field(default_factory=dict)
    pyramid: list[Tensor] = field(default_factory=list)
    owner: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    started: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    support: list[Tensor] = field(default_factory=list)
    estimates: Estimates | None = None
    embedding: Tensor | None = None
    memory: list[Tensor] = field(default_factory=list)
    virtual_memory: list[Tensor] = field(default_factory=list)
    known: Tensor | None = None
    grey: Tensor | None = None
    templates: Tensor | None = None
    patches: Patches | None = None
    warps: Tensor | None = None
    accompanied: Tensor | None = None

    def __len__(self) -> int:
        return len(self.table)

    def save(self, path: str | Path) -> None:
        """Write the state to a ``.safetensors`` file, whole or not at all."""
        tensors = {"owner": torch.from_numpy(self.owner), "started": torch.from_numpy(self.started)}
        for name in _LISTS:
            tensors |= {f"{name}.{level}": part for level, part in enumerate(getattr(self, name))}
        if self.estimates is not None:
            tensors |= {f"estimates.{name}": part for name, part in self.estimates._asdict().items()}
        for name in (*_TENSORS, *_IMAGES):
            if getattr(self, name) is not None:
                tensors[name] = getattr(self, name)
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        numbers |= {"image_size": self.image_size, "stamps": list(self.stamps.items())}
        table = {}
        for column in fields(self.table):
            value = getattr(self.table, column.name)
            table[column.name] = value.tolist() if isinstance(value, np.ndarray) else value
        metadata = {"numbers": json.dumps(numbers), "table": json.dumps(table)}
        target = Path(path)
        unfinished = target.with_suffix(".part")
        save_file({name: part.contiguous().cpu() for name, part in tensors.items()}, unfinished, metadata)
        unfinished.replace(target)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> StreamState:
        """Read what `save` wrote.

        Raises:
            ValueError: The file is missing or holds no such state.
        """
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            numbers, columns = json.loads(metadata["numbers"]), json.loads(metadata["table"])
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} holds no saved stream state: {error}") from error
        state = cls(table=_table(columns))
        for name in _NUMBERS:
            setattr(state, name, numbers[name])
        state.image_size = tuple(numbers["image_size"]) if numbers["image_size"] else None
        state.stamps = dict(numbers["stamps"])
        state.owner, state.started = tensors["owner"].cpu().numpy(), tensors["started"].cpu().numpy()
        for name in _LISTS:
            setattr(state, name, _levels(tensors, name))
        if "estimates.xy" in tensors:
            state.estimates = Estimates(*(tensors[f"estimates.{name}"] for name in Estimates._fields))
        for name in _TENSORS:
            setattr(state, name, tensors.get(name))
        for name in _IMAGES:
            setattr(state, name, tensors[name].cpu() if name in tensors else None)
        return state


def _levels(tensors: dict[str, Tensor], name: str) -> list[Tensor]:
    return [tensors[f"{name}.{level}"] for level in range(sum(key.startswith(f"{name}.") for key in tensors))]


def _table(columns: dict) -> TrackTable:
    table = TrackTable()
    for column in fields(table):
        empty = getattr(table, column.name)
        value = columns[column.name]
        if isinstance(empty, np.ndarray):
            value = np.array(value, empty.dtype).reshape(-1, *empty.shape[1:])
        setattr(table, column.name, value)
    return table
