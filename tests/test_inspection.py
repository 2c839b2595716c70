"""`pipeline-spde inspect`: what a file is, where it comes from, what is wrong with it."""

from __future__ import annotations

import json

import netCDF4
import numpy as np
import pytest
import typer
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline_spde import io
from pipeline_spde.commands.inspect import inspect
from pipeline_spde.data import export
from pipeline_spde.fields import GriddedObservations, Maps, Tracks, daily_stamps
from pipeline_spde.files import sha256, write_json
from pipeline_spde.grids import Grid
from pipeline_spde.inspection import inspect_file

DAY = np.timedelta64(1, "D")


def truth(days: int = 6) -> Maps:
    grid = Grid.from_bounds((33.0, 43.0), (-65.0, -55.0), 0.5)
    time = daily_stamps("2012-10-22", str(np.datetime64("2012-10-22") + (days - 1) * DAY))
    day = np.arange(days)[:, None, None]
    height = 0.3 + 0.5 * np.sin(grid.lat[None, :, None] + 0.2 * day + 0.4 * grid.lon)
    return Maps(time, grid, height.astype(np.float32), "ssh", np.full(height.shape, 0.05, "f4"))


def samples(size: int = 80) -> Tracks:
    generator = np.random.default_rng(1)
    time = np.datetime64("2012-10-22", "ns") + np.arange(size) * np.timedelta64(1, "s")
    return Tracks(
        time=time,
        lat=np.linspace(34, 42, size),
        lon=np.linspace(-62, -60, size),
        height=generator.normal(0.3, 0.2, size).astype("f4"),
        error=np.full(size, 0.02, "f4"),
        mission=np.repeat([0, 1], size // 2).astype(np.int8),
        missions=("saral", "jason3"),
        pass_id=np.zeros(size, np.int32),
        quantity="ssh",
        cross_track=np.zeros(size, "f4"),
    )


def cells(maps: Maps) -> GriddedObservations:
    seen = np.random.default_rng(2).random(maps.height.shape) < 0.1
    return GriddedObservations(
        maps.time,
        maps.grid,
        np.where(seen, maps.height, np.float32(0)),
        seen,
        seen.astype(np.int32),
        np.where(seen, np.float32(0.02), np.float32(np.inf)),
        "ssh",
    )


def save(data: xr.Dataset, folder, name: str = "maps.nc"):
    path = folder / name
    path.unlink(missing_ok=True)
    data.to_netcdf(path)
    return path


def plain(days: int = 6) -> xr.Dataset:
    """Maps as anybody may have them."""
    return truth(days).to_dataset()[["ssh"]].drop_attrs(deep=False)


@pytest.fixture
def product(tmp_path):
    """Maps of ours with the record of their job."""
    source = tmp_path / "tracks.nc"
    source.write_bytes(b"tracks")
    path = tmp_path / "maps" / "oi.nc"
    io.write_maps(truth(), path, io.Provenance("Maps by oi", "0123456789abcdef", 7, {"t": source}))
    record = {
        "seconds": 12.34,
        "peak_memory_mib": 345.0,
        "started": 1795643732.9,
        "python": "3.11.7",
        "config_hash": "0123456789abcdef",
        "outputs": {"maps": sha256(path)},
    }
    write_json(f"{path}.run.json", record)
    return path, source


def test_a_product_tells_all_of_its_provenance(product):
    path, source = product
    report = inspect_file(path)
    assert report.sound, report.problems
    assert report.what == "maps, written by pipeline_spde"
    assert report.facts["format"] == "NetCDF-4"
    assert report.facts["quantity"] == "ssh (sea surface height)"
    assert report.facts["stamps"] == "12:00 UTC" and report.facts["cadence"] == "daily"
    assert report.facts["period"] == "2012-10-22 to 2012-10-27, 6 maps"
    assert report.facts["region"] == "latitudes 33.25 to 42.75, longitudes -64.75 to -55.25"
    assert report.facts["resolution"].startswith("0.5° x 0.5° (55.6 x 43.8 km), 20 x 20 nodes")
    assert "values of ssh_std" in report.facts
    found = report.provenance
    assert found["input t"] == f"sha256 {sha256(source)}"
    assert found["config_hash"] == "0123456789abcdef" and found["seed"] == "7"
    assert found["wall time"] == "12.3 s" and found["peak memory"] == "345 MiB"
    assert found["started"] == "2026-11-25 21:55:32 UTC" and found["python"] == "3.11.7"
    assert {"code_version", "hardware", "history", "title"} <= set(found)


def test_a_product_changed_afterwards_is_noticed(product):
    path, _ = product
    with netCDF4.Dataset(path, "a") as file:
        file["ssh"][0, 0, 0] = 0.5
        file.config_hash = "fedcba9876543210"
    report = inspect_file(path)
    assert any("not what its job wrote" in sentence for sentence in report.problems)
    assert any("config_hash fedcba9876543210" in sentence for sentence in report.problems)
    with netCDF4.Dataset(path, "a") as file:
        file.delncattr("seed")
    problems = inspect_file(path).problems
    assert "the provenance attribute seed is missing" in problems
    (path.parent / "oi.nc.run.json").write_text("{broken")
    assert any("not valid JSON" in sentence for sentence in inspect_file(path).problems)
    (path.parent / "oi.nc.run.json").unlink()
    assert any("no job record" in remark for remark in inspect_file(path).remarks)


def test_the_record_of_a_sibling_serves_when_it_names_the_file(product):
    path, _ = product
    grid = path.parent / "grid.nc"
    field = np.zeros(truth().grid.shape)
    io.write_grid(truth().grid, field, field, grid, io.Provenance("Grid", "0" * 16, 1))
    write_json(path.parent / "other.json.run.json", {"seconds": 3, "outputs": {"x": "0"}})
    write_json(
        path.parent / "stats.json.run.json", {"seconds": 5, "outputs": {"grid": sha256(grid)}}
    )
    report = inspect_file(grid)
    assert report.sound and report.provenance["wall time"] == "5.0 s"
    assert report.what.startswith("grid and static fields")


def test_all_products_are_known_for_what_they_are(tmp_path):
    maps, where = truth(), io.Provenance("x", "0" * 16, 1)
    io.write_tracks(samples(), tmp_path / "tracks.nc", where)
    report = inspect_file(tmp_path / "tracks.nc")
    assert report.sound and report.what.startswith("samples along tracks")
    assert report.facts["samples"] == "80: saral 40, jason3 40"
    assert report.facts["sampling"] == "every 1 s along the track"
    io.write_observations(cells(maps), ["saral"], tmp_path / "observations.nc", where)
    report = inspect_file(tmp_path / "observations.nc")
    assert report.sound and report.what.startswith("gridded observations")
    assert "% of the cells a day" in report.facts["observed share of ssh"]
    members = maps.to_dataset()[["ssh"]].expand_dims(realization=3).copy(deep=True)
    members["ssh"].values += np.arange(3)[:, None, None, None] * 0.01
    io.write_dataset(members, tmp_path / "ensemble.nc", where)
    report = inspect_file(tmp_path / "ensemble.nc")
    assert report.sound and report.what.startswith("ensemble of maps")
    assert report.facts["ensemble"] == "3 members on realization"
    moments = members["ssh"].isel(realization=0).to_dataset(name="ssh_mean")
    moments["ssh_std_calibrated"] = (moments["ssh_mean"] * 0 - 1.0).assign_attrs(units="m")
    io.write_dataset(moments, tmp_path / "moments.nc", where)
    report = inspect_file(tmp_path / "moments.nc")
    assert report.what.startswith("maps") and "values of ssh_mean" in report.facts
    assert any("ssh_std_calibrated is negative" in problem for problem in report.problems)


def test_exports_are_sound_files_of_their_data_sets(tmp_path):
    maps = truth()
    observed = cells(maps)
    expected = {
        export.write_dc2020a_reference(maps, tmp_path)[0]: "dc2020a_reference",
        export.write_oceanbench_truth(maps, tmp_path / "gf_mod_ssh_daily.nc"): "oceanbench_truth",
        export.write_oceanbench_observations(observed, tmp_path / "gf_obs_nadir.nc"): (
            "oceanbench_observations"
        ),
        export.write_starter(maps, observed, tmp_path / "natl_gf_w_5nadirs.nc"): "starter",
    }
    for path, name in expected.items():
        report = inspect_file(path)
        assert report.sound, (name, report.problems)
        assert report.facts["source"] == name and not report.provenance
    report = inspect_file(tmp_path / "gf_obs_nadir.nc")
    assert any("time has no units; by its step" in remark for remark in report.remarks)
    hourly = inspect_file(next(iter(expected)))
    assert hourly.facts["cadence"] == "hourly"
    assert hourly.facts["stamps"] == "00:30, 01:30 … 23:30 UTC"
    assert "sossheig is the same at several hours of a day" in hourly.remarks


# what is wrong


def _empty_day(data):
    data["ssh"].values[2] = np.nan
    return data


def _repeated_day(data):
    data["ssh"].values[3] = data["ssh"].values[2]
    return data


def _fill(data):
    data["ssh"].values[0, 0, 0] = -9999.0
    return data


def _constant(data):
    data["ssh"].values[:] = 0.25
    return data


def _units(units):
    return lambda data: data.assign(ssh=data["ssh"].assign_attrs(units=units))


def _negative_std(data):
    return data.assign(ssh_std=(data["ssh"] * 0 - 0.1).assign_attrs(units="m"))


def _half_missing(data):
    data["ssh"].values[1, :10] = np.nan
    return data


def _alike(data):
    return data.expand_dims(member=4)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_units("feet"), "ssh has units 'feet', expected m, cm or mm"),
        (_units("cm"), "one absolute value in a hundred exceeds"),
        (_empty_day, "ssh is missing everywhere on 1 maps: 2012-10-24"),
        (_repeated_day, "ssh repeats the map of the step before on 1 maps: 2012-10-25"),
        (_fill, "are beyond ±20 m"),
        (_constant, "ssh is 0.25 m everywhere"),
        (_negative_std, "ssh_std is negative"),
        (_half_missing, "cells are missing on some maps but not on all, most on 2012-10-23"),
        (_alike, "the first two members of ssh are identical"),
        (lambda d: d.expand_dims(member=1), "an ensemble of 1 member has no spread"),
        (lambda d: d.isel(time=[0, 1, 1, 2]), "1 times are given twice: 2012-10-23T12:00"),
        (lambda d: d.isel(time=[1, 0, 2]), "the times are not in order"),
        (lambda d: d.isel(time=[0, 1, 2, 5]), "1 gaps in the maps: 2012-10-24 to 2012-10-27"),
        (lambda d: d.isel(time=[]), "time is empty"),
        (lambda d: d.isel(lat=[0, 1, 2, 5, 6]), "lat is not evenly spaced"),
        (lambda d: d.isel(lon=[3, 4, 0, 1, 2]), "lon does not increase"),
        (lambda d: d.assign_coords(lat=d["lat"] * 10), "lat runs from 332.5 to 427.5"),
        (lambda d: d.drop_vars("time"), "no time found"),
        (lambda d: d.assign_coords(time=np.arange(6.0) * 7), "time has no units, and its step"),
    ],
)
def test_what_is_wrong_with_maps_is_said(tmp_path, spoil, sentence):
    assert inspect_file(save(plain(), tmp_path)).sound
    report = inspect_file(save(spoil(plain()), tmp_path))
    assert not report.sound
    assert any(sentence in problem for problem in report.problems), report.problems


def test_what_is_unusual_but_not_wrong_is_remarked(tmp_path):
    data = plain().assign_coords(
        lon=plain()["lon"] + 360, time=plain()["time"] - np.timedelta64(12, "h")
    )
    data = data.isel(lat=slice(None, None, -1))
    report = inspect_file(save(data, tmp_path))
    assert report.sound
    text = report.to_text()
    assert "longitudes run 295.25 to 304.75" in text and "latitudes descend" in text
    assert "maps are stamped 00:00" in text and "no problem found" in text
    data = plain()
    data["time"] = np.arange(6.0)
    data["time"].attrs = {"units": "days since 2012-02-26 12:00", "calendar": "noleap"}
    report = inspect_file(save(data, tmp_path))
    assert any("no 29 February" in remark for remark in report.remarks)
    data["time"].attrs["calendar"] = "360_day"
    assert any("calendar '360_day'" in p for p in inspect_file(save(data, tmp_path)).problems)


def _far(data):
    data["latitude"].values[:] = 500.0
    return data


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda d: d.isel(time=[0, 2, 1, *range(3, 80)]), "not in the order of time"),
        (lambda d: d.isel(time=[*range(80), 79]), "1 samples are given twice"),
        (lambda d: d.isel(time=[]), "holds no sample"),
        (_far, "latitude runs from 500 to 500"),
        (lambda d: d.drop_vars("time"), "['sla'] without the latitudes, longitudes and times"),
        (lambda d: d.assign(sla=d["sla"].assign_attrs(units="km")), "sla has units 'km'"),
    ],
)
def test_what_is_wrong_with_tracks_is_said(tmp_path, spoil, sentence):
    tracks = samples()
    data = xr.Dataset(
        {
            "sla": ("time", tracks.height - 0.3, {"units": "m"}),
            "latitude": ("time", tracks.lat),
            "longitude": ("time", tracks.lon),
        },
        coords={"time": tracks.time},
    )
    assert inspect_file(save(data, tmp_path)).sound
    report = inspect_file(save(spoil(data), tmp_path))
    assert any(sentence in problem for problem in report.problems), report.problems


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>login</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"outs:\n- md5: 504972423abd6564acf8284a3721d854\n", "a DVC pointer"),
        (b"\x1f\x8b\x08\x00rest", "compressed with gzip"),
        (b"PK\x03\x04rest", "a zip archive"),
        (bytes(257) + b"ustar" + bytes(250), "a tar archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "cannot be read as NetCDF"),
        (b"CDF\x01" + bytes(3), "NetCDF-3 header is damaged"),
        (bytes(range(128, 256)), "cannot be read as NetCDF"),
    ],
)
def test_what_is_no_netcdf_is_told(tmp_path, content, sentence):
    path = tmp_path / "download.nc"
    path.write_bytes(content)
    report = inspect_file(path)
    assert any(sentence in problem for problem in report.problems), report.problems


def test_other_files_are_named_and_not_blamed(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("plain words")
    report = inspect_file(path)
    assert report.sound and report.what == "no NetCDF file: plain text"
    path = save(xr.Dataset({"depth": ("x", np.arange(3.0))}), tmp_path)
    assert inspect_file(path).sound
    save(xr.Dataset(), tmp_path)
    assert "no variable at its root" in inspect_file(path).problems[0]
    with pytest.raises(FileNotFoundError, match="no such file"):
        inspect_file(tmp_path / "nothing.nc")
    with pytest.raises(FileNotFoundError, match="a folder"):
        inspect_file(tmp_path)


def test_a_truncated_file_is_told(tmp_path):
    path = save(plain(), tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert any("truncated" in problem for problem in inspect_file(path).problems)
    plain().to_netcdf(path, format="NETCDF3_CLASSIC")
    assert inspect_file(path).facts["format"] == "NetCDF-3 classic"
    path.write_bytes(path.read_bytes()[:-100])
    assert any(
        "the file is truncated: its header promises" in p for p in inspect_file(path).problems
    )


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_bytes_never_end_in_a_traceback(tmp_path, seed, count):
    path = tmp_path / f"damaged{seed}-{count}.nc"  # the library keeps a lock on the last one
    plain(2).to_netcdf(path, format="NETCDF3_CLASSIC" if seed % 2 else "NETCDF4")
    raw = np.frombuffer(path.read_bytes(), np.uint8).copy()
    generator = np.random.default_rng(seed)
    raw[generator.integers(0, min(raw.size, 2000), count)] = generator.integers(0, 256, count)
    path.write_bytes(raw.tobytes())
    report = inspect_file(path)
    assert report.what and report.to_text() and json.dumps(report.to_json())


def run(*arguments: str):
    app = typer.Typer()
    app.command()(inspect)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_prints_the_report_and_returns_0_or_1(product, tmp_path):
    path, _ = product
    done = run(str(path))
    assert done.exit_code == 0 and "no problem found" in done.stdout
    assert "wall time" in done.stdout
    bad = save(_empty_day(plain()), tmp_path)
    done = run(str(path), str(bad))
    assert done.exit_code == 1 and "missing everywhere" in done.stdout
    done = run("--json", str(path), str(bad))
    first, second = json.loads(done.stdout)
    assert first["sound"] and not second["sound"] and second["problems"]
    done = run(str(tmp_path / "nothing.nc"))
    assert done.exit_code == 1 and "no such file" in done.output and "Traceback" not in done.output


@pytest.mark.realdata
def test_real_pieces_are_sound_or_say_what_they_lack(real_data):
    lacking = {
        "model_ssh_gulfstream_wide_snapshot_and_mean.nc": "lat is not evenly spaced",
        "qg15_from_enatl60_gulfstream_1-20deg.nc": "no time found",
        "swot_l3_karin_wmed_pass003.nc": "no time found",
    }
    slow = {"rads_alongtrack_natl_2022.nc", "aviso_l4_global_sla_weekly_19921014_19921202.nc"}
    for path in sorted(real_data.glob("*.nc")):
        if path.name in slow:
            continue
        report = inspect_file(path)
        wanted = lacking.get(path.name)
        if wanted is None:
            assert report.sound, (path.name, report.problems)
        else:
            assert any(wanted in problem for problem in report.problems), path.name
