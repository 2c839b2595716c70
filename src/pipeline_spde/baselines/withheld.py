"""Passes of the mapped missions dealt into folds, and first guesses made without one of them.

Networks are fine-tuned, chosen and calibrated on real tracks at passes that they were not shown.
The folds depend on the samples of the mapped missions and a seed alone, so every stage that needs
them deals them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.baselines.cells import cell_anomalies
from pipeline_spde.baselines.first_guess import make_first_guess
from pipeline_spde.baselines.validation import pass_masks
from pipeline_spde.fields import Observations
from pipeline_spde.files import DataError, load_netcdf
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Task
from pipeline_spde.stages import WithheldGuessStage

FOLD = "fold"
_DIFFERENT = ("ssh_anomaly", "m_east", "m_north")


def withheld_cells(
    observations: Observations, grid: Grid, folds: int, seed: int
) -> NDArray[np.bool_]:
    """Return the cells and days that the passes of each fold touch, (folds, time, lat, lon).

    Args:
        observations: of the mapped missions.
        grid: their grid.
        folds: number of folds, of equal numbers of passes.
        seed: of the dealing.
    """
    cells = cell_anomalies(observations, grid)
    masks = pass_masks(cells, observations.tracks, grid, np.random.default_rng(seed), folds)
    return np.stack(masks)


def without(observations: Observations, grid: Grid, cells: NDArray[np.bool_]) -> Observations:
    """Return the observations with every cell and sample of some cells and days taken out.

    Args:
        observations: cells and samples.
        grid: their grid.
        cells: what is taken out, shape (time, lat, lon) on the days of the observations.
    """
    tracks, gridded = observations.tracks, observations.gridded
    day = cell_anomalies(observations, grid).index(tracks.time.astype("datetime64[D]"))
    row, column, inside = grid.cell_index(tracks.lat, tracks.lon)
    held = inside & (day >= 0)
    kept = np.ones(len(tracks), bool)
    kept[held] = ~cells[day[held], row[held], column[held]]
    return replace(observations, gridded=gridded.masked(~cells), tracks=tracks.select(kept))


def make_withheld_guesses(
    observations: Observations, grid: Grid, stage: WithheldGuessStage, tuning: Path
) -> list[FirstGuess]:
    """Return the first guesses of the windows of a stage, each without the passes of one fold.

    Arguments as for `make_first_guess`; the observations are those of the mapped missions.
    """
    cells = withheld_cells(observations, grid, stage.folds, stage.passes_seed)
    return [
        make_first_guess(without(observations, grid, mask), grid, stage, tuning) for mask in cells
    ]


def to_dataset(guesses: Sequence[FirstGuess], grid: Grid) -> xr.Dataset:
    """Return first guesses as one Dataset with the dimension `fold`."""
    parts = [guess.to_dataset(grid.lat, grid.lon) for guess in guesses]
    whole = xr.concat(
        parts, FOLD, data_vars=list(_DIFFERENT), coords="minimal", compat="override", join="exact"
    )
    return whole.assign_coords({FOLD: (FOLD, np.arange(len(parts), dtype=np.int32))})


def read_guesses(path: str | Path, task: Task, window_days: int) -> tuple[FirstGuess, ...]:
    """Return the first guesses of a file, one for each fold.

    Raises:
        DataError: damaged, without folds, or for another task or length of window.
    """
    data = load_netcdf(path, FirstGuess.VARIABLES)
    if FOLD not in data.dims:
        raise DataError(f"{path}: has no dimension {FOLD!r}; make it with the rule withheld_guess")
    return tuple(
        FirstGuess.from_dataset(data.isel({FOLD: number}), path, task, window_days)
        for number in range(data.sizes[FOLD])
    )
