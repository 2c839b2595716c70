"""Basis, filter and smoother in modes on more grids: coasts, circles, points between noons."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, Dynamics, SpdeParameters, SpdePrior
from pipeline_spde.spde.kalman import DayPoints, ModeFilter, ModeSmoother
from pipeline_spde.spde.modes import ModeBasis, ModePrior

pytestmark = pytest.mark.slow

NOISE = 0.03
SETTINGS = {
    "white in time": Dynamics(1.0, 2, "backward_euler", Coloured(25.0, 1), 0.0),
    "memory": Dynamics(1.0, 2, "backward_euler", Coloured(25.0, 2), 0.6),
    "crank_nicolson": Dynamics(1.0, 2, "crank_nicolson", Coloured(25.0, 1), 0.0),
    "crank_nicolson with memory": Dynamics(1.0, 2, "crank_nicolson", Coloured(25.0, 1), 0.5),
}
KINDS = ("plane", "masked", "circle", "globe")


@pytest.fixture(params=SETTINGS)
def dynamics(request):
    return SETTINGS[request.param]


def grid_of(kind: str) -> Grid:
    """All water; coasts in the south; a channel around a circle; islands on a globe."""
    land = np.zeros((6, 7), bool)
    if kind == "plane":
        return Grid.cartesian(5, 6, 20.0, 18.0)
    if kind == "circle":
        return Grid.cartesian(5, 6, 20.0, 18.0, periodic=True)
    if kind == "masked":
        land[0, :2] = land[2:4, 3] = land[5, 6] = True
        return Grid.latlon(-40 + 0.25 * np.arange(6), -60 + 0.25 * np.arange(7), land=land)
    land[[1, 4], [0, 6]] = True
    return Grid.latlon(np.linspace(-50, 50, 6), np.arange(7) * 360 / 7, land=land, periodic=True)


def theta_of(grid: Grid, dynamics: Dynamics, seed: int | None = None) -> SpdeParameters:
    """Ranges of a few cells; anisotropic, with σ that differs from cell to cell, given a seed."""
    sigma = torch.full((1, 1, *grid.shape), 0.15, dtype=torch.float64)
    size, across = 6.0 * grid.dy_km, 1.0
    if seed is not None:
        sigma = torch.as_tensor(np.random.default_rng(seed).uniform(0.1, 0.2, sigma.shape))
        across = 0.75
    cell = (grid.dy_km, float(grid.dx_km.mean())) if dynamics.noise == "white" else None
    return SpdeParameters.from_physical(
        sigma, size, across * size, 30.0, 9.0, dynamics=dynamics, cell_km=cell
    )


def world(kind: str, dynamics: Dynamics, days: int, seed: int = 0, currents: float = 10.0):
    """A prior with currents that change from day to day, and the same in all its modes."""
    grid = grid_of(kind)
    theta = theta_of(grid, dynamics, seed)
    generator = torch.Generator().manual_seed(seed)
    shape = (1, days, *grid.shape)
    east, north = (
        currents * torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2)
    )
    every_day = {name: field.expand(shape) for name, field in theta.items()}
    prior = SpdePrior(
        grid, SpdeParameters(m_east=east, m_north=north, **every_day), **vars(dynamics)
    )
    basis = ModeBasis.of(grid, 0.0)
    modes = ModePrior(grid, theta, dynamics, basis)
    # day t of the prior's parameters is the step into t; the last step leads out of the window
    steps = [modes.step(east[0, t], north[0, t]) for t in range(1, days)] + [modes.step()]
    wet = np.flatnonzero(np.tile(grid.ocean.ravel(), days))
    precision = prior.precision()[0].toarray()
    covariance = np.zeros_like(precision)
    covariance[np.ix_(wet, wet)] = np.linalg.inv(precision[np.ix_(wet, wet)])
    return SimpleNamespace(
        grid=grid, prior=prior, modes=modes, basis=basis, steps=steps, covariance=covariance
    )


def random_points(grid: Grid, days: int, count: int, seed: int):
    """For each day but one: weights over the cells, shares after noon, values."""
    rng = np.random.default_rng(seed)
    cells, points = np.flatnonzero(grid.ocean.ravel()), []
    for day in range(days):
        some = 0 if day == 2 else count
        weight = np.zeros((some, grid.ocean.size))
        for row in weight:
            row[rng.choice(cells, 3, replace=False)] = rng.dirichlet(np.ones(3))
        share = rng.uniform(0, 1, some) * (day < days - 1)
        points.append((weight, share, 0.2 * rng.standard_normal(some)))
    return points


def as_modes(basis: ModeBasis, weight, share, value) -> DayPoints:
    rows = torch.as_tensor(weight) @ basis.fields.flatten(1).T
    variance = torch.full((len(value),), NOISE**2, dtype=torch.float64)
    return DayPoints(rows, torch.as_tensor(share), torch.as_tensor(value), variance)


def dense_posterior(w, points, until: int):
    """Mean and variance of all cells and days by kriging with the points up to a day."""
    days, size = len(w.steps), w.grid.ocean.size
    rows, values = [], []
    for day, (weight, share, value) in enumerate(points[: until + 1]):
        block = np.zeros((len(value), days, size))
        block[:, day] = (1 - share)[:, None] * weight
        if day + 1 < days:
            block[:, day + 1] = share[:, None] * weight
        rows.append(block.reshape(len(value), days * size))
        values.append(value)
    h, y = np.concatenate(rows), np.concatenate(values)
    cross = h @ w.covariance
    gain = np.linalg.solve(cross @ h.T + NOISE**2 * np.eye(len(y)), cross)
    variance = np.diag(w.covariance) - np.einsum("ij,ij->j", gain, cross)
    shape = (days, *w.grid.shape)
    return (gain.T @ y).reshape(shape), variance.reshape(shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cells", [0.0, 4.5])
def test_modes_are_orthonormal_on_the_ocean_and_zero_on_land(kind, cells):
    grid = grid_of(kind)
    basis = ModeBasis.of(grid, cells * grid.dy_km)
    flat = basis.fields.flatten(1).numpy()
    gram = (flat * grid.area_km2.ravel()) @ flat.T
    np.testing.assert_allclose(gram, np.eye(basis.count), atol=1e-8)
    assert not flat[:, grid.land.ravel()].any()
    assert basis.count == grid.ocean.sum() if cells == 0 else 1 < basis.count < grid.ocean.sum()


@pytest.mark.parametrize(("ny", "nx"), [(5, 6), (6, 5), (2, 7), (7, 3)])
def test_a_circle_of_any_number_of_columns_is_spanned(ny, nx):
    grid = Grid.cartesian(ny, nx, 20.0, 18.0, periodic=True)
    assert ModeBasis.of(grid, 0.0).count == ny * nx


def test_modes_beside_much_land_stay_orthonormal():
    land = np.add.outer(np.arange(14), np.arange(16)) > 12  # a triangle of water
    grid = Grid.cartesian(14, 16, 20.0, 20.0, land=land)
    for wavelength in (0.0, 60.0, 120.0):
        basis = ModeBasis.of(grid, wavelength)
        gram = basis.project(basis.fields)
        assert (gram - torch.eye(basis.count, dtype=torch.float64)).abs().max() < 1e-6


@pytest.mark.parametrize("wavelength", [70.0, 100.0, 151.0])
def test_modes_of_a_circle_are_whole_waves_twice_each(wavelength):
    ny, nx, dy, dx = 14, 15, 20.0, 18.0
    count = 0
    for row in range(ny):
        for column in range(nx):
            inverse = math.hypot(row / (2 * ny * dy), (column + 1) // 2 / (nx * dx))
            count += inverse * wavelength <= 1
    grid = Grid.cartesian(ny, nx, dy, dx, periodic=True)
    assert ModeBasis.of(grid, wavelength).count == count


def test_a_kept_wave_is_in_the_span_and_a_shorter_one_is_orthogonal_to_it():
    basis = ModeBasis.of(Grid.cartesian(6, 24, 20.0, 10.0, periodic=True), 79.0)
    angle = 2 * math.pi * torch.arange(24, dtype=torch.float64) / 24
    for waves, share in ((2, 1.0), (3, 1.0), (4, 0.0), (7, 0.0)):  # 120, 80, 60 and 34 km
        for phase in (0.0, 1.1):
            wave = torch.cos(waves * angle + phase).expand(6, 24)
            back = basis.expand(basis.project(wave))
            torch.testing.assert_close(back, share * wave, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_projecting_an_expanded_field_gives_its_modes_back(kind):
    grid = grid_of(kind)
    basis = ModeBasis.of(grid, 4.5 * grid.dy_km)
    generator = torch.Generator().manual_seed(3)
    modes = torch.randn(4, 3, basis.count, dtype=torch.float64, generator=generator)
    fields = basis.expand(modes)
    assert fields.shape == (4, 3, *grid.shape)
    fields[..., torch.as_tensor(grid.land)] = math.nan  # land is never read
    torch.testing.assert_close(basis.project(fields), modes, rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_points_between_noons_are_filtered_and_smoothed_exactly(kind, dynamics):
    days = 5
    w = world(kind, dynamics, days, seed=5)
    points = random_points(w.grid, days, 7, seed=6)
    kalman, n = ModeFilter(w.modes), w.basis.count
    state, visits = kalman.first, []
    for day, step in enumerate(w.steps):
        analysed, update = kalman.assimilate(state, step, as_modes(w.basis, *points[day]))
        visits.append((state, update, step))
        mean, variance = dense_posterior(w, points, until=day)
        np.testing.assert_allclose(w.basis.expand(analysed.mean[:n]), mean[day], atol=1e-8)
        spread = w.basis.variance(analysed.covariance[:n, :n])
        np.testing.assert_allclose(spread, variance[day], atol=1e-9)
        state = kalman.predict(analysed, step)
    mean, variance = dense_posterior(w, points, until=days)
    smoother = ModeSmoother(kalman.first.mean, kalman.rho)
    for day in reversed(range(days)):
        before, update, step = visits[day]
        if day < days - 1:
            smoother.step_back(step)
        smoother.observe(update)
        rows = before.covariance[:n]
        np.testing.assert_allclose(
            w.basis.expand(smoother.mean(before.mean, rows)), mean[day], atol=1e-8
        )
        spread = w.basis.variance(smoother.covariance(rows))
        np.testing.assert_allclose(spread, variance[day], atol=1e-9)


def test_the_smoother_agrees_with_the_conjugate_gradients_of_condition():
    days = 4
    w = world("globe", SETTINGS["crank_nicolson with memory"], days)
    rng = np.random.default_rng(1)
    observed = (rng.random((days, *w.grid.shape)) < 0.3) & w.grid.ocean
    y = 0.2 * rng.standard_normal(observed.shape)
    kalman, n = ModeFilter(w.modes), w.basis.count
    state, visits = kalman.first, []
    for day, step in enumerate(w.steps):
        chosen = np.flatnonzero(observed[day].ravel())
        weight, value = np.eye(observed[0].size)[chosen], y[day].ravel()[chosen]
        points = as_modes(w.basis, weight, np.zeros(chosen.size), value)
        analysed, update = kalman.assimilate(state, step, points)
        visits.append((state, update, step))
        state = kalman.predict(analysed, step)
    expected = w.prior.condition(
        torch.as_tensor(y)[None], torch.as_tensor(observed)[None], NOISE, tolerance=1e-11
    ).mean()[0]
    smoother = ModeSmoother(kalman.first.mean, kalman.rho)
    for day in reversed(range(days)):
        before, update, step = visits[day]
        if day < days - 1:
            smoother.step_back(step)
        smoother.observe(update)
        got = w.basis.expand(smoother.mean(before.mean, before.covariance[:n]))
        torch.testing.assert_close(got, expected[day], rtol=0, atol=1e-7)


def test_forecast_is_the_law_of_later_days_given_earlier_ones(dynamics):
    w = world("masked", dynamics, 6, seed=7)
    points = random_points(w.grid, 6, 6, seed=8)
    kalman, n = ModeFilter(w.modes), w.basis.count
    state = kalman.first
    mean, variance = dense_posterior(w, points, until=1)
    for day, step in enumerate(w.steps[:5]):
        if day < 2:
            state, _ = kalman.assimilate(state, step, as_modes(w.basis, *points[day]))
        state = kalman.predict(state, step)
        if day >= 1:
            np.testing.assert_allclose(w.basis.expand(state.mean[:n]), mean[day + 1], atol=1e-8)
            spread = w.basis.variance(state.covariance[:n, :n])
            np.testing.assert_allclose(spread, variance[day + 1], atol=1e-9)


@pytest.mark.parametrize("kind", ["masked", "globe"])
@pytest.mark.parametrize("cells", [0.0, 4.5])
def test_start_is_the_projected_law_of_the_first_day_and_increment(kind, cells, dynamics):
    w = world(kind, dynamics, 2, currents=0.0)
    grid, size = w.grid, w.grid.ocean.size
    unit = torch.eye(size, dtype=torch.float64).view(size, 1, 1, *grid.shape)
    # e₁ = A x₁ − B x₀
    left = w.prior.propagator.left_times(unit).reshape(size, size).T.numpy()
    right = w.prior.propagator.right_times(unit).reshape(size, size).T.numpy()
    pick = np.block([[np.eye(size), np.zeros((size, size))], [-right, left]])
    basis = ModeBasis.of(grid, cells * grid.dy_km)
    columns = basis.fields.flatten(1).numpy() * grid.area_km2.ravel()
    project = np.kron(np.eye(2), columns) @ pick
    expected = project @ w.covariance @ project.T
    modes = ModePrior(grid, theta_of(grid, dynamics, 0), dynamics, basis)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(modes.start().numpy() / scale, expected / scale, atol=1e-7)


@pytest.mark.parametrize("rho", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["masked", "circle"])
def test_a_truncated_basis_leaves_variance_out_and_adds_none(kind, rho):
    grid = grid_of(kind)
    dynamics = Dynamics(1.0, 2, "backward_euler", Coloured(25.0, 1), rho)
    theta, held = theta_of(grid, dynamics), []
    for cells in (0.0, 3.0, 6.0, 12.0):
        basis = ModeBasis.of(grid, cells * grid.dy_km)
        start = ModePrior(grid, theta, dynamics, basis).start()
        held.append(basis.variance(start[: basis.count, : basis.count]))
    totals = [float((torch.as_tensor(grid.area_km2) * variance).sum()) for variance in held]
    assert all(more > less for more, less in pairwise(totals))


@pytest.mark.parametrize("scheme", ["backward_euler", "crank_nicolson"])
@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_without_points_the_stationary_law_stays(scheme, rho):
    grid = grid_of("plane")
    dynamics = Dynamics(1.0, 2, scheme, "white", rho)  # the start is exact for white noise
    modes = ModePrior(grid, theta_of(grid, dynamics), dynamics, ModeBasis.of(grid, 0.0))
    kalman, step = ModeFilter(modes), modes.step()
    state = kalman.first
    for _ in range(40):
        state = kalman.predict(state, step)
    torch.testing.assert_close(state.covariance, kalman.first.covariance, rtol=0, atol=1e-9)


def test_points_one_by_one_in_any_order_give_the_law_of_all_at_once():
    w = world("masked", SETTINGS["memory"], 3)
    weight, _, value = random_points(w.grid, 1, 8, seed=9)[0]
    points = as_modes(w.basis, weight, np.linspace(0, 0.9, 8), value)
    kalman = ModeFilter(w.modes)
    whole, _ = kalman.assimilate(kalman.first, w.steps[0], points)
    single = kalman.first
    for number in (3, 7, 0, 1, 6, 2, 5, 4):
        single, _ = kalman.assimilate(single, w.steps[0], points.at(torch.tensor([number])))
    for one, other in ((single.covariance, whole.covariance), (single.mean, whole.mean)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9 * float(other.abs().max()))
