"""SWOT KaRIn swaths: level 3 (AVISO, L3_LR_SSH) and the SWOT simulator.

Layout: (num_lines, num_pixels); `latitude`, `longitude` or `lat`, `lon`; `time` per line, one pass
per file. Level 3: `ssha_filtered` (`ssha_noiseless` before version 1), `ssha_unfiltered` (`ssha`),
`mdt` [m], `cross_track_distance` [km]. Simulator: `ssh_true`, `ssh_karin` [m], 71 pixels of 2 km.

Reference surface: `ssha` is above the mean sea surface (an anomaly, "sla" here); with `mdt` it
becomes absolute dynamic topography. The simulator's heights are model SSH. Stamps are instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources import metres_per_unit
from pipeline_spde.data.sources.axes import find_coordinate
from pipeline_spde.data.sources.opening import (
    FilePaths,
    Header,
    decoded,
    header_of,
    list_files,
    numbers,
    open_raw,
)
from pipeline_spde.data.sources.samples import Samples, read_tracks, swath_samples
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.times import read_instants
from pipeline_spde.fields import Day, Quantity, Tracks
from pipeline_spde.files import DataError

MISSION = "swot_karin"
_DIMS = ("num_lines", "num_pixels")
_FILTERED = ("ssha_filtered", "ssha_noiseless")
_UNFILTERED = ("ssha_unfiltered", "ssha")
_SIMULATED_SPACING_KM = 2.0


def is_level3(header: Header) -> bool:
    """Return True for a level-3 swath."""
    return any(header.dims.get(name) == _DIMS for name in (*_FILTERED, *_UNFILTERED))


def is_simulated(header: Header) -> bool:
    """Return True for a swath of the SWOT simulator."""
    return any(header.dims.get(name) == _DIMS for name in ("ssh_true", "ssh_karin"))


def read(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    error_m: float = 0.02,
    quantity: Literal["sla", "adt"] = "sla",
    filtering: Literal["filtered", "unfiltered"] = "filtered",
    instant: str | np.datetime64 | None = None,
) -> Tracks:
    """Return the pixels of level-3 swaths as samples of the mission "swot_karin".

    Args:
        path: a folder, a file or several; one pass each.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        error_m: standard deviation of the noise of a pixel in m.
        quantity: "adt" adds the mean dynamic topography `mdt` of the file.
        filtering: which version of the heights.
        instant: given to all lines of a file that has no `time` (a pass takes 51 minutes).

    Raises:
        FileNotFoundError, DataError, ValueError: as in `samples.read_tracks`.
    """
    if quantity not in ("sla", "adt") or filtering not in ("filtered", "unfiltered"):
        raise ValueError(
            f"quantity {quantity!r}, filtering {filtering!r}: choose sla or adt, filtered or "
            "unfiltered"
        )
    heights = _FILTERED if filtering == "filtered" else _UNFILTERED
    reader = partial(_read_file, heights=heights, with_mdt=quantity == "adt", instant=instant)
    return _read(path, reader, quantity, Selection(lat, lon, period), error_m)


def read_simulated(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    error_m: float = 0.015,
    height: Literal["ssh_karin", "ssh_true"] = "ssh_karin",
) -> Tracks:
    """Return the pixels of simulated swaths as samples of the mission "swot_karin".

    Args:
        path: a folder, a file or several.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        error_m: standard deviation of the noise of a pixel in m.
        height: with KaRIn noise, or without.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `samples.read_tracks`.
    """
    reader = partial(_read_file, heights=(height,), with_mdt=False, instant=None)
    return _read(path, reader, "ssh", Selection(lat, lon, period), error_m)


def _read(
    path: FilePaths,
    reader: partial[Samples],
    quantity: Quantity,
    selection: Selection,
    error_m: float,
) -> Tracks:
    files = [(MISSION, file) for file in list_files(path)]
    return read_tracks(files, reader, quantity, selection, error_m)


def _read_file(
    path: Path,
    heights: Sequence[str],
    with_mdt: bool,
    instant: str | np.datetime64 | None,
) -> Samples:
    with open_raw(path) as data:
        header = header_of(data, path)
        name = next((name for name in heights if header.has(name)), heights[0])
        height = _metres(data, name, path)
        if with_mdt:
            height = height + _metres(data, "mdt", path)
        lat, lon = (
            numbers(decoded(data, find_coordinate(header, kind), path), path)
            for kind in ("lat", "lon")
        )
        time = _instants(data, path, height.shape[0] if height.ndim else 0, instant)
        across = _cross_track(data, path, height.shape)
    return swath_samples(path, time, lat, lon, height, across)


def _metres(data: xr.Dataset, name: str, path: Path) -> NDArray[np.float64]:
    array = decoded(data, name, path)
    return numbers(array, path) * metres_per_unit(array, path)


def _instants(
    data: xr.Dataset, path: Path, lines: int, instant: str | np.datetime64 | None
) -> NDArray[np.datetime64]:
    if "time" in data.variables:
        return read_instants(data, "time", path)
    if instant is None:
        about = {key: data.attrs.get(f"time_coverage_{key}", "unknown") for key in ("start", "end")}
        raise DataError(
            f"{path}: variable ['time'] not found; the file holds "
            f"{sorted(map(str, data.variables))}, its pass lasted from {about['start']} to "
            f"{about['end']}: give one instant for all lines (instant=…)"
        )
    return np.repeat(np.array([instant], "datetime64[ns]"), lines)


def _cross_track(data: xr.Dataset, path: Path, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the distance from nadir in km, per pixel or per line and pixel."""
    if "cross_track_distance" in data.variables:
        array = decoded(data, "cross_track_distance", path)
        units = str(array.attrs.get("units", "km")).lower()
        if units not in ("km", "kilometers", "m", "meters"):
            raise DataError(f"{path}: {array.name} has units {units!r}, expected km or m")
        return numbers(array, path) * (1e-3 if units.startswith("m") else 1.0)
    if len(shape) == 2 and shape[1] % 2:
        return np.asarray((np.arange(shape[1]) - shape[1] // 2) * _SIMULATED_SPACING_KM)
    raise DataError(f"{path}: no cross_track_distance, and {shape} has no middle pixel")
