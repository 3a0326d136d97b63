"""CoTracker3 in PyTorch: tensors in, tensors out, no hidden state."""

from cotracker_ros.model.checkpoints import WeightsError, find_weights
from cotracker_ros.model.config import CoTracker3Config
from cotracker_ros.model.cotracker3 import CoTracker3, Estimates, Prediction
from cotracker_ros.model.grids import grid

__all__ = [
    "CoTracker3",
    "CoTracker3Config",
    "Estimates",
    "Prediction",
    "WeightsError",
    "find_weights",
    "grid",
]
