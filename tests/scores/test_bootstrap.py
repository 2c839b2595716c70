"""Moving blocks, intervals, paired comparison."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from pipeline_spde.scores.bootstrap import (
    Resampling,
    moving_block_weights,
    paired_change,
    percentile_interval,
    score_with_interval,
)
from pipeline_spde.scores.rmse import MU, RMSE, SIGMA
from pipeline_spde.scores.statistic import DailySums, Metric


def sums_of(values, name="value"):
    values = np.asarray(values, dtype=float)
    days = np.datetime64("2020-01-01") + np.arange(values.size)
    return DailySums(days, np.ones(values.size), {name: values})


MEAN = Metric("mean", "1", (), lambda means: means["value"])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_every_draw_is_as_long_as_the_series(size, block, seed):
    block = min(block, size)
    weights = moving_block_weights(size, block, 20, np.random.default_rng(seed))
    assert weights.shape == (20, size)
    assert (weights.sum(axis=1) == size).all()


def test_blocks_are_of_neighbours():
    weights = moving_block_weights(12, 6, 200, np.random.default_rng(0))
    # two blocks of six neighbours: at most two runs of counted days, none shorter than six
    for row in weights > 0:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        assert (edges[1::2] - edges[::2] >= 6).all()
    with pytest.raises(ValueError, match="block"):
        moving_block_weights(3, 4, 1, np.random.default_rng(0))


def test_the_seed_decides():
    one, same, other = (Resampling(50, 5, 0.9, seed) for seed in (1, 1, 2))
    days = [resampling.over_days(30).weights for resampling in (one, same, other)]
    assert np.array_equal(days[0], days[1])
    assert not np.array_equal(days[0], days[2])
    assert not np.array_equal(days[0], one.over_rows(30, 5).weights)


def test_too_few_blocks_give_no_interval_and_say_so():
    score = score_with_interval(MEAN, sums_of([1.0, 2.0, 3.0]), Resampling(100, 2, 0.95, 0))
    assert score.value == 2.0
    assert score.interval == (None, None)
    assert "fewer than two blocks of 2 days" in score.interval_method


def test_intervals_of_independent_days_agree_with_the_normal_theory(rng):
    values = rng.standard_normal(400)
    score = score_with_interval(MEAN, sums_of(values), Resampling(4000, 1, 0.95, 3))
    half_width = 1.96 * values.std() / 20
    low, high = score.interval
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.06)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.1 * half_width)


def test_unresolved_draws_open_the_interval():
    samples = np.concatenate([np.linspace(1, 2, 90), np.full(10, np.inf)])
    assert percentile_interval(samples, 0.9)[1] is None
    low, high = percentile_interval(samples, 0.6)
    assert 1 < low < high < 2
    assert percentile_interval(np.full(10, np.nan), 0.9) == (None, None)


@pytest.mark.parametrize("keywords", [{"draws": 0}, {"block_days": 0}, {"confidence": 1.0}])
def test_impossible_settings_are_refused(keywords):
    with pytest.raises(ValueError, match="must"):
        Resampling(**({"draws": 10, "block_days": 2, "confidence": 0.9, "seed": 0} | keywords))


def test_paired_change_is_exact_and_paired(rng):
    difficulty = rng.uniform(0.5, 2.0, 42) ** 2  # both methods fail on the same days
    reference = sums_of(difficulty, "squared_error")
    better = sums_of(0.81 * difficulty, "squared_error")
    change = paired_change(
        estimate=better, reference=reference, resampling=Resampling(500, 7, 0.95, 0)
    )
    assert change["relative_rmse"]["value"] == pytest.approx(-0.1)
    assert change["relative_rmse"]["interval"] == pytest.approx([-0.1, -0.1])
    assert change["better"] is True
    back = paired_change(
        estimate=reference, reference=better, resampling=Resampling(500, 7, 0.95, 0)
    )
    assert back["relative_rmse"]["value"] == pytest.approx(1 / 0.9 - 1)
    assert back["better"] is False
    assert back["mse_difference"]["value"] == pytest.approx(0.19 * difficulty.mean())
    other_cells = DailySums(reference.days, 2 * reference.count, reference.sums)
    with pytest.raises(ValueError, match="same cells"):
        paired_change(
            estimate=other_cells, reference=reference, resampling=Resampling(10, 7, 0.95, 0)
        )


def test_a_difference_within_the_noise_is_not_called():
    rng = np.random.default_rng(5)
    one, two = (sums_of(rng.uniform(0.5, 1.5, 42), "squared_error") for _ in range(2))
    change = paired_change(estimate=one, reference=two, resampling=Resampling(500, 7, 0.95, 0))
    assert change["better"] is None


def test_intervals_hold_the_value_for_all_map_metrics(rng):
    truth = 1 + rng.standard_normal((42, 5)) ** 2
    sums = DailySums(
        np.datetime64("2020-01-01") + np.arange(42),
        np.full(42, 5.0),
        {"squared_truth": truth.sum(1), "squared_error": 0.1 * rng.chisquare(3, 42)},
    )
    for metric in (MU, RMSE, SIGMA):
        score = score_with_interval(metric, sums, Resampling(500, 3, 0.95, 1))
        low, high = score.interval
        assert low < score.value < high


def test_few_blocks_widen_the_interval_to_that_of_student():
    """For normal samples the expanded percentiles are mean ± t s √(n/(n−1))."""
    samples = ndtri((np.arange(200_000) + 0.5) / 200_000)
    low, high = percentile_interval(samples, 0.95, blocks=6)
    assert high == pytest.approx(2.5706 * np.sqrt(6 / 5), rel=1e-3)
    assert low == pytest.approx(-high, rel=1e-3)
    assert percentile_interval(samples, 0.95)[1] == pytest.approx(1.96, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memory", "days", "block", "least", "most"),
    [(0.0, 200, 1, 0.92, 0.975), (0.5, 200, 10, 0.88, 0.97), (0.7, 42, 7, 0.85, 0.95)],
)
def test_coverage_on_autoregressive_series(memory, days, block, least, most):
    """How often 95 % intervals hold the mean; docs/scores.md quotes these numbers."""
    rng = np.random.default_rng(11)
    noise = rng.standard_normal((600, days + 20))
    series = np.zeros_like(noise)
    for day in range(1, days + 20):
        series[:, day] = memory * series[:, day - 1] + noise[:, day]
    hits = 0
    for number, values in enumerate(series[:, 20:]):
        score = score_with_interval(MEAN, sums_of(values), Resampling(1000, block, 0.95, number))
        hits += score.interval[0] <= 0 <= score.interval[1]
    assert least < hits / 600 < most
