"""How good tracks are, and the demonstration that shows it."""

from cotracker_ros.evaluation.tapvid import mean_metrics, tapvid_metrics
from cotracker_ros.evaluation.tracking3d import tracking3d_metrics

__all__ = ["mean_metrics", "tapvid_metrics", "tracking3d_metrics"]
