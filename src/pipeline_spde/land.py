"""Where land is, offline: a global mask of 1/20-degree cells shipped with the package.

Origin: the sea flag of GLOBE, NOAA's 30-second elevation model (public domain), as packed by the
Python package global-land-mask 1.0.0 (MIT licence, (c) 2019 Todd Karin); a cell is land when at
least half of its 36 source cells are. `bench/make_land_mask.py` made the file and can make it
again. Water means the sea joined to the world ocean: the Mediterranean, the Black Sea and the
Baltic are water; the Caspian and Aral Seas, the Dead Sea and all lakes count as land. Sea covered
by Antarctic ice shelves counts as land south of 79°S and as water north of it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline_spde.grids import wrap_longitude

CELLS_PER_DEGREE = 20


def is_land(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.bool_]:
    """Return True for points on land; `lat` and `lon` broadcast against each other.

    Args:
        lat: degrees north, in [-90, 90].
        lon: degrees east, any convention.

    Raises:
        ValueError: a latitude outside [-90, 90], or a coordinate that is not finite.
    """
    y, x = _checked(lat, lon)
    mask = _mask()
    row = np.minimum(np.floor((y + 90) * CELLS_PER_DEGREE).astype(np.int64), mask.shape[0] - 1)
    column = np.floor(wrap_longitude(x, 0.0) * CELLS_PER_DEGREE - 180 * CELLS_PER_DEGREE)
    return np.asarray(mask[row, column.astype(np.int64) % mask.shape[1]])


def land_mask(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.bool_]:
    """Return the mask of a grid: True where land covers at least half of the cell.

    The share of land is exact for the 1/20-degree mask: cells of any size, coarser or finer, are
    averaged over their own extent (half-way to the neighbouring nodes).

    Args:
        lat: cell centres in degrees north, increasing, 2 or more, shape (lat,).
        lon: cell centres in degrees east, increasing, any convention, 2 or more, shape (lon,).

    Returns:
        True on land, shape (lat, lon).

    Raises:
        ValueError: axes that are not 1-D and increasing, or latitudes outside [-90, 90].
    """
    y, x = _checked(lat, lon)
    south_north = np.clip(_edges(y, "lat"), -90.0, 90.0)
    west_east = _edges(x, "lon")
    if west_east[-1] - west_east[0] > 360.0 + 1e-6:
        raise ValueError(f"lon spans {west_east[-1] - west_east[0]} degrees, at most 360 expected")
    rows = (south_north + 90.0) * CELLS_PER_DEGREE
    first, last = int(np.floor(rows[0])), int(np.ceil(rows[-1]))
    by_row = _interval_means(_mask()[first:last].astype(np.float32), rows - first)
    turns = np.floor((west_east[0] + 180.0) / 360.0)
    columns = (west_east + 180.0 - 360.0 * turns) * CELLS_PER_DEGREE
    around = np.concatenate([by_row, by_row], axis=1)  # room for boxes across the date line
    share = _interval_means(around.T, np.minimum(columns, around.shape[1])).T
    return np.asarray(share >= 0.5 - 1e-6)


@cache
def _mask() -> NDArray[np.bool_]:
    """Return the global mask, rows from 90°S and columns from 180°W, shape (3600, 7200)."""
    with (
        (files("pipeline_spde") / "resources" / "land_1-20deg.npz").open("rb") as stream,
        np.load(stream) as stored,
    ):
        shape = tuple(int(size) for size in stored["shape"])
        bits = np.unpackbits(stored["packed"], count=shape[0] * shape[1])
    mask = bits.astype(bool).reshape(shape)
    mask.flags.writeable = False
    return mask


def _checked(lat: ArrayLike, lon: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)
    if not (np.all(np.isfinite(y)) and np.all(np.isfinite(x))):
        raise ValueError("lat and lon must be finite; drop missing positions first")
    if y.size and np.abs(y).max() > 90.0:
        raise ValueError(f"lat must lie in [-90, 90], got {y.min()} … {y.max()}")
    return y, x


def _edges(centres: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return the n + 1 cell edges of n increasing centres."""
    if centres.ndim != 1 or centres.size < 2 or np.any(np.diff(centres) <= 0):
        raise ValueError(
            f"{name} must be a 1-D increasing axis of at least 2 values, got {centres}"
        )
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _interval_means(
    values: NDArray[np.floating], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the means of piecewise-constant `values` over consecutive intervals.

    Args:
        values: value of each unit interval along axis 0, shape (n, m).
        edges: increasing positions in [0, n], shape (k + 1,).

    Returns:
        Means over [edges[i], edges[i + 1]], shape (k, m).
    """
    total = np.zeros((values.shape[0] + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=total[1:])
    whole = np.minimum(np.floor(edges).astype(np.int64), values.shape[0] - 1)
    part = (edges - whole)[:, None]
    at_edges = total[whole] * (1 - part) + total[whole + 1] * part
    return np.asarray(np.diff(at_edges, axis=0) / np.diff(edges)[:, None])
