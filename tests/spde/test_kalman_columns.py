"""Several sets of values at the same points, and the smoother without its covariance."""

from __future__ import annotations

import pytest
import torch

from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, Dynamics, SpdeParameters
from pipeline_spde.spde.kalman import DayPoints, ModeFilter, ModeSmoother
from pipeline_spde.spde.modes import ModeBasis, ModePrior

DAYS, COLUMNS = 5, 3


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["white in time", "memory"])
def case(request):
    """Filter, steps with currents, and for each day points with three sets of values."""
    grid = Grid.cartesian(5, 6, 20.0, 18.0)
    dynamics = Dynamics(1.0, 2, "crank_nicolson", Coloured(25.0, 1), request.param)
    sigma = torch.full((1, 1, 5, 6), 0.15, dtype=torch.float64)
    theta = SpdeParameters.from_physical(sigma, 120.0, 90.0, 30.0, 9.0, dynamics=dynamics)
    basis = ModeBasis.of(grid, 0.0)
    prior = ModePrior(grid, theta, dynamics, basis)
    source = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=source)

    steps = [prior.step(10 * random(5, 6), 10 * random(5, 6)) for _ in range(DAYS)]
    fields = basis.fields.flatten(1).T
    points = []
    for day in range(DAYS):
        cells = torch.randperm(30, generator=source)[: 0 if day == 2 else 6]
        share = torch.rand(cells.numel(), dtype=torch.float64, generator=source)
        value = 0.2 * random(cells.numel(), COLUMNS)
        points.append(DayPoints(fields[cells], share, value, torch.full_like(share, 1e-3)))
    return ModeFilter(prior), steps, points


def sweep(case, column: int | None, covariance: bool = True) -> tuple[list, list]:
    """Analysed and smoothed means of every day, and the smoothed covariances."""
    kalman, steps, points = case
    state = kalman.start(COLUMNS if column is None else None)
    visits, found = [], []
    for step, some in zip(steps, points, strict=True):
        value = some.value if column is None else some.value[:, column]
        some = DayPoints(some.rows, some.share, value, some.variance)
        analysed, update = kalman.assimilate(state, step, some)
        visits.append((state, update, step))
        found.append(analysed.mean)
        state = kalman.predict(analysed, step)
    smoother = ModeSmoother(state.mean, kalman.rho, covariance)
    spread = []
    for number, (before, update, step) in enumerate(reversed(visits)):
        if number:
            smoother.step_back(step)
        smoother.observe(update)
        rows = before.covariance[: before.modes]
        found.append(smoother.mean(before.mean, rows))
        if covariance:
            spread.append(smoother.covariance(rows))
    return found, spread


def test_columns_are_what_each_set_of_values_gives_alone(case):
    together, spread = sweep(case, None)
    for column in range(COLUMNS):
        alone, own_spread = sweep(case, column)
        for both, one in zip(together, alone, strict=True):
            assert both.shape == (one.shape[0], COLUMNS)
            torch.testing.assert_close(both[:, column], one, rtol=1e-10, atol=1e-12)
        for both, one in zip(spread, own_spread, strict=True):
            torch.testing.assert_close(both, one, rtol=1e-10, atol=1e-12)


def test_the_smoother_without_covariance_gives_the_same_means(case):
    whole, spread = sweep(case, None)
    means, nothing = sweep(case, None, covariance=False)
    assert spread and not nothing
    for first, second in zip(whole, means, strict=True):
        assert torch.equal(first, second)


def test_a_start_with_columns_has_the_same_law(case):
    kalman = case[0]
    one, some = kalman.start(), kalman.start(4)
    assert some.mean.shape == (one.mean.shape[0], 4)
    assert some.modes == one.modes == 30
    assert torch.equal(some.covariance, one.covariance)
    some.mean.add_(1)  # the columns are memory of their own
    assert not kalman.start(4).mean.any()
