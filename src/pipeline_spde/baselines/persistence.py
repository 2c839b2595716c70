"""Persistence forecast: the near-real-time analysis of the last observed day, kept unchanged."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from pipeline_spde.baselines.analysis import OiParameters, mean_maps
from pipeline_spde.baselines.cells import cell_anomalies, target_days, visible_offsets
from pipeline_spde.config import MapRequest
from pipeline_spde.fields import Maps, Observations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task


def reconstruct(observations: Observations, grid: Grid, task: Task, config: MapRequest) -> Maps:
    """Return, for each day d of `config.period`, the oi_tuned analysis of day d − lead.

    That analysis sees the days up to and including d − lead, the last day that for{lead} may see.
    No standard deviation is given: that of the analysis would not hold at the target.

    Args:
        observations: gridded observations and mean are used.
        grid: the grid of the gridded observations.
        task: nrt (lead 0) or for{n}.
        config: `period`, `oi_tuned` and `tuning`, the parameters fitted for the task nrt.

    Raises:
        ValueError: the task is mapping, no file of parameters is named, or the grids differ.
    """
    if task.lead is None:
        raise ValueError("persistence is a forecast: use it with nrt or for<n>, not with mapping")
    if config.tuning is None:
        raise ValueError("persistence needs the parameters of oi_tuned for nrt: set `tuning`")
    shift = timedelta(days=task.lead)
    analysed = Period(start=config.period.start - shift, end=config.period.end - shift)
    offsets = visible_offsets(Task(name="nrt"), config.oi_tuned.window_days)
    anomaly = mean_maps(
        cell_anomalies(observations, grid),
        grid,
        target_days(analysed),
        offsets,
        OiParameters.read(config.tuning),
        config.oi_tuned.iterations,
    )
    height = (anomaly + np.nan_to_num(observations.mean)).astype(np.float32)
    height[:, grid.land] = np.nan
    return Maps(
        time=daily_stamps(config.period.start, config.period.end),
        grid=grid,
        height=height,
        quantity=observations.gridded.quantity,
    )
