"""Observations per cell and day, and everything a method may see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.fields.conventions import (
    QUANTITIES,
    Day,
    Quantity,
    as_day,
    check_daily_times,
    check_shape,
    find_quantity,
    grid_coords,
    height_attrs,
)
from pipeline_spde.fields.tracks import Tracks
from pipeline_spde.grids import Grid, closes_circle


@dataclass(frozen=True, eq=False)
class GriddedObservations:
    """Daily observations binned to grid cells; the mask is `observed`, never a NaN or a zero.

    Attributes:
        time: daily stamps at 12:00 UTC, shape (time,).
        grid: the grid of the cells.
        height: mean of the samples of a cell and day in m; 0 where unobserved (and never read
            there), shape (time, lat, lon).
        observed: True where at least one sample fell, shape (time, lat, lon).
        count: number of samples, shape (time, lat, lon).
        error: standard deviation of `height` as an estimate of the daily cell mean in m: sample
            noise and representativeness; +inf where unobserved, shape (time, lat, lon).
        quantity: "ssh", "sla" or "adt".
    """

    time: NDArray[np.datetime64]
    grid: Grid
    height: NDArray[np.float32]
    observed: NDArray[np.bool_]
    count: NDArray[np.int32]
    error: NDArray[np.float32]
    quantity: Quantity

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {QUANTITIES}, got {self.quantity!r}")
        check_daily_times(self.time, "gridded observations")
        shape = (self.time.size, *self.grid.shape)
        for name in ("height", "observed", "count", "error"):
            check_shape(f"gridded observations: {name}", getattr(self, name), shape)
        if self.observed.dtype != np.bool_:
            raise ValueError(f"observed must be boolean, got {self.observed.dtype}")
        if not np.all(np.isfinite(self.height)):
            raise ValueError("gridded observations: height must be finite; use `observed` as mask")
        if np.any(self.observed & ~(np.isfinite(self.error) & (self.error > 0))):
            raise ValueError("gridded observations: observed cells need a positive finite error")

    def between(self, start: Day, end: Day) -> GriddedObservations:
        """Return the days from `start` to `end`, both included."""
        days = self.time.astype("datetime64[D]")
        keep = (days >= as_day(start)) & (days <= as_day(end))
        if not keep.any():
            raise ValueError(
                f"no observation day between {start} and {end}; the file holds "
                f"{days[0]} to {days[-1]}"
            )
        return self.at(keep)

    def at(self, index: NDArray) -> GriddedObservations:
        """Return the days of a boolean or integer index."""
        names = ("time", "height", "observed", "count", "error")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def masked(self, keep: NDArray[np.bool_]) -> GriddedObservations:
        """Return the same days with the observations outside `keep` (time, lat, lon) removed."""
        observed = self.observed & keep
        return replace(
            self,
            observed=observed,
            height=np.where(observed, self.height, np.float32(0)),
            count=np.where(observed, self.count, np.int32(0)),
            error=np.where(observed, self.error, np.float32(np.inf)),
        )

    def coverage(self) -> NDArray[np.float64]:
        """Return the observed fraction of the ocean cells per day, shape (time,)."""
        ocean = max(int(self.grid.ocean.sum()), 1)
        return np.asarray(self.observed.sum(axis=(1, 2)) / ocean)

    def to_dataset(self) -> xr.Dataset:
        """Return the cells as a Dataset; heights and errors are missing where unobserved."""
        dims = ("time", "lat", "lon")
        hole = np.float32(np.nan)
        data = xr.Dataset(
            {
                self.quantity: (
                    dims,
                    np.where(self.observed, self.height, hole),
                    height_attrs(self.quantity) | {"ancillary_variables": "observed obs_error"},
                ),
                "observed": (
                    dims,
                    self.observed.astype(np.int8),
                    {
                        "long_name": "at least one sample in the cell and day",
                        "flag_values": np.array([0, 1], np.int8),
                        "flag_meanings": "unobserved observed",
                    },
                ),
                "obs_count": (
                    dims,
                    self.count,
                    {"long_name": "number of samples in the cell and day", "units": "1"},
                ),
                "obs_error": (
                    dims,
                    np.where(self.observed, self.error, hole),
                    {
                        "long_name": "standard deviation of the error of the cell mean",
                        "units": "m",
                    },
                ),
            },
            coords=grid_coords(self.time, self.grid),
        )
        return data.assign_attrs(quantity=self.quantity)

    @classmethod
    def from_dataset(
        cls, data: xr.Dataset, land: NDArray[np.bool_] | None = None
    ) -> GriddedObservations:
        """Return the observations held by a Dataset in the layout of `to_dataset`."""
        quantity = find_quantity(data)
        observed = data["observed"].values.astype(bool)
        height, error = (data[name].values.astype(np.float32) for name in (quantity, "obs_error"))
        lat, lon = data["lat"].values, data["lon"].values
        return cls(
            time=data["time"].values.astype("datetime64[ns]"),
            grid=Grid.latlon(lat, lon, land, periodic=closes_circle(lon)),
            height=np.where(observed, height, np.float32(0)),
            observed=observed,
            count=data["obs_count"].values.astype(np.int32),
            error=np.where(observed, error, np.float32(np.inf)),
            quantity=quantity,
        )


@dataclass(frozen=True, eq=False)
class Observations:
    """Everything a method may see: binned cells, raw samples and the training-period mean.

    Attributes:
        gridded: observations per cell and day, with the mean still in.
        tracks: the samples behind them.
        mean: mean height of the training period in m (zero where only anomalies are known),
            shape (lat, lon). It comes from the learning period, never from evaluated days.
    """

    gridded: GriddedObservations
    tracks: Tracks
    mean: NDArray[np.float64]

    def __post_init__(self) -> None:
        check_shape("mean", self.mean, self.gridded.grid.shape)
        if self.gridded.quantity != self.tracks.quantity:
            raise ValueError(
                f"gridded observations hold {self.gridded.quantity}, tracks {self.tracks.quantity}"
            )
