"""The OceanBench registry (NATL60 Gulf Stream and North Atlantic, 1/20°): grids, result maps.

| what | files | variable | stamps |
| --- | --- | --- | --- |
| truth | `osse_natl60/grid/{gf,natl}_mod_ssh_daily.nc` | `ssh` | 12:00, seconds without `units` |
| observations | `osse_natl60/grid/{gf,natl}_obs_*.nc` | `ssh_mod` | 00:00, days without `units` |
| results | `results/<task>/<method>.nc` | `ssh`, `gssh`, `ssh_mod`, `rec_ssh` | daily, hourly |
| tracks | `osse_natl60/coord/nadirs/*.nc`, `ose/coord/gf_2017_l3_*.nc` | `dc2020a`, `dc2021a` | |

Heights are model SSH in m (OSSE) or absolute dynamic topography in m (OSE); the files need not say
so. Times without units count from 2012-10-01 in days or seconds; the step between maps tells which.
Maps stamped 00:00 are those of the day. The suite itself overwrites the stamps of results by the
truth's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline_spde.data.sources.axes import find_coordinate
from pipeline_spde.data.sources.gridded import read_maps
from pipeline_spde.data.sources.observed_cells import read_observed_cells
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
from pipeline_spde.data.sources.times import Midnight
from pipeline_spde.fields import Day, GriddedObservations, Maps, Quantity
from pipeline_spde.files import DataError

ORIGIN = "2012-10-01"
_UNITS_OF_STEP = {1.0: f"days since {ORIGIN}", 86400.0: f"seconds since {ORIGIN} 00:00:00"}
_FURTHER_LAYERS = ("ssh_obs", "lag", "flag")


def is_truth(header: Header) -> bool:
    """Return True for the gridded truth."""
    return header.ndim("ssh") == 3 and header.named(r"(gf|natl)_mod_ssh")


def is_observations(header: Header) -> bool:
    """Return True for gridded observations."""
    layered = any(header.has(name) for name in _FURTHER_LAYERS)
    return header.ndim("ssh_mod") == 3 and (layered or header.named(r"(gf|natl)_obs_"))


def is_result(header: Header) -> bool:
    """Return True for a result map that only this registry has: `ssh_mod` or `rec_ssh`."""
    return header.ndim("ssh_mod") == 3 or header.ndim("rec_ssh") == 3


def read_truth(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
) -> Maps:
    """Return the daily truth.

    Args:
        path: the file (`natl_…` is 4 GB: give a box, only that is read).
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `gridded.read_maps`.
    """
    files = list_files(path)
    layout = GridLayout(("ssh",), "ssh", "label", "m", time_units(files[0]))
    return read_maps(files, layout, Selection(lat, lon, period))


def read_observations(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    error_m: float = 0.02,
) -> GriddedObservations:
    """Return the daily gridded observations (noise-free model heights).

    Args:
        path: the file.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        error_m: standard deviation given to every observed cell: the difference of a sample and
            the daily cell mean.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `observed_cells.read_observed_cells`.
    """
    files = list_files(path)
    layout = GridLayout(("ssh_mod",), "ssh", "label", "m", time_units(files[0]))
    return read_observed_cells(files, layout, Selection(lat, lon, period), error_m)


def read_result(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    quantity: Quantity = "ssh",
    midnight: Midnight = "label",
) -> Maps:
    """Return the maps of a method.

    Args:
        path: the file.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        quantity: "ssh" for the OSSE tasks, "adt" for the OSE task.
        midnight: what 00:00 stands for (`times`).

    Raises:
        FileNotFoundError, DataError, ValueError: as in `gridded.read_maps`.
    """
    files = list_files(path)
    names = ("ssh", "rec_ssh", "gssh", "ssh_mod")
    layout = GridLayout(names, quantity, midnight, "m", time_units(files[0]))
    return read_maps(files, layout, Selection(lat, lon, period))


def time_units(path: Path) -> str | None:
    """Return the units of a time that has none, told by its step; None where it has units.

    Raises:
        DataError: a time without units whose step is neither a day nor 86400 s.
    """
    with open_raw(path) as data:
        name = (
            "time" if "time" in data.variables else find_coordinate(header_of(data, path), "time")
        )
        array = decoded(data, name, path)
        if "units" in array.attrs:
            return None
        values = numbers(array, path).ravel()
    steps = np.diff(np.sort(values))
    step = float(np.median(steps)) if steps.size else float("nan")
    # a single stamp: the seconds of a day after the origin are far beyond the days of the set
    if not steps.size and values.size == 1:
        step = 1.0 if abs(values[0]) <= 366 else 86400.0
    if step not in _UNITS_OF_STEP:
        raise DataError(
            f"{path}: {name} has no units, and its step of {step:g} is neither one day nor 86400 "
            f"seconds; set its attribute units, e.g. {_UNITS_OF_STEP[1.0]!r}"
        )
    return _UNITS_OF_STEP[step]
