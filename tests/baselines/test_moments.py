"""Moment matching: counting of pairs, noise, local deviations, and recovery of known parameters."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from pipeline_spde.baselines.moments import (
    EmpiricalCorrelation,
    FitBounds,
    StationaryFit,
    empirical_correlation,
    fit_stationary,
    local_std,
)
from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, Dynamics, SpdeParameters, SpdePrior

LAGS = np.arange(11)
TIME = 12.0
RHO = 0.45


def products_by_hand(value, observed, std, lags, grid, width, largest):
    """Sums over all pairs with loops: mean product, number and mean squared distance of bins."""
    y, x = np.meshgrid(
        np.arange(grid.shape[0]) * grid.dy_km,
        np.arange(grid.shape[1]) * grid.dx_km.mean(),
        indexing="ij",
    )
    distance = np.hypot(y.ravel()[:, None] - y.ravel(), x.ravel()[:, None] - x.ravel())
    bins = np.where(distance > 0, np.maximum(np.rint(distance / width), 1), 0).astype(int)
    bins[distance > largest] = -1
    z = np.where(observed & grid.ocean, value / std, 0).reshape(len(value), -1)
    mask = (observed & grid.ocean).reshape(len(value), -1)
    count = bins.max() + 1
    total, number, squares = (np.zeros((count, len(lags))) for _ in range(3))
    for column, lag in enumerate(lags):
        for t in range(len(value) - lag):
            products = z[t][:, None] * z[t + lag]
            both = mask[t][:, None] & mask[t + lag]
            for b in range(count):
                here = both & (bins == b)
                total[b, column] += products[here].sum()
                number[b, column] += here.sum()
                squares[b, column] += (distance[here] ** 2).sum()
    return total, number, np.sqrt(squares.sum(axis=1) / number.sum(axis=1))


@pytest.mark.parametrize("latlon", [False, True])
def test_products_and_pairs_are_those_counted_by_hand(latlon):
    rng = np.random.default_rng(0)
    land = np.zeros((6, 7), bool)
    land[1, 2] = land[4:, 5] = True
    grid = (
        Grid.latlon(50 + 0.2 * np.arange(6), 0.2 * np.arange(7), land=land)
        if latlon
        else Grid.cartesian(6, 7, 20.0, 15.0, land=land)
    )
    value = rng.standard_normal((9, 6, 7))
    observed = rng.random(value.shape) < 0.6
    value[~observed | land] = np.nan
    std = rng.uniform(0.5, 2, grid.shape)
    noise = rng.uniform(0, 0.1, value.shape)
    lags = [0, 1, 3]
    got = empirical_correlation(
        value, observed, std, lags, grid, noise_variance=noise, max_distance_km=70, bin_km=20
    )
    total, number, distance = products_by_hand(value, observed, std, lags, grid, 20, 70)
    mean = total / number
    share = (noise / std**2)[observed & grid.ocean].mean()
    mean[0, 0] -= share
    np.testing.assert_allclose(got.correlation, mean / mean[0, 0], rtol=1e-10, atol=1e-12)
    assert got.correlation[0, 0] == 1
    np.testing.assert_allclose([got.variance, got.noise], [mean[0, 0], share], rtol=1e-10)
    number[1:, 0] /= 2
    np.testing.assert_array_equal(got.pairs, number)
    np.testing.assert_allclose(got.distance_km, distance, rtol=1e-10)


def test_unknown_noise_leaves_the_origin_out_and_keeps_the_scale():
    rng = np.random.default_rng(1)
    grid = Grid.cartesian(8, 8, 10.0, 10.0)
    value = rng.standard_normal((20, 8, 8))
    args = (value, np.ones(value.shape, bool), np.full(grid.shape, 2.0), [0, 1], grid)
    unknown = empirical_correlation(*args, noise_variance=None, max_distance_km=40)
    known = empirical_correlation(*args, max_distance_km=40)
    assert np.isnan(unknown.correlation[0, 0])
    assert unknown.variance == 1
    np.testing.assert_allclose(known.variance, 0.25 * (value**2).mean(), rtol=1e-12)
    np.testing.assert_allclose(
        unknown.correlation.ravel()[1:], known.variance * known.correlation.ravel()[1:], atol=1e-14
    )


def test_local_deviation_is_without_noise_and_without_land():
    rng = np.random.default_rng(2)
    land = np.zeros((30, 40), bool)
    land[:, :12] = True
    grid = Grid.cartesian(30, 40, 10.0, 10.0, land=land)
    truth = np.broadcast_to(np.where(np.arange(40) < 28, 0.1, 0.3), grid.shape)
    observed = rng.random((400, 30, 40)) < 0.3
    noise = rng.choice([0.02, 0.2], observed.shape) ** 2
    value = truth * rng.standard_normal(observed.shape)
    value += np.sqrt(noise) * rng.standard_normal(observed.shape)
    value[~observed | land] = np.nan
    got = local_std(value, observed, noise, 3.0, grid)
    for columns, expected in ((slice(12, 19), 0.1), (slice(36, 40), 0.3)):
        error = got[:, columns] / expected - 1
        assert np.abs(error).max() < 0.25  # 300 samples of variance 5 times the signal's per cell
        assert abs(error.mean()) < 0.03
    raw = local_std(np.where(observed & ~land, 0.2, 0.0), observed, 0.0, 0.0, grid)
    np.testing.assert_allclose(raw, 0.2, rtol=1e-12)


def test_local_deviation_far_from_observations_is_the_domains_and_has_a_floor():
    grid = Grid.cartesian(40, 40, 10.0, 10.0)
    value = np.ones((4, 40, 40))
    value[:, :, 5:10] = 1e-3
    observed = np.zeros(value.shape, bool)
    observed[:, :, :10] = True
    got = local_std(value, observed, 0.0, 1.0, grid)
    domain = np.sqrt(0.5 * (1 + 1e-6))
    np.testing.assert_allclose(got[:, 30:], domain, rtol=1e-12)
    np.testing.assert_allclose(got[:, 9], 0.1 * domain, rtol=1e-3)


TRUE = {
    "order_1": StationaryFit(200.0, TIME, 45.0, RHO, 0.0, noise_order=1),
    "order_2": StationaryFit(160.0, TIME, 28.0, RHO, 0.0, noise_order=2),
    "fourth": StationaryFit(220.0, TIME, 0.0, 0.5, 0.0, alpha=4, noise_order=0),
    "crank_nicolson": StationaryFit(160.0, 8.0, 40.0, 0.3, 0.0, scheme="crank_nicolson"),
}


def physical(fit):
    values = [fit.range_km, fit.decorrelation_time_days, fit.noise_length_km, fit.rho]
    return np.array(values if fit.noise_order else [*values[:2], values[3]])


@pytest.mark.parametrize(
    "name",
    ["order_1", "fourth"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("order_2", "crank_nicolson")],
)
def test_the_exact_correlation_gives_the_parameters_back(name):
    true = TRUE[name]
    distance, lags = np.arange(0, 300, 20.0), np.arange(8)
    exact = EmpiricalCorrelation(
        distance, lags, true.correlation(distance, lags), np.full((15, 8), 1e6)
    )
    fit = fit_stationary(exact, alpha=true.alpha, noise_order=true.noise_order, scheme=true.scheme)
    np.testing.assert_allclose(physical(fit), physical(true), rtol=2e-3)
    assert fit.misfit < 1e-5
    assert fit.at_bounds == ()


def test_parameters_can_be_held_and_bounds_are_reported(caplog):
    true = TRUE["order_2"]
    distance, lags = np.arange(0, 300, 20.0), np.arange(8)
    exact = EmpiricalCorrelation(
        distance, lags, true.correlation(distance, lags), np.full((15, 8), 1e6)
    )
    held = fit_stationary(exact, noise_length_km=28.0, rho=RHO)
    assert (held.noise_length_km, held.rho) == (28.0, RHO)
    np.testing.assert_allclose(physical(held), physical(true), rtol=2e-3)
    rough = fit_stationary(exact, rho=0.0)
    assert rough.rho == 0.0
    assert rough.misfit > 50 * held.misfit
    assert rough.dynamics.rho == 0.0
    with caplog.at_level(logging.WARNING):
        short = fit_stationary(exact, bounds=FitBounds(range_km=(40.0, 100.0)))
    assert short.at_bounds == ("range_km",)
    assert "range_km" in caplog.text


def draw(noise, range_km, cell_km, cells, days):
    """A prior of σ = 1, less five cells of rim, where walls change it."""
    grid = Grid.cartesian(cells, cells, cell_km, cell_km)
    settings = {"noise": noise, "rho": RHO}
    theta = SpdeParameters.from_physical(
        torch.ones(1, 1, 1, 1), range_km, range_km, 0.0, TIME, dynamics=Dynamics(**settings)
    )
    fields = {name: value.expand(1, days, cells, cells) for name, value in theta.items()}
    prior = SpdePrior(grid, SpdeParameters(m_east=None, m_north=None, **fields), **settings)
    sample = prior.sample(1, torch.Generator().manual_seed(0))[0, 0]
    inner = slice(5, cells - 5)
    return sample[:, inner, inner].double().numpy(), grid.crop(inner, inner)


@pytest.mark.parametrize(
    ("noise", "range_km", "cell_km", "cells", "days"),
    [
        (Coloured(45.0, 1), 160.0, 16.0, 44, 120),
        pytest.param(Coloured(45.0, 1), 160.0, 12.0, 60, 200, marks=pytest.mark.slow),
        pytest.param(Coloured(45.0, 2), 300.0, 20.0, 60, 200, marks=pytest.mark.slow),
        pytest.param(Coloured(45.0, 1), 400.0, 20.0, 60, 200, marks=pytest.mark.slow),
    ],
)
def test_parameters_of_a_draw_are_recovered_from_maps_and_from_sparse_noisy_points(
    noise, range_km, cell_km, cells, days
):
    """One record of few eddies; the module's docstring has the rms errors over several draws."""
    value, grid = draw(noise, range_km, cell_km, cells, days)
    rng = np.random.default_rng(0)
    sparse = rng.random(value.shape) < 0.1
    noisy = np.where(sparse, value + 0.2 * rng.standard_normal(value.shape), np.nan)
    true = StationaryFit(range_km, TIME, noise.length_km, RHO, 0.0, noise_order=noise.order)
    distance, ones = np.arange(0, 320, 20.0), np.ones(grid.shape)
    full = np.ones_like(sparse)
    for maps, mask, variance, of_rho in ((value, full, 0.0, 0.10), (noisy, sparse, 0.04, 0.15)):
        empirical = empirical_correlation(maps, mask, ones, LAGS, grid, noise_variance=variance)
        fit = fit_stationary(empirical, noise_order=noise.order)
        np.testing.assert_allclose(fit.range_km, range_km, rtol=0.25)
        np.testing.assert_allclose(fit.decorrelation_time_days, TIME, rtol=0.2)
        np.testing.assert_allclose(fit.noise_length_km, noise.length_km, rtol=0.2)
        np.testing.assert_allclose(fit.rho, RHO, atol=of_rho)
        np.testing.assert_allclose(
            fit.correlation(distance, LAGS), true.correlation(distance, LAGS), atol=0.04
        )
        assert fit.at_bounds == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lags": [1, 2]}, "lags must hold 0"),
        ({"lags": [0, 5]}, "between 0 and 4"),
        ({"std": np.zeros((4, 6))}, "std must be"),
        ({"observed": np.zeros((5, 4, 6), bool)}, "0 ocean values are observed"),
        ({"value": np.full((5, 4, 6), np.nan)}, "0 are finite"),
        ({"value": np.ones((5, 6, 4))}, "value and observed must be"),
        ({"noise_variance": 2.0}, "no more than the 2 of their noise"),
        ({"max_distance_km": 5.0}, "need max_distance_km ≥ 10.0"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "value": np.ones((5, 4, 6)),
        "observed": np.ones((5, 4, 6), bool),
        "std": np.ones((4, 6)),
        "lags": [0, 1],
        "grid": Grid.cartesian(4, 6, 10.0, 10.0),
    } | change
    with pytest.raises(ValueError, match=message):
        empirical_correlation(**arguments)


def test_too_few_correlations_and_wrong_bounds_are_refused():
    few = EmpiricalCorrelation(
        np.array([0.0, 20.0]), np.array([0]), np.ones((2, 1)), np.ones((2, 1))
    )
    with pytest.raises(ValueError, match="1 correlations up to 150"):
        fit_stationary(few)
    with pytest.raises(ValueError, match="bounds of rho"):
        FitBounds(rho=(0.1, 1.0))
    with pytest.raises(ValueError, match="smoothing_cells"):
        local_std(
            np.ones((1, 4, 6)), np.ones((1, 4, 6), bool), 0.0, -1.0, Grid.cartesian(4, 6, 9, 9)
        )
