"""The engine: equal to the published protocol, and everything that protocol cannot do."""

import numpy as np
import psutil
import pytest
import torch
from clips import SMALL, moving_clip, small_network
from reference import OFFLINE, arrays, largest_difference, recipe_network

from cotracker_ros.model import CoTracker3, Estimates
from cotracker_ros.tracking import StreamState, StreamTracker, TrackerConfig, TrackFlag, track_video

NATIVE = {"input_width": 0, "input_height": 0}
PUBLISHED = TrackerConfig(update_every=8, iterations=4, **NATIVE)
EVERY_FRAME = TrackerConfig(update_every=1, iterations=1, revise=0, visible_threshold=0.0, **NATIVE)


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def frames():
    return moving_clip(30)


def reference_clip(length):
    return arrays("clip")["video"][:length].transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def published():
    return recipe_network()


@pytest.mark.parametrize("length", [10, 24])
def test_streaming_is_the_published_protocol(published, length):
    expected = arrays("outputs")
    queries = expected[f"plain/T{length}_queries"][0]
    result = track_video(reference_clip(length), queries, tracker=published, config=PUBLISHED)
    assert largest_difference(result.xy, expected[f"plain/T{length}_tracks"][0]) < 5e-4
    assert largest_difference(result.visibility, expected[f"plain/T{length}_vis"][0]) < 5e-5
    assert largest_difference(result.confidence, expected[f"plain/T{length}_conf"][0]) < 5e-5


def test_streaming_steps_and_rounding_in_double_precision():
    network = recipe_network().double()
    expected, queries = arrays("float64"), arrays("outputs")["stream/T37_queries"][0]
    tracker = StreamTracker(network, PUBLISHED)
    for frame in range(24):  # all queries are known from the start, as in the published protocol
        chosen = queries[queries[:, 0] == frame]
        if len(chosen):
            tracker.add_points(chosen[:, 1:].astype(float), frame=frame)
    order = np.argsort(queries[:, 0], kind="stable")
    step = 0
    for frame, image in enumerate(reference_clip(24)):
        answers = tracker.track(image)
        assert bool(answers) == (frame in (15, 23))
        if answers:
            start, xy, visibility, _ = tracker.window_estimates()
            known = expected[f"stream_T37_step{step}_tracks"][0][start:, order].swapaxes(0, 1)
            assert largest_difference(xy, known) < 1e-9
            known = expected[f"stream_T37_step{step}_vis"][0][start:, order].swapaxes(0, 1)
            assert largest_difference(visibility, known) < 1e-9
            step += 1
    assert [answer.frame for answer in answers] == list(range(8, 24))
    assert [answer.revised for answer in answers] == [True] * 8 + [False] * 8


def test_online_predictor_with_support_grid_and_another_size(published):
    expected = arrays("outputs")
    queries = expected["predictor/small_queries_model_queries"][0]
    config = TrackerConfig(update_every=8, iterations=6, support_grid=6, **NATIVE)
    result = track_video(reference_clip(24), queries, tracker=published, config=config)
    assert largest_difference(result.xy, expected["predictor/small_support_step1_tracks"][0]) < 5e-4
    config = TrackerConfig(update_every=8, iterations=6, input_width=160, input_height=64)
    result = track_video(reference_clip(24), queries, tracker=published, config=config)
    assert largest_difference(result.xy, expected["predictor/rescaled_step1_tracks"][0]) < 5e-4
    seen = expected["predictor/rescaled_step1_visible"][0]
    begun = np.arange(24)[:, None] >= queries[:, 0]
    inside = ((result.xy >= 0) & (result.xy <= [127, 95])).all(-1)
    assert (result.visible == (seen & begun & inside)).all()


def test_offline_tracks_both_ways(frames):
    expected = arrays("outputs")
    offline = recipe_network(OFFLINE)
    queries = expected["offline_predictor/queries_in"][0]
    config = TrackerConfig(iterations=6, support_grid=6, **NATIVE)
    result = track_video(reference_clip(14), queries, tracker=offline, config=config)
    known = expected["offline_predictor/queries_tracks"][0]
    others = np.arange(14)[:, None] != queries[:, 0]  # the predictor overwrites each query's own frame
    assert np.abs(result.xy - known)[others].max() < 5e-4
    with pytest.raises(ValueError, match="offline"):
        StreamTracker(offline)


def test_whole_clips_agree_with_streams_of_any_length(network, frames):
    queries = np.array([[0, 20.0, 30.0], [0, 70.5, 60.25], [3, 100.0, 40.0]])
    for length in (1, 3, 5, 8, 9, 13):
        config = TrackerConfig(update_every=4, iterations=2, **NATIVE)
        inside = queries[queries[:, 0] < length]
        result = track_video(frames[:length], inside, tracker=network, config=config)
        video = torch.from_numpy(frames[:length]).permute(0, 3, 1, 2)[None].float()
        known = network(video, torch.from_numpy(inside)[None].float(), iterations=2)
        assert largest_difference(result.xy, known.xy[0].numpy()) < 1e-3, length


@pytest.mark.parametrize("update_every", [1, 2, 3, 4])
@pytest.mark.parametrize("revise", [0, 2, -1])
def test_every_image_is_answered_once_first(network, frames, update_every, revise):
    config = TrackerConfig(update_every=update_every, iterations=1, revise=revise, **NATIVE)
    tracker = StreamTracker(network, config)
    tracker.add_points([[20, 30], [50, 60]])
    first, revised = [], []
    for index, frame in enumerate(frames[:19]):
        answers = tracker.track(frame, stamp=index * 10)
        for answer in answers:
            (revised if answer.revised else first).append(answer.frame)
            assert answer.stamp == answer.frame * 10
            assert answer.newest == index * 10
        if update_every == 1:
            assert first[-1] == index
    first += [answer.frame for answer in tracker.finish() if not answer.revised]
    assert first == list(range(19))
    assert bool(revised) == (revise != 0)


def test_frames_that_are_not_revised_do_not_move(network, frames):
    tracker = StreamTracker(network, EVERY_FRAME)
    tracker.add_points([[20, 30], [50, 60]])
    said = [tracker.track(frame)[0].xy for frame in frames[:12]]
    start, xy, _, _ = tracker.window_estimates()
    assert np.allclose(xy.swapaxes(0, 1), said[start:], atol=1e-5)


def test_cached_correlations_equal_fresh_ones(network, frames):
    """What is kept of a frame that is not refined must be what the network would see there now."""
    tracker = StreamTracker(network, EVERY_FRAME)
    tracker.add_points([[20, 30], [50, 60]])
    for frame in frames[:14]:
        tracker.track(frame)
    state = tracker.state
    before = state.embedding.clone()
    slots = torch.arange(state.start, state.frames) % SMALL.window
    fresh = network.correlate(state.pyramid, slots, state.support, state.estimates.xy)
    assert torch.allclose(before, fresh, atol=1e-4)
    tracker.track(frames[14])
    assert torch.equal(state.embedding[:, :-1], before[:, 1:])


def test_points_come_and_go_without_disturbing_others(network, frames):
    """Tracks alone in their own attention: with no other difference, ids and positions stay."""
    tracker = StreamTracker(network, EVERY_FRAME)
    first = tracker.add_points([[20, 30], [50, 60], [80, 40]], labels=["cup", "", "cup"])
    for frame in frames[:5]:
        tracker.track(frame)
    late = tracker.add_points([[30, 30]], labels="late")
    answer = tracker.track(frames[5])[-1]
    assert answer.ids.tolist() == [*first, *late]
    assert answer.labels == ("cup", "", "cup", "late")
    assert answer.rgb[3].tolist() == frames[4][30, 30].tolist()
    assert answer.age.tolist() == [5, 5, 5, 1]
    assert (answer.flags & TrackFlag.NEW).astype(bool).tolist() == [False, False, False, True]
    before = answer.xy
    assert tracker.remove([first[1], 999]) == 1
    answer = tracker.track(frames[6])[-1]
    assert answer.ids.tolist() == [first[0], first[2], late[0]]
    assert np.abs(answer.xy - before[[0, 2, 3]]).max() < 30  # each id kept its own track
    assert tracker.add_points([[10, 10]])[0] > late[0]
    tracker.reset()
    assert len(tracker.ids) == 0
    assert tracker.add_points([[10, 10]])[0] > late[0] + 1
    assert tracker.track(frames[0])[-1].epoch == 1


def test_a_point_added_late_equals_one_asked_for_at_that_frame(network, frames):
    """Adding in mid-stream is the same as having known the query all along."""
    live = StreamTracker(network, EVERY_FRAME)
    live.add_points([[20, 30]])
    for frame in frames[:6]:
        live.track(frame)
    live.add_points([[60, 50]], frame=6)
    for frame in frames[6:12]:
        answer = live.track(frame)[-1]
    queries = np.array([[0, 20.0, 30.0], [6, 60.0, 50.0]])
    result = track_video(frames[:12], queries, tracker=network, config=EVERY_FRAME)
    assert np.allclose(result.xy[-1], answer.xy, atol=1e-4)
    assert not result.visible[:6, 1].any()
    assert answer.rgb.tolist() == [frames[0][30, 20].tolist(), frames[6][50, 60].tolist()]


def test_state_can_be_saved_and_restored(network, frames, tmp_path):
    config = TrackerConfig(update_every=2, iterations=1, revise=1, support_grid=2, **NATIVE)
    tracker = StreamTracker(network, config)
    tracker.add_points([[20, 30], [50, 60]], labels=["a", "b"])
    for index, frame in enumerate(frames[:11]):
        tracker.track(frame, stamp=index)
    tracker.state.save(tmp_path / "stream.safetensors")
    other = StreamTracker(network, config)
    other.state = StreamState.load(tmp_path / "stream.safetensors")
    for index, frame in enumerate(frames[11:16]):
        for one, two in zip(tracker.track(frame, index + 11), other.track(frame, index + 11), strict=True):
            assert (one.frame, one.stamp, one.labels) == (two.frame, two.stamp, two.labels)
            assert np.array_equal(one.xy, two.xy)
            assert np.array_equal(one.ids, two.ids)
    assert other.add_points([[1, 1]]) == tracker.add_points([[1, 1]])
    with pytest.raises(ValueError, match="no saved stream state"):
        StreamState.load(tmp_path / "absent.safetensors")


def test_streams_that_share_a_network_do_not_mix(network, frames):
    alone = StreamTracker(network, EVERY_FRAME)
    alone.add_points([[20, 30]])
    known = [alone.track(frame)[-1].xy for frame in frames[:8]]
    one, two = alone.fork(), alone.fork()
    one.add_points([[20, 30]])
    two.add_points([[70, 70], [90, 20]])
    for index, frame in enumerate(frames[:8]):
        two.track(frames[-1 - index])
        assert np.array_equal(one.track(frame)[-1].xy, known[index])


def test_each_image_is_encoded_once(network, frames, monkeypatch):
    encoded, encode = [], network.encode

    def counted(images):
        encoded.append(len(images))
        return encode(images)

    monkeypatch.setattr(network, "encode", counted)
    tracker = StreamTracker(network, TrackerConfig(update_every=4, **NATIVE))
    tracker.add_points([[20, 30]])
    for frame in frames[:13]:
        tracker.track(frame)
    tracker.finish()
    assert encoded == [1] * 13


def test_support_points_are_never_published_and_go_with_their_owner(network, frames):
    config = TrackerConfig(
        update_every=1, iterations=1, support_grid=3, local_support=2, support_refresh=5, **NATIVE
    )
    tracker = StreamTracker(network, config)
    ids = tracker.add_points([[20, 30], [50, 60]])
    for frame in frames[:4]:
        answer = tracker.track(frame)[-1]
        assert answer.ids.tolist() == ids.tolist()
    assert len(tracker.state) == 2 + 9 + 2 * 4
    tracker.remove(ids[:1])
    assert len(tracker.state) == 1 + 9 + 4
    tracker.track(frames[4])
    tracker.track(frames[5])
    assert len(tracker.state) == 1 + 9 + 4
    grid_rows = (tracker.table.ids == 0) & (tracker.state.owner == 0)
    assert set(tracker.table.query_frame[grid_rows].tolist()) == {5}


def test_a_stream_without_points_still_answers(network, frames):
    tracker = StreamTracker(network, EVERY_FRAME)
    for index, frame in enumerate(frames[:4]):
        (answer,) = tracker.track(frame)
        assert (answer.frame, len(answer)) == (index, 0)
    tracker.add_points([[20, 30]])
    assert len(tracker.track(frames[4])[-1]) == 1


def test_many_tracks_in_parts_equal_few_at_once(network, frames, monkeypatch):
    queries = np.concatenate([np.zeros((40, 1)), np.random.default_rng(0).uniform(5, 100, (40, 2))], 1)
    config = TrackerConfig(update_every=2, iterations=2, **NATIVE)
    whole = track_video(frames[:9], queries, tracker=network, config=config)
    monkeypatch.setattr("cotracker_ros.model.correlation.PAIRS_AT_A_TIME", {"cpu": 24})
    monkeypatch.setattr("cotracker_ros.model.transformer.TOKENS_AT_A_TIME", {"cpu": 50})
    parts = track_video(frames[:9], queries, tracker=network, config=config)
    assert np.allclose(whole.xy, parts.xy, atol=1e-3)


def test_memory_does_not_grow_with_time(network):
    """Nothing that is kept has the length of the stream (`cotracker_ros bench` looks at 10,000 images)."""
    frames = moving_clip(4, size=(32, 32))
    tracker = StreamTracker(network, EVERY_FRAME)
    tracker.add_points([[10, 10], [20, 20]])
    process, sizes = psutil.Process(), {}
    for index in range(1501):
        tracker.track(frames[index % 4], stamp=index)
        if index in (200, 1500):
            sizes[index] = process.memory_info().rss
    assert sizes[1500] - sizes[200] < 10e6
    assert len(tracker.state.stamps) <= SMALL.window


def test_precisions_on_a_cpu(frames):
    exact = track_video(frames[:8], [[0, 40, 40]], tracker=small_network(), config=EVERY_FRAME)
    rough = track_video(frames[:8], [[0, 40, 40]], tracker=small_network().bfloat16(), config=EVERY_FRAME)
    assert rough.xy.dtype == np.float32
    assert np.abs(exact.xy - rough.xy).max() < 3


def test_sub_pixel_positions_survive_resizing(network):
    """Image and network px are related between the centres of the outermost pixels."""
    tracker = StreamTracker(
        network, TrackerConfig(update_every=1, iterations=1, input_width=64, input_height=32)
    )
    tracker.add_points([[0, 0], [159, 119], [80.25, 33.5]])
    tracker.track(moving_clip(1)[0])
    scale = tracker._image_per_input().numpy()
    assert scale == pytest.approx([159 / 63, 119 / 31])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"update_every": 0}, "update_every is 0"),
        ({"iterations": -1}, "iterations is -1"),
        ({"input_width": 5}, "input_width is 5"),
        ({"visible_threshold": 1.0}, "visible_threshold is 1.0"),
        ({"revise": -2}, "revise is -2"),
        ({"extrapolate": 2.0}, "extrapolate is 2.0"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        TrackerConfig(**settings)


def test_update_every_must_fit_the_window(network):
    with pytest.raises(ValueError, match="allows 1 to 4"):
        StreamTracker(network, TrackerConfig(update_every=5))


def test_only_the_weights_are_shared(network):
    assert isinstance(network, CoTracker3)
    assert not [name for name, _ in network.named_buffers() if name != "time_emb"]


def test_new_frames_may_start_where_the_motion_leads(network, frames):
    """A point that moved by (2, 1) feature px in its last frame starts the next ones further along."""
    half = StreamTracker(network, TrackerConfig(update_every=2, iterations=1, extrapolate=0.5, **NATIVE))
    xy = torch.zeros(1, 8, 2)
    xy[0, :, 0] = torch.tensor([0, 0, 3, 5, 5, 5, 5, 5.0])
    xy[0, :, 1] = torch.tensor([0, 0, 1, 2, 2, 2, 2, 2.0])
    before = Estimates(xy, torch.zeros(1, 8), torch.zeros(1, 8))
    started = half._start_new_frames(before, first_new=4).xy[0]
    assert torch.equal(started[:4], xy[0, :4])
    assert started[4:].tolist() == [[6, 2.5], [7, 3], [8, 3.5], [9, 4]]


def test_a_clip_without_queries_has_no_tracks(network, frames):
    result = track_video(frames[:5], [], tracker=network, config=EVERY_FRAME)
    assert result.xy.shape == (5, 0, 2)
