"""Ensembles on disk: moments, members, land, conventions, and no half-written file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from pipeline_spde.ensemble_file import write_ensemble
from pipeline_spde.fields import Maps, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.inflation import Inflation
from pipeline_spde.io import Provenance
from pipeline_spde.scores.ensemble import estimate_of

PROVENANCE = Provenance("An ensemble", "0123", 7)
MEMBERS, DAYS = 6, 4


@pytest.fixture(scope="module")
def maps() -> Maps:
    land = np.zeros((5, 7), bool)
    land[0, :3] = True
    lat, lon = 34 + 0.5 * np.arange(5), -60 + 0.5 * np.arange(7)
    grid = Grid.latlon(lat, lon, land)
    rng = np.random.default_rng(0)
    height = rng.standard_normal((DAYS, 5, 7)).astype(np.float32)
    height[:, land] = np.nan
    return Maps(daily_stamps("2013-01-01", "2013-01-04"), grid, height, "ssh")


@pytest.fixture(scope="module")
def deviations(maps: Maps) -> np.ndarray:
    rng = np.random.default_rng(1)
    found = 0.1 * rng.standard_normal((DAYS, MEMBERS, 5, 7))
    found *= 1 + np.arange(7) / 4
    found[..., maps.grid.land] = 0
    return found.astype(np.float32)


def write(path: Path, maps: Maps, deviations: np.ndarray, keep: bool = True, **changes: Any):
    law = changes.pop("law", Inflation(0.8, 0.5, 0.1))
    return write_ensemble(path, maps, deviations, law.of, PROVENANCE, keep, **changes)


def test_the_file_holds_the_moments_and_the_members(tmp_path, maps, deviations) -> None:
    law = Inflation(0.8, 0.5, 0.1)
    record = write(tmp_path / "ensemble.nc", maps, deviations)
    with xr.open_dataset(tmp_path / "ensemble.nc") as data:
        assert data["ssh"].dims == ("realization", "time", "lat", "lon")
        assert data["ssh"].dtype == np.float32
        assert data["ssh_std"].dims == ("time", "lat", "lon")
        ocean = maps.grid.ocean
        std = deviations.astype(np.float64).std(axis=1, ddof=1)
        np.testing.assert_array_equal(data["ssh_mean"], maps.height)
        np.testing.assert_allclose(data["ssh_std"].values[:, ocean], std[:, ocean], rtol=1e-6)
        better = (law.of(std) * std)[:, ocean]
        np.testing.assert_allclose(data["ssh_std_calibrated"].values[:, ocean], better, rtol=1e-6)
        members = maps.height[:, None] + deviations
        np.testing.assert_allclose(
            data["ssh"].values[..., ocean], np.moveaxis(members, 1, 0)[..., ocean], atol=1e-6
        )
        for name in ("ssh", "ssh_mean", "ssh_std", "ssh_std_calibrated"):
            assert np.isnan(data[name].values[..., maps.grid.land]).all(), name
        np.testing.assert_array_equal(data["time"], maps.time)
        np.testing.assert_array_equal(data["lat"], maps.grid.lat)
        np.testing.assert_array_equal(data["realization"], np.arange(MEMBERS))
        assert data.attrs["quantity"] == "ssh" and data.attrs["seed"] == 7
    assert record["spread_m"] == pytest.approx(np.sqrt(np.mean(std[:, ocean] ** 2)), rel=1e-6)
    assert record["spread_calibrated_m"] == pytest.approx(np.sqrt(np.mean(better**2)), rel=1e-6)


def test_members_can_be_left_out(tmp_path, maps, deviations) -> None:
    whole = write(tmp_path / "whole.nc", maps, deviations)
    moments = write(tmp_path / "moments.nc", maps, deviations, keep=False)
    assert whole == moments
    with (
        xr.open_dataset(tmp_path / "whole.nc") as first,
        xr.open_dataset(tmp_path / "moments.nc") as second,
    ):
        assert "realization" not in second.dims and "ssh" not in second
        for name in second.data_vars:
            np.testing.assert_array_equal(first[name], second[name])


def test_the_scores_read_what_is_written(tmp_path, maps, deviations) -> None:
    write(tmp_path / "ensemble.nc", maps, deviations)
    with xr.open_dataset(tmp_path / "ensemble.nc") as data:
        found = estimate_of(data.load())
    assert found is not None


def test_deviations_may_lie_on_disk_and_progress_is_told(tmp_path, maps, deviations) -> None:
    on_disk = np.memmap(tmp_path / "deviations.tmp", np.float32, "w+", shape=deviations.shape)
    on_disk[:] = deviations
    told: list[tuple[int, int]] = []
    write(tmp_path / "disk.nc", maps, on_disk, progress=lambda *done: told.append(done))
    write(tmp_path / "memory.nc", maps, deviations)
    assert told == [(1, DAYS), (2, DAYS), (3, DAYS), (4, DAYS)]
    with (
        xr.open_dataset(tmp_path / "disk.nc") as first,
        xr.open_dataset(tmp_path / "memory.nc") as second,
    ):
        xr.testing.assert_identical(first.drop_attrs(), second.drop_attrs())


def test_a_failure_leaves_the_earlier_file_and_no_other(tmp_path, maps, deviations) -> None:
    path = tmp_path / "ensemble.nc"
    path.write_bytes(b"earlier")

    def fails(done: int, total: int) -> None:
        if done == 2:
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        write(path, maps, deviations, progress=fails)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False])
def test_the_file_passes_the_cf_checker(tmp_path, maps, deviations, keep) -> None:
    write(tmp_path / "ensemble.nc", maps, deviations, keep)
    checker = Path(sys.executable).with_name("compliance-checker")
    done = subprocess.run(
        [checker, "--test=cf:1.8", str(tmp_path / "ensemble.nc")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "All tests passed!" in done.stdout, done.stdout
