"""Sweeps of the SPDE filter over a period: smoothed maps, analyses and forecasts.

An observation between two noons is linear in the state of the first. Those of the afternoon of a
day are assimilated with that day; those of the next morning belong to the next calendar day and
join only after analysis and forecasts have been taken, so that no task sees a day it must not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_spde.baselines.cells import Days
from pipeline_spde.baselines.spde_model import SpdeModel
from pipeline_spde.baselines.superobs import SuperObservations
from pipeline_spde.spde.kalman import DayPoints, ModeSmoother, Update
from pipeline_spde.spde.modes import Step

Array = NDArray[np.float64]
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class _Visit:
    """What the backward sweep needs of a day; mean and rows only where a map is wanted."""

    step: Step
    update: Update | None
    mean: torch.Tensor | None
    rows: torch.Tensor | None


def smoothed_maps(
    model: SpdeModel,
    seen: SuperObservations,
    first: np.datetime64,
    last: np.datetime64,
    targets: Days,
    deviation: bool = True,
) -> tuple[Array, Array]:
    """Return mean and standard deviation (m) of the anomaly on the target days given all days.

    Args:
        model: the prior.
        seen: observations; those outside `first … last` are not used.
        first: first day whose observations are used; the stationary start is the day before.
        last: last day whose observations are used.
        targets: increasing days within `first … last`.
        deviation: False leaves the standard deviation, and its cost, out (NaN).

    Returns:
        Two arrays (targets, lat, lon).
    """
    wanted = {day: number for number, day in enumerate(targets)}
    visits: list[_Visit] = []
    n, state = model.basis.count, model.filter.first
    days = np.arange(first - _DAY, last + _DAY)
    for day in days:
        step = model.step(state)
        points = _join(_afternoon(model, seen, day, first), _morning(model, seen, day, last))
        analysed, update = model.filter.assimilate(state, step, points)
        kept = day in wanted
        rows = state.covariance[:n].clone() if kept else None
        visits.append(_Visit(step, update, state.mean if kept else None, rows))
        state = model.filter.predict(analysed, step)
    smoother = ModeSmoother(n, model.basis.fields, model.filter.rho)
    mean = np.empty((targets.size, *model.grid.shape))
    std = np.full_like(mean, np.nan)
    for day in days[::-1]:
        visit = visits.pop()
        if day != last:
            smoother.step_back(visit.step)
        smoother.observe(visit.update)
        if visit.mean is not None and visit.rows is not None:
            number = wanted[day]
            mean[number] = model.field(smoother.mean(visit.mean, visit.rows))
            if deviation:
                std[number] = np.sqrt(model.variance(smoother.covariance(visit.rows)))
    return mean, std


def forecast_maps(
    model: SpdeModel,
    seen: SuperObservations,
    first: np.datetime64,
    targets: Days,
    lead: int,
) -> tuple[Array, Array]:
    """Return mean and standard deviation (m) of the anomaly on the target days, `lead` days ahead.

    Each target sees the observations from `first` up to `lead` days before it; a lead of 0 is the
    analysis of the target day itself. The currents stay those of the last analysis.

    Args:
        model: the prior.
        seen: observations.
        first: first day whose observations are used; the stationary start is the day before.
        targets: increasing days, the first at least `lead` days after `first`.
        lead: days.

    Returns:
        Two arrays (targets, lat, lon).
    """
    wanted = {day - lead * _DAY: number for number, day in enumerate(targets)}
    mean = np.empty((targets.size, *model.grid.shape))
    std = np.empty_like(mean)
    state, last = model.filter.first, targets[-1] - lead * _DAY
    for day in np.arange(first - _DAY, last + _DAY):
        step = model.step(state)
        state, _ = model.filter.assimilate(state, step, _afternoon(model, seen, day, first))
        if day in wanted:
            ahead = state
            onward = model.step(ahead) if lead else step
            for _ in range(lead):
                ahead = model.filter.predict(ahead, onward)
            mean[wanted[day]] = model.field(ahead.mean)
            std[wanted[day]] = np.sqrt(model.variance(ahead.covariance))
        state, _ = model.filter.assimilate(state, step, _morning(model, seen, day, last))
        state = model.filter.predict(state, step)
    return mean, std


def _afternoon(
    model: SpdeModel, seen: SuperObservations, day: np.datetime64, first: np.datetime64
) -> DayPoints:
    """Return the observations of a day from noon on, if that is not before the first."""
    some = _of_day(seen, day)
    some = some.select((some.noon >= 0) & (some.day >= first))
    return model.points(some, some.noon)


def _morning(
    model: SpdeModel, seen: SuperObservations, day: np.datetime64, last: np.datetime64
) -> DayPoints:
    """Return the observations before noon of the day after, if that is not beyond the last."""
    some = _of_day(seen, day + _DAY)
    some = some.select((some.noon < 0) & (some.day <= last))
    return model.points(some, 1 + some.noon)


def _of_day(seen: SuperObservations, day: np.datetime64) -> SuperObservations:
    begin, end = np.searchsorted(seen.day, [day, day + _DAY])
    return seen.select(slice(int(begin), int(end)))


def _join(*parts: DayPoints) -> DayPoints:
    def joined(name: str) -> torch.Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    return DayPoints(joined("rows"), joined("share"), joined("value"), joined("variance"))


def segments(targets: Days, length: int) -> Iterator[slice]:
    """Yield slices of at most `length` consecutive targets, of nearly equal size."""
    count = -(-targets.size // length)
    edges = np.linspace(0, targets.size, count + 1).round().astype(int)
    for begin, end in pairwise(edges.tolist()):
        yield slice(begin, end)
