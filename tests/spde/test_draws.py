"""Draws of the prior day by day: the numbers of `sample`, and no more days in memory than two."""

from __future__ import annotations

import weakref

import pytest
import torch

from pipeline_spde.grids import Grid
from pipeline_spde.spde import Bounds, Coloured, Dynamics, SpdeParameters, SpdePrior


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_draws_are_the_days_of_sample(grid, settings, oracle):
    prior = oracle.prior(grid, seed=2, batch=2, days=5, **settings)
    sample = prior.sample(3, generator())
    days = list(prior.draws(3, generator()))
    assert len(days) == 5
    assert torch.equal(torch.stack(days, dim=-3), sample)


def test_the_numbers_of_a_seed_do_not_change():
    """Sums of draws as they were before they came day by day (made by that implementation)."""
    land = torch.zeros(6, 7, dtype=torch.bool)
    land[:2, :3] = True
    grid = Grid.cartesian(6, 7, 20.0, 25.0, land=land.numpy())
    for rho, expected in ((0.0, 0.08613387576509358), (0.5, 0.10329603701150024)):
        dynamics = Dynamics(1.0, 2, "backward_euler", Coloured(40.0, 1), rho)
        raw = 0.5 * torch.randn(2, 7, 9, 6, 7, dtype=torch.float64, generator=generator(0))
        theta = SpdeParameters.from_unconstrained(raw, Bounds(), dynamics=dynamics)
        draws = SpdePrior(grid, theta, **vars(dynamics)).sample(3, generator(1))
        assert float(draws.std()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.45])
def test_two_days_are_held_however_long_the_window(oracle, rho):
    prior = oracle.prior(oracle.grids["odd"], seed=1, days=12, rho=rho)
    alive: list[weakref.ref] = []
    most = 0
    for day in prior.draws(4, generator()):
        alive.append(weakref.ref(day))
        del day
        most = max(most, sum(ref() is not None for ref in alive))
    assert len(alive) == 12
    assert most <= 2


def test_days_beyond_those_asked_for_are_not_worked_out(oracle, monkeypatch):
    prior = oracle.prior(oracle.grids["odd"], seed=1, days=9, rho=0.3)
    solved: list[int] = []
    original = prior.propagator.solve_at

    def counted(step, rhs, transpose=False):
        solved.append(step)
        return original(step, rhs, transpose)

    monkeypatch.setattr(prior.propagator, "solve_at", counted)
    days = prior.draws(2, generator())
    for _ in range(3):
        next(days)
    assert solved == [0, 1]


def test_draws_keep_no_history_and_are_zero_on_land(oracle):
    grid = oracle.grids["masked"]
    theta = oracle.random_theta(grid, days=4)
    theta.kappa.requires_grad_()
    for day in SpdePrior(grid, theta, rho=0.4).draws(2, generator()):
        assert not day.requires_grad
        assert not day[..., torch.from_numpy(grid.land)].any()


def test_no_draw_at_all_is_refused(oracle):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        next(oracle.prior(oracle.grids["odd"]).draws(0))
