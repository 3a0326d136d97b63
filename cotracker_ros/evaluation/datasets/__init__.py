"""Clips whose tracks are known, from the formats in which they are published, and from RGB-D recordings.

Names that need torch are imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.kubric import KubricSequences
from cotracker_ros.evaluation.datasets.static_scene import static_scene_clips
from cotracker_ros.evaluation.datasets.tapvid import TAPVID_SIZE, read_tapvid

if TYPE_CHECKING:
    from cotracker_ros.evaluation.datasets.dynamic_replica import read_dynamic_replica

__all__ = [
    "TAPVID_SIZE",
    "DatasetError",
    "KubricSequences",
    "read_dynamic_replica",
    "read_tapvid",
    "static_scene_clips",
]


def __getattr__(name: str) -> Any:
    if name == "read_dynamic_replica":
        from cotracker_ros.evaluation.datasets.dynamic_replica import read_dynamic_replica

        return read_dynamic_replica
    raise AttributeError(f"module 'cotracker_ros.evaluation.datasets' has no attribute '{name}'")
