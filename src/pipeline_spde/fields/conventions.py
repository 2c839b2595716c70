"""What the objects of `fields` share: names, units, daily stamps, coordinates, checks."""

from __future__ import annotations

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


def check_daily_times(time: NDArray[np.datetime64], what: str) -> None:
    """Raise ValueError where times are not increasing daily stamps at 12:00 UTC."""
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


def check_shape(name: str, array: NDArray, shape: tuple[int, ...]) -> None:
    """Raise ValueError where an array does not have the expected shape."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")


LAT_ATTRS = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
LON_ATTRS = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}


def height_attrs(quantity: str) -> dict[str, str]:
    """Return the CF attributes of a height."""
    return {
        "standard_name": STANDARD_NAMES[quantity],
        "long_name": LONG_NAMES[quantity],
        "units": "m",
    }


def grid_coords(time: NDArray[np.datetime64], grid: Grid) -> dict[str, tuple]:
    """Return the coordinates (time, lat, lon) of a Dataset of daily maps."""
    time_attrs = {"standard_name": "time", "long_name": "centre of the daily mean", "axis": "T"}
    return {
        "time": ("time", time, time_attrs),
        "lat": ("lat", grid.lat, LAT_ATTRS | {"axis": "Y"}),
        "lon": ("lon", grid.lon, LON_ATTRS | {"axis": "X"}),
    }


def find_quantity(data: xr.Dataset) -> Quantity:
    """Return the name of the height that a Dataset holds.

    Raises:
        ValueError: it holds none.
    """
    for name in QUANTITIES:
        if name in data:
            return name  # type: ignore[return-value]
    raise ValueError(f"no variable {', '.join(QUANTITIES)} found; the data hold {list(data)}")
