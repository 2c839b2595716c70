"""CF-1.8 NetCDF in and out: typed objects, provenance attributes, atomic writes."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde import __version__
from pipeline_spde.fields import GriddedObservations, Maps, Observations, Tracks
from pipeline_spde.fields.conventions import grid_coords
from pipeline_spde.files import DataError, atomic_path, load_netcdf, open_netcdf, sha256
from pipeline_spde.grids import Grid, closes_circle
from pipeline_spde.periods import Period

TIME_UNITS = "seconds since 1970-01-01 00:00:00"

T = TypeVar("T", Maps, Tracks)


@cache
def code_version() -> str:
    """Return the package version and, from a checkout, the git commit ("+dirty" if edited)."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return __version__
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty=+dirty", "--abbrev=12"]
        described = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return f"{__version__} (commit unknown)"
    return f"{__version__} ({described.stdout.strip()})"


@dataclass(frozen=True)
class Provenance:
    """Where a product comes from; becomes global attributes of every file written.

    Attributes:
        title: one line for people.
        config_hash: hash of the validated configuration of the stage.
        seed: the seed of the stage.
        inputs: logical name -> file read; stored as "name=sha256" pairs.
    """

    title: str
    config_hash: str
    seed: int
    inputs: Mapping[str, Path] = field(default_factory=dict)

    def attributes(self) -> dict[str, Any]:
        """Return the global NetCDF attributes."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        if len(command) > 400:
            command = command[:397] + "..."
        hashes = {name: sha256(path) for name, path in self.inputs.items()}
        return {
            "Conventions": "CF-1.8",
            "title": self.title,
            "institution": "pipeline_spde",
            "source": f"pipeline_spde {code_version()}",
            "history": f"{now} {command}",
            "references": "https://doi.org/10.1175/AIES-D-24-0060.1",
            "code_version": code_version(),
            "config_hash": self.config_hash,
            "seed": np.int64(self.seed),
            "input_sha256": " ".join(f"{name}={value}" for name, value in hashes.items()) or "none",
            "hardware": f"{platform.machine()}, {os.cpu_count()} CPUs",
        }


def write_dataset(data: xr.Dataset, path: str | Path, provenance: Provenance) -> None:
    """Write a Dataset as compressed NetCDF-4, one day per chunk, through a temporary name."""
    data = data.assign_attrs(provenance.attributes())
    encoding: dict[str, dict[str, Any]] = {}
    for name, variable in data.variables.items():
        options: dict[str, Any] = {}
        if name in data.coords or variable.dtype.kind in "iub":
            options["_FillValue"] = None
        elif variable.dtype.kind == "f":
            options["_FillValue"] = np.float32(9.96921e36)
            options["dtype"] = "float32"
        if variable.dtype.kind == "M":
            options |= {"units": TIME_UNITS, "dtype": "float64", "calendar": "standard"}
        if variable.ndim and variable.size and name not in data.dims:
            options |= {"zlib": True, "complevel": 4}
            if variable.dims[-2:] == ("lat", "lon"):
                options["chunksizes"] = (*[1] * (variable.ndim - 2), *variable.shape[-2:])
        encoding[str(name)] = options
    with atomic_path(path) as temporary:
        data.to_netcdf(temporary, format="NETCDF4", engine="netcdf4", encoding=encoding)


def define_axes(file: Any, time: NDArray[np.datetime64], grid: Grid) -> None:
    """Create the dims and coordinates time, lat and lon of a file that is filled day by day.

    Args:
        file: an open netCDF4.Dataset.
        time: 12:00 UTC stamps.
        grid: latitude-longitude grid.
    """
    for dim, (_, values, attributes) in grid_coords(time, grid).items():
        file.createDimension(dim, values.size)
        variable = file.createVariable(dim, "f8", (dim,))
        if dim == "time":
            values = (values - np.datetime64(0, "s")) / np.timedelta64(1, "s")
            attributes = attributes | {"units": TIME_UNITS, "calendar": "standard"}
        variable.setncatts(attributes)
        variable[:] = values


def write_maps(maps: Maps, path: str | Path, provenance: Provenance) -> None:
    """Write maps (`ssh`, `ssh_std` …) as CF NetCDF."""
    write_dataset(maps.to_dataset(), path, provenance)


def read_maps(path: str | Path) -> Maps:
    """Read maps written by `write_maps`."""
    return _convert(path, Maps, ("time", "lat", "lon"))


def write_observations(
    observations: GriddedObservations,
    missions: Sequence[str],
    path: str | Path,
    provenance: Provenance,
) -> None:
    """Write gridded observations of the named missions as CF NetCDF."""
    data = observations.to_dataset().assign_attrs(missions=" ".join(missions))
    write_dataset(data, path, provenance)


def read_observations(
    path: str | Path, land: NDArray[np.bool_] | None = None, period: Period | None = None
) -> GriddedObservations:
    """Read gridded observations written by `write_observations`.

    Args:
        path: the file.
        land: completes their grid.
        period: days that are read; None: all.
    """
    variables = ("time", "lat", "lon", "observed", "obs_count", "obs_error")
    with open_netcdf(path, variables) as file:
        data = file if period is None else file.sel(time=slice(*_instants(period)))
        if data.sizes["time"] == 0:
            raise DataError(f"{path}: no day of {period}; make the observations of this period")
        data = data.load()
    try:
        return GriddedObservations.from_dataset(data, land)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def write_tracks(tracks: Tracks, path: str | Path, provenance: Provenance) -> None:
    """Write along-track and swath samples as CF NetCDF on dim `obs`."""
    write_dataset(tracks.to_dataset(), path, provenance)


def read_tracks(path: str | Path, period: Period | None = None) -> Tracks:
    """Read samples written by `write_tracks`; with a period those of its days alone."""
    variables = ("time", "lat", "lon", "obs_error", "mission", "pass")
    if period is None:
        return _convert(path, Tracks, variables)
    with open_netcdf(path, variables) as file:
        first, last = np.searchsorted(file["time"].values, _instants(period))  # sorted by time
        data = file.isel(obs=slice(int(first), int(last))).load()
    return _converted(path, Tracks, data)


def _instants(period: Period) -> tuple[np.datetime64, np.datetime64]:
    """Return the first instant of a period, and the first after it."""
    first, last = (np.datetime64(day, "ns") for day in (period.start, period.end))
    return first, last + np.timedelta64(1, "D")


def write_grid(
    grid: Grid,
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    path: str | Path,
    provenance: Provenance,
) -> None:
    """Write a domain's static fields: land, cell area, mean and std of the training period.

    Args:
        grid: the grid.
        mean: mean height of the training period in m, shape (lat, lon).
        std: standard deviation about that mean in m, shape (lat, lon).
        path: the file.
        provenance: global attributes.
    """
    dims = ("lat", "lon")
    flags = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "ocean land"}
    data = xr.Dataset(
        {
            "land": (dims, grid.land.astype(np.int8), {"long_name": "land mask", **flags}),
            "cell_area": (
                dims,
                grid.area_km2,
                {"standard_name": "cell_area", "long_name": "cell area", "units": "km2"},
            ),
            "mean_height": (
                dims,
                mean,
                {"units": "m", "long_name": "mean height of the training period"},
            ),
            "std_height": (
                dims,
                std,
                {"units": "m", "long_name": "standard deviation over the training period"},
            ),
        },
        coords={
            "lat": ("lat", grid.lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", grid.lon, {"standard_name": "longitude", "units": "degrees_east"}),
        },
    )
    for name in ("lat", "lon"):
        data[name].attrs["long_name"] = data[name].attrs["standard_name"]
    write_dataset(data, path, provenance)


def read_grid(path: str | Path) -> tuple[Grid, NDArray[np.float64], NDArray[np.float64]]:
    """Return (grid, mean, std) written by `write_grid`."""
    data = load_netcdf(path, ("lat", "lon", "land", "mean_height", "std_height"))
    land = data["land"].values.astype(bool)
    lon = data["lon"].values
    grid = Grid.latlon(data["lat"].values, lon, land, periodic=closes_circle(lon))
    mean, std = (data[name].values.astype(np.float64) for name in ("mean_height", "std_height"))
    return grid, mean, std


def read_domain(
    observations: str | Path,
    tracks: str | Path,
    grid: str | Path,
    period: Period | None = None,
) -> tuple[Observations, Grid]:
    """Return what the methods of a domain may see, and its grid.

    The tracks are cut to the missions that were binned (attribute `missions` of the file of
    gridded observations): a withheld mission never reaches a method.

    Args:
        observations: file of gridded observations.
        tracks: file of samples.
        grid: file of land and mean.
        period: days that are read; None: all.

    Raises:
        DataError: a file is unusable, or observations and grid do not have the same nodes.
    """
    cells, mean, _ = read_grid(grid)
    gridded = read_observations(observations, cells.land, period)
    if not gridded.grid.same_axes(cells):
        raise DataError(f"{observations} and {grid} have different axes; make them again")
    with open_netcdf(observations) as data:
        missions = str(data.attrs["missions"]).split()
    samples = read_tracks(tracks, period).of_missions(missions)
    return Observations(gridded, samples, mean), cells


def _convert(path: str | Path, kind: type[T], variables: tuple[str, ...]) -> T:
    return _converted(path, kind, load_netcdf(path, variables))


def _converted(path: str | Path, kind: type[T], data: xr.Dataset) -> T:
    try:
        return kind.from_dataset(data)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
