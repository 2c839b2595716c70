"""Tuned optimal interpolation of anomalies: the baseline to beat.

Departures from the challenge's quickstart (`oi`): the mean of the learning period is removed, the
covariance is in km and fitted (`tuning`), observations are those of the grid cells with their own
error, and the formal standard deviation is written.
"""

from __future__ import annotations

import logging
from time import perf_counter

import numpy as np

from pipeline_spde.baselines.analysis import OiParameters, mean_maps
from pipeline_spde.baselines.cells import cell_anomalies, target_days, visible_offsets
from pipeline_spde.baselines.deviation import deviation_maps
from pipeline_spde.config import MapRequest
from pipeline_spde.fields import Maps, Observations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Task

logger = logging.getLogger(__name__)


def reconstruct(observations: Observations, grid: Grid, task: Task, config: MapRequest) -> Maps:
    """Return daily maps with formal standard deviation for the days of `config.period`.

    Args:
        observations: gridded observations and mean are used; the raw samples are not.
        grid: the grid of the gridded observations.
        task: which days around a target are seen.
        config: `period`, `oi_tuned` and `tuning`, the JSON file of fitted parameters.

    Raises:
        ValueError: no file of parameters is named, or the grids differ.
        DataError: the file of parameters is damaged.
    """
    if config.tuning is None:
        raise ValueError("oi_tuned needs its fitted parameters: set `tuning` to the JSON file")
    started = perf_counter()
    parameters, options = OiParameters.read(config.tuning), config.oi_tuned
    cells = cell_anomalies(observations, grid)
    targets = target_days(config.period)
    offsets = visible_offsets(task, options.window_days)
    mean = mean_maps(cells, grid, targets, offsets, parameters, options.iterations)
    std = deviation_maps(cells, grid, targets, offsets, parameters, options.variance_tolerance)
    height = (mean + np.nan_to_num(observations.mean)).astype(np.float32)
    for field in (height, std):
        field[:, grid.land] = np.nan
    logger.info("oi_tuned: %d maps in %.1f s", targets.size, perf_counter() - started)
    return Maps(
        time=daily_stamps(config.period.start, config.period.end),
        grid=grid,
        height=height,
        quantity=observations.gridded.quantity,
        std=std.astype(np.float32),
    )
