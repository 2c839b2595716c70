"""Makes the first guesses of the neural solvers: SPDE interpolation of the periods they work in.

Each period is interpolated by itself, with the observations its windows may see: training windows
lie inside their period; around a validation or evaluation target they reach as far as the task
says, and no further than half a window out of the validation period.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.baselines.cells import Days
from pipeline_spde.baselines.flow import currents
from pipeline_spde.baselines.spde_days import forecast_windows, segments, smoothed_maps
from pipeline_spde.baselines.spde_model import Array, SpdeModel, SpdeOiParameters
from pipeline_spde.baselines.superobs import SuperObservations, superobservations
from pipeline_spde.fields import Observations
from pipeline_spde.first_guess import FirstGuess, PriorLaw
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task
from pipeline_spde.stages import FirstGuessStage

logger = logging.getLogger(__name__)

_DAY = np.timedelta64(1, "D")
_Part = tuple[Days, NDArray, Array, Array]


@dataclass(frozen=True)
class Stretch:
    """Target days that are interpolated together.

    Attributes:
        first: first day whose observations are used.
        last: last day whose observations are used (mapping), or the last target.
        targets: (first, last) target day.
    """

    first: np.datetime64
    last: np.datetime64
    targets: tuple[np.datetime64, np.datetime64]

    @property
    def days(self) -> Days:
        """All target days."""
        return np.arange(self.targets[0], self.targets[1] + _DAY)


def stretch(period: Period, task: Task, window_days: int, use: str, ahead_days: int = 0) -> Stretch:
    """Return what is interpolated for the windows of a period.

    Args:
        period: train, validation or evaluation period.
        task: which days around a target are seen.
        window_days: length of the windows.
        use: "train": windows lie inside; "validation": targets lie inside and windows reach at
            most half their length out; "evaluation": targets lie inside.
        ahead_days: targets beyond the period (evaluation of forecasts), for shorter lead times.

    Raises:
        ValueError: no window fits.
    """
    offsets = task.offsets(window_days)
    start, end = (np.datetime64(day, "D") for day in (period.start, period.end))
    if use == "train":
        first, last = start, end
        targets = (start - offsets[0] * _DAY, end - offsets[-1] * _DAY)
    else:
        late = max(-offsets[0] - window_days // 2, 0) if use == "validation" else 0
        end = end + ahead_days * _DAY
        targets = (start + late * _DAY, end)
        first, last = targets[0] + offsets[0] * _DAY, end + offsets[-1] * _DAY
    if targets[1] < targets[0]:
        raise ValueError(
            f"the {use} period {period} holds no window of {window_days} days for {task.name}"
        )
    if task.lead is None:  # every day of the windows has its map
        targets = (first, last)
    return Stretch(first, last, targets)


def first_guess(
    model: SpdeModel,
    seen: SuperObservations,
    task: Task,
    window_days: int,
    stretches: Sequence[Stretch],
    segment_days: int,
) -> FirstGuess:
    """Return the first guesses of all windows of the stretches.

    Args:
        model: the prior with its parameters.
        seen: observations of all periods.
        task: mapping, nrt or for{n}.
        window_days: length of the windows.
        stretches: of the periods, without a day in common.
        segment_days: target days smoothed in one sweep (mapping); bounds the memory.

    Raises:
        ValueError: stretches overlap.
    """
    started = perf_counter()
    ordered = sorted(stretches, key=lambda one: one.first)
    for before, after in pairwise(ordered):
        if before.targets[1] >= after.targets[0]:
            raise ValueError(
                f"first guesses of two periods overlap: {before.targets[1]} is not before "
                f"{after.targets[0]}; move the periods apart by a window"
            )
    make = _maps if task.lead is None else _windows
    parts = [make(model, seen, task, window_days, one, segment_days) for one in ordered]
    days, height, east, north = (np.concatenate(part) for part in zip(*parts, strict=True))
    targets = np.concatenate([one.days for one in ordered])
    # windows of forecasts may reach back into a period before: the longer filter knows its days
    days, place = np.unique(days, return_index=True)
    logger.info(
        "first guess for %s: %d targets, %d modes, %.1f s",
        task.name, targets.size, model.basis.count, perf_counter() - started,
    )  # fmt: skip
    p = model.parameters
    law = PriorLaw(p.range_km, p.decorrelation_time_days, p.noise_length_km, p.noise_order, p.rho)
    return FirstGuess(
        task=task,
        window_days=window_days,
        targets=targets,
        height=height.astype(np.float32),
        days=days,
        m_east=east[place].astype(np.float32),
        m_north=north[place].astype(np.float32),
        sigma=(p.sigma * p.amplitude).astype(np.float32),
        law=law,
    )


def _maps(
    model: SpdeModel,
    seen: SuperObservations,
    task: Task,
    window_days: int,
    one: Stretch,
    segment_days: int,
) -> _Part:
    """Return days, maps and the currents of the maps of a stretch."""
    half, parts = window_days // 2 * _DAY, []
    for chosen in segments(one.days, segment_days):
        days = one.days[chosen]
        ends = (max(days[0] - half, one.first), min(days[-1] + half, one.last))
        parts.append(smoothed_maps(model, seen, *ends, days, deviation=False)[0])
    height = np.concatenate(parts)
    share = model.parameters.advection
    flows = [currents(field + model.mean, model.grid, model.low_pass_km) for field in height]
    east, north = (share * np.stack(part) for part in zip(*flows, strict=True))
    return one.days, height, east, north


def _windows(
    model: SpdeModel,
    seen: SuperObservations,
    task: Task,
    window_days: int,
    one: Stretch,
    segment_days: int,
) -> _Part:
    """Return the days of the currents, the windows and the currents of a stretch."""
    lead = task.lead or 0
    windows, east, north = forecast_windows(model, seen, one.first, one.days, lead, window_days)
    days = np.arange(one.first, one.targets[1] - lead * _DAY + _DAY)
    return days, windows, east, north


def make_first_guess(
    observations: Observations, grid: Grid, stage: FirstGuessStage, tuning: Path
) -> FirstGuess:
    """Return the first guesses of all periods of a stage with the prior fitted for mapping.

    Args:
        observations: of all periods.
        grid: latitude-longitude grid.
        stage: periods, windows and basis.
        tuning: file of the parameters of spde_oi.
    """
    parameters = SpdeOiParameters.read(tuning, grid)
    shortest = stage.first_guess.shortest_km
    model = SpdeModel(parameters, grid, observations.mean, shortest, stage.low_pass_km)
    ahead = {"evaluation": stage.ahead_days}
    stretches = [
        stretch(period, stage.task, stage.window_days, use, ahead.get(use, 0))
        for use, period in stage.periods().items()
    ]
    seen = superobservations(observations, grid)
    return first_guess(model, seen, stage.task, stage.window_days, stretches, stage.segment_days)
