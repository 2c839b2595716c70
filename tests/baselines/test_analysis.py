from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.baselines.analysis import OiParameters, mean_maps
from pipeline_spde.baselines.cells import CellAnomalies, cell_anomalies, visible_offsets
from pipeline_spde.baselines.conjugate import GridModes, solve
from pipeline_spde.baselines.covariance import gaussian_modes, plane_axes_km
from pipeline_spde.baselines.deviation import ExactTile, deviation_maps
from pipeline_spde.fields import Observations
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Task

from .common import dense_kriging, empty_tracks, gridded, observe, smooth_field

PARAMETERS = OiParameters(length_km=130.0, length_days=5.0, noise_factor=1.3, prior_std_m=0.25)


def exact_maps(
    cells: CellAnomalies,
    grid: Grid,
    targets: np.ndarray,
    offsets: np.ndarray,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the whole box as one tile."""
    tile = ExactTile(cells, plane_axes_km(grid)[:2], offsets, PARAMETERS, tolerance)
    mean, std = zip(*(tile.analyse(day) for day in targets), strict=True)
    return np.stack(mean), np.stack(std)


def setting(share: float = 0.25, days: int = 11) -> tuple[CellAnomalies, Grid]:
    rng = np.random.default_rng(3)
    land = np.zeros((10, 12), bool)
    land[:2, :3] = True
    grid = Grid.latlon(36.25 + 0.5 * np.arange(10), -63.75 + 0.5 * np.arange(12), land)
    observations = observe(rng, grid, smooth_field(rng, days, grid), share)
    return cell_anomalies(observations, grid), grid


def kriged(
    cells: CellAnomalies, grid: Grid, target: np.datetime64, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    y, x, _ = plane_axes_km(grid)
    shift = (cells.days - target).astype(int)
    t, i, j = np.nonzero(cells.observed & np.isin(shift, offsets)[:, None, None])
    points = np.stack([shift[t], y[i], x[j]], axis=1)
    north, east = np.meshgrid(y, x, indexing="ij")
    wanted = np.stack([np.zeros(north.size), north.ravel(), east.ravel()], axis=1)
    noise = PARAMETERS.noise_factor**2 * cells.variance[t, i, j]
    lengths = (PARAMETERS.length_days, PARAMETERS.length_km, PARAMETERS.length_km)
    mean, std = dense_kriging(
        points, cells.value[t, i, j], noise, wanted, lengths, PARAMETERS.prior_std_m
    )
    return mean.reshape(grid.shape), std.reshape(grid.shape)


@pytest.mark.parametrize("task", ["mapping", "nrt", "for2"])
def test_both_solvers_equal_dense_kriging(task):
    cells, grid = setting()
    offsets = visible_offsets(Task(name=task), 7)
    targets = cells.days[[5, 7]]
    # enough steps to converge: what is left is the truncation of the modes, 1e-8 of the variance
    mean = mean_maps(cells, grid, targets, offsets, PARAMETERS, 600)
    exact, std = exact_maps(cells, grid, targets, offsets, 1e-8)
    for number, target in enumerate(targets):
        expected, expected_std = kriged(cells, grid, target, offsets)
        np.testing.assert_allclose(mean[number], expected, atol=2e-4)
        np.testing.assert_allclose(exact[number], expected, atol=2e-4)
        np.testing.assert_allclose(std[number], expected_std, rtol=2e-3)


def test_conjugate_gradients_and_cholesky_agree_at_the_default_tolerance():
    cells, grid = setting()
    offsets = visible_offsets(Task(name="mapping"), 7)
    mean = mean_maps(cells, grid, cells.days[4:6], offsets, PARAMETERS, 400)
    exact, _ = exact_maps(cells, grid, cells.days[4:6], offsets, 1e-4)
    # 1e-4 of the variance is 1 % of the deviation of 25 cm
    assert np.sqrt(np.mean((mean - exact) ** 2)) < 0.01 * PARAMETERS.prior_std_m


def test_error_of_conjugate_gradients_falls_with_every_step():
    cells, grid = setting()
    offsets = visible_offsets(Task(name="mapping"), 7)
    y, x, _ = plane_axes_km(grid)
    modes = GridModes(
        gaussian_modes(offsets, 5.0, 1e-8)(offsets),
        gaussian_modes(y, 130.0, 1e-8)(y),
        gaussian_modes(x, 130.0, 1e-8)(x),
    )
    observed = cells.observed[None, 2:9]
    values, weights = cells.value[None, 2:9] / 0.25, np.where(observed, 69.0, 0.0)
    best = solve(modes, values, weights, 2000, 1e-12)

    def norm(z: np.ndarray) -> float:
        """The norm in which conjugate gradients are optimal."""
        off = z - best
        return float(np.sum(off * off) + np.sum(weights * modes.expand(off) ** 2))

    norms = [norm(solve(modes, values, weights, steps, 0.0)) for steps in range(0, 60, 3)]
    assert np.all(np.diff(norms) < 0)
    assert norms[-1] < 1e-3 * norms[0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1.0, 1e6]))
def test_values_under_unobserved_cells_never_matter(seed, scale):
    rng = np.random.default_rng(seed)
    grid = Grid.from_bounds((36.0, 39.0), (-64.0, -61.0), 0.5)
    observed = rng.random((5, 6, 6)) < 0.3
    value = rng.standard_normal(observed.shape)
    days = np.datetime64("2013-01-01") + np.arange(5)
    offsets = np.arange(-2, 3)
    results = []
    for garbage in (np.zeros(observed.shape), scale * rng.standard_normal(observed.shape)):
        cells = CellAnomalies(
            days,
            np.where(observed, value, garbage),
            np.where(observed, 0.01, np.abs(garbage)),
            observed,
        )
        mean = mean_maps(cells, grid, days[2:3], offsets, PARAMETERS, 20)
        results.append((mean, *exact_maps(cells, grid, days[2:3], offsets, 1e-3)))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_tiles_give_the_deviation_of_the_whole_box():
    rng = np.random.default_rng(8)
    grid = Grid.from_bounds((32.0, 44.0), (-66.0, -54.0), 0.5)
    observed = rng.random((7, *grid.shape)) < 0.15
    cells = cell_anomalies(
        Observations(
            gridded(grid, "2013-01-01", np.zeros(observed.shape), observed),
            empty_tracks(),
            np.zeros(grid.shape),
        ),
        grid,
    )
    offsets, target = np.arange(-3, 4), cells.days[3:4]
    found, whole = (
        deviation_maps(cells, grid, target, offsets, PARAMETERS, 1e-4, tile_lengths=side)
        for side in (6.0, np.inf)
    )
    assert np.abs(found / whole - 1.0).max() < 0.05
    assert np.sqrt(np.mean((found / whole - 1.0) ** 2)) < 0.01


@pytest.mark.parametrize("side", [1.5, 6.0, np.inf])
def test_deviation_on_a_circle_does_not_know_where_the_grid_starts(side):
    rng = np.random.default_rng(8)
    grid = Grid.cartesian(6, 24, 60.0, 60.0, periodic=True)
    observed = rng.random((3, *grid.shape)) < 0.2
    deviations = []
    for shift in (0, 12):
        cells = CellAnomalies(
            np.datetime64("2013-01-01") + np.arange(3),
            np.zeros(observed.shape),
            np.full(observed.shape, 0.01),
            np.roll(observed, shift, axis=2),
        )
        offsets = np.arange(-1, 2)
        tiled = deviation_maps(
            cells, grid, cells.days[1:2], offsets, PARAMETERS, 1e-4, tile_lengths=side
        )
        deviations.append(np.roll(tiled, -shift, axis=2))
    np.testing.assert_allclose(deviations[0], deviations[1], rtol=0.02)


def test_without_observations_the_analysis_is_the_prior():
    grid = Grid.from_bounds((36.0, 39.0), (-64.0, -61.0), 0.5)
    nothing = np.zeros((3, 6, 6))
    cells = cell_anomalies(
        Observations(
            gridded(grid, "2013-01-01", nothing, nothing.astype(bool)),
            empty_tracks(),
            np.zeros(grid.shape),
        ),
        grid,
    )
    days = np.array(["2013-01-02", "2014-06-01"], dtype="datetime64[D]")
    offsets = np.arange(-1, 2)
    np.testing.assert_array_equal(mean_maps(cells, grid, days, offsets, PARAMETERS, 30), 0.0)
    mean, std = exact_maps(cells, grid, days, offsets, 1e-4)
    np.testing.assert_array_equal(mean, 0.0)
    np.testing.assert_allclose(std, PARAMETERS.prior_std_m, rtol=1e-6)


def test_days_outside_the_file_have_no_observations():
    cells, grid = setting()
    offsets = visible_offsets(Task(name="mapping"), 7)
    first, _ = exact_maps(cells, grid, cells.days[:1], offsets, 1e-6)
    expected, _ = kriged(cells, grid, cells.days[0], offsets)
    np.testing.assert_allclose(first[0], expected, atol=1e-3)


def test_observations_of_another_grid_are_refused():
    _, grid = setting()
    other = Grid.from_bounds((36.0, 41.0), (-64.0, -58.0), 0.25)
    observed = np.zeros((2, *other.shape), bool)
    cells = gridded(other, "2013-01-01", np.zeros(observed.shape), observed)
    with pytest.raises(ValueError, match="bin the observations to the grid of the maps"):
        cell_anomalies(Observations(cells, empty_tracks(), np.zeros(other.shape)), grid)


def test_a_lead_as_long_as_the_window_is_refused():
    with pytest.raises(ValueError, match="observes no day of a window of 4 days"):
        visible_offsets(Task(name="for4"), 4)


def test_parameters_must_be_positive_and_complete(tmp_path):
    with pytest.raises(ValueError, match="length_km must be positive"):
        OiParameters(0.0, 5.0, 1.0, 0.2)
    path = tmp_path / "oi.json"
    path.write_text('{"length_km": 100}')
    with pytest.raises(DataError, match="length_days"):
        OiParameters.read(path)
