"""A bag with inputs must hold all that a viewer needs to show the scene without any set-up."""

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import get_types_from_msg
from scenes import body, scene

from cotracker_ros.reconstruction import Lifter, LifterConfig
from cotracker_ros.recordings import BagWriter, ReplayStep, open_recording, replay
from cotracker_ros.recordings.outputs import BagOutput, run_steps
from cotracker_ros.tracking import SessionConfig, TrackingSession, create_tracker

from .conftest import FRAME, textured_messages, write_rosbag2


@pytest.fixture(scope="module", params=["transforms", "tracks", "tracks, no TF"])
def viewer_bag(request, tmp_path_factory):
    """Poses by TF, or by the tracks, beside the recording's transforms or without any."""
    folder = tmp_path_factory.mktemp("viewer")
    messages = textured_messages(images=8)
    if "no TF" in request.param:
        messages = (message for message in messages if not message[0].startswith("/tf"))
    recording = open_recording(write_rosbag2(folder / "bag", messages))
    by = request.param.split(",")[0]
    lifter = Lifter(LifterConfig(camera_pose=by, target_frame="map" if by == "transforms" else "odom"))
    session = TrackingSession(create_tracker("klt"), SessionConfig(seed="grid", seed_count=9))
    path = folder / "out.mcap"
    with BagWriter(path) as bag:
        output = BagOutput(bag, recording.summary, lifter, with_inputs=True)
        run_steps(replay(recording, session, lifter), [output], images=8, progress=False)
    return path


def needed(fields):
    """Names of the message types that the fields of a definition refer to."""
    for _, (kind, detail) in fields:
        if kind.name in ("ARRAY", "SEQUENCE"):
            kind, detail = detail[0]
        if kind.name == "NAME":
            yield detail


def test_every_topic_brings_the_definitions_of_all_types_in_it(viewer_bag):
    with AnyReader([viewer_bag]) as reader:
        assert len(reader.connections) >= 9
        for connection in reader.connections:
            types = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            assert connection.msgtype in types
            for name, (_, fields) in types.items():
                assert set(needed(fields)) <= set(types), f"{connection.topic}: {name}"


def test_the_camera_and_all_drawn_frames_are_in_it(viewer_bag):
    with AnyReader([viewer_bag]) as reader:
        messages = {}
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages.setdefault(connection.topic, []).append(message)
    parents = {}
    for message in messages["/tf"] + messages.get("/tf_static", []):
        for item in message.transforms:
            known = parents.setdefault(item.child_frame_id, item.header.frame_id)
            assert known == item.header.frame_id, "a frame has one parent"
    assert len(set(parents.values()) - set(parents)) == 1, "all frames hang together"
    frames = set(parents) | set(parents.values())
    assert FRAME in frames
    assert len(messages["/camera/color/image_raw"]) == 8
    assert messages["/camera/color/camera_info"][0].header.frame_id == FRAME
    for topic in ("/lifter/points", "/lifter/map"):
        assert messages[topic][-1].header.frame_id in frames
    markers = messages["/lifter/markers"][-1].markers
    assert len(markers) > 1
    assert {marker.header.frame_id for marker in markers[1:]} <= frames


def test_markers_come_five_times_a_second_and_hold_bodies_and_path(tmp_path):
    recording = open_recording(write_rosbag2(tmp_path / "bag", textured_messages(images=1)))
    step = 33_000_000
    with BagWriter(tmp_path / "out.mcap") as bag:
        output = BagOutput(bag, recording.summary)
        for i in range(31):
            output.take(ReplayStep(None, 10**9 + i * step, FRAME, (), (scene(i, body()),)))
    with AnyReader([tmp_path / "out.mcap"]) as reader:
        kept = [c for c in reader.connections if c.topic == "/lifter/markers"]
        drawn = [(t, reader.deserialize(d, c.msgtype)) for c, t, d in reader.messages(kept)]
    assert 4 <= len(drawn) <= 6
    assert np.diff([stamp for stamp, _ in drawn]).min() >= 200_000_000
    names = {marker.ns for marker in drawn[-1][1].markers}
    assert {"trails_moving", "bodies", "body_axes", "body_names", "camera_path"} <= names
