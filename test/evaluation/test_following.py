"""Queries of labelled clips, and trackers run over them."""

import numpy as np
import pytest
from clips import SMALL, moving_clip, small_network
from reference import recipe_network

from cotracker_ros.evaluation.candidates import (
    OfflineCandidate,
    OnlineCandidate,
    make_candidates,
)
from cotracker_ros.evaluation.clip_queries import clip_queries, global_support, local_support
from cotracker_ros.evaluation.following import follow
from cotracker_ros.evaluation.tapvid import tapvid_metrics
from cotracker_ros.evaluation.trials import LabelledTask, follow_queries
from cotracker_ros.model import CoTracker3Config
from cotracker_ros.model.checkpoints import save
from cotracker_ros.tracking import KltTracker, StreamTracker, TrackerConfig, track_video
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.tracking.names import TrackerNameError

STEP = np.array([1.3, -0.7])


def moving(length=12, points=((60, 60), (90, 80), (70, 50)), visible=None, known=None):
    """A clip that moves by STEP in each frame; points are positions in frame 0."""
    time = np.arange(length)[:, None, None]
    xy = (np.array(points, float) + STEP * time).astype(np.float32)
    visible = np.ones(xy.shape[:2], bool) if visible is None else np.array(visible, bool)
    known = np.ones(xy.shape[:2], bool) if known is None else np.array(known, bool)
    return LabelledClip(moving_clip(length, tuple(STEP)), xy, visible, known, "moving")


class TestQueries:
    visible = np.zeros((12, 3), bool)
    visible[2:, 0] = visible[5:7, 1] = True

    def test_first_asks_where_a_track_is_seen_first(self):
        clip = moving(visible=self.visible)
        queries = clip_queries(clip, "first")
        assert queries.track.tolist() == [0, 1]  # the third is never seen
        assert queries.points[:, 0].tolist() == [2, 5] == queries.counted_from.tolist()
        np.testing.assert_array_equal(queries.points[:, 1:], clip.xy[[2, 5], [0, 1]])

    def test_what_is_not_known_is_not_asked_for(self):
        known = np.ones((12, 3), bool)
        known[:4, 0] = False
        assert clip_queries(moving(visible=self.visible, known=known), "first").points[0, 0] == 4

    def test_strided_asks_in_every_fifth_frame(self):
        queries = clip_queries(moving(visible=self.visible), "strided")
        assert list(zip(queries.points[:, 0], queries.track, strict=True)) == [(5, 0), (5, 1), (10, 0)]
        assert queries.mode == "strided"

    def test_start_asks_in_frame_0_and_counts_from_the_first_visible_one(self):
        queries = clip_queries(moving(visible=self.visible), "start")
        assert queries.points[:, 0].tolist() == [0, 0]
        assert queries.counted_from.tolist() == [2, 5]

    def test_unknown_modes_are_refused(self):
        with pytest.raises(ValueError, match="choose one of first, strided, start"):
            clip_queries(moving(), "last")


class TestSupport:
    def test_is_that_of_the_single_point_protocol(self):
        # At 512x384 itself: margins of 50/64 px around the query, of 512/64 px at the image's border.
        local = local_support(np.array([7.0, 200.0, 100.0]), (512, 384))
        assert local.shape == (64, 3) and not local[:, 0].any()
        np.testing.assert_allclose(local[0, 1:], [200 - 25 + 50 / 64, 100 - 25 + 50 / 64])
        np.testing.assert_allclose(local[-1, 1:], [200 + 25 - 50 / 64, 100 + 25 - 50 / 64])
        everywhere = global_support((512, 384))
        assert everywhere.shape == (25, 3)
        np.testing.assert_allclose(everywhere[[0, -1], 1:], [[8, 8], [504, 376]])

    def test_is_scaled_between_the_centres_of_the_outermost_pixels(self):
        everywhere = global_support((256, 256))
        np.testing.assert_allclose(everywhere[0, 1:], [8 * 255 / 511, 8 * 255 / 383])


class TestFollow:
    points = np.array([[0, 60, 60], [5, 80, 70], [2, 70, 50]], float)

    def test_final_answers_are_those_of_track_video(self):
        frames = moving_clip(17, tuple(STEP))
        tracker = StreamTracker(small_network(), TrackerConfig(4, iterations=2))
        run = follow(frames, self.points, tracker)
        whole = track_video(frames, self.points, tracker=tracker)
        after = np.arange(17)[:, None] >= self.points[:, 0]
        np.testing.assert_allclose(run.final.xy[after], whole.xy[after], atol=1e-4)
        np.testing.assert_array_equal(run.final.visible, whole.visible)
        assert np.isnan(run.final.xy[~after]).all()
        assert run.images == 17 and run.seconds > 0

    def test_first_answers_are_kept_apart_from_revisions(self):
        frames = moving_clip(17, tuple(STEP))
        tracker = StreamTracker(small_network(), TrackerConfig(4, iterations=2))
        run = follow(frames, self.points[:1], tracker)
        stream = tracker.fork()
        ids = stream.add_points(self.points[:1, 1:])
        first = {}
        for index in range(18):
            for answer in stream.track(frames[index]) if index < 17 else stream.finish():
                if not answer.revised:
                    first[answer.frame] = answer.xy[answer.ids.tolist().index(ids[0])]
        first = np.stack([first[t] for t in range(17)])
        np.testing.assert_array_equal(run.first.xy[:, 0], first)
        assert np.abs(run.final.xy[:, 0] - first).max() > 0.1

    def test_delays_count_the_images_waited_for(self):
        frames = moving_clip(17, tuple(STEP))
        windowed = follow(frames, self.points, StreamTracker(small_network(), TrackerConfig(4, 1)))
        # The first window waits for 8 images, later ones for 4; the last image comes with the end.
        assert windowed.delays == [7, 6, 5, 4, 3, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0, 0]
        live = follow(frames, self.points, StreamTracker(small_network(), TrackerConfig(1, 1)))
        assert live.delays == [0] * 17

    def test_the_tracker_itself_is_left_alone(self):
        tracker = KltTracker(TrackerConfig(max_tracks=1))
        run = follow(moving_clip(3, tuple(STEP)), self.points[[0, 2]], tracker)
        assert run.final.xy.shape == (3, 2, 2)  # more points than the stream itself would take
        assert tracker.frames == 0 and not len(tracker.ids)


class TestTrials:
    def test_klt_finds_its_way_also_against_time(self):
        clip = moving()
        (klt,) = make_candidates(["klt"])
        queries = clip_queries(clip, "strided")
        run = follow_queries(klt, clip, queries)
        np.testing.assert_allclose(run.first.xy, clip.xy[:, queries.track], atol=0.15)
        assert run.first.visible.all()
        assert run.images == 24
        trial = LabelledTask("strided").run(klt, clip)
        assert trial.first.metrics["average_jaccard"] == 1 == trial.final.metrics["average_jaccard"]
        assert trial.delay == 0

    def test_scores_are_those_of_the_metrics(self):
        visible = np.ones((12, 3), bool)
        visible[:3, 0] = visible[7:9, 1] = False
        known = np.ones((12, 3), bool)
        known[6, 2] = False
        clip = moving(visible=visible, known=known)
        (klt,) = make_candidates(["klt"])
        run = follow_queries(klt, clip, clip_queries(clip, "first"))
        trial = LabelledTask().run(klt, clip)
        expected = tapvid_metrics(
            [3, 0, 0], clip.xy, visible, run.first.xy, run.first.visible, known=known, image_size=(160, 120)
        )
        assert {name: trial.first.metrics[name] for name in expected} == expected
        assert trial.first.metrics["true_returning"] == pytest.approx(1 / 3)
        assert len(trial.first.errors) == 11

    def test_a_clip_without_anything_to_ask_for_is_no_trial(self):
        clip = moving(visible=np.zeros((12, 3)))
        assert LabelledTask().run(make_candidates(["klt"])[0], clip) is None

    def test_alone_gives_each_query_support_points_of_its_own(self, monkeypatch):
        clip = moving(length=4)
        network = OnlineCandidate(
            "net", "net", StreamTracker(small_network(), TrackerConfig(1, 1, input_width=64, input_height=64))
        )
        asked = []
        whole = network.follow
        monkeypatch.setattr(network, "follow", lambda f, p: asked.append(len(p)) or whole(f, p))
        alone = follow_queries(network, clip, clip_queries(clip, "first"), alone=True)
        assert asked == [1 + 64 + 25] * 3
        assert alone.final.xy.shape == (4, 3, 2) and np.isfinite(alone.first.xy).all()
        follow_queries(network, clip, clip_queries(clip, "first"))
        assert asked[-1] == 3

    def test_company_makes_no_difference_to_klt(self):
        clip = moving()
        (klt,) = make_candidates(["klt"])
        queries = clip_queries(clip, "first")
        assert follow_queries(klt, clip, queries, alone=True).images == 12

    def test_an_offline_network_has_final_answers_only(self):
        config = CoTracker3Config(**(SMALL.__dict__ | {"window": 12, "offline": True}))
        model = recipe_network(config)
        small = TrackerConfig(iterations=1, input_width=64, input_height=64)
        trial = LabelledTask("strided").run(OfflineCandidate("off", "off", model, small), moving())
        assert trial.first is None
        assert trial.images == 12  # it looks both ways by itself
        assert np.isfinite(trial.final.metrics["average_pts_within_thresh"])


class TestNames:
    def test_settings_come_after_a_colon(self):
        plain, tuned = make_candidates(["klt", "klt:max_error=2,window=31,visible_threshold=0.5"])
        assert (plain.name, plain.weights, plain.is_klt) == ("klt", "klt", True)
        assert tuned.weights == "klt" and tuned.name.endswith("visible_threshold=0.5")
        assert (tuned.tracker.klt.max_error, tuned.tracker.klt.window) == (2.0, 31)
        assert tuned.tracker.config.visible_threshold == 0.5

    def test_a_name_that_comes_twice_counts_once(self):
        assert len(make_candidates(["klt", "klt"])) == 1

    def test_settings_of_one_checkpoint_share_a_network(self, tmp_path):
        path = tmp_path / "a:b.safetensors"  # a colon in a path is no setting
        save(small_network(), SMALL, path)
        slow, live = make_candidates(
            [f"{path}:update_every=4", f"{path}:update_every=1,iterations=1,precision=auto"], device="cpu"
        )
        assert slow.tracker.model is live.tracker.model
        assert (slow.weights, slow.tracker.config.update_every) == (str(path), 4)
        assert not live.is_klt and live.joint

    def test_an_offline_checkpoint_is_recognised(self, tmp_path):
        config = CoTracker3Config(**(SMALL.__dict__ | {"window": 12, "offline": True}))
        save(recipe_network(config), config, tmp_path / "off.safetensors")
        (candidate,) = make_candidates([str(tmp_path / "off.safetensors")], device="cpu")
        assert isinstance(candidate, OfflineCandidate)

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("klt:window=20", "window is 20; give an odd number"),
            ("klt:precision=bf16", "has no setting precision; it knows window"),
            ("", "empty name"),
            ("/nowhere.pth:update_every=1", "there are no weights at /nowhere.pth"),
        ],
    )
    def test_what_cannot_be_had_is_said(self, name, sentence):
        with pytest.raises(ValueError, match=sentence):
            make_candidates([name])

    def test_a_window_too_short_is_said(self, tmp_path):
        save(small_network(), SMALL, tmp_path / "net.safetensors")
        with pytest.raises(TrackerNameError, match="update_every is 6; this network's window allows 1 to 4"):
            make_candidates([f"{tmp_path}/net.safetensors:update_every=6"], device="cpu")
