from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline_spde.baselines import oi_tuned, persistence
from pipeline_spde.config import MapRequest
from pipeline_spde.fields import Observations
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task

from .common import observe, smooth_field

PERIOD = Period(start="2013-01-09", end="2013-01-12")


@pytest.fixture
def parameters(tmp_path: Path) -> Path:
    path = tmp_path / "oi_tuned.json"
    path.write_text(
        json.dumps(
            {"length_km": 130, "length_days": 6, "noise_factor": 1, "prior_std_m": 0.2, "more": 1}
        )
    )
    return path


@pytest.fixture
def grid() -> Grid:
    land = np.zeros((10, 12), bool)
    land[:2, :3] = True
    return Grid.latlon(36.25 + 0.5 * np.arange(10), -63.75 + 0.5 * np.arange(12), land)


def world(grid: Grid, days: int = 20, share: float = 0.3) -> tuple[Observations, np.ndarray]:
    rng = np.random.default_rng(11)
    field = smooth_field(rng, days, grid)
    return observe(rng, grid, field, share), field


def test_maps_are_closer_to_the_truth_than_the_mean_and_std_says_how_close(grid, parameters):
    observations, field = world(grid)
    request = MapRequest(period=PERIOD, tuning=parameters)
    maps = oi_tuned.reconstruct(observations, grid, Task(name="mapping"), request)
    error = (maps.height - field[8:12])[:, grid.ocean]
    assert np.sqrt(np.mean(error**2)) < 0.35 * field[8:12].std()
    assert maps.std is not None
    assert maps.std[:, grid.ocean].min() > 0.0
    assert maps.std[:, grid.ocean].max() <= 0.2 * (1 + 1e-6)
    np.testing.assert_array_equal(
        np.isnan(maps.height), ~grid.ocean[None] & np.ones((4, 1, 1), bool)
    )
    np.testing.assert_array_equal(np.isnan(maps.std), np.isnan(maps.height))


def test_mean_of_the_learning_period_is_removed_and_given_back(grid, parameters):
    observations, _ = world(grid)
    mean = np.linspace(0, 1.5, grid.land.size).reshape(grid.shape)
    gridded = observations.gridded
    shifted = Observations(
        type(gridded)(
            **{
                **gridded.__dict__,
                "height": np.where(gridded.observed, gridded.height + mean, 0).astype(np.float32),
            }
        ),
        observations.tracks,
        mean,
    )
    request = MapRequest(period=PERIOD, tuning=parameters)
    first = oi_tuned.reconstruct(observations, grid, Task(name="nrt"), request)
    second = oi_tuned.reconstruct(shifted, grid, Task(name="nrt"), request)
    # single precision of the observations, larger with the mean in, and of the solver
    np.testing.assert_allclose(
        second.height[:, grid.ocean], (first.height + mean)[:, grid.ocean], atol=1e-4
    )


@pytest.mark.parametrize(("name", "hidden"), [("nrt", 1), ("for2", -1), ("for4", -3)])
def test_forecasts_do_not_see_days_after_the_last_observed_one(grid, parameters, name, hidden):
    """Observations from `hidden` days after the first target on may be anything."""
    observations, _ = world(grid)
    request = MapRequest(period=Period(start="2013-01-12", end="2013-01-12"), tuning=parameters)
    before = np.arange(20) < 11 + hidden
    cut = Observations(
        observations.gridded.masked(before[:, None, None]), observations.tracks, observations.mean
    )
    methods = [oi_tuned, persistence]
    for method in methods:
        whole = method.reconstruct(observations, grid, Task(name=name), request)
        past = method.reconstruct(cut, grid, Task(name=name), request)
        np.testing.assert_array_equal(whole.height, past.height)
    one_less = Observations(
        observations.gridded.masked((np.arange(20) < 10 + hidden)[:, None, None]),
        observations.tracks,
        observations.mean,
    )
    for method in methods:
        assert not np.array_equal(
            method.reconstruct(one_less, grid, Task(name=name), request).height,
            method.reconstruct(observations, grid, Task(name=name), request).height,
            equal_nan=True,
        )


def test_persistence_is_the_near_real_time_analysis_of_the_last_observed_day(grid, parameters):
    observations, _ = world(grid)
    kept = persistence.reconstruct(
        observations, grid, Task(name="for3"), MapRequest(period=PERIOD, tuning=parameters)
    )
    earlier = Period(start="2013-01-06", end="2013-01-09")
    analysis = oi_tuned.reconstruct(
        observations, grid, Task(name="nrt"), MapRequest(period=earlier, tuning=parameters)
    )
    np.testing.assert_array_equal(kept.height, analysis.height)
    assert kept.std is None
    assert kept.time[0] == np.datetime64("2013-01-09T12:00")


def test_persistence_refuses_mapping_and_both_want_parameters(grid, parameters):
    observations, _ = world(grid)
    with pytest.raises(ValueError, match="not with mapping"):
        persistence.reconstruct(
            observations, grid, Task(name="mapping"), MapRequest(period=PERIOD, tuning=parameters)
        )
    for method in (oi_tuned, persistence):
        with pytest.raises(ValueError, match="set `tuning`"):
            method.reconstruct(observations, grid, Task(name="nrt"), MapRequest(period=PERIOD))
