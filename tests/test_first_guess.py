"""The first guesses of windows as they travel: days, shapes, files, batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_spde.files import DataError
from pipeline_spde.first_guess import FirstGuess, PriorLaw, batch_of
from pipeline_spde.periods import Task

WINDOW = 5
FIRST = np.datetime64("2013-01-01")
DAY = np.timedelta64(1, "D")
LAW = PriorLaw(160.0, 9.0, 40.0, 2, 0.45)
LAT, LON = 34 + 0.2 * np.arange(3), -60 + 0.2 * np.arange(4)


def numbered(*shape: int, scale: float = 1.0) -> np.ndarray:
    """Fields that tell the number of their day (and of the day of the window)."""
    days = np.arange(int(np.prod(shape))).reshape(*shape, 1, 1)
    return np.broadcast_to(scale * days, (*shape, 3, 4)).astype(np.float32)


def make(name: str, **changes: Any) -> FirstGuess:
    """Days 0 … 9 and 20 … 29, and what the windows of forecasts see before."""
    task = Task(name=name)
    targets = np.concatenate([FIRST + np.arange(10) * DAY, FIRST + np.arange(20, 30) * DAY])
    days = targets
    if task.lead is not None:
        starts = [np.arange(-4, 10 - task.lead), np.arange(16, 30 - task.lead)]
        days = FIRST + np.concatenate(starts) * DAY
    shape = (20,) if task.lead is None else (20, WINDOW)
    parts: dict[str, Any] = {
        "task": task,
        "window_days": WINDOW,
        "targets": targets,
        "height": numbered(*shape),
        "days": days,
        "m_east": numbered(days.size, scale=10.0),
        "m_north": -numbered(days.size),
        "sigma": np.full((3, 4), 0.2, np.float32),
        "law": LAW,
    }
    return FirstGuess(**(parts | changes))


def test_windows_of_mapping_are_successive_maps() -> None:
    guess = make("mapping")
    window = guess.window(FIRST + 22 * DAY)
    np.testing.assert_array_equal(window[:, 0, 0], [12, 13, 14, 15, 16])
    east, north = guess.currents(FIRST + 22 * DAY)
    np.testing.assert_array_equal(east[:, 0, 0], [120, 130, 140, 150, 160])
    np.testing.assert_array_equal(north[:, 1, 2], [-12, -13, -14, -15, -16])


@pytest.mark.parametrize(
    ("name", "flow"),
    [("nrt", [3, 4, 5, 6, 7]), ("for1", [3, 4, 5, 6, 6]), ("for3", [3, 4] + [4] * 3)],
)
def test_a_window_of_a_forecast_is_that_of_its_target(name, flow) -> None:
    """Its currents stay those of the last observed day."""
    guess = make(name)
    first = FIRST - DAY  # the target is day 3; currents begin on day −4
    np.testing.assert_array_equal(guess.window(first)[:, 0, 0], 3 * WINDOW + np.arange(WINDOW))
    np.testing.assert_array_equal(guess.currents(first)[0][:, 0, 0], 10.0 * np.array(flow))


@pytest.mark.parametrize(
    ("name", "first", "missing"),
    [
        ("mapping", -1, "2012-12-31"),
        ("mapping", 7, "2013-01-11"),  # runs into the gap
        ("mapping", 28, "2013-01-31"),
        ("nrt", 8, "2013-01-13"),  # its target lies in the gap
        ("for2", 26, "2013-01-31"),
    ],
)
def test_a_day_that_is_not_held_is_named(name, first, missing) -> None:
    with pytest.raises(ValueError, match=f"for {name} does not hold {missing}.* make it for the"):
        make(name).window(FIRST + first * DAY)


def test_currents_of_days_before_the_first_are_not_invented() -> None:
    with pytest.raises(ValueError, match="does not hold 2012-12-27"):
        make("nrt").currents(FIRST - 5 * DAY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": numbered(19)}, r"heights have shape \(19, 3, 4\), expected \(20, 3, 4\)"),
        ({"sigma": np.ones((3, 5), np.float32)}, r"sigma is \(3, 5\), the fields are \(3, 4\)"),
        ({"sigma": np.full((3, 4), np.nan, np.float32)}, "sigma holds NaN"),
        ({"m_east": numbered(20) + np.inf}, "m_east holds NaN or infinite"),
    ],
)
def test_what_cannot_be_a_first_guess_is_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        make("mapping", **change)
    with pytest.raises(ValueError, match=r"expected \(20, 5, 3, 4\) for the task for2"):
        make("for2", height=numbered(20))


@pytest.mark.parametrize("name", ["mapping", "for2"])
def test_a_first_guess_survives_a_file(tmp_path: Path, name: str) -> None:
    guess = make(name)
    guess.to_dataset(LAT, LON).to_netcdf(tmp_path / "guess.nc")
    back = FirstGuess.read(tmp_path / "guess.nc", Task(name=name), WINDOW)
    for field in ("targets", "height", "days", "m_east", "m_north", "sigma"):
        np.testing.assert_array_equal(getattr(back, field), getattr(guess, field))
    assert back.law == guess.law and isinstance(back.law.noise_order, int)
    assert back.shape == (3, 4)


def test_a_file_for_another_task_or_window_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "guess.nc"
    make("for2").to_dataset(LAT, LON).to_netcdf(path)
    with pytest.raises(DataError, match=r"windows of 5 days for for2, wanted .* for nrt"):
        FirstGuess.read(path, Task(name="nrt"), WINDOW)
    with pytest.raises(DataError, match="windows of 5 days for for2, wanted are windows of 7"):
        FirstGuess.read(path, Task(name="for2"), 7)
    make("for2").to_dataset(LAT, LON).drop_vars("rho").to_netcdf(tmp_path / "less.nc")
    with pytest.raises(DataError, match="rho"):
        FirstGuess.read(tmp_path / "less.nc", Task(name="for2"), WINDOW)


def test_a_batch_holds_the_guesses_of_its_windows() -> None:
    windows = [
        (np.full((5, 3, 4), value), np.full((2, 5, 3, 4), 2 * value), np.full((3, 4), 0.1))
        for value in (1.0, 2.0)
    ]
    guess = batch_of(windows, 0.25, LAW)
    assert guess.height.shape == (2, 5, 3, 4) and guess.currents.shape == (2, 2, 5, 3, 4)
    assert guess.sigma.shape == (2, 3, 4) and guess.height.dtype == torch.float32
    assert (guess.unit_m, guess.law) == (0.25, LAW)
    second = guess.sample(1)
    assert torch.equal(second.height, guess.height[1:])
    assert torch.equal(second.currents, guess.currents[1:])
    moved = guess.to(torch.device("meta"))
    assert {part.device.type for part in moved[:3]} == {"meta"} and moved.law == LAW
    assert replace(LAW, rho=0.1) != guess.law
