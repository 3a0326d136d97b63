"""Making networks from what a user names: weights, a device, a precision."""

from __future__ import annotations

import torch

from cotracker_ros.model import CoTracker3, find_weights
from cotracker_ros.tracking.causal import CausalTracker
from cotracker_ros.tracking.config import PRECISIONS, TrackerConfig
from cotracker_ros.tracking.network_tracker import NetworkTracker
from cotracker_ros.tracking.stream import StreamTracker

_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class DeviceError(ValueError):
    """A device or precision that cannot be had here."""


def pick_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device that is there.

    Raises:
        DeviceError: The name is unknown or the device is absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"the device '{name}' is unknown; give auto, cpu, cuda, cuda:N or mps") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"the device '{name}' is not supported; give auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"the device '{name}' is absent; use device 'auto' or 'cpu', or install a CUDA build of torch"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("the device 'mps' is absent; use device 'auto' or 'cpu'")
    return device


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older versions of torch cannot tell.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def load_model(
    weights: str, *, device: str = "auto", precision: str = "auto", compile: bool = False
) -> CoTracker3:
    """Load a network that any number of trackers may share.

    Args:
        weights: ``default``, the name of a published checkpoint, or a path.
        device: See `pick_device`.
        precision: ``fp32``, ``fp16``, ``bf16``, or ``auto``: bf16 for causal networks, which are trained in
            it, where the processor multiplies it natively; else fp32.
        compile: Compile the network with `torch.compile`: faster in the long run, slow at the start.

    Raises:
        WeightsError: There are no such weights, or they cannot be read.
        DeviceError: The device or the precision cannot be had.
    """
    if precision not in PRECISIONS:
        raise DeviceError(f"precision is '{precision}'; give one of {', '.join(PRECISIONS)}")
    place = pick_device(device)
    if precision == "fp16" and place.type == "cpu":
        raise DeviceError("precision fp16 needs a GPU; use fp32 or bf16 on a CPU")
    model = CoTracker3.from_checkpoint(find_weights(weights), place)
    if precision == "auto":
        precision = "bf16" if model.config.causal and _multiplies_bf16(place) else "fp32"
    model = model.to(_TYPES[precision])
    if model.config.causal and place.type == "cpu":
        # A third faster; the published network gains nothing from it.
        model.fnet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compile:
        for part in ("encode", "update"):
            setattr(model, part, torch.compile(getattr(model, part)))
    return model


def network_tracker(model: CoTracker3, config: TrackerConfig | None = None) -> NetworkTracker:
    """Make the tracker that fits an online network: windows, or image by image for a causal one.

    Raises:
        ValueError: The network is an offline one, or the settings do not fit its window.
    """
    return CausalTracker(model, config) if model.config.causal else StreamTracker(model, config)
