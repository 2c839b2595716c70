"""eNATL60 and NATL60 model output: hourly snapshots (native grid), daily means (regular grid).

| what | files | variables | stamps |
| --- | --- | --- | --- |
| snapshots | `eNATL60*-BLB002_yYYYYmMMdDD*.nc` | `sossheig` or `ssh`, 2-D coordinates | hh:30 |
| daily | `{eNATL60-BLB002,NATL60-CJM165}-daily-reg-1_{8,20}.nc` | `ssh`, `sla` | 00:00 or 12:00 |

Heights are model SSH in m, above the model's own zero: they compare with no altimeter before a mean
is removed. Snapshots are hourly means with internal waves in them, not daily means: they stay as
they are, on their own curvilinear nodes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources import PLAUSIBLE_HEIGHT_M, metres_per_unit, require_plausible
from pipeline_spde.data.sources.axes import find_coordinate
from pipeline_spde.data.sources.gridded import read_maps
from pipeline_spde.data.sources.opening import (
    FilePaths,
    Header,
    decoded,
    header_of,
    list_files,
    numbers,
    open_raw,
)
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.survey import GridLayout
from pipeline_spde.data.sources.times import read_instants
from pipeline_spde.fields import Day, Maps
from pipeline_spde.files import DataError
from pipeline_spde.grids import wrap_longitude

_HEIGHTS = ("sossheig", "ssh")
_DATE_IN_NAME = r"y?(\d{4})m?(\d{2})d?(\d{2})(?!\d)"


def is_snapshots(header: Header) -> bool:
    """Return True for model output on the native grid, or a cut of it on a regular one."""
    ours = header.named("NATL60") or header.says("NATL60")
    regular = any(header.ndim(name) in (2, 3) for name in _HEIGHTS) and header.named("eNATL60")
    return ours and (is_curvilinear(header) or (regular and not is_daily(header)))


def is_curvilinear(header: Header) -> bool:
    """Return True for heights with 2-D coordinates that are no swath."""
    name = next((name for name in _HEIGHTS if header.ndim(name) in (2, 3)), None)
    two_dimensional = any(header.ndim(n) == 2 for n in ("nav_lat", "lat", "latitude"))
    return name is not None and two_dimensional and header.dims[name][-1:] != ("num_pixels",)


def is_daily(header: Header) -> bool:
    """Return True for daily means on a regular grid."""
    return header.named(r"NATL60.*-daily-reg-") and header.ndim("ssh") == 3


def read_daily(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    quantity: Literal["ssh", "sla"] = "ssh",
    every: int = 1,
) -> Maps:
    """Return the daily means on the regular grid.

    Args:
        path: the file (GB: give a box, only that is read).
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        quantity: "sla" is the file's own anomaly.
        every: keep every n-th row and column.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `gridded.read_maps`.
    """
    if quantity not in ("ssh", "sla"):
        raise ValueError(f"quantity: choose ssh or sla, got {quantity!r}")
    layout = GridLayout((quantity,), quantity, "label", "m")
    return read_maps(list_files(path), layout, Selection(lat, lon, period), every)


def read_snapshots(path: FilePaths, instant: str | np.datetime64 | None = None) -> xr.Dataset:
    """Return snapshots on their native nodes.

    Args:
        path: a file or several of one region.
        instant: of a file that has no time and no date in its name.

    Returns:
        Dataset with `ssh` [m] (time, y, x), NaN on land; `lat`, `lon` (degrees, longitudes in
        [-180, 180)) on (y, x); `time` as in the files, increasing.

    Raises:
        FileNotFoundError: no such file.
        DataError: a file is unusable, or files of different nodes or the same instant.
    """
    parts = [_read_snapshot(file, instant) for file in list_files(path)]
    first = parts[0]
    for part in parts[1:]:
        if part["lat"].shape != first["lat"].shape or not np.allclose(part["lat"], first["lat"]):
            raise DataError(f"{part.attrs['file']}: its nodes are not those of the first file")
    joined = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override")
    joined = joined.sortby("time")
    if np.any(np.diff(joined["time"].values) <= np.timedelta64(0, "ns")):
        raise DataError(f"{first.attrs['file']}: an instant is given twice; remove one")
    return joined.drop_attrs(deep=False).assign_attrs(quantity="ssh")


def _read_snapshot(path: Path, instant: str | np.datetime64 | None) -> xr.Dataset:
    with open_raw(path) as data:
        header = header_of(data, path)
        name = next((n for n in _HEIGHTS if header.has(n)), _HEIGHTS[0])
        array = decoded(data, name, path)
        height = numbers(array, path) * metres_per_unit(array, path, "m")
        lat, lon = (
            numbers(decoded(data, find_coordinate(header, kind), path), path)
            for kind in ("lat", "lon")
        )
        time = _instants(data, header, instant)
    height = height[None] if height.ndim == 2 else height
    if lat.ndim == 1 and lon.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    if height.ndim != 3 or height.shape != (time.size, *lat.shape) or lon.shape != lat.shape:
        raise DataError(
            f"{path}: {name} has shape {height.shape}, time {time.shape}, latitudes {lat.shape}, "
            f"longitudes {lon.shape}; expected (time, y, x) and (y, x)"
        )
    _require_nodes(lat, lon, path)
    require_plausible(height, name, "m", path, PLAUSIBLE_HEIGHT_M)
    return xr.Dataset(
        {"ssh": (("time", "y", "x"), height, {"units": "m", "long_name": "sea surface height"})},
        coords={
            "time": time,
            "lat": (("y", "x"), lat, {"units": "degrees_north"}),
            "lon": (("y", "x"), wrap_longitude(lon), {"units": "degrees_east"}),
        },
        attrs={"file": str(path)},
    )


def _instants(
    data: xr.Dataset, header: Header, instant: str | np.datetime64 | None
) -> NDArray[np.datetime64]:
    path = header.path
    if any(header.has(name) for name in ("time", "time_counter")):
        time = read_instants(data, find_coordinate(header, "time"), path)
        if np.isnat(time).any() or time.size == 0:
            raise DataError(f"{path}: the time holds missing or no values; get the file again")
        return time
    if instant is not None:
        return np.array([instant], "datetime64[ns]")
    dated = re.search(_DATE_IN_NAME, path.stem)
    if dated is None:
        raise DataError(
            f"{path}: no time, and no date (yYYYYmMMdDD) in the name; give it (instant=…)"
        )
    try:
        day = np.datetime64("-".join(dated.groups()), "D")
    except ValueError as error:
        raise DataError(f"{path}: {dated.group()} in the name is no date ({error})") from error
    return np.array([day.astype("datetime64[ns]") + np.timedelta64(12, "h")])


def _require_nodes(lat: NDArray[np.float64], lon: NDArray[np.float64], path: Path) -> None:
    for name, values, low, high in (("latitudes", lat, -90, 90), ("longitudes", lon, -360, 720)):
        if not np.all(np.isfinite(values)):
            raise DataError(f"{path}: {name} hold missing values; get the file again")
        if values.size == 0 or values.min() < low or values.max() > high:
            raise DataError(f"{path}: {name} are not degrees within [{low}, {high}]")
