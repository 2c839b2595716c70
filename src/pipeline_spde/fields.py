"""The objects that travel between the rooms: Tracks, GriddedObservations, Maps, Observations.

Each carries its grid, mask, units and quantity and checks itself when made, so that a function
that receives one need not check again. Conversion to and from xarray uses the names, dims and
units of the file formats (docs/formats.md); writing to disk is `pipeline_spde.io`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.grids import Grid

Quantity = Literal["ssh", "sla", "adt"]
Day = str | date | np.datetime64
QUANTITIES: tuple[str, ...] = get_args(Quantity)

LONG_NAMES = {
    "ssh": "sea surface height",
    "sla": "sea level anomaly",
    "adt": "absolute dynamic topography",
}
STANDARD_NAMES = {
    "ssh": "sea_surface_height_above_geoid",
    "sla": "sea_surface_height_above_sea_level",
    "adt": "sea_surface_height_above_geoid",
}


def as_day(when: Day) -> np.datetime64:
    """Return the calendar day (UTC) of a date or instant."""
    return np.asarray(when, dtype="datetime64[D]").reshape(1)[0]


def daily_stamps(start: Day, end: Day) -> NDArray[np.datetime64]:
    """Return the 12:00 UTC stamps of every day from `start` to `end`, both included."""
    first, last = as_day(start), as_day(end)
    if last < first:
        raise ValueError(f"the period ends ({last}) before it starts ({first})")
    days = np.arange(first, last + np.timedelta64(1, "D"), dtype="datetime64[D]")
    return np.asarray(days.astype("datetime64[ns]") + np.timedelta64(12, "h"))


def _check_daily_times(time: NDArray[np.datetime64], what: str) -> None:
    if time.ndim != 1 or time.size == 0:
        raise ValueError(f"{what}: time must be a non-empty 1-D axis, got shape {time.shape}")
    if not np.issubdtype(time.dtype, np.datetime64):
        raise ValueError(f"{what}: time must be datetime64, got {time.dtype}")
    steps = np.diff(time)
    if np.any(steps <= np.timedelta64(0, "ns")):
        bad = int(np.flatnonzero(steps <= np.timedelta64(0, "ns"))[0])
        raise ValueError(
            f"{what}: times must increase without repeats; {time[bad]} is followed by "
            f"{time[bad + 1]}"
        )
    offset = (time - time.astype("datetime64[D]")).astype("timedelta64[s]").astype(int)
    if np.any(offset != 12 * 3600):
        bad = int(np.flatnonzero(offset != 12 * 3600)[0])
        raise ValueError(
            f"{what}: daily means are stamped 12:00 UTC, found {time[bad]}; convert when reading"
        )


def _check_shape(name: str, array: NDArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")


@dataclass(frozen=True, eq=False)
class Tracks:
    """Along-track or swath samples, flattened to one axis and sorted by time.

    Attributes:
        time: instants, UTC, datetime64[ns], non-decreasing, shape (obs,).
        lat: degrees north, shape (obs,).
        lon: degrees east in [-180, 180), shape (obs,).
        height: observed height in m, finite, shape (obs,).
        error: standard deviation of the observation noise in m, > 0, shape (obs,).
        mission: index into `missions`, shape (obs,).
        missions: names, e.g. ("saral", "swot_karin").
        pass_id: number of the pass (unique within a mission), shape (obs,).
        quantity: what `height` is: "ssh", "sla" or "adt".
        cross_track: signed distance from nadir in km (0 for nadir altimeters), shape (obs,).
    """

    time: NDArray[np.datetime64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    height: NDArray[np.float32]
    error: NDArray[np.float32]
    mission: NDArray[np.int8]
    missions: tuple[str, ...]
    pass_id: NDArray[np.int32]
    quantity: Quantity
    cross_track: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {QUANTITIES}, got {self.quantity!r}")
        shape = self.time.shape
        if len(shape) != 1:
            raise ValueError(f"tracks are 1-D, got time of shape {shape}")
        for name in ("lat", "lon", "height", "error", "mission", "pass_id", "cross_track"):
            _check_shape(f"tracks: {name}", getattr(self, name), shape)
        if np.any(np.diff(self.time) < np.timedelta64(0, "ns")):
            raise ValueError("tracks: times must be sorted; sort the samples when reading")
        for name in ("lat", "lon", "height", "error"):
            if not np.all(np.isfinite(getattr(self, name))):
                raise ValueError(f"tracks: {name} holds NaN or infinite values; drop them first")
        if shape[0] and (self.mission.min() < 0 or self.mission.max() >= len(self.missions)):
            raise ValueError(f"tracks: mission index outside 0..{len(self.missions) - 1}")

    def __len__(self) -> int:
        return int(self.time.size)

    def select(self, keep: NDArray[np.bool_]) -> Tracks:
        """Return the samples where `keep` (obs,) is True."""
        names = ("time", "lat", "lon", "height", "error", "mission", "pass_id", "cross_track")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})

    def of_missions(self, names: Sequence[str]) -> Tracks:
        """Return the samples of the named missions; an unknown name is an error."""
        unknown = sorted(set(names) - set(self.missions))
        if unknown:
            raise ValueError(f"no mission {unknown} in these tracks; they hold {self.missions}")
        wanted = [i for i, name in enumerate(self.missions) if name in set(names)]
        return self.select(np.isin(self.mission, wanted))

    def between(self, start: Day, end: Day) -> Tracks:
        """Return the samples of the days from `start` to `end`, both included."""
        first = as_day(start).astype("datetime64[ns]")
        last = (as_day(end) + np.timedelta64(1, "D")).astype("datetime64[ns]")
        return self.select((self.time >= first) & (self.time < last))

    def to_dataset(self) -> xr.Dataset:
        """Return the samples as an xarray Dataset on dim `obs`."""
        data = xr.Dataset(
            {
                self.quantity: ("obs", self.height, _height_attrs(self.quantity)),
                "obs_error": (
                    "obs",
                    self.error,
                    {"units": "m", "long_name": "standard deviation of the observation noise"},
                ),
                "mission": (
                    "obs",
                    self.mission,
                    {
                        "long_name": "mission",
                        "flag_values": np.arange(len(self.missions), dtype=np.int8),
                        "flag_meanings": " ".join(self.missions),
                    },
                ),
                "pass": ("obs", self.pass_id, {"long_name": "pass number", "units": "1"}),
                "cross_track_distance": (
                    "obs",
                    self.cross_track,
                    {"units": "km", "long_name": "signed distance from nadir"},
                ),
            },
            coords={
                "time": ("obs", self.time, {"standard_name": "time", "long_name": "time"}),
                "lat": ("obs", self.lat, _LAT_ATTRS),
                "lon": ("obs", self.lon, _LON_ATTRS),
            },
        )
        return data.assign_attrs(quantity=self.quantity, featureType="point")

    @classmethod
    def from_dataset(cls, data: xr.Dataset) -> Tracks:
        """Return the tracks held by a Dataset in the layout of `to_dataset`."""
        quantity = _find_quantity(data)
        names = tuple(str(data["mission"].attrs["flag_meanings"]).split())
        return cls(
            time=data["time"].values.astype("datetime64[ns]"),
            lat=data["lat"].values.astype(np.float64),
            lon=data["lon"].values.astype(np.float64),
            height=data[quantity].values.astype(np.float32),
            error=data["obs_error"].values.astype(np.float32),
            mission=data["mission"].values.astype(np.int8),
            missions=names,
            pass_id=data["pass"].values.astype(np.int32),
            quantity=quantity,
            cross_track=data["cross_track_distance"].values.astype(np.float32),
        )


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
        _check_daily_times(self.time, "gridded observations")
        shape = (self.time.size, *self.grid.shape)
        for name in ("height", "observed", "count", "error"):
            _check_shape(f"gridded observations: {name}", getattr(self, name), shape)
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
                    _height_attrs(self.quantity) | {"ancillary_variables": "observed obs_error"},
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
            coords=_grid_coords(self.time, self.grid),
        )
        return data.assign_attrs(quantity=self.quantity)

    @classmethod
    def from_dataset(
        cls, data: xr.Dataset, land: NDArray[np.bool_] | None = None
    ) -> GriddedObservations:
        """Return the observations held by a Dataset in the layout of `to_dataset`."""
        quantity = _find_quantity(data)
        observed = data["observed"].values.astype(bool)
        height, error = (data[name].values.astype(np.float32) for name in (quantity, "obs_error"))
        return cls(
            time=data["time"].values.astype("datetime64[ns]"),
            grid=Grid.latlon(data["lat"].values, data["lon"].values, land),
            height=np.where(observed, height, np.float32(0)),
            observed=observed,
            count=data["obs_count"].values.astype(np.int32),
            error=np.where(observed, error, np.float32(np.inf)),
            quantity=quantity,
        )


@dataclass(frozen=True, eq=False)
class Maps:
    """Daily maps on a grid: a truth, an analysis or a forecast.

    Attributes:
        time: daily stamps at 12:00 UTC, shape (time,).
        grid: the grid; values on land are NaN.
        height: m, finite on every ocean cell, shape (time, lat, lon).
        quantity: "ssh", "sla" or "adt".
        std: standard deviation of the error of `height` in m, or None, shape (time, lat, lon).
    """

    time: NDArray[np.datetime64]
    grid: Grid
    height: NDArray[np.float32]
    quantity: Quantity
    std: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {QUANTITIES}, got {self.quantity!r}")
        _check_daily_times(self.time, "maps")
        shape = (self.time.size, *self.grid.shape)
        for name, array in (("height", self.height), ("std", self.std)):
            if array is None:
                continue
            _check_shape(f"maps: {name}", array, shape)
            bad = ~np.isfinite(array) & self.grid.ocean
            if bad.any():
                day = int(np.flatnonzero(bad.any(axis=(1, 2)))[0])
                raise ValueError(
                    f"maps: {name} is not finite on {int(bad[day].sum())} ocean cells of "
                    f"{self.time[day].astype('datetime64[D]')}"
                )
        if self.std is not None and np.any(self.std[:, self.grid.ocean] < 0):
            raise ValueError("maps: std must not be negative")

    def between(self, start: Day, end: Day) -> Maps:
        """Return the days from `start` to `end`, both included."""
        days = self.time.astype("datetime64[D]")
        keep = (days >= as_day(start)) & (days <= as_day(end))
        if not keep.any():
            raise ValueError(
                f"no map between {start} and {end}; the maps hold {days[0]} to {days[-1]}"
            )
        std = None if self.std is None else self.std[keep]
        return replace(self, time=self.time[keep], height=self.height[keep], std=std)

    def to_dataset(self) -> xr.Dataset:
        """Return the maps as a Dataset with variables `ssh|sla|adt` and `ssh_std|…`."""
        dims = ("time", "lat", "lon")
        data = xr.Dataset(
            {self.quantity: (dims, self.height, _height_attrs(self.quantity))},
            coords=_grid_coords(self.time, self.grid),
        )
        if self.std is not None:
            name = LONG_NAMES[self.quantity]
            attrs = {"units": "m", "long_name": f"standard deviation of the error of {name}"}
            data[f"{self.quantity}_std"] = (dims, self.std, attrs)
            data[self.quantity].attrs["ancillary_variables"] = f"{self.quantity}_std"
        return data.assign_attrs(quantity=self.quantity)

    @classmethod
    def from_dataset(cls, data: xr.Dataset, land: NDArray[np.bool_] | None = None) -> Maps:
        """Return the maps held by a Dataset; cells that are never finite count as land."""
        quantity = _find_quantity(data)
        height = data[quantity].values.astype(np.float32)
        if land is None:
            land = np.asarray(~np.isfinite(height).any(axis=0))
        std = data.get(f"{quantity}_std")
        return cls(
            time=data["time"].values.astype("datetime64[ns]"),
            grid=Grid.latlon(data["lat"].values, data["lon"].values, land),
            height=height,
            quantity=quantity,
            std=None if std is None else std.values.astype(np.float32),
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
        _check_shape("mean", self.mean, self.gridded.grid.shape)
        if self.gridded.quantity != self.tracks.quantity:
            raise ValueError(
                f"gridded observations hold {self.gridded.quantity}, tracks {self.tracks.quantity}"
            )


_LAT_ATTRS = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
_LON_ATTRS = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}


def _height_attrs(quantity: str) -> dict[str, str]:
    return {
        "standard_name": STANDARD_NAMES[quantity],
        "long_name": LONG_NAMES[quantity],
        "units": "m",
    }


def _grid_coords(time: NDArray[np.datetime64], grid: Grid) -> dict[str, tuple]:
    time_attrs = {"standard_name": "time", "long_name": "centre of the daily mean", "axis": "T"}
    return {
        "time": ("time", time, time_attrs),
        "lat": ("lat", grid.lat, _LAT_ATTRS | {"axis": "Y"}),
        "lon": ("lon", grid.lon, _LON_ATTRS | {"axis": "X"}),
    }


def _find_quantity(data: xr.Dataset) -> Quantity:
    for name in QUANTITIES:
        if name in data:
            return name  # type: ignore[return-value]
    raise ValueError(f"no variable {', '.join(QUANTITIES)} found; the data hold {list(data)}")
