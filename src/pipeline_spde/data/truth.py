"""The true ocean of a domain: a twin, a draw from the SPDE prior, or files of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline_spde.data import own_files, realism, spde_ocean, twin
from pipeline_spde.data.domain import domain_grid
from pipeline_spde.fields import Maps, daily_stamps
from pipeline_spde.stage_models import TruthStage

_EQUATOR = 5.0  # degrees: nearer to it currents are not geostrophic


def make_truth(
    stage: TruthStage, files: Sequence[Path], progress: Callable[[int, int], None]
) -> Maps:
    """Return the daily maps of a domain's truth.

    Args:
        stage: source, box, days and settings.
        files: of source `files`, in a layout that `data.sources` reads.
        progress: called with (days done, all days) where days are simulated.

    Raises:
        ValueError, FileNotFoundError: as in the function of the source.
    """
    grid = domain_grid(
        stage.lat,
        stage.lon,
        stage.resolution,
        stage.source,
        highest_latitude=stage.highest_latitude,
    )
    if stage.source == "files":
        return own_files.read_truth(files, grid, stage.available)
    time = daily_stamps(stage.available.start, stage.available.end)
    if stage.ocean is not None:
        return spde_ocean.simulate(grid, time, stage.ocean, stage.seed, progress)
    return twin.simulate(grid, time, stage.twin, stage.seed, progress)


def describe(truth: Maps) -> dict[str, float]:
    """Return how real a truth looks (`realism.realism`).

    The geostrophic speed of a domain around the equator is given as at 38° N, the default.
    """
    grid = truth.grid
    latitude = float(grid.lat.mean())
    place = {} if abs(latitude) < _EQUATOR else {"latitude": latitude}
    return realism.realism(truth.height, float(grid.dx_km.mean()), grid.dy_km, **place)
