"""A small domain, a prior with few modes and points between the noons, for the SPDE baselines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline_spde.baselines.spde_model import SpdeModel, SpdeOiParameters
from pipeline_spde.baselines.superobs import SuperObservations, corners
from pipeline_spde.fields import Tracks
from pipeline_spde.grids import Grid

DAY = np.timedelta64(1, "D")
FIRST = np.datetime64("2020-03-01")
NOISE = 0.02


def box(south: float = 30.0, west: float = -60.0, shape=(14, 16), land=None) -> Grid:
    return Grid.latlon(
        south + 0.3 * (np.arange(shape[0]) + 0.5), west + 0.3 * (np.arange(shape[1]) + 0.5), land
    )


def parameters_of(grid: Grid, **changes) -> SpdeOiParameters:
    default = SpdeOiParameters(
        sigma=np.full(grid.shape, 0.15),
        amplitude=np.ones(grid.shape),
        range_km=160.0,
        decorrelation_time_days=9.0,
        noise_length_km=40.0,
        noise_order=1,
        rho=0.6,
        advection=0.0,
        representativeness_m=0.005,
        std_factor=1.0,
    )
    return replace(default, **changes)


def points(day, noon, row, column, value, error: float = NOISE) -> SuperObservations:
    """Observations at given places, sorted by day."""
    day = np.asarray(day, dtype="datetime64[D]")
    order = np.argsort(day, kind="stable")
    row, column = (np.asarray(v, dtype=float)[order] for v in (row, column))
    return SuperObservations(
        day[order],
        np.asarray(noon, dtype=float)[order],
        row,
        column,
        np.stack([np.rint(row), np.rint(column)], axis=1).astype(np.int64),
        np.asarray(value, dtype=float)[order],
        np.full(day.size, error**2),
    )


def random_points(grid: Grid, days, count: int, seed: int = 0) -> SuperObservations:
    rng = np.random.default_rng(seed)
    cells = np.argwhere(grid.ocean)
    cell = cells[rng.integers(len(cells), size=count)]
    place = np.clip(cell + rng.uniform(-0.49, 0.49, cell.shape), -0.49, None)
    return replace(
        points(
            np.sort(rng.choice(days, count)),
            rng.uniform(-0.5, 0.5, count),
            place[:, 0],
            place[:, 1],
            0.2 * rng.standard_normal(count),
        ),
        cell=cell,
    )


def model_of(parameters, grid, shortest_km=70.0, mean=None) -> SpdeModel:
    mean = np.zeros(grid.shape) if mean is None else mean
    return SpdeModel(parameters, grid, mean, shortest_km, 190.0)


def tracks_at(seen: SuperObservations, grid: Grid, mean: np.ndarray) -> Tracks:
    """Samples of which each point is one, on a pass of its own, on top of a mean (lat, lon)."""
    seconds = np.round(86400e9 * (0.5 + seen.noon)).astype("timedelta64[ns]")
    time = seen.day.astype("datetime64[ns]") + seconds
    order = np.argsort(time, kind="stable")
    place, weight = corners(grid, seen.row, seen.column)
    height = seen.value + (mean.ravel()[place] * weight).sum(axis=1)
    return Tracks(
        time=time[order],
        lat=grid.lat[0] + grid.resolution[0] * seen.row[order],
        lon=grid.lon[0] + grid.resolution[1] * seen.column[order],
        height=height[order].astype(np.float32),
        error=np.sqrt(seen.variance[order]).astype(np.float32),
        mission=np.zeros(order.size, np.int8),
        missions=("saral",),
        pass_id=np.arange(order.size, dtype=np.int32),
        quantity="ssh",
        cross_track=np.zeros(order.size, np.float32),
    )
