"""The grid of a configured domain: an idealised ocean for a twin, real coasts for real data."""

from __future__ import annotations

from pipeline_spde.config import Bounds
from pipeline_spde.grids import Grid
from pipeline_spde.land import land_mask


def domain_grid(lat: Bounds, lon: Bounds, resolution: float, source: str) -> Grid:
    """Return the grid of a box.

    Args:
        lat: bounds in degrees north.
        lon: bounds in degrees east.
        resolution: cell size in degrees.
        source: "twin" gives an all-ocean grid (the simulated ocean has no coasts); any other
            source gets the package's land mask.
    """
    grid = Grid.from_bounds(lat, lon, resolution)
    if source == "twin":
        return grid
    return Grid.latlon(grid.lat, grid.lon, land_mask(grid.lat, grid.lon), grid.periodic)
