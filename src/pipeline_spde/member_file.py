"""A group of members on disk: deviations from the map, day by day, and perhaps the map itself.

Variables: `deviation` (realization, time, lat, lon), x_s − x_s* in m, zero on land; and where it is
not on disk yet `map` (time, lat, lon), x* in m, zero on land.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from pipeline_spde.fields import Maps
from pipeline_spde.files import DataError, atomic_path, open_netcdf
from pipeline_spde.grids import Grid
from pipeline_spde.io import Provenance, define_axes

Single = NDArray[np.float32]
_DEVIATION = {"units": "m", "long_name": "deviation of a member from the map"}
_MAP = {"units": "m", "long_name": "map that the members belong to"}


def write_group(
    path: str | Path,
    time: NDArray[np.datetime64],
    grid: Grid,
    quantity: str,
    deviations: Single,
    maps: Iterable[Single] | None,
    provenance: Provenance,
) -> None:
    """Write a group of members, a day at a time, through a temporary name.

    Args:
        path: file to write.
        time: 12:00 UTC stamps of the days.
        grid: latitude-longitude grid.
        quantity: height of the maps: "ssh", "sla" or "adt".
        deviations: m, shape (time, members, lat, lon); may lie on disk.
        maps: the map of each day, m, zero on land; None to leave them out.
        provenance: global attributes.
    """
    with atomic_path(path) as temporary, netCDF4.Dataset(temporary, "w") as file:
        file.createDimension("realization", deviations.shape[1])
        define_axes(file, time, grid)
        file.setncatts(provenance.attributes() | {"quantity": quantity})
        variable = _field(file, "deviation", _DEVIATION, ("realization", "time", "lat", "lon"))
        for day in range(time.size):
            variable[:, day] = deviations[day]
        if maps is not None:
            variable = _field(file, "map", _MAP, ("time", "lat", "lon"))
            for day, field in enumerate(maps):
                variable[day] = field


def _field(file: Any, name: str, attributes: dict[str, str], dims: tuple[str, ...]) -> Any:
    sizes = [len(file.dimensions[dim]) for dim in dims]
    chunks = [1] * (len(dims) - 2) + sizes[-2:]
    variable = file.createVariable(name, "f4", dims, zlib=True, complevel=1, chunksizes=chunks)
    variable.setncatts(attributes)
    return variable


def members_of(path: str | Path, maps: Maps) -> int:
    """Return the number of members of a group.

    Raises:
        DataError: it is for other days or cells than the maps.
    """
    with open_netcdf(path, ("time", "deviation")) as data:
        variable = data["deviation"]
        if variable.shape[-2:] != maps.grid.shape or not np.array_equal(data["time"], maps.time):
            raise DataError(
                f"{path}: members on {variable.shape[-2:]} cells and {data.sizes['time']} days, "
                f"the maps have {maps.grid.shape} and {maps.time.size}; make the members again"
            )
        return int(variable.shape[0])


def days_of_group(path: str | Path) -> Iterator[Single]:
    """Yield the deviations (members, lat, lon) of each day."""
    with open_netcdf(path, ("deviation",)) as data:
        for day in range(data.sizes["time"]):
            yield np.asarray(data["deviation"].isel(time=day).values, dtype=np.float32)


def maps_of_group(path: str | Path, grid: Grid) -> Maps:
    """Return the maps that a group holds.

    Raises:
        DataError: it holds none, or lies on another grid.
    """
    with open_netcdf(path, ("time", "map")) as data:
        height = np.where(grid.ocean, data["map"].values, np.nan).astype(np.float32)
        return Maps(data["time"].values, grid, height, data.attrs["quantity"])
