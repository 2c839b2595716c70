"""Whether a NetCDF file holds what the manifest expects: names, units, box, days, stamps, gaps.

The time of day matters: in the OceanBench registry the truth is stamped 12:00 and the gridded
observations 00:00, and a map that is compared half a day off scores worse without a word.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.manifest import Expectation
from pipeline_spde.files import DataError, open_netcdf
from pipeline_spde.grids import wrap_longitude

_LAT = ("lat", "latitude", "nav_lat", "y")
_LON = ("lon", "longitude", "nav_lon", "x")
_TOLERANCE = 0.11
"""Degrees by which the end of an axis may miss the expected bound."""


def problems(path: str | Path, name: str, expect: Expectation | None) -> list[str]:
    """Return one sentence for each thing in a NetCDF file that is not as expected.

    Args:
        path: the file.
        name: what messages call it.
        expect: what it should hold; None: only that it opens and holds a variable.

    Raises:
        DataError: the file cannot be opened.
    """
    with _opened(path, name) as data:
        if not data.data_vars:
            return [f"{name}: the file holds no variable"]
        if expect is None:
            return []
        found = _names(data, expect) + _units(data, expect)
        found += _box(data, expect) + _times(data, expect) + _missing(data, expect)
        return [f"{name}: {sentence}" for sentence in found]


def is_of_kind(path: str | Path, expect: Expectation | None) -> bool:
    """Return True when a NetCDF file has the variables expected, whatever their values.

    Raises:
        DataError: the file cannot be opened.
    """
    with _opened(path, str(path)) as data:
        return expect is None or not _names(data, expect)


def _opened(path: str | Path, name: str) -> xr.Dataset:
    """Open a file; times that cannot be decoded are left as they are, to be told later."""
    try:
        return open_netcdf(path)
    except DataError:
        try:
            return open_netcdf(path, decode_times=False)
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from error


def _names(data: xr.Dataset, expect: Expectation) -> list[str]:
    held = [str(name) for name in data.variables]
    absent = [name for name in expect.variables if name not in held]
    found = [f"variable {absent} not found; the file holds {held}"] if absent else []
    if expect.any_of and not set(expect.any_of) & set(held):
        found.append(f"none of the variables {list(expect.any_of)} found; the file holds {held}")
    wanted = _first(data, expect)
    if expect.gridded is not None and wanted and (data[wanted].ndim > 1) != expect.gridded:
        what = "a grid" if expect.gridded else "a track, with one dimension"
        found.append(f"{wanted} has dimensions {list(data[wanted].dims)}, expected {what}")
    return found


def _first(data: xr.Dataset, expect: Expectation) -> str | None:
    """Return the first expected variable that the file holds."""
    names = (*expect.variables, *expect.any_of)
    return next((name for name in names if name in data.data_vars), None)


def _units(data: xr.Dataset, expect: Expectation) -> list[str]:
    found = []
    for name, unit in expect.units.items():
        stated = str(data[name].attrs.get("units", "")).strip() if name in data.variables else unit
        if stated != unit:
            found.append(f"{name} has units {stated or 'missing'!r}, expected {unit!r}")
    return found


def _axis(data: xr.Dataset, names: tuple[str, ...], standard: str) -> NDArray[np.float64] | None:
    """Return the finite values of a coordinate, found by its standard name or a usual name."""
    by_attribute = [
        str(n) for n, v in data.variables.items() if v.attrs.get("standard_name") == standard
    ]
    for name in [*by_attribute, *names]:
        if name in data.variables and data[name].dtype.kind in "fiu":
            values = data[name].values.astype(np.float64).ravel()
            return values[np.isfinite(values)]
    return None


def _box(data: xr.Dataset, expect: Expectation) -> list[str]:
    found = []
    axes = (
        ("latitude", _axis(data, _LAT, "latitude"), expect.lat),
        ("longitude", _axis(data, _LON, "longitude"), expect.lon),
    )
    for label, values, bounds in axes:
        if bounds is None:
            continue
        if values is None or values.size == 0:
            found.append(f"no {label} found")
            continue
        if label == "longitude":  # onto the circle that starts half a turn west of the box
            values = wrap_longitude(values, (bounds[0] + bounds[1]) / 2 - 180.0)
        low, high = float(values.min()), float(values.max())
        if not _agrees(low, high, bounds, expect.extent):
            found.append(
                f"{label} runs from {low:.2f} to {high:.2f}, which does not "
                f"{_RELATIONS[expect.extent]} {bounds[0]:g} to {bounds[1]:g}"
            )
    return found


_RELATIONS = {"equal": "end at", "within": "lie within", "overlap": "meet"}


def _agrees(low: float, high: float, bounds: tuple[float, float], extent: str) -> bool:
    if extent == "equal":
        return abs(low - bounds[0]) <= _TOLERANCE and abs(high - bounds[1]) <= _TOLERANCE
    if extent == "within":
        return low >= bounds[0] - _TOLERANCE and high <= bounds[1] + _TOLERANCE
    return low <= bounds[1] and high >= bounds[0]


def _times(data: xr.Dataset, expect: Expectation) -> list[str]:
    if expect.period is None and expect.steps is None and expect.stamp is None:
        return []
    if "time" not in data.variables:
        return ["no variable time found"]
    time = data["time"]
    found = []
    if expect.steps is not None and time.size != expect.steps:
        found.append(f"{time.size} times, expected {expect.steps}")
    if not np.issubdtype(time.dtype, np.datetime64):
        if expect.period or expect.stamp:
            units = time.attrs.get("units", "missing")
            found.append(f"time has units {units!r}, which give no date; it cannot be checked")
        return found
    instants = time.values.ravel()
    instants = instants[~np.isnat(instants)]
    if instants.size == 0:
        return [*found, "no time found"]
    return found + _period(instants, expect) + _stamp(instants, expect)


def _period(instants: NDArray[np.datetime64], expect: Expectation) -> list[str]:
    if expect.period is None:
        return []
    first, last = (str(t.astype("datetime64[D]")) for t in (instants.min(), instants.max()))
    if first >= str(expect.period.start) and last <= str(expect.period.end):
        return []
    return [f"the days {first} … {last} are not within {expect.period}"]


def _stamp(instants: NDArray[np.datetime64], expect: Expectation) -> list[str]:
    if expect.stamp is None:
        return []
    minutes = (instants - instants.astype("datetime64[D]")) / np.timedelta64(1, "m")
    hour, minute = expect.stamp.split(":")
    if np.all(np.round(minutes) == 60 * int(hour) + int(minute)):
        return []
    held = sorted({f"{int(m) // 60:02d}:{int(m) % 60:02d}" for m in np.unique(np.round(minutes))})
    return [f"stamped {', '.join(held[:4])}, expected {expect.stamp}: maps would be half a day off"]


def _missing(data: xr.Dataset, expect: Expectation) -> list[str]:
    """Check the share of missing values in three steps, so that large files stay quick."""
    if expect.missing is None:
        return []
    fields = [str(n) for n, v in data.data_vars.items() if v.ndim == 3 and v.dtype.kind == "f"]
    wanted = _first(data, expect) or next(iter(fields), None)
    if wanted is None:
        return ["no field found whose gaps could be counted"]
    variable = data[wanted]
    if "time" in variable.dims and variable.sizes["time"] > 3:
        last = variable.sizes["time"] - 1
        variable = variable.isel(time=[0, last // 2, last])
    share = float(np.mean(~np.isfinite(variable.values.astype(np.float64))))
    low, high = expect.missing
    if low <= share <= high:
        return []
    return [f"{share:.1%} of {wanted} is missing, expected {low:.0%} to {high:.0%}"]
