"""The benchmark measures what it says: its baseline gives the numbers of the tracker it is compared with."""

import argparse
import json

import numpy as np
import torch
from clips import SMALL, moving_clip, small_network

from cotracker_ros.evaluation import bench, scene_speed
from cotracker_ros.evaluation.published_protocol import PublishedProtocol, published_layers
from cotracker_ros.model import checkpoints
from cotracker_ros.tracking import TrackerConfig, track_video
from cotracker_ros.tracking.types import TrackFlag, Tracks


def test_the_baseline_gives_the_stream_trackers_numbers():
    network, half = small_network(), SMALL.window // 2
    frames = moving_clip(16)
    queries = np.array([[0, 20.0, 30.0], [3, 70.5, 60.25], [6, 100.0, 40.0], [11, 0.0, 119.0]])
    config = TrackerConfig(update_every=half, iterations=2, input_width=0, input_height=0)
    result = track_video(frames, queries, tracker=network, config=config)
    protocol = PublishedProtocol(network, torch.from_numpy(queries).float(), iterations=2)
    video = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    with published_layers():
        for start in range(0, 16 - half, half):
            xy = protocol.step(video[start : start + SMALL.window])
    assert np.abs(xy.numpy() - result.xy).max() < 1e-3


def test_a_small_run_writes_its_tables(tmp_path, capsys):
    checkpoints.save(small_network(), SMALL, tmp_path / "small.safetensors")
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    options = f"--weights {tmp_path}/small.safetensors --size 64 64 --tracks 5 --steps 1 --images 210"
    options += " --scene-images 0"
    assert bench.run(parser.parse_args([*options.split(), "--out", str(tmp_path)])) == 0
    numbers = json.loads((tmp_path / "bench.json").read_text())
    assert all(row["frames_per_second"] > 0 for row in numbers["rows"])
    assert numbers["rows"][0]["name"].startswith("published")
    assert "frames/s" in capsys.readouterr().out


def test_tracks_to_and_fro_never_use_an_id_twice():
    """What was gone at the turn comes back under a new id, and is new there."""

    def tracks(frame, ids):
        count = len(ids)
        return Tracks(
            frame=frame,
            stamp=frame,
            newest=frame,
            epoch=0,
            image_size=(64, 48),
            revised=False,
            ids=np.array(ids, np.uint32),
            xy=np.zeros((count, 2), np.float32),
            visibility=np.ones(count, np.float32),
            confidence=np.ones(count, np.float32),
            flags=np.full(count, TrackFlag.VISIBLE, np.uint8),
            age=np.zeros(count, np.uint32),
            rgb=np.zeros((count, 3), np.uint8),
            labels=("",) * count,
        )

    given = [tracks(0, [7, 8]), tracks(1, [7, 9]), tracks(2, [7, 9])]
    played = [answer for _, answer in scene_speed._to_and_fro(["a", "b", "c"], given, 6)]
    assert [answer.ids.tolist() for answer in played] == [[1, 2], [1, 3], [1, 3], [1, 3], [1, 3], [1, 4]]
    new = [((answer.flags & TrackFlag.NEW) > 0).tolist() for answer in played]
    assert new[0] == [True, True] and new[1] == [False, True] and new[5] == [False, True]
    assert [answer.stamp for answer in played] == sorted({answer.stamp for answer in played})
