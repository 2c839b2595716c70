"""The prior with given Θ of every day: exactly `SpdePrior`, and `spde_oi` where they are alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline_spde.baselines.spde_days import forecast_maps, smoothed_maps
from pipeline_spde.baselines.spde_model import ModeModel
from pipeline_spde.baselines.superobs import SuperObservations
from pipeline_spde.baselines.theta_model import ThetaModel
from pipeline_spde.grids import Grid
from pipeline_spde.spde import Bounds, Coloured, Dynamics, SpdeParameters, SpdePrior

from .spde_case import DAY, FIRST, NOISE, box, model_of, parameters_of, random_points

DAYS = FIRST + np.arange(7) * DAY


def theta_of(grid: Grid, dynamics: Dynamics, days: int = 7, seed: int = 4) -> SpdeParameters:
    """Anisotropic parameters and currents that differ from cell to cell and from day to day."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(1, 7, days, *grid.shape, dtype=torch.float64, generator=generator)
    bounds = Bounds(decorrelation_time=(4.0, 12.0), mean_range=(60.0, 160.0), largest_speed=25.0)
    return SpdeParameters.from_unconstrained(0.7 * raw, bounds, dynamics=dynamics)


def at_noon(grid: Grid, count: int, seed: int = 2) -> SuperObservations:
    """Observations of cell centres at noon, no cell twice a day."""
    rng = np.random.default_rng(seed)
    cells, places = np.argwhere(grid.ocean), []
    for day in range(DAYS.size):
        chosen = cells[rng.choice(len(cells), count, replace=False)]
        places += [(day, row, column) for row, column in chosen]
    day, row, column = np.array(places).T
    return SuperObservations(
        DAYS[day], np.zeros(day.size), row.astype(float), column.astype(float),
        np.stack([row, column], axis=1), 0.2 * rng.standard_normal(day.size),
        np.full(day.size, NOISE**2),
    )  # fmt: skip


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["white in time", "memory"])
def case(request):
    """Model in all modes, the window prior of the same law, observations, and these as fields."""
    land = np.zeros((5, 6), bool)
    land[0, :2] = land[3, 4] = True
    grid = box(shape=(5, 6), land=land)
    dynamics = Dynamics(1.0, 2, "backward_euler", Coloured(40.0, 1), request.param)
    model = ThetaModel(DAYS, theta_of(grid, dynamics), dynamics, grid, 10.0, 1e-6)
    assert model.basis.complete
    days = np.arange(DAYS[0] - DAY, DAYS[-1] + DAY)  # the filter starts on the day before
    prior = SpdePrior(grid, model.window(days), **vars(dynamics))
    seen = at_noon(grid, 9)
    y = torch.zeros(prior.shape, dtype=torch.float64)
    observed = torch.zeros(prior.shape, dtype=torch.bool)
    error = torch.ones(prior.shape, dtype=torch.float64)
    days_of = (seen.day - days[0]).astype(int)
    y[0, days_of, seen.cell[:, 0], seen.cell[:, 1]] = torch.as_tensor(seen.value)
    observed[0, days_of, seen.cell[:, 0], seen.cell[:, 1]] = True
    variance = torch.as_tensor(seen.variance + 1e-12)
    variance += torch.as_tensor(model.neglected[seen.cell[:, 0], seen.cell[:, 1]])
    error[0, days_of, seen.cell[:, 0], seen.cell[:, 1]] = variance.sqrt()
    return model, prior, seen, (y, observed, error)


def posterior(prior: SpdePrior, fields: tuple, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of all days by dense algebra, given the first days."""
    y, observed, error = fields
    observed = observed & (torch.arange(y.shape[1]) <= days)[None, :, None, None]
    wet = np.flatnonzero(np.tile(prior.grid.ocean.ravel(), y.shape[1]))
    precision = prior.precision()[0].toarray()[np.ix_(wet, wet)]
    weight = torch.where(observed, error**-2, 0.0).numpy().ravel()[wet]
    covariance = np.linalg.inv(precision + np.diag(weight))
    mean, variance = np.zeros(y.numel()), np.zeros(y.numel())
    mean[wet] = covariance @ (weight * y.numpy().ravel()[wet])
    variance[wet] = np.diag(covariance)
    shape = tuple(y.shape[1:])
    return mean.reshape(shape), variance.reshape(shape)


def test_maps_are_the_exact_posterior_of_the_window_prior(case) -> None:
    model, prior, seen, fields = case
    mean, std = smoothed_maps(model, seen, DAYS[0], DAYS[-1], DAYS)
    expected, variance = posterior(prior, fields, 7)
    np.testing.assert_allclose(mean, expected[1:], atol=1e-8)
    ocean = model.grid.ocean
    np.testing.assert_allclose(std[:, ocean] ** 2, variance[1:, ocean], rtol=1e-4)
    solved = prior.condition(*fields, tolerance=1e-12).mean()[0]
    np.testing.assert_allclose(mean, solved[1:], atol=1e-6)


def test_a_forecast_goes_on_with_the_parameters_of_its_last_day(case) -> None:
    """The mean knows no later ones: those of the window prior, held from the last day on."""
    model, prior, seen, fields = case
    mean, _ = forecast_maps(model, seen, DAYS[0], DAYS[5:6], 2)
    held = torch.tensor([0, 1, 2, 3, 4, 5, 5, 5])  # the step into a day has Θ of the day before
    theta = {name: value[:, held] for name, value in prior.theta.items()}
    frozen = SpdePrior(model.grid, SpdeParameters(**theta), **vars(model.dynamics))
    expected, _ = posterior(frozen, fields, 4)  # entry 4 is DAYS[3], the last observed day
    np.testing.assert_allclose(mean[0], expected[6], atol=1e-8)
    changed, _ = posterior(prior, fields, 4)
    assert np.abs(changed[6] - expected[6]).max() > 1e-4


def test_constant_parameters_are_those_of_spde_oi() -> None:
    grid = box(shape=(8, 9))
    parameters = parameters_of(grid)
    theta = parameters.theta()
    days = {name: value.expand(1, 7, -1, -1) for name, value in theta.items()}
    still = torch.zeros(1, 7, *grid.shape, dtype=torch.float64)
    every_day = SpdeParameters(m_east=still, m_north=still, **days)
    seen = random_points(grid, DAYS, 60)
    models: list[ModeModel] = [
        ThetaModel(DAYS, every_day, parameters.dynamics, grid, 70.0, 0.005),
        model_of(parameters, grid),
    ]
    for sweep in (
        lambda model: smoothed_maps(model, seen, DAYS[1], DAYS[5], DAYS[2:4]),
        lambda model: forecast_maps(model, seen, DAYS[0], DAYS[4:6], 1),
    ):
        (mean, std), (other, other_std) = (sweep(model) for model in models)
        np.testing.assert_allclose(mean, other, atol=1e-8)
        np.testing.assert_allclose(std, other_std, rtol=1e-5)


def test_days_beyond_the_ends_have_the_nearest_parameters() -> None:
    grid = box(shape=(5, 6))
    dynamics = Dynamics(1.0, 2, "backward_euler", Coloured(40.0, 1), 0.4)
    theta = theta_of(grid, dynamics)
    model = ThetaModel(DAYS, theta, dynamics, grid, 60.0, 0.005)
    for day, place in ((DAYS[0] - 5 * DAY, 0), (DAYS[2], 2), (DAYS[-1] + 3 * DAY, 6)):
        east, north = model.flow(model.start(DAYS[0]), day)
        np.testing.assert_array_equal(east, theta.m_east[0, place])
        np.testing.assert_array_equal(north, theta.m_north[0, place])
        assert torch.equal(model.start(day).covariance, model.start(DAYS[place]).covariance)
    window = model.window(np.arange(DAYS[0] - DAY, DAYS[3]))
    places = [0, 0, 0, 1]  # the start, then each step with the day it starts from
    assert torch.equal(window.tau[0], theta.tau[0, places])


def test_parameters_that_do_not_fit_their_days_are_refused() -> None:
    grid = box(shape=(5, 6))
    dynamics = Dynamics(1.0, 2, "backward_euler", Coloured(40.0, 1), 0.4)
    theta = theta_of(grid, dynamics)
    with pytest.raises(ValueError, match="parameters of 7 days for 6 days"):
        ThetaModel(DAYS[:6], theta, dynamics, grid, 60.0, 0.005)
    still = SpdeParameters(theta.kappa, None, None, theta.h_ee, theta.h_en, theta.h_nn, theta.tau)
    with pytest.raises(ValueError, match="currents are needed"):
        ThetaModel(DAYS, still, dynamics, grid, 60.0, 0.005)
