"""Observations that come as daily grids with holes, as `fields.GriddedObservations`.

In such files a missing value means "not observed"; it leaves as the mask `observed`. They tell
neither how many samples a cell has nor their error: every cell counts one sample of a given error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline_spde.data.sources import require_plausible
from pipeline_spde.data.sources.gridded import read_days
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.survey import GridLayout
from pipeline_spde.fields import GriddedObservations
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid

_SOME_DAYS = 5  # a day of wide swaths may cover most of a small box, five days in a row do not


def read_observed_cells(
    files: Sequence[Path], layout: GridLayout, selection: Selection, error_m: float
) -> GriddedObservations:
    """Return daily gridded observations; days without any stay, all unobserved.

    Args:
        files: in any order.
        layout: of their format.
        selection: box and period.
        error_m: standard deviation of the error of every observed cell in m.

    Raises:
        DataError: a file is unusable, nothing is observed, or nothing lies in the selection.
        ValueError: an error that is not positive.
    """
    if not error_m > 0:
        raise ValueError(f"error_m must be positive, got {error_m}")
    days = read_days(files, layout, selection)
    observed = np.isfinite(days.height)
    require_plausible(days.height, days.variable, days.units, days.where, layout.plausible_m)
    if observed.shape[0] >= _SOME_DAYS and observed.all(axis=0).mean() > 0.5:
        raise DataError(
            f"{days.where}: {days.variable} has a value on every day in more than half of the "
            "cells: these are maps, not observations"
        )
    return GriddedObservations(
        time=days.stamps,
        grid=Grid.latlon(days.lat.values, days.lon.values, periodic=days.lon.periodic),
        height=np.where(observed, days.height, np.float32(0)),
        observed=observed,
        count=observed.astype(np.int32),
        error=np.where(observed, np.float32(error_m), np.float32(np.inf)),
        quantity=days.quantity,
    )
