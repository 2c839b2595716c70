"""Readers of public data sets, one module each, and the checks that they share.

Every check names the file, what was found, what was expected and what to do. Readers return
`fields.Tracks` (metres, UTC, longitudes in [-180, 180), sorted by time, without missing values),
`fields.Maps` or `fields.GriddedObservations` (daily, stamped 12:00 UTC).

`SOURCES` lists the data sets, `sniff` tells which one a file belongs to. Common work is in
`opening` (files), `times`, `axes`, `selection`, `survey` and `gridded` (maps), `observed_cells` and
`samples` (tracks).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.fields import Day, as_day
from pipeline_spde.files import DataError
from pipeline_spde.grids import wrap_longitude

logger = logging.getLogger(__name__)

_TO_METRES = {
    "m": 1.0,
    "metre": 1.0,
    "metres": 1.0,
    "meter": 1.0,
    "meters": 1.0,
    "cm": 1e-2,
    "centimetre": 1e-2,
    "centimetres": 1e-2,
    "centimeter": 1e-2,
    "centimeters": 1e-2,
    "mm": 1e-3,
    "millimetre": 1e-3,
    "millimetres": 1e-3,
    "millimeter": 1e-3,
    "millimeters": 1e-3,
}

# One absolute height in a hundred is within these for anomalies and for absolute heights.
PLAUSIBLE_HEIGHT_M = (0.02, 4.0)
BEYOND_ANY_SEA_M = 20.0
_ENOUGH = 50  # values for a quantile to mean something
_SAMPLE = 1_000_000


def to_metres(
    data: xr.DataArray, path: Path, plausible_m: tuple[float, float]
) -> NDArray[np.float64]:
    """Return a height variable in metres, NaN where missing.

    Args:
        data: variable with a `units` attribute: m, cm or mm, or their names.
        path: the file, for messages.
        plausible_m: as in `require_plausible`.

    Raises:
        DataError: no or unknown units, no finite value, or heights that are not plausible.
    """
    values = data.values.astype(np.float64) * metres_per_unit(data, path)
    values[~np.isfinite(values)] = np.nan
    require_plausible(values, str(data.name), str(data.attrs["units"]), path, plausible_m)
    return values


def metres_per_unit(data: xr.DataArray, path: str | Path, assumed: str | None = None) -> float:
    """Return what one unit of a height variable is in metres.

    Args:
        data: variable with a `units` attribute: m, cm or mm, or their names.
        path: the file, for messages.
        assumed: units of a format that is known to leave out the attribute.

    Raises:
        DataError: no or unknown units.
    """
    units = str(data.attrs.get("units", assumed or "")).strip()
    if units.lower() not in _TO_METRES:
        raise DataError(
            f"{path}: {data.name} has units {units or 'missing'!r}, expected m, cm or mm; "
            "set the attribute `units` of the variable to what its values are in"
        )
    return _TO_METRES[units.lower()]


def require_plausible(
    values_m: NDArray[np.floating],
    name: str,
    units: str,
    path: str | Path,
    plausible_m: tuple[float, float],
) -> None:
    """Refuse heights that cannot be metres of the sea surface, or that are all missing.

    Args:
        values_m: heights in m, NaN where missing.
        name: of the variable, for messages.
        units: of the variable, for messages.
        path: the file, for messages.
        plausible_m: (low, high): what one absolute height in a hundred exceeds must lie between;
            the lower limit is for 50 values or more (a few may be small by chance).

    Raises:
        DataError: no finite value, wrong units, or single values beyond any sea (fill values that
            the file does not declare).
    """
    flat = np.asarray(values_m).reshape(-1)
    finite = np.isfinite(flat)
    if not finite.any():
        raise DataError(f"{path}: {name} holds no finite value; get the file again")
    some = np.abs(flat[finite][:: 1 + int(finite.sum()) // _SAMPLE])
    usual = float(np.quantile(some, 0.99))
    low = plausible_m[0] if some.size >= _ENOUGH else 0.0
    if not low <= usual <= plausible_m[1]:
        raise DataError(
            f"{path}: {name} is said to be in {units}, but one absolute value in a hundred "
            f"exceeds {usual:.3g} m, expected {plausible_m[0]} to {plausible_m[1]} m; correct the "
            "attribute `units`"
        )
    beyond = finite & (np.abs(flat, where=finite, out=np.zeros_like(flat)) > BEYOND_ANY_SEA_M)
    if beyond.any():
        raise DataError(
            f"{path}: {int(beyond.sum())} values of {name} are beyond ±{BEYOND_ANY_SEA_M:g} m "
            f"(such as {flat[beyond][0]:.3g} m): fill values? Declare them in its attribute "
            "_FillValue"
        )


def to_instants(data: xr.DataArray, path: Path) -> NDArray[np.datetime64]:
    """Return a decoded time variable as datetime64[ns]; NaT where missing.

    Raises:
        DataError: the variable is a plain number: its `units` are missing.
    """
    if not np.issubdtype(data.dtype, np.datetime64):
        raise DataError(
            f"{path}: {data.name} is {data.dtype}, not a date; its attribute `units` should read "
            "'seconds since …' or the like"
        )
    return np.asarray(data.values.astype("datetime64[ns]"))


def to_degrees(
    lat: xr.DataArray, lon: xr.DataArray, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (latitudes, longitudes in [-180, 180)); NaN where missing.

    Raises:
        DataError: values outside [-90, 90] or [-360, 720], or none finite.
    """
    y, x = (axis.values.astype(np.float64) for axis in (lat, lon))
    for name, values, low, high in ((lat.name, y, -90.0, 90.0), (lon.name, x, -360.0, 720.0)):
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            raise DataError(f"{path}: {name} holds no finite value; get the file again")
        if finite.min() < low or finite.max() > high:
            raise DataError(
                f"{path}: {name} runs from {finite.min():g} to {finite.max():g}, expected degrees "
                f"within [{low:g}, {high:g}]; are the coordinates swapped or scaled?"
            )
    return y, wrap_longitude(np.where(np.isfinite(x), x, np.nan))


def sorted_without_duplicates(columns: dict[str, NDArray], path: Path) -> dict[str, NDArray]:
    """Return samples sorted by time without exact duplicates; a warning says what was done.

    Args:
        columns: arrays of one length without missing values; must hold "time". Samples equal in
            all columns are duplicates.
        path: the file, for the log.
    """
    time = columns["time"]
    steps = np.diff(time)
    if np.all(steps > np.timedelta64(0, "ns")):
        return columns
    unsorted = bool(np.any(steps < np.timedelta64(0, "ns")))
    # all columns decide the order, so that it does not depend on that of the file
    others = [columns[name] for name in sorted(columns) if name != "time"]
    order = np.lexsort((*others, time))
    result = {name: values[order] for name, values in columns.items()}
    same = np.ones(max(time.size - 1, 0), bool)
    for values in result.values():
        same &= values[1:] == values[:-1]
    keep = np.concatenate([np.ones(min(time.size, 1), bool), ~same])
    if unsorted or same.any():
        logger.warning(
            "%s: %s%d exact duplicates dropped",
            path,
            "samples sorted by time, " if unsorted else "",
            int(same.sum()),
        )
    return {name: values[keep] for name, values in result.items()}


def require_overlap(
    time: NDArray[np.datetime64],
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    box: tuple[tuple[float, float], tuple[float, float]],
    period: tuple[Day, Day],
    path: Path,
) -> NDArray[np.bool_]:
    """Return which samples lie in a box and period (days, both ends included).

    Args:
        time: instants, shape (obs,).
        lat: degrees north, shape (obs,).
        lon: degrees east, shape (obs,).
        box: ((south, north), (west, east)); longitudes on any circle.
        period: first and last day.
        path: the file, for messages.

    Raises:
        DataError: no sample in the period, or none of these in the box; both ranges are named.
    """
    first, last = as_day(period[0]), as_day(period[1])
    days = time.astype("datetime64[D]")
    in_period = (days >= first) & (days <= last)
    if not in_period.any():
        raise DataError(
            f"{path}: no sample in the period {first} to {last}; the file holds {days.min()} to "
            f"{days.max()}: choose a period within"
        )
    (south, north), (west, east) = box
    in_box = (lat >= south) & (lat <= north) & (wrap_longitude(lon, west) <= east)
    if not (in_period & in_box).any():
        held_lat, held_lon = lat[in_period], lon[in_period]
        raise DataError(
            f"{path}: no sample from {first} to {last} in latitudes {south} to {north}, longitudes "
            f"{west} to {east}; the file's samples of that period span latitudes "
            f"{held_lat.min():.2f} to {held_lat.max():.2f}, longitudes {held_lon.min():.2f} to "
            f"{held_lon.max():.2f}: choose a box within"
        )
    return np.asarray(in_period & in_box)


def number_passes(
    time: NDArray[np.datetime64], lat: NDArray[np.float64], gap_minutes: float = 25.0
) -> NDArray[np.int32]:
    """Return pass numbers, counted from 0, of the time-sorted samples of one mission.

    A pass (half an orbit, about 50 minutes) ends where latitudes turn or samples stop for longer
    than `gap_minutes`; shorter gaps (land, ice) stay within it. The direction at a sample is taken
    towards its nearer neighbour in time.
    """
    if time.size < 2:
        return np.zeros(time.size, np.int32)
    wait = np.diff(time) / np.timedelta64(1, "s")
    climb = np.sign(np.diff(lat))
    before, after = np.append(np.inf, wait), np.append(wait, np.inf)
    direction = np.where(before < after, np.append(0, climb), np.append(climb, 0))
    # a sample at the turning point has no direction of its own: it keeps the one before
    known = np.where(direction != 0, np.arange(direction.size), 0)
    direction = direction[np.maximum.accumulate(known)]
    turned = (direction[1:] != direction[:-1]) & (direction[:-1] != 0)
    starts = turned | (wait > gap_minutes * 60)
    return np.concatenate([[0], np.cumsum(starts)]).astype(np.int32)


@dataclass(frozen=True)
class Source:
    """A data set that can be read; its module is imported when it is used.

    Attributes:
        title: what it is.
        module: module of this package.
        reader: its function that reads files of the data set.
        sniffer: its function that knows them by their header.
        gives: what the reader returns.
        surface: what heights refer to.
        stamps: what times stand for.
    """

    title: str
    module: str
    reader: str
    sniffer: str
    gives: Literal["tracks", "maps", "observations", "snapshots"]
    surface: str
    stamps: str

    def read(self, path: str | Path | Sequence[str | Path], **options: Any) -> Any:
        """Return what a file, a folder or several hold; options and errors are the reader's."""
        return self.function(path, **options)

    @property
    def function(self) -> Callable[..., Any]:
        """The reader."""
        return self._function(self.reader)

    def owns(self, header: Any) -> bool:
        """Return True when a file with this `opening.Header` belongs to the data set."""
        return bool(self._function(self.sniffer)(header))

    def _function(self, name: str) -> Callable[..., Any]:
        return getattr(import_module(f"{__name__}.{self.module}"), name)


_MODEL, _TOPOGRAPHY = "model SSH (not an anomaly)", "absolute dynamic topography"
_ANOMALY = "anomaly to the mean sea surface"
_INSTANTS, _DAILY = "instants", "daily, 00:00 or 12:00"

# The first that owns a file counts: the particular come before the general.
SOURCES: dict[str, Source] = {
    "starter": Source(
        "4dvarnet-starter, gridded truth and observations",
        "starter", "read_truth", "is_truth", "maps", _MODEL, _DAILY,
    ),
    "oceanbench_observations": Source(
        "OceanBench registry, gridded observations",
        "oceanbench", "read_observations", "is_observations", "observations", _MODEL, _DAILY,
    ),
    "oceanbench_truth": Source(
        "OceanBench registry, gridded truth",
        "oceanbench", "read_truth", "is_truth", "maps", _MODEL, _DAILY,
    ),
    "oceanbench_result": Source(
        "OceanBench registry, maps of a method",
        "oceanbench", "read_result", "is_result", "maps", f"{_MODEL} or {_TOPOGRAPHY}", _DAILY,
    ),
    "dc2020a_reference": Source(
        "2020a challenge, hourly NATL60 reference",
        "dc2020a", "read_reference", "is_reference", "maps", _MODEL, "hourly, hh:30",
    ),
    "dc2020a_observations": Source(
        "2020a challenge, nadir or KaRIn observations",
        "dc2020a", "read_observations", "is_observations", "tracks", _MODEL, _INSTANTS,
    ),
    "dc2020a_maps": Source(
        "2020a challenge, maps of a method",
        "dc2020a", "read_maps_of_method", "is_maps", "maps", _MODEL, _DAILY,
    ),
    "dc2021a_observations": Source(
        "2021a challenge, along-track observations of 2017",
        "dc2021a", "read_observations", "is_tracks", "tracks", _TOPOGRAPHY, _INSTANTS,
    ),
    "dc2021a_maps": Source(
        "2021a challenge, maps of a method",
        "dc2021a", "read_maps_of_method", "is_maps", "maps", _TOPOGRAPHY, _DAILY,
    ),
    "enatl60_daily": Source(
        "eNATL60/NATL60 daily means on a regular grid",
        "enatl60", "read_daily", "is_daily", "maps", _MODEL, _DAILY,
    ),
    "swot_l3": Source(
        "SWOT KaRIn level 3, swaths",
        "swot_l3", "read", "is_level3", "tracks", f"{_ANOMALY}; with mdt {_TOPOGRAPHY}", _INSTANTS,
    ),
    "swot_simulator": Source(
        "SWOT simulator, swaths",
        "swot_l3", "read_simulated", "is_simulated", "tracks", _MODEL, _INSTANTS,
    ),
    "enatl60_snapshots": Source(
        "eNATL60/NATL60 snapshots on the native grid",
        "enatl60", "read_snapshots", "is_snapshots", "snapshots", _MODEL, "hourly means, hh:30",
    ),
    "rads": Source(
        "RADS along-track, several missions in a file",
        "rads", "read", "is_tracks", "tracks", _ANOMALY, _INSTANTS,
    ),
    "cmems_l3": Source(
        "Copernicus Marine (DUACS) along-track level 3",
        "cmems_l3", "read", "is_tracks", "tracks", f"{_ANOMALY}; with mdt {_TOPOGRAPHY}", _INSTANTS,
    ),
    "duacs_l4": Source(
        "DUACS/AVISO gridded level 4",
        "duacs_l4", "read", "is_maps", "maps", f"{_ANOMALY} (sla) or {_TOPOGRAPHY} (adt)", "00:00",
    ),
    "curvilinear": Source(
        "fields of a model on its native, curvilinear grid",
        "enatl60", "read_snapshots", "is_curvilinear", "snapshots", _MODEL, _INSTANTS,
    ),
    "maps": Source(
        "maps on a regular grid",
        "generic", "read_any_maps", "is_maps", "maps", "as the height's name says", _DAILY,
    ),
    "tracks": Source(
        "samples along tracks",
        "generic", "read_any_tracks", "is_tracks", "tracks", "as the height's name says", _INSTANTS,
    ),
}  # fmt: skip


def sniff(path: str | Path) -> str | None:
    """Return which of `SOURCES` a NetCDF file belongs to, or None; only its header is read.

    Raises:
        FileNotFoundError: no such file.
        DataError: empty, truncated or not NetCDF.
    """
    from pipeline_spde.data.sources.opening import read_header

    header = read_header(path)
    return next((name for name, source in SOURCES.items() if source.owns(header)), None)
