"""Independent dense kriging and small synthetic observations for the tests of the baselines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.fields import GriddedObservations, Observations, Tracks, daily_stamps
from pipeline_spde.grids import Grid


def gaussian(first: NDArray, second: NDArray, lengths: tuple[float, ...]) -> NDArray:
    """exp(−Σ (d/L)²) of points (n, axes) and (m, axes), written out directly."""
    scaled = (first[:, None] - second[None]) / np.asarray(lengths)
    return np.exp(-np.sum(scaled**2, axis=-1))


def dense_kriging(
    points: NDArray,
    values: NDArray,
    noise_variance: NDArray,
    wanted: NDArray,
    lengths: tuple[float, ...],
    prior_std: float,
) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation by solving with the full covariance of the observations."""
    covariance = prior_std**2 * gaussian(points, points, lengths) + np.diag(noise_variance)
    cross = prior_std**2 * gaussian(wanted, points, lengths)
    mean = cross @ np.linalg.solve(covariance, values)
    explained = np.einsum("ij,ji->i", cross, np.linalg.solve(covariance, cross.T))
    return mean, np.sqrt(prior_std**2 - explained)


def empty_tracks() -> Tracks:
    nothing = np.zeros(0)
    return Tracks(
        time=nothing.astype("datetime64[ns]"),
        lat=nothing,
        lon=nothing,
        height=nothing.astype(np.float32),
        error=nothing.astype(np.float32),
        mission=nothing.astype(np.int8),
        missions=("saral",),
        pass_id=nothing.astype(np.int32),
        quantity="ssh",
        cross_track=nothing.astype(np.float32),
    )


def gridded(
    grid: Grid, start: str, values: NDArray, observed: NDArray, error: float | NDArray = 0.03
) -> GriddedObservations:
    """Observations of daily fields (time, lat, lon) at the observed cells."""
    end = np.datetime64(start) + np.timedelta64(len(values) - 1, "D")
    errors = np.broadcast_to(np.asarray(error, dtype=np.float32), values.shape)
    return GriddedObservations(
        time=daily_stamps(start, end),
        grid=grid,
        height=np.where(observed, values, 0).astype(np.float32),
        observed=observed,
        count=observed.astype(np.int32),
        error=np.where(observed, errors, np.inf).astype(np.float32),
        quantity="ssh",
    )


def smooth_field(rng: np.random.Generator, days: int, grid: Grid, std: float = 0.2) -> NDArray:
    """A sum of slow plane waves of a few degrees, shape (days, lat, lon)."""
    time = np.arange(days)[:, None, None]
    lat, lon = grid.lat[None, :, None], grid.lon[None, None, :]
    field = np.zeros((days, *grid.shape))
    for _ in range(12):
        k, m, w = rng.normal(0, (1.6, 1.6, 0.12))
        field += np.cos(k * lon + m * lat + w * time + rng.uniform(0, 2 * np.pi))
    return std * field / np.sqrt(6.0)


def observe(
    rng: np.random.Generator, grid: Grid, field: NDArray, share: float, start: str = "2013-01-01"
) -> Observations:
    """Noisy observations of a random share of the ocean cells, mean zero."""
    observed = (rng.random(field.shape) < share) & grid.ocean
    noisy = field + 0.03 * rng.standard_normal(field.shape)
    cells = gridded(grid, start, noisy, observed)
    return Observations(cells, empty_tracks(), np.zeros(grid.shape))
