"""RMSE, µ, σ and the statistic → mean → metric path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline_spde.scores import rmse
from pipeline_spde.scores.statistic import DailySums, Metric, Sample, Score

heights = arrays(np.float64, (4, 3, 5), elements=st.floats(-2, 2, allow_subnormal=False))


def test_vector_a(vector_a):
    truth, estimate = vector_a
    assert truth.mean() == pytest.approx(0.257215, abs=5e-7)
    assert truth.std() == pytest.approx(0.25, abs=5e-7)
    assert rmse.rmse_score(truth=truth, estimate=estimate) == pytest.approx(0.865547, abs=5e-7)
    daily = rmse.daily_score(truth=truth, estimate=estimate)
    assert daily.mean() == pytest.approx(0.865001, abs=5e-7)
    assert rmse.stability(truth=truth, estimate=estimate) == pytest.approx(0.007683, abs=5e-7)


def test_41_days_move_mu_as_documented(vector_a):
    truth, estimate = vector_a
    shift = rmse.rmse_score(truth=truth[:41], estimate=estimate[:41]) - 0.865547
    assert shift == pytest.approx(-0.0003, abs=5e-5)


def test_roles_of_truth_and_estimate_cannot_be_swapped_unnoticed(vector_a):
    truth, estimate = vector_a
    right = rmse.rmse_score(truth=truth, estimate=estimate)
    swapped = rmse.rmse_score(truth=estimate, estimate=truth)
    assert right - swapped == pytest.approx(0.000821, abs=1e-6)
    with pytest.raises(TypeError):
        rmse.rmse_score(truth, estimate)


@given(heights)
@settings(deadline=None, max_examples=50)
def test_the_score_of_the_truth_is_one(truth):
    truth = truth + 3.0  # away from zero: the score is relative to the RMS of the truth
    assert rmse.rmse_score(truth=truth, estimate=truth) == 1.0
    assert rmse.rmse(truth=truth, estimate=truth) == 0.0
    assert rmse.stability(truth=truth, estimate=truth) == 0.0


@given(heights, heights, st.floats(0.01, 100))
@settings(deadline=None, max_examples=50)
def test_the_score_does_not_depend_on_the_unit(truth, error, factor):
    truth = truth + 3.0
    one = rmse.rmse_score(truth=truth, estimate=truth + error)
    other = rmse.rmse_score(truth=factor * truth, estimate=factor * (truth + error))
    assert other == pytest.approx(one, rel=1e-9, abs=1e-12)


@given(heights, heights, arrays(np.bool_, (4, 3, 5)), st.floats(-1e6, 1e6))
@settings(deadline=None, max_examples=50)
def test_values_under_the_mask_never_matter(truth, estimate, where, garbage):
    truth = truth + 3.0
    where = where.copy()
    where[:, 0, 0] = True
    one = rmse.rmse(truth=truth, estimate=estimate, where=where)
    other = rmse.rmse(truth=truth, estimate=np.where(where, estimate, garbage), where=where)
    none = rmse.rmse(truth=truth, estimate=np.where(where, estimate, np.nan), where=where)
    assert one == other == none


def test_closed_forms():
    truth = np.full((2, 2, 2), 2.0)
    estimate = truth + np.array([1.0, 0.5])[:, None, None]
    assert rmse.rmse(truth=truth, estimate=estimate) == pytest.approx(np.sqrt(1.25 / 2))
    assert rmse.daily_score(truth=truth, estimate=estimate).tolist() == [0.5, 0.75]
    assert rmse.stability(truth=truth, estimate=estimate) == pytest.approx(0.125)


def test_what_cannot_be_scored_is_refused():
    truth = np.ones((2, 2, 2))
    with pytest.raises(ValueError, match="shape"):
        rmse.rmse(truth=truth, estimate=truth[:1])
    with pytest.raises(ValueError, match="not defined"):
        rmse.rmse_score(truth=0 * truth, estimate=truth)
    with pytest.raises(ValueError, match="not finite at 1"):
        holed = truth.copy()
        holed[0, 0, 0] = np.nan
        rmse.rmse(truth=truth, estimate=holed, where=np.ones((2, 2, 2), bool))
    with pytest.raises(ValueError, match=r"days \[1\]"):
        rmse.daily_score(truth=truth, estimate=np.where([[[True]], [[False]]], truth, np.nan))


def _sums(truth, estimate, days):
    sample = Sample.of(truth=truth, estimate=estimate)
    return DailySums.of_maps(sample, days, rmse.MU.statistics)


def test_regions_add_up_to_the_whole(rng):
    truth, estimate = rng.standard_normal((2, 6, 8, 10))
    estimate[2, 3, 4] = np.nan
    days = np.datetime64("2020-01-01") + np.arange(6)
    whole = _sums(truth, estimate, days)
    parts = _sums(truth[..., :3], estimate[..., :3], days) + _sums(
        truth[..., 3:], estimate[..., 3:], days
    )
    for metric in (rmse.MU, rmse.SIGMA, rmse.RMSE):
        assert metric.value(parts) == pytest.approx(metric.value(whole), rel=1e-12)
    with pytest.raises(ValueError, match="same days"):
        _ = whole + _sums(truth[:5], estimate[:5], days[:5])


def test_weights_count_days_as_often_as_repeating_them(rng):
    truth, estimate = rng.standard_normal((2, 5, 4, 4))
    days = np.datetime64("2020-01-01") + np.arange(5)
    sums = _sums(truth, estimate, days)
    weights = np.array([[2.0, 0.0, 1.0, 3.0, 0.0], [1, 1, 1, 1, 1]])
    repeated = np.repeat(np.arange(5), weights[0].astype(int))
    for metric in (rmse.MU, rmse.SIGMA, rmse.RMSE):
        values = metric.value(sums, weights)
        again = metric.value(_sums(truth[repeated], estimate[repeated], np.arange(6)))
        assert values[0] == pytest.approx(again, rel=1e-10)
        assert values[1] == pytest.approx(metric.value(sums), rel=1e-12)


def test_points_are_grouped_by_day_and_empty_days_are_kept():
    time = np.array(["2020-01-03T23:59", "2020-01-01T00:00", "2020-01-03T00:00"], "datetime64[ns]")
    sample = Sample.of(truth=np.array([1.0, 2.0, 3.0]), estimate=np.zeros(3))
    sums = DailySums.of_points(sample, time, rmse.MU.statistics)
    assert sums.count.tolist() == [1, 0, 2]
    assert sums.sums["squared_truth"].tolist() == [4.0, 0.0, 10.0]
    few = Metric("m", "1", rmse.MU.statistics, rmse.MU.function, "daily mean", minimum_count=2)
    assert few.daily(sums)[1].tolist() == [False, False, True]


def test_a_score_is_a_number_or_a_reason():
    assert Score(1.0, "m").to_json()["interval"] == [None, None]
    with pytest.raises(ValueError, match="value or a reason"):
        Score(None, "m")
    with pytest.raises(ValueError, match="finite"):
        Score(float("nan"), "m")
