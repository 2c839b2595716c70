"""Tiles: blocks of patches and days of a domain that are reconstructed by separate jobs.

Every patch belongs to one tile, so that no work is done twice. A tile's maps are the weighted mean
of its own patches; its weights are known from their places alone. `gather` takes the weighted mean
of the tiles, a day at a time, which is the weighted mean of all patches: the maps are those of one
job for the whole domain, to the rounding of what is on disk, and no edge of a tile is one of the
maps. What a tile takes in memory is set by its patches and days, not by the domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.config import MapRequest
from pipeline_spde.data.patches import Patches, taper
from pipeline_spde.data.topography import add_topography
from pipeline_spde.data.windows import patch_plan
from pipeline_spde.fields import GriddedObservations, Maps, daily_stamps
from pipeline_spde.files import DataError, open_netcdf
from pipeline_spde.grids import Grid, closes_circle
from pipeline_spde.io import Provenance, read_grid, write_dataset
from pipeline_spde.periods import Period
from pipeline_spde.scores.seams import score_seams

_ONE_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Tile:
    """A block of patches and days.

    Attributes:
        name: of the tile within the domain, e.g. "r02c11d003" (rows, columns, days).
        period: days that are mapped.
        rows: first row of its patches.
        columns: first column of its patches.
        size: (rows, columns) of a patch.
        domain: (rows, columns) of the domain.
        periodic: True when the domain goes around the globe.
    """

    name: str
    period: Period
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    size: tuple[int, int]
    domain: tuple[int, int]
    periodic: bool = False

    @property
    def circle(self) -> bool:
        """True when the tile itself goes around the globe."""
        return self.periodic and self.columns[-1] - self.columns[0] + self.size[1] > self.domain[1]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of its cells."""
        width = self.columns[-1] - self.columns[0] + self.size[1]
        return (
            self.rows[-1] - self.rows[0] + self.size[0],
            self.domain[1] if self.circle else width,
        )

    @property
    def row_slice(self) -> slice:
        """Its rows in the domain."""
        return slice(self.rows[0], self.rows[0] + self.shape[0])

    @property
    def column_slices(self) -> list[slice]:
        """Its columns in the domain, in their order: two slices where they run over the seam."""
        first, width, whole = self._origin, self.shape[1], self.domain[1]
        if first + width <= whole:
            return [slice(first, first + width)]
        return [slice(first, whole), slice(0, first + width - whole)]

    @property
    def _origin(self) -> int:
        return 0 if self.circle else self.columns[0]

    def plan(self, days: int, window_days: int) -> Patches:
        """Return the cutting of `days` days of its cells into its own patches."""
        return Patches(
            (days, *self.shape),
            (window_days, *self.size),
            (
                tuple(range(days - window_days + 1)),
                tuple(row - self.rows[0] for row in self.rows),
                tuple(column - self._origin for column in self.columns),
            ),
            self.circle,
        )

    def weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the summed weights of its patches along its rows and along its columns."""
        found = []
        starts = ([r - self.rows[0] for r in self.rows], [c - self._origin for c in self.columns])
        for axis, length in enumerate(self.shape):
            weight, own = np.zeros(length), taper(self.size[axis])
            for start in starts[axis]:  # an index over the end is one from the start again
                np.add.at(weight, (start + np.arange(own.size)) % length, own)
            found.append(weight)
        return found[0], found[1]


def tiles_of(grid: Grid, request: MapRequest) -> list[Tile]:
    """Return the tiles that a request cuts a domain into, days running slowest.

    Raises:
        ValueError: the request asks for no tiles.
    """
    wanted, days = request.inference.tile_patches, request.inference.tile_days
    if wanted is None:
        raise ValueError("no tiles are asked for (inference.tile_patches)")
    plan = patch_plan(grid, 1, 1, request.patches)
    rows, columns = (
        [starts[i : i + count] for i in range(0, len(starts), count)]
        for starts, count in zip(plan.starts[1:], wanted, strict=True)
    )
    size, periods = (plan.size[1], plan.size[2]), segments(request.period, days)
    return [
        Tile(f"r{i:02}c{j:02}d{k:03}", period, own_rows, own, size, grid.shape, grid.periodic)
        for k, period in enumerate(periods)
        for i, own_rows in enumerate(rows)
        for j, own in enumerate(columns)
    ]


def tile_named(name: str, grid: str | Path, request: MapRequest) -> Tile:
    """Return the tile of that name of the domain in a file of `io.write_grid`.

    Only the axes are read: a job's memory does not grow with the domain.

    Raises:
        ValueError: the domain has no such tile.
    """
    with open_netcdf(grid, ("lat", "lon")) as data:
        lat, lon = data["lat"].values, data["lon"].values
    cells = Grid.latlon(lat, lon, periodic=closes_circle(lon))
    tiles = {tile.name: tile for tile in tiles_of(cells, request)}
    if name not in tiles:
        raise ValueError(f"no tile {name}; there are {', '.join(tiles)}")
    return tiles[name]


def segments(period: Period, days: int) -> list[Period]:
    """Return the period in parts of `days` days; the last may be shorter."""
    found, start = [], period.start
    while start <= period.end:
        end = min(start + timedelta(days=days - 1), period.end)
        found.append(Period(start=start, end=end))
        start = end + timedelta(days=1)
    return found


def read_tile(
    observations: str | Path, grid: str | Path, tile: Tile, reach_days: int
) -> tuple[GriddedObservations, NDArray[np.float64]]:
    """Return (observations, mean) of the cells of a tile; no more is read than they need.

    Args:
        observations: file of gridded observations of the domain.
        grid: file of its land and mean.
        tile: which cells and days.
        reach_days: days read before the first and after the last mapped day.

    Raises:
        FileNotFoundError, DataError: a file is missing or unusable, or for another domain.
    """
    with open_netcdf(grid, ("lat", "lon", "land", "mean_height")) as data:
        fields = _cells(data[["land", "mean_height"]], tile, grid).load()
    reach = np.timedelta64(reach_days, "D")
    first = np.datetime64(tile.period.start, "D") - reach
    last = np.datetime64(tile.period.end, "D") + reach + _ONE_DAY
    names = ("time", "observed", "obs_count", "obs_error")
    with open_netcdf(observations, names) as data:
        days = data.sel(time=slice(first, last - np.timedelta64(1, "s")))
        if days.sizes["time"] == 0:
            raise DataError(
                f"{observations}: no day of {tile.period} and {reach_days} days around it; "
                "make the observations of this period"
            )
        own = _cells(days, tile, observations).load()
    land = fields["land"].values.astype(bool)
    gridded = GriddedObservations.from_dataset(own, land)
    return gridded, fields["mean_height"].values.astype(np.float64)


def _cells(data: xr.Dataset, tile: Tile, path: str | Path) -> xr.Dataset:
    """Return the cells of a tile, with longitudes that go on over the seam."""
    shape = (data.sizes["lat"], data.sizes["lon"])
    if shape != tile.domain:
        raise DataError(f"{path}: {shape} cells, the tiles are of {tile.domain}; make it again")
    pieces = []
    for number, columns in enumerate(tile.column_slices):
        piece = data.isel(lat=tile.row_slice, lon=columns)
        pieces.append(piece.assign_coords(lon=piece["lon"] + 360.0 * number))
    return pieces[0] if len(pieces) == 1 else xr.concat(pieces, "lon", data_vars="minimal")


def gather(
    tiles: Sequence[Tile],
    files: Sequence[Path],
    grid: Grid,
    mean_topography: NDArray[np.float32] | None = None,
) -> xr.Dataset:
    """Return the maps of a domain from those of its tiles, each day blended when it is written.

    Args:
        tiles: all tiles of the domain.
        files: of their maps, in the same order.
        grid: the domain, with its land.
        mean_topography: as in `Maps`.

    Returns:
        A Dataset in the layout of `Maps.to_dataset`, its fields dask arrays of one day a chunk.

    Raises:
        DataError: a tile lacks a day, or has other cells; when a day is computed.
    """
    import dask
    import dask.array

    period = Period(start=tiles[0].period.start, end=tiles[-1].period.end)
    with open_netcdf(files[0]) as data:
        quantity = data.attrs["quantity"]
    one = np.where(grid.ocean, np.float32(0), np.float32(np.nan))[None]
    like = Maps(daily_stamps(period.start, period.start), grid, one, quantity)
    template = replace(like, mean_topography=mean_topography).to_dataset()
    by_day: dict[np.datetime64, list[tuple[Tile, Path]]] = {}
    stamps = daily_stamps(period.start, period.end)
    for tile, path in zip(tiles, files, strict=True):
        for stamp in daily_stamps(tile.period.start, tile.period.end):
            by_day.setdefault(stamp, []).append((tile, Path(path)))
    days = [
        dask.array.from_delayed(
            dask.delayed(blended_day, pure=False)(by_day[stamp], stamp, grid, quantity),
            (1, *grid.shape),
            np.float32,
        )
        for stamp in stamps
    ]
    heights = dask.array.concatenate(days)
    fields = {quantity: heights}
    if mean_topography is not None:
        fields["adt"] = heights + mean_topography
    dims = ("time", "lat", "lon")
    axes = {"time": ("time", stamps, template["time"].attrs)}
    made = {name: (dims, f, template[name].attrs) for name, f in fields.items()}
    cells = {name: template[name] for name in ("lat", "lon")}
    return xr.Dataset(made, axes | cells, template.attrs)


def write_gathered(
    files: Sequence[Path],
    grid: str | Path,
    request: MapRequest,
    mdt: str | Path | None,
    path: str | Path,
    provenance: Provenance,
) -> None:
    """Join the files of all tiles of a request, in the order of `tiles_of`, to one of daily maps.

    One day of the domain is in memory at a time.

    Args:
        files: maps of the tiles.
        grid: file of the domain's grid.
        request: which tiles there are.
        mdt: mean dynamic topography (`data.topography`), or None.
        path: the file to write.
        provenance: its global attributes.

    Raises:
        ValueError: the number of files is not that of the tiles.
        DataError: a tile is unusable.
    """
    import dask

    cells, _, _ = read_grid(grid)
    tiles = tiles_of(cells, request)
    if len(tiles) != len(files):
        raise ValueError(f"{len(files)} files are given for {len(tiles)} tiles")
    mean = None
    if mdt is not None:
        with open_netcdf(files[0]) as data:
            quantity = data.attrs["quantity"]
        flat = np.where(cells.ocean, np.float32(0), np.float32(np.nan))[None]
        day = daily_stamps(request.period.start, request.period.start)
        mean = add_topography(Maps(day, cells, flat, quantity), mdt).mean_topography
    with dask.config.set(scheduler="synchronous"):
        write_dataset(gather(tiles, files, cells, mean), path, provenance)


def blended_day(
    parts: Sequence[tuple[Tile, Path]],
    stamp: np.datetime64,
    grid: Grid,
    quantity: str,
    read: Callable[[Path, np.datetime64, str], NDArray] | None = None,
) -> NDArray[np.float32]:
    """Return the map of one day, shape (1, lat, lon), NaN on land.

    Args:
        parts: the tiles that hold the day, and the files of their maps.
        stamp: the day, 12:00 UTC.
        grid: the domain.
        quantity: variable that is read.
        read: how a tile's map of the day is read; None: from its file.
    """
    read = read or _day_of
    total, weight = np.zeros(grid.shape), np.zeros(grid.shape)
    for tile, path in parts:
        field = np.asarray(read(path, stamp, quantity), dtype=np.float64)
        if field.shape != tile.shape:
            raise DataError(f"{path}: {field.shape} cells, {tile.shape} expected; make it again")
        along, across = tile.weights()
        done = 0
        for columns in tile.column_slices:
            width = columns.stop - columns.start
            own = along[:, None] * across[done : done + width]
            known = np.isfinite(field[:, done : done + width])
            own = np.where(known, own, 0.0)
            place = (tile.row_slice, columns)
            total[place] += own * np.where(known, field[:, done : done + width], 0.0)
            weight[place] += own
            done += width
    if not (weight[grid.ocean] > 0).all():
        raise DataError(
            f"{np.count_nonzero(weight[grid.ocean] == 0)} ocean cells of "
            f"{np.datetime_as_string(stamp, 'D')} have no height in any tile ({parts[0][1]} …); "
            "make the tiles again"
        )
    mean = total / np.where(weight > 0, weight, 1.0)
    return np.where(grid.ocean, mean, np.nan).astype(np.float32)[None]


def _day_of(path: Path, stamp: np.datetime64, quantity: str) -> NDArray:
    with open_netcdf(path, ("time", quantity)) as data:
        place = np.flatnonzero(data["time"].values == stamp)
        if place.size != 1:
            raise DataError(f"{path}: no map of {stamp}; make the tile again")
        return np.asarray(data[quantity][int(place[0])].values)


def edges_of(tiles: Sequence[Tile]) -> dict[str, list[int]]:
    """Return the first row and the first column after each edge of a tile inside the domain.

    Tiles overlap: where one begins and where one ends are both edges.
    """
    rows, columns = tiles[0].domain
    found: dict[str, set[int]] = {"rows": set(), "columns": set()}
    for tile in tiles:
        found["rows"] |= {tile.row_slice.start, tile.row_slice.stop}
        if not tile.circle:
            slices = tile.column_slices
            found["columns"] |= {slices[0].start, slices[-1].stop}
    found["rows"] -= {0, rows}
    if tiles[0].periodic:
        found["columns"] = {column % columns for column in found["columns"]}
    else:
        found["columns"] -= {0, columns}
    return {axis: sorted(own) for axis, own in found.items()}


def seam_scores(
    maps: str | Path,
    truth: str | Path | None,
    grid: str | Path,
    request: MapRequest,
    resampling: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the jumps of maps across the edges of their tiles, and those of the truth there.

    Args:
        maps: file of daily maps; a day is read at a time.
        truth: file of the truth, or None.
        grid: file of the domain's grid.
        request: which tiles there are.
        resampling: arguments of `scores.seams.score_seams`, whose result is returned with `tiles`,
            their number.
    """
    cells, _, _ = read_grid(grid)
    tiles = tiles_of(cells, request)
    true = None if truth is None else _days_of(truth, request.period)
    days, edges = _days_of(maps, request.period), edges_of(tiles)
    found = score_seams(days, edges, cells.periodic, **resampling, reference=true)
    return {"tiles": len(tiles), **found}


def _days_of(path: str | Path, period: Period) -> Iterator[NDArray[np.float32]]:
    with open_netcdf(path, ("time",)) as data:
        quantity = data.attrs["quantity"]
        for stamp in daily_stamps(period.start, period.end):
            yield data[quantity].sel(time=stamp).values.astype(np.float32)
