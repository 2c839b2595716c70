"""Foreign grid files as `fields.Maps`: one or many files, a box and a period, daily means.

Files are surveyed first (`survey`: coordinates only), then just the wanted maps are read, a block
at a time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources import metres_per_unit, require_plausible
from pipeline_spde.data.sources.axes import Axis
from pipeline_spde.data.sources.opening import decoded, numbers, open_raw, require_memory
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.survey import (
    GridLayout,
    GridSurvey,
    require_same_grid,
    survey_grid,
)
from pipeline_spde.data.sources.times import DailyPlan, plan_days
from pipeline_spde.fields import Maps, Quantity
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 2**28
_MOST_LOST = 0.1  # share of the ocean that may be missing on some day (sea ice, edges of a domain)


@dataclass(frozen=True, eq=False)
class DailyFields:
    """Daily fields as read: holes are NaN, their meaning is still open.

    Attributes:
        where: the file or folder, for messages.
        variable: the height variable.
        units: of the variable, as found or assumed.
        quantity: what the heights are.
        days: calendar days, shape (day,).
        stamps: the same at 12:00 UTC, shape (day,).
        lat: rows.
        lon: columns.
        height: m, NaN where missing, shape (day, lat, lon).
        std: the same for the standard deviation of the error, or None.
    """

    where: Path
    variable: str
    units: str
    quantity: Quantity
    days: NDArray[np.datetime64]
    stamps: NDArray[np.datetime64]
    lat: Axis
    lon: Axis
    height: NDArray[np.float32]
    std: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Survey:
    """What is wanted of some files, and where it stands in them; no map has been read.

    Attributes:
        where: the file or folder, for messages.
        files: what each of them holds.
        layout: of their format.
        plan: which maps (counted over all files) make which daily mean.
        lat: rows.
        lon: columns.
    """

    where: Path
    files: Sequence[GridSurvey]
    layout: GridLayout
    plan: DailyPlan
    lat: Axis
    lon: Axis


def survey_files(
    files: Sequence[Path], layout: GridLayout, selection: Selection, every: int = 1
) -> Survey:
    """Return what is wanted of some files; arguments and errors as in `read_days`."""
    if every < 1:
        raise ValueError(f"every must be 1 or more, got {every}")
    surveys = [survey_grid(path, layout) for path in files]
    where = files[0] if len(files) == 1 else files[0].parent
    require_same_grid(surveys)
    order = _distinct_maps(surveys)
    plan = plan_days(_instants(surveys)[order], layout.midnight, where)
    plan = _selected_days(plan, selection, where)
    plan = DailyPlan(plan.days, order[plan.of_map], plan.of_day, plan.weight)
    lat, lon = _selected_nodes(surveys[0], selection, every, where)
    return Survey(where, surveys, layout, plan, lat, lon)


def read_days(
    files: Sequence[Path],
    layout: GridLayout,
    selection: Selection,
    every: int = 1,
    std: str | None = None,
) -> DailyFields:
    """Return the daily fields of some files.

    Unsorted ones are sorted, those given twice dropped (with a warning).

    Args:
        files: in any order.
        layout: of their format.
        selection: box and period.
        every: keep every n-th row and column of the box.
        std: variable that holds the standard deviation of the error.

    Raises:
        DataError: a file is unusable, files do not fit together, or nothing lies in the selection.
        ValueError: `every` below 1.
    """
    found = survey_files(files, layout, selection, every)
    variable, quantity = found.files[0].variable, found.files[0].quantity
    place = (layout, found.plan, found.lat, found.lon)
    height, units = _daily_means(found.files, variable, *place)
    deviation = _daily_means(found.files, std, *place)[0] if std is not None else None
    return DailyFields(
        found.where,
        variable,
        units,
        quantity,
        found.plan.days,
        found.plan.stamps,
        found.lat,
        found.lon,
        height,
        deviation,
    )


def read_maps(
    files: Sequence[Path],
    layout: GridLayout,
    selection: Selection,
    every: int = 1,
    std: str | None = None,
) -> Maps:
    """Return the daily maps of some files; arguments as in `read_days`.

    Cells that are missing on some of the days become land on all, with a warning.

    Raises:
        DataError: as in `read_days`; days without values, or more holes than ice or the edge of
            a domain explain; heights that are not plausible.
    """
    days = read_days(files, layout, selection, every, std)
    height, deviation = days.height, days.std
    require_plausible(height, days.variable, days.units, days.where, layout.plausible_m)
    land = _never_seen(height, days.days, days.where)
    if deviation is not None:
        land |= ~np.isfinite(deviation).all(axis=0)
        deviation[:, land] = np.nan
    height[:, land] = np.nan
    try:
        grid = Grid.latlon(days.lat.values, days.lon.values, land, days.lon.periodic)
        return Maps(days.stamps, grid, height, days.quantity, deviation)
    except ValueError as error:
        raise DataError(f"{days.where}: {error}") from error


def _instants(surveys: Sequence[GridSurvey]) -> NDArray[np.datetime64]:
    return np.concatenate([survey.instants for survey in surveys])


def _distinct_maps(surveys: Sequence[GridSurvey]) -> NDArray[np.intp]:
    """Return the maps (counted over all files) in the order of time, each instant once.

    Raises:
        DataError: two different maps have the same stamp.
    """
    instants = _instants(surveys)
    order = np.argsort(instants, kind="stable")
    if np.any(np.diff(instants) < np.timedelta64(0, "ns")) and len(surveys) == 1:
        logger.warning("%s: maps sorted by time", surveys[0].path)
    repeats = np.flatnonzero(np.diff(instants[order]) == np.timedelta64(0, "ns")) + 1
    for place in repeats:
        first, second = (_raw_map(surveys, int(order[i])) for i in (place - 1, place))
        if not np.array_equal(first, second, equal_nan=True):
            raise DataError(
                f"{surveys[0].path}: two different maps are stamped {instants[order[place]]}; "
                "remove one"
            )
    if repeats.size:
        logger.warning("%s: %d maps given twice, dropped", surveys[0].path, repeats.size)
    return np.delete(order, repeats)


def _raw_map(surveys: Sequence[GridSurvey], number: int) -> NDArray[np.float64]:
    """Return one map as it stands in its file."""
    for survey in surveys:
        if number < survey.instants.size:
            break
        number -= survey.instants.size
    with open_raw(survey.path) as data:
        array = decoded(data, survey.variable, survey.path)
        if survey.time_dim is not None:
            array = array.isel({survey.time_dim: number})
        return numbers(array, survey.path)


def _selected_days(plan: DailyPlan, selection: Selection, where: Path) -> DailyPlan:
    keep = selection.days(plan.days)
    if not keep.any():
        held = f"{plan.days[0]} to {plan.days[-1]}" if plan.days.size else "no complete day"
        raise DataError(f"{where}: no map of {selection}; the file holds {held}")
    return plan.select(keep)


def _selected_nodes(
    survey: GridSurvey, selection: Selection, every: int, where: Path
) -> tuple[Axis, Axis]:
    axes = []
    for axis, inside in (
        (survey.lat, selection.latitudes(survey.lat.values)),
        (survey.lon, selection.longitudes(survey.lon.values)),
    ):
        chosen = axis.select(inside)
        thinned = Axis(
            chosen.values[::every],
            chosen.index[::every],
            chosen.periodic and axis.values.size % every == 0,
        )
        if thinned.values.size < 2:
            raise DataError(
                f"{where}: fewer than two rows or columns in {selection}; the file spans latitudes "
                f"{survey.lat.values[0]:g} to {survey.lat.values[-1]:g}, longitudes "
                f"{survey.lon.values[0]:g} to {survey.lon.values[-1]:g}"
            )
        axes.append(thinned)
    return axes[0], axes[1]


def _daily_means(
    surveys: Sequence[GridSurvey],
    variable: str,
    layout: GridLayout,
    plan: DailyPlan,
    lat: Axis,
    lon: Axis,
) -> tuple[NDArray[np.float32], str]:
    """Return the weighted means of a plan in m, shape (day, lat, lon), and the units as found."""
    shape = (plan.days.size, lat.values.size, lon.values.size)
    require_memory(8 * math.prod(shape), f"daily {variable} {shape}", surveys[0].path)
    result = np.zeros(shape, np.float32)
    first, units = 0, ""
    for survey in surveys:
        own = (plan.of_map >= first) & (plan.of_map < first + survey.instants.size)
        numbers_in_file = plan.of_map[own] - first
        first += survey.instants.size
        if not own.any():
            continue
        with open_raw(survey.path) as data:
            array = _three_dimensional(decoded(data, variable, survey.path), survey, layout)
            factor = metres_per_unit(array, survey.path, layout.assumed_units)
            units = str(array.attrs.get("units", layout.assumed_units))
            for maps, block in _blocks(array, numbers_in_file, lat, lon, survey.path):
                in_block = np.isin(numbers_in_file, maps)
                for day in np.unique(plan.of_day[own][in_block]):
                    entries = in_block & (plan.of_day[own] == day)
                    chosen = block[np.searchsorted(maps, numbers_in_file[entries])]
                    share = plan.weight[own][entries][0] * chosen.shape[0]
                    result[day] += (share * factor * chosen.mean(axis=0)).astype(np.float32)
    return result, units


def _three_dimensional(array: xr.DataArray, survey: GridSurvey, layout: GridLayout) -> xr.DataArray:
    """Return a decoded variable on (time, lat, lon)."""
    place = {n: layout.place.get(str(n), 0) for n in array.dims}
    place = {n: i for n, i in place.items() if n not in (survey.time_dim, *survey.dims)}
    array = array.isel(place)
    if survey.time_dim is None:
        array = array.expand_dims("time")
    missing = set(survey.dims) - set(array.dims)
    if missing:
        raise DataError(f"{survey.path}: {array.name} has no dimension {sorted(missing)}")
    return array.transpose(survey.time_dim or "time", *survey.dims)


def _blocks(
    array: xr.DataArray, maps: NDArray[np.intp], lat: Axis, lon: Axis, path: Path
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Yield (numbers of maps, increasing; their values on the chosen nodes), block by block."""
    rows, columns = (slice(int(a.index.min()), int(a.index.max()) + 1) for a in (lat, lon))
    box = array[:, rows, columns]
    per_block = max(1, _BLOCK_BYTES // max(8 * box[0].size, 1))
    distinct = np.unique(maps)
    for start in range(0, distinct.size, per_block):
        chosen = distinct[start : start + per_block]
        block = numbers(box[int(chosen[0]) : int(chosen[-1]) + 1], path)
        nodes = np.ix_(chosen - chosen[0], lat.index - rows.start, lon.index - columns.start)
        yield chosen, block[nodes]


def _never_seen(
    height: NDArray[np.float32], days: NDArray[np.datetime64], where: Path
) -> NDArray[np.bool_]:
    """Return the cells (lat, lon) that count as land: missing on one day or more.

    Raises:
        DataError: a day without any value, or more of the ocean missing on some day than ice
            or the edge of a domain explain.
    """
    finite = np.isfinite(height)
    empty = ~finite.any(axis=(1, 2))
    if empty.any():
        named = ", ".join(map(str, days[empty][:5]))
        raise DataError(f"{where}: no value at all on {int(empty.sum())} days ({named} …)")
    always, ever = finite.all(axis=0), finite.any(axis=0)
    lost = int((ever & ~always).sum())
    if lost > _MOST_LOST * ever.sum():
        worst = int(np.argmin(finite.sum(axis=(1, 2))))
        raise DataError(
            f"{where}: {lost} of {int(ever.sum())} ocean cells are missing on some day, most on "
            f"{days[worst]}; maps have a value in every ocean cell (observations have not: read "
            "them as observations)"
        )
    if lost:
        logger.warning("%s: %d cells missing on some days are taken as land", where, lost)
    zeros = always & (height == 0).all(axis=0)
    if zeros.sum() > 0.01 * always.sum():
        logger.warning(
            "%s: %d cells are exactly 0 on every day: land without a fill value?",
            where,
            int(zeros.sum()),
        )
    return np.asarray(~always)
