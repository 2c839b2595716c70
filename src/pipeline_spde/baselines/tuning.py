"""Fits the covariance and the noise of the tuned interpolation on a validation period.

The root-mean-square error of the maps, against the truth or at withheld passes, fixes the lengths
and the ratio of noise to prior deviation: scaling both leaves the maps as they are. The common
scale follows from the formal variance: it is set so that the errors found have the variance
predicted. The search therefore runs with the prior deviation held at that of the observed
anomalies, and both deviations are multiplied by one factor at the end.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.baselines.analysis import OiParameters, mean_maps
from pipeline_spde.baselines.cells import CellAnomalies, cell_anomalies, visible_offsets
from pipeline_spde.baselines.deviation import deviation_maps
from pipeline_spde.baselines.search import Point, Progress, ScanAndSimplex
from pipeline_spde.baselines.validation import Comparison, against_passes, against_truth
from pipeline_spde.config import OiTunedConfig, SpdeOiConfig
from pipeline_spde.fields import Maps, Observations
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task

logger = logging.getLogger(__name__)

_LEAST_SHARE = 0.1  # of the squared misfit at withheld cells that must be error of the map


def tune(
    observations: Observations,
    grid: Grid,
    task: Task,
    config: OiTunedConfig,
    period: Period,
    truth: Maps | None,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the fitted parameters of `oi_tuned` for a task.

    Args:
        observations: gridded observations and mean; the samples tell which pass a cell is of.
        grid: the grid of the gridded observations.
        task: which days around a target are seen.
        config: candidates, window and number of days compared.
        period: the validation period; all targets lie in it, their windows may reach beyond.
        truth: true maps on the same grid; None: compare with withheld passes.
        seed: of the choice of withheld passes.
        progress: called after every candidate with (candidates tried, candidates likely in all).

    Returns:
        JSON-ready mapping: the four fields of `OiParameters`, `rmse_m` of the criterion,
        `variance_scale` (by which the first guess of the prior variance was multiplied),
        `criterion`, `days` compared, `at_edge` (parameter -> the optimum lies at the edge of what
        was tried) and `candidates` (all that were tried, with the first-guess prior deviation).

    Raises:
        ValueError: nothing to compare with in the period, or the grids differ.
    """
    started = perf_counter()
    cells = cell_anomalies(observations, grid)
    offsets = visible_offsets(task, config.window_days)
    period = reachable_targets(period, offsets, config.window_days)
    sets = comparisons(observations, cells, grid, task, config, period, truth, seed)
    prior = _observed_deviation(cells, sets[0], offsets)

    def rmse(point: Point) -> float:
        parameters = OiParameters(**point, prior_std_m=prior)
        errors = _errors(sets, grid, offsets, parameters, config.iterations)
        return float(np.sqrt(np.mean(errors)))

    # noise first: with too little of it every length looks too short
    search = ScanAndSimplex(
        rmse,
        {
            "noise_factor": config.noise_factors,
            "length_days": config.lengths_days,
            "length_km": config.lengths_km,
        },
        progress,
    )
    best = OiParameters(**search.run(), prior_std_m=prior)
    scale = _variance_scale(sets, grid, offsets, best, config)
    for name in [name for name, edge in search.at_edge.items() if edge]:
        logger.warning("tuning: %s ends at %.4g, the last value tried", name, search.best[name])
    tried, seconds = len(search.table), perf_counter() - started
    logger.info("tuning: %s after %d candidates in %.1f s", search.best, tried, seconds)
    criterion = "truth" if truth is not None else "withheld passes"
    return _result(best, scale, search) | {
        "criterion": criterion,
        "days": [str(day) for day in sets[0].targets],
    }


def comparisons(
    observations: Observations,
    cells: CellAnomalies,
    grid: Grid,
    task: Task,
    config: OiTunedConfig | SpdeOiConfig,
    period: Period,
    truth: Maps | None,
    seed: int,
) -> list[Comparison]:
    """Return what the candidates are compared with; at least one cell is scored."""
    if truth is None:
        rng = np.random.default_rng(seed)
        tracks, days = observations.tracks, config.tuning_days
        sets = against_passes(cells, tracks, grid, period, days, task.lead, rng)
    elif truth.grid.same_axes(grid):
        sets = against_truth(cells, observations.mean, truth, period, config.tuning_days)
    else:
        raise ValueError(
            f"the truth has {truth.grid.shape} cells in {truth.grid.bounds}, the maps "
            f"{grid.shape} in {grid.bounds}; use the truth of the same domain"
        )
    if not any(comparison.scored.any() for comparison in sets):
        raise ValueError(f"no cell to compare with on {sets[0].targets}; widen the period {period}")
    return sets


def _result(best: OiParameters, scale: float, search: ScanAndSimplex) -> dict[str, Any]:
    """Return the parameters with both deviations scaled, and the record of the search."""
    root = float(np.sqrt(scale))
    return {
        "length_km": best.length_km,
        "length_days": best.length_days,
        "noise_factor": best.noise_factor * root,
        "prior_std_m": best.prior_std_m * root,
        "rmse_m": search.value,
        "variance_scale": scale,
        "first_prior_std_m": best.prior_std_m,
        "at_edge": search.at_edge,
        "candidates": [
            {("rmse_m" if name == "criterion" else name): value for name, value in row.items()}
            for row in search.table
        ],
    }


def reachable_targets(period: Period, offsets: NDArray[np.int64], window: int) -> Period:
    """Return the part of a period whose targets see no day more than half a window before it.

    Periods are kept apart by half a window; a forecast looks back further and starts later.

    Raises:
        ValueError: nothing is left.
    """
    late = max(-int(offsets[0]) - window // 2, 0)
    if late >= period.days:
        raise ValueError(
            f"validation period {period}: none of its {period.days} days can be a target of a "
            f"window that looks back {-int(offsets[0])} days; make it longer"
        )
    return Period(start=period.start + timedelta(days=late), end=period.end)


def _errors(
    sets: list[Comparison],
    grid: Grid,
    offsets: NDArray[np.int64],
    parameters: OiParameters,
    iterations: int,
) -> NDArray[np.float64]:
    """Return the squared errors at all scored cells of all comparisons."""
    return np.concatenate(
        [
            one.squared_errors(
                mean_maps(one.cells, grid, one.targets, offsets, parameters, iterations)
            )
            for one in sets
        ]
    )


def _observed_deviation(
    cells: CellAnomalies, comparison: Comparison, offsets: NDArray[np.int64]
) -> float:
    """Return the standard deviation of the anomalies seen around the targets, noise removed."""
    days = comparison.targets[:, None] + offsets.astype("timedelta64[D]")
    places = np.unique(cells.index(days))
    places = places[places >= 0]
    observed = cells.observed[places]
    if not observed.any():
        raise ValueError(
            f"no observation around {comparison.targets[0]} … {comparison.targets[-1]}: "
            "check the period and the observations"
        )
    total = float(np.mean(cells.value[places][observed] ** 2))
    noise = float(np.mean(cells.variance[places][observed]))
    return float(np.sqrt(max(total - noise, _LEAST_SHARE * total)))


def _variance_scale(
    sets: list[Comparison],
    grid: Grid,
    offsets: NDArray[np.int64],
    parameters: OiParameters,
    config: OiTunedConfig,
) -> float:
    """Return ⟨errors²⟩ / ⟨formal variance⟩ over the scored cells.

    At withheld cells the misfit holds the error of the observations too, which is taken off; at
    least a tenth of the misfit is left to the map.
    """
    errors = _errors(sets, grid, offsets, parameters, config.iterations)
    noise = np.concatenate([one.variance[one.scored] for one in sets])
    formal = []
    for one in sets:
        tolerance = config.variance_tolerance
        std = deviation_maps(one.cells, grid, one.targets, offsets, parameters, tolerance)
        formal.append(std[one.scored] ** 2)
    total = float(np.mean(errors))
    return max(total - float(np.mean(noise)), _LEAST_SHARE * total) / float(
        np.mean(np.concatenate(formal))
    )
