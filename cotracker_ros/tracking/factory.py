"""Making trackers from what a user names."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from cotracker_ros.tracking.base import PointTracker
from cotracker_ros.tracking.config import BACKENDS, KltConfig, TrackerConfig
from cotracker_ros.tracking.klt import KltTracker

if TYPE_CHECKING:
    from cotracker_ros.model import CoTracker3

SHIPPED = "default"
"""Name of the weights that the package ships."""


def create_tracker(
    backend: str = "auto",
    *,
    weights: str = "",
    device: str = "auto",
    precision: str = "auto",
    compile: bool = False,
    config: TrackerConfig | None = None,
    klt: KltConfig | None = None,
    model: CoTracker3 | None = None,
) -> PointTracker:
    """Make a tracker.

    Args:
        backend: ``network``; ``klt``; or ``auto``: the network, or KLT where torch is not installed.
        weights: See `network.load_model`; empty for those that this package ships.
        device: See `network.pick_device`.
        precision: See `network.load_model`.
        compile: See `network.load_model`.
        config: Settings of the tracker.
        klt: Settings of KLT.
        model: A network to share, instead of loading weights.

    Raises:
        WeightsError: The weights are missing or cannot be read.
        ValueError: A setting is wrong, or the device is absent.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is '{backend}'; give one of {', '.join(BACKENDS)}")
    if backend == "klt" or (backend == "auto" and importlib.util.find_spec("torch") is None):
        return KltTracker(config, klt)
    # Whoever tracks with KLT alone need not wait for torch.
    from cotracker_ros.tracking.network import load_model, network_tracker

    if model is None:
        model = load_model(weights or SHIPPED, device=device, precision=precision, compile=compile)
    return network_tracker(model, config)
