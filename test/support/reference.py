"""The published network at weights made by a recipe; what it gave there is in test/model/data."""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

from cotracker_ros.model import CoTracker3, CoTracker3Config

DATA = Path(__file__).parent.parent / "model" / "data"
GAINS = {
    "fnet.": np.sqrt(2),
    "flow_head": 0.09,
    "vis_conf_head": 0.25,
    "corr_mlp.fc1": 6,
    "corr_mlp.fc2": 3,
    "to_q.": 2,
    "to_kv.": 2,
}
OFFLINE = CoTracker3Config(window=60, offline=True)


@cache
def arrays(name: str) -> dict[str, np.ndarray]:
    """Read one file of expected numbers."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def recipe_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make a weight from its name: seeded, and far from what initialisation gives."""
    rng = np.random.Generator(np.random.PCG64([0, zlib.crc32(name.encode())]))
    z = rng.standard_normal(shape).astype(np.float32)
    if name == "updateformer.virual_tracks":
        return z
    if "norm_context" in name:
        return 1 + 0.2 * z if name.endswith("weight") else 0.1 * z
    if name == "updateformer.vis_conf_head.bias":
        return 0.1 * z + np.array([-0.1, 1.0], np.float32)
    if name.endswith("bias"):
        return 0.1 * z
    gain = next((gain for part, gain in GAINS.items() if part in name), 1)
    return float(gain / np.sqrt(np.prod(shape[1:]))) * z


def recipe_network(config: CoTracker3Config | None = None) -> CoTracker3:
    """Build a network with the recipe's weights."""
    model = CoTracker3(config)
    tensors = {
        name: torch.from_numpy(recipe_tensor(name, tuple(tensor.shape)))
        for name, tensor in model.state_dict().items()
        if name != "time_emb"
    }
    model.load_state_dict(tensors | {"time_emb": model.time_emb})
    return model.eval().requires_grad_(False)


def clip(length: int) -> torch.Tensor:
    """The first frames of the reference's clip, (1, length, 3, 96, 128) float."""
    return torch.from_numpy(arrays("clip")["video"][None, :length]).float()


def largest_difference(actual: torch.Tensor | np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference of two arrays of one shape."""
    actual = np.asarray(actual)
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max())
