"""What the satellites would have seen of a draw of the prior: pseudo-observations with noise.

They lie where and when the real ones do, one per pass and cell, and carry the error that the real
ones are supposed to have: without it the spread of a conditional simulation misses K R Kᵀ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.baselines.superobs import SuperObservations, corners
from pipeline_spde.fields import GriddedObservations, Observations
from pipeline_spde.grids import Grid

_DAY = np.timedelta64(1, "D")
Single = NDArray[np.float32]


def observe_draws(
    draws: Iterator[Single],
    days: NDArray[np.datetime64],
    seen: SuperObservations,
    grid: Grid,
    representativeness_m: float,
    rng: np.random.Generator,
) -> Iterator[tuple[np.datetime64, Single, NDArray[np.int64], Single]]:
    """Yield each day with its draws, and the pseudo-observations of the noons up to it.

    Args:
        draws: fields at noon, (members, lat, lon), one for each of `days`.
        days: successive calendar days.
        seen: the real observations; their places, times and errors are used.
        grid: grid of the draws.
        representativeness_m: error of a mean per pass and cell beyond the noise of its samples.
        rng: source of the noise.

    Yields:
        The day, its draws, the numbers of the observations between the noon before and this one,
        and their values (obs, members), noise included.

    Raises:
        ValueError: observations lie outside the noons of the first and the last day.
    """
    since = seen.day - np.where(seen.noon < 0, 1, 0) * _DAY  # day of the noon before
    if seen.day.size and not (days[0] <= since.min() and since.max() < days[-1]):
        raise ValueError(
            f"observations between the noons of {since.min()} and {since.max() + _DAY} need draws "
            f"of these days; there are {days[0]} to {days[-1]}"
        )
    share = np.where(seen.noon < 0, 1 + seen.noon, seen.noon)
    place, weight = corners(grid, seen.row, seen.column)
    error = np.sqrt(seen.variance + representativeness_m**2)
    before: Single | None = None
    for day, field in zip(days, draws, strict=True):
        found = np.flatnonzero(since == day - _DAY)
        values = np.zeros((found.size, field.shape[0]), np.float32)
        if before is not None and found.size:
            late = share[found, None]
            at = [_at(part, place[found], weight[found]) for part in (before, field)]
            noise = error[found, None] * rng.standard_normal(values.shape)
            values = ((1 - late) * at[0] + late * at[1] + noise).astype(np.float32)
        yield day, field, found, values
        before = field


def _at(
    field: Single, place: NDArray[np.int64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return fields (members, lat, lon) at points (obs, 4 corners), shape (obs, members)."""
    flat = field.reshape(field.shape[0], -1)
    return np.einsum("moc,oc->om", flat[:, place], weight)


def as_cells(
    observations: Observations,
    seen: SuperObservations,
    values: Single,
    representativeness_m: float,
) -> Observations:
    """Return observations whose cells hold given anomalies instead of the real ones.

    Args:
        observations: the real ones; mask, error and count of the cells stay.
        seen: means per pass and cell of some days.
        values: anomalies of these, m, shape (obs,).
        representativeness_m: error of a mean per pass and cell beyond the noise of its samples.

    Returns:
        The same with the height of every cell and day that `seen` covers replaced by the mean of
        its values, weighted by their precision, plus the mean of the learning period; the samples
        behind them are the real ones still, and must not be used.
    """
    gridded: GriddedObservations = observations.gridded
    days = gridded.time.astype("datetime64[D]")
    number = np.minimum(np.searchsorted(days, seen.day), days.size - 1)
    held = days[number] == seen.day
    cell = (number[held], seen.cell[held, 0], seen.cell[held, 1])
    weight = 1.0 / (seen.variance[held] + representativeness_m**2)
    total, sum_of = np.zeros(gridded.height.shape), np.zeros(gridded.height.shape)
    np.add.at(total, cell, weight)
    np.add.at(sum_of, cell, weight * values[held])
    covered = (total > 0) & gridded.observed
    anomaly = np.where(covered, sum_of / np.where(covered, total, 1.0), 0.0)
    height = anomaly + np.nan_to_num(observations.mean)
    replaced = replace(
        gridded.masked(covered), height=np.where(covered, height, 0.0).astype(np.float32)
    )
    return replace(observations, gridded=replaced)
