"""Exact conditioning against dense algebra; members and spread; the solver's honesty."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from pipeline_spde.grids import Grid
from pipeline_spde.spde import (
    Coloured,
    ConvergenceError,
    Dynamics,
    SpdeParameters,
    SpdePrior,
    strips,
)
from pipeline_spde.spde.preconditioners import MILD, choose


def observations(prior, share=0.3, seed=0):
    """Random observations with variable errors and NaN wherever there is none."""
    generator = torch.Generator().manual_seed(seed)
    observed = torch.rand(prior.shape, generator=generator) < share
    y = torch.randn(prior.shape, generator=generator, dtype=torch.float64)
    std = 0.3 + torch.rand(prior.shape, generator=generator, dtype=torch.float64)
    return torch.where(observed, y, math.nan), observed, torch.where(observed, std, math.nan)


def dense_posterior(oracle, grid, prior, y, observed, std, entry=0, **settings):
    dense = oracle.dense_prior(grid, prior.theta, entry, **settings)
    ocean = prior.ocean

    def pick(field):
        return field[entry][..., ocean].reshape(-1).numpy()

    seen = pick(observed)
    weight = np.where(seen, pick(std) ** -2.0, 0)
    precision = dense.q + np.diag(weight)
    data = np.where(seen, pick(y), 0)
    return np.linalg.solve(precision, weight * data), np.linalg.inv(precision)


@pytest.mark.parametrize(
    ("name", "preconditioner"),
    [
        *(("plain", choice) for choice in ("jacobi", "time_block", "prior", "auto")),
        *(("memory", choice) for choice in ("jacobi", "prior")),
        *((name, "auto") for name in ("memory", "coloured")),
        *((name, "prior") for name in ("everything", "fourth_order_cn")),
    ],
)
def test_mean_equals_a_direct_solve(name, preconditioner, oracle):
    grid, options = oracle.grids["masked"], oracle.settings[name]
    prior = oracle.prior(grid, seed=2, batch=2, **options)
    y, observed, std = observations(prior)
    posterior = prior.condition(y, observed, std, preconditioner=preconditioner)
    mean = posterior.mean()
    for entry in range(2):
        expected, _ = dense_posterior(oracle, grid, prior, y, observed, std, entry, **options)
        ours = mean[entry][..., prior.ocean].flatten().numpy()
        np.testing.assert_allclose(ours, expected, atol=1e-6 * abs(expected).max())
    assert posterior.convergence.residual <= 1.01e-8
    assert not mean[..., ~prior.ocean].any()


@pytest.mark.parametrize("name", ["plain", "fourth_order", "memory", "coloured"])
@pytest.mark.parametrize("kind", ["masked", "odd", "periodic"])
def test_mean_and_standard_deviation_equal_dense_algebra(kind, name, oracle):
    """The mean to 1e-6; the variance of every cell within its law for few and for many members.

    Rao–Blackwell knows 1/d of a variance, d the diagonal of the precision, and estimates the rest:
    n times the estimate over the rest is χ² with n degrees of freedom; n is 12 or 200. A cell lies
    outside the interval once in a million. With memory, d is known to one percent only.
    """
    grid, options = oracle.grids[kind], oracle.settings[name]
    prior = oracle.prior(grid, seed=5, **options)
    y, observed, std = observations(prior, share=0.2)
    posterior = prior.condition(y, observed, std, preconditioner="prior")
    expected, covariance = dense_posterior(oracle, grid, prior, y, observed, std, **options)
    ours = posterior.mean()[..., prior.ocean].flatten().numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6 * abs(expected).max())
    known = 1 / np.diag(np.linalg.inv(covariance))
    rest, slack = np.diag(covariance) - known, (0.01 if "rho" in options else 1e-6) * known
    for count in (12, 200):
        found = posterior.std(count, torch.Generator().manual_seed(3))
        assert not found[..., ~prior.ocean].any()
        estimate = found[..., prior.ocean].flatten().numpy() ** 2 - known
        low, high = chi2.interval(1 - 1e-6, count)
        assert (estimate > low / count * rest - slack).all()
        assert (estimate < high / count * rest + slack).all()


def test_members_and_spread_match_the_dense_covariance(oracle):
    """2000 members: mean and correlations within 5 standard errors, std within 8 % (also 5)."""
    grid = oracle.grids["masked"]
    options = oracle.settings["memory"]
    prior = oracle.prior(grid, seed=3, **options)
    y, observed, std = observations(prior)
    posterior = prior.condition(y, observed, std, tolerance=1e-6, preconditioner="prior")
    expected, covariance = dense_posterior(oracle, grid, prior, y, observed, std, **options)
    truth = np.sqrt(np.diag(covariance))
    members = posterior.sample(2000, torch.Generator().manual_seed(5))[:, 0][..., prior.ocean]
    members = members.flatten(1).numpy()
    assert abs((members.mean(0) - expected) / truth * np.sqrt(2000)).max() < 5
    np.testing.assert_allclose(members.std(0), truth, rtol=0.08)
    pair = np.corrcoef(members.T)
    exact = covariance / truth[:, None] / truth[None, :]
    assert abs(pair - exact).max() < 0.12  # 5 standard errors of a correlation


def test_rao_blackwell_std_is_better_than_the_spread_of_the_same_members(oracle):
    grid = oracle.grids["odd"]
    prior = oracle.prior(grid, seed=4)
    y, observed, std = observations(prior, share=0.1)
    posterior = prior.condition(y, observed, std)
    _, covariance = dense_posterior(oracle, grid, prior, y, observed, std)
    truth = np.sqrt(np.diag(covariance))
    ours = posterior.std(200, torch.Generator().manual_seed(1)).flatten().numpy()
    members = posterior.sample(200, torch.Generator().manual_seed(1)).flatten(1).numpy()
    error, plain = (np.sqrt(np.mean((v / truth - 1) ** 2)) for v in (ours, members.std(0)))
    assert error < 0.05
    assert error < plain


def test_the_spread_of_two_runs_is_the_same_for_the_same_seed(oracle):
    prior = oracle.prior(oracle.grids["odd"])
    y, observed, std = observations(prior)
    a, b, c = (
        prior.condition(y, observed, std).sample(3, torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    )
    assert torch.equal(a, b)
    assert not torch.allclose(a, c)


@given(seed=st.integers(0, 50), share=st.sampled_from([0.0, 0.05, 0.5]))
@settings(max_examples=10, deadline=None)
def test_values_under_the_mask_never_matter(seed, share):
    grid = Grid.cartesian(4, 5, 10.0, 10.0, land=np.arange(20).reshape(4, 5) % 7 == 3)
    one = torch.ones(1, 3, 4, 5, dtype=torch.float64)
    theta = SpdeParameters(0.4 * one, None, None, 120 * one, 0 * one, 80 * one, 5 * one)
    generator = torch.Generator().manual_seed(seed)
    observed = torch.rand(one.shape, generator=generator) < share
    y, noise = torch.randn(2, *one.shape, dtype=torch.float64, generator=generator)
    prior = SpdePrior(grid, theta)
    a = prior.condition(torch.where(observed, y, math.nan), observed, 0.1).mean()
    b = prior.condition(torch.where(observed, y, noise * 1e6), observed, 0.1).mean()
    assert torch.equal(a, b)
    if not observed.any():
        assert not a.any()


def test_a_prior_mean_is_kept_where_nothing_is_observed(oracle):
    prior = oracle.prior(oracle.grids["odd"])
    y, observed, std = observations(prior)
    mean = torch.full(prior.shape, 0.7, dtype=torch.float64)
    nothing = prior.condition(y, torch.zeros_like(observed), 0.1, mean=mean)
    torch.testing.assert_close(nothing.mean(), mean)
    shifted = prior.condition(y + 0.7, observed, std, mean=mean).mean()
    torch.testing.assert_close(shifted, prior.condition(y, observed, std).mean() + 0.7)


@pytest.mark.slow
def test_the_mean_is_differentiable_in_data_errors_and_parameters(oracle):
    grid = Grid.cartesian(3, 4, 10.0, 9.0)
    theta = oracle.random_theta(grid, days=2)
    prior = SpdePrior(grid, theta)
    y, observed, std = observations(prior)
    y, std = torch.nan_to_num(y), torch.nan_to_num(std, nan=1.0)
    names = [name for name, _ in theta.items()]

    def mean(y, std, *fields):
        prior = SpdePrior(grid, type(theta)(**dict(zip(names, fields, strict=True))), rho=0.3)
        return prior.condition(y, observed, std, tolerance=1e-12, preconditioner="jacobi").mean()

    inputs = [y, std, *(v for _, v in theta.items())]
    assert torch.autograd.gradcheck(
        mean, [v.clone().requires_grad_() for v in inputs], fast_mode=True, rtol=1e-2
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("stiffness", "expected"), [(MILD, "jacobi"), (1.01 * MILD, "time_block")])
def test_the_choice_at_its_limit_does_not_depend_on_the_precision(stiffness, expected, dtype):
    """Cells of 7 km x 11 km and dt = 0.3 days: nothing is a whole number."""
    one = torch.ones(1, 3, 31, 37, dtype=dtype)
    h = stiffness / 0.3 / (7.0**-2 + 11.0**-2) * one
    theta = SpdeParameters(0.4 * one, None, None, h, 0 * one, h, 5 * one)
    assert choose(SpdePrior(Grid.cartesian(31, 37, 11.0, 7.0), theta, dt=0.3)) == expected


def test_large_grids_never_factor_all_days_at_once(oracle, monkeypatch):
    grid = oracle.grids["odd"]
    prior = oracle.prior(grid, noise=Coloured(15.0), rho=0.4)
    assert choose(prior) == "time_block"
    monkeypatch.setattr(strips, "LARGE", grid.shape[0] * grid.shape[1] - 1)
    assert choose(prior) == "prior"
    assert choose(oracle.prior(grid, rho=0.4)) == "jacobi"


def test_failure_to_converge_is_an_error_that_says_so(oracle):
    prior = oracle.prior(oracle.grids["odd"])
    y, observed, std = observations(prior)
    with pytest.raises(
        ConvergenceError, match=r"relative residual of .* in 2 iterations .* jacobi"
    ):
        prior.condition(y, observed, std, preconditioner="jacobi", max_iterations=2).mean()


def test_wrong_inputs_are_refused_with_the_reason(oracle):
    prior = oracle.prior(oracle.grids["odd"])
    y, observed, std = observations(prior)
    with pytest.raises(ValueError, match="boolean mask"):
        prior.condition(y, observed.float(), std)
    with pytest.raises(ValueError, match="positive and finite"):
        prior.condition(y, observed, -std)
    with pytest.raises(ValueError, match="observed values are not finite"):
        prior.condition(y, torch.ones_like(observed), 0.1)
    with pytest.raises(ValueError, match="the prior expects"):
        prior.condition(y[:, :2], observed, std)
    with pytest.raises(ValueError, match="unknown preconditioner"):
        prior.condition(y, observed, std, preconditioner="ilu").mean()


@pytest.mark.parametrize("name", ["plain", "everything"])
def test_single_precision_agrees_to_its_tolerance(name, oracle):
    grid, options = oracle.grids["masked"], oracle.settings[name]
    prior = oracle.prior(grid, seed=2, **options)
    y, observed, std = observations(prior)
    exact = prior.condition(y, observed, std, preconditioner="prior").mean()
    single = oracle.prior(grid, seed=2, dtype=torch.float32, **options)
    posterior = single.condition(y.float(), observed, std.float(), preconditioner="prior")
    mean = posterior.mean()
    assert mean.dtype == torch.float32
    assert posterior.convergence.residual <= 1.01e-6
    torch.testing.assert_close(mean.double(), exact, rtol=0, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.slow
def test_the_recommended_prior_converges_in_single_precision():
    """Coloured noise and memory on 20 x 20 cells: a float32 residual alone stalls at 1e-4."""
    grid = Grid.cartesian(20, 20, 12.0, 12.0)
    settings = {"noise": Coloured(45.0), "rho": 0.45}
    theta = SpdeParameters.from_physical(
        torch.full((1, 4, 20, 20), 0.2), 150.0, 120.0, 30.0, 14.0, dynamics=Dynamics(**settings)
    )
    prior = SpdePrior(grid, theta, **settings)
    generator = torch.Generator().manual_seed(0)
    x = prior.sample(1, generator)[0]
    observed = torch.rand(x.shape, generator=generator) < 0.05
    posterior = prior.condition(x, observed, 0.02)
    mean = posterior.mean()
    assert posterior.convergence.residual <= 1.01e-6
    assert float((mean - x)[observed].square().mean().sqrt()) < 0.03
    assert float((mean - x).square().mean()) < float(x.square().mean())
