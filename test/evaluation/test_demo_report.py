"""A made-up run with known errors, latencies and drops: the report must say exactly those."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("av")

from cotracker_ros.evaluation.demo_report import report_run
from cotracker_ros.evaluation.demo_run import DemoRun
from cotracker_ros.evaluation.summary import TrueTracks
from cotracker_ros.messages import track3d_array_fields, track_array_fields
from cotracker_ros.reconstruction.ply import read_ply
from cotracker_ros.reconstruction.types import DepthSource, PointMotion, Tracks3D
from cotracker_ros.recordings import BagWriter, ImageEvent, Recording, RecordingSummary
from cotracker_ros.tracking.types import TrackFlag, Tracks

SIZE = (160, 120)
STAMPS = 1_000_000_000 + 50_000_000 * np.arange(20)
DROPPED = (7, 8)
COUNT = 12


class Images(Recording):
    @property
    def summary(self):
        return RecordingSummary(path="-", kind="images", images=len(STAMPS), duration=0.95)

    def events(self):
        for stamp in STAMPS:
            yield ImageEvent(int(stamp), "camera", np.full((SIZE[1], SIZE[0], 3), 60, np.uint8))


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    start = rng.uniform(20, 100, (1, COUNT, 2))
    xy = np.repeat(start, len(STAMPS), axis=0)  # standing still, so that dropped images cost nothing
    return TrueTracks(
        stamps=STAMPS,
        xy=xy,
        visible=np.ones((len(STAMPS), COUNT), bool),
        xyz=np.repeat(rng.uniform(-1, 1, (1, COUNT, 3)), len(STAMPS), axis=0),
        moving=np.arange(COUNT) < 4,
        camera=np.zeros((len(STAMPS), 3)),
    )


def tracks_at(t, truth):
    flags = np.full(COUNT, TrackFlag.VISIBLE | TrackFlag.IN_FRAME, np.uint8)
    flags[0] = TrackFlag.IN_FRAME  # one of twelve is wrongly called occluded
    offset = np.array([[5.0, 0]]) * (t > 0)  # 8.02 px at 256x256: within 16 px only
    ones = np.ones(COUNT, np.float32)
    tracks = Tracks(
        frame=t,
        stamp=int(STAMPS[t]),
        newest=int(STAMPS[t]),
        epoch=0,
        image_size=SIZE,
        revised=False,
        ids=np.arange(10, 10 + COUNT, dtype=np.uint32),
        xy=(truth.xy[t] + offset).astype(np.float32),
        visibility=ones,
        confidence=ones,
        flags=flags,
        age=np.full(COUNT, t, np.uint32),
        rgb=np.full((COUNT, 3), 200, np.uint8),
        labels=("truth",) * COUNT,
    )
    xyz = truth.xyz[t] + [0.02, 0, 0]
    lifted = Tracks3D(
        frame=t,
        stamp=int(STAMPS[t]),
        epoch=0,
        frame_id="world",
        ids=tracks.ids,
        xyz=xyz.astype(np.float32),
        velocity=np.zeros((COUNT, 3), np.float32),
        sigma=0.01 * ones,
        source=np.full(COUNT, DepthSource.MEASURED, np.uint8),
        motion=np.full(COUNT, PointMotion.STATIC, np.uint8),
        flags=flags,
        rgb=tracks.rgb,
        labels=tracks.labels,
    )
    return tracks, lifted


@pytest.fixture
def output(tmp_path, truth):
    with BagWriter(tmp_path / "output") as bag, open(tmp_path / "arrivals.csv", "w", newline="") as file:
        arrivals = csv.writer(file)
        arrivals.writerow(["topic", "stamp_ns", "published_ns", "received_ns"])
        for t, stamp in enumerate(STAMPS.tolist()):
            arrivals.writerow(["/image", stamp, stamp, stamp + 1_000_000])
            if t in DROPPED:
                continue
            tracks, lifted = tracks_at(t, truth)
            fields = track_array_fields(tracks, "camera")
            bag.write("/tracker/tracks", "cotracker_ros/msg/TrackArray", stamp, fields)
            fields = track3d_array_fields(lifted)
            bag.write("/lifter/tracks_3d", "cotracker_ros/msg/Track3DArray", stamp, fields)
            late = 12_500_000 if t < 19 else 90_000_000
            arrivals.writerow(["/tracker/tracks", stamp, stamp + 1, stamp + late])
            arrivals.writerow(["/lifter/tracks_3d", stamp, stamp + 1, stamp + late + 5_000_000])
    return tmp_path


def demo_run(output, truth, backend="klt"):
    return DemoRun(
        name="a made-up <recording>",
        recording=Images(),
        output=output,
        truth=truth,
        truth_ids=list(range(10, 10 + COUNT)),
        topics={"/image": 20, "/tracker/tracks": 18},
        parameters={"player": {}, "tracker": {"backend": backend, "weights": "some"}},
        rate=1.0,
    )


def test_the_report_says_what_was_put_in(output, truth):
    table = report_run(demo_run(output, truth))
    numbers = json.loads((output / "summary.json").read_text())
    assert (numbers["images"], numbers["answered"], numbers["dropped"]) == (20, 18, 2)
    assert numbers["latency"]["p50"] == pytest.approx(12.5)
    assert numbers["latency_3d"]["p50"] == pytest.approx(17.5)
    assert numbers["tapvid"]["occlusion_accuracy"] == pytest.approx(11 / 12)
    assert numbers["tapvid"]["average_pts_within_thresh"] == pytest.approx(1 / 5)
    assert numbers["tapvid"]["average_jaccard"] == pytest.approx(11 / 12 / 5)
    assert numbers["accuracy_3d"]["measured"]["median_cm"] == pytest.approx(2, abs=1e-4)
    assert numbers["accuracy_moving"]["measured"]["count"] == 4 * 19
    assert numbers["accuracy_3d"]["held"]["median_cm"] is None

    page = (output / "report.html").read_text()
    for text in ("91.7", "18.3", "20.0", "12.5", "2 <span", "2.0", "of 20"):
        assert text in page, text
        assert text.partition(" <")[0] in table
    assert "made by KLT" in page and "made by KLT" in table
    assert "answered only" not in page
    assert "a made-up &lt;recording&gt;" in page
    assert 'src="overlay.mp4"' in page and "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/png;base64,") == 5
    assert (output / "overlay.mp4").stat().st_size > 1000
    assert len(read_ply(output / "cloud.ply").xyz) == COUNT


def test_without_truth_there_is_no_accuracy(output):
    table = report_run(demo_run(output, None, backend="network"))
    assert "Jaccard" not in table and "p95" in table
    page = (output / "report.html").read_text()
    assert "Jaccard" not in page and "made by KLT" not in page
    assert json.loads((output / "summary.json").read_text())["tapvid"] is None


def test_a_truth_of_other_images_is_refused(output, truth):
    with pytest.raises(ValueError, match="the truth belongs to other images"):
        report_run(demo_run(output, replace(truth, stamps=STAMPS + 1)))
