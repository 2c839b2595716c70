"""Maps brought to the truth's grid and times, or to points; holes filled where a protocol says so.

Interpolation is tri-linear (bilinear in longitude and latitude, linear in time) and never
extrapolates: what lies outside the hull of the map's nodes, or leans on a missing node, is NaN.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from pipeline_spde.scores.statistic import Array

DIMS = ("time", "lat", "lon")
NODE_TOLERANCE = 1e-3  # share of a cell: coordinates stored as float32 still hit the node


def as_cube(data: xr.DataArray, name: str) -> xr.DataArray:
    """Return a DataArray in the order (time, lat, lon) with increasing axes.

    Raises:
        ValueError: other dimensions, a missing coordinate or repeated values on an axis.
    """
    if set(data.dims) != set(DIMS):
        raise ValueError(f"{name} must have the dimensions {DIMS}, got {data.dims}")
    data = data.transpose(*DIMS)
    for dim in DIMS:
        if dim not in data.coords:
            raise ValueError(f"{name} has no coordinate {dim}")
        if np.any(data[dim].values[1:] < data[dim].values[:-1]):
            data = data.sortby(dim)
        axis = data[dim].values
        if axis.size and np.any(axis[1:] == axis[:-1]):
            raise ValueError(f"{name}: the axis {dim} holds a value twice")
    return data


def inside_margin(axis: Array, margin: float) -> slice:
    """Return the cells of a regular axis at least `margin` inside the outer cell edges.

    Raises:
        ValueError: nothing is left, or the axis has fewer than two cells.
    """
    if axis.size < 2:
        raise ValueError(f"an axis of {axis.size} cell has no width; at least 2 are needed")
    half = (axis[-1] - axis[0]) / (axis.size - 1) / 2
    low, high = axis[0] - half + margin, axis[-1] + half - margin
    kept = np.flatnonzero((axis > low - 1e-9) & (axis < high + 1e-9))
    if kept.size == 0:
        raise ValueError(f"a margin of {margin} degrees leaves nothing of {axis[0]} … {axis[-1]}")
    return slice(int(kept[0]), int(kept[-1]) + 1)


def around_circle(lon: Array, west: float) -> Array:
    """Return longitudes in [west, west + 360); those already there keep every bit."""
    return lon - 360.0 * np.floor((lon - west) / 360.0)


def align_longitude(data: xr.DataArray, centre: float) -> xr.DataArray:
    """Return a map with longitudes in [centre − 180, centre + 180), increasing.

    A map of the whole circle gets its first column again at the eastern end, so that no seam is
    left between the last and the first column.
    """
    lon = data["lon"].values.astype(np.float64)
    wrapped = around_circle(lon, centre - 180.0)
    if not np.array_equal(wrapped, data["lon"].values) or np.any(np.diff(wrapped) < 0):
        data = data.assign_coords(lon=wrapped).sortby("lon")
    lon = data["lon"].values
    step = (lon[-1] - lon[0]) / max(lon.size - 1, 1)
    if lon.size > 2 and abs(lon[-1] - lon[0] + step - 360.0) < 0.1 * step:
        first = data.isel(lon=[0]).assign_coords(lon=[lon[0] + 360.0])
        data = xr.concat([data, first], dim="lon")
    return data


def to_grid(data: xr.DataArray, times: NDArray[np.datetime64], lat: Array, lon: Array) -> Array:
    """Return a map at other times and nodes, shape (…, times, lat, lon); NaN outside its hull.

    Args:
        data: as `as_cube` returns it; members may come before the time, (…, time, lat, lon).
        times: target times.
        lat: target latitudes.
        lon: target longitudes, in any convention.
    """
    data = align_longitude(data, float(np.mean(lon)))
    values = data.values.astype(np.float64)
    targets = (_seconds(times), lat, lon)
    sources = (_seconds(data["time"].values), data["lat"].values, data["lon"].values)
    for axis, (source, target) in zip(
        (-3, -2, -1), zip(sources, targets, strict=True), strict=True
    ):
        lower, upper, weight, inside = linear_weights(source, target)
        shape = [1, 1, 1]
        shape[axis] = target.size
        values = _lerp(values.take(lower, axis), values.take(upper, axis), weight.reshape(shape))
        values = np.where(inside.reshape(shape), values, np.nan)
    return values


def to_points(data: xr.DataArray, times: NDArray[np.datetime64], lat: Array, lon: Array) -> Array:
    """Return a map at points, shape (…, obs); NaN outside its hull or beside a missing node.

    Args:
        data: as `as_cube` returns it; members may come before the time, (…, time, lat, lon).
        times: time of each point, shape (obs,).
        lat: latitude of each point.
        lon: longitude of each point, in any convention.
    """
    centre = float(data["lon"].values.mean())
    data = align_longitude(data, centre)
    values = data.values.astype(np.float64)
    t_low, t_up, t_share, t_in = linear_weights(_seconds(data["time"].values), _seconds(times))
    y_low, y_up, y_share, y_in = linear_weights(data["lat"].values, lat)
    x_low, x_up, x_share, x_in = linear_weights(
        data["lon"].values, around_circle(lon, centre - 180.0)
    )

    def bilinear(t: NDArray[np.int64]) -> Array:
        south = _lerp(values[..., t, y_low, x_low], values[..., t, y_low, x_up], x_share)
        north = _lerp(values[..., t, y_up, x_low], values[..., t, y_up, x_up], x_share)
        return _lerp(south, north, y_share)

    result = _lerp(bilinear(t_low), bilinear(t_up), t_share)
    return np.where(t_in & y_in & x_in, result, np.nan)


def to_measurements(
    data: xr.DataArray, times: NDArray[np.datetime64], lat: Array, lon: Array
) -> Array:
    """Return maps (time, lat, lon) at points as `to_points` does, shape (obs,).

    Maps in dask chunks are read a day of points at a time: no more than the maps around it are in
    memory.
    """
    if data.chunks is None:
        return to_points(data, times, lat, lon)
    values = np.full(times.size, np.nan)
    days = times.astype("datetime64[D]")
    order = np.argsort(days, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(days[order]).astype(np.int64)) + 1):
        maps = around(data, times[part].min(), times[part].max())
        values[part] = to_points(maps, times[part], lat[part], lon[part])
    return values


def around(data: xr.DataArray, first: np.datetime64, last: np.datetime64) -> xr.DataArray:
    """Return the maps that interpolation to times from `first` to `last` needs, not read yet."""
    stamps = _seconds(data["time"].values)
    low = np.searchsorted(stamps, _seconds(np.asarray(first)), "right") - 1
    high = np.searchsorted(stamps, _seconds(np.asarray(last)), "left")
    return data.isel(time=slice(max(int(low), 0), min(int(high), stamps.size - 1) + 1))


def linear_weights(
    source: Array, target: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array, NDArray[np.bool_]]:
    """Return (lower node, upper node, weight of the upper, inside the hull) of each target."""
    source, target = source.astype(np.float64), np.asarray(target, dtype=np.float64)
    if source.size == 1:
        lower = np.zeros(target.shape, np.int64)
        return lower, lower, np.zeros(target.shape), target == source[0]
    lower = np.clip(np.searchsorted(source, target, "right") - 1, 0, source.size - 2)
    weight = (target - source[lower]) / (source[lower + 1] - source[lower])
    inside = (weight >= -NODE_TOLERANCE) & (weight <= 1.0 + NODE_TOLERANCE)
    return lower, lower + 1, np.clip(weight, 0.0, 1.0), inside


def _lerp(low: Array, high: Array, weight: Array) -> Array:
    """Return the linear interpolation; a missing node does not count where it has no weight."""
    result = (1.0 - weight) * low + weight * high
    result = np.where(np.isnan(high) & (weight < NODE_TOLERANCE), low, result)
    return np.where(np.isnan(low) & (weight > 1.0 - NODE_TOLERANCE), high, result)


def _seconds(times: NDArray[np.datetime64]) -> Array:
    return times.astype("datetime64[ms]").astype(np.int64) / 1e3


def fill_laplace(field: Array, missing: NDArray[np.bool_]) -> Array:
    """Return maps whose missing cells solve Laplace's equation, day by day.

    Each missing cell becomes the mean of its four neighbours, known cells are boundary values,
    and at the edge of the box the neighbour outside is the mirror image of the one inside. This
    is the fixed point of the Gauss–Seidel sweeps of the published protocols (which stop at a
    residual of 1e-4); here it is one sparse solve for all days with the same holes.

    Args:
        field: shape (time, lat, lon), at least 2 cells in latitude and longitude.
        missing: True where a value is wanted, same shape.

    Raises:
        ValueError: a day has no value at all.
    """
    filled = field.copy()
    empty = missing.all(axis=(1, 2))
    if empty.any():
        raise ValueError(f"days {np.flatnonzero(empty).tolist()} hold no value; leave them out")
    patterns, which = np.unique(missing.reshape(missing.shape[0], -1), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.any():
            days = np.flatnonzero(which.ravel() == number)
            cells = np.flatnonzero(pattern)
            flat = filled.reshape(field.shape[0], -1)
            flat[np.ix_(days, cells)] = _solve(flat[days], pattern, field.shape[1:]).T
    return filled


def _solve(days: Array, missing: NDArray[np.bool_], shape: tuple[int, ...]) -> Array:
    """Return the values of the missing cells, shape (cells, days), of maps with equal holes."""
    ny, nx = shape
    cells = np.flatnonzero(missing)
    row, column = np.divmod(cells, nx)
    neighbours = (
        np.where(row == 0, 1, row - 1) * nx + column,
        np.where(row == ny - 1, ny - 2, row + 1) * nx + column,
        row * nx + np.where(column == 0, 1, column - 1),
        row * nx + np.where(column == nx - 1, nx - 2, column + 1),
    )
    number = np.full(missing.size, -1)
    number[cells] = np.arange(cells.size)
    matrix = sparse.identity(cells.size, format="csc") * 4.0
    boundary = np.zeros((cells.size, days.shape[0]))
    for neighbour in neighbours:
        unknown = missing[neighbour]
        here = np.flatnonzero(unknown)
        ones = np.ones(here.size)
        matrix = matrix - sparse.csc_matrix(
            (ones, (here, number[neighbour[here]])), shape=matrix.shape
        )
        boundary[~unknown] += days[:, neighbour[~unknown]].T
    return np.asarray(splu(sparse.csc_matrix(matrix)).solve(boundary))
