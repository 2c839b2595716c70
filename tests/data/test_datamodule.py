from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_spde.config import PatchConfig
from pipeline_spde.data.datamodule import (
    TrainingWindows,
    ValidationWindows,
    flip_ocean,
    flip_sampling,
)
from pipeline_spde.data.windows import Batch, WindowCutter, on_days, patch_plan, seen_days
from pipeline_spde.fields import GriddedObservations, Maps, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task

DAYS = 30


@pytest.fixture(scope="module")
def ocean() -> tuple[GriddedObservations, Maps]:
    """Heights that tell their day, row and column; every third cell observed exactly."""
    grid = Grid.from_bounds((36.0, 38.0), (-64.0, -61.0), 0.25)
    land = np.zeros(grid.shape, bool)
    land[0, :2] = True
    grid = Grid.latlon(grid.lat, grid.lon, land)
    time = daily_stamps("2013-01-01", "2013-01-30")
    day, row, column = np.meshgrid(*map(np.arange, (DAYS, *grid.shape)), indexing="ij")
    height = (day + row / 100 + column / 10000).astype(np.float32)
    observed = ((day + row + column) % 3 == 0) & grid.ocean
    observations = GriddedObservations(
        time,
        grid,
        np.where(observed, height, 0).astype(np.float32),
        observed,
        observed.astype(np.int32),
        np.where(observed, 0.1 + day / 100, np.inf).astype(np.float32),
        "ssh",
    )
    truth = Maps(time, grid, np.where(grid.ocean, height, np.nan).astype(np.float32), "ssh")
    return observations, truth


def windows(ocean: tuple[GriddedObservations, Maps], **changes: Any) -> TrainingWindows:
    options: dict[str, Any] = {
        "task": Task(name="mapping"),
        "window_days": 5,
        "patches": PatchConfig(lat=8, lon=8, stride_lat=4, stride_lon=4),
        "period": Period(start="2013-01-06", end="2013-01-25"),
        "batch_size": 4,
        "augment": True,
        "seed": 3,
    } | changes
    return TrainingWindows(*ocean, np.zeros(ocean[1].grid.shape), 2.0, **options)


def equal(first: Batch, second: Batch) -> bool:
    pairs = zip([*first.inputs[:4], first.truth], [*second.inputs[:4], second.truth], strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and first.names == second.names


def test_a_batch_is_a_function_of_seed_and_step(ocean: Any) -> None:
    first = windows(ocean)
    later = [first.batch(step) for step in (5, 0, 3)]
    again = windows(ocean)
    assert equal(again.batch(3), later[2]) and equal(again.batch(5), later[0])
    assert not equal(again.batch(4), later[2])
    assert not equal(windows(ocean, seed=4).batch(3), later[2])


def test_processes_share_a_batch(ocean: Any) -> None:
    sampler = windows(ocean)
    whole = sampler.batch(2)
    shares = [sampler.batch(2, rank, 2) for rank in range(2)]
    for rank, share in enumerate(shares):
        assert torch.equal(share.truth, whole.truth[rank::2])
        assert torch.equal(share.inputs.observed, whole.inputs.observed[rank::2])


@pytest.mark.parametrize("augment", [False, True])
def test_training_windows_lie_inside_the_period(ocean: Any, augment: bool) -> None:
    """Days outside the period are poisoned: they must not change a batch."""
    observations, truth = ocean
    sampler = windows(ocean, augment=augment)
    outside = np.r_[0:5, 25:30]
    height = truth.height.copy()
    height[outside] += 1000
    seen = observations.observed.copy()
    seen[outside] = False
    poisoned = (observations.masked(seen), replace(truth, height=height))
    other = windows(poisoned, augment=augment)
    starts = set()
    for step in range(40):
        batch = sampler.batch(step)
        assert equal(batch, other.batch(step))
        starts |= {name[:10] for name in batch.names}
    assert min(starts) == "2013-01-06" and max(starts) == "2013-01-21"


def test_without_augmentation_the_inputs_are_the_observations(ocean: Any) -> None:
    batch = windows(ocean, augment=False).batch(0)
    seen = batch.inputs.observed
    torch.testing.assert_close(batch.inputs.height_anomaly[seen], batch.truth[seen])
    day = int(batch.names[0][8:10]) - 1
    row, column = eval(batch.names[0].split(" at ")[1])
    expected = ocean[1].height[day : day + 5, row : row + 8, column : column + 8] / 2
    where = batch.inputs.ocean[0].numpy()
    np.testing.assert_allclose(batch.truth[0].numpy()[:, where], expected[:, where], rtol=1e-6)


def test_augmented_noise_has_the_stated_error(ocean: Any) -> None:
    sampler = windows(ocean, batch_size=64)
    batch = sampler.batch(1)
    seen, inputs = batch.inputs.observed, batch.inputs
    standardised = ((inputs.height_anomaly - batch.truth) / inputs.error)[seen]
    assert abs(float(standardised.mean())) < 0.03
    assert abs(float(standardised.std()) - 1) < 0.03
    assert not inputs.height_anomaly[~seen].any()
    assert torch.isinf(inputs.error[~seen]).all()


def test_land_is_never_observed_and_its_truth_is_zero(ocean: Any) -> None:
    sampler = windows(ocean, batch_size=64)
    batch = sampler.batch(1)
    land = ~batch.inputs.ocean[:, None].expand_as(batch.truth)
    assert land.any()
    assert not batch.inputs.observed[land].any() and not batch.truth[land].any()
    assert torch.isfinite(batch.truth).all()


def test_flips_follow_the_symmetries_of_the_dynamics(ocean: Any) -> None:
    """A Rossby wave cos(kx + my − ωt) with ω = −βk/(k² + m²) is turned into one."""
    k, m, beta = 2.0, 1.0, 3.0
    t, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (5, 6, 7)), indexing="ij")
    omega = -beta * k / (k**2 + m**2)
    field = np.cos(k * x + m * y - omega * t + 0.3)
    seen = set()
    for seed in range(20):
        flipped, _ = flip_ocean(field, np.ones((6, 7), bool), np.random.default_rng(seed))
        waves = {
            (sign, phase): sign * np.cos(k * x + s * m * y - omega * t + phase)
            for s, sign, phase in ((1, 1, 0.3), (-1, -1, 0.3), (-1, 1, -0.3), (1, -1, -0.3))
        }
        kinds = [key for key, wave in waves.items() if np.allclose(flipped, wave)]
        assert len(kinds) == 1
        seen.add(kinds[0])
    assert len(seen) == 4


def test_masks_and_errors_are_mirrored_together() -> None:
    observed = np.arange(24).reshape(2, 3, 4) % 5 == 0
    error = np.where(observed, np.arange(24).reshape(2, 3, 4) + 1.0, np.inf)
    for seed in range(8):
        mask, sigma = flip_sampling(observed, error, np.random.default_rng(seed))
        np.testing.assert_array_equal(mask, np.isfinite(sigma))
        assert sorted(sigma[mask]) == sorted(error[observed])


@pytest.mark.parametrize("task", ["mapping", "nrt", "for2"])
def test_validation_targets_and_windows(ocean: Any, task: str) -> None:
    target = Task(name=task)
    period = Period(start="2013-01-10", end="2013-01-20")
    sampler = ValidationWindows(
        *ocean, np.zeros(ocean[1].grid.shape), 2.0, task=target, window_days=5,
        patches=PatchConfig(lat=8, lon=12, stride_lat=8, stride_lon=12), period=period, days=4,
    )  # fmt: skip
    names = [name for i in range(len(sampler.batches)) for name in sampler.batch(i).names]
    first = "2013-01-10" if task == "mapping" else "2013-01-12"
    assert len(names) == 4 and names[0] == first and names[-1] == "2013-01-20"
    batch = sampler.batch(0)
    index = target.target_index(5)
    where = batch.inputs.ocean[0]
    day = int(batch.names[0][-2:]) - 1
    expected = torch.from_numpy(ocean[1].height[day] / 2)[where]
    torch.testing.assert_close(batch.truth[0, index][where], expected)
    hidden = ~torch.from_numpy(seen_days(target, 5))
    assert not batch.inputs.observed[:, hidden].any()
    assert batch.inputs.observed[:, ~hidden].any(dim=(2, 3)).all()
    # the observed days are the right days: heights tell their day
    seen = batch.inputs.observed[0, 0]
    expected_day = day + target.offsets(5)[0]
    assert int(2 * batch.inputs.height_anomaly[0, 0][seen].min() + 1e-3) == expected_day


def test_days_without_observations_count_as_unobserved(ocean: Any) -> None:
    observations = ocean[0].at(np.r_[0:10, 12:30])
    daily = on_days(observations, date(2012, 12, 30), date(2013, 1, 15))
    assert daily.time.size == 17
    gaps = [0, 1, 12, 13]
    assert not daily.observed[gaps].any() and np.isinf(daily.error[gaps]).all()
    np.testing.assert_array_equal(daily.observed[2:12], ocean[0].observed[:10])
    np.testing.assert_array_equal(daily.height[14:], ocean[0].height[12:15])


def test_forecast_days_are_hidden_by_the_mask() -> None:
    np.testing.assert_array_equal(seen_days(Task(name="for2"), 5), [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(seen_days(Task(name="nrt"), 3), [1, 1, 1])
    with pytest.raises(ValueError, match="for5 leaves no observed day in a window of 5"):
        seen_days(Task(name="for5"), 5)


def test_spacing_is_that_of_the_patch(ocean: Any) -> None:
    grid = ocean[1].grid
    plan = patch_plan(grid, DAYS, 5, PatchConfig(lat=8, lon=8, stride_lat=8, stride_lon=8), 1)
    cutter = WindowCutter(ocean[0], grid, np.zeros(grid.shape), 1.0, Task(name="mapping"), plan)
    assert cutter.spacing((0, 0, 4)) == pytest.approx((grid.dy_km, grid.dx_km.mean()), abs=1e-3)


def test_mistakes_are_named(ocean: Any) -> None:
    observations, truth = ocean
    with pytest.raises(ValueError, match=r"10 of the 20 days of .* are missing"):
        windows((observations, truth.between("2013-01-06", "2013-01-15")))
    with pytest.raises(ValueError, match="3 days are less than one window of 5"):
        windows(ocean, period=Period(start="2013-01-06", end="2013-01-08"))
    with pytest.raises(ValueError, match="convert one"):
        windows((replace(observations, quantity="sla"), truth))
    with pytest.raises(ValueError, match="the standard deviation must be positive"):
        TrainingWindows(
            *ocean, np.zeros(truth.grid.shape), 0.0, task=Task(name="mapping"), window_days=5,
            patches=PatchConfig(), period=Period(start="2013-01-06", end="2013-01-25"),
            batch_size=1, augment=False, seed=0,
        )  # fmt: skip
