"""Currents that carry the anomalies: geostrophic velocity of a low-passed height.

The full geostrophic velocity of a map is blind, u_g·∇SSH = 0: sea surface height is the stream
function of its own current. Small features are carried by the larger ones around them, whence the
low-pass.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipeline_spde.grids import Grid

Array = NDArray[np.float64]

GRAVITY = 9.81
ROTATION = 7.2921e-5  # s⁻¹
LEAST_LATITUDE = 5.0
"""Degrees; nearer the equator the Coriolis parameter of this latitude is used."""
LARGEST_SPEED = 50.0
"""km/day; speeds approach this bound smoothly."""
_WIDTH_PER_DEVIATION = float(np.sqrt(8 * np.log(2)))
_KM_PER_DAY = 86.4  # of 1 m/s


def low_pass(height: Array, grid: Grid, width_km: float) -> Array:
    """Return heights (lat, lon) smoothed over the ocean by a Gaussian; zero on land.

    Args:
        height: m; anything on land.
        grid: the grid.
        width_km: full width at half maximum of the Gaussian.
    """
    deviation = width_km / _WIDTH_PER_DEVIATION
    widths = (deviation / grid.dy_km, deviation / float(grid.dx_km.mean()))
    modes = ("constant", "wrap" if grid.periodic else "constant")
    ocean = grid.ocean.astype(np.float64)
    weight = gaussian_filter(ocean, widths, mode=modes)
    total = gaussian_filter(np.where(grid.ocean, height, 0.0), widths, mode=modes)
    return np.asarray(np.where(grid.ocean, total / np.where(grid.ocean, weight, 1.0), 0.0))


def currents(height: Array, grid: Grid, width_km: float) -> tuple[Array, Array]:
    """Return eastward and northward currents in km/day, each (lat, lon), zero on land.

    Args:
        height: absolute height, m, shape (lat, lon).
        grid: latitude-longitude grid.
        width_km: full width at half maximum of the low-pass.

    Raises:
        ValueError: the grid has no latitudes.
    """
    if grid.kind != "latlon":
        raise ValueError("geostrophic currents need latitudes; use a latlon grid")
    smooth = low_pass(height, grid, width_km)
    latitude = np.where(
        np.abs(grid.lat) < LEAST_LATITUDE, np.copysign(LEAST_LATITUDE, grid.lat), grid.lat
    )
    coriolis = 2 * ROTATION * np.sin(np.deg2rad(latitude))[:, None]
    scale = GRAVITY / coriolis * _KM_PER_DAY / 1e3
    east = -scale * _slope(smooth, grid.ocean, 0, False) / grid.dy_km
    north = scale * _slope(smooth, grid.ocean, 1, grid.periodic) / grid.dx_km[:, None]
    damped = np.sqrt(1 + (east**2 + north**2) / LARGEST_SPEED**2)
    return east / damped, north / damped


def _slope(field: Array, ocean: NDArray[np.bool_], axis: int, circle: bool) -> Array:
    """Return differences per cell, centred in the ocean, one-sided at walls and coasts."""
    ahead, wet_ahead = np.roll(field, -1, axis), np.roll(ocean, -1, axis)
    behind, wet_behind = np.roll(field, 1, axis), np.roll(ocean, 1, axis)
    if not circle:
        last: list[slice | int] = [slice(None), slice(None)]
        first = last.copy()
        last[axis], first[axis] = -1, 0
        wet_ahead[tuple(last)] = False
        wet_behind[tuple(first)] = False
    forward = np.where(wet_ahead, ahead - field, 0.0)
    backward = np.where(wet_behind, field - behind, 0.0)
    count = wet_ahead.astype(int) + wet_behind.astype(int)
    return np.asarray(np.where(ocean, (forward + backward) / np.maximum(count, 1), 0.0))
