"""Readers of public data sets, one module each, and the checks that they share.

Every check names the file, what was found, what was expected and what to do. Readers return
`fields.Tracks`: metres, UTC, longitudes in [-180, 180), sorted by time, without missing values.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.fields import Day, as_day
from pipeline_spde.files import DataError
from pipeline_spde.grids import wrap_longitude

logger = logging.getLogger(__name__)

_TO_METRES = {
    "m": 1.0,
    "metre": 1.0,
    "metres": 1.0,
    "meter": 1.0,
    "meters": 1.0,
    "cm": 1e-2,
    "centimetre": 1e-2,
    "centimetres": 1e-2,
    "centimeter": 1e-2,
    "centimeters": 1e-2,
    "mm": 1e-3,
    "millimetre": 1e-3,
    "millimetres": 1e-3,
    "millimeter": 1e-3,
    "millimeters": 1e-3,
}


def to_metres(
    data: xr.DataArray, path: Path, plausible_m: tuple[float, float]
) -> NDArray[np.float64]:
    """Return a height variable in metres, NaN where missing.

    Args:
        data: variable with a `units` attribute: m, cm or mm, or their names.
        path: the file, for messages.
        plausible_m: (low, high): what one absolute height in a hundred exceeds must lie between.

    Raises:
        DataError: no or unknown units, no finite value, or heights that are not plausible.
    """
    units = str(data.attrs.get("units", "")).strip()
    if units.lower() not in _TO_METRES:
        raise DataError(
            f"{path}: {data.name} has units {units or 'missing'!r}, expected m, cm or mm; "
            "set the attribute `units` of the variable to what its values are in"
        )
    values = data.values.astype(np.float64) * _TO_METRES[units.lower()]
    values[~np.isfinite(values)] = np.nan
    if np.isnan(values).all():
        raise DataError(f"{path}: {data.name} holds no finite value; get the file again")
    usual = float(np.nanquantile(np.abs(values), 0.99))
    if not plausible_m[0] <= usual <= plausible_m[1]:
        raise DataError(
            f"{path}: {data.name} is said to be in {units}, but one absolute value in a hundred "
            f"exceeds {usual:.3g} m, expected {plausible_m[0]} to {plausible_m[1]} m; correct the "
            "attribute `units`"
        )
    return values


def to_instants(data: xr.DataArray, path: Path) -> NDArray[np.datetime64]:
    """Return a decoded time variable as datetime64[ns]; NaT where missing.

    Raises:
        DataError: the variable is a plain number: its `units` are missing.
    """
    if not np.issubdtype(data.dtype, np.datetime64):
        raise DataError(
            f"{path}: {data.name} is {data.dtype}, not a date; its attribute `units` should read "
            "'seconds since …' or the like"
        )
    return np.asarray(data.values.astype("datetime64[ns]"))


def to_degrees(
    lat: xr.DataArray, lon: xr.DataArray, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (latitudes, longitudes in [-180, 180)); NaN where missing.

    Raises:
        DataError: values outside [-90, 90] or [-360, 720], or none finite.
    """
    y, x = (axis.values.astype(np.float64) for axis in (lat, lon))
    for name, values, low, high in ((lat.name, y, -90.0, 90.0), (lon.name, x, -360.0, 720.0)):
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            raise DataError(f"{path}: {name} holds no finite value; get the file again")
        if finite.min() < low or finite.max() > high:
            raise DataError(
                f"{path}: {name} runs from {finite.min():g} to {finite.max():g}, expected degrees "
                f"within [{low:g}, {high:g}]; are the coordinates swapped or scaled?"
            )
    return y, wrap_longitude(np.where(np.isfinite(x), x, np.nan))


def sorted_without_duplicates(columns: dict[str, NDArray], path: Path) -> dict[str, NDArray]:
    """Return samples sorted by time without exact duplicates; a log line says what was done.

    Args:
        columns: arrays of one length without missing values; must hold "time". Samples equal in
            all columns are duplicates.
        path: the file, for the log.
    """
    time = columns["time"]
    steps = np.diff(time)
    if np.all(steps > np.timedelta64(0, "ns")):
        return columns
    unsorted = bool(np.any(steps < np.timedelta64(0, "ns")))
    # all columns decide the order, so that it does not depend on that of the file
    others = [columns[name] for name in sorted(columns) if name != "time"]
    order = np.lexsort((*others, time))
    result = {name: values[order] for name, values in columns.items()}
    same = np.ones(max(time.size - 1, 0), bool)
    for values in result.values():
        same &= values[1:] == values[:-1]
    keep = np.concatenate([np.ones(min(time.size, 1), bool), ~same])
    if unsorted or same.any():
        logger.info(
            "%s: %s%d exact duplicates dropped",
            path,
            "samples sorted by time, " if unsorted else "",
            int(same.sum()),
        )
    return {name: values[keep] for name, values in result.items()}


def require_overlap(
    time: NDArray[np.datetime64],
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    box: tuple[tuple[float, float], tuple[float, float]],
    period: tuple[Day, Day],
    path: Path,
) -> NDArray[np.bool_]:
    """Return which samples lie in a box and period (days, both ends included).

    Args:
        time: instants, shape (obs,).
        lat: degrees north, shape (obs,).
        lon: degrees east, shape (obs,).
        box: ((south, north), (west, east)); longitudes on any circle.
        period: first and last day.
        path: the file, for messages.

    Raises:
        DataError: no sample in the period, or none of these in the box; both ranges are named.
    """
    first, last = as_day(period[0]), as_day(period[1])
    days = time.astype("datetime64[D]")
    in_period = (days >= first) & (days <= last)
    if not in_period.any():
        raise DataError(
            f"{path}: no sample in the period {first} to {last}; the file holds {days.min()} to "
            f"{days.max()}: choose a period within"
        )
    (south, north), (west, east) = box
    in_box = (lat >= south) & (lat <= north) & (wrap_longitude(lon, west) <= east)
    if not (in_period & in_box).any():
        held_lat, held_lon = lat[in_period], lon[in_period]
        raise DataError(
            f"{path}: no sample from {first} to {last} in latitudes {south} to {north}, longitudes "
            f"{west} to {east}; the file's samples of that period span latitudes "
            f"{held_lat.min():.2f} to {held_lat.max():.2f}, longitudes {held_lon.min():.2f} to "
            f"{held_lon.max():.2f}: choose a box within"
        )
    return np.asarray(in_period & in_box)


def number_passes(
    time: NDArray[np.datetime64], lat: NDArray[np.float64], gap_minutes: float = 25.0
) -> NDArray[np.int32]:
    """Return pass numbers, counted from 0, of the time-sorted samples of one mission.

    A pass (half an orbit, about 50 minutes) ends where latitudes turn or samples stop for longer
    than `gap_minutes`; shorter gaps (land, ice) stay within it. The direction at a sample is taken
    towards its nearer neighbour in time.
    """
    if time.size < 2:
        return np.zeros(time.size, np.int32)
    wait = np.diff(time) / np.timedelta64(1, "s")
    climb = np.sign(np.diff(lat))
    before, after = np.append(np.inf, wait), np.append(wait, np.inf)
    direction = np.where(before < after, np.append(0, climb), np.append(climb, 0))
    # a sample at the turning point has no direction of its own: it keeps the one before
    known = np.where(direction != 0, np.arange(direction.size), 0)
    direction = direction[np.maximum.accumulate(known)]
    turned = (direction[1:] != direction[:-1]) & (direction[:-1] != 0)
    starts = turned | (wait > gap_minutes * 60)
    return np.concatenate([[0], np.cumsum(starts)]).astype(np.int32)
