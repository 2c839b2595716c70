"""What the satellites would have seen of a draw: places, times, noise; and the cells made of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline_spde.baselines.superobs import SuperObservations, superobservations
from pipeline_spde.data.observe import bin_to_grid
from pipeline_spde.fields import Observations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.pseudo_observations import as_cells, observe_draws

from .baselines.spde_case import DAY, FIRST, box, random_points, tracks_at

DAYS = FIRST + np.arange(6) * DAY
REPRESENTATIVENESS = 0.03


@pytest.fixture(scope="module")
def grid() -> Grid:
    land = np.zeros((8, 9), bool)
    land[:2, :3] = True
    return box(shape=(8, 9), land=land)


@pytest.fixture(scope="module")
def seen(grid: Grid) -> SuperObservations:
    """Points from the morning of day 1 to the afternoon of day 4."""
    return random_points(grid, DAYS[1:5], 120, seed=1)


def plane(grid: Grid, slopes: tuple[float, float, float, float]) -> list[np.ndarray]:
    """Draws that are linear in day, row and column, two members, one the negative of the other."""
    height, per_day, per_row, per_column = slopes
    row, column = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    fields = [height + per_day * day + per_row * row + per_column * column for day in range(6)]
    return [np.stack([f, -f]).astype(np.float32) for f in fields]


def observe(grid: Grid, seen: SuperObservations, draws: list, error: float, seed: int = 0):
    """Values (obs, members) of all observations, and how often each was seen."""
    values = np.full((seen.day.size, draws[0].shape[0]), np.nan)
    times = np.zeros(seen.day.size, int)
    days = []
    rng = np.random.default_rng(seed)
    for day, field, found, some in observe_draws(iter(draws), DAYS, seen, grid, error, rng):
        assert field is draws[len(days)]
        values[found] = some
        times[found] += 1
        days.append(day)
    np.testing.assert_array_equal(days, DAYS)
    return values, times


def test_a_draw_is_interpolated_to_place_and_time(grid, seen) -> None:
    """Linear fields exactly: in days from noon to noon, in rows and columns between centres."""
    inside = seen.select(
        (seen.row >= 2) & (seen.row <= 7) & (seen.column >= 3) & (seen.column <= 8)
    )
    exact = replace(inside, variance=np.zeros_like(inside.variance))
    slopes = (0.3, 0.05, -0.02, 0.04)
    values, times = observe(grid, exact, plane(grid, slopes), 0.0)
    assert (times == 1).all()
    day = (inside.day - DAYS[0]) / DAY + inside.noon
    expected = 0.3 + 0.05 * day - 0.02 * inside.row + 0.04 * inside.column
    np.testing.assert_allclose(values[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(values[:, 1], -expected, atol=1e-6)


def test_land_beside_a_point_takes_no_part(grid, seen) -> None:
    draws = [np.where(grid.land, 99.0, 0.5)[None].astype(np.float32)] * 6
    quiet = replace(seen, variance=np.zeros_like(seen.variance))
    values, _ = observe(grid, quiet, draws, 0.0)
    np.testing.assert_allclose(values, 0.5, atol=1e-6)


def test_noise_has_the_variance_that_observations_are_supposed_to_have(grid, seen) -> None:
    """That of their samples and of representativeness, independent between points and members."""
    members = 400
    draws = [np.zeros((members, *grid.shape), np.float32)] * 6
    varied = replace(seen, variance=np.linspace(0.01, 0.04, seen.day.size) ** 2)
    values, _ = observe(grid, varied, draws, REPRESENTATIVENESS)
    expected = varied.variance + REPRESENTATIVENESS**2
    ratio = values.var(axis=1) / expected
    assert ratio.mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / values.size))
    assert np.abs(ratio - 1).max() < 6 * np.sqrt(2 / members)
    assert np.abs(values.mean(axis=1) / np.sqrt(expected)).max() < 5 / np.sqrt(members)
    white = values / np.sqrt(expected)[:, None]
    correlation = white[:-1] * white[1:]
    assert abs(correlation.mean()) < 4 / np.sqrt(correlation.size)


def test_a_seed_fixes_the_noise(grid, seen) -> None:
    draws = plane(grid, (0.0, 0.0, 0.0, 0.0))
    first, again, other = (observe(grid, seen, draws, 0.01, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


def test_days_that_draws_do_not_cover_are_refused(grid, seen) -> None:
    for moved in (seen.day - 2 * DAY, seen.day + 3 * DAY):
        with pytest.raises(ValueError, match="need draws of these days; there are 2020-03-01 to"):
            observe(grid, replace(seen, day=moved), plane(grid, (0.0,) * 4), 0.0)
    late = replace(seen, day=np.full_like(seen.day, DAYS[5]), noon=np.full_like(seen.noon, -0.2))
    observe(grid, late, plane(grid, (0.0,) * 4), 0.0)  # the morning of the last day is covered
    with pytest.raises(ValueError, match="need draws"):
        observe(grid, replace(late, noon=-late.noon), plane(grid, (0.0,) * 4), 0.0)


# --- cells ----------------------------------------------------------------------------------


def crowded(grid: Grid, mean: np.ndarray) -> Observations:
    """Nadir passes of two samples in a cell, several passes in many a cell, of unequal noise."""
    rng = np.random.default_rng(4)
    parts = random_points(grid, DAYS, 900, seed=5)
    error = rng.choice([0.01, 0.02, 0.05], parts.day.size)
    once = tracks_at(replace(parts, variance=error**2), grid, mean)
    twice = once.select(np.repeat(np.arange(len(once)), 2))
    second = np.arange(len(twice)) % 2
    moved = replace(twice, height=twice.height + np.float32(0.01) * second.astype(np.float32))
    cells = bin_to_grid(moved, grid, daily_stamps(DAYS[0], DAYS[-1]), REPRESENTATIVENESS)
    return Observations(cells, moved, mean)


def test_cells_of_the_real_passes_are_the_gridded_observations(grid) -> None:
    """Nadir samples, a level mean: the same weights, so the same heights."""
    observations = crowded(grid, np.full(grid.shape, 0.7))
    seen = superobservations(observations, grid)
    found = as_cells(observations, seen, seen.value.astype(np.float32), REPRESENTATIVENESS)
    real, made = observations.gridded, found.gridded
    several = np.bincount(
        np.ravel_multi_index(((seen.day - DAYS[0]).astype(int), *seen.cell.T), real.height.shape)
    )
    assert (several > 1).sum() > 50
    np.testing.assert_array_equal(made.observed, real.observed)
    np.testing.assert_array_equal(made.error, real.error)
    np.testing.assert_array_equal(made.count, real.count)
    np.testing.assert_allclose(made.height, real.height, atol=1e-6)


def test_over_a_sloping_mean_they_differ_by_its_slope_within_a_cell(grid) -> None:
    """Anomalies are about the mean where the satellite was; cells about that of their centre."""
    slope = 0.03  # m per cell
    mean = slope * np.arange(grid.shape[0])[:, None] * np.ones(grid.shape)
    observations = crowded(grid, mean)
    seen = superobservations(observations, grid)
    found = as_cells(observations, seen, seen.value.astype(np.float32), REPRESENTATIVENESS)
    observed = observations.gridded.observed
    difference = (found.gridded.height - observations.gridded.height)[observed]
    assert 0.1 * slope < np.abs(difference).max() <= 0.5 * slope + 1e-6


def test_cells_without_a_pass_are_unobserved_and_others_keep_their_error(grid) -> None:
    observations = crowded(grid, np.zeros(grid.shape))
    seen = superobservations(observations, grid)
    early = seen.select(seen.day <= DAYS[2])
    values = np.full(early.day.size, 0.25, np.float32)
    found = as_cells(observations, early, values, REPRESENTATIVENESS).gridded
    assert not found.observed[3:].any() and np.isinf(found.error[3:]).all()
    np.testing.assert_array_equal(found.observed[:3], observations.gridded.observed[:3])
    np.testing.assert_allclose(found.height[found.observed], 0.25)
    assert not found.height[~found.observed].any()


def test_days_that_are_not_held_are_left_out(grid) -> None:
    observations = crowded(grid, np.zeros(grid.shape))
    seen = superobservations(observations, grid)
    shorter = replace(observations, gridded=observations.gridded.at(np.arange(1, 4)))
    found = as_cells(shorter, seen, seen.value.astype(np.float32), REPRESENTATIVENESS)
    expected = observations.gridded.height[1:4]
    np.testing.assert_allclose(found.gridded.height, expected, atol=1e-6)
    assert found.tracks is observations.tracks
