"""Observations for the SPDE interpolation: means over the samples of one pass in one cell.

They keep their own position and time: a daily cell at its centre and at noon would carry the
difference between there and where the satellite was as an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.baselines.thinning import passes
from pipeline_spde.fields import Observations
from pipeline_spde.grids import Grid, wrap_longitude

Array = NDArray[np.float64]
Index = NDArray[np.int64]
_NOON = np.timedelta64(12, "h")


@dataclass(frozen=True, eq=False)
class SuperObservations:
    """Anomalies about the mean of the learning period, one per pass and cell.

    Attributes:
        day: calendar day (UTC), datetime64[D], shape (obs,).
        noon: days from 12:00 of that day, in [−0.5, 0.5), shape (obs,).
        row, column: position in cells, 0 at the first centre, shape (obs,).
        cell: (row, column) of the ocean cell it lies in, shape (obs, 2).
        value: m, shape (obs,), or (obs, columns) for several sets of values.
        variance: variance of the noise of the mean, m², shape (obs,).
    """

    day: NDArray[np.datetime64]
    noon: Array
    row: Array
    column: Array
    cell: Index
    value: Array
    variance: Array

    @property
    def columns(self) -> int | None:
        """Number of sets of values, None for a single one without a dimension of its own."""
        return None if self.value.ndim == 1 else int(self.value.shape[1])

    def select(self, keep: NDArray | slice) -> SuperObservations:
        """Return the observations of a boolean or integer index."""
        return replace(self, **{name: getattr(self, name)[keep] for name in vars(self)})


def superobservations(observations: Observations, grid: Grid) -> SuperObservations:
    """Return the means per pass and cell of all samples inside the ocean cells of a grid.

    Args:
        observations: the samples and the mean are used.
        grid: latitude-longitude grid.
    """
    tracks = observations.tracks
    row, column, inside = grid.cell_index(tracks.lat, tracks.lon)
    inside[inside] = grid.ocean[row[inside], column[inside]]
    tracks, row, column = tracks.select(inside), row[inside], column[inside]
    seconds = (tracks.time - tracks.time.astype("datetime64[D]") - _NOON) / np.timedelta64(1, "s")
    day = tracks.time.astype("datetime64[D]").astype(np.int64)
    label = np.stack([passes(tracks), day, row, column])
    keys, group, count = np.unique(label, axis=1, return_inverse=True, return_counts=True)
    group = group.reshape(-1)

    def average(values: NDArray) -> Array:
        return np.asarray(np.bincount(group, weights=values, minlength=count.size) / count)

    spacing_lat, spacing_lon = grid.lat[1] - grid.lat[0], grid.lon[1] - grid.lon[0]
    centre = grid.lon[column] - 180.0
    # offsets from the centre of the cell: no mean of longitudes across the date line
    east = (wrap_longitude(tracks.lon - centre, 0.0) - 180.0) / spacing_lon
    north = (tracks.lat - grid.lat[row]) / spacing_lat
    place_row, place_column = keys[2] + average(north), keys[3] + average(east)
    mean = _at(grid, np.nan_to_num(observations.mean), place_row, place_column)
    noise = average(tracks.error.astype(np.float64) ** 2) / count
    found = SuperObservations(
        day=keys[1].astype("datetime64[D]"),
        noon=average(seconds) / 86400.0,
        row=place_row,
        column=place_column,
        cell=keys[2:].T,
        value=average(tracks.height.astype(np.float64)) - mean,
        variance=noise,
    )
    return found.select(np.argsort(found.day, kind="stable"))


def corners(grid: Grid, row: Array, column: Array) -> tuple[Index, Array]:
    """Return flat indices and weights, each (points, 4), of linear interpolation on the ocean.

    Corners on land take no part; beyond the outermost centres the nearest values are taken. Each
    point must lie in an ocean cell.
    """
    ny, nx = grid.shape
    row = np.clip(row, 0, ny - 1)
    first_row = np.minimum(row.astype(np.int64), max(ny - 2, 0))
    if grid.periodic:
        column = np.mod(column, nx)
        first_column = np.minimum(column.astype(np.int64), nx - 1)
    else:
        column = np.clip(column, 0, nx - 1)
        first_column = np.minimum(column.astype(np.int64), max(nx - 2, 0))
    north, east = row - first_row, column - first_column
    index, weight = [], []
    for j, row_share in ((0, 1 - north), (1, north)):
        for i, column_share in ((0, 1 - east), (1, east)):
            rows = np.minimum(first_row + j, ny - 1)
            columns = (first_column + i) % nx if grid.periodic else first_column + i
            index.append(rows * nx + np.minimum(columns, nx - 1))
            weight.append(row_share * column_share)
    place, share = np.stack(index, axis=1), np.stack(weight, axis=1)
    share = share * grid.ocean.ravel()[place]
    return place, share / share.sum(axis=1, keepdims=True)


def _at(grid: Grid, field: Array, row: Array, column: Array) -> Array:
    """Return a field (lat, lon) interpolated to points."""
    place, share = corners(grid, row, column)
    return np.asarray((field.ravel()[place] * share).sum(axis=1))
