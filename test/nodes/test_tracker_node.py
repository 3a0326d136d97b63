"""The tracker node over DDS, with Lucas-Kanade behind it."""

import threading

import cv2
import numpy as np
import pytest
from cotracker_ros.msg import TrackArray
from cotracker_ros.srv import AddPoints, AddRegion, RemoveTracks
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from cotracker_ros.messages import image_fields, to_ros, tracks_from_message
from cotracker_ros.model import CoTracker3, CoTracker3Config, checkpoints
from cotracker_ros.nodes import overlay, tracker_node
from cotracker_ros.nodes.tracker_node import TrackerNode
from cotracker_ros.tracking import TrackFlag

START = 1_700_000_000_000_000_000
PERIOD = 33_000_000  # ns
SHIFT = 2  # px to the left per image
FRAME = "camera_optical_frame"
LEFT, TOP = 20, 30  # of the first crop


def crop(texture, i, size=(320, 240)):
    """Image number i: the scene moves to the left by SHIFT."""
    left = LEFT + SHIFT * i
    return np.ascontiguousarray(texture[TOP : TOP + size[1], left : left + size[0]])


def stamp(i):
    return START + i * PERIOD


def image(texture, i, size=(320, 240), frame=FRAME):
    return to_ros(Image, image_fields(crop(texture, i, size), stamp(i), frame))


def answer(i):
    return lambda message: tracks_from_message(message)[0].stamp == stamp(i)


def points(*xy, labels=()):
    x, y = np.array(xy, float).T.tolist()
    return AddPoints.Request(x=x, y=y, labels=list(labels))


def tracker(graph, *, reliable=True, **parameters):
    """An active tracker; it asks for every image unless the camera may lose some (`reliable`)."""
    defaults = {"backend": "klt", "queue_size": 20, "diagnostics_period": 0.05}
    if reliable:
        topics = ("/image", "/image/compressed", "/left/image", "/right/image")
        defaults |= {f"qos_overrides.{topic}.subscription.reliability": "reliable" for topic in topics}
    node = graph.add(TrackerNode, **defaults | parameters)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    return node


def play(publisher, inbox, texture, numbers, **arguments):
    """Publish images and wait for the answer to the last one."""
    for i in numbers:
        publisher.publish(image(texture, i, **arguments))
    return inbox.wait_for(answer(numbers[-1]))


def test_points_asked_for_before_the_first_image_are_followed(graph, texture):
    tracker(graph)
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    added = graph.call(AddPoints, "tracker/add_points", points((100, 80), (200, 150), labels=("cup", "")))
    assert added.success, added.message
    camera = graph.publisher(Image, "image")
    play(camera, tracks_in, texture, range(6))
    answers = [tracks_from_message(m) for m in tracks_in.messages]
    assert [a.stamp for a, _ in answers] == [stamp(i) for i in range(6)], "every image, with its own stamp"
    last, frame = answers[-1]
    assert frame == FRAME
    assert last.image_size == (320, 240)
    assert list(last.ids) == list(added.ids)
    assert last.labels == ("cup", "")
    assert np.all(last.visible)
    np.testing.assert_allclose(last.xy, [[90, 80], [190, 150]], atol=0.1)


@pytest.mark.parametrize("reliable", [True, False])
def test_reliable_and_best_effort_cameras_are_heard(graph, texture, reliable):
    tracker(graph, reliable=False, seed="grid", seed_count=20)
    tracks_in = graph.listen(TrackArray, "tracker/tracks", reliable=reliable)
    camera = graph.publisher(Image, "image", reliable=reliable)
    # Best effort: an image may get lost, so the camera goes on until it is heard.
    for i in range(50):
        camera.publish(image(texture, i))
        if tracks_in.messages:
            break
        tracks_in.changed(0.3)
    assert len(tracks_in.wait()[0].ids) >= 12


def test_compressed_images(graph, texture):
    tracker(graph, seed="grid", image_transport="compressed")
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(CompressedImage, "image/compressed")
    message = CompressedImage(format="rgb8; png compressed bgr8")
    message.header = image(texture, 0).header
    message.data = cv2.imencode(".png", crop(texture, 0)[..., ::-1])[1].tobytes()
    camera.publish(message)
    assert tracks_in.wait()[0].header.frame_id == FRAME


def test_regions_removal_and_reset(graph, texture):
    tracker(graph)
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    play(camera, tracks_in, texture, [0])
    box = AddRegion.Request(
        shape=AddRegion.Request.BOX, x=50.0, y=50.0, width=100.0, height=80.0, count=20, label="box"
    )
    in_box = graph.call(AddRegion, "tracker/add_region", box)
    assert in_box.success, in_box.message
    mask = np.zeros((240, 320), np.uint8)
    mask[100:140, 200:260] = 255
    request = AddRegion.Request(shape=AddRegion.Request.MASK, spacing=10.0)
    request.mask.height, request.mask.width, request.mask.step = 240, 320, 320
    request.mask.encoding, request.mask.data = "mono8", mask.tobytes()
    in_mask = graph.call(AddRegion, "tracker/add_region", request)
    assert in_mask.success, in_mask.message
    tracks, _ = tracks_from_message(play(camera, tracks_in, texture, [1]))
    assert set(tracks.ids) == {*in_box.ids, *in_mask.ids}
    marked = tracks.xy[np.isin(tracks.ids, in_mask.ids)]
    assert np.all((marked > (195, 95)) & (marked < (265, 145)))
    removed = graph.call(
        RemoveTracks, "tracker/remove_tracks", RemoveTracks.Request(labels=["box"], ids=[in_mask.ids[0]])
    )
    assert removed.success
    assert removed.removed == len(in_box.ids) + 1
    tracks, _ = tracks_from_message(play(camera, tracks_in, texture, [2]))
    assert set(tracks.ids) == set(in_mask.ids[1:])
    assert graph.call(Trigger, "tracker/reset").success
    again, _ = tracks_from_message(play(camera, tracks_in, texture, [3]))
    assert len(again) == 0
    assert again.epoch > tracks.epoch


@pytest.mark.parametrize(
    "service, request_, wanted",
    [
        (AddPoints, AddPoints.Request(x=[1.0], y=[float("nan")]), "finite"),
        (AddPoints, AddPoints.Request(x=[999.0], y=[10.0]), "outside"),
        (AddPoints, AddPoints.Request(x=[1.0, 2.0], y=[1.0]), "2 x but 1 y"),
        (AddPoints, AddPoints.Request(), ""),
        (AddPoints, AddPoints.Request(x=[9.0] * 300, y=[9.0] * 300), "max_tracks"),
        (AddPoints, AddPoints.Request(x=[9.0] * 3, y=[9.0] * 3, labels=["a", "b"]), "label"),
        (AddRegion, AddRegion.Request(x=400.0, width=9.0, height=9.0, count=4), "outside"),
        (AddRegion, AddRegion.Request(width=9.0, height=9.0), "spacing"),
        (AddRegion, AddRegion.Request(shape=AddRegion.Request.MASK, count=4), ""),
        (AddRegion, AddRegion.Request(shape=7, count=4), "shape is 7"),
        (RemoveTracks, RemoveTracks.Request(ids=[12345]), "12345"),
    ],
)
def test_nonsense_is_refused_with_a_sentence_and_nothing_is_lost(graph, texture, service, request_, wanted):
    tracker(graph, query_points="100 80; 120 90", max_tracks=200)
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    before = play(camera, tracks_in, texture, [0])
    verb = {AddPoints: "add_points", AddRegion: "add_region", RemoveTracks: "remove_tracks"}[service]
    response = graph.call(service, f"tracker/{verb}", request_)
    assert not response.success
    assert wanted in response.message
    assert response.message
    assert play(camera, tracks_in, texture, [1]).ids == before.ids


def test_bad_images_are_diagnosed_and_lose_nothing(graph, texture):
    tracker(graph, query_points="100 80")
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    before = play(camera, tracks_in, texture, [0])
    unknown, empty, truncated = (image(texture, i) for i in (1, 2, 3))
    unknown.encoding = "smell8"
    empty.height = empty.width = 0
    truncated.data = truncated.data[:1000]
    for count, bad in enumerate((unknown, empty, truncated), 1):
        camera.publish(bad)
        told = diagnostics.wait_for(
            lambda m, n=count: (
                value(m, "images dropped, bad") == str(n) and m.status[0].level == DiagnosticStatus.ERROR
            )
        )
        assert "An image was dropped" in told.status[0].message
    after = play(camera, tracks_in, texture, [4])
    assert after.ids == before.ids
    assert after.epoch == before.epoch
    diagnostics.wait_for(lambda m: m.status[0].level == DiagnosticStatus.OK)


def value(message, key, status=0):
    return {v.key: v.value for v in message.status[status].values}.get(key) if message.status else None


def test_a_bag_that_starts_over_begins_a_new_epoch(graph, texture):
    tracker(graph, seed="grid", seed_count=20)
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    first = play(camera, tracks_in, texture, range(20, 24))
    camera.publish(image(texture, 0))
    second = tracks_in.wait_for(answer(0))
    assert second.epoch > first.epoch
    assert not set(second.ids) & set(first.ids)


def test_another_image_size_begins_a_new_epoch_with_the_same_tracks(graph, texture):
    tracker(graph, query_points="100 80")
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    first = play(camera, tracks_in, texture, [0])
    second = play(camera, tracks_in, texture, [1], size=(160, 120))
    assert second.epoch > first.epoch
    assert second.ids == first.ids
    assert (second.width, second.height) == (160, 120)


def test_images_without_a_stamp_get_the_time_of_arrival(graph, texture):
    node = tracker(graph, seed="grid")
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    before = node.get_clock().now().nanoseconds
    for i in range(3):
        message = image(texture, i)
        message.header.stamp.sec = message.header.stamp.nanosec = 0
        camera.publish(message)
    stamps = [tracks_from_message(m)[0].stamp for m in tracks_in.wait(lambda m: len(m) == 3)]
    assert before < stamps[0] < stamps[1] < stamps[2]


def test_the_overlay_is_drawn_only_when_somebody_listens(graph, texture, monkeypatch):
    drawn = threading.Event()

    class Drawer(overlay.OverlayDrawer):
        def draw(self, *arguments, **options):
            drawn.set()
            return super().draw(*arguments, **options)

    monkeypatch.setattr(overlay, "OverlayDrawer", Drawer)
    node = tracker(graph, query_points="100 80")
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    play(camera, tracks_in, texture, range(5))
    assert not drawn.is_set()
    overlay_in = graph.listen(Image, "tracker/overlay")
    graph.until(lambda: node._cameras[""].overlay.is_watched())
    play(camera, tracks_in, texture, [5])
    shown = overlay_in.wait()[0]
    assert shown.header == image(texture, 5).header
    assert np.frombuffer(shown.data, np.uint8).size == 320 * 240 * 3
    assert bytes(shown.data) != bytes(image(texture, 5).data), "something is drawn on it"
    assert node.set_parameters([Parameter("trail_length", value=0)])[0].successful, "live"
    overlay_in.messages.clear()
    play(camera, tracks_in, texture, [6])
    overlay_in.wait()


class Gate:
    """Holds a real tracker's images back until it is opened."""

    def __init__(self, tracker):
        self._tracker = tracker
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self._track = tracker.track
        tracker.track = self.track

    def track(self, *arguments):
        self.entered.release()
        assert self.open.wait(15)
        return self._track(*arguments)


@pytest.fixture
def gates(monkeypatch):
    """The gates of all trackers that are made."""
    made = []
    create = tracker_node.create_tracker

    def create_gated(*arguments, **options):
        tracker = create(*arguments, **options)
        made.append(Gate(tracker))
        return tracker

    monkeypatch.setattr(tracker_node, "create_tracker", create_gated)
    yield made
    for gate in made:
        gate.open.set()


def test_a_slow_tracker_drops_the_oldest_images_and_says_so(graph, texture, gates):
    node = tracker(graph, query_points="100 80", queue_size=2)
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    camera.publish(image(texture, 0))
    assert gates[0].entered.acquire(timeout=15)
    for i in range(1, 6):
        camera.publish(image(texture, i))
    told = diagnostics.wait_for(lambda m: value(m, "images dropped, too slow") == "3")
    assert told.status[0].level == DiagnosticStatus.WARN or any(
        m.status[0].message.startswith("Cannot keep up") for m in diagnostics.messages if m.status
    )
    # A service that waits for the tracker holds nothing else up.
    added = []
    waiting = threading.Thread(
        target=lambda: added.append(graph.call(AddPoints, "tracker/add_points", points((50, 50))))
    )
    waiting.start()
    diagnostics.messages.clear()
    diagnostics.wait()
    assert graph.call(GetState, "tracker/get_state").current_state.label == "active"
    assert not added
    gates[0].open.set()
    tracks_in.wait_for(answer(5))
    waiting.join(15)
    assert added[0].success
    stamps = [tracks_from_message(m)[0].stamp for m in tracks_in.messages]
    assert stamps == [stamp(0), stamp(4), stamp(5)]
    assert node.lifecycle_state == "active"


def test_deactivated_it_is_deaf_and_active_again_it_goes_on(graph, texture):
    node = tracker(graph, query_points="100 80")
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    first = play(camera, tracks_in, texture, [0])
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    graph.until(lambda: camera.get_subscription_count() == 0)
    camera.publish(image(texture, 1))
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    graph.until(lambda: camera.get_subscription_count() == 1)
    second = play(camera, tracks_in, texture, [2])
    assert len(tracks_in.messages) == 2
    assert second.ids == first.ids
    assert second.epoch == first.epoch


def test_several_cameras_have_their_own_tracks(graph, texture):
    tracker(graph, cameras=["left", "right"])
    inboxes = {name: graph.listen(TrackArray, f"tracker/{name}/tracks") for name in ("left", "right")}
    cameras = {name: graph.publisher(Image, f"{name}/image") for name in ("left", "right")}
    for name, count in (("left", 1), ("right", 2)):
        added = graph.call(AddPoints, f"tracker/{name}/add_points", points(*[(100, 80), (60, 60)][:count]))
        assert added.success
    for i in range(3):
        for name, camera in cameras.items():
            camera.publish(image(texture, i, frame=f"{name}_frame"))
    for name, count in (("left", 1), ("right", 2)):
        message = inboxes[name].wait_for(answer(2))
        assert message.header.frame_id == f"{name}_frame"
        assert len(message.ids) == count
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    told = diagnostics.wait_for(lambda m: len(m.status) == 2)
    assert {s.name for s in told.status} == {"tracker: left", "tracker: right"}
    assert graph.call(Trigger, "tracker/left/reset").success
    for name in cameras:
        cameras[name].publish(image(texture, 3, frame=f"{name}_frame"))
    assert len(inboxes["left"].wait_for(answer(3)).ids) == 0
    assert len(inboxes["right"].wait_for(answer(3)).ids) == 2


def test_cameras_share_one_network_and_every_image_is_answered(graph, texture, tmp_path):
    config = CoTracker3Config(
        window=8,
        stem_width=8,
        stage_widths=(8, 8, 8, 8),
        head_width=8,
        feature_width=8,
        corr_levels=2,
        corr_hidden=8,
        corr_width=8,
        hidden=16,
        heads=2,
        depth=1,
        virtual_tracks=4,
    )
    checkpoints.save(CoTracker3(config), config, tmp_path / "tiny.safetensors")
    node = tracker(
        graph,
        cameras=["left", "right"],
        backend="network",
        weights=str(tmp_path / "tiny.safetensors"),
        device="cpu",
        input_width=96,
        input_height=64,
        update_every=4,
        iterations=1,
        query_points="100 80",
    )
    models = {id(camera.session.tracker.model) for camera in node._cameras.values()}
    assert len(models) == 1
    for name in ("left", "right"):
        tracks_in = graph.listen(TrackArray, f"tracker/{name}/tracks")
        camera = graph.publisher(Image, f"{name}/image")
        for i in range(8):
            camera.publish(image(texture, i))
        tracks_in.wait_for(answer(7))
        first = [tracks_from_message(m)[0].stamp for m in tracks_in.messages if not m.revised]
        assert first == [stamp(i) for i in range(8)]


def test_the_shipped_network_answers_every_image(graph, texture):
    tracker(graph, weights="default", device="cpu", query_points="100 80; 60 50")
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    for i in range(4):
        camera.publish(image(texture, i))
        tracks_in.wait_for(answer(i))
    messages = [tracks_from_message(m)[0] for m in tracks_in.messages]
    assert [m.stamp for m in messages] == [stamp(i) for i in range(4)]
    assert all(m.visible.all() and not m.revised for m in messages)


def test_a_camera_whose_qos_does_not_fit_is_told(graph, texture):
    tracker(graph)
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    graph.publisher(Image, "image", reliable=False, subscribers=0)
    told = diagnostics.wait_for(lambda m: m.status and "qos_overrides./image" in m.status[0].message)
    assert told.status[0].level == DiagnosticStatus.WARN
    assert "RELIABILITY" in told.status[0].message


@pytest.mark.parametrize(
    "parameters, wanted",
    [
        ({"backend": "network", "weights": "/does/not/exist.pth"}, "/does/not/exist.pth"),
        ({"backend": "network", "weights": "corrupt"}, "corrupt.pth"),
        ({"backend": "network", "weights": "any.pth", "device": "cuda:63"}, "'cuda:63' is absent"),
        ({"seed": "stars"}, "seed is 'stars'"),
    ],
)
def test_a_failing_configure_says_why_and_can_be_mended(graph, tmp_path, parameters, wanted):
    if parameters.get("weights") == "corrupt":
        (tmp_path / "corrupt.pth").write_bytes(b"no weights")
        parameters = parameters | {"weights": str(tmp_path / "corrupt.pth")}
    node = graph.add(TrackerNode, **parameters)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert wanted in node.problem
    assert "\n" not in node.problem
    assert graph.call(GetState, "tracker/get_state").current_state.label == "unconfigured"
    for name, mended in (("backend", "klt"), ("weights", ""), ("device", "auto"), ("seed", "none")):
        assert node.set_parameters([Parameter(name, value=mended)])[0].successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize(
    "name, given, wanted",
    [
        ("queue_size", 0, "queue_size"),
        ("query_points", "1 2 3", "pairs of numbers"),
        ("cameras", ["left", "left"], "distinct names"),
        ("cameras", ["le ft"], "not fit for a topic"),
        ("image_transport", "theora", "raw, compressed"),
        ("visible_threshold", 1.5, "visible_threshold"),
    ],
)
def test_parameters_are_refused_with_a_sentence(graph, name, given, wanted):
    node = graph.add(TrackerNode)
    result = node.set_parameters([Parameter(name, value=given)])[0]
    assert not result.successful
    assert wanted in result.reason


def test_live_parameters_reach_the_tracker(graph):
    node = tracker(graph)
    for name, value_ in (("visible_threshold", 0.3), ("budget", 50), ("max_tracks", 60)):
        assert node.set_parameters([Parameter(name, value=value_)])[0].successful
    session = node._cameras[""].session
    assert session.tracker.config.visible_threshold == 0.3
    assert session.tracker.config.max_tracks == 60
    assert session.config.budget == 50
    refused = node.set_parameters([Parameter("backend", value="network")])[0]
    assert not refused.successful
    assert "clean the node up first" in refused.reason


def test_flags_say_new_once(graph, texture):
    tracker(graph, query_points="100 80")
    tracks_in = graph.listen(TrackArray, "tracker/tracks")
    camera = graph.publisher(Image, "image")
    play(camera, tracks_in, texture, range(3))
    new = [bool(m.flags[0] & TrackFlag.NEW) for m in tracks_in.messages]
    assert new == [True, False, False]
