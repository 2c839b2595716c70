from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.assimilation.state_solver import StateSolver
from pipeline_spde.config import InferenceConfig, MapRequest, PatchConfig, StateModelConfig
from pipeline_spde.fields import GriddedObservations, Observations, Tracks, daily_stamps
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid
from pipeline_spde.networks import trained
from pipeline_spde.periods import Period, Task
from pipeline_spde.reconstruct import reconstruct

PERIOD = Period(start="2013-01-06", end="2013-01-09")
PATCHES = PatchConfig(lat=8, lon=8, stride_lat=4, stride_lon=4)


def no_tracks() -> Tracks:
    empty = np.zeros(0, np.float32)
    return Tracks(
        time=np.zeros(0, "datetime64[ns]"), lat=empty.astype(float), lon=empty.astype(float),
        height=empty, error=empty, mission=empty.astype(np.int8), missions=("saral",),
        pass_id=empty.astype(np.int32), quantity="ssh", cross_track=empty,
    )  # fmt: skip


def make_observations(grid: Grid, days: int = 16) -> Observations:
    rng = np.random.default_rng(0)
    time = daily_stamps("2013-01-01", np.datetime64("2013-01-01") + days - 1)
    observed = (rng.random((days, *grid.shape)) < 0.3) & grid.ocean
    height = 1.5 + 0.3 * rng.standard_normal(observed.shape)
    gridded = GriddedObservations(
        time, grid, np.where(observed, height, 0).astype(np.float32), observed,
        observed.astype(np.int32), np.where(observed, 0.03, np.inf).astype(np.float32), "ssh",
    )  # fmt: skip
    mean = 1.5 + np.linspace(0, 0.5, grid.shape[1]) * np.ones(grid.shape)
    return Observations(gridded, no_tracks(), mean)


@pytest.fixture(scope="module")
def grid() -> Grid:
    lat, lon = 34 + 0.2 * np.arange(12), -60 + 0.2 * np.arange(14)
    land = np.zeros((12, 14), bool)
    land[:3, :4] = True
    return Grid.latlon(lat, lon, land)


def save(path: Path, task: str = "mapping", seed: int = 0, **changes: Any) -> Path:
    torch.manual_seed(seed)
    options = {"window_days": 5, "hidden": 4, "prior_hidden": 4, "iterations": 2} | changes
    solver = StateSolver(StateModelConfig(**options), (22.2, 18.0))
    with torch.no_grad():
        solver.gradient_net.update.weight.normal_(std=0.05)
    StateCheckpoint(
        model=solver.config, weights=solver.state_dict(), task=task, mean=1.6, std=0.25,
        spacing_km=solver.spacing_km, seed=seed, config_hash="0", version="test",
    ).save(path)  # fmt: skip
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "state.ckpt")


def request(checkpoint: Path, **changes: Any) -> MapRequest:
    options = {"period": PERIOD, "patches": PATCHES, "checkpoint": checkpoint} | changes
    return MapRequest(**options)


def maps(observations: Observations, checkpoint: Path, task: str = "mapping", **changes: Any):
    grid = changes.pop("grid", observations.gridded.grid)
    return reconstruct(observations, grid, Task(name=task), request(checkpoint, **changes))


def test_every_day_and_every_ocean_cell_is_mapped(grid: Grid, checkpoint: Path) -> None:
    result = maps(make_observations(grid), checkpoint)
    np.testing.assert_array_equal(result.time, daily_stamps(PERIOD.start, PERIOD.end))
    assert result.height.dtype == np.float32 and result.quantity == "ssh"
    assert np.isfinite(result.height[:, grid.ocean]).all()
    assert np.isnan(result.height[:, grid.land]).all()


def test_one_patch_equals_the_solver_applied_by_hand(grid: Grid, checkpoint: Path) -> None:
    observations = make_observations(grid)
    gridded, mean = observations.gridded, observations.mean
    result = maps(
        observations, checkpoint, patches=PatchConfig(lat=12, lon=14, stride_lat=12, stride_lon=14)
    )
    solver = trained(StateCheckpoint.load(checkpoint))
    spacing = (round(float(grid.dy_km), 3), round(float(grid.dx_km.mean()), 3))
    for i, first in enumerate(range(3, 7)):  # 6 January is day 5; the window starts 2 days before
        days = slice(first, first + 5)
        anomaly = torch.from_numpy(((gridded.height[days] - mean) / 0.25).astype(np.float32))
        with torch.no_grad():
            state = solver(
                anomaly[None],
                torch.from_numpy(gridded.observed[days])[None],
                torch.from_numpy(gridded.error[days] / np.float32(0.25))[None],
                torch.from_numpy(grid.ocean),
                spacing_km=spacing,
            )[0, 2].numpy()
        expected = mean + 0.25 * state
        np.testing.assert_allclose(
            result.height[i][grid.ocean], expected[grid.ocean], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("task", ["mapping", "for2"])
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk=st.floats(-1e6, 1e6), error=st.sampled_from([0.0, -1.0, 0.5, np.nan, np.inf]))
def test_values_under_the_mask_never_matter(
    grid: Grid, tmp_path: Path, task: str, junk: float, error: float
) -> None:
    checkpoint = save(tmp_path / "state.ckpt", task)
    observations = make_observations(grid)
    gridded = observations.gridded
    hidden = ~gridded.observed
    changed = replace(
        gridded,
        height=np.where(hidden, np.float32(junk), gridded.height),
        error=np.where(hidden, np.float32(error), gridded.error),
    )
    first = maps(observations, checkpoint, task)
    second = maps(replace(observations, gridded=changed), checkpoint, task)
    np.testing.assert_array_equal(first.height, second.height)


@pytest.mark.parametrize("task", ["mapping", "nrt", "for2"])
def test_only_the_days_of_the_task_are_used(grid: Grid, tmp_path: Path, task: str) -> None:
    """Changing an observed day changes the map of a target if and only if the task sees it."""
    checkpoint = save(tmp_path / "state.ckpt", task)
    observations = make_observations(grid)
    gridded = observations.gridded
    target = 7  # index of 8 January
    day = Period(start="2013-01-08", end="2013-01-08")
    reference = maps(observations, checkpoint, task, period=day).height
    for index in range(gridded.time.size):
        height = gridded.height.copy()
        height[index] += gridded.observed[index].astype(np.float32)
        changed = replace(observations, gridded=replace(gridded, height=height))
        result = maps(changed, checkpoint, task, period=day).height
        seen = index - target in Task(name=task).observed_offsets(5)
        assert np.array_equal(result, reference, equal_nan=True) != seen, index


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batch_size_does_not_matter(grid: Grid, checkpoint: Path, batch_size: int) -> None:
    observations = make_observations(grid)
    reference = maps(observations, checkpoint)
    other = maps(observations, checkpoint, inference=InferenceConfig(batch_size=batch_size))
    np.testing.assert_allclose(other.height, reference.height, rtol=0, atol=1e-6)


def test_days_without_observations_count_as_unobserved(grid: Grid, checkpoint: Path) -> None:
    observations = make_observations(grid)
    gridded = observations.gridded
    missing = np.isin(np.arange(gridded.time.size), [6, 7])
    absent = replace(observations, gridded=gridded.at(~missing))
    keep = np.broadcast_to(~missing[:, None, None], gridded.observed.shape)
    hidden = replace(observations, gridded=gridded.masked(keep))
    first, second = maps(absent, checkpoint), maps(hidden, checkpoint)
    np.testing.assert_array_equal(first.height, second.height)
    far = Period(start="2014-05-01", end="2014-05-02")  # no observation at all
    nothing = maps(observations, checkpoint, period=far)
    assert np.isfinite(nothing.height[:, grid.ocean]).all()


def test_the_mean_of_the_domain_is_added_back(grid: Grid, checkpoint: Path) -> None:
    observations = make_observations(grid)
    shift = 2.0
    gridded = observations.gridded
    moved = Observations(
        replace(gridded, height=np.where(gridded.observed, gridded.height + shift, 0).astype("f4")),
        observations.tracks,
        observations.mean + shift,
    )
    first, second = maps(observations, checkpoint), maps(moved, checkpoint)
    np.testing.assert_allclose(second.height, first.height + shift, rtol=0, atol=1e-4)


def test_a_global_grid_has_no_seam(tmp_path: Path) -> None:
    """Maps of a grid whose columns are renumbered around the globe are the same maps."""
    checkpoint = save(tmp_path / "state.ckpt")
    columns = np.arange(40)
    first = Grid.latlon(-9 + 9.0 * np.arange(8) - 20, -180 + 9.0 * columns, periodic=True)
    observations = make_observations(first)
    turned = Grid.latlon(first.lat, first.lon + 9.0 * 4, periodic=True)
    roll = {"shift": -4, "axis": -1}
    gridded = observations.gridded
    rolled = replace(
        gridded, grid=turned, height=np.roll(gridded.height, **roll),
        observed=np.roll(gridded.observed, **roll), error=np.roll(gridded.error, **roll),
        count=np.roll(gridded.count, **roll),
    )  # fmt: skip
    other = Observations(rolled, observations.tracks, np.roll(observations.mean, **roll))
    here, there = maps(observations, checkpoint), maps(other, checkpoint)
    expected = np.roll(here.height, **roll)
    np.testing.assert_allclose(there.height, expected, rtol=0, atol=1e-5)


def test_other_cell_sizes_are_warned_of(
    grid: Grid, checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    maps(make_observations(grid), checkpoint)
    assert "trained on cells" not in caplog.text
    coarse = Grid.latlon(30 + 0.5 * np.arange(8), 0.5 * np.arange(8))
    maps(make_observations(coarse), checkpoint)
    assert "trained on cells of 22.2 x 18.0 km and is applied to cells of 55.6" in caplog.text


def test_mistakes_are_named(grid: Grid, checkpoint: Path, tmp_path: Path) -> None:
    observations = make_observations(grid)
    with pytest.raises(ValueError, match="set `checkpoint`"):
        reconstruct(observations, grid, Task(name="mapping"), MapRequest(period=PERIOD))
    with pytest.raises(FileNotFoundError, match="train the model first"):
        maps(observations, tmp_path / "none.ckpt")
    with pytest.raises(ValueError, match="trained for mapping, the maps are for for2"):
        maps(observations, checkpoint, "for2")
    other = Grid.latlon(grid.lat, grid.lon + 1)
    with pytest.raises(ValueError, match="bin them to the same grid"):
        maps(observations, checkpoint, grid=other)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "foreign", "older"])
def test_an_unusable_checkpoint_is_named(
    grid: Grid, checkpoint: Path, tmp_path: Path, damage: str
) -> None:
    bad = tmp_path / "bad.ckpt"
    content = checkpoint.read_bytes()
    if damage == "foreign":
        torch.save({"state_dict": {}}, bad)
    elif damage == "older":
        loaded = torch.load(checkpoint, weights_only=True)
        loaded["about"].pop("std")
        torch.save(loaded, bad)
    elif damage == "flipped":  # of one weight, which torch itself would read as it is
        weight = StateCheckpoint.load(checkpoint).weights["gradient_net.gates.weight"]
        place = content.index(weight.numpy().tobytes()) + 40
        changed = bytes(255 - byte for byte in content[place : place + 4])
        bad.write_bytes(content[:place] + changed + content[place + 4 :])
        torch.load(bad, weights_only=True)
    else:
        bad.write_bytes(
            {"truncated": content[: len(content) // 2], "empty": b"", "text": b"hello"}[damage]
        )
    with pytest.raises(DataError, match=r"bad\.ckpt: .*(train it again|train again|train one)"):
        maps(make_observations(grid), bad)
