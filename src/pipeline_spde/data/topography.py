"""Absolute dynamic topography: maps of sea level anomaly and the mean dynamic topography (MDT)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline_spde.data.own_files import onto
from pipeline_spde.fields import Maps
from pipeline_spde.files import DataError, load_netcdf
from pipeline_spde.grids import Grid

_AXES = (("lat", "latitude"), ("lon", "longitude"))


def add_topography(maps: Maps, path: str | Path | None) -> Maps:
    """Return maps of anomalies with the absolute topography beside them (`adt` in their file).

    Args:
        maps: of quantity "sla".
        path: NetCDF file with `mdt` in m on lat and lon, which comes onto the cells of the maps
            as means or by linear interpolation, NaN where it has none; None: maps as they are.

    Raises:
        DataError: no such variable or axes, no value on the maps, or maps that are no anomalies.
    """
    if path is None:
        return maps
    if maps.quantity != "sla":
        raise DataError(
            f"{path}: a mean topography is added to anomalies (sla), these maps are "
            f"{maps.quantity}; leave out mdt_file"
        )
    mean = _read(path)
    grid = replace(maps.grid, land=np.zeros(maps.grid.shape, bool))
    return replace(maps, mean_topography=onto(mean, grid, Path(path)).height[0])


def _read(path: str | Path) -> Maps:
    """Return the mean topography as one map."""
    data = load_netcdf(path, ("mdt",))
    axes = [next((n for n in names if n in data.variables), None) for names in _AXES]
    if None in axes or set(data["mdt"].dims) - {"time"} != set(axes):
        raise DataError(
            f"{path}: mdt has dimensions {data['mdt'].dims}, expected latitude and longitude; "
            f"the file holds {list(data.variables)}"
        )
    field: xr.DataArray = data["mdt"].squeeze().transpose(*axes).sortby(list(axes))
    height = field.values.astype(np.float32)[None]
    lat, lon = (field[name].values.astype(np.float64) for name in axes)
    lat, lon = (np.linspace(axis[0], axis[-1], axis.size) for axis in (lat, lon))  # from float32
    grid = Grid.latlon(lat, lon, ~np.isfinite(height[0]))
    return Maps(np.array(["2000-01-01T12:00"], "datetime64[ns]"), grid, height, "adt")
