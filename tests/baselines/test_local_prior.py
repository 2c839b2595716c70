"""A prior matched to moments by region: boxes, what is recovered, the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.baselines.local_prior import LocalPrior, boxes, fit_local_prior, spread_out
from pipeline_spde.config import LocalPriorConfig
from pipeline_spde.fields import GriddedObservations, Maps, Observations, Tracks, daily_stamps
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period

DAYS = 120
LEARNING = Period(start="2020-01-01", end="2020-04-29")
CONFIG = LocalPriorConfig(box=(12.0, 12.0), smoothing_km=250.0)


def sea(periodic: bool = False) -> Grid:
    lat = 20 + 0.5 * (np.arange(24) + 0.5)
    lon = -180 + 0.5 * (np.arange(720) + 0.5) if periodic else -60 + 0.5 * (np.arange(48) + 0.5)
    land = np.zeros((lat.size, lon.size), bool)
    land[:5, :7] = True
    return Grid.latlon(lat, lon, land, periodic=periodic)


def two_waters(grid: Grid) -> LocalPrior:
    """Large, slow and quiet in the west; small, quick and energetic in the east."""
    east = np.broadcast_to(grid.lon > grid.lon.mean(), grid.shape)
    return LocalPrior(
        sigma=np.where(east, 0.2, 0.05),
        range_km=np.where(east, 220.0, 450.0),
        decorrelation_time_days=np.where(east, 9.0, 25.0),
        noise_length_km=60.0,
        rho=0.6,
    )


def truth_of(prior: LocalPrior, grid: Grid, seed: int = 1) -> Maps:
    draws = prior.prior(grid).draws(1, torch.Generator().manual_seed(seed), DAYS)
    height = np.stack([day[0, 0].numpy() for day in draws])
    height = np.where(grid.ocean, height, np.nan).astype(np.float32)
    return Maps(daily_stamps(LEARNING.start, LEARNING.end), grid, height, "sla")


def observed(truth: Maps, share: float, noise: float = 0.02) -> Observations:
    """A share of the cells of every day, with noise."""
    rng = np.random.default_rng(3)
    seen = (rng.random(truth.height.shape) < share) & truth.grid.ocean
    height = truth.height + noise * rng.standard_normal(seen.shape)
    zero = np.float32(0)
    cells = GriddedObservations(
        truth.time, truth.grid, np.where(seen, height, zero).astype(np.float32), seen,
        seen.astype(np.int32), np.where(seen, np.float32(noise), np.float32(np.inf)), "sla",
    )  # fmt: skip
    none = np.zeros(0)
    tracks = Tracks(
        none.astype("datetime64[ns]"), none, none, none.astype(np.float32),
        none.astype(np.float32), none.astype(np.int8), ("saral",), none.astype(np.int32), "sla",
        none.astype(np.float32),
    )  # fmt: skip
    return Observations(cells, tracks, np.zeros(truth.grid.shape))


def test_two_waters_are_told_apart_from_maps_and_from_observations() -> None:
    grid = sea()
    true = two_waters(grid)
    maps = truth_of(true, grid)
    seen = observed(maps, 0.15)
    for truth in (maps, None):
        found, record = fit_local_prior(seen, grid, CONFIG, LEARNING, truth)
        assert record["boxes_fitted"] == 2 and record["moment_misfit"] < 0.1
        for columns in (slice(6, 16), slice(32, 42)):  # away from the front between them
            here = (slice(8, 16), columns)
            for name, tolerance in (
                ("sigma", 0.25), ("range_km", 1.0), ("decorrelation_time_days", 1.0),
            ):  # fmt: skip
                ratio = getattr(found, name)[here].mean() / getattr(true, name)[here].mean()
                assert abs(np.log(ratio)) < np.log(1 + tolerance), (name, truth is None, ratio)
        assert found.range_km[12, 10] > 1.3 * found.range_km[12, 37]
        assert found.decorrelation_time_days[12, 10] > 1.5 * found.decorrelation_time_days[12, 37]


def test_draws_have_the_deviation_that_is_asked_for() -> None:
    grid = sea()
    true = two_waters(grid)
    prior = true.prior(grid)
    source = torch.Generator().manual_seed(5)
    draws = np.concatenate([day[:, 0].numpy() for day in prior.draws(200, source, 1)])
    ratio = draws.std(axis=0)[6:18] / true.sigma[6:18]
    for columns in (slice(8, 18), slice(30, 40)):
        assert ratio[:, columns].mean() == pytest.approx(1, abs=0.1)
    assert not draws[:, grid.land].any()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(2, 60), columns=st.integers(2, 60),
    size=st.tuples(st.floats(0.3, 40), st.floats(0.3, 40)),
)  # fmt: skip
def test_boxes_tile_the_grid(rows, columns, size) -> None:
    grid = Grid.latlon(10 + 0.5 * np.arange(rows), 20 + 0.5 * np.arange(columns))
    count = np.zeros(grid.shape, int)
    for box in boxes(grid, size):
        assert count[box].size > 0
        count[box] += 1
    assert (count == 1).all()


def test_values_are_spread_out_smoothly_and_over_the_date_line() -> None:
    grid = sea(periodic=True)
    places = np.array([[26.0, -178.0], [26.0, -60.0], [26.0, 60.0]])
    values = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    first, second = spread_out(places, values, grid, (12.0, 20.0))
    np.testing.assert_allclose(second, 5.0)
    assert first.min() >= 1 and first.max() <= 3
    assert first[12, 0] == pytest.approx(1, abs=0.01)
    assert first[12, -1] == pytest.approx(1, abs=0.01)
    assert first[12, 480] == pytest.approx(3, abs=0.01)
    jumps = np.abs(np.diff(np.hstack([first, first[:, :1]]), axis=1))
    assert jumps.max() < 0.05


def test_the_file_keeps_it_all_and_is_refused_elsewhere(tmp_path: Path) -> None:
    grid = sea()
    prior = two_waters(grid)
    path = tmp_path / "prior.nc"
    prior.to_dataset(grid, {"boxes_fitted": 2}).to_netcdf(path)
    back = LocalPrior.read(path, grid)
    for name in ("sigma", "range_km", "decorrelation_time_days"):
        kept = getattr(back, name)
        np.testing.assert_allclose(kept[grid.ocean], getattr(prior, name)[grid.ocean])
    assert (back.rho, back.noise_length_km) == (0.6, 60.0)
    with pytest.raises(DataError, match="fit again on this domain"):
        LocalPrior.read(path, Grid.latlon(grid.lat + 1, grid.lon, grid.land))
    prior.to_dataset(grid, {}).drop_vars("rho").to_netcdf(path)
    with pytest.raises(DataError, match="rho"):
        LocalPrior.read(path, grid)


def test_what_makes_no_sense_is_refused() -> None:
    grid = sea()
    prior = two_waters(grid)
    for change in ({"rho": 1.0}, {"noise_length_km": 0.0}, {"sigma": -prior.sigma}):
        with pytest.raises(ValueError, match=next(iter(change))):
            replace(prior, **change)
    maps = truth_of(prior, grid)
    nothing = observed(maps, 0.0)
    with pytest.raises(ValueError, match=r"observed|box"):
        fit_local_prior(nothing, grid, CONFIG, LEARNING, None)
    tiny = LocalPriorConfig(box=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"ensembles.local_prior.box"):
        fit_local_prior(nothing, grid, tiny, LEARNING, maps)
