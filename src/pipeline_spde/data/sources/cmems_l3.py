"""Along-track level 3 of Copernicus Marine (DUACS): one altimeter per file, any number of files.

Layout: dimension `time`; `latitude`, `longitude` (0 to 360 or -180 to 180), `sla_unfiltered` or
`sla_filtered`, `mdt`, `lwe` [m] as scaled integers, `cycle` and `track` in most; stamps are
instants. The file name holds the mission's code (`dt_global_alg_phy_l3_…`).

Reference surface: `sla` is above the mean sea surface of the product's reference period; absolute
dynamic topography is `sla + mdt`, or `adt_unfiltered` where the file holds that. The product is
corrected for the long-wavelength error `lwe`; the 2021a challenge takes the correction off again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources import metres_per_unit
from pipeline_spde.data.sources.opening import (
    FilePaths,
    Header,
    decoded,
    list_files,
    numbers,
    open_raw,
)
from pipeline_spde.data.sources.samples import (
    MISSION_CODES,
    Samples,
    assign_missions,
    read_tracks,
)
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.times import read_instants
from pipeline_spde.fields import Day, Tracks
from pipeline_spde.files import DataError

Filtering = Literal["unfiltered", "filtered"]


def is_tracks(header: Header) -> bool:
    """Return True for an along-track level-3 file."""
    names = ("sla_unfiltered", "sla_filtered", "adt_unfiltered")
    return any(header.ndim(name) == 1 for name in names) and header.has("latitude", "longitude")


def read(
    path: FilePaths,
    missions: Sequence[str] | None = None,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    error_m: float | Mapping[str, float] = 0.03,
    quantity: Literal["sla", "adt"] = "adt",
    filtering: Filtering = "unfiltered",
    without_lwe: bool = False,
) -> Tracks:
    """Return the heights of some altimeters.

    Args:
        path: a folder, a file or several.
        missions: in the order wanted (values of `samples.MISSION_CODES`); None: all.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        error_m: standard deviation of the noise of a 1-Hz sample in m, of all or of each mission.
        quantity: "adt" adds the mean dynamic topography to the anomalies.
        filtering: which version of the heights.
        without_lwe: take the correction of the long-wavelength error off again.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `samples.read_tracks`.
    """
    if quantity not in ("sla", "adt") or filtering not in ("unfiltered", "filtered"):
        raise ValueError(
            f"quantity {quantity!r}, filtering {filtering!r}: choose sla or adt, unfiltered or "
            "filtered"
        )
    files = assign_missions(list_files(path), MISSION_CODES, missions)
    reader = partial(_read_file, quantity=quantity, filtering=filtering, without_lwe=without_lwe)
    return read_tracks(files, reader, quantity, Selection(lat, lon, period), error_m)


def _read_file(path: Path, quantity: str, filtering: str, without_lwe: bool) -> Samples:
    with open_raw(path, ("time", "latitude", "longitude")) as data:
        height = _height(data, path, quantity, filtering)
        if without_lwe:
            height = height - _metres(data, "lwe", path)
        lat, lon = (numbers(decoded(data, name, path), path) for name in ("latitude", "longitude"))
        time = read_instants(data, "time", path)
        return Samples(path, time, lat, lon, height, _passes(data, path))


def _height(data: xr.Dataset, path: Path, quantity: str, filtering: str) -> NDArray[np.float64]:
    anomaly, absolute = f"sla_{filtering}", f"adt_{filtering}"
    if quantity == "sla":
        return _metres(data, anomaly, path)
    if anomaly in data.variables and "mdt" in data.variables:
        return _metres(data, anomaly, path) + _metres(data, "mdt", path)
    if absolute in data.variables:
        return _metres(data, absolute, path)
    raise DataError(
        f"{path}: absolute dynamic topography needs {anomaly} and mdt, or {absolute}; the file "
        f"holds {sorted(map(str, data.variables))}; read the anomalies (quantity='sla') instead"
    )


def _metres(data: xr.Dataset, name: str, path: Path) -> NDArray[np.float64]:
    array = decoded(data, name, path)
    return numbers(array, path) * metres_per_unit(array, path)


def _passes(data: xr.Dataset, path: Path) -> NDArray[np.int64] | None:
    """Return cycle and track as one number, or None where the file does not give them."""
    if not {"cycle", "track"} <= set(data.variables):
        return None
    cycle, track = (numbers(decoded(data, name, path), path) for name in ("cycle", "track"))
    number = 10_000 * cycle + track
    whole = np.isfinite(number).all() and number.size and number.min() >= 0
    if not whole or number.max() > np.iinfo(np.int32).max:
        return None
    return number.astype(np.int64)
