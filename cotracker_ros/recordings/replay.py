"""The whole pipeline over a recording, without DDS: every image, in order, the same result every time."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cotracker_ros.reconstruction import Lifter, SceneUpdate, TransformBuffer
from cotracker_ros.recordings.base import Recording
from cotracker_ros.recordings.events import (
    CameraEvent,
    DepthEvent,
    DropEvent,
    Event,
    ImageEvent,
    TransformEvent,
)
from cotracker_ros.tracking.types import Tracks

if TYPE_CHECKING:
    from cotracker_ros.tracking import TrackingSession


@dataclass(frozen=True)
class ReplayStep:
    """What one event of the recording led to.

    Attributes:
        event: The event; None for the answers that came when the recording ended.
        logged: Time at which the event was recorded, ns; at the end that of the last event.
        frame_id: Optical frame of the images.
        tracks: 2D answers, in the order of their images.
        scenes: 3D answers, in the order of their images.
    """

    event: Event | None
    logged: int
    frame_id: str
    tracks: tuple[Tracks, ...] = ()
    scenes: tuple[SceneUpdate, ...] = ()


def replay(
    recording: Recording, session: TrackingSession, lifter: Lifter | None = None
) -> Generator[ReplayStep, None, None]:
    """Feed a recording to a tracking session and, if given, its answers to a lifter.

    One step for each event, and one at the end for what was still waiting. Steps come as the work is done.
    """
    logged, frame_id = 0, ""
    for event in recording.events():
        logged = event.logged
        if isinstance(event, ImageEvent):
            frame_id = event.frame_id
            tracks = session.process(event.image, event.stamp)
            lifted = _lift(lifter, tracks, frame_id)
            yield ReplayStep(event, logged, frame_id, tuple(tracks), tuple(lifted))
        else:
            lifted = []
            if lifter is not None:
                event = _inform(lifter, event)
                lifted = lifter.ready()
            yield ReplayStep(event, logged, frame_id, (), tuple(lifted))
    tracks = session.finish()
    lifted = _lift(lifter, tracks, frame_id)
    if lifter is not None:
        lifted += lifter.flush()
    yield ReplayStep(None, logged, frame_id, tuple(tracks), tuple(lifted))


def _lift(lifter: Lifter | None, tracks: list[Tracks], frame_id: str) -> list[SceneUpdate]:
    if lifter is None:
        return []
    return [lifted for answer in tracks for lifted in lifter.add_tracks(answer, frame_id)]


def _inform(lifter: Lifter, event: Event) -> Event:
    """Give an event to the lifter; what it refuses (a loop of transforms) becomes a `DropEvent`."""
    try:
        if isinstance(event, DepthEvent):
            lifter.add_depth(event.stamp, event.depth, event.frame_id)
        elif isinstance(event, CameraEvent):
            lifter.set_camera(event.camera, event.frame_id, event.stamp)
        elif isinstance(event, TransformEvent) and isinstance(lifter.transforms, TransformBuffer):
            lifter.transforms.set(event.parent, event.child, event.stamp, event.matrix, event.static)
    except ValueError as error:
        return DropEvent(event.stamp, type(event).__name__, str(error), event.logged)
    return event
