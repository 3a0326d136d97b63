"""A recorded run of the nodes, read back as arrays over images and tracks."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.messages import (
    cloud_from_message,
    ros2_typestore,
    tracks3d_from_message,
    tracks_from_message,
)
from cotracker_ros.messages.clouds import Cloud
from cotracker_ros.reconstruction.types import DepthSource, Tracks3D
from cotracker_ros.tracking.types import Tracks


@dataclass(frozen=True)
class RunTopics:
    """Names of the topics that are read back."""

    image: str = "/image"
    tracks: str = "/tracker/tracks"
    tracks_3d: str = "/lifter/tracks_3d"
    map: str = "/lifter/map"
    diagnostics: str = "/diagnostics"


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """What the nodes answered, in the order of the images.

    Attributes:
        tracks: First answers by image stamp; later revisions are left out, a robot could not wait for them.
        tracks_3d: The same in space.
        map: The last map that was published, if any.
        latency: Time from an image's publication to the arrival of its 2D tracks, by stamp, ms.
        latency_3d: The same for its 3D tracks.
        diagnostics: Last values of each diagnostics status, by the status's name.
    """

    tracks: dict[int, Tracks]
    tracks_3d: dict[int, Tracks3D]
    map: Cloud | None
    latency: dict[int, float]
    latency_3d: dict[int, float]
    diagnostics: dict[str, dict[str, str]]


@dataclass(frozen=True, eq=False)
class Followed:
    """Tracks as a consumer of the topics has them at each image: the last answer holds until the next.

    Attributes:
        ids: (N,) uint32.
        xy: (T, N, 2) px, NaN before the first answer.
        visible: (T, N) bool.
        xyz: (T, N, 3) m, NaN where there is none.
        source: (T, N) uint8, values of `DepthSource`.
        rgb: (N, 3) uint8.
    """

    ids: NDArray[np.uint32]
    xy: NDArray[np.float64]
    visible: NDArray[np.bool_]
    xyz: NDArray[np.float64]
    source: NDArray[np.uint8]
    rgb: NDArray[np.uint8]


def read_run(bag: Path, arrivals: Path, topics: RunTopics | None = None) -> RecordedRun:
    """Read what the recorder wrote.

    Args:
        bag: Folder of the recorded bag.
        arrivals: CSV file with the times of publication and arrival.
        topics: Names of the topics, where they differ.
    """
    topics = topics or RunTopics()
    tracks: dict[int, Tracks] = {}
    tracks_3d: dict[int, Tracks3D] = {}
    cloud: Cloud | None = None
    diagnostics: dict[str, dict[str, str]] = {}
    wanted = (topics.tracks, topics.tracks_3d, topics.map, topics.diagnostics)
    for topic, message in _messages(bag, wanted):
        if topic == topics.tracks:
            answer, _ = tracks_from_message(message)
            if not answer.revised:
                tracks[answer.stamp] = answer
        elif topic == topics.tracks_3d:
            lifted = tracks3d_from_message(message)
            tracks_3d.setdefault(lifted.stamp, lifted)
        elif topic == topics.map:
            cloud = cloud_from_message(message)
        else:
            for status in message.status:
                diagnostics[status.name] = {pair.key: pair.value for pair in status.values}
    published, received = _read_arrivals(arrivals)
    return RecordedRun(
        tracks=dict(sorted(tracks.items())),
        tracks_3d=dict(sorted(tracks_3d.items())),
        map=cloud,
        latency=_latencies(published[topics.image], received[topics.tracks]),
        latency_3d=_latencies(published[topics.image], received[topics.tracks_3d]),
        diagnostics=diagnostics,
    )


def follow(run: RecordedRun, stamps: NDArray[np.int64], ids: NDArray[np.uint32]) -> Followed:
    """Lay the answers out over images and tracks.

    Args:
        run: The recorded answers.
        stamps: (T,) stamps of all images that were published, ascending, ns.
        ids: (N,) tracks to lay out.
    """
    shape = (len(stamps), len(ids))
    followed = Followed(
        ids=ids,
        xy=np.full((*shape, 2), np.nan),
        visible=np.zeros(shape, bool),
        xyz=np.full((*shape, 3), np.nan),
        source=np.full(shape, DepthSource.NONE, np.uint8),
        rgb=np.zeros((len(ids), 3), np.uint8),
    )
    column = {int(track): n for n, track in enumerate(ids)}
    for t, stamp in enumerate(stamps.tolist()):
        if t:
            followed.xy[t], followed.visible[t] = followed.xy[t - 1], followed.visible[t - 1]
            followed.xyz[t], followed.source[t] = followed.xyz[t - 1], followed.source[t - 1]
        if stamp in run.tracks:
            tracks = run.tracks[stamp]
            at, here = _columns(column, tracks.ids)
            followed.visible[t] = False  # a track that is no longer answered has been given up
            followed.xy[t, at] = tracks.xy[here]
            followed.visible[t, at] = tracks.visible[here]
            followed.rgb[at] = tracks.rgb[here]
        if stamp in run.tracks_3d:
            lifted = run.tracks_3d[stamp]
            at, here = _columns(column, lifted.ids)
            followed.xyz[t, at] = lifted.xyz[here]
            followed.source[t, at] = lifted.source[here]
    return followed


def all_ids(run: RecordedRun) -> NDArray[np.uint32]:
    """(N,) uint32: every id that was ever answered, ascending."""
    if not run.tracks:
        return np.zeros(0, np.uint32)
    return np.unique(np.concatenate([tracks.ids for tracks in run.tracks.values()]))


def _columns(column: dict[int, int], ids: NDArray[np.uint32]) -> tuple[list[int], list[int]]:
    """Columns of the ids that are laid out, and their places among `ids`."""
    found = [(column[track], place) for place, track in enumerate(ids.tolist()) if track in column]
    return [at for at, _ in found], [place for _, place in found]


def _messages(bag: Path, topics: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    from rosbags.rosbag2 import Reader

    typestore = ros2_typestore()
    with Reader(bag) as reader:
        connections = [c for c in reader.connections if c.topic in topics]
        if not connections:
            return
        for connection, _, data in reader.messages(connections=connections):
            yield connection.topic, typestore.deserialize_cdr(data, connection.msgtype)


Times = dict[str, dict[int, int]]


def _read_arrivals(path: Path) -> tuple[Times, Times]:
    """Times of publication and of first arrival by topic and stamp.

    The first image may have been published several times until it was answered: the last time counts.
    """
    published: Times = defaultdict(dict)
    received: Times = defaultdict(dict)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            topic, stamp = row["topic"], int(row["stamp_ns"])
            published[topic][stamp] = int(row["published_ns"])
            received[topic].setdefault(stamp, int(row["received_ns"]))
    return published, received


def _latencies(published: dict[int, int], received: dict[int, int]) -> dict[int, float]:
    return {s: (received[s] - published[s]) / 1e6 for s in sorted(received) if s in published}
