"""Gaussian CRPS, spread/skill and coverage."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr

from pipeline_spde.scores.probabilistic import COVERAGE_90, CRPS, SPREAD_SKILL, gaussian_crps
from pipeline_spde.scores.statistic import DailySums, Sample, unique_statistics


def test_check_value():
    assert float(gaussian_crps(truth=0.0, mean=0.0, std=1.0)) == pytest.approx(0.233695, abs=5e-7)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.05, 3))
@settings(deadline=None, max_examples=50)
def test_is_the_integral_of_the_squared_distribution_error(truth, mean, std):
    def left(x):
        return ndtr((x - mean) / std) ** 2

    def right(x):
        return ndtr((mean - x) / std) ** 2

    integral = (
        quad(left, mean - 12 * std - 6, truth)[0] + quad(right, truth, mean + 12 * std + 6)[0]
    )
    crps = float(gaussian_crps(truth=truth, mean=mean, std=std))
    assert crps == pytest.approx(integral, abs=1e-6)


def test_agrees_with_the_scores_library_on_a_large_ensemble(rng):
    from scores.probability import crps_for_ensemble

    quantiles = (np.arange(4000) + 0.5) / 4000
    from scipy.special import ndtri

    truth, mean, std = rng.standard_normal((3, 20))
    std = 0.1 + np.abs(std)
    members = xr.DataArray(mean + std * ndtri(quantiles)[:, None], dims=("member", "point"))
    reference = crps_for_ensemble(
        members, xr.DataArray(truth, dims="point"), "member", method="ecdf", preserve_dims="point"
    )
    ours = gaussian_crps(truth=truth, mean=mean, std=std)
    np.testing.assert_allclose(ours, reference, atol=1e-3)


def test_without_spread_it_is_the_absolute_error(rng):
    truth, mean = rng.standard_normal((2, 50))
    np.testing.assert_array_equal(
        gaussian_crps(truth=truth, mean=mean, std=np.zeros(50)), np.abs(truth - mean)
    )


def _sums(truth, mean, std):
    sample = Sample(truth, mean, np.ones(truth.shape, bool), std)
    statistics = unique_statistics((CRPS, SPREAD_SKILL, COVERAGE_90))
    return DailySums.of_maps(sample, np.arange(truth.shape[0]), statistics)


def test_a_consistent_estimate_is_recognised(rng):
    std = rng.uniform(0.02, 0.2, (10, 100, 100))
    mean = rng.standard_normal((10, 100, 100))
    truth = mean + std * rng.standard_normal((10, 100, 100))
    sums = _sums(truth, mean, std)
    assert float(SPREAD_SKILL.value(sums)) == pytest.approx(1.0, abs=0.01)
    assert float(COVERAGE_90.value(sums)) == pytest.approx(0.9, abs=0.005)
    narrow = _sums(truth, mean, 0.5 * std)
    assert float(SPREAD_SKILL.value(narrow)) == pytest.approx(0.5, abs=0.005)
    assert float(CRPS.value(narrow)) > float(CRPS.value(sums))
    wide = _sums(truth, mean, 2 * std)
    assert float(CRPS.value(wide)) > float(CRPS.value(sums))


def test_spread_skill_averages_before_the_root():
    truth = np.zeros((1, 2))
    std = np.array([[1.0, 3.0]])
    sums = _sums(truth, np.array([[1.0, 1.0]]), std)
    assert float(SPREAD_SKILL.value(sums)) == pytest.approx(np.sqrt(5))


def test_a_missing_standard_deviation_is_named():
    sample = Sample(np.zeros((1, 2)), np.zeros((1, 2)), np.ones((1, 2), bool))
    with pytest.raises(ValueError, match="standard deviation"):
        DailySums.of_maps(sample, np.arange(1), CRPS.statistics)
