import numpy as np
import pytest

from cotracker_ros.evaluation.tracking3d import tracking3d_metrics
from cotracker_ros.reconstruction.types import DepthSource


def test_measured_and_held_are_told_apart():
    true_xyz = np.zeros((2, 3, 3))
    xyz = true_xyz.copy()
    xyz[0, :, 0] = [0.01, 0.02, 0.03]  # measured: 1, 2, 3 cm off
    xyz[1, :, 2] = [0.10, 0.30, np.nan]  # held: 10 and 30 cm off; one has no position
    source = np.array([[DepthSource.MEASURED] * 3, [DepthSource.HELD, DepthSource.HELD, DepthSource.NONE]])
    visible = np.array([[True, True, True], [False, False, True]])
    m = tracking3d_metrics(true_xyz, visible, xyz, source)
    assert (m.measured.count, m.held.count, m.all.count) == (3, 2, 5)
    assert m.measured.median_cm == pytest.approx(2)
    assert m.held.median_cm == pytest.approx(20)
    assert m.held.p95_cm == pytest.approx(29)
    assert m.all.median_cm == pytest.approx(3)
    assert m.coverage == 3 / 4


def test_nothing_measured_is_nan_not_an_error():
    m = tracking3d_metrics(np.zeros((1, 1, 3)), [[False]], np.full((1, 1, 3), np.nan), [[DepthSource.NONE]])
    assert m.all.count == 0 and np.isnan(m.all.median_cm) and np.isnan(m.coverage)


def test_shapes_that_do_not_fit_are_said():
    with pytest.raises(ValueError, match="do not belong together"):
        tracking3d_metrics(np.zeros((2, 3, 3)), np.zeros((2, 3)), np.zeros((2, 4, 3)), np.zeros((2, 3)))
