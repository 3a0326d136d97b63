"""TrackArray and Track3DArray."""

from __future__ import annotations

from typing import Any

import numpy as np

from cotracker_ros.messages.arrays import check_lengths, label_table, labels_from_table, owned
from cotracker_ros.messages.header import header_fields, stamp_ns, time_fields
from cotracker_ros.reconstruction.types import Tracks3D
from cotracker_ros.tracking.types import Tracks


def track_array_fields(tracks: Tracks, frame_id: str) -> dict[str, Any]:
    """Return the fields of cotracker_ros/TrackArray; ``frame_id`` is the image's optical frame.

    Raises:
        MessageError: There are more than 65,535 distinct labels.
    """
    label, label_names = label_table(tracks.labels)
    width, height = tracks.image_size
    return {
        "header": header_fields(tracks.stamp, frame_id),
        "width": width,
        "height": height,
        "epoch": tracks.epoch,
        "frame": tracks.frame,
        "revised": tracks.revised,
        "newest": time_fields(tracks.newest),
        "ids": tracks.ids,
        "x": tracks.xy[:, 0],
        "y": tracks.xy[:, 1],
        "flags": tracks.flags,
        "visibility": tracks.visibility,
        "confidence": tracks.confidence,
        "age": tracks.age,
        "rgb": tracks.rgb.reshape(-1),
        "label": label,
        "label_names": label_names,
    }


def tracks_from_message(message: Any) -> tuple[Tracks, str]:
    """Return the tracks of a cotracker_ros/TrackArray and its frame_id.

    Raises:
        MessageError: The arrays differ in length or a label index points nowhere.
    """
    count = len(message.ids)
    names = ("x", "y", "flags", "visibility", "confidence", "age", "label")
    lengths = {name: len(getattr(message, name)) for name in names}
    check_lengths("TrackArray", count, lengths, len(message.rgb))
    tracks = Tracks(
        frame=int(message.frame),
        stamp=stamp_ns(message.header.stamp),
        newest=stamp_ns(message.newest),
        epoch=int(message.epoch),
        image_size=(int(message.width), int(message.height)),
        revised=bool(message.revised),
        ids=owned(message.ids, np.uint32),
        xy=np.column_stack([owned(message.x, np.float32), owned(message.y, np.float32)]),
        visibility=owned(message.visibility, np.float32),
        confidence=owned(message.confidence, np.float32),
        flags=owned(message.flags, np.uint8),
        age=owned(message.age, np.uint32),
        rgb=owned(message.rgb, np.uint8).reshape(-1, 3),
        labels=labels_from_table("TrackArray", message.label, message.label_names),
    )
    return tracks, str(message.header.frame_id)


def track3d_array_fields(tracks: Tracks3D) -> dict[str, Any]:
    """Return the fields of cotracker_ros/Track3DArray.

    Raises:
        MessageError: There are more than 65,535 distinct labels.
    """
    label, label_names = label_table(tracks.labels)
    return {
        "header": header_fields(tracks.stamp, tracks.frame_id),
        "epoch": tracks.epoch,
        "frame": tracks.frame,
        "ids": tracks.ids,
        "flags": tracks.flags,
        **{name: tracks.xyz[:, i] for i, name in enumerate("xyz")},
        **{f"v{name}": tracks.velocity[:, i] for i, name in enumerate("xyz")},
        "sigma": tracks.sigma,
        "source": tracks.source,
        "motion": tracks.motion,
        "rgb": tracks.rgb.reshape(-1),
        "label": label,
        "label_names": label_names,
    }


def tracks3d_from_message(message: Any) -> Tracks3D:
    """Return the tracks of a cotracker_ros/Track3DArray.

    Raises:
        MessageError: The arrays differ in length or a label index points nowhere.
    """
    count = len(message.ids)
    names = ("x", "y", "z", "vx", "vy", "vz", "flags", "sigma", "source", "motion", "label")
    lengths = {name: len(getattr(message, name)) for name in names}
    check_lengths("Track3DArray", count, lengths, len(message.rgb))
    return Tracks3D(
        frame=int(message.frame),
        stamp=stamp_ns(message.header.stamp),
        epoch=int(message.epoch),
        frame_id=str(message.header.frame_id),
        ids=owned(message.ids, np.uint32),
        xyz=np.column_stack([owned(getattr(message, name), np.float32) for name in ("x", "y", "z")]),
        velocity=np.column_stack([owned(getattr(message, name), np.float32) for name in ("vx", "vy", "vz")]),
        sigma=owned(message.sigma, np.float32),
        source=owned(message.source, np.uint8),
        motion=owned(message.motion, np.uint8),
        flags=owned(message.flags, np.uint8),
        rgb=owned(message.rgb, np.uint8).reshape(-1, 3),
        labels=labels_from_table("Track3DArray", message.label, message.label_names),
    )
