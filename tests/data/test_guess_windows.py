"""First guesses in the windows that networks learn from: cut, flipped, and judged whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_spde.config import PatchConfig
from pipeline_spde.data.datamodule import (
    Sample,
    TrainingWindows,
    ValidationWindows,
    flip_window,
)
from pipeline_spde.data.windows import WindowCutter, on_days, patch_plan
from pipeline_spde.fields import GriddedObservations, Maps, daily_stamps
from pipeline_spde.first_guess import FirstGuess, PriorLaw
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task

DAYS, WINDOW, STD = 30, 5, 2.0
FIRST = np.datetime64("2013-01-01")
DAY = np.timedelta64(1, "D")
LAW = PriorLaw(120.0, 9.0, 40.0, 1, 0.45)
PERIOD = Period(start="2013-01-06", end="2013-01-25")
PATCHES = PatchConfig(lat=8, lon=8, stride_lat=8, stride_lon=4)


@pytest.fixture(scope="module")
def grid() -> Grid:
    grid = Grid.from_bounds((36.0, 38.0), (-64.0, -61.0), 0.25)
    land = np.zeros(grid.shape, bool)
    land[0, :2] = True
    return Grid.latlon(grid.lat, grid.lon, land)


@pytest.fixture(scope="module")
def height(grid: Grid) -> np.ndarray:
    """Heights that tell their day, row and column; the mean is zero."""
    day, row, column = np.meshgrid(*map(np.arange, (DAYS, *grid.shape)), indexing="ij")
    return (1 + day + row / 100 + column / 10000).astype(np.float32)


@pytest.fixture(scope="module")
def ocean(grid: Grid, height: np.ndarray) -> tuple[GriddedObservations, Maps]:
    """Every third cell observed exactly."""
    day, row, column = np.meshgrid(*map(np.arange, height.shape), indexing="ij")
    observed = ((day + row + column) % 3 == 0) & grid.ocean
    time = daily_stamps("2013-01-01", "2013-01-30")
    observations = GriddedObservations(
        time, grid, np.where(observed, height, 0).astype(np.float32), observed,
        observed.astype(np.int32), np.where(observed, 0.1, np.inf).astype(np.float32), "ssh",
    )  # fmt: skip
    truth = Maps(time, grid, np.where(grid.ocean, height, np.nan).astype(np.float32), "ssh")
    return observations, truth


def make_guess(height: np.ndarray, name: str) -> FirstGuess:
    """A first guess that is the truth (for forecasts, that of the days of each window)."""
    task = Task(name=name)
    days = FIRST + np.arange(DAYS) * DAY
    targets, fields = days, height
    if task.lead is not None:
        targets = days[WINDOW - 1 :]
        fields = np.stack([height[i : i + WINDOW] for i in range(DAYS - WINDOW + 1)])
    return FirstGuess(
        task, WINDOW, targets, fields, days, height, -height,
        np.broadcast_to(0.1 + height[0] / 100, height.shape[1:]).astype(np.float32), LAW,
    )  # fmt: skip


def training(ocean: Any, guess: FirstGuess | None, **changes: Any) -> TrainingWindows:
    options: dict[str, Any] = {
        "task": Task(name="mapping") if guess is None else guess.task,
        "window_days": WINDOW,
        "patches": PATCHES,
        "period": PERIOD,
        "batch_size": 6,
        "augment": True,
        "seed": 3,
        "guess": guess,
    }
    mean = np.zeros(ocean[1].grid.shape)
    return TrainingWindows(*ocean, mean, STD, **(options | changes))


@pytest.mark.parametrize("name", ["mapping", "for2"])
def test_inputs_carry_the_guess_of_their_window(ocean, height, name) -> None:
    guess = make_guess(height, name)
    batch = training(ocean, guess, augment=False).batch(0)
    assert batch.inputs.guess is not None
    found = batch.inputs.guess
    assert (found.unit_m, found.law) == (STD, LAW)
    sea = batch.inputs.ocean[:, None]
    torch.testing.assert_close(found.height.where(sea, 0), batch.truth.where(sea, 0))
    lead = guess.task.lead or 0
    seen = WINDOW - lead
    flow = found.currents.where(sea[:, None], 0) / STD
    truth = batch.truth.where(sea, 0)
    torch.testing.assert_close(flow[:, 0, :seen], truth[:, :seen])
    torch.testing.assert_close(flow[:, 1, :seen], -truth[:, :seen])
    for day in range(seen, WINDOW):  # frozen beyond the last observed day
        torch.testing.assert_close(flow[:, 0, day], truth[:, seen - 1])
    assert not batch.inputs.observed[:, seen:].any()


def test_augmentation_with_a_guess_flips_everything_together(ocean, height) -> None:
    """A mirrored ocean: heights turn with latitude, eastward currents stay, northward ones turn."""
    windows = training(ocean, make_guess(height, "mapping"))
    kinds = set()
    for step in range(6):
        batch = windows.batch(step)
        inputs, guess = batch.inputs, batch.inputs.guess
        for i in range(6):
            sea, truth = inputs.ocean[i], batch.truth[i]
            torch.testing.assert_close(guess.height[i].where(sea, 0), truth.where(sea, 0))
            sign = float(truth[:, sea].sign().unique().item())
            earlier, later = truth[0].abs()[sea], truth[-1].abs()[sea]
            backward = bool((earlier > later).all())
            kinds.add((sign, backward))
            size = truth.abs().where(sea, 0) * STD
            mirrors = int(sign < 0) + int(backward)
            east, north = guess.currents[i].where(sea, 0)
            torch.testing.assert_close(east, size)
            torch.testing.assert_close(north, (-1.0) ** (mirrors + 1) * size)
            cell = size[0] - size[0].floor()  # tells row and column
            sigma = (0.1 + (1 + cell) / 100).where(sea, 0)
            torch.testing.assert_close(guess.sigma[i].where(sea, 0), sigma, rtol=0, atol=1e-5)
            seen = inputs.observed[i]
            # the observations are the window's own, without fresh noise
            torch.testing.assert_close(inputs.height_anomaly[i][seen], truth[seen])
    assert kinds == {(1.0, False), (1.0, True), (-1.0, False), (-1.0, True)}


@pytest.mark.parametrize("name", ["nrt", "for2"])
def test_time_never_runs_backward_for_forecasts(ocean, height, name) -> None:
    windows = training(ocean, make_guess(height, name))
    signs = set()
    for step in range(8):
        batch = windows.batch(step)
        for i in range(6):
            sea, truth = batch.inputs.ocean[i], batch.truth[i]
            assert (truth[0].abs()[sea] < truth[-1].abs()[sea]).all()
            signs.add(float(truth[:, sea].sign().unique().item()))
    assert signs == {1.0, -1.0}


def test_without_a_guess_the_augmentation_is_the_one_of_stage_1(ocean) -> None:
    batch = training(ocean, None).batch(0)
    assert batch.inputs.guess is None and all("masks of" in name for name in batch.names)
    seen = batch.inputs.observed
    assert not torch.equal(batch.inputs.height_anomaly[seen], batch.truth[seen])  # fresh noise


def test_mirroring_twice_is_nothing() -> None:
    rng = np.random.default_rng(0)

    class Always:
        def random(self) -> float:
            return 0.0

    shape = (WINDOW, 4, 6)
    sample = Sample(
        *(rng.standard_normal(shape) for _ in range(3)), rng.random(shape[1:]) < 0.5,
        rng.standard_normal(shape), "one",
        (rng.standard_normal(shape), rng.standard_normal((2, *shape)), rng.random(shape[1:])),
    )  # fmt: skip
    once = flip_window(sample, True, Always())
    twice = flip_window(once, True, Always())
    for first, second in zip(sample[:5], twice[:5], strict=True):
        np.testing.assert_array_equal(first, second)
    for first, second, other in zip(sample.guess, twice.guess, once.guess, strict=True):
        np.testing.assert_array_equal(first, second)
        assert np.any(other != first)


def validation(ocean: Any, guess: FirstGuess | None, **changes: Any) -> ValidationWindows:
    options: dict[str, Any] = {
        "task": Task(name="mapping") if guess is None else guess.task,
        "window_days": WINDOW,
        "patches": PATCHES,
        "period": Period(start="2013-01-10", end="2013-01-20"),
        "days": 50,
        "guess": guess,
    }
    mean = np.zeros(ocean[1].grid.shape)
    return ValidationWindows(*ocean, mean, STD, **(options | changes))


@pytest.mark.parametrize(
    ("name", "targets"), [("mapping", (12, 18)), ("nrt", (14, 20)), ("for2", (14, 20))]
)
def test_windows_judged_whole_lie_inside_the_period(ocean, height, name, targets) -> None:
    windows = validation(ocean, make_guess(height, name), whole=True)
    batches = [windows.batch(number) for number in range(len(windows.batches))]
    days = sorted({label for batch in batches for label in batch.names})
    assert days == [f"2013-01-{day}" for day in range(targets[0], targets[1] + 1)]
    for batch in batches:
        sea = batch.inputs.ocean[:, None]
        torch.testing.assert_close(
            batch.truth.where(sea, 0), batch.inputs.guess.height.where(sea, 0)
        )
        assert not batch.truth.where(~sea, 0).any()


def test_otherwise_the_target_alone_is_shown(ocean, height) -> None:
    windows = validation(ocean, make_guess(height, "mapping"))
    batch = windows.batch(0)
    assert batch.names[0] == "2013-01-10"
    assert batch.truth[:, 2].any() and not batch.truth[:, [0, 1, 3, 4]].any()


def test_no_truth_outside_the_period_is_read(ocean, height) -> None:
    observations, truth = ocean
    days = truth.time.astype("datetime64[D]")
    inside = (days >= np.datetime64("2013-01-10")) & (days <= np.datetime64("2013-01-20"))
    other = replace(truth, height=np.where(inside[:, None, None], truth.height, np.float32(-9)))
    guess = make_guess(height, "for2")
    windows = [validation((observations, some), guess, whole=True) for some in (truth, other)]
    for number in range(len(windows[0].batches)):
        assert torch.equal(windows[0].batch(number).truth, windows[1].batch(number).truth)


def test_a_period_too_short_for_a_whole_window_is_refused(ocean, height) -> None:
    short = Period(start="2013-01-10", end="2013-01-13")
    with pytest.raises(ValueError, match="a window of 5 days for task nrt would reach out of it"):
        validation(ocean, make_guess(height, "nrt"), whole=True, period=short)
    validation(ocean, make_guess(height, "nrt"), period=short)  # one target would be shown


def test_a_guess_for_another_grid_or_without_the_days_is_refused(ocean, height) -> None:
    guess = make_guess(height, "mapping")
    small = replace(
        guess, height=height[:, :4], m_east=height[:, :4], m_north=height[:, :4],
        sigma=guess.sigma[:4],
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"has \(4, 12\) cells, the grid \(8, 12\); make it again"):
        training(ocean, small)
    few = replace(guess, targets=guess.targets[:9], height=height[:9])
    windows = training(ocean, few)
    with pytest.raises(ValueError, match="does not hold 2013-01-"):
        for step in range(20):
            windows.batch(step)


def test_a_cutter_without_a_guess_says_so(ocean) -> None:
    grid = ocean[1].grid
    daily = on_days(ocean[0], PERIOD.start, PERIOD.end)
    plan = patch_plan(grid, daily.time.size, WINDOW, PATCHES, 1)
    cutter = WindowCutter(daily, grid, np.zeros(grid.shape), STD, Task(name="mapping"), plan)
    with pytest.raises(ValueError, match="these windows have no first guess"):
        cutter.first_guess((0, 0, 0))
    assert cutter.inputs([(0, 0, 0)]).guess is None


def test_inputs_move_with_their_guess(ocean, height) -> None:
    inputs = training(ocean, make_guess(height, "mapping")).batch(0).inputs
    moved = inputs.to(torch.device("meta"))
    assert {part.device.type for part in (*moved[:4], *moved.guess[:3])} == {"meta"}
    assert moved.spacing_km == inputs.spacing_km and moved.guess.law == LAW
