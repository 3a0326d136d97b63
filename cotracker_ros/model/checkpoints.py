"""Reading and writing weights, and finding them by name. Nothing is ever unpickled."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cotracker_ros.model.config import CoTracker3Config

PUBLISHED = ("scaled_online", "scaled_offline", "baseline_online", "baseline_offline")
PUBLISHED_URL = "https://huggingface.co/facebook/cotracker3/resolve/main/{}.pth"
PUBLISHED_LICENCE = "CC-BY-NC-4.0 (no commercial use)"
DEFAULT_FILE = Path(__file__).parent.parent / "weights" / "default.safetensors"


class WeightsError(ValueError):
    """Weights that are missing, unreadable or made for another network."""


def find_weights(name: str) -> Path:
    """Turn what a user calls weights into a file.

    Args:
        name: A path, ``default`` (the weights this package ships) or the name of a published checkpoint,
            which is looked for in torch.hub's cache.

    Raises:
        WeightsError: There is no such file; says how to get it.
    """
    if name == "default":
        if DEFAULT_FILE.is_file():
            return DEFAULT_FILE
        raise WeightsError(
            f"the default weights are missing at {DEFAULT_FILE}; install the package again, or use "
            "backend 'klt'"
        )
    if name in PUBLISHED:
        path = Path(torch.hub.get_dir()) / "checkpoints" / f"{name}.pth"
        if path.is_file():
            return path
        raise WeightsError(
            f"the published weights '{name}', licensed {PUBLISHED_LICENCE}, are not in {path}; "
            f"get them with: mkdir -p {path.parent} && curl -L -o {path} {PUBLISHED_URL.format(name)}"
        )
    path = Path(name).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"there are no weights at {path}; give a .pth or .safetensors file, 'default', or one of "
            f"{', '.join(PUBLISHED)}"
        )
    return path


def read(path: Path) -> tuple[CoTracker3Config, dict[str, Tensor]]:
    """Read a checkpoint's configuration and tensors.

    Raises:
        WeightsError: The file is missing, or is no such checkpoint.
    """
    if not path.is_file():
        raise WeightsError(f"there are no weights at {path}")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it would warn of ends in an error below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{path} is not a checkpoint that can be read: {reason}") from error
    tensors = _published_tensors(content, path)
    return _published_config(tensors, path), tensors


def load_into(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors into a network whose every tensor they must match.

    Raises:
        WeightsError: Names the first tensors that are missing, extra or of another shape.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    shapes = [
        f"{name} is {list(tensors[name].shape)} instead of {list(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    problems = [
        f"{kind} {', '.join(names[:3])}{' and ' + str(len(names) - 3) + ' more' if len(names) > 3 else ''}"
        for kind, names in (("missing:", missing), ("extra:", extra), ("wrong shape:", shapes))
        if names
    ]
    if problems:
        raise WeightsError(f"{path} does not fit the network: {'; '.join(problems)}")
    model.load_state_dict(tensors)


def save(model: nn.Module, config: CoTracker3Config, path: Path) -> None:
    """Write weights with their configuration as ``.safetensors``, whole or not at all.

    Raises:
        OSError, SafetensorError: They cannot be written; what was there before is left.
    """
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    unfinished = path.with_suffix(".part")
    try:
        save_file(tensors, unfinished, metadata={"config": config.to_json()})
        unfinished.replace(path)
    finally:  # an interruption or a full disk leaves nothing behind
        unfinished.unlink(missing_ok=True)


def _read_safetensors(path: Path) -> tuple[CoTracker3Config, dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if "config" not in metadata:
            raise WeightsError(f"{path} holds no configuration; it was not written by this package")
        config = CoTracker3Config.from_json(metadata["config"])
        return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _published_tensors(content: object, path: Path) -> dict[str, Tensor]:
    """Take the tensors out of a state dict, a training snapshot or a data-parallel one."""
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path} holds no weights but a {type(content).__name__}")
    tensors = {str(name).removeprefix("module."): value for name, value in content.items()}
    wrong = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if wrong:
        raise WeightsError(f"{path} holds something else than a tensor under '{wrong[0]}'")
    return tensors


def _published_config(tensors: dict[str, Tensor], path: Path) -> CoTracker3Config:
    """A published file says by its time embedding whether it is the online or the offline network."""
    embedding = tensors.get("time_emb")
    if embedding is None or embedding.dim() != 3:
        raise WeightsError(f"{path} does not fit the network: missing: time_emb")
    length = embedding.shape[1]
    return CoTracker3Config(window=length, offline=length != CoTracker3Config.window)
