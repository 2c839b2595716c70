"""Any other file of maps or tracks: variables and coordinates found by CF attributes and names.

For data of your own and for products without a module. Units must be stated; the quantity is what
the name or `standard_name` of the height says (`axes.height_variables`); stamps follow `times`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from pipeline_spde.data.sources import metres_per_unit
from pipeline_spde.data.sources.axes import HEIGHT_NAMES, find_coordinate, height_variables
from pipeline_spde.data.sources.gridded import read_maps
from pipeline_spde.data.sources.opening import (
    FilePaths,
    Header,
    decoded,
    header_of,
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
from pipeline_spde.data.sources.survey import GridLayout
from pipeline_spde.data.sources.times import Midnight, read_instants
from pipeline_spde.fields import Day, Maps, Quantity, Tracks
from pipeline_spde.files import DataError


def is_maps(header: Header) -> bool:
    """Return True for a file with heights on 1-D latitudes and longitudes."""
    one_dimensional = _one_dimensional(header)
    return bool(height_variables(header, (2, 3, 4))) and {"lat", "lon"} <= one_dimensional


def is_tracks(header: Header) -> bool:
    """Return True for a file with heights along one dimension that also has time and place."""
    return bool(height_variables(header, (1,))) and {"lat", "lon", "time"} <= _one_dimensional(
        header
    )


def _one_dimensional(header: Header) -> set[str]:
    found = set()
    for kind in ("lat", "lon", "time"):
        try:
            name = find_coordinate(header, kind)
        except DataError:
            continue
        if header.ndim(name) == 1:
            found.add(kind)
    return found


def read_any_maps(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    variable: str | None = None,
    quantity: Quantity | None = None,
    midnight: Midnight = "label",
    place: Mapping[str, int] | None = None,
) -> Maps:
    """Return daily maps.

    Args:
        path: a folder, a file or several.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        variable: the heights; None: the one that is found.
        quantity: what they are; None: as found.
        midnight: what 00:00 stands for (`times`).
        place: index along further dimensions, e.g. {"config": 0}.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `gridded.read_maps`.
    """
    names = () if variable is None else (variable,)
    layout = GridLayout(names, quantity, midnight, place=place or {})
    return read_maps(list_files(path), layout, Selection(lat, lon, period))


def read_any_tracks(
    path: FilePaths,
    missions: Sequence[str] | None = None,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    error_m: float = 0.03,
    variable: str | None = None,
    quantity: Quantity | None = None,
) -> Tracks:
    """Return along-track samples, one mission per file.

    Args:
        path: a folder, a file or several.
        missions: told by file names (`samples.MISSION_CODES`), in the order wanted; None: all.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        error_m: standard deviation of the noise of a sample in m.
        variable: the heights; None: the one that is found.
        quantity: what they are; None: as found.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `samples.read_tracks`.
    """
    files = assign_missions(list_files(path), MISSION_CODES, missions)
    with open_raw(files[0][1]) as data:
        name, known = _height(header_of(data, files[0][1]), variable, quantity)
    reader = partial(_read_file, height=name)
    return read_tracks(files, reader, known, Selection(lat, lon, period), error_m)


def _height(
    header: Header, variable: str | None, quantity: Quantity | None
) -> tuple[str, Quantity]:
    known = height_variables(header, (1,))
    if variable is not None:
        told = quantity or known.get(variable) or HEIGHT_NAMES.get(variable.lower())
        if told is None:
            raise DataError(f"{header.path}: what is {variable}: ssh, sla or adt? Give quantity=…")
        return variable, told
    wanted = {n: q for n, q in known.items() if quantity in (None, q)}
    if len(wanted) != 1:
        found = f"several: {sorted(wanted)}; name one (variable=…)" if wanted else "none"
        raise DataError(
            f"{header.path}: which variable is the height of the sea surface? Found {found}; the "
            f"file holds {sorted(header.dims)}"
        )
    return next(iter(wanted.items()))


def _read_file(path: Path, height: str) -> Samples:
    with open_raw(path) as data:
        header = header_of(data, path)
        array = decoded(data, height, path)
        values = numbers(array, path) * metres_per_unit(array, path)
        lat, lon = (
            numbers(decoded(data, find_coordinate(header, kind), path), path)
            for kind in ("lat", "lon")
        )
        time = read_instants(data, find_coordinate(header, "time"), path)
    return Samples(path, time, lat, lon, values)
