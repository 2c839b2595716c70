"""Files of maps or of an ensemble, opened lazily: what they hold is known, no map is read.

A file holds maps, maps with a standard deviation, or members along a dimension `realization`
(`member`, …). The variables are found by CF attributes and usual names; longitudes, calendars and
stamps are those of the readers (`data.sources`): daily, 12:00 UTC. Missing cells stay missing.
"""

from __future__ import annotations

import glob
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import dask
import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources import (
    PLAUSIBLE_HEIGHT_M,
    SOURCES,
    metres_per_unit,
    require_plausible,
)
from pipeline_spde.data.sources.axes import height_variables
from pipeline_spde.data.sources.gridded import Survey, survey_files
from pipeline_spde.data.sources.oceanbench import time_units
from pipeline_spde.data.sources.opening import (
    Header,
    decoded,
    list_files,
    numbers,
    open_raw,
    read_header,
)
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.survey import GridLayout
from pipeline_spde.data.sources.times import Midnight
from pipeline_spde.fields import Quantity
from pipeline_spde.files import DataError
from pipeline_spde.inspection.maps import ENSEMBLE_DIMS
from pipeline_spde.scores.ensemble import MEMBER_DIM

logger = logging.getLogger(__name__)

CHUNK_BYTES = 2**24
_DIMS = ("time", "lat", "lon")
# Sources whose files may hold several heights, or heights that go without units.
_HEIGHTS = {
    "starter": ("ssh", "tgt"),
    "oceanbench_truth": ("ssh",),
    "oceanbench_result": ("ssh", "rec_ssh", "gssh", "ssh_mod"),
    "dc2020a_reference": ("sossheig",),
    "dc2020a_maps": ("gssh", "ssh", "ssh_mod", "sossheig"),
    "dc2021a_maps": ("ssh", "rec_ssh", "adt"),
    "enatl60_daily": ("ssh",),
}
_QUANTITIES: dict[str, Quantity] = {"dc2021a_maps": "adt"}
_WITHOUT_TIME_UNITS = ("starter", "oceanbench_truth", "oceanbench_result")


@dataclass(frozen=True)
class GridRequest:
    """What to read of files of maps.

    Attributes:
        files: a file, a folder, a pattern such as "maps/*.nc", or several.
        variable: the heights; None: the one that is found.
        std: standard deviation of their error; None: the usual names.
        quantity: what the heights are; None: as the file tells.
        midnight: what a stamp of 00:00 stands for (`data.sources.times`).
        selection: box and period.
        place: index along further dimensions, e.g. {"config": 0}.
    """

    files: Sequence[str | Path]
    variable: str | None = None
    std: str | None = None
    quantity: Quantity | None = None
    midnight: Midnight = "label"
    selection: Selection = field(default_factory=Selection)
    place: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class MapFiles:
    """Files of maps, surveyed.

    Attributes:
        survey: files, days and nodes.
        paths: the files.
        source: key of `SOURCES` the files belong to.
        quantity: what the heights are.
        variable: name of the heights in the files.
        member_dim: dimension of the members there, or None.
        members: number of members, 1 without that dimension.
        further: name in `dataset` -> name in the files of the mean and the standard deviations.
    """

    survey: Survey
    paths: Sequence[Path]
    source: str
    quantity: Quantity
    variable: str
    member_dim: str | None
    members: int
    further: dict[str, str]

    @property
    def days(self) -> NDArray[np.datetime64]:
        """The days, stamped 12:00 UTC."""
        return self.survey.plan.stamps

    @property
    def day_bytes(self) -> int:
        """Memory of one day of all variables as float64."""
        cells = self.survey.lat.values.size * self.survey.lon.values.size
        return 8 * cells * (self.members + len(self.further))

    @property
    def is_ensemble(self) -> bool:
        """True for members, or for the layout of `scores.ensemble` without them."""
        return self.member_dim is not None or f"{self.quantity}_mean" in self.further

    def dataset(self) -> xr.Dataset:
        """Return the variables in m, in dask chunks of a day (one chunk of small maps).

        Names: the quantity, on (realization, time, lat, lon) or (time, lat, lon), and beside it
        `<quantity>_mean`, `<quantity>_std`, `<quantity>_std_calibrated` as far as there are any.
        """
        names = dict(self.further)
        if self.variable not in names.values():
            names = {self.quantity: self.variable, **names}
        coords = {
            "time": self.days,
            "lat": self.survey.lat.values,
            "lon": self.survey.lon.values,
        }
        variables = {}
        for name, variable in names.items():
            along = self.member_dim is not None and variable == self.variable
            dims = (MEMBER_DIM, *_DIMS) if along else _DIMS
            variables[name] = (dims, self._chunks(variable, along, "_std" in name))
        return xr.Dataset(variables, coords, {"quantity": self.quantity})

    def _chunks(self, variable: str, along_members: bool, is_std: bool) -> dask.array.Array:
        nodes = (self.survey.lat.values.size, self.survey.lon.values.size)
        lead = (self.members,) if along_members else ()
        count = self.survey.plan.days.size
        day = 4 * math.prod((*lead, *nodes))
        per_chunk = count if day * count <= CHUNK_BYTES else 1
        member_dim = self.member_dim if along_members else None
        blocks = []
        for first in range(0, count, per_chunk):
            days = np.arange(first, min(first + per_chunk, count))
            read = partial(read_days, self.survey, variable, member_dim, self.variable, is_std)
            shape = (*lead, days.size, *nodes)
            delayed = dask.delayed(read, pure=False)(days)
            blocks.append(dask.array.from_delayed(delayed, shape, np.dtype(np.float32)))
        return dask.array.concatenate(blocks, axis=-3)


def read_days(
    survey: Survey,
    variable: str,
    member_dim: str | None,
    heights: str,
    is_std: bool,
    days: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Return some days of a variable in m, NaN where missing, shape ([member,] day, lat, lon).

    Args:
        survey: files, days and nodes.
        variable: name in the files.
        member_dim: dimension of its members, or None.
        heights: the height variable, whose units count where this one has none.
        is_std: a standard deviation, else heights.
        days: positions in the plan, increasing.

    Raises:
        DataError: damaged data, or values that are no heights (or standard deviations) in m.
    """
    plan, first, total, units = survey.plan, 0, None, "m"
    position = np.full(plan.days.size, -1)
    position[days] = np.arange(days.size)
    for file in survey.files:
        own = (plan.of_map >= first) & (plan.of_map < first + file.instants.size)
        own &= position[plan.of_day] >= 0
        maps, first = plan.of_map[own] - first, first + file.instants.size
        if not maps.size:
            continue
        place = (file.path, file.time_dim, variable, member_dim, heights)
        values, units = _read_maps(survey, *place, maps)
        if total is None:
            total = np.zeros((*values.shape[:-3], days.size, *values.shape[-2:]))
        for entry in range(maps.size):
            row = position[plan.of_day[own][entry]]
            total[..., row, :, :] += plan.weight[own][entry] * values[..., entry, :, :]
    assert total is not None  # every day of a plan has a map
    _require_sense(total, variable, units, is_std, survey.where)
    return total.astype(np.float32)


def _read_maps(
    survey: Survey,
    path: Path,
    time_dim: str | None,
    variable: str,
    member_dim: str | None,
    heights: str,
    maps: NDArray[np.intp],
) -> tuple[NDArray[np.float64], str]:
    """Return maps of one file in m, shape ([member,] map, lat, lon), and the units as found."""
    rows, columns = survey.lat.index, survey.lon.index
    lat_dim, lon_dim = survey.files[0].dims
    with open_raw(path) as data:
        array = decoded(data, variable, path)
        units = array if "units" in array.attrs else decoded(data, heights, path)
        factor = metres_per_unit(units, path, survey.layout.assumed_units)
        lead = () if member_dim is None else (member_dim,)
        kept = {time_dim, lat_dim, lon_dim, *lead}
        place = {n: survey.layout.place.get(str(n), 0) for n in array.dims if n not in kept}
        array = array.isel(place)
        if time_dim is None:
            array = array.expand_dims("time")
        wanted = (*lead, time_dim or "time", lat_dim, lon_dim)
        if set(array.dims) != set(wanted):
            raise DataError(f"{path}: {variable} is on {array.dims}, expected {wanted}")
        array = array.transpose(*wanted)
        box = array[
            ...,
            int(maps.min()) : int(maps.max()) + 1,
            int(rows.min()) : int(rows.max()) + 1,
            int(columns.min()) : int(columns.max()) + 1,
        ]
        values = numbers(box, path) * factor
    nodes = np.ix_(maps - maps.min(), rows - rows.min(), columns - columns.min())
    return values[(..., *nodes)], str(units.attrs.get("units", survey.layout.assumed_units))


def _require_sense(
    values: NDArray[np.float64], name: str, units: str, is_std: bool, where: Path
) -> None:
    """Refuse values that are no heights or standard deviations in metres."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return  # a day without a map: left out and counted when it is scored
    if is_std and finite.min() < 0:
        raise DataError(
            f"{where}: {name} is negative ({finite.min():.3g} m): no standard deviation"
        )
    require_plausible(finite, name, units, where, (0.0, PLAUSIBLE_HEIGHT_M[1]))
    usual = float(np.quantile(np.abs(finite[:: 1 + finite.size // 10**6]), 0.99))
    if not is_std and usual < PLAUSIBLE_HEIGHT_M[0]:
        logger.warning(
            "%s: 99 %% of %s are within ±%.2g m: is its attribute `units` right?",
            where,
            name,
            usual,
        )


def open_maps(request: GridRequest) -> MapFiles:
    """Return files of maps, surveyed.

    Raises:
        FileNotFoundError: no such file, or none that matches.
        DataError: a file holds no maps, or something else than the others.
    """
    paths = list(expanded(request.files))
    header = read_header(paths[0])
    source = next((name for name, s in SOURCES.items() if s.owns(header)), None)
    if source is not None and SOURCES[source].gives not in ("maps", "observations"):
        raise DataError(
            f"{paths[0]}: this is {SOURCES[source].title}; expected maps on a regular grid of "
            "latitudes and longitudes"
        )
    name, quantity = _heights(header, source, request)
    member_dim = _member_dim(header, name)
    layout = GridLayout(
        heights=(name,),
        quantity=quantity,
        midnight=request.midnight,
        assumed_units="m" if source in _HEIGHTS else None,
        assumed_time_units=time_units(paths[0]) if source in _WITHOUT_TIME_UNITS else None,
        place={**request.place, **({member_dim: 0} if member_dim else {})},
    )
    survey = survey_files(paths, layout, request.selection)
    size = header.sizes[member_dim] if member_dim else 1
    return MapFiles(
        survey,
        paths,
        source or "maps",
        survey.files[0].quantity,
        name,
        member_dim if size > 1 else None,
        size,
        _further(header, name, survey.files[0].quantity, member_dim is not None, request.std),
    )


def restricted(maps: MapFiles, selection: Selection, request: GridRequest) -> MapFiles:
    """Return the same files cut to a box and period as well as to what was asked for before."""
    merged = Selection(
        selection.lat or request.selection.lat,
        selection.lon or request.selection.lon,
        selection.period or request.selection.period,
    )
    survey = survey_files(list(maps.paths), maps.survey.layout, merged)
    return replace(maps, survey=survey)


def expanded(files: Sequence[str | Path]) -> Iterator[Path]:
    """Yield the files meant by files, folders and patterns."""
    if not files:
        raise FileNotFoundError("no file is named; give a file, a folder or a pattern")
    for item in files:
        if not Path(item).exists() and glob.has_magic(str(item)):
            found = sorted(glob.glob(str(item)))
            if not found:
                raise FileNotFoundError(f"{item}: no file matches")
            yield from map(Path, found)
        else:
            yield from list_files(item)


def _heights(
    header: Header, source: str | None, request: GridRequest
) -> tuple[str, Quantity | None]:
    """Return the height variable and its quantity (None: as its name tells)."""
    quantity = request.quantity
    if request.variable is not None:
        known = height_variables(header, (2, 3, 4)) | _means(header)
        told = quantity or known.get(request.variable)
        if request.variable in header.dims and told is None:
            raise DataError(
                f"{header.path}: what is {request.variable}: ssh, sla or adt? State the quantity"
            )
        return request.variable, told
    if source in _HEIGHTS:
        name = next((name for name in _HEIGHTS[source] if header.has(name)), _HEIGHTS[source][0])
        return name, quantity or _QUANTITIES.get(source)
    known = height_variables(header, (2, 3, 4)) or _means(header)
    wanted = {n: q for n, q in known.items() if quantity in (None, q)}
    if quantity is not None and not wanted and len(known) == 1:
        return next(iter(known)), quantity  # the one height there is, by another name
    if source == "duacs_l4" and "adt" in wanted:
        wanted = {"adt": wanted["adt"]}
    if len(wanted) != 1:
        found = f"several: {sorted(wanted)}; name one of them" if wanted else "none"
        raise DataError(
            f"{header.path}: which variable is the height of the sea surface (ssh, sla or adt)? "
            f"Found {found}; the file holds {sorted(header.dims)}"
        )
    return next(iter(wanted.items()))


def _means(header: Header) -> dict[str, Quantity]:
    """Return the means of an ensemble file, which may come without its members."""
    quantities: tuple[Quantity, ...] = ("ssh", "sla", "adt")
    return {f"{q}_mean": q for q in quantities if header.ndim(f"{q}_mean") == 3}


def _member_dim(header: Header, name: str) -> str | None:
    """Return the dimension of the members, by its name or the standard name `realization`."""
    for dim in header.dims.get(name, ()):
        standard = header.attrs.get(dim, {}).get("standard_name")
        if dim.lower() in ENSEMBLE_DIMS or standard == "realization":
            return dim
    return None


def _further(
    header: Header, name: str, quantity: Quantity, ensemble: bool, std: str | None
) -> dict[str, str]:
    """Return the mean and the standard deviations that go with the heights."""
    stem = name.removesuffix("_mean")
    if std is not None:
        if not header.has(std):
            raise DataError(
                f"{header.path}: variable {[std]} not found; the file holds {sorted(header.dims)}"
            )
        return {f"{quantity}_std": std}
    if (ensemble or name.endswith("_mean")) and header.has(f"{stem}_mean", f"{stem}_std"):
        parts = {part: f"{stem}_{part}" for part in ("mean", "std", "std_calibrated")}
        return {f"{quantity}_{part}": v for part, v in parts.items() if header.has(v)}
    if ensemble:
        return {}
    usual = (f"{stem}_std", f"{stem}_error", f"err_{stem}", "err", "std")
    marked = [n for n in header.dims if _is_standard_error(header, n)]
    found = next((n for n in (*usual, *marked) if header.ndim(n) == header.ndim(name)), None)
    return {f"{quantity}_std": found} if found is not None else {}


def _is_standard_error(header: Header, name: str) -> bool:
    return str(header.attrs[name].get("standard_name", "")).endswith(" standard_error")
