"""Rank histograms, binned spread and skill, retained points, correlations of spread and error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, spearmanr

from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.calibration import RETAINED, binned, decimated, rank_histogram, retained
from pipeline_spde.scores.probabilistic import Verification
from pipeline_spde.scores.spread_correlation import correlations

RESAMPLING = Resampling(200, 5, 0.95, 0)
DAYS = 30
SIDE = 24  # cells of 0.25 degrees: boxes of 1 degree hold 4 x 4


def verification(spread, error, rank=None, ranks=21, seed=0):
    """A verification on DAYS x SIDE x SIDE cells from arrays of that many points."""
    row, lat, lon = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(DAYS), 33 + 0.25 * np.arange(SIDE), -65 + 0.25 * np.arange(SIDE),
            indexing="ij",
        )
    )  # fmt: skip
    if rank is None:
        rank = np.random.default_rng(seed).integers(0, ranks, row.size)
    points = {
        "spread": spread.astype(np.float32),
        "error": error.astype(np.float32),
        "rank": rank.astype(np.int32),
        "row": row.astype(np.int32),
        "lat": lat.astype(np.float32),
        "lon": lon.astype(np.float32),
    }
    days = np.datetime64("2012-10-22") + np.arange(DAYS)
    count = np.full(DAYS, float(SIDE**2))
    sums = {
        name: np.bincount(row, values**2, DAYS)
        for name, values in (("variance", points["spread"]), ("squared_error", points["error"]))
    }
    return Verification(days, count, sums, points=points, ranks=ranks)


@pytest.fixture
def consistent(rng):
    """Errors with the spread that is claimed, which varies by a factor of about 4."""
    spread = 0.05 * np.exp(rng.uniform(-0.7, 0.7, DAYS * SIDE**2))
    return verification(spread, spread * rng.standard_normal(spread.size))


def test_one_point_is_independent_in_each_box_of_a_degree_and_ten_days(consistent):
    index = decimated(consistent)
    assert index.size == 6 * 6 * 3
    chosen = {name: consistent.points[name][index] for name in ("row", "lat", "lon")}
    assert np.unique(chosen["row"]).tolist() == [0, 10, 20]
    np.testing.assert_allclose(np.diff(np.unique(chosen["lat"])), 1.0, atol=1e-3)
    np.testing.assert_allclose(np.diff(np.unique(chosen["lon"])), 1.0, atol=1e-3)


def test_equal_ranks_are_flat_and_tested_with_independent_points_only(consistent):
    found = rank_histogram(consistent)
    rank = consistent.points["rank"]
    assert found["counts"] == np.bincount(rank, minlength=21).tolist()
    index = np.abs(np.bincount(rank) / rank.size - 1 / 21).sum()
    assert found["reliability_index"] == pytest.approx(index)
    assert found["reliability_index"] < found["reliability_index_if_flat"]
    test = found["chi_square"]
    assert (found["independent_points"], test["groups"]) == (108, 20)
    group = np.arange(21) * 20 // 21
    observed = np.bincount(group[rank[decimated(consistent)]], minlength=20)
    reference = chisquare(observed, 108 / 21 * np.bincount(group))
    assert test["statistic"] == pytest.approx(reference.statistic)
    assert test["p_value"] == pytest.approx(reference.pvalue)


def test_copies_of_one_point_do_not_make_a_histogram_significant(rng):
    """Ranks equal within each box: 17 000 points of a flat histogram, 108 of them independent."""
    p_values = []
    for seed in range(40):
        boxes = np.random.default_rng(seed).integers(0, 21, (3, 6, 6))
        rank = np.kron(boxes, np.ones((10, 4, 4), int)).ravel()
        found = rank_histogram(verification(np.ones(rank.size), np.ones(rank.size), rank))
        p_values.append(found["chi_square"]["p_value"])
        naive = chisquare(np.array(found["counts"])).pvalue
        assert naive < 1e-10
    assert np.mean(np.array(p_values) < 0.05) < 0.2
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.15)


def test_the_chi_square_of_flat_histograms_rejects_as_often_as_it_says():
    shape = DAYS * SIDE**2
    tests = [
        rank_histogram(verification(np.ones(shape), np.ones(shape), seed=seed))["chi_square"]
        for seed in range(100)
    ]
    p_values = np.array([test["p_value"] for test in tests])
    assert p_values.mean() == pytest.approx(0.5, abs=0.12)
    assert np.mean(p_values < 0.1) < 0.2


def test_few_points_have_no_chi_square_but_a_reason(consistent):
    few = {name: values[:9] for name, values in consistent.points.items()}
    found = rank_histogram(Verification(consistent.days, consistent.count, points=few, ranks=21))
    assert found["chi_square"]["p_value"] is None
    assert "too few" in found["chi_square"]["reason"]


def test_the_line_of_a_consistent_spread_has_slope_one(consistent):
    found = binned(consistent, RESAMPLING)
    assert found["slope"]["value"] == pytest.approx(1.0, abs=0.04)
    assert found["intercept"]["value"] == pytest.approx(0.0, abs=0.002)
    low, high = found["slope"]["interval"]
    assert low < found["slope"]["value"] < high
    assert high - low < 0.2
    assert found["count"] == [DAYS * SIDE**2 // 20] * 20
    assert np.all(np.diff(found["spread"]) > 0)
    pooled = np.sqrt(np.mean(np.square(found["rmse"])))
    assert pooled == pytest.approx(np.sqrt(np.mean(consistent.points["error"] ** 2)), rel=1e-5)


def test_a_global_ratio_of_one_can_hide_a_spread_that_says_nothing(rng, consistent):
    mixed = verification(rng.permutation(consistent.points["spread"]), consistent.points["error"])
    found = binned(mixed, RESAMPLING)
    assert found["slope"]["value"] == pytest.approx(0.0, abs=0.05)
    same = np.sqrt(np.mean(np.square(found["spread"])) / np.mean(np.square(found["rmse"])))
    assert same == pytest.approx(1.0, abs=0.02)
    assert abs(correlations(mixed, RESAMPLING)["error_spread_correlation"].value) < 0.02


def test_retained_points_end_at_the_whole_rmse(consistent, rng):
    found = retained(consistent)
    rmse = np.sqrt(np.mean(consistent.points["error"] ** 2))
    assert found["share"] == list(RETAINED)
    assert (found["rmse"][-1], found["best"][-1]) == pytest.approx((rmse, rmse), rel=1e-6)
    assert np.all(np.diff(found["rmse"]) > 0)
    assert np.all(np.array(found["best"]) <= np.array(found["rmse"]) + 1e-12)
    quarter = consistent.points["spread"] <= np.quantile(consistent.points["spread"], 0.25)
    expected = np.sqrt(np.mean(consistent.points["error"][quarter] ** 2))
    assert found["rmse"][4] == pytest.approx(expected, rel=1e-3)
    knowing = verification(np.abs(consistent.points["error"]) + 1e-9, consistent.points["error"])
    assert retained(knowing)["rmse"] == pytest.approx(found["best"])


def test_correlations_are_spearmans_and_pearsons(consistent):
    spread, size = consistent.points["spread"], np.abs(consistent.points["error"])
    found = correlations(consistent, RESAMPLING)
    whole = found["error_spread_correlation"]
    assert whole.value == pytest.approx(spearmanr(spread, size).statistic)
    low, high = whole.interval
    assert low < whole.value < high
    by_day = zip(spread.reshape(DAYS, -1), size.reshape(DAYS, -1), strict=True)
    expected = np.mean([spearmanr(s, e).statistic for s, e in by_day])
    assert found["error_spread_correlation_within_days"].value == pytest.approx(expected)
    daily = [np.sqrt(np.mean(a.reshape(DAYS, -1) ** 2, axis=1)) for a in (spread, size)]
    pearson = np.corrcoef(*daily)[0, 1]
    assert found["daily_spread_error_correlation"].value == pytest.approx(pearson, abs=1e-6)


def test_tied_spreads_share_their_rank(rng):
    spread = rng.integers(1, 4, DAYS * SIDE**2) / 10
    error = spread * rng.standard_normal(spread.size)
    found = correlations(verification(spread, error), RESAMPLING)["error_spread_correlation"]
    assert found.value == pytest.approx(spearmanr(spread, np.abs(error)).statistic)


def test_a_spread_that_grows_in_time_with_the_error_is_seen_day_by_day(rng):
    level = np.repeat(np.linspace(0.02, 0.1, DAYS), SIDE**2)
    found = correlations(
        verification(
            level * rng.uniform(0.9, 1.1, level.size), level * rng.standard_normal(level.size)
        ),
        RESAMPLING,
    )
    assert found["daily_spread_error_correlation"].value > 0.98
    assert abs(found["error_spread_correlation_within_days"].value) < 0.1


def test_a_constant_spread_gives_reasons_in_place_of_numbers(rng):
    same = verification(np.full(DAYS * SIDE**2, 0.1), rng.standard_normal(DAYS * SIDE**2))
    for score in correlations(same, RESAMPLING).values():
        assert score.value is None
        assert "same everywhere" in score.reason
    assert binned(same, RESAMPLING)["slope"]["reason"] == (
        "the spread or the error is the same everywhere"
    )
    curve = retained(same)["rmse"]
    assert len(set(curve)) == 1
