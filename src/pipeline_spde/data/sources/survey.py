"""What foreign grid files hold, told without reading a map: names, stamps, axes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.data.sources import PLAUSIBLE_HEIGHT_M
from pipeline_spde.data.sources.axes import (
    HEIGHT_NAMES,
    Axis,
    find_coordinate,
    height_variables,
    latitude_axis,
    longitude_axis,
)
from pipeline_spde.data.sources.opening import Header, decoded, header_of, numbers, open_raw
from pipeline_spde.data.sources.times import Midnight, read_instants
from pipeline_spde.fields import Quantity
from pipeline_spde.files import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GridLayout:
    """How a format keeps its maps.

    Attributes:
        heights: names of the height variable, of which the first found counts; empty: whatever CF
            attributes or usual names tell.
        quantity: what the heights are; None: what their name or `standard_name` says.
        midnight: what a single map of a day stamped 00:00 stands for (`times`).
        assumed_units: of the heights, where the format leaves out `units`.
        assumed_time_units: of the time, likewise.
        place: index along further dimensions, name -> position.
        plausible_m: as in `require_plausible`.
    """

    heights: tuple[str, ...] = ()
    quantity: Quantity | None = None
    midnight: Midnight = "label"
    assumed_units: str | None = None
    assumed_time_units: str | None = None
    place: Mapping[str, int] = field(default_factory=dict)
    plausible_m: tuple[float, float] = PLAUSIBLE_HEIGHT_M


@dataclass(frozen=True, eq=False)
class GridSurvey:
    """What a file of maps holds.

    Attributes:
        path: the file.
        variable: the heights.
        quantity: what they are.
        time_dim: dimension of the time; None for a file of one map without such a dimension.
        dims: dimensions of latitude and longitude.
        instants: stamps as they stand, shape (map,).
        lat: rows.
        lon: columns.
    """

    path: Path
    variable: str
    quantity: Quantity
    time_dim: str | None
    dims: tuple[str, str]
    instants: NDArray[np.datetime64]
    lat: Axis
    lon: Axis


def survey_grid(path: Path, layout: GridLayout) -> GridSurvey:
    """Return what a file of maps holds.

    Raises:
        FileNotFoundError, DataError: no such file, or one that holds no maps of this layout.
    """
    with open_raw(path) as data:
        header = header_of(data, path)
        variable, quantity = find_height(header, layout)
        names = {kind: find_coordinate(header, kind) for kind in ("lat", "lon", "time")}
        lat, lon = (numbers(decoded(data, names[kind], path), path) for kind in ("lat", "lon"))
        instants = read_instants(data, names["time"], path, layout.assumed_time_units)
        if np.isnat(instants).any() or instants.size == 0:
            raise DataError(f"{path}: {names['time']} holds missing or no values; get it again")
        _warn_of_midnights(header, instants, layout)
        lat_axis = latitude_axis(lat, names["lat"], path)
        lon_axis = longitude_axis(lon, names["lon"], path)
        dims = (header.dims[names["lat"]][0], header.dims[names["lon"]][0])
        time_dim = header.dims[names["time"]][0] if header.ndim(names["time"]) else None
    _require_dims(header, variable, time_dim, dims, layout)
    if time_dim not in header.dims[variable]:
        time_dim = None
        if instants.size != 1:
            raise DataError(f"{path}: {variable} has no time dimension, but {instants.size} times")
    return GridSurvey(path, variable, quantity, time_dim, dims, instants, lat_axis, lon_axis)


def find_height(header: Header, layout: GridLayout) -> tuple[str, Quantity]:
    """Return the height variable of a file and its quantity.

    Raises:
        DataError: none of the layout's names, or, where it has no names, none or several.
    """
    known = height_variables(header, (2, 3, 4))
    if layout.heights:
        for name in layout.heights:
            if name in header.dims:
                quantity = layout.quantity or known.get(name) or HEIGHT_NAMES.get(name, "ssh")
                return name, quantity
        raise DataError(
            f"{header.path}: variable {list(layout.heights)} not found; the file holds "
            f"{sorted(header.dims)}"
        )
    wanted = {n: q for n, q in known.items() if layout.quantity in (None, q)}
    if len(wanted) != 1:
        found = f"several: {sorted(wanted)}; name one" if wanted else "none"
        raise DataError(
            f"{header.path}: which variable is the height of the sea surface (ssh, sla or adt)? "
            f"Found {found}; the file holds {sorted(header.dims)}"
        )
    return next(iter(wanted.items()))


def _require_dims(
    header: Header,
    variable: str,
    time_dim: str | None,
    dims: tuple[str, str],
    layout: GridLayout,
) -> None:
    held = header.dims[variable]
    further = set(held) - {*dims, time_dim}
    unplaced = {n for n in further if header.sizes[n] != 1 and n not in layout.place}
    if not set(dims) <= set(held) or unplaced:
        sizes = {name: header.sizes[name] for name in held}
        raise DataError(
            f"{header.path}: {variable} is on {sizes}, expected time, {dims[0]} and {dims[1]}"
            + (f"; choose one index of {sorted(unplaced)}" if unplaced else "")
        )
    for name, index in layout.place.items():
        if name in further and not -header.sizes[name] <= index < header.sizes[name]:
            raise DataError(f"{header.path}: {name} has {header.sizes[name]} entries, not {index}")


def _warn_of_midnights(
    header: Header, instants: NDArray[np.datetime64], layout: GridLayout
) -> None:
    """Say so when the file itself tells that its map of 00:00 is centred there."""
    start = str(header.about.get("time_coverage_start", ""))[11:16]
    at_midnight = np.all(instants == instants.astype("datetime64[D]"))
    if layout.midnight == "label" and at_midnight and start == "12:00":
        logger.warning(
            "%s: its attributes say that the map is centred at 00:00; it is taken for the mean of "
            "the day, half a day off (midnight='instant' averages consecutive maps instead)",
            header.path,
        )


def require_same_grid(surveys: Sequence[GridSurvey]) -> None:
    """Refuse files of different axes or variables."""
    first = surveys[0]
    for other in surveys[1:]:
        for name in ("lat", "lon"):
            a, b = getattr(first, name).values, getattr(other, name).values
            if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=1e-4):
                raise DataError(
                    f"{other.path}: its {name} axis ({b.size} nodes, {b[0]:g} to {b[-1]:g}) is not "
                    f"that of {first.path.name} ({a.size} nodes, {a[0]:g} to {a[-1]:g})"
                )
        if (other.variable, other.quantity) != (first.variable, first.quantity):
            raise DataError(
                f"{other.path}: holds {other.variable}, {first.path.name} {first.variable}"
            )
