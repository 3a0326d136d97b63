"""Replay with the real KLT tracker, session and lifter, on a small rendered recording."""

import os
import signal
import threading

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from cotracker_ros.messages import (
    cloud_from_message,
    image_fields,
    tracks3d_from_message,
    tracks_from_message,
    transform_fields,
)
from cotracker_ros.reconstruction import Lifter, LifterConfig
from cotracker_ros.recordings import BagWriter, DropEvent, ImageEvent, TrackTable, open_recording
from cotracker_ros.recordings.interrupt import stop_on_interrupt
from cotracker_ros.recordings.outputs import BagOutput, run_steps
from cotracker_ros.recordings.replay import replay
from cotracker_ros.recordings.track_command import OverlayOutput
from cotracker_ros.tracking import SessionConfig, TrackerConfig, TrackingSession, create_tracker
from cotracker_ros.visualization import OverlayDrawer

from .conftest import FRAME, textured_messages, write_rosbag2


def new_session(seed="corners"):
    return TrackingSession(create_tracker("klt"), SessionConfig(seed=seed, seed_count=20))


def replay_into(source, path, *, with_inputs=False, messages=None):
    recording = open_recording(source)
    lifter = Lifter(LifterConfig(target_frame="map")) if recording.summary.has_depth else None
    with BagWriter(path) as bag:
        output = BagOutput(bag, recording.summary, lifter, with_inputs=with_inputs)
        steps = replay(recording, new_session(), lifter)
        return run_steps(steps, [output], images=recording.summary.images, progress=False)


def read(path):
    with AnyReader([path]) as reader:
        topics = {}
        for connection, stamp, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            topics.setdefault(connection.topic, []).append((stamp, data, message))
        return topics


@pytest.fixture(scope="module")
def recording_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recording")
    return write_rosbag2(folder / "bag", textured_messages(images=8))


def test_every_image_is_answered_and_lifted_into_the_target_frame(recording_path, tmp_path):
    report = replay_into(recording_path, tmp_path / "out.mcap")
    assert (report.images, report.answers, report.answers_3d) == (8, 8, 8)
    assert not report.drops
    topics = read(tmp_path / "out.mcap")
    assert {
        "/tracker/tracks",
        "/lifter/tracks_3d",
        "/lifter/points",
        "/lifter/markers",
        "/lifter/map",
    } <= set(topics)
    answers = [tracks_from_message(message) for _, _, message in topics["/tracker/tracks"]]
    assert [tracks.frame for tracks, _ in answers] == list(range(8))
    assert {frame for _, frame in answers} == {FRAME}
    assert len(answers[0][0]) >= 10

    first, last = answers[0][0], answers[-1][0]
    np.testing.assert_array_equal(first.ids, last.ids)
    seen = last.visible & (last.xy[:, 0] > 8)  # the others left the image
    assert seen.sum() >= 10
    shift = (last.xy - first.xy)[seen]
    np.testing.assert_allclose(shift, np.broadcast_to([-14, 0], shift.shape), atol=0.2)

    lifted = tracks3d_from_message(topics["/lifter/tracks_3d"][-1][2])
    assert lifted.frame_id == "map"
    start = tracks3d_from_message(topics["/lifter/tracks_3d"][0][2])
    # The camera moved, the wall did not.
    np.testing.assert_allclose(lifted.xyz[seen], start.xyz[seen], atol=0.02)
    cloud = cloud_from_message(topics["/lifter/points"][-1][2])
    assert len(cloud.xyz) >= 10
    np.testing.assert_array_equal(cloud.motion, lifted.motion[np.isin(lifted.ids, cloud.ids)])
    points = cloud_from_message(topics["/lifter/map"][-1][2])
    assert points.frame_id == "map"
    assert len(points.xyz) > 0
    assert np.all(points.sigma > 0)


def test_two_replays_are_equal_byte_for_byte(recording_path, tmp_path):
    for name in ("a.mcap", "b.mcap"):
        replay_into(recording_path, tmp_path / name, with_inputs=True)
    first, second = read(tmp_path / "a.mcap"), read(tmp_path / "b.mcap")
    assert first.keys() == second.keys()
    for topic in first:
        assert [(s, bytes(d)) for s, d, _ in first[topic]] == [(s, bytes(d)) for s, d, _ in second[topic]]


def test_a_replay_with_inputs_can_be_replayed_itself(recording_path, tmp_path):
    replay_into(recording_path, tmp_path / "a.mcap", with_inputs=True)
    summary = open_recording(tmp_path / "a.mcap").summary
    assert summary.has_depth
    assert summary.image_topic == "/camera/color/image_raw"
    replay_into(tmp_path / "a.mcap", tmp_path / "b.mcap")
    first, second = read(tmp_path / "a.mcap"), read(tmp_path / "b.mcap")
    for topic in second:
        assert [bytes(d) for _, d, _ in first[topic]] == [bytes(d) for _, d, _ in second[topic]]


class Frames:
    """Stands for a video file."""

    def __init__(self):
        self.images = []

    def write(self, image):
        self.images.append(image)


def test_answers_that_come_late_reach_their_own_images(tmp_path):
    """A network that answers every four images, of which the last ones are answered by the end alone."""
    torch = pytest.importorskip("torch")
    from cotracker_ros.model import CoTracker3, CoTracker3Config

    sizes = dict.fromkeys(("stem_width", "head_width", "feature_width", "corr_hidden", "hidden"), 16)
    small = CoTracker3Config(
        **sizes, window=8, stage_widths=(16,) * 4, corr_width=8, heads=2, depth=1, virtual_tracks=4
    )
    config = TrackerConfig(update_every=4, iterations=1, input_width=128, input_height=96)
    recording = open_recording(write_rosbag2(tmp_path / "bag", textured_messages(images=14)))
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        tracker = create_tracker("network", model=CoTracker3(small).eval(), config=config)
        session = TrackingSession(tracker, SessionConfig(seed="grid", seed_count=9))
        lifter, video, seen = Lifter(LifterConfig(target_frame="map")), Frames(), TrackTable()
        steps = list(replay(recording, session, lifter))
        overlay = OverlayOutput(video, OverlayDrawer(trail_length=0))
        for step in steps:
            overlay.take(step)
            for tracks in step.tracks:
                seen.add(tracks)
        overlay.finish(steps[-1])
        results.append(seen.arrays())
        assert any(not step.tracks for step in steps if isinstance(step.event, ImageEvent))
        lifted = [scene.tracks.frame for step in steps for scene in step.scenes]
        assert lifted == list(range(14))
        plain = [step.event.image for step in steps if isinstance(step.event, ImageEvent)]
        # Nothing but the points differs from the image that they belong to.
        assert len(video.images) == 14
        for drawn, image in zip(video.images, plain, strict=True):
            assert 0 < (drawn != image).any(axis=2).mean() < 0.5
    assert results[0]["frames"].tolist() == list(range(14))
    for name, values in results[0].items():
        assert values.tobytes() == results[1][name].tobytes()


def altered(tmp_path, change):
    messages = list(textured_messages(images=8))
    change(messages)
    return write_rosbag2(tmp_path / "bag", messages)


def image_indices(messages):
    return [n for n, m in enumerate(messages) if m[0] == "/camera/color/image_raw"]


def test_a_bag_that_starts_over_gives_a_new_epoch_and_nothing_is_lost(tmp_path):
    messages = list(textured_messages(images=8))
    again = [(topic, kind, stamp + 10**12, fields) for topic, kind, stamp, fields in messages[1:]]
    report = replay_into(write_rosbag2(tmp_path / "bag", messages + again), tmp_path / "out.mcap")
    assert (report.images, report.answers) == (16, 16)
    topics = read(tmp_path / "out.mcap")
    answers = [tracks_from_message(message)[0] for _, _, message in topics["/tracker/tracks"]]
    assert [tracks.epoch for tracks in answers] == [0] * 8 + [1] * 8
    assert not set(answers[0].ids.tolist()) & set(answers[8].ids.tolist())
    assert len(topics["/lifter/tracks_3d"]) == 16
    written = [stamp for stamp, _, _ in topics["/tracker/tracks"]]
    assert written == sorted(written)


def test_stamps_that_stand_still_are_not_tracked_twice(tmp_path):
    def change(messages):
        second, third = image_indices(messages)[1:3]
        messages[third][3]["header"] = messages[second][3]["header"]

    report = replay_into(altered(tmp_path, change), tmp_path / "out.mcap")
    assert (report.images, report.answers) == (8, 7)


def test_an_image_that_cannot_be_decoded_loses_no_track(tmp_path):
    def change(messages):
        messages[image_indices(messages)[3]][3]["encoding"] = "nv12"

    report = replay_into(altered(tmp_path, change), tmp_path / "out.mcap")
    assert (report.images, report.answers) == (7, 7)
    assert sum(report.drops.values()) == 1
    answers = [tracks_from_message(m)[0] for _, _, m in read(tmp_path / "out.mcap")["/tracker/tracks"]]
    np.testing.assert_array_equal(answers[0].ids, answers[-1].ids)


def test_a_size_change_starts_a_new_epoch(tmp_path):
    def change(messages):
        for n in image_indices(messages)[4:]:
            topic, kind, stamp, fields = messages[n]
            height, width = fields["height"] // 2, fields["width"] // 2
            pixels = fields["data"].reshape(fields["height"], fields["width"], 3)[:height, :width]
            messages[n] = topic, kind, stamp, image_fields(pixels, stamp, FRAME)

    report = replay_into(altered(tmp_path, change), tmp_path / "out.mcap")
    answers = [tracks_from_message(m)[0] for _, _, m in read(tmp_path / "out.mcap")["/tracker/tracks"]]
    assert report.answers == 8
    assert [tracks.epoch for tracks in answers] == [0] * 4 + [1] * 4


def test_transforms_that_make_no_sense_are_dropped_and_the_rest_goes_on(tmp_path):
    def change(messages):
        loop = {"transforms": [transform_fields(0, FRAME, "base", np.eye(4))]}
        messages.insert(3, ("/tf", "tf2_msgs/msg/TFMessage", messages[2][2], loop))

    report = replay_into(altered(tmp_path, change), tmp_path / "out.mcap")
    assert report.answers_3d == 8
    assert sum(report.drops.values()) == 1


@pytest.mark.parametrize("missing", ["/tf", "/camera/color/camera_info", "/camera/depth/image_raw"])
def test_2d_tracks_come_whatever_3d_lacks(tmp_path, missing):
    messages = [m for m in textured_messages(images=4) if m[0] != missing]
    report = replay_into(write_rosbag2(tmp_path / "bag", messages), tmp_path / "out.mcap")
    assert (report.answers, report.answers_3d) == (4, 0)


def test_steps_come_as_the_work_is_done(recording_path):
    steps = replay(open_recording(recording_path), new_session())
    for step in steps:
        if step.tracks:
            assert step.tracks[0].frame == 0
            break
    steps.close()


class FakeRecording:
    def __init__(self, path):
        self._recording = open_recording(path)
        self.summary = self._recording.summary

    def events(self):
        for n, event in enumerate(self._recording.events()):
            if n == 10:
                os.kill(os.getpid(), signal.SIGINT)
            yield event


def test_ctrl_c_leaves_a_valid_bag(recording_path, tmp_path):
    recording = FakeRecording(recording_path)
    with BagWriter(tmp_path / "out.mcap") as bag:
        output = BagOutput(bag, recording.summary)
        report = run_steps(replay(recording, new_session()), [output], images=8, progress=False)
    assert report.interrupted
    assert 0 < report.images < 8
    assert len(read(tmp_path / "out.mcap")["/tracker/tracks"]) == report.answers


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal, also where the shell that started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_the_second_ctrl_c_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(5)
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(5)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_cannot_catch_signals_and_do_not_try():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(stop_on_interrupt().__enter__().is_set()))
    thread.start()
    thread.join()
    assert seen == [False]


def test_drop_events_are_counted_by_reason(tmp_path):
    class Broken:
        summary = None

        def events(self):
            yield DropEvent(0, "/c", "bad")
            yield DropEvent(1, "/c", "bad")

    report = run_steps(replay(Broken(), new_session()), [], images=0, progress=False)
    assert report.drops == {"/c: bad": 2}
