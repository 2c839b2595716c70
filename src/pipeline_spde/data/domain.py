"""The grid of a configured domain: no coasts for a twin, real ones for real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline_spde.config import Bounds
from pipeline_spde.fields import Maps
from pipeline_spde.files import load_netcdf
from pipeline_spde.grids import Grid
from pipeline_spde.land import land_mask
from pipeline_spde.stage_models import ObservationsStage, StatisticsStage


def domain_grid(
    lat: Bounds,
    lon: Bounds,
    resolution: float,
    source: str,
    truth: Path | None = None,
    highest_latitude: float = 90.0,
) -> Grid:
    """Return the grid of a box.

    Args:
        lat: bounds in degrees north.
        lon: bounds in degrees east; the whole circle gives a periodic grid.
        resolution: cell size in degrees.
        source: "twin" gives an all-ocean grid (the simulated ocean has no coasts), and so does
            "files", whose truth brings its own land; any other source gets the package's mask.
        truth: the domain's truth, whose land counts, where there is one.
        highest_latitude: cells beyond it, north and south, count as land (sea ice).
    """
    if truth is not None:
        return Maps.from_dataset(load_netcdf(truth)).grid
    grid = Grid.from_bounds(lat, lon, resolution)
    beyond = np.broadcast_to(np.abs(grid.lat)[:, None] > highest_latitude, grid.shape)
    own = source in ("twin", "files")
    coast = beyond if own else beyond | land_mask(grid.lat, grid.lon)
    return Grid.latlon(grid.lat, grid.lon, coast, grid.periodic)


def stage_grid(stage: ObservationsStage | StatisticsStage, truth: Path | None = None) -> Grid:
    """Return the grid of a stage's domain; arguments as for `domain_grid`."""
    box = (stage.lat, stage.lon, stage.resolution, stage.source)
    return domain_grid(*box, truth, stage.highest_latitude)
