"""Gridded anomalies and their precision, and the windows of days that a target may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.fields import GriddedObservations, Observations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task

Array = NDArray[np.float64]
Days = NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class CellAnomalies:
    """Daily cell anomalies about the mean of the learning period.

    Attributes:
        days: calendar days, datetime64[D], increasing, shape (time,).
        value: height − mean in m, 0 where unobserved (its weight is 0), shape (time, lat, lon).
        variance: error variance in m², 1 where unobserved (never read), shape (time, lat, lon).
        observed: True where a sample fell on an ocean cell, shape (time, lat, lon).
    """

    days: Days
    value: Array
    variance: Array
    observed: NDArray[np.bool_]

    def masked(self, keep: NDArray[np.bool_]) -> CellAnomalies:
        """Return the same days without the observations outside `keep` (time, lat, lon)."""
        return replace(self, observed=self.observed & keep)

    def index(self, days: Days) -> NDArray[np.int64]:
        """Return the position of each day, −1 for days that are not held; any shape."""
        place = np.searchsorted(self.days, days)
        place = np.minimum(place, self.days.size - 1)
        return np.where(self.days[place] == days, place, -1)


def cell_anomalies(observations: Observations, grid: Grid) -> CellAnomalies:
    """Return the anomalies of the gridded observations on the ocean cells of `grid`.

    Raises:
        ValueError: the observations are on another grid.
    """
    gridded: GriddedObservations = observations.gridded
    if not gridded.grid.same_axes(grid):
        raise ValueError(
            f"the gridded observations have {gridded.grid.shape} cells in {gridded.grid.bounds}, "
            f"the maps are wanted on {grid.shape} cells in {grid.bounds}; bin the observations "
            "to the grid of the maps"
        )
    observed = gridded.observed & grid.ocean
    anomaly = gridded.height.astype(np.float64) - np.nan_to_num(observations.mean)
    return CellAnomalies(
        days=gridded.time.astype("datetime64[D]"),
        value=np.where(observed, anomaly, 0.0),
        variance=np.where(observed, gridded.error.astype(np.float64), 1.0) ** 2,
        observed=observed,
    )


def target_days(period: Period) -> Days:
    """Return the calendar days of a period, both ends included."""
    return daily_stamps(period.start, period.end).astype("datetime64[D]")


def visible_offsets(task: Task, window_days: int) -> NDArray[np.int64]:
    """Return the days, relative to the target, whose observations a task may use.

    Raises:
        ValueError: the lead time leaves no observed day in the window.
    """
    offsets = np.array(task.observed_offsets(window_days), dtype=np.int64)
    if offsets.size == 0:
        raise ValueError(
            f"task {task.name} observes no day of a window of {window_days} days; "
            f"choose a window of more than {task.lead} days"
        )
    return offsets


def window_index(
    cells: CellAnomalies, targets: Days, offsets: Sequence[int] | NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each target the positions of its window's days, −1 for days not held.

    Args:
        cells: the observations.
        targets: calendar days, shape (targets,).
        offsets: days relative to the target, shape (window,).

    Returns:
        Positions of shape (targets, window).
    """
    shifts = np.asarray(offsets, dtype=np.int64).astype("timedelta64[D]")
    return cells.index(targets[:, None] + shifts)
