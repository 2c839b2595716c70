"""Writing our data in the layouts of the public challenges, for other people's code and for tests.

Names, dims and stamps are those of the formats as `data.sources` reads them; every file comes back
through its reader. Files appear under their final name only when they are complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources.dc2020a import MISSION_FILES
from pipeline_spde.data.sources.oceanbench import ORIGIN
from pipeline_spde.fields import GriddedObservations, Maps, Tracks
from pipeline_spde.files import atomic_path
from pipeline_spde.grids import Grid

_FILL = np.float64(9.969209968386869e36)
_LAT = {"units": "degrees_north", "standard_name": "latitude"}
_LON = {"units": "degrees_east", "standard_name": "longitude"}
_HALF_HOUR = np.timedelta64(30, "m")


def write_dc2020a_reference(truth: Maps, folder: str | Path) -> list[Path]:
    """Write maps as the hourly reference of the 2020a challenge, one file a day.

    Each of the 24 hourly fields of a day, stamped hh:30, is the daily mean itself: the motion
    within a day is not known, and their mean is exact.

    Args:
        truth: daily maps.
        folder: gets `NATL60-CJM165_GULFSTREAM_yYYYYmMMdDD.1h_SSH.nc`.

    Returns:
        The files written.

    Raises:
        ValueError: heights that are no model SSH.
    """
    _require_ssh(truth.quantity)
    hours = np.arange(24) * np.timedelta64(1, "h") + _HALF_HOUR
    written = []
    for stamp, height in zip(truth.time, truth.height, strict=True):
        day = stamp.astype("datetime64[D]")
        year, month, number = str(day).split("-")
        name = f"NATL60-CJM165_GULFSTREAM_y{year}m{month}d{number}.1h_SSH.nc"
        hourly = np.broadcast_to(height, (24, *height.shape))
        data = _on_grid({"sossheig": hourly}, day.astype("datetime64[ns]") + hours, truth.grid)
        written.append(_write(data, Path(folder) / name))
    return written


def write_dc2020a_observations(tracks: Tracks, folder: str | Path) -> list[Path]:
    """Write samples as the observations of the 2020a challenge, one file per mission.

    Swath samples are laid out on lines (equal instants) and pixels (equal distances across the
    track). The challenge's own heights carry no noise; these are the samples as they are.

    Args:
        tracks: samples of missions of the challenge.
        folder: gets `2020a_SSH_mapping_NATL60_<mission>.nc`.

    Returns:
        The files written, in the order of the missions.

    Raises:
        ValueError: heights that are no model SSH, a mission that the challenge does not have, or
            one without samples.
    """
    _require_ssh(tracks.quantity)
    # the long names come first in the table
    names = {mission: part for part, mission in reversed(MISSION_FILES.items())}
    unknown = [mission for mission in tracks.missions if mission not in names]
    if unknown:
        raise ValueError(f"the 2020a challenge has no mission {unknown}; it has {sorted(names)}")
    silent = sorted(set(tracks.missions) - {tracks.missions[i] for i in np.unique(tracks.mission)})
    if silent:
        raise ValueError(f"{silent}: no sample to write")
    written = []
    for mission in tracks.missions:
        own = tracks.of_missions([mission])
        data = _swath(own) if np.any(own.cross_track != 0) else _nadir(own)
        path = Path(folder) / f"2020a_SSH_mapping_NATL60_{names[mission]}.nc"
        written.append(_write(data, path))
    return written


def write_oceanbench_truth(truth: Maps, path: str | Path) -> Path:
    """Write maps as the gridded truth of OceanBench: `ssh`, 12:00, seconds without units.

    The layout counts seconds from 2012-10-01 whatever the year; `path` should end in
    `gf_mod_ssh_daily.nc`, by which the file is known. Heights that are no model SSH are refused
    (ValueError).
    """
    _require_ssh(truth.quantity)
    data = _on_grid({"ssh": truth.height}, truth.time, truth.grid)
    seconds = (truth.time - np.datetime64(ORIGIN, "ns")) / np.timedelta64(1, "s")
    return _write(data.assign_coords(time=("time", seconds)), path)


def write_oceanbench_observations(cells: GriddedObservations, path: str | Path) -> Path:
    """Write gridded observations as those of OceanBench: `ssh_mod`, 00:00, days without units.

    Their error and number of samples have no place in the layout; `path` should end in
    `gf_obs_nadirswot.nc` or the like, by which the file is known. Heights that are no model SSH are
    refused (ValueError).
    """
    _require_ssh(cells.quantity)
    data = _on_grid({"ssh_mod": _with_holes(cells)}, cells.time, cells.grid)
    days = (cells.time.astype("datetime64[D]") - np.datetime64(ORIGIN)).astype(np.float64)
    return _write(data.assign_coords(time=("time", days)), path)


def write_oceanbench_result(maps: Maps, path: str | Path) -> Path:
    """Write maps as a result of the OSSE tasks of OceanBench: `ssh`, 12:00, CF times."""
    return _write(_on_grid({"ssh": maps.height}, maps.time, maps.grid), path)


def write_starter(truth: Maps, cells: GriddedObservations, path: str | Path) -> Path:
    """Write truth and observations as the one gridded file of 4dvarnet-starter.

    Raises:
        ValueError: they are not on the same days and nodes, or no model SSH.
    """
    _require_ssh(truth.quantity)
    if not np.array_equal(truth.time, cells.time) or not truth.grid.same_axes(cells.grid):
        raise ValueError(
            f"truth ({truth.time.size} days, {truth.grid.shape}) and observations "
            f"({cells.time.size} days, {cells.grid.shape}) must be on the same days and nodes"
        )
    layers = {"nadir_obs": _with_holes(cells), "ssh": truth.height}
    return _write(_on_grid(layers, truth.time, truth.grid), path)


def _require_ssh(quantity: str) -> None:
    if quantity != "ssh":
        raise ValueError(f"the layout is for model SSH, these heights are {quantity}")


def _with_holes(cells: GriddedObservations) -> NDArray[np.float32]:
    return np.where(cells.observed, cells.height, np.float32(np.nan))


def _on_grid(
    layers: Mapping[str, NDArray[np.float32]], time: NDArray[np.datetime64], grid: Grid
) -> xr.Dataset:
    """Return a Dataset of float64 layers on (time, lat, lon)."""
    dims, attrs = ("time", "lat", "lon"), {"units": "m", "long_name": "sea surface height"}
    return xr.Dataset(
        {name: (dims, values.astype(np.float64), attrs) for name, values in layers.items()},
        coords={
            "time": ("time", time),
            "lat": ("lat", grid.lat, _LAT),
            "lon": ("lon", grid.lon, _LON),
        },
    )


def _nadir(tracks: Tracks) -> xr.Dataset:
    return xr.Dataset(
        {
            "lon": ("time", tracks.lon, _LON),
            "lat": ("time", tracks.lat, _LAT),
            "ssh_model": ("time", tracks.height.astype(np.float64), {"units": "m"}),
        },
        coords={"time": ("time", tracks.time)},
    )


def _swath(tracks: Tracks) -> xr.Dataset:
    """Return swath samples on (time, nC); pixels without a sample are missing."""
    time, line = np.unique(tracks.time, return_inverse=True)
    across, pixel = np.unique(tracks.cross_track, return_inverse=True)
    layers = {}
    for name, values in (("lon", tracks.lon), ("lat", tracks.lat), ("ssh_model", tracks.height)):
        layer = np.full((time.size, across.size), np.nan)
        layer[line, pixel] = values
        layers[name] = layer
    return xr.Dataset(
        {
            "lon": (("time", "nC"), layers["lon"], _LON),
            "lat": (("time", "nC"), layers["lat"], _LAT),
            "ssh_model": (("time", "nC"), layers["ssh_model"], {"units": "m"}),
            "x_ac": ("nC", across.astype(np.float64), {"units": "km"}),
        },
        coords={"time": ("time", time)},
    )


def _write(data: xr.Dataset, path: str | Path) -> Path:
    """Write a Dataset as compressed NetCDF-4 under a temporary name first."""
    encoding: dict[str, dict[str, Any]] = {}
    for name, variable in data.variables.items():
        options: dict[str, Any] = {"_FillValue": None if name in data.coords else _FILL}
        if variable.dtype.kind == "M":
            options = {"units": f"nanoseconds since {ORIGIN}", "dtype": "int64"}
        elif variable.ndim > 1:
            options |= {"zlib": True, "complevel": 4}
        encoding[str(name)] = options
    about = {"source": "written by pipeline_spde in the layout of a public data set"}
    with atomic_path(path) as temporary:
        data.assign_attrs(about).to_netcdf(temporary, engine="netcdf4", encoding=encoding)
    return Path(path)
