"""Rows of ids, found again."""

import numpy as np

from cotracker_ros.reconstruction.ids import rows_of


def test_ids_in_any_order_are_found_and_unknown_ones_are_told():
    rows, found = rows_of(np.array([7, 5, 2, 9], np.uint32), np.array([9, 2, 7], np.uint32))
    assert found.tolist() == [True, False, True, True]
    assert rows[found].tolist() == [2, 1, 0]
    assert (rows < 3).all()


def test_nothing_is_found_among_nothing():
    rows, found = rows_of(np.array([1, 2]), np.zeros(0, np.int64))
    assert len(rows) == 2 and not found.any()
    rows, found = rows_of(np.zeros(0, np.int64), np.array([1, 2]))
    assert len(rows) == len(found) == 0
