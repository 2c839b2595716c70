"""Sweeps that serve several leads, whole windows, or several sets of values at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline_spde.baselines.spde_days import (
    forecast_maps,
    forecast_windows,
    forecasts,
    smoothed,
    smoothed_maps,
)
from pipeline_spde.baselines.spde_model import SpdeModel
from pipeline_spde.baselines.superobs import SuperObservations

from .spde_case import DAY, FIRST, box, model_of, parameters_of, random_points

DAYS = FIRST + np.arange(14) * DAY
TARGETS = DAYS[9:12]


def make_case(advection: float) -> tuple[SpdeModel, SuperObservations]:
    """A prior, with currents of its own analysis or none, and points on every day."""
    land = np.zeros((8, 9), bool)
    land[0, :3] = True
    grid = box(shape=(8, 9), land=land)
    rows = 0.02 * np.arange(8)[:, None] * np.ones(grid.shape)
    model = model_of(parameters_of(grid, advection=advection), grid, 60.0, mean=rows)
    return model, random_points(grid, DAYS, 120)


@pytest.fixture(scope="module", params=[0.0, 0.8], ids=["still", "carried"])
def case(request):
    return make_case(request.param)


@pytest.fixture(scope="module")
def columns():
    """Three sets of values at the same points; currents of an analysis would belong to one set."""
    model, seen = make_case(0.0)
    values = 0.2 * np.random.default_rng(5).standard_normal((seen.day.size, 3))
    return model, replace(seen, value=values)


def column(seen: SuperObservations, number: int) -> SuperObservations:
    return replace(seen, value=seen.value[:, number])


def test_one_sweep_serves_all_leads(case) -> None:
    model, seen = case
    found = {}
    for lead, number, mean, std in forecasts(model, seen, FIRST, TARGETS, (4, 0, 1)):
        found[lead, number] = mean, std
    assert len(found) == 9
    for lead in (0, 1, 4):
        mean, std = forecast_maps(model, seen, FIRST, TARGETS, lead)
        for number in range(TARGETS.size):
            np.testing.assert_array_equal(found[lead, number][0], mean[number])
            np.testing.assert_array_equal(found[lead, number][1], std[number])


@pytest.mark.parametrize("lead", [0, 2])
def test_windows_are_smoothed_up_to_the_cut_and_forecast_beyond_it(case, lead) -> None:
    """As `smoothed_maps` of the days seen, and `forecast_maps` of every lead beyond them."""
    model, seen = case
    length = 6
    windows, east, north = forecast_windows(model, seen, FIRST, TARGETS, lead, length)
    assert windows.shape == (3, length, *model.grid.shape)
    assert east.shape == north.shape == (12 - lead, *model.grid.shape)
    for number, target in enumerate(TARGETS):
        cut = target - lead * DAY
        days = np.arange(target - (length - 1) * DAY, cut + DAY)
        mean, _ = smoothed_maps(model, seen, FIRST, cut, days, deviation=False)
        np.testing.assert_allclose(windows[number, : days.size], mean, atol=3e-7)
        for ahead in range(1, lead + 1):
            forecast, _ = forecast_maps(model, seen, FIRST, np.array([cut + ahead * DAY]), ahead)
            np.testing.assert_allclose(
                windows[number, days.size + ahead - 1], forecast[0], atol=3e-7
            )


def test_the_currents_of_windows_are_those_of_the_filter(case) -> None:
    """Of the forecast of a noon, with nothing that is observed after it."""
    model, seen = case
    _, east, north = forecast_windows(model, seen, FIRST, TARGETS, 1, 5)
    for number in (0, 4, 9):
        past = seen.select(
            (seen.day < DAYS[number]) | ((seen.day == DAYS[number]) & (seen.noon < 0))
        )
        other = forecast_windows(model, past, FIRST, TARGETS, 1, 5)
        np.testing.assert_array_equal(other[1][number], east[number])
        np.testing.assert_array_equal(other[2][number], north[number])
    assert bool(east.any()) == (model.parameters.advection > 0)


@pytest.mark.parametrize("lead", [0, 2])
def test_no_later_point_changes_a_bit_of_a_window(case, lead) -> None:
    model, seen = case
    reference, _, _ = forecast_windows(model, seen, FIRST, TARGETS, lead, 5)
    for number, target in enumerate(TARGETS):
        late = seen.day > target - lead * DAY
        changed = replace(seen, value=np.where(late, 9.0, seen.value))
        windows, _, _ = forecast_windows(model, changed, FIRST, TARGETS, lead, 5)
        np.testing.assert_array_equal(windows[number], reference[number])
        last = np.flatnonzero(~late)[-1]
        changed.value[last] += 1.0  # of the last day that is seen
        windows, _, _ = forecast_windows(model, changed, FIRST, TARGETS, lead, 5)
        assert np.any(windows[number] != reference[number])


def test_columns_of_values_are_mapped_as_one_by_one(columns) -> None:
    model, seen = columns
    ends = (DAYS[5], DAYS[12])
    found = {
        number: (field, std)
        for number, field, std in smoothed(model, seen, *ends, TARGETS, deviation=True)
    }
    for set_number in range(3):
        mean, std = smoothed_maps(model, column(seen, set_number), *ends, TARGETS)
        for number in range(TARGETS.size):
            np.testing.assert_allclose(found[number][0][set_number], mean[number], atol=1e-11)
            np.testing.assert_allclose(found[number][1], std[number], atol=1e-11)


@pytest.mark.parametrize("lead", [0, 3])
def test_columns_of_values_are_forecast_as_one_by_one(columns, lead) -> None:
    model, seen = columns
    windows, east, _ = forecast_windows(model, seen, FIRST, TARGETS, lead, 5)
    assert windows.shape == (3, 5, 3, *model.grid.shape) and not east.any()
    maps = [mean for _, _, mean, std in forecasts(model, seen, FIRST, TARGETS, [lead], False)]
    for number in range(3):
        alone, _, _ = forecast_windows(model, column(seen, number), FIRST, TARGETS, lead, 5)
        np.testing.assert_allclose(windows[:, :, number], alone, atol=3e-7)
        mean, _ = forecast_maps(model, column(seen, number), FIRST, TARGETS, lead)
        np.testing.assert_allclose([field[number] for field in maps], mean, atol=1e-11)


def test_the_deviation_of_forecasts_can_be_left_out(case) -> None:
    model, seen = case
    whole = list(forecasts(model, seen, FIRST, TARGETS, [1]))
    means = list(forecasts(model, seen, FIRST, TARGETS, [1], deviation=False))
    for (_, _, first, std), (_, _, second, nothing) in zip(whole, means, strict=True):
        np.testing.assert_array_equal(first, second)
        assert nothing is None and std.min() >= 0
