"""The prior in modes, its filter, forecasts and smoother, against dense Gaussian algebra."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, Dynamics, SpdeParameters, SpdePrior
from pipeline_spde.spde.kalman import DayPoints, ModeFilter, ModeSmoother
from pipeline_spde.spde.modes import ModeBasis, ModePrior

DAYS, NOISE = 5, 0.03


def land_grid(periodic: bool = False) -> Grid:
    land = np.zeros((6, 8), bool)
    land[2:4, 3] = True
    land[0, 0] = True
    if periodic:
        lat, lon = np.linspace(-5, 5, 6), np.arange(8) * 45.0
        return Grid.latlon(lat, lon, land, periodic=True)
    return Grid.latlon(30 + 0.3 * np.arange(6), -60 + 0.3 * np.arange(8), land)


@dataclass
class Case:
    """A window with currents that change from day to day, and the same prior in modes."""

    grid: Grid
    dynamics: Dynamics
    seed: int = 0

    def __post_init__(self) -> None:
        source = torch.Generator().manual_seed(self.seed)
        shape = self.grid.shape
        size = float(self.grid.dy_km)
        sigma = 0.1 + 0.1 * torch.rand(1, 1, *shape, generator=source, dtype=torch.float64)
        self.theta = SpdeParameters.from_physical(
            sigma, 7 * size, 5 * size, 30.0, 9.0, dynamics=self.dynamics
        )
        self.flow = 0.5 * size * torch.randn(2, DAYS, *shape, generator=source, dtype=torch.float64)
        fields = {k: v.expand(1, DAYS, *shape) for k, v in self.theta.items()}
        fields |= {"m_east": self.flow[0][None], "m_north": self.flow[1][None]}
        self.prior = SpdePrior(self.grid, SpdeParameters(**fields), **vars(self.dynamics))
        self.source = source

    def covariance(self) -> np.ndarray:
        """Dense covariance of the window on ocean cells."""
        precision = self.prior.precision()[0].toarray()
        wet = np.tile(self.grid.ocean.ravel(), DAYS)
        return np.linalg.inv(precision[np.ix_(wet, wet)])

    def modes(self, wavelength: float = 0) -> tuple[ModeBasis, ModePrior, ModeFilter]:
        basis = ModeBasis.of(self.grid, wavelength)
        prior = ModePrior(self.grid, self.theta, self.dynamics, basis)
        return basis, prior, ModeFilter(prior)

    def step(self, prior: ModePrior, day: int):
        return prior.step(*self.flow[:, day + 1]) if day + 1 < DAYS else prior.step()


CASES = {
    "no memory": Case(land_grid(), Dynamics(1.0, 2, noise=Coloured(25.0, 1))),
    "rho": Case(land_grid(), Dynamics(1.0, 2, noise=Coloured(25.0, 2), rho=0.7)),
    "crank nicolson": Case(land_grid(), Dynamics(1.0, 2, "crank_nicolson", Coloured(25.0, 1), 0.5)),
    "alpha 4": Case(land_grid(), Dynamics(1.0, 4, noise="white", rho=0.4)),
    "circle": Case(land_grid(True), Dynamics(1.0, 2, noise=Coloured(3000.0, 1), rho=0.6)),
}


def observations(case: Case) -> tuple[np.ndarray, list[tuple[int, int, float, float]]]:
    """Rows over the dense state, and (day, cell number, share, value) of random observations."""
    rng = np.random.default_rng(1)
    wet = np.flatnonzero(case.grid.ocean.ravel())
    rows, points = [], []
    for day in range(DAYS - 1):
        for cell in rng.choice(wet.size, 4, replace=False):
            share = float(rng.choice([0.0, rng.uniform()]))
            row = np.zeros(DAYS * wet.size)
            row[day * wet.size + cell] = 1 - share
            row[(day + 1) * wet.size + cell] = share
            rows.append(row)
            points.append((day, int(wet[cell]), share, float(rng.normal(0, 0.2))))
    return np.array(rows), points


def day_points(basis: ModeBasis, chosen: list[tuple[int, int, float, float]]) -> DayPoints:
    columns = basis.fields.flatten(1).T
    cells = torch.tensor([p[1] for p in chosen], dtype=torch.long)
    share, value = (torch.tensor([p[i] for p in chosen], dtype=torch.float64) for i in (2, 3))
    return DayPoints(columns[cells], share, value, torch.full_like(value, NOISE**2))


def dense_posterior(case: Case, rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, ...]:
    covariance = case.covariance()
    cross = covariance @ rows.T
    gain = np.linalg.solve(rows @ cross + NOISE**2 * np.eye(len(rows)), cross.T).T
    return gain @ values, np.sqrt(np.diag(covariance - gain @ cross.T))


def on_ocean(case: Case, field: Tensor) -> np.ndarray:
    return field.numpy()[case.grid.ocean]


@pytest.mark.parametrize("name", CASES)
def test_smoother_in_all_modes_is_the_dense_posterior(name):
    case = CASES[name]
    basis, prior, kalman = case.modes()
    rows, points = observations(case)
    mean, std = dense_posterior(case, rows, np.array([p[3] for p in points]))
    mean, std = mean.reshape(DAYS, -1), std.reshape(DAYS, -1)
    state, visits = kalman.first, []
    for day in range(DAYS):
        step = case.step(prior, day)
        chosen = day_points(basis, [p for p in points if p[0] == day])
        analysed, update = kalman.assimilate(state, step, chosen)
        visits.append((state, update, step))
        state = kalman.predict(analysed, step)
    smoother = ModeSmoother(kalman.first.mean, kalman.rho)
    for day in reversed(range(DAYS)):
        before, update, step = visits[day]
        if day < DAYS - 1:
            smoother.step_back(step)
        smoother.observe(update)
        rows_of_day = before.covariance[: basis.count]
        found = basis.expand(smoother.mean(before.mean, rows_of_day))
        spread = basis.variance(smoother.covariance(rows_of_day)).sqrt()
        np.testing.assert_allclose(on_ocean(case, found), mean[day], atol=2e-10)
        np.testing.assert_allclose(on_ocean(case, spread), std[day], rtol=1e-7)


@pytest.mark.parametrize("name", ["no memory", "rho", "crank nicolson"])
def test_forecast_in_all_modes_is_the_dense_conditional(name):
    case = CASES[name]
    basis, prior, kalman = case.modes()
    rows, points = observations(case)
    seen = [i for i, p in enumerate(points) if p[0] < 2]
    mean, std = dense_posterior(case, rows[seen], np.array([points[i][3] for i in seen]))
    state = kalman.first
    for day in range(DAYS - 1):
        step = case.step(prior, day)
        chosen = day_points(basis, [points[i] for i in seen if points[i][0] == day])
        state, _ = kalman.assimilate(state, step, chosen)
        state = kalman.predict(state, step)
    n = basis.count
    found = on_ocean(case, basis.expand(state.mean[:n]))
    spread = on_ocean(case, basis.variance(state.covariance[:n, :n]).sqrt())
    np.testing.assert_allclose(found, mean.reshape(DAYS, -1)[-1], atol=2e-10)
    np.testing.assert_allclose(spread, std.reshape(DAYS, -1)[-1], rtol=1e-7)


@pytest.mark.parametrize("periodic", [False, True])
def test_basis_is_orthonormal_on_the_ocean_and_complete(periodic):
    grid = land_grid(periodic)
    basis = ModeBasis.of(grid, 0)
    assert basis.count == grid.ocean.sum()
    gram = basis.project(basis.fields)
    torch.testing.assert_close(gram, torch.eye(basis.count, dtype=torch.float64))
    field = torch.randn(3, *grid.shape, generator=torch.Generator().manual_seed(2)).double()
    masked = torch.where(torch.as_tensor(grid.ocean), field, 0)
    torch.testing.assert_close(basis.expand(basis.project(field)), masked)


def test_a_wavelength_keeps_the_cosines_that_are_longer():
    grid = Grid.cartesian(ny=20, nx=30, dy=10.0, dx=8.0)
    kept = sum(
        np.hypot(k / (2 * 200.0), m / (2 * 240.0)) <= 1 / 60.0 for k in range(20) for m in range(30)
    )
    assert ModeBasis.of(grid, 60.0).count == kept
    assert ModeBasis.of(grid, 1e9).count == 1


def test_fewer_modes_hold_less_variance_and_most_of_it():
    case = Case(Grid.cartesian(ny=16, nx=16, dy=20.0, dx=20.0), CASES["rho"].dynamics)
    held = []
    for wavelength in (0, 60, 120, 300):
        basis, prior, _ = case.modes(wavelength)
        held.append(float(basis.variance(prior.start()[: basis.count, : basis.count]).mean()))
    assert held == sorted(held, reverse=True)
    assert held[1] > 0.97 * held[0] and held[3] < 0.8 * held[0]


def test_start_is_the_law_of_the_first_days():
    case = CASES["rho"]
    basis, prior, _ = case.modes()
    n, cells = basis.count, int(case.grid.ocean.sum())
    dense = case.covariance()[:cells, :cells]
    found = basis.fields.flatten(1).T.numpy()[case.grid.ocean.ravel()]
    np.testing.assert_allclose(found @ prior.start()[:n, :n].numpy() @ found.T, dense, atol=1e-12)


def test_a_day_without_observations_changes_nothing():
    case = CASES["rho"]
    basis, prior, kalman = case.modes()
    state, update = kalman.assimilate(kalman.first, prior.step(), day_points(basis, []))
    assert state is kalman.first and update is None
    smoother = ModeSmoother(kalman.first.mean, kalman.rho)
    smoother.observe(update)
    assert not smoother.matrix.any()


# --- currents through open walls ------------------------------------------------------------


def carried(east: float, north: float, periodic: bool = False, days: int = 40):
    """A bump amid a box, carried for some days in a basis that ends at five cells; and the fields.

    The current is strong and the damping weak: nothing but the walls takes the bump away.
    """
    grid = Grid.cartesian(ny=20, nx=20, dy=20.0, dx=20.0, periodic=periodic)
    theta = SpdeParameters.from_physical(
        torch.full((1, 1, *grid.shape), 0.1, dtype=torch.float64), 100.0, 100.0, 0.0, 200.0,
        dynamics=Dynamics(),
    )  # fmt: skip
    basis = ModeBasis.of(grid, 100.0)
    prior = ModePrior(grid, theta, Dynamics(), basis)
    m_east, m_north = (torch.full(grid.shape, v, dtype=torch.float64) for v in (east, north))
    step = prior.step(m_east, m_north)
    y, x = (torch.as_tensor(v) for v in np.meshgrid(grid.lat, grid.lon, indexing="ij"))
    bump = torch.exp(-((x - x.mean()) ** 2 + (y - y.mean()) ** 2) / (2 * 50.0**2))
    modes = [basis.project(bump)]
    for _ in range(days):
        modes.append(step.solve @ modes[-1])
    return basis, step, torch.stack(modes)


@pytest.mark.parametrize(("east", "north"), [(25, 0), (-25, 0), (0, 25), (0, -25), (18, -18)])
def test_a_current_through_a_wall_takes_the_anomaly_with_it(east, north):
    """Kept in, it would come back as waves of the shortest wavelength, all through the current."""
    basis, _, modes = carried(east, north)
    size = basis.expand(modes).abs().amax(dim=(1, 2))
    assert size[0] > 0.95
    assert size[25] < 0.05 and size[40] < 0.02


def test_around_a_circle_nothing_leaves():
    basis, _, modes = carried(25, 0, periodic=True)
    total = (basis.expand(modes) * basis.mesh.area).sum(dim=(1, 2))
    assert float(total[40] / total[0]) == pytest.approx(1.005**-40, rel=0.05)


def test_a_wall_that_a_current_comes_from_or_runs_along_takes_nothing():
    """A current to the east: only what arrives at the eastern wall is lost."""
    basis, _, modes = carried(8, 0, days=6)
    total = (basis.expand(modes) * basis.mesh.area).sum(dim=(1, 2))
    assert float(total[6] / total[0]) == pytest.approx(1.005**-6, rel=0.01)


@pytest.mark.parametrize("name", ["rho", "crank nicolson", "alpha 4", "circle"])
@pytest.mark.parametrize("scheme", ["backward_euler", "crank_nicolson"])
def test_no_mode_of_a_shortened_basis_grows_however_strong_the_current(name, scheme):
    case = CASES[name]
    grid, size = case.grid, case.grid.dy_km
    dynamics = replace(case.dynamics, scheme=scheme, substeps=2 if name == "alpha 4" else 1)
    basis = ModeBasis.of(grid, 4 * size)
    assert 4 < basis.count < grid.ocean.sum()
    prior = ModePrior(grid, case.theta, dynamics, basis)
    source = torch.Generator().manual_seed(0)
    for _ in range(5):
        flow = 30 * size * torch.randn(2, *grid.shape, generator=source, dtype=torch.float64)
        step = prior.step(*flow)
        transition = step.solve if step.explicit is None else step.solve @ step.explicit
        assert float(torch.linalg.eigvals(transition).abs().max()) < 1
        if step.explicit is None and dynamics.alpha == 2:
            assert float(torch.linalg.svdvals(transition).max()) < 1
