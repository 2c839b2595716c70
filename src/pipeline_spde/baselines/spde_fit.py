"""Fits the parameters of `spde_oi`: moments on the learning period, the rest on validation days.

Local deviation, range, time scale, noise length and ρ reproduce the space-time correlations of the
learning period (`moments`: the free likelihood would drive the damping to zero). What moments
cannot tell comes from maps of the validation period: the error of representativeness and the share
of the currents that carries anomalies, by the smallest error, and the factor of the formal standard
deviation, by which its variance is that of the errors.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from pipeline_spde.baselines.candidates import ListScan
from pipeline_spde.baselines.cells import cell_anomalies, visible_offsets
from pipeline_spde.baselines.moments import (
    FitBounds,
    StationaryFit,
    empirical_correlation,
    fit_stationary,
    local_std,
)
from pipeline_spde.baselines.spde_model import (
    Array,
    SpdeModel,
    SpdeOiParameters,
    with_amplitude,
)
from pipeline_spde.baselines.spde_oi import analyse
from pipeline_spde.baselines.superobs import SuperObservations, superobservations
from pipeline_spde.baselines.tuning import comparisons, reachable_targets
from pipeline_spde.baselines.validation import Comparison
from pipeline_spde.config import SpdeOiConfig
from pipeline_spde.fields import Maps, Observations
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task

logger = logging.getLogger(__name__)

_LAGS = np.arange(0, 11)
_Errors = tuple[Array, Array, Array]  # squared errors, formal variances, noise variances
_SHARES = (0.0, 1.0)  # limits to which lists of candidates are continued
_REPRESENTATIVENESS_M = (1e-3, 0.1)
_LEAST_SHARE = 0.1  # of the squared misfit at withheld cells that must be error of the map


def fit(
    observations: Observations,
    grid: Grid,
    task: Task,
    config: SpdeOiConfig,
    learning: Period,
    validation: Period,
    truth: Maps | None,
    seed: int,
    margin: float = 0.0,
) -> tuple[SpdeOiParameters, dict[str, Any]]:
    """Return the fitted parameters of `spde_oi` for a task, and a record of the fit.

    Args:
        observations: samples, gridded observations and mean.
        grid: latitude-longitude grid of the gridded observations.
        task: which days around a target are seen.
        config: candidates, basis and windows.
        learning: period of the moments.
        validation: period of the comparison of maps.
        truth: true maps on the same grid, for both; None: the observations themselves, and
            withheld passes.
        seed: of the choice of withheld passes.
        margin: degrees at the sides of the box that are not compared.

    Raises:
        ValueError: nothing to learn from or to compare with, or the grids differ.
    """
    started = perf_counter()
    found, sigma = stationary_fit(observations, grid, config, learning, truth)
    offsets = visible_offsets(task, config.window_days)
    period = reachable_targets(validation, offsets, config.window_days)
    sets = comparisons(
        observations, cell_anomalies(observations, grid), grid, task, config, period, truth, seed
    )
    sets = [_interior(one, grid, margin) for one in sets]
    seen = superobservations(observations, grid)

    def run(parameters: SpdeOiParameters, shortest_km: float, full: bool) -> _Errors:
        model = SpdeModel(parameters, grid, observations.mean, shortest_km, config.low_pass_km)
        return _errors(model, seen, task, sets, config, full)

    def rmse(parameters: SpdeOiParameters) -> float:
        errors, _, _ = run(parameters, config.tuning_shortest_km, False)
        return float(np.sqrt(np.mean(errors)))

    first = _first(found, sigma, config)
    scan = ListScan(rmse, with_amplitude(first, grid, config.tuning_shortest_km))
    times = [first.decorrelation_time_days * factor for factor in config.time_factors]
    scan.choose("advection", config.advection_shares, _SHARES)
    scan.choose("decorrelation_time_days", times, config.decorrelation_days)
    scan.choose("representativeness_m", config.representativeness_m, _REPRESENTATIVENESS_M)
    # the prior of the chosen time, in the basis of the maps
    best = with_amplitude(scan.best, grid, config.shortest_km)
    errors, formal, noise = run(best, config.shortest_km, True)
    total = float(np.mean(errors))
    variance = max(total - float(np.mean(noise)), _LEAST_SHARE * total)
    factor = float(np.sqrt(variance / np.mean(formal)))
    logger.info("spde_oi fitted in %.1f s", perf_counter() - started)
    record = {
        "criterion": "truth" if truth is not None else "withheld passes",
        "rmse_m": float(np.sqrt(total)),
        "moment_misfit": found.misfit,
        "candidates_rmse_m": "; ".join(scan.rows),
        "candidates_at_edge": " ".join(scan.at_edge),
        "moments_at_bounds": " ".join(found.at_bounds),
    }
    return replace(best, std_factor=factor), record


def stationary_fit(
    observations: Observations,
    grid: Grid,
    config: SpdeOiConfig,
    learning: Period,
    truth: Maps | None,
) -> tuple[StationaryFit, Array]:
    """Return the parameters that reproduce the correlations of a period, and σ (lat, lon).

    Args:
        observations: gridded observations and mean.
        grid: their grid.
        config: noise order and smoothing of σ.
        learning: the period.
        truth: true maps, used instead of the observations when there are any.
    """
    mean = np.nan_to_num(observations.mean)
    if truth is not None:
        value = truth.between(learning.start, learning.end).height.astype(np.float64) - mean
        observed = np.broadcast_to(grid.ocean, value.shape)
        variance: float | Array = 0.0
    else:
        cells = cell_anomalies(observations, grid)
        inside = (cells.days >= np.datetime64(learning.start)) & (
            cells.days <= np.datetime64(learning.end)
        )
        value, observed = cells.value[inside], cells.observed[inside]
        variance = cells.variance[inside]
    value = np.where(observed, value, 0.0)
    sigma = local_std(value, observed, variance, config.sigma_smoothing_cells, grid)
    found = fit_stationary(
        empirical_correlation(value, observed, sigma, _LAGS, grid, noise_variance=variance),
        noise_order=config.noise_order,
        cell_km=(grid.dy_km, float(grid.dx_km.mean())),
        bounds=FitBounds(
            range_km=config.range_km,
            decorrelation_time_days=config.decorrelation_days,
            noise_length_km=config.noise_length_km,
        ),
    )
    logger.info("spde_oi: moments of %s: %s", learning, found)
    return found, sigma


def _first(found: StationaryFit, sigma: Array, config: SpdeOiConfig) -> SpdeOiParameters:
    """Return what the moments tell, and the first candidates of the rest."""
    return SpdeOiParameters(
        sigma=sigma,
        amplitude=np.ones_like(sigma),
        range_km=found.range_km,
        decorrelation_time_days=found.decorrelation_time_days,
        noise_length_km=found.noise_length_km,
        noise_order=found.noise_order,
        rho=found.rho,
        advection=config.advection_shares[0],
        representativeness_m=config.representativeness_m[0],
        std_factor=1.0,
    )


def _interior(comparison: Comparison, grid: Grid, margin: float) -> Comparison:
    """Return the comparison without the cells near the sides of the box."""
    scored = np.zeros_like(comparison.scored)
    inside = (slice(None), *grid.inside(margin))
    scored[inside] = comparison.scored[inside]
    if not scored.any():
        raise ValueError(f"nothing to compare with inside a margin of {margin} degrees")
    return replace(comparison, scored=scored)


def _errors(
    model: SpdeModel,
    seen: SuperObservations,
    task: Task,
    sets: list[Comparison],
    config: SpdeOiConfig,
    deviation: bool,
) -> _Errors:
    """Return squared errors, formal variances and noise variances at all scored cells."""
    errors, formal, noise = [], [], []
    for one in sets:
        allowed = _visible(seen, one)
        mean, std = analyse(model, allowed, task, one.targets, config, deviation)
        errors.append(one.squared_errors(mean))
        formal.append(std[one.scored] ** 2)
        noise.append(one.variance[one.scored])
    whole = (np.concatenate(errors), np.concatenate(formal), np.concatenate(noise))
    return whole


def _visible(seen: SuperObservations, comparison: Comparison) -> SuperObservations:
    """Return the observations whose cell and day are not withheld."""
    cells = comparison.cells
    place = cells.index(seen.day)
    observed = cells.observed[place, seen.cell[:, 0], seen.cell[:, 1]]
    return seen.select((place >= 0) & observed)
