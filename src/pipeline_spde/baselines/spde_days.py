"""Sweeps of the SPDE filter over a period: smoothed maps, analyses and forecasts.

An observation between two noons is linear in the state of the first. Those of the afternoon of a
day are assimilated with that day; those of the next morning belong to the next calendar day and
join only after analysis and forecasts have been taken, so that no task sees a day it must not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_spde.baselines.cells import Days
from pipeline_spde.baselines.spde_model import ModeModel
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
    model: ModeModel,
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
    mean = np.empty((targets.size, *model.grid.shape))
    std = np.full_like(mean, np.nan)
    for number, field, deviations in smoothed(model, seen, first, last, targets, deviation):
        mean[number] = field
        if deviations is not None:
            std[number] = deviations
    return mean, std


def smoothed(
    model: ModeModel,
    seen: SuperObservations,
    first: np.datetime64,
    last: np.datetime64,
    targets: Days,
    deviation: bool,
) -> Iterator[tuple[int, Array, Array | None]]:
    """Yield number, mean and standard deviation of the targets, the last one first.

    Arguments as for `smoothed_maps`. Observations with columns, (obs, columns), give means
    (columns, lat, lon); the deviation is that of each.
    """
    wanted = {day: number for number, day in enumerate(targets)}
    visits: list[_Visit] = []
    n, state = model.basis.count, model.start(first - _DAY, seen.columns)
    days = np.arange(first - _DAY, last + _DAY)
    for day in days:
        step = model.step(state, day)
        points = _join(_afternoon(model, seen, day, first), _morning(model, seen, day, last))
        analysed, update = model.filter.assimilate(state, step, points)
        kept = day in wanted
        rows = state.covariance[:n].clone() if kept else None
        visits.append(_Visit(step, update, state.mean if kept else None, rows))
        state = model.filter.predict(analysed, step)
    smoother = ModeSmoother(state.mean, model.filter.rho, deviation)
    for day in days[::-1]:
        visit = visits.pop()
        if day != last:
            smoother.step_back(visit.step)
        smoother.observe(visit.update)
        if visit.mean is not None and visit.rows is not None:
            field = model.field(smoother.mean(visit.mean, visit.rows))
            std = None
            if deviation:
                std = np.sqrt(model.variance(smoother.covariance(visit.rows)))
            yield wanted[day], field, std


def forecast_maps(
    model: ModeModel,
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
    mean = np.empty((targets.size, *model.grid.shape))
    std = np.empty_like(mean)
    for _, number, field, deviations in forecasts(model, seen, first, targets, (lead,)):
        mean[number], std[number] = field, deviations
    return mean, std


def forecasts(
    model: ModeModel,
    seen: SuperObservations,
    first: np.datetime64,
    targets: Days,
    leads: Sequence[int],
    deviation: bool = True,
) -> Iterator[tuple[int, int, Array, Array | None]]:
    """Yield lead, number of the target, mean and standard deviation, day by day of the analyses.

    One sweep of the filter serves all leads. Arguments as for `forecast_maps`; columns as in
    `smoothed`; `deviation` False leaves the standard deviation out (None).
    """
    wanted: dict[np.datetime64, list[tuple[int, int]]] = {}
    for lead in sorted(leads):
        for number, day in enumerate(targets):
            wanted.setdefault(day - lead * _DAY, []).append((lead, number))
    state, last = model.start(first - _DAY, seen.columns), max(wanted)
    for day in np.arange(first - _DAY, last + _DAY):
        step = model.step(state, day)
        state, _ = model.filter.assimilate(state, step, _afternoon(model, seen, day, first))
        ahead, at, onward = state, 0, None
        for lead, number in wanted.get(day, ()):
            while at < lead:
                onward = model.step(state, day) if onward is None else onward
                ahead, at = model.filter.predict(ahead, onward), at + 1
            std = np.sqrt(model.variance(ahead.covariance)) if deviation else None
            yield lead, number, model.field(ahead.mean), std
        state, _ = model.filter.assimilate(state, step, _morning(model, seen, day, last))
        state = model.filter.predict(state, step)


@dataclass(frozen=True, eq=False)
class _Passage:
    """What a smoothing from a later day needs of a day that the filter has passed."""

    step: Step
    mean: torch.Tensor
    rows: torch.Tensor
    updates: tuple[Update | None, Update | None]


def forecast_windows(
    model: ModeModel,
    seen: SuperObservations,
    first: np.datetime64,
    targets: Days,
    lead: int,
    window_days: int,
    out: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], Array, Array]:
    """Return the mean of every day of the windows that end on the target days, and the currents.

    A window sees the observations from `first` up to `lead` days before its target: its days up to
    there are smoothed, the last `lead` days are forecasts. One sweep of the filter serves all
    windows; going back over a window takes the mean alone.

    Args:
        model: the prior.
        seen: observations.
        first: first day whose observations are used, at most the first day of the first window.
        targets: increasing days.
        lead: days.
        window_days: length of the windows.
        out: where to write the anomalies; by default in new memory.

    Returns:
        Anomalies in m, float32, (targets, window_days, lat, lon) (observations with columns:
        (targets, window_days, columns, lat, lon)) and, for every day from `first` to the last
        observed one, the eastward and northward currents of the filter in km/day, each
        (days, lat, lon).
    """
    wanted = {day - lead * _DAY: number for number, day in enumerate(targets)}
    extra = () if seen.columns is None else (seen.columns,)
    shape = (targets.size, window_days, *extra, *model.grid.shape)
    windows = np.empty(shape, np.float32) if out is None else out
    state, last = model.start(first - _DAY, seen.columns), targets[-1] - lead * _DAY
    passed: deque[_Passage] = deque(maxlen=window_days - lead)
    flows = []
    for day in np.arange(first - _DAY, last + _DAY):
        flows.append(model.flow(state, day))
        step, before = model.step(state, day), state
        state, afternoon = model.filter.assimilate(state, step, _afternoon(model, seen, day, first))
        if day in wanted:
            number, observed = wanted[day], window_days - lead
            rows = before.covariance[: before.modes]
            today = _Passage(step, before.mean, rows, (afternoon, None))
            windows[number, :observed] = _smoothed_back(model, [*passed, today][-observed:])
            ahead, onward = state, model.step(state, day) if lead else step
            for k in range(lead):
                ahead = model.filter.predict(ahead, onward)
                windows[number, observed + k] = model.field(ahead.mean)
        state, morning = model.filter.assimilate(state, step, _morning(model, seen, day, last))
        rows = before.covariance[: before.modes].clone()
        passed.append(_Passage(step, before.mean, rows, (afternoon, morning)))
        state = model.filter.predict(state, step)
    east, north = (np.stack(part) for part in zip(*flows[1:], strict=True))
    return windows, east, north


def _smoothed_back(model: ModeModel, days: list[_Passage]) -> Array:
    """Return the mean of successive days given the observations up to the last, (days, …)."""
    smoother = ModeSmoother(days[-1].mean, model.filter.rho, covariance=False)
    fields = []
    for number, day in enumerate(reversed(days)):
        if number:
            smoother.step_back(day.step)
        for update in reversed(day.updates):
            smoother.observe(update)
        fields.append(model.field(smoother.mean(day.mean, day.rows)))
    return np.stack(fields[::-1])


def _afternoon(
    model: ModeModel, seen: SuperObservations, day: np.datetime64, first: np.datetime64
) -> DayPoints:
    """Return the observations of a day from noon on, if that is not before the first."""
    some = _of_day(seen, day)
    some = some.select((some.noon >= 0) & (some.day >= first))
    return model.points(some, some.noon)


def _morning(
    model: ModeModel, seen: SuperObservations, day: np.datetime64, last: np.datetime64
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
