"""Lifts tracks into space with depth images, the camera's calibration and transforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from cotracker_ros.nodes.lifter_node_config import LifterNodeConfig
from cotracker_ros.nodes.lifting_stream import LiftingStream
from cotracker_ros.nodes.managed_node import ManagedNode, run_node
from cotracker_ros.nodes.parameters import Configs, ParameterGroup
from cotracker_ros.reconstruction import (
    BodiesConfig,
    DepthNoise,
    DepthSampling,
    EgoMotionConfig,
    LifterConfig,
    MotionConfig,
    StaticMapConfig,
)
from cotracker_ros.reconstruction.dense_config import DenseConfig


def _all_fields(config: type) -> frozenset[str]:
    return frozenset(f.name for f in fields(config))


GROUPS = (
    ParameterGroup(
        LifterNodeConfig,
        live=frozenset(
            {"trail_length", "marker_period", "map_path", "pose_label", "odometry_tf", "body_tf", "mesh_path"}
        ),
        ranges={
            "queue_size": (1, 1000),
            "trail_length": (1, 1000),
            "marker_period": (0.01, 60.0),
            "map_period": (0.1, 3600.0),
        },
    ),
    ParameterGroup(
        LifterConfig,
        live=_all_fields(LifterConfig),
        hidden=frozenset({"sampling", "motion", "ego_motion", "bodies", "map"}),
        ranges={"tolerance": (0.0, 10.0), "max_wait": (0.0, 60.0)},
    ),
    ParameterGroup(
        DepthSampling,
        prefix="sampling.",
        live=_all_fields(DepthSampling),
        hidden=frozenset({"noise"}),
    ),
    ParameterGroup(DepthNoise, prefix="sampling.noise.", live=_all_fields(DepthNoise)),
    ParameterGroup(MotionConfig, prefix="motion.", live=_all_fields(MotionConfig)),
    ParameterGroup(EgoMotionConfig, prefix="ego_motion.", live=_all_fields(EgoMotionConfig)),
    ParameterGroup(
        BodiesConfig,
        prefix="bodies.",
        live=_all_fields(BodiesConfig),
        ranges={"window_frames": (4, 120), "min_members": (3, 1000), "max_bodies": (1, 1000)},
    ),
    ParameterGroup(DenseConfig, prefix="mesh."),
    ParameterGroup(StaticMapConfig, prefix="map.", live=_all_fields(StaticMapConfig)),
)


class LifterNode(ManagedNode):
    """Tracks, depth, camera_info and transforms in; 3D tracks, odometry, bodies, points and maps out."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("lifter", GROUPS, **node_arguments)
        self._stream: LiftingStream | None = None

    def prepare(self, configs: Configs) -> None:
        """Offer topics and services, and listen to transforms."""
        self._stream = LiftingStream(self, configs)

    def start(self) -> None:
        """Subscribe to tracks, depth and camera_info, and to the colour image where a surface is wanted."""
        assert self._stream is not None
        self._stream.start()

    def stop(self) -> None:
        """Unsubscribe; points and map stay as they are."""
        assert self._stream is not None
        self._stream.stop()

    def release(self) -> None:
        """Forget points and map, and take topics and services away."""
        if self._stream is not None:
            self._stream.destroy()
            self._stream = None

    def apply(self, configs: Configs) -> None:
        """Take over live parameters."""
        if self._stream is not None:
            self._stream.apply(configs)

    def diagnose(self) -> list[DiagnosticStatus]:
        """One status."""
        return [] if self._stream is None else [self._stream.diagnose()]


def main(args: Sequence[str] | None = None) -> int:
    """Run the lifter."""
    return run_node(LifterNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
