"""Where probabilistic estimates are judged, day by day: cells of maps, or measurements.

A target says for each day what is true there and brings gridded data to the same places. It is the
only thing that the scores of maps and of tracks do not share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.scores.collocation import Collocation
from pipeline_spde.scores.regrid import around, to_grid, to_points
from pipeline_spde.scores.statistic import Array


@dataclass(frozen=True, eq=False)
class TargetDay:
    """The places of one day, all arrays of one shape: (lat, lon) of maps, (obs,) of tracks.

    Attributes:
        truth: m; NaN on land.
        valid: True where a place counts.
        lat: degrees north.
        lon: degrees east.
        truth_error: standard deviation of the error of `truth` in m: 0 for a simulated truth.
    """

    truth: Array
    valid: NDArray[np.bool_]
    lat: Array
    lon: Array
    truth_error: Array


class Target(ABC):
    """Places and days where estimates are judged.

    Attributes:
        days: calendar days, increasing, shape (days,).
    """

    days: NDArray[np.datetime64]

    @abstractmethod
    def of_day(self, row: int) -> TargetDay:
        """Return the places of a day."""

    @abstractmethod
    def span(self, row: int) -> tuple[np.datetime64, np.datetime64]:
        """Return the first and the last instant of a day at which something is judged."""

    @abstractmethod
    def interpolate(self, data: xr.DataArray, row: int) -> Array:
        """Return data (…, time, lat, lon) at the places of a day, NaN outside their hull."""

    def around(self, data: xr.DataArray, row: int) -> xr.DataArray:
        """Return the few maps that `interpolate` needs for a day; nothing else is read."""
        return around(data, *self.span(row))

    def at(self, data: xr.DataArray, row: int) -> Array:
        """Return data at the places of a day, reading no more than the maps around it."""
        return self.interpolate(self.around(data, row), row)


class MapTarget(Target):
    """The scored cells of a simulated truth."""

    def __init__(self, maps: Collocation) -> None:
        self.days = maps.days
        self.lat = maps.lat
        self.step = maps.step
        self._maps = maps
        self._lat, self._lon = np.meshgrid(maps.lat, maps.lon, indexing="ij")

    def of_day(self, row: int) -> TargetDay:
        """Return the scored cells that have a truth and a map."""
        maps = self._maps
        return TargetDay(
            maps.truth[row], maps.valid[row], self._lat, self._lon, np.zeros(self._lat.shape)
        )

    def span(self, row: int) -> tuple[np.datetime64, np.datetime64]:
        """Return the time stamp of the truth, twice."""
        stamp = self._maps.time[row]
        return stamp, stamp

    def interpolate(self, data: xr.DataArray, row: int) -> Array:
        """Return data on the scored cells, shape (…, lat, lon)."""
        return to_grid(data, self._maps.time[row : row + 1], self._maps.lat, self._maps.lon)[
            ..., 0, :, :
        ]


class TrackTarget(Target):
    """Independent measurements, in the order of their days.

    Args:
        time: of each measurement, shape (obs,).
        lat: degrees north.
        lon: degrees east.
        height: m.
        height_error: standard deviation of its error in m, shape (obs,).
        valid: which measurements count; the others are dropped.
    """

    def __init__(
        self,
        time: NDArray[np.datetime64],
        lat: Array,
        lon: Array,
        height: Array,
        height_error: Array,
        valid: NDArray[np.bool_],
    ) -> None:
        kept = np.flatnonzero(valid)
        kept = kept[np.argsort(time[kept], kind="stable")]
        self._time = time[kept]
        self._columns = [np.asarray(a)[kept] for a in (height, lat, lon, height_error)]
        stamps = self._time.astype("datetime64[D]")
        # every day from the first to the last measurement, as in DailySums.of_points
        self.days = np.arange(stamps[0], stamps[-1] + np.timedelta64(1, "D"))
        self._bounds = np.searchsorted(stamps, np.append(self.days, self.days[-1] + 1))

    def of_day(self, row: int) -> TargetDay:
        """Return the measurements of a day, possibly none."""
        height, lat, lon, error = (column[self._part(row)] for column in self._columns)
        return TargetDay(height, np.ones(height.shape, bool), lat, lon, error)

    def span(self, row: int) -> tuple[np.datetime64, np.datetime64]:
        """Return the instants of the first and the last measurement of a day that has some."""
        time = self._time[self._part(row)]
        return time[0], time[-1]

    def interpolate(self, data: xr.DataArray, row: int) -> Array:
        """Return data at the measurements, shape (…, obs)."""
        _, lat, lon, _ = (column[self._part(row)] for column in self._columns)
        return to_points(data, self._time[self._part(row)], lat, lon)

    def _part(self, row: int) -> slice:
        return slice(int(self._bounds[row]), int(self._bounds[row + 1]))
