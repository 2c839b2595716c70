"""First guesses of windows: which days they see, what they are, and that they see no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline_spde.baselines.first_guess import Stretch, first_guess, make_first_guess, stretch
from pipeline_spde.baselines.flow import currents
from pipeline_spde.baselines.spde_days import forecast_maps, smoothed_maps
from pipeline_spde.config import FirstGuessConfig
from pipeline_spde.data.observe import bin_to_grid
from pipeline_spde.fields import Observations, daily_stamps
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.periods import Period, Task
from pipeline_spde.stage_models import FirstGuessStage

from .spde_case import DAY, FIRST, box, model_of, parameters_of, random_points, tracks_at

WINDOW = 5


def task(name: str) -> Task:
    return Task(name=name)


def day(number: int) -> np.datetime64:
    return FIRST + number * DAY


def period(first: int, last: int) -> Period:
    return Period(start=str(day(first)), end=str(day(last)))


# --- which days -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "use", "ahead", "first", "last", "targets"),
    [
        # training windows lie inside; of mapping every day has its map
        ("mapping", "train", 0, 10, 30, (10, 30)),
        ("nrt", "train", 0, 10, 30, (14, 30)),
        ("for2", "train", 0, 10, 30, (14, 30)),
        # windows around validation targets reach half their length (2 days) out at most
        ("mapping", "validation", 0, 8, 32, (8, 32)),
        ("nrt", "validation", 0, 8, 30, (12, 30)),
        ("for2", "validation", 0, 8, 30, (12, 30)),
        # every evaluation day is a target
        ("mapping", "evaluation", 0, 8, 32, (8, 32)),
        ("nrt", "evaluation", 0, 6, 30, (10, 30)),
        ("for2", "evaluation", 2, 6, 32, (10, 32)),
    ],
)
def test_periods_are_interpolated_with_the_days_of_their_windows(
    name, use, ahead, first, last, targets
) -> None:
    found = stretch(period(10, 30), task(name), WINDOW, use, ahead)
    assert (found.first, found.last) == (day(first), day(last))
    assert found.targets == (day(targets[0]), day(targets[1]))
    assert found.days[0] == day(targets[0]) and found.days[-1] == day(targets[1])


@pytest.mark.parametrize(("name", "use"), [("nrt", "train"), ("for2", "validation")])
def test_a_period_without_a_window_is_refused(name, use) -> None:
    short = period(10, 13) if use == "train" else period(10, 11)
    with pytest.raises(ValueError, match=f"the {use} period .* holds no window of 5 days"):
        stretch(short, task(name), WINDOW, use)


# --- what they are --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case():
    """A prior carried by its own currents, and points of fifty days."""
    land = np.zeros((8, 9), bool)
    land[0, :3] = True
    grid = box(shape=(8, 9), land=land)
    mean = 0.02 * np.arange(8)[:, None] * np.ones(grid.shape)
    model = model_of(parameters_of(grid, advection=0.7), grid, 75.0, mean=mean)
    return model, random_points(grid, day(0) + np.arange(50) * DAY, 350)


def guess_of(case, name: str, *stretches: Stretch, segment_days: int = 42) -> FirstGuess:
    return first_guess(*case, task(name), WINDOW, stretches, segment_days)


def test_windows_of_mapping_share_the_smoothed_maps_of_their_period(case) -> None:
    model, seen = case
    train = stretch(period(12, 24), task("mapping"), WINDOW, "train")
    found = guess_of(case, "mapping", train)
    mean, _ = smoothed_maps(model, seen, day(12), day(24), train.days, deviation=False)
    np.testing.assert_array_equal(found.window(day(15)), mean[3:8].astype(np.float32))
    for place, (east, north) in enumerate(zip(*found.currents(day(15)), strict=True)):
        expected = currents(mean[3 + place] + model.mean, model.grid, model.low_pass_km)
        np.testing.assert_allclose(east, 0.7 * expected[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(north, 0.7 * expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["nrt", "for2"])
def test_windows_of_forecasts_end_in_the_forecast_of_their_target(case, name) -> None:
    model, seen = case
    found = guess_of(case, name, stretch(period(20, 24), task(name), WINDOW, "evaluation"))
    lead = task(name).lead
    for target in (20, 23):
        window = found.window(day(target - WINDOW + 1))
        expected, _ = forecast_maps(model, seen, day(16), np.array([day(target)]), lead)
        np.testing.assert_allclose(window[-1], expected[0], atol=3e-7)
        flow = found.currents(day(target - WINDOW + 1))
        for ahead in range(lead):  # what carries beyond the last observed day is that day's current
            np.testing.assert_array_equal(flow[:, -1 - ahead], flow[:, -1 - lead])
        assert np.any(flow[:, 0] != flow[:, 1])


def test_segments_of_a_long_period_agree_with_one_sweep(case) -> None:
    """To the influence of what lies more than half a window beyond a segment."""
    train = stretch(period(2, 40), task("mapping"), WINDOW, "train")
    one, two = (guess_of(case, "mapping", train, segment_days=n) for n in (42, 20))
    difference = np.sqrt(np.mean((one.height - two.height) ** 2, axis=(1, 2))) / one.height.std()
    assert difference[[0, -1]].max() < 1e-4
    assert 0.01 < difference[[18, 19]].max() < 0.5  # the two days at the seam
    assert np.delete(difference, slice(15, 24)).max() < 0.05


def test_the_guess_carries_the_fitted_prior(case) -> None:
    model, seen = case
    p = replace(model.parameters, amplitude=1.2 * model.parameters.amplitude, advection=0.0)
    wide = model_of(p, model.grid, 75.0)
    part = stretch(period(20, 22), task("nrt"), WINDOW, "evaluation")
    found = guess_of((wide, seen), "nrt", part)
    np.testing.assert_allclose(found.sigma, 1.2 * p.sigma, rtol=1e-6)
    law = found.law
    assert (law.range_km, law.rho, law.noise_order) == (p.range_km, p.rho, p.noise_order)
    assert law.decorrelation_time_days == p.decorrelation_time_days
    assert law.noise_length_km == p.noise_length_km
    assert not found.m_east.any() and not found.m_north.any()


# --- what they see --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mapping", "nrt", "for2"])
def test_nothing_that_a_window_may_not_see_changes_a_bit_of_it(case, name) -> None:
    """Mapping: days outside its period; forecasts: whatever lies after the last observed day."""
    model, seen = case
    parts = [
        stretch(period(8, 18), task(name), WINDOW, "train"),
        stretch(period(30, 34), task(name), WINDOW, "evaluation"),
    ]
    reference = guess_of(case, name, *parts)
    for first in (day(10), day(13), parts[1].first, day(30)):
        home = parts[0] if first < day(20) else parts[1]
        lead = task(name).lead
        cut = home.last if lead is None else first + (WINDOW - 1 - lead) * DAY
        unseen = (seen.day > cut) | (seen.day < home.first)
        changed = replace(seen, value=np.where(unseen, -7.0, seen.value))
        found = guess_of((model, changed), name, *parts)
        np.testing.assert_array_equal(found.window(first), reference.window(first))
        np.testing.assert_array_equal(found.currents(first), reference.currents(first))
        at_last = replace(seen, value=seen.value + (seen.day == cut))
        found = guess_of((model, at_last), name, *parts)
        assert np.any(found.window(first) != reference.window(first))


def test_a_period_does_not_see_another_one(case) -> None:
    """Each period is interpolated by itself: alone or together, the windows are the same."""
    train = stretch(period(4, 14), task("mapping"), WINDOW, "train")
    evaluation = stretch(period(20, 26), task("mapping"), WINDOW, "evaluation")
    both = guess_of(case, "mapping", evaluation, train)
    alone = guess_of(case, "mapping", train)
    np.testing.assert_array_equal(both.window(day(7)), alone.window(day(7)))
    with pytest.raises(ValueError, match=r"does not hold 2020-03-16; .* gaps between the periods"):
        both.window(day(13))


def test_periods_whose_windows_meet_are_refused(case) -> None:
    train = stretch(period(4, 14), task("mapping"), WINDOW, "train")
    evaluation = stretch(period(16, 20), task("mapping"), WINDOW, "evaluation")
    with pytest.raises(ValueError, match="2020-03-15 is not before 2020-03-15; move the periods"):
        guess_of(case, "mapping", evaluation, train)


def test_windows_of_forecasts_may_reach_into_the_period_before(case) -> None:
    """Its targets are other days; each day has one current, that of the filter that runs longer."""
    train = stretch(period(2, 16), task("nrt"), WINDOW, "train")
    evaluation = stretch(period(19, 24), task("nrt"), WINDOW, "evaluation")
    assert evaluation.first < day(16)
    both = guess_of(case, "nrt", evaluation, train)
    assert np.all(np.diff(both.days) > np.timedelta64(0, "D"))
    alone = guess_of(case, "nrt", train)
    np.testing.assert_array_equal(both.currents(day(12)), alone.currents(day(12)))
    later = guess_of(case, "nrt", evaluation)
    np.testing.assert_array_equal(both.window(day(15)), later.window(day(15)))
    np.testing.assert_array_equal(both.currents(day(19)), later.currents(day(19)))
    assert both.currents(day(15)).shape == (2, WINDOW, 8, 9)


# --- from files -----------------------------------------------------------------------------


def test_a_stage_makes_the_guesses_of_all_its_periods(case, tmp_path) -> None:
    model, seen = case
    grid = model.grid
    tracks = tracks_at(seen, grid, model.mean)
    stamps = daily_stamps(day(0), day(49))
    observations = Observations(bin_to_grid(tracks, grid, stamps, 0.02), tracks, model.mean)
    parameters = parameters_of(grid, advection=0.7)
    parameters.to_dataset(grid, {}).to_netcdf(tmp_path / "spde_oi.nc")
    stage = FirstGuessStage(
        version=1, seed=1, task=task("for2"), window_days=WINDOW, train=period(2, 12),
        validation=period(18, 24), evaluation=period(30, 33), ahead_days=2, low_pass_km=190.0,
        segment_days=42, first_guess=FirstGuessConfig(shortest_km=75.0),
    )  # fmt: skip
    found = make_first_guess(observations, grid, stage, tmp_path / "spde_oi.nc")
    targets = [*range(6, 13), *range(20, 25), *range(30, 36)]
    np.testing.assert_array_equal(found.targets, [day(number) for number in targets])
    found.to_dataset(grid.lat, grid.lon).to_netcdf(tmp_path / "first_guess.nc")
    back = FirstGuess.read(tmp_path / "first_guess.nc", task("for2"), WINDOW)
    np.testing.assert_array_equal(back.window(day(31)), found.window(day(31)))
    expected, _ = forecast_maps(
        model_of(parameters, grid, 75.0, model.mean), seen, day(26), np.array([day(35)]), 2
    )
    np.testing.assert_allclose(back.window(day(31))[-1], expected[0], atol=1e-5)
