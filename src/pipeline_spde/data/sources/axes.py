"""Finding what is what in a foreign grid file: coordinates, heights, and regular axes.

Coordinates are known by their CF attributes (`axis`, `standard_name`, `units`) or, failing these,
by their usual names. Axes leave increasing and regular: descending latitudes are turned around,
longitudes of any circle are cut where the file has its gap and start in [-180, 180).
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.data.sources.opening import Header
from pipeline_spde.fields import Quantity
from pipeline_spde.files import DataError
from pipeline_spde.grids import wrap_longitude

logger = logging.getLogger(__name__)

_NAMES = {
    "lat": ("lat", "latitude", "nav_lat"),
    "lon": ("lon", "longitude", "nav_lon"),
    "time": ("time", "time_counter", "ocean_time", "valid_time"),
}
_STANDARD_NAMES = {"lat": "latitude", "lon": "longitude", "time": "time"}
_AXIS_LETTERS = {"lat": "Y", "lon": "X", "time": "T"}
_UNITS = {
    "lat": ("degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn"),
    "lon": ("degrees_east", "degree_east", "degrees_e", "degree_e", "degreese"),
}
# What CF calls the heights of the three quantities.
_HEIGHT_STANDARD_NAMES: dict[str, Quantity] = {
    "sea_surface_height_above_geoid": "ssh",
    "sea_surface_height": "ssh",
    "sea_surface_elevation": "ssh",
    "sea_surface_height_above_reference_ellipsoid": "ssh",
    "sea_surface_height_above_sea_level": "sla",
    "sea_surface_height_above_mean_sea_level": "sla",
}
_ANOMALY_WORDS = r"anomal|(relative to|above) (the )?mean"
# What the public files call them.
HEIGHT_NAMES: dict[str, Quantity] = {
    "ssh": "ssh",
    "gssh": "ssh",
    "rec_ssh": "ssh",
    "ssh_mod": "ssh",
    "ssh_model": "ssh",
    "sossheig": "ssh",
    "zos": "ssh",
    "sla": "sla",
    "sla_unfiltered": "sla",
    "sla_filtered": "sla",
    "ssha": "sla",
    "ssha_filtered": "sla",
    "ssha_unfiltered": "sla",
    "ssha_noiseless": "sla",
    "ssha_unedited": "sla",
    "adt": "adt",
    "adt_unfiltered": "adt",
    "adt_filtered": "adt",
}


def find_coordinate(header: Header, kind: str) -> str:
    """Return the name of the latitude, longitude or time variable.

    Args:
        header: of the file.
        kind: "lat", "lon" or "time".

    Raises:
        DataError: there is none; what the file holds is named.
    """
    by_attributes = [name for name in header.dims if _is_coordinate(header, name, kind)]
    known = {name.lower(): name for name in header.dims}
    by_name = [known[name] for name in _NAMES[kind] if name in known]
    for name in (*by_name, *by_attributes):
        if name in by_attributes:
            return name
    if by_name:
        return by_name[0]
    raise DataError(
        f"{header.path}: no {_STANDARD_NAMES[kind]} found (by axis, standard_name, units or the "
        f"names {', '.join(_NAMES[kind][:3])}); the file holds {sorted(header.dims)}"
    )


def _is_coordinate(header: Header, name: str, kind: str) -> bool:
    attrs = {key: str(value).lower() for key, value in header.attrs[name].items()}
    if header.ndim(name) > 2:
        return False
    if kind == "time":
        return attrs.get("standard_name") == "time" or " since " in attrs.get("units", "")
    return (
        attrs.get("standard_name") == _STANDARD_NAMES[kind]
        or attrs.get("units") in _UNITS[kind]
        or attrs.get("axis") == _AXIS_LETTERS[kind].lower()
    )


def height_variables(header: Header, ndim: tuple[int, ...]) -> dict[str, Quantity]:
    """Return the height variables that have one of the numbers of dimensions, and their quantity.

    They are known by their name or, failing this, their `standard_name`; a `long_name` that speaks
    of an anomaly makes a "sea surface height" one.
    """
    found: dict[str, Quantity] = {}
    for name, dims in header.dims.items():
        if len(dims) not in ndim:
            continue
        named = str(header.attrs[name].get("standard_name", "")).lower()
        quantity = HEIGHT_NAMES.get(name.lower()) or _HEIGHT_STANDARD_NAMES.get(named)
        if quantity is not None:
            described = str(header.attrs[name].get("long_name", ""))
            anomaly = quantity == "ssh" and re.search(_ANOMALY_WORDS, described, re.IGNORECASE)
            found[name] = "sla" if anomaly else quantity
    return found


@dataclass(frozen=True, eq=False)
class Axis:
    """A regular axis and where its nodes stand in the file.

    Attributes:
        values: increasing, evenly spaced, degrees, shape (node,).
        index: position of each node along the dimension of the file, shape (node,).
        periodic: True when it goes around the globe.
    """

    values: NDArray[np.float64]
    index: NDArray[np.intp]
    periodic: bool = False

    def select(self, keep: NDArray[np.bool_]) -> Axis:
        """Return the nodes where `keep` (node,) is True, in one piece."""
        return Axis(self.values[keep], self.index[keep], self.periodic and bool(keep.all()))


def latitude_axis(values: NDArray[np.float64], name: str, path: str | Path) -> Axis:
    """Return the axis of 1-D latitudes, which may descend.

    Raises:
        DataError: values that are missing, outside [-90, 90] or not regular.
    """
    _require_degrees(values, name, path, -90.0, 90.0)
    order = np.argsort(values, kind="stable")
    return Axis(_regular(values[order], name, path), order)


def longitude_axis(values: NDArray[np.float64], name: str, path: str | Path) -> Axis:
    """Return the axis of 1-D longitudes of any circle: increasing from a west in [-180, 180).

    It starts east of the widest gap of the file, or at -180 for the whole globe. A meridian that
    is given twice (0 and 360) is kept once.

    Raises:
        DataError: values that are missing, outside [-360, 720] or not regular.
    """
    _require_degrees(values, name, path, -360.0, 720.0)
    wrapped = wrap_longitude(values)
    # 1e-4 degrees apart: one meridian, stored as float32
    around, first = np.unique(np.round(wrapped, 4), return_index=True)
    if around.size < values.size:
        logger.warning(
            "%s: %d meridians of %s are given twice", path, values.size - around.size, name
        )
    if around.size < 2:
        raise DataError(f"{path}: {name} holds one meridian only, a map needs two or more")
    gaps = np.diff(around, append=around[0] + 360.0)
    usual = float(np.median(gaps))
    widest = int(np.argmax(gaps))
    periodic = around.size > 2 and gaps[widest] < 1.5 * usual
    start = 0 if periodic else (widest + 1) % around.size
    index = np.roll(first, -start)
    unrolled = wrap_longitude(values[index], wrapped[index[0]] - 1e-6)
    axis = _regular(unrolled, name, path)
    periodic = periodic and bool(np.isclose((axis[1] - axis[0]) * axis.size, 360.0, rtol=1e-6))
    return Axis(axis, index, periodic)


def _require_degrees(
    values: NDArray[np.float64], name: str, path: str | Path, low: float, high: float
) -> None:
    if values.ndim != 1:
        raise DataError(
            f"{path}: {name} has {values.ndim} dimensions, expected one (a regular grid); regrid "
            "the maps to longitudes and latitudes first"
        )
    if values.size < 2:
        raise DataError(f"{path}: {name} has {values.size} values, a map needs two or more")
    if not np.all(np.isfinite(values)):
        raise DataError(f"{path}: {name} holds missing values; make or download the file again")
    if values.min() < low or values.max() > high:
        raise DataError(
            f"{path}: {name} runs from {values.min():g} to {values.max():g}, expected degrees "
            f"within [{low:g}, {high:g}]; are the coordinates swapped or scaled?"
        )


def _regular(values: NDArray[np.float64], name: str, path: str | Path) -> NDArray[np.float64]:
    """Return the evenly spaced axis that increasing values stand for; refuse any other."""
    even = np.linspace(values[0], values[-1], values.size)
    step = (values[-1] - values[0]) / (values.size - 1)
    rounding = 2 * float(np.spacing(np.float32(np.abs(values).max())))
    off = float(np.abs(values - even).max())
    if step <= 0 or off > max(0.01 * step, rounding):
        steps = np.diff(values)
        raise DataError(
            f"{path}: {name} is not evenly spaced: steps run from {steps.min():g} to "
            f"{steps.max():g} degrees, a node is {off:g} off; are rows missing or given twice?"
        )
    return even
