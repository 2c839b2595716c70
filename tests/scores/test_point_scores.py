"""CRPS of members and Gaussians, ranks and central intervals at single points."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.special import ndtr, ndtri

from pipeline_spde.scores.point_scores import (
    LEVELS,
    ensemble_crps,
    gaussian_crps,
    members_needed,
    of_gaussian,
    of_map,
    of_members,
)

HEIGHTS = st.floats(-3, 3, allow_subnormal=False)


def test_check_value_of_the_gaussian():
    assert float(gaussian_crps(truth=0.0, mean=0.0, std=1.0)) == pytest.approx(0.233695, abs=5e-7)


def test_check_values_of_members():
    members, truth = np.array([[0.0], [1.0], [2.0]]), np.array([0.5])
    standard = ensemble_crps(truth=truth, members=members, fair=False)
    assert standard[0] == pytest.approx(0.38889, abs=5e-6)
    assert ensemble_crps(truth=truth, members=members)[0] == pytest.approx(0.16667, abs=5e-6)


@given(HEIGHTS, HEIGHTS, st.floats(0.05, 3))
@settings(deadline=None, max_examples=50)
def test_gaussian_crps_is_the_integral_of_the_squared_distribution_error(truth, mean, std):
    def left(x):
        return ndtr((x - mean) / std) ** 2

    def right(x):
        return ndtr((mean - x) / std) ** 2

    integral = (
        quad(left, mean - 12 * std - 6, truth)[0] + quad(right, truth, mean + 12 * std + 6)[0]
    )
    crps = float(gaussian_crps(truth=truth, mean=mean, std=std))
    assert crps == pytest.approx(integral, abs=1e-6)


@given(arrays(np.float64, st.tuples(st.integers(2, 9), st.just(4)), elements=HEIGHTS), HEIGHTS)
@settings(deadline=None, max_examples=60)
def test_members_crps_is_the_double_sum_of_its_definition(members, truth):
    size = len(members)
    skill = np.abs(members - truth).mean(axis=0)
    pairs = np.abs(members[:, None] - members[None]).sum(axis=(0, 1))
    truths = np.full(4, truth)
    standard = ensemble_crps(truth=truths, members=members, fair=False)
    np.testing.assert_allclose(standard, skill - pairs / (2 * size**2), atol=1e-12)
    fair = ensemble_crps(truth=truths, members=members)
    np.testing.assert_allclose(fair, skill - pairs / (2 * size * (size - 1)), atol=1e-12)


@pytest.mark.parametrize(("fair", "method"), [(True, "fair"), (False, "ecdf")])
def test_members_crps_agrees_with_the_scores_library(rng, fair, method):
    from scores.probability import crps_for_ensemble

    members, truth = rng.standard_normal((12, 30)), rng.standard_normal(30)
    reference = crps_for_ensemble(
        xr.DataArray(members, dims=("member", "point")),
        xr.DataArray(truth, dims="point"),
        "member",
        method=method,
        preserve_dims="point",
    )
    ours = ensemble_crps(truth=truth, members=members, fair=fair)
    np.testing.assert_allclose(ours, reference, atol=1e-12)


def test_gaussian_crps_agrees_with_the_scores_library_on_a_large_ensemble(rng):
    from scores.probability import crps_for_ensemble

    quantiles = (np.arange(4000) + 0.5) / 4000
    truth, mean, std = rng.standard_normal((3, 20))
    std = 0.1 + np.abs(std)
    members = xr.DataArray(mean + std * ndtri(quantiles)[:, None], dims=("member", "point"))
    reference = crps_for_ensemble(
        members, xr.DataArray(truth, dims="point"), "member", method="ecdf", preserve_dims="point"
    )
    ours = gaussian_crps(truth=truth, mean=mean, std=std)
    np.testing.assert_allclose(ours, reference, atol=1e-3)


@pytest.mark.parametrize("size", [2, 5, 30])
def test_the_fair_crps_does_not_depend_on_the_number_of_members(rng, size):
    points = 40000
    truth, members = rng.standard_normal(points), rng.standard_normal((size, points))
    ideal = 1 / np.sqrt(np.pi)  # mean CRPS of N(0, 1) for truths drawn from it
    fair = ensemble_crps(truth=truth, members=members)
    assert fair.mean() == pytest.approx(ideal, abs=4 * fair.std() / np.sqrt(points))
    standard = ensemble_crps(truth=truth, members=members, fair=False)
    assert standard.mean() == pytest.approx(ideal * (1 + 1 / size), rel=0.02)


def test_without_spread_the_crps_is_the_absolute_error(rng):
    truth, mean = rng.standard_normal((2, 50))
    absolute = np.abs(truth - mean)
    np.testing.assert_array_equal(gaussian_crps(truth=truth, mean=mean, std=np.zeros(50)), absolute)
    np.testing.assert_array_equal(of_map(truth, mean).crps, absolute)
    equal = np.broadcast_to(mean, (7, 50))
    np.testing.assert_allclose(ensemble_crps(truth=truth, members=equal), absolute)


def test_one_member_is_refused():
    with pytest.raises(ValueError, match="two or more members, got 1"):
        ensemble_crps(truth=np.zeros(3), members=np.zeros((1, 3)))


def test_rank_is_the_number_of_members_below_the_truth(rng):
    truth, members = rng.standard_normal(40), rng.standard_normal((9, 40))
    scores = of_members(truth, members, rng)
    np.testing.assert_array_equal(scores.rank, (members < truth).sum(axis=0))
    assert scores.ranks == 10


def test_ties_are_broken_evenly_and_the_same_way_for_one_seed():
    truth, members = np.zeros(30000), np.zeros((4, 30000))
    members[0], members[1] = -1.0, 1.0  # two tied members: ranks 1, 2 and 3 are possible
    ranks = [of_members(truth, members, np.random.default_rng(5)).rank for _ in range(2)]
    np.testing.assert_array_equal(*ranks)
    counts = np.bincount(ranks[0], minlength=5)
    np.testing.assert_allclose(counts / 30000, [0, 1 / 3, 1 / 3, 1 / 3, 0], atol=0.01)


def test_intervals_need_the_members_that_their_tails_hold():
    assert [members_needed(level) for level in LEVELS] == [3, 9, 19, 39]


@pytest.mark.parametrize("size", [19, 24, 60])
def test_central_intervals_of_exchangeable_members_cover_what_they_claim(rng, size):
    points = 40000
    scores = of_members(rng.standard_normal(points), rng.standard_normal((size, points)), rng)
    assert set(scores.covered) == {level for level in LEVELS if size >= members_needed(level)}
    for level, covered in scores.covered.items():
        assert covered.mean() == pytest.approx(level, abs=0.01)
        gaussian = 2 * ndtri(0.5 + level / 2)
        assert scores.width[level].mean() == pytest.approx(gaussian, rel=0.13)


def test_members_and_truth_may_change_sign_together(rng):
    truth, members = rng.standard_normal(50), rng.standard_normal((20, 50))
    one, other = of_members(truth, members, rng), of_members(-truth, -members, rng)
    for level in one.covered:
        np.testing.assert_array_equal(one.covered[level], other.covered[level])
        np.testing.assert_allclose(one.width[level], other.width[level])
    np.testing.assert_allclose(one.crps, other.crps)
    np.testing.assert_array_equal(one.rank, 20 - other.rank)


def test_variance_of_members_includes_the_error_of_their_mean(rng):
    members = rng.standard_normal((5, 40000))
    scores = of_members(rng.standard_normal(40000), members, rng)
    np.testing.assert_allclose(scores.variance, 1.2 * members.var(axis=0, ddof=1))
    assert np.mean(scores.error**2) == pytest.approx(scores.variance.mean(), rel=0.02)


def test_a_consistent_gaussian_has_a_flat_pit_and_nominal_coverage(rng):
    std = rng.uniform(0.5, 2.0, 40000)
    scores = of_gaussian(std * rng.standard_normal(40000), np.zeros(40000), std)
    share = np.bincount(scores.rank, minlength=scores.ranks) / 40000
    np.testing.assert_allclose(share, 0.05, atol=0.005)
    for level in LEVELS:
        assert scores.covered[level].mean() == pytest.approx(level, abs=0.01)
        np.testing.assert_allclose(scores.width[level], 2 * std * ndtri(0.5 + level / 2))


def test_a_gaussian_without_spread_ranks_the_truth_outside_or_in_the_middle():
    scores = of_gaussian(np.array([-1.0, 0.0, 1.0]), np.zeros(3), np.zeros(3))
    assert scores.rank.tolist() == [0, 10, 19]
