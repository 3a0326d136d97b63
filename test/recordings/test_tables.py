import csv

import numpy as np
import pytest

from cotracker_ros.reconstruction.types import DepthSource, PointMotion, Tracks3D
from cotracker_ros.recordings import tables
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.tables import TrackTable
from cotracker_ros.tracking.types import Tracks


def answer(frame, ids, *, epoch=0, x=0.0, revised=False):
    n = len(ids)
    return Tracks(
        frame=frame,
        stamp=1000 + frame,
        newest=1000 + frame,
        epoch=epoch,
        image_size=(64, 48),
        revised=revised,
        ids=np.array(ids, np.uint32),
        xy=np.array([[x + i, 10 * i] for i in ids], np.float32).reshape(n, 2),
        visibility=np.full(n, 0.9, np.float32),
        confidence=np.full(n, 0.8, np.float32),
        flags=np.full(n, 3, np.uint8),
        age=np.zeros(n, np.uint32),
        rgb=np.zeros((n, 3), np.uint8),
        labels=tuple(f"t{i}" for i in ids),
    )


def lifted(frame, ids):
    n = len(ids)
    return Tracks3D(
        frame=frame,
        stamp=1000 + frame,
        epoch=0,
        frame_id="map",
        ids=np.array(ids, np.uint32),
        xyz=np.array([[i, 2 * i, 3] for i in ids], np.float32).reshape(n, 3),
        velocity=np.full((n, 3), np.nan, np.float32),
        sigma=np.full(n, 0.01, np.float32),
        source=np.full(n, DepthSource.MEASURED, np.uint8),
        motion=np.full(n, PointMotion.STATIC, np.uint8),
        flags=np.full(n, 3, np.uint8),
        rgb=np.zeros((n, 3), np.uint8),
        labels=("",) * n,
    )


def filled():
    table = TrackTable()
    table.add(answer(0, [5, 7]))
    table.add(answer(1, [7, 5, 9]))  # in another order, with a newcomer
    table.add_3d(lifted(1, [7, 9]))
    return table


def test_arrays_put_every_track_into_its_column():
    arrays = filled().arrays()
    assert arrays["ids"].tolist() == [5, 7, 9]
    assert arrays["labels"].tolist() == ["t5", "t7", "t9"]
    assert arrays["stamps"].tolist() == [1000, 1001]
    np.testing.assert_array_equal(arrays["xy"][1], [[5, 50], [7, 70], [9, 90]])
    assert np.isnan(arrays["xy"][0, 2]).all()
    assert arrays["visible"].tolist() == [[True, True, False], [True, True, True]]
    np.testing.assert_array_equal(arrays["xyz"][1, 1:], [[7, 14, 3], [9, 18, 3]])
    assert np.isnan(arrays["xyz"][0]).all()
    assert arrays["source"].tolist() == [[0, 0, 0], [0, 1, 1]]
    assert arrays["frame_id"].tolist() == ["map"]


def test_npz_holds_the_arrays_without_pickle(tmp_path):
    filled().write_npz(tmp_path / "tracks.npz")
    with np.load(tmp_path / "tracks.npz", allow_pickle=False) as stored:
        for name, expected in filled().arrays().items():
            np.testing.assert_array_equal(stored[name], expected)


def test_csv_has_one_row_per_image_and_track(tmp_path):
    filled().write_csv(tmp_path / "tracks.csv")
    with (tmp_path / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["id"]) for row in rows] == [
        ("0", "5"),
        ("0", "7"),
        ("1", "5"),
        ("1", "7"),
        ("1", "9"),
    ]
    assert (rows[1]["label"], float(rows[1]["y"]), rows[1]["visible"]) == ("t7", 70.0, "1")
    assert (rows[2]["x_m"], rows[2]["source"]) == ("", "")
    assert (float(rows[3]["y_m"]), rows[3]["vx_m_s"], rows[3]["source"]) == (14.0, "", "measured")


def test_a_table_of_2d_tracks_has_no_columns_in_space(tmp_path):
    table = TrackTable()
    table.add(answer(0, [1]))
    table.write_csv(tmp_path / "tracks.csv")
    assert (tmp_path / "tracks.csv").read_text().splitlines()[0].endswith("confidence,flags")
    assert "xyz" not in table.arrays()


def test_a_revision_replaces_what_it_holds_and_keeps_the_rest():
    table = TrackTable()
    table.add(answer(0, [1, 2]))
    table.add(answer(0, [2], x=0.5, revised=True))
    arrays = table.arrays()
    np.testing.assert_array_equal(arrays["xy"][0], [[1, 10], [2.5, 20]])
    assert arrays["labels"].tolist() == ["t1", "t2"]


def test_epochs_follow_each_other():
    table = TrackTable()
    table.add(answer(0, [2], epoch=1))
    table.add(answer(0, [1], epoch=0))
    table.add(answer(1, [1], epoch=0))
    arrays = table.arrays()
    assert arrays["epochs"].tolist() == [0, 0, 1]
    assert arrays["visible"].tolist() == [[True, False], [True, False], [False, True]]


def test_an_empty_table(tmp_path):
    TrackTable().write_npz(tmp_path / "tracks.npz")
    TrackTable().write_csv(tmp_path / "tracks.csv")
    assert np.load(tmp_path / "tracks.npz")["xy"].shape == (0, 0, 2)


def test_arrays_that_would_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(tables, "_MAX_BYTES", 100)
    with pytest.raises(RecordingError, match="write CSV instead"):
        filled().arrays()
