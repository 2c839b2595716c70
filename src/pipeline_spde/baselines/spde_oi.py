"""Exact interpolation with the SPDE prior: maps, analyses and forecasts with their deviation.

The prior (docs/spde.md) has coloured noise, correlated from day to day, the local deviation of the
learning period and currents from its own low-passed analysis. Observations are means per pass and
cell at their own position and time. The posterior is exact for the prior in a basis of cosines
(`spde.modes`), reached by filter and smoother, not by iteration.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from pipeline_spde.baselines.cells import Days, target_days, visible_offsets
from pipeline_spde.baselines.spde_days import forecast_maps, forecasts, segments, smoothed_maps
from pipeline_spde.baselines.spde_model import Array, SpdeModel, SpdeOiParameters
from pipeline_spde.baselines.superobs import SuperObservations, superobservations
from pipeline_spde.config import MapRequest, SpdeOiConfig
from pipeline_spde.fields import Maps, Observations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Task

logger = logging.getLogger(__name__)


def reconstruct(observations: Observations, grid: Grid, task: Task, config: MapRequest) -> Maps:
    """Return daily maps with standard deviation for the days of `config.period`.

    Args:
        observations: the samples and the mean are used.
        grid: latitude-longitude grid.
        task: which days around a target are seen.
        config: `period`, `spde_oi` and `tuning`, the file of fitted parameters.

    Raises:
        ValueError: no file of parameters is named, or the domain is too large for the basis.
        DataError: the file of parameters is damaged.
    """
    started = perf_counter()
    model, seen, parameters = _prepared(observations, grid, config)
    mean, std = analyse(model, seen, task, target_days(config.period), config.spde_oi)
    seconds = perf_counter() - started
    logger.info("spde_oi: %d maps, %d modes, %.1f s", len(mean), model.basis.count, seconds)
    return _maps(observations, grid, config, mean, parameters.std_factor * std)


def reconstruct_leads(
    observations: Observations, grid: Grid, task: Task, config: MapRequest, leads: Sequence[int]
) -> dict[int, Maps]:
    """Return the forecasts of several lead times with standard deviation, from one sweep.

    Args:
        observations: as for `reconstruct`.
        grid: as for `reconstruct`.
        task: for{n}; every lead sees what for{n} sees, up to its own last observed day.
        config: as for `reconstruct`; the parameters are those fitted for the task.
        leads: lead times in days.
    """
    model, seen, parameters = _prepared(observations, grid, config)
    targets = target_days(config.period)
    reach = visible_offsets(task, config.spde_oi.window_days).astype("timedelta64[D]")
    shape = (targets.size, *grid.shape)
    found = {lead: (np.empty(shape), np.empty(shape)) for lead in leads}
    for lead, number, mean, std in forecasts(model, seen, targets[0] + reach[0], targets, leads):
        found[lead][0][number], found[lead][1][number] = mean, std
    return {
        lead: _maps(observations, grid, config, mean, parameters.std_factor * std)
        for lead, (mean, std) in found.items()
    }


def _prepared(
    observations: Observations, grid: Grid, config: MapRequest
) -> tuple[SpdeModel, SuperObservations, SpdeOiParameters]:
    """Return the prior, the observations and the fitted parameters."""
    if config.tuning is None:
        raise ValueError("spde_oi needs its fitted parameters: set `tuning` to the NetCDF file")
    options = config.spde_oi
    parameters = SpdeOiParameters.read(config.tuning, grid)
    model = SpdeModel(parameters, grid, observations.mean, options.shortest_km, options.low_pass_km)
    return model, superobservations(observations, grid), parameters


def _maps(
    observations: Observations, grid: Grid, config: MapRequest, mean: Array, std: Array
) -> Maps:
    """Return anomalies and deviations (days, lat, lon) as maps."""
    height = (mean + np.nan_to_num(observations.mean)).astype(np.float32)
    deviation = std.astype(np.float32)
    for field in (height, deviation):
        field[:, grid.land] = np.nan
    return Maps(
        time=daily_stamps(config.period.start, config.period.end),
        grid=grid,
        height=height,
        quantity=observations.tracks.quantity,
        std=deviation,
    )


def analyse(
    model: SpdeModel,
    seen: SuperObservations,
    task: Task,
    targets: Days,
    options: SpdeOiConfig,
    deviation: bool = True,
) -> tuple[Array, Array]:
    """Return mean and formal standard deviation (m) of the anomaly, each (targets, lat, lon).

    Args:
        model: the prior.
        seen: observations; those more than a window from every target are not used.
        task: which days around a target are seen.
        targets: increasing days.
        options: `window_days` and `segment_days`.
        deviation: False leaves out the standard deviation where that saves time (NaN).
    """
    reach = visible_offsets(task, options.window_days).astype("timedelta64[D]")
    if task.lead is not None:
        return forecast_maps(model, seen, targets[0] + reach[0], targets, task.lead)
    parts = []
    for chosen in segments(targets, options.segment_days):
        days = targets[chosen]
        ends = (days[0] + reach[0], days[-1] + reach[-1])
        parts.append(smoothed_maps(model, seen, *ends, days, deviation))
    mean, std = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return mean, std
