"""Statistics of the learning period against numpy on the period alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline_spde.data.statistics import (
    anomaly_statistics,
    domain_statistics,
    training_statistics,
)
from pipeline_spde.fields import Maps, Tracks, daily_stamps
from pipeline_spde.grids import Grid

PERIOD = ("2013-01-05", "2013-01-14")


def make_maps(grid: Grid, rng: np.random.Generator) -> Maps:
    time = daily_stamps("2013-01-01", "2013-01-20")
    height = rng.normal(0.5, 0.2, (time.size, *grid.shape)).astype(np.float32)
    return Maps(time, grid, np.where(grid.land, np.nan, height).astype(np.float32), "ssh")


def make_tracks(rng: np.random.Generator, size: int, std: float, error: float) -> Tracks:
    start = np.datetime64("2013-01-01", "ns")
    hours = np.sort(rng.integers(0, 20 * 24, size)).astype("timedelta64[h]")
    height = rng.normal(0, std, size) + rng.normal(0, error, size)
    return Tracks(
        time=start + hours,
        lat=rng.uniform(36, 41, size),
        lon=rng.uniform(-64, -58, size),
        height=height.astype(np.float32),
        error=np.full(size, error, np.float32),
        mission=np.zeros(size, np.int8),
        missions=("saral",),
        pass_id=np.zeros(size, np.int32),
        quantity="sla",
        cross_track=np.zeros(size, np.float32),
    )


def test_mean_and_deviation_come_from_the_period_alone(small_grid, rng):
    maps = make_maps(small_grid, rng)
    mean, std, scalars = training_statistics(maps, PERIOD)
    inside = maps.height[4:14].astype(np.float64)
    assert mean == pytest.approx(inside.mean(axis=0))
    assert std == pytest.approx(inside.std(axis=0))
    assert mean.dtype == std.dtype == np.float64
    assert scalars["days"] == 10 and scalars["period"] == list(PERIOD)
    weights = np.broadcast_to(np.cos(np.radians(small_grid.lat))[:, None], small_grid.shape)
    assert scalars["mean"] == pytest.approx(np.average(mean, weights=weights))
    assert scalars["std"] == pytest.approx(np.sqrt(np.average(std**2, weights=weights)))
    assert json.loads(json.dumps(scalars, allow_nan=False)) == scalars


def test_days_outside_the_period_change_nothing(small_grid, rng):
    maps = make_maps(small_grid, rng)
    changed = maps.height.copy()
    changed[:4] += 1
    changed[14:] -= 1
    other = Maps(maps.time, maps.grid, changed, "ssh")
    first, second = (training_statistics(each, PERIOD) for each in (maps, other))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert first[2] == second[2]


def test_land_is_zero_and_does_not_count(small_grid, rng):
    land = np.zeros(small_grid.shape, bool)
    land[:, 3] = True
    grid = Grid.latlon(small_grid.lat, small_grid.lon, land)
    mean, std, scalars = training_statistics(make_maps(grid, rng), PERIOD)
    assert np.all(mean[land] == 0) and np.all(std[land] == 0)
    assert scalars["mean"] == pytest.approx(mean[~land].mean(), abs=2e-3)


def test_a_period_the_truth_does_not_hold_is_refused(small_grid, rng):
    with pytest.raises(ValueError, match="holds 6 of the 11 days"):
        training_statistics(make_maps(small_grid, rng), ("2013-01-15", "2013-01-25"))
    with pytest.raises(ValueError, match="no map between"):
        training_statistics(make_maps(small_grid, rng), ("2014-01-15", "2014-01-25"))


def test_anomalies_have_zero_mean_and_a_deviation_without_noise(small_grid, rng):
    tracks = make_tracks(rng, 20000, std=0.1, error=0.05)
    mean, std, scalars = anomaly_statistics(tracks, small_grid, ("2013-01-01", "2013-01-20"))
    assert np.all(mean == 0) and mean.shape == small_grid.shape
    assert np.unique(std) == pytest.approx(0.1, rel=0.03)
    assert scalars["std"] == pytest.approx(0.1, rel=0.03)
    assert scalars["mean"] == pytest.approx(0, abs=0.005)
    assert scalars["days"] == 20


def test_samples_off_the_domain_or_period_do_not_count(small_grid, rng):
    tracks = make_tracks(rng, 2000, std=0.1, error=0.05)
    outside = Grid.from_bounds((0.0, 5.0), (-64.0, -58.0), 0.5)
    with pytest.raises(ValueError, match="no sample on the domain"):
        anomaly_statistics(tracks, outside, ("2013-01-01", "2013-01-20"))
    with pytest.raises(ValueError, match="no sample on the domain"):
        anomaly_statistics(tracks, small_grid, ("2014-01-01", "2014-01-20"))


def test_samples_of_nothing_but_noise_are_refused(small_grid, rng):
    tracks = make_tracks(rng, 2000, std=0.0, error=0.05)
    quiet = tracks.select(np.abs(tracks.height) < 0.05)
    with pytest.raises(ValueError, match="not more than their noise"):
        anomaly_statistics(quiet, small_grid, ("2013-01-01", "2013-01-20"))


def test_a_domain_has_the_statistics_of_its_truth_or_else_of_its_samples(small_grid, rng):
    maps, tracks = make_maps(small_grid, rng), make_tracks(rng, 400, 0.2, 0.03)
    simulated = domain_statistics(maps, None, small_grid, PERIOD)
    assert simulated[2] == training_statistics(maps, PERIOD)[2]
    real = domain_statistics(None, tracks, small_grid, PERIOD)
    assert real[2] == anomaly_statistics(tracks, small_grid, PERIOD)[2]
    with pytest.raises(ValueError, match="give the truth, or the samples"):
        domain_statistics(None, None, small_grid, PERIOD)


def test_the_mean_of_a_truth_of_anomalies_is_zero_by_definition(small_grid, rng):
    maps = make_maps(small_grid, rng)
    shifted = Maps(maps.time, maps.grid, maps.height + np.float32(0.3), "sla")
    mean, std, _ = training_statistics(shifted, PERIOD)
    assert np.all(mean == 0)
    about_mean = training_statistics(maps, PERIOD)
    np.testing.assert_allclose(std**2, about_mean[1] ** 2 + (about_mean[0] + 0.3) ** 2, rtol=1e-4)
