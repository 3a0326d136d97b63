"""Follows points through camera images and publishes their tracks."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from cotracker_ros.nodes.camera_stream import Arrival, CameraStream, TrackerNodeConfig
from cotracker_ros.nodes.managed_node import ManagedNode, run_node
from cotracker_ros.nodes.parameters import Configs, ParameterGroup
from cotracker_ros.nodes.worker import Worker
from cotracker_ros.tracking import (
    KltConfig,
    SessionConfig,
    TrackerConfig,
    TrackingSession,
    create_tracker,
)

_LIVE_TRACKING = frozenset({"visible_threshold", "lost_after", "max_tracks"})


GROUPS = (
    ParameterGroup(
        TrackerNodeConfig,
        live=frozenset({"trail_length"}),
        ranges={"queue_size": (1, 1000), "trail_length": (0, 1000)},
    ),
    ParameterGroup(
        TrackerConfig,
        live=_LIVE_TRACKING,
        # A robot acts on the image that it sees now: one quick pass per image instead of bursts of eight.
        defaults={"update_every": 1, "revise": 0},
        ranges={
            "iterations": (0, 32),
            "extrapolate": (0.0, 1.0),
            "support_grid": (0, 64),
            "local_support": (0, 64),
            "visible_threshold": (-1.0, 1.0),
        },
    ),
    ParameterGroup(KltConfig, prefix="klt.", ranges={"window": (5, 101), "levels": (0, 8)}),
    ParameterGroup(
        SessionConfig,
        live=frozenset(f.name for f in fields(SessionConfig)),
        ranges={"jump_back": (0.001, 3600.0)},
    ),
)


class TrackerNode(ManagedNode):
    """Images in, tracks out, for one camera or several that share a model."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("tracker", GROUPS, **node_arguments)
        self._cameras: dict[str, CameraStream] = {}
        self._worker: Worker[Arrival] | None = None

    def prepare(self, configs: Configs) -> None:
        """Load the model and offer topics and services."""
        config = configs[TrackerNodeConfig]
        self._worker = Worker("tracker", config.queue_size, self._process, self._failed)
        # The cameras' trackers share one network.
        tracker = create_tracker(
            config.backend,
            weights=config.weights,
            device=config.device,
            precision=config.precision,
            compile=config.compile,
            config=configs[TrackerConfig],
            klt=configs[KltConfig],
        )
        for name in config.cameras:
            tracker = tracker.fork() if self._cameras else tracker
            session = TrackingSession(tracker, configs[SessionConfig])
            if len(config.points()):
                session.add_points(config.points())
            self._cameras[name] = CameraStream(self, name, session, self._worker, config)

    def start(self) -> None:
        """Subscribe to the cameras."""
        for camera in self._cameras.values():
            camera.start()

    def stop(self) -> None:
        """Unsubscribe; tracks stay as they are and go on at the next activation."""
        for camera in self._cameras.values():
            camera.stop()
        if self._worker is not None:
            self._worker.flush()

    def release(self) -> None:
        """Free the model and take topics and services away."""
        if self._worker is not None:
            self._worker.stop()
        for camera in self._cameras.values():
            camera.destroy()
        self._cameras.clear()
        self._worker = None

    def apply(self, configs: Configs) -> None:
        """Take over live parameters."""
        tracking: TrackerConfig = configs[TrackerConfig]
        for camera in self._cameras.values():
            camera.overlay.set_trail_length(configs[TrackerNodeConfig].trail_length)
            camera.session.config = configs[SessionConfig]
            camera.session.tracker.configure(**{name: getattr(tracking, name) for name in _LIVE_TRACKING})

    def diagnose(self) -> list[DiagnosticStatus]:
        """One status per camera."""
        return [camera.diagnose() for camera in self._cameras.values()]

    def _process(self, name: str, arrival: Arrival) -> None:
        self._cameras[name].process(arrival)

    def _failed(self, name: str, error: Exception) -> None:
        if not self.context.ok():
            return  # everything ends: nothing can be published any more
        self._cameras[name].drop(f"{type(error).__name__}: {error}")
        self.get_logger().error("".join(traceback.format_exception(error)), throttle_duration_sec=5.0)


def main(args: Sequence[str] | None = None) -> int:
    """Run the tracker."""
    return run_node(TrackerNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
