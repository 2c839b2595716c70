"""Travelling objects check themselves and survive the way to disk and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline_spde import io
from pipeline_spde.fields import GriddedObservations, Maps, Observations, Tracks, daily_stamps
from pipeline_spde.files import (
    DataError,
    atomic_path,
    load_netcdf,
    read_json,
    require_disk_space,
    write_json,
)
from pipeline_spde.grids import Grid

PROVENANCE = io.Provenance("test", "0" * 16, 7)


def make_maps(grid: Grid, rng: np.random.Generator, days: int = 3) -> Maps:
    time = daily_stamps("2012-10-01", f"2012-10-{days:02d}")
    height = rng.standard_normal((days, *grid.shape)).astype("f4")
    return Maps(time, grid, height, "ssh", np.abs(height))


def make_observations(grid: Grid, rng: np.random.Generator, days: int = 3) -> GriddedObservations:
    maps = make_maps(grid, rng, days)
    observed = rng.random(maps.height.shape) < 0.3
    return GriddedObservations(
        maps.time,
        grid,
        np.where(observed, maps.height, np.float32(0)),
        observed,
        observed.astype(np.int32) * 2,
        np.where(observed, np.float32(0.03), np.float32(np.inf)),
        "ssh",
    )


def make_tracks(rng: np.random.Generator, size: int = 50) -> Tracks:
    start = np.datetime64("2012-10-01", "ns")
    seconds = np.sort(rng.integers(0, 3 * 86400, size)) * np.timedelta64(10**9, "ns")
    return Tracks(
        time=start + seconds,
        lat=rng.uniform(36, 41, size),
        lon=rng.uniform(-64, -58, size),
        height=rng.standard_normal(size).astype("f4"),
        error=np.full(size, 0.02, "f4"),
        mission=rng.integers(0, 2, size).astype(np.int8),
        missions=("saral", "swot_karin"),
        pass_id=np.arange(size, dtype=np.int32),
        quantity="ssh",
        cross_track=np.zeros(size, "f4"),
    )


def test_maps_come_back_from_disk(tmp_path, small_grid, rng):
    maps = make_maps(small_grid, rng)
    io.write_maps(maps, tmp_path / "maps.nc", PROVENANCE)
    back = io.read_maps(tmp_path / "maps.nc")
    np.testing.assert_array_equal(back.height, maps.height)
    np.testing.assert_array_equal(back.std, maps.std)
    np.testing.assert_array_equal(back.time, maps.time)
    assert back.grid.same_axes(small_grid) and back.quantity == "ssh"


def test_observations_keep_their_mask_through_zeros_and_holes(tmp_path, small_grid, rng):
    cells = make_observations(small_grid, rng)
    value = cells.height.copy()
    value[cells.observed] = 0.0  # an observed zero is an observation
    cells = GriddedObservations(
        cells.time, small_grid, value, cells.observed, cells.count, cells.error, "ssh"
    )
    io.write_observations(cells, ["saral"], tmp_path / "obs.nc", PROVENANCE)
    back = io.read_observations(tmp_path / "obs.nc")
    np.testing.assert_array_equal(back.observed, cells.observed)
    np.testing.assert_array_equal(back.height, 0.0)
    np.testing.assert_array_equal(back.error, cells.error)


def test_tracks_come_back_from_disk_and_withheld_missions_stay_out(tmp_path, small_grid, rng):
    tracks = make_tracks(rng)
    io.write_tracks(tracks, tmp_path / "tracks.nc", PROVENANCE)
    back = io.read_tracks(tmp_path / "tracks.nc")
    np.testing.assert_array_equal(back.time, tracks.time)
    np.testing.assert_array_equal(back.lon, tracks.lon)
    assert back.missions == tracks.missions

    cells = make_observations(small_grid, rng)
    io.write_observations(cells, ["saral"], tmp_path / "obs.nc", PROVENANCE)
    zero, one = np.zeros(small_grid.shape), np.ones(small_grid.shape)
    io.write_grid(small_grid, zero, one, tmp_path / "grid.nc", PROVENANCE)
    seen, _ = io.read_domain(tmp_path / "obs.nc", tmp_path / "tracks.nc", tmp_path / "grid.nc")
    assert len(seen.tracks) == int((tracks.mission == 0).sum())
    assert isinstance(seen, Observations)


@pytest.mark.slow
def test_files_pass_the_cf_checker(tmp_path, small_grid, rng):
    io.write_maps(make_maps(small_grid, rng), tmp_path / "maps.nc", PROVENANCE)
    io.write_observations(
        make_observations(small_grid, rng), ["saral"], tmp_path / "obs.nc", PROVENANCE
    )
    io.write_tracks(make_tracks(rng), tmp_path / "tracks.nc", PROVENANCE)
    zero = np.zeros(small_grid.shape)
    io.write_grid(small_grid, zero, zero, tmp_path / "grid.nc", PROVENANCE)
    checker = Path(sys.executable).with_name("compliance-checker")
    for path in sorted(tmp_path.glob("*.nc")):
        done = subprocess.run(
            [checker, "--test=cf:1.8", str(path)], capture_output=True, text=True, check=False
        )
        assert "All tests passed!" in done.stdout, f"{path.name}\n{done.stdout}"


def test_provenance_names_code_seed_and_inputs(tmp_path, small_grid, rng):
    source = tmp_path / "input.txt"
    source.write_text("data")
    provenance = io.Provenance("title", "abc", 5, {"input": source})
    io.write_maps(make_maps(small_grid, rng), tmp_path / "maps.nc", provenance)
    attributes = load_netcdf(tmp_path / "maps.nc").attrs
    assert attributes["Conventions"] == "CF-1.8" and attributes["seed"] == 5
    assert attributes["input_sha256"].startswith("input=3a6eb079")
    assert attributes["code_version"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"time": daily_stamps("2012-10-01", "2012-10-03") - np.timedelta64(12, "h")}, "12:00"),
        ({"time": daily_stamps("2012-10-01", "2012-10-03")[[0, 2, 1]]}, "increase"),
        ({"time": daily_stamps("2012-10-01", "2012-10-03")[[0, 1, 1]]}, "increase"),
        ({"quantity": "height"}, "quantity must be one of"),
    ],
)
def test_impossible_maps_are_refused(small_grid, rng, change, expected):
    maps = make_maps(small_grid, rng)
    parts = {"time": maps.time, "grid": maps.grid, "height": maps.height, "quantity": "ssh"}
    with pytest.raises(ValueError, match=expected):
        Maps(**{**parts, **change})


def test_a_hole_in_a_map_is_named_by_its_day(small_grid, rng):
    maps = make_maps(small_grid, rng)
    height = maps.height.copy()
    height[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="1 ocean cells of 2012-10-02"):
        Maps(maps.time, small_grid, height, "ssh")


def test_tracks_must_be_sorted_and_finite(rng):
    tracks = make_tracks(rng)
    with pytest.raises(ValueError, match="sorted"):
        tracks.select(np.arange(len(tracks))[::-1])
    with pytest.raises(ValueError, match="no mission"):
        tracks.of_missions(["envisat"])


def test_missing_empty_truncated_and_foreign_files_are_told_apart(tmp_path, small_grid, rng):
    with pytest.raises(FileNotFoundError, match="no such file"):
        io.read_maps(tmp_path / "none.nc")
    (tmp_path / "empty.nc").touch()
    with pytest.raises(DataError, match="empty"):
        io.read_maps(tmp_path / "empty.nc")
    io.write_maps(make_maps(small_grid, rng), tmp_path / "whole.nc", PROVENANCE)
    content = (tmp_path / "whole.nc").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "cut.nc").write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match=r"truncated|damaged"):
            io.read_maps(tmp_path / "cut.nc")
    xr.Dataset({"temperature": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(DataError, match=r"not found; the file holds \['temperature'\]"):
        io.read_maps(tmp_path / "other.nc")


def test_a_failed_write_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("earlier")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["result.txt"]


def test_json_refuses_nan_and_names_a_damaged_file(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(DataError, match=r"b\.json: not valid JSON"):
        read_json(tmp_path / "b.json")


def test_too_little_disk_is_said_before_work_starts(tmp_path):
    require_disk_space(tmp_path / "not" / "yet" / "there", 1)
    with pytest.raises(OSError, match="needed; free some space"):
        require_disk_space(tmp_path, 2**62)


def test_days_of_a_domain_are_read_alone(tmp_path):
    """Cells and samples of a period, the same as of the whole file cut to it."""
    from .stage2_case import day, make_domain
    from .stage2_case import period as days_of

    domain = make_domain(tmp_path)
    seen, grid = domain.observations, domain.grid
    source = io.Provenance("test", "0", 0)
    files = [tmp_path / f"{name}.nc" for name in ("observations", "tracks", "grid")]
    io.write_observations(seen.gridded, ("saral",), files[0], source)
    io.write_tracks(seen.tracks, files[1], source)
    io.write_grid(grid, seen.mean, np.ones(grid.shape), files[2], source)
    whole, _ = io.read_domain(*files)
    part, _ = io.read_domain(*files, days_of(5, 9))
    first, last = str(day(5)), str(day(9))
    wanted, tracks = whole.gridded.between(first, last), whole.tracks.between(first, last)
    assert part.gridded.time.size == 5
    np.testing.assert_array_equal(part.gridded.height, wanted.height)
    np.testing.assert_array_equal(part.tracks.time, tracks.time)
    np.testing.assert_array_equal(part.tracks.height, tracks.height)
    assert 0 < part.tracks.time.size < whole.tracks.time.size
    with pytest.raises(DataError, match="no day of"):
        io.read_domain(*files, days_of(400, 410))
