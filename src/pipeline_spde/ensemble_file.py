"""Ensembles on disk: CF NetCDF with the dim `realization`, written day by day.

    ssh(realization, time, lat, lon)   raw members x* + (x_s − x_s*), when they are kept
    ssh_mean, ssh_std                  the map x* and the raw spread of the members
    ssh_std_calibrated                 the spread after calibration on validation days

A calibrated member is mean + (member − mean) · ssh_std_calibrated / ssh_std.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from pipeline_spde.fields import LONG_NAMES, STANDARD_NAMES, Maps
from pipeline_spde.files import atomic_path
from pipeline_spde.io import Provenance, define_axes

FILL = np.float32(9.96921e36)
Progress = Callable[[int, int], None]


def write_ensemble(
    path: str | Path,
    maps: Maps,
    deviations: NDArray[np.float32],
    calibrated: Callable[[NDArray], NDArray],
    provenance: Provenance,
    keep_members: bool,
    progress: Progress = lambda done, total: None,
) -> dict[str, float]:
    """Write an ensemble, a day at a time, through a temporary name; return its mean spreads.

    Args:
        path: file to write.
        maps: x*.
        deviations: of the members, m, shape (time, members, lat, lon); may lie on disk.
        calibrated: raw spread (m) -> factor of the spread, of the same shape.
        provenance: global attributes.
        keep_members: write the members too.
        progress: called with the number of days written and their total.

    Returns:
        Root mean squared raw and calibrated spread in m.
    """
    ocean, sums = maps.grid.ocean, np.zeros(3)
    with atomic_path(path) as temporary, netCDF4.Dataset(temporary, "w") as file:
        variables = _define(file, maps, deviations.shape[1], keep_members)
        file.setncatts(provenance.attributes() | {"quantity": maps.quantity})
        for day in range(maps.time.size):
            some = np.asarray(deviations[day], dtype=np.float64)
            std = some.std(axis=0, ddof=1)
            better = std * calibrated(std)
            sums += [
                np.sum(std[ocean] ** 2), np.sum(better[ocean] ** 2), np.count_nonzero(ocean)
            ]  # fmt: skip
            for name, field in (("mean", maps.height[day]), ("std", std), ("better", better)):
                variables[name][day] = _masked(field, ocean)
            if keep_members:
                variables["members"][:, day] = _masked(maps.height[day] + some, ocean)
            progress(day + 1, maps.time.size)
    raw, after = np.sqrt(sums[:2] / max(sums[2], 1))
    return {"spread_m": float(raw), "spread_calibrated_m": float(after)}


def _masked(field: NDArray, ocean: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(ocean, field, FILL).astype(np.float32)


def _define(file: Any, maps: Maps, members: int, keep_members: bool) -> dict[str, Any]:
    """Create dimensions, coordinates and variables; return those that are filled by day."""
    name, long_name = maps.quantity, LONG_NAMES[maps.quantity]
    if keep_members:
        file.createDimension("realization", members)
    define_axes(file, maps.time, maps.grid)
    common = {"units": "m", "standard_name": STANDARD_NAMES[name]}
    spread = f"{STANDARD_NAMES[name]} standard_error"
    made = {
        "mean": _field(file, f"{name}_mean", common | {"long_name": f"{long_name}, map"}),
        "std": _field(file, f"{name}_std", {"units": "m", "standard_name": spread,
                      "long_name": f"standard deviation of the members of {long_name}"}),
        "better": _field(file, f"{name}_std_calibrated", {"units": "m", "standard_name": spread,
                         "long_name": f"calibrated standard deviation of {long_name}"}),
    }  # fmt: skip
    if keep_members:
        number = file.createVariable("realization", "i4", ("realization",))
        number.setncatts({"standard_name": "realization", "long_name": "member", "units": "1"})
        number[:] = np.arange(members)
        made["members"] = _field(file, name, common | {"long_name": f"{long_name}, members"}, True)
    return made


def _field(file: Any, name: str, attributes: dict[str, str], members: bool = False) -> Any:
    dims = ("time", "lat", "lon")
    cells = (len(file.dimensions["lat"]), len(file.dimensions["lon"]))
    variable = file.createVariable(
        name, "f4", ("realization", *dims) if members else dims, zlib=True, complevel=4,
        chunksizes=(1, 1, *cells) if members else (1, *cells), fill_value=FILL,
    )  # fmt: skip
    variable.setncatts(attributes)
    return variable
