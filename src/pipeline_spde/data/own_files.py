"""Truth and tracks of a domain from files of anybody's: every layout that `data.sources` reads.

Layouts are found from the files. Truths come onto the domain's cells: node by node where the nodes
agree, as means over the cells where those are larger, by linear interpolation where smaller. Days
between maps (weekly ones) are interpolated in time. Where a truth has no value there is land.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline_spde.config import DomainConfig
from pipeline_spde.data.sources import SOURCES, Source, rads, sniff
from pipeline_spde.data.sources import starter as starter_files
from pipeline_spde.data.sources.presence import require_samples
from pipeline_spde.fields import GriddedObservations, Maps, Tracks, daily_stamps
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid, closes_circle
from pipeline_spde.periods import Period

logger = logging.getLogger(__name__)

LONGEST_GAP_DAYS = 8
"""Maps further apart are not interpolated in time."""
GRIDDED = "gridded"
"""Mission of the samples that publishers have put into daily cells themselves."""
_LEAST_SHARE = 0.5  # of a larger cell that must have values
_SNAP = 1e-6  # of a cell
_TRUTH_LAYOUTS = [name for name, source in SOURCES.items() if source.gives == "maps"]
_TRACK_LAYOUTS = [name for name, source in SOURCES.items() if source.gives == "tracks"]


def read_truth(paths: Sequence[Path], grid: Grid, available: Period) -> Maps:
    """Return the daily maps of some files on the cells of a domain.

    Args:
        paths: files of one layout, each day once.
        grid: the domain's cells; its land stays land.
        available: the days that are needed.

    Raises:
        FileNotFoundError, DataError: as in the readers.
        DataError: no layout with maps, days or parts of the box that the files do not hold.
    """
    source, where = _layout(paths, "maps", _TRUTH_LAYOUTS), paths[0]
    south, north, west, east = grid.bounds
    margin = 2 * max(grid.resolution)
    lat = max(south - margin, -90.0), min(north + margin, 90.0)
    lon = (west, east) if grid.periodic else (west - margin, east + margin)
    around = available.padded(LONGEST_GAP_DAYS)
    maps = source.read(_as_given(paths), lat=lat, lon=lon, period=(around.start, around.end))
    return onto(_on_days(maps, available, where), grid, where)


def read_tracks(
    paths: Sequence[Path],
    missions: Sequence[str],
    lat: tuple[float, float],
    lon: tuple[float, float],
    available: Period,
    quantity: str | None = None,
) -> Tracks:
    """Return the samples of some missions in a box.

    Args:
        paths: files of one layout; daily cells of a publisher count as samples at noon in their
            middle, of the mission `GRIDDED`.
        missions: the ones wanted.
        lat: (south, north) in degrees.
        lon: (west, east) in degrees.
        available: first and last day.
        quantity: what heights are read as, where the layout has a choice; None: its default.

    Raises:
        FileNotFoundError, DataError: as in the readers.
        DataError: no layout with tracks, or heights of another kind.
        ValueError: a mission that the layout does not know.
    """
    name = _name(paths)
    if name in ("starter", "oceanbench_observations"):
        reader = starter_files.read_observations if name == "starter" else SOURCES[name].read
        period = (available.start, available.end)
        found = as_tracks(reader(_as_given(paths), lat=lat, lon=lon, period=period))
    else:
        source = _layout(paths, "tracks", _TRACK_LAYOUTS)
        options: dict[str, Any] = {"missions": tuple(missions), "lat": lat, "lon": lon}
        options["period"] = (available.start, available.end)
        if quantity is not None and _takes(source, "quantity"):
            options["quantity"] = quantity
        found = source.read(_as_given(paths), **options)
    if quantity is not None and found.quantity != quantity:
        raise DataError(
            f"{paths[0]}: its heights are {found.quantity}, the domain wants {quantity} "
            "(quantity): choose another file or quantity"
        )
    return found


def check_tracks(paths: Sequence[Path], domain: DomainConfig) -> None:
    """Refuse files of tracks that cannot serve a domain, before any work is done with them.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `read_tracks`.
        DataError: samples are missing where the domain needs them.
    """
    if _name(paths) == "rads" and len(paths) == 1:
        rads.check(paths[0], domain)
        return
    missions = (*domain.missions, *domain.withheld)
    available = domain.periods.available
    found = read_tracks(paths, missions, domain.lat, domain.lon, available, domain.quantity)
    days = found.time.astype("datetime64[D]")
    index = {name: number for number, name in enumerate(found.missions)}
    seen = {name: np.unique(days[found.mission == index.get(name, -1)]) for name in missions}
    require_samples(seen, domain, paths[0])


def check_truth(paths: Sequence[Path], domain: DomainConfig) -> None:
    """Refuse files of a truth whose first or last day, box or layout cannot serve a domain.

    Only those two days are read; the days between are looked at by the stage itself.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `read_truth`.
    """
    grid = Grid.from_bounds(domain.lat, domain.lon, domain.resolution)
    available = domain.periods.available
    for day in (available.start, available.end):
        read_truth(paths, grid, Period(start=day, end=day))


def onto(maps: Maps, grid: Grid, where: Path) -> Maps:
    """Return maps on the cells of another grid; cells without enough values become land.

    Args:
        maps: on a grid of latitudes and longitudes.
        grid: the cells wanted; its land stays land.
        where: the file, for messages.

    Raises:
        DataError: no cell gets a value.
    """
    rows = _weights(maps.grid.lat, grid.lat)
    columns = _weights(maps.grid.lon, grid.lon, circle=True, closed=closes_circle(maps.grid.lon))
    held = rows @ maps.grid.ocean.astype(np.float64) @ columns.T
    larger = grid.resolution[0] >= maps.grid.resolution[0] * (1 - _SNAP)
    land = grid.land | (held < (_LEAST_SHARE if larger else 1 - _SNAP))
    if land.all():
        raise DataError(
            f"{where}: no value in the box {grid.bounds} (south, north, west, east); the file "
            f"holds {maps.grid.bounds}: choose a box within"
        )
    height = np.full((maps.time.size, *grid.shape), np.nan, np.float32)
    for number, field in enumerate(maps.height):
        summed = rows @ np.where(maps.grid.ocean, field, 0.0) @ columns.T
        height[number][~land] = summed[~land] / held[~land]
    cells = Grid.latlon(grid.lat, grid.lon, land, periodic=grid.periodic)
    return Maps(time=maps.time, grid=cells, height=height, quantity=maps.quantity)


def as_tracks(cells: GriddedObservations) -> Tracks:
    """Return daily cells as samples at noon in the middle of each cell; a day is a pass."""
    day, row, column = np.nonzero(cells.observed)
    size = day.size
    return Tracks(
        time=cells.time[day],
        lat=cells.grid.lat[row],
        lon=(cells.grid.lon[column] + 180.0) % 360.0 - 180.0,
        height=cells.height[day, row, column].astype(np.float32),
        error=cells.error[day, row, column].astype(np.float32),
        mission=np.zeros(size, np.int8),
        missions=(GRIDDED,),
        pass_id=day.astype(np.int32),
        quantity=cells.quantity,
        cross_track=np.zeros(size, np.float32),
    )


def _weights(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    circle: bool = False,
    closed: bool = False,
) -> sparse.csr_matrix:
    """Return what each node of an axis gives to each cell of another, (target, source).

    Cells as large as those of the source or larger get the share of them that each source cell
    covers, smaller ones the two nodes that they lie between.
    """
    step, size = (float(axis[-1] - axis[0]) / (axis.size - 1) for axis in (source, target))
    turns = [0.0]
    if circle:
        nearest = 360.0 * np.round((target.mean() - source.mean()) / 360.0)
        turns = [nearest - 360.0, nearest, nearest + 360.0] if closed else [nearest]
    total = sparse.csr_matrix((target.size, source.size))
    for turn in turns:
        apart = np.abs(target[:, None] - (source + turn)[None, :])
        if size >= step * (1 - _SNAP):
            share = np.minimum(np.minimum(size, step), (size + step) / 2 - apart) / size
        else:
            share = 1 - apart / step
        share = np.where(share < _SNAP, 0.0, np.where(np.abs(share - 1) < _SNAP, 1.0, share))
        total += sparse.csr_matrix(share)
    return total


def _on_days(maps: Maps, available: Period, where: Path) -> Maps:
    """Return a map of every day of a period, interpolated in time between maps a few days apart.

    Raises:
        DataError: a day lies outside the maps, or in a gap that is too long.
    """
    wanted = daily_stamps(available.start, available.end)
    if np.array_equal(maps.time, wanted):
        return maps
    days, asked = (t.astype("datetime64[D]").astype(np.int64) for t in (maps.time, wanted))
    after = np.searchsorted(days, asked)
    inside = (after < days.size) & (asked >= days[0])
    held = f"{maps.time[0].astype('datetime64[D]')} to {maps.time[-1].astype('datetime64[D]')}"
    if not inside.all():
        missing = wanted[~inside][0].astype("datetime64[D]")
        raise DataError(
            f"{where}: no map of {missing} (periods.available: {available}); the files given hold "
            f"days from {held}: add files or shorten the period"
        )
    before = np.where(days[after] == asked, after, after - 1)
    gap = days[after] - days[before]
    if gap.max() > LONGEST_GAP_DAYS:
        number = int(gap.argmax())
        raise DataError(
            f"{where}: no map between {maps.time[before[number]].astype('datetime64[D]')} and "
            f"{maps.time[after[number]].astype('datetime64[D]')}; gaps of up to "
            f"{LONGEST_GAP_DAYS} days are interpolated: add files or choose other days"
        )
    if gap.max() > 0:
        logger.warning("%s: %d of %d days interpolated in time", where, (gap > 0).sum(), gap.size)
    share = (asked - days[before]) / np.maximum(gap, 1)
    height = np.empty((wanted.size, *maps.grid.shape), np.float32)
    for number, (first, second, part) in enumerate(zip(before, after, share, strict=True)):
        height[number] = (1 - part) * maps.height[first] + part * maps.height[second]
    return Maps(time=wanted, grid=maps.grid, height=height, quantity=maps.quantity)


def _name(paths: Sequence[Path]) -> str:
    """Return the layout of some files; of many the first, the middle and the last are looked at.

    Raises:
        DataError: none that is known, or several.
    """
    looked_at = [paths[i] for i in sorted({0, len(paths) // 2, len(paths) - 1})]
    names = {path: sniff(path) for path in looked_at}
    unknown = [path for path, name in names.items() if name is None]
    if unknown:
        raise DataError(
            f"{unknown[0]}: not a layout that is known (`pipeline-spde inspect` says what it "
            f"holds); there are {', '.join(SOURCES)}"
        )
    found = sorted({name for name in names.values() if name is not None})
    if len(found) > 1:
        raise DataError(
            f"{paths[0].parent}: files of several layouts ({', '.join(found)}); name those of one"
        )
    return found[0]


def _layout(paths: Sequence[Path], gives: str, known: Sequence[str]) -> Source:
    """Return the layout of some files.

    Raises:
        DataError: it does not give what is wanted.
    """
    name = _name(paths)
    if SOURCES[name].gives != gives:
        raise DataError(
            f"{paths[0]}: {SOURCES[name].title} gives no {gives}; layouts that do are "
            f"{', '.join(known)}"
        )
    return SOURCES[name]


def _as_given(paths: Sequence[Path]) -> Path | list[Path]:
    return paths[0] if len(paths) == 1 else list(paths)


def _takes(source: Source, option: str) -> bool:
    return option in signature(source.function).parameters
