"""Points taken along by those whose queries lay around theirs."""

import numpy as np
import pytest

from cotracker_ros.tracking.company import by_company


def queries(count=40, seed=0):
    return np.random.default_rng(seed).uniform(20, 200, (count, 2)).astype(np.float32)


def moved(query, turn=0.5, scale=1.2, shift=(30.0, -12.0)):
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return query @ matrix.T + np.array(shift)


def test_hidden_points_turn_and_grow_with_their_surface():
    query = queries()
    truth = moved(query)
    sure = np.ones(40, bool)
    sure[:10] = False
    xy = np.where(sure[:, None], truth, 0.0)  # where the hidden ones were left does not matter
    company = by_company(query, np.zeros(40, np.int64), xy, sure)
    np.testing.assert_allclose(company.xy, truth, atol=1e-6)
    assert company.spread.max() < 1e-6


def test_a_few_of_another_surface_do_not_matter():
    query = queries()
    truth = moved(query, turn=0.1, scale=1.0)
    xy = truth.copy()
    xy[::6] += [25.0, 10.0]
    sure = np.ones(40, bool)
    sure[5] = False
    company = by_company(query, np.zeros(40, np.int64), xy, sure)
    assert np.linalg.norm(company.xy[5] - truth[5]) < 1.5


def test_company_that_goes_different_ways_says_so():
    query = queries()
    xy = query + np.random.default_rng(1).uniform(-30, 30, query.shape)
    company = by_company(query, np.zeros(40, np.int64), xy, np.ones(40, bool))
    assert np.median(company.spread) > 5


@pytest.mark.parametrize("sure, frames", [(4, 0), (40, 1)])
def test_too_little_company_is_none(sure, frames):
    """Four sure points, or queries in as many images as there are points."""
    query = queries()
    known = np.arange(40) < sure
    company = by_company(query, np.arange(40) * frames, query, known)
    assert np.isinf(company.spread).all()
    assert np.isfinite(company.xy).all()


def test_no_points_and_few_points_are_left_alone():
    for count in (0, 1, 3):
        query = queries(count)
        company = by_company(query, np.zeros(count, np.int64), query, np.ones(count, bool))
        assert company.xy.shape == (count, 2)
        assert np.isinf(company.spread).all()
