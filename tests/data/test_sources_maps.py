"""Readers of maps: every layout as its data set has it, and what must be mended or refused."""

from __future__ import annotations

import logging

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_spde.data.sources import (
    SOURCES,
    dc2020a,
    dc2021a,
    duacs_l4,
    enatl60,
    generic,
    gridded,
    oceanbench,
    sniff,
    starter,
)
from pipeline_spde.files import DataError

DAY = np.timedelta64(1, "D")
START = np.datetime64("2012-10-22", "ns")


def sea(days: int = 4, step: float = 0.5, hour: int = 12, name: str = "ssh") -> xr.Dataset:
    """Maps of a smooth sea, 33 to 43° N, 65 to 55° W, in metres, one a day."""
    lat = np.arange(33.0, 43.0 + step / 2, step)
    lon = np.arange(-65.0, -55.0 + step / 2, step)
    time = START + np.arange(days) * DAY + np.timedelta64(hour, "h")
    phase = lat[None, :, None] + 0.4 * lon + 0.3 * np.arange(days)[:, None, None]
    return xr.Dataset(
        {name: (("time", "lat", "lon"), 0.3 + 0.5 * np.sin(phase), {"units": "m"})},
        coords={"time": time, "lat": lat, "lon": lon},
    )


def save(data: xr.Dataset, folder, name: str = "maps.nc", **encoding):
    path = folder / name
    path.unlink(missing_ok=True)
    data.to_netcdf(path, encoding=encoding)
    return path


def days_of(maps) -> list[str]:
    return [str(day) for day in maps.time.astype("datetime64[D]")]


def test_a_clean_file_is_read_as_it_stands(tmp_path):
    data = sea()
    maps = generic.read_any_maps(save(data, tmp_path))
    assert np.array_equal(maps.time, data["time"].values)
    assert np.array_equal(maps.height, data["ssh"].values.astype(np.float32))
    assert maps.grid.lat == pytest.approx(data["lat"].values)
    assert maps.grid.lon == pytest.approx(data["lon"].values)
    assert maps.quantity == "ssh" and not maps.grid.land.any() and not maps.grid.periodic


@given(
    descending=st.booleans(),
    circle=st.sampled_from([0, 360]),
    order=st.permutations(range(3)),
    units=st.sampled_from(["m", "cm", "mm"]),
    shuffled=st.booleans(),
    packed=st.booleans(),
    west=st.sampled_from([-65.0, 175.0, -5.0]),
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_how_a_file_is_laid_out_does_not_matter(
    tmp_path, descending, circle, order, units, shuffled, packed, west
):
    data = sea(step=1.0)
    data = data.assign_coords(lon=data["lon"] + 65.0 + west)
    (tmp_path / "plain").mkdir(exist_ok=True)
    expected = generic.read_any_maps(save(data, tmp_path / "plain"))
    changed = data
    if descending:
        changed = changed.isel(lat=slice(None, None, -1))
    changed = changed.assign_coords(lon=changed["lon"] % 360 if circle else changed["lon"])
    if shuffled:
        changed = changed.isel(time=[2, 0, 3, 1])
    dims = [("time", "lat", "lon")[i] for i in order]
    factor = {"m": 1, "cm": 100, "mm": 1000}[units]
    changed["ssh"] = (changed["ssh"] * factor).transpose(*dims).assign_attrs(units=units)
    packing = {"dtype": "i4", "scale_factor": 1e-5 * factor, "_FillValue": -(2**31)}
    maps = generic.read_any_maps(save(changed, tmp_path, ssh=packing if packed else {}))
    assert np.array_equal(maps.time, expected.time)
    assert maps.grid.same_axes(expected.grid)
    assert -180 <= maps.grid.lon[0] < 180
    assert maps.height == pytest.approx(expected.height, abs=1e-5)


def test_a_map_of_the_globe_is_periodic_and_starts_in_the_west(tmp_path):
    lon, lat = np.arange(0.5, 360), np.arange(-60.0, 61.0, 10.0)
    height = np.cos(np.radians(lon)) * np.cos(np.radians(lat))[:, None]
    data = xr.Dataset(
        {"adt": (("time", "latitude", "longitude"), height[None], {"units": "m"})},
        coords={"time": [START], "latitude": lat, "longitude": lon},
    )
    maps = duacs_l4.read(save(data, tmp_path))
    assert maps.grid.periodic and maps.grid.lon[0] == -179.5 and maps.grid.lon[-1] == 179.5
    expected = np.cos(np.radians(maps.grid.lon)) * np.cos(np.radians(lat))[:, None]
    assert maps.height[0] == pytest.approx(expected, abs=1e-6)
    box = duacs_l4.read(tmp_path / "maps.nc", lat=(-10, 10), lon=(350, 370))
    assert not box.grid.periodic and box.grid.lon == pytest.approx(np.arange(-9.5, 10))
    twice = xr.concat(
        [data, data.isel(longitude=[0]).assign_coords(longitude=[360.5])], "longitude"
    )
    assert duacs_l4.read(save(twice, tmp_path)).grid.periodic


def test_a_box_and_a_period_are_cut_out(tmp_path):
    path = save(sea(), tmp_path)
    maps = generic.read_any_maps(path, (35, 40), (295, 300), ("2012-10-23", "2012-10-24"))
    assert days_of(maps) == ["2012-10-23", "2012-10-24"]
    assert (maps.grid.lat[0], maps.grid.lat[-1]) == (35, 40)
    assert (maps.grid.lon[0], maps.grid.lon[-1]) == (-65, -60)
    with pytest.raises(DataError, match=r"no map of 2013-01-01 .* holds 2012-10-22 to 2012-10-25"):
        generic.read_any_maps(path, period=("2013-01-01", "2013-02-01"))
    with pytest.raises(DataError, match="latitudes 33 to 43, longitudes -65 to -55"):
        generic.read_any_maps(path, lat=(0, 10))
    with pytest.raises(ValueError, match="low below high"):
        generic.read_any_maps(path, lat=(10, 0))


def test_large_files_are_read_in_blocks(tmp_path, monkeypatch):
    path = save(sea(days=7), tmp_path)
    whole = generic.read_any_maps(path)
    monkeypatch.setattr(gridded, "_BLOCK_BYTES", 2 * 8 * whole.height[0].size)
    assert np.array_equal(generic.read_any_maps(path).height, whole.height)
    for day in range(7):
        save(sea(days=7).isel(time=[day]), tmp_path, f"day{6 - day}.nc")
    path.unlink()
    assert np.array_equal(generic.read_any_maps(tmp_path).height, whole.height)


# stamps


def test_midnight_is_a_label_or_an_instant(tmp_path):
    data = sea(hour=0)
    path = save(data, tmp_path)
    label = generic.read_any_maps(path)
    assert days_of(label) == [f"2012-10-2{i}" for i in range(2, 6)]
    assert np.all(label.time - label.time.astype("datetime64[D]") == np.timedelta64(12, "h"))
    assert np.array_equal(label.height, data["ssh"].values.astype(np.float32))
    instant = generic.read_any_maps(path, midnight="instant")
    assert days_of(instant) == ["2012-10-22", "2012-10-23", "2012-10-24"]
    between = (data["ssh"].values[1:] + data["ssh"].values[:-1]) / 2
    assert instant.height == pytest.approx(between, abs=1e-6)
    with pytest.raises(DataError, match="two consecutive days"):
        generic.read_any_maps(save(data.isel(time=[0, 2]), tmp_path), midnight="instant")
    with pytest.raises(ValueError, match="midnight: choose one of"):
        generic.read_any_maps(path, midnight="noon")


def hourly(days: int, hours: int = 24) -> xr.Dataset:
    data = sea(days=1, step=1.0)
    steps = np.arange(days * hours)
    time = START + steps * np.timedelta64(24 // hours, "h") + np.timedelta64(30, "m")
    height = data["ssh"].values + 0.01 * steps[:, None, None]
    return xr.Dataset(
        {"ssh": (("time", "lat", "lon"), height, {"units": "m"})},
        coords={"time": time, "lat": data["lat"], "lon": data["lon"]},
    )


@pytest.mark.parametrize("hours", [2, 4, 24])
def test_maps_several_times_a_day_are_averaged(tmp_path, caplog, hours):
    data = hourly(3, hours)
    maps = generic.read_any_maps(save(data, tmp_path))
    expected = data["ssh"].values.reshape(3, hours, *maps.grid.shape).mean(axis=1)
    assert days_of(maps) == ["2012-10-22", "2012-10-23", "2012-10-24"]
    assert maps.height == pytest.approx(expected, abs=1e-6)
    cut = generic.read_any_maps(save(data.isel(time=slice(1, None)), tmp_path))
    assert days_of(cut) == ["2012-10-23", "2012-10-24"]
    assert f"days with fewer than {hours} maps left out: 2012-10-22" in caplog.text


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        ([0, 12], "one map a day, but stamped 2012-10-23T12:00:00"),
        ([12, 0], "one map a day, but stamped 2012-10-23T00:00:00"),
        ([1, 1], "stamped 2012-10-22T01:00:00; a daily mean"),
    ],
)
def test_stamps_that_mean_no_day_are_refused(tmp_path, hours, message):
    data = sea(days=2, hour=0)
    data["time"] = data["time"].values + np.array(hours) * np.timedelta64(1, "h")
    with pytest.raises(DataError, match=message):
        generic.read_any_maps(save(data, tmp_path))


def test_mostly_incomplete_days_are_refused(tmp_path):
    data = sea(days=4)
    extra = data.isel(time=[1]).assign_coords(time=[START + DAY + np.timedelta64(18, "h")])
    with pytest.raises(DataError, match="3 of 4 days have fewer than 2 maps"):
        generic.read_any_maps(save(xr.concat([data, extra], "time").sortby("time"), tmp_path))


def test_maps_out_of_order_or_twice_are_mended_with_a_warning(tmp_path, caplog):
    data = sea()
    expected = generic.read_any_maps(save(data, tmp_path))
    path = save(data.isel(time=[1, 0, 2, 2, 3]), tmp_path)
    assert np.array_equal(generic.read_any_maps(path).height, expected.height)
    assert "maps sorted by time" in caplog.text and "1 maps given twice, dropped" in caplog.text
    other = data.isel(time=[1]).copy(deep=True)
    other["ssh"].values += 0.1
    with pytest.raises(DataError, match=r"two different maps are stamped 2012-10-23T12:00"):
        generic.read_any_maps(save(xr.concat([data, other], "time"), tmp_path))


def test_calendars(tmp_path, caplog):
    data = sea(days=3, hour=0)
    data["time"] = np.arange(3.0)
    data["time"].attrs = {"units": "days since 2012-02-27", "calendar": "noleap"}
    path = save(data, tmp_path)
    maps = generic.read_any_maps(path)
    assert days_of(maps) == ["2012-02-27", "2012-02-28", "2012-03-01"]
    assert "without 29 February" in caplog.text
    for calendar in ("360_day", "julian", "all_leap", "none", "maya"):
        data["time"].attrs["calendar"] = calendar
        with pytest.raises(DataError, match=f"in the calendar '{calendar}'"):
            generic.read_any_maps(save(data, tmp_path))


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (None, "units 'missing', not a date"),
        ("days", "units 'days', not a date"),
        ("days since the flood", "cannot be turned into dates"),
        ("days since 0000-00-00", "cannot be turned into dates"),
        ("days since 1800-01-01", "runs from 1800-01-01T00:00:00 .* expected 1950 to 2099"),
    ],
)
def test_time_units_that_are_none_are_refused(tmp_path, units, message):
    data = sea(days=3)
    data["time"] = np.arange(3.0)
    data["time"].attrs = {} if units is None else {"units": units}
    with pytest.raises(DataError, match=message):
        generic.read_any_maps(save(data, tmp_path))


# content


def _units(units):
    def change(data):
        data["ssh"].attrs = {} if units is None else {"units": units}
        return data

    return change


def _times_100(data):
    data["ssh"].values *= 100
    return data


def _value(value, where=(0, 0, 0)):
    def change(data):
        data["ssh"].values[where] = value
        return data

    return change


def _axis(name, values):
    return lambda data: data.assign_coords({name: values})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_units(None), "ssh has units 'missing', expected m, cm or mm"),
        (_units("feet"), "units 'feet'"),
        (_units("mm"), "said to be in mm, but one absolute value in a hundred"),
        (
            lambda data: data.assign(ssh=data["ssh"].copy(data=data["ssh"] * 100)),
            "said to be in m,",
        ),
        (_value(9.96921e36), r"1 values of ssh are beyond ±20 m \(such as 9.97e\+36"),
        (_value(-999.0), "fill values"),
        (_value(np.nan, slice(None)), "ssh holds no finite value"),
        (_value(np.nan, 1), r"no value at all on 1 days \(2012-10-23"),
        (_value(np.nan, (0, slice(0, 10))), "ocean cells are missing on some day, most on 2012"),
        (_axis("lat", np.arange(21) * 10.0), "lat runs from 0 to 200"),
        (_axis("lat", np.linspace(0, 1, 21) ** 2), "lat is not evenly spaced"),
        (_axis("lat", np.full(21, 40.0)), "lat is not evenly spaced"),
        (_axis("lat", np.where(np.arange(21) == 3, np.nan, 30.0)), "lat holds missing values"),
        (_axis("lon", np.full(21, -60.0)), "one meridian only"),
        (lambda data: data.isel(lat=[0]), "lat has 1 values, a map needs two"),
        (lambda data: data.isel(time=[]), "time holds missing or no values"),
        (lambda data: data.drop_vars("lon"), "no longitude found .* file holds"),
        (lambda data: data.drop_vars("time"), "no time found"),
        (lambda data: data.rename(ssh="height"), "Found none; the file holds"),
        (lambda data: data.assign(sla=data["ssh"]), r"several: \['sla', 'ssh'\]; name one"),
        (lambda data: data.expand_dims(run=3), r"choose one index of \['run'\]"),
        (lambda data: data.isel(lon=0), "lon has 0 dimensions, expected one"),
        (lambda data: data.assign(ssh=data["ssh"].isel(lat=0, drop=True)), "ssh is on .* expected"),
    ],
)
def test_unusable_content_is_refused_with_the_reason(tmp_path, spoil, message):
    path = save(spoil(sea()), tmp_path)
    with pytest.raises(DataError, match=message) as refusal:
        generic.read_any_maps(path)
    assert str(path) in str(refusal.value)


def test_missing_damaged_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        generic.read_any_maps(tmp_path / "nothing.nc")
    with pytest.raises(FileNotFoundError, match=r"holds no file \*.nc"):
        generic.read_any_maps(tmp_path)
    with pytest.raises(FileNotFoundError, match="no file is named"):
        generic.read_any_maps([])
    path = save(sea(), tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated"):
        generic.read_any_maps(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        generic.read_any_maps(path)


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_a_truncated_classic_file_is_not_filled_with_zeros(tmp_path, form):
    path = tmp_path / "classic.nc"
    sea().to_netcdf(path, format=form)
    assert generic.read_any_maps(path).time.size == 4
    whole = path.read_bytes()
    path.write_bytes(whole[: -len(whole) // 3])
    with pytest.raises(DataError, match=f"promises {len(whole)} bytes, it has"):
        generic.read_any_maps(path)


def test_dimensions_beyond_any_memory_are_refused(tmp_path):
    path = tmp_path / "huge.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 2), ("lat", 10**12), ("lon", 4)):
            file.createDimension(name, size)
        file.createVariable("lat", "f8", ("lat",), chunksizes=(1000,))
    with pytest.raises(DataError, match="dimension lat has 1000000000000 entries, more than fit"):
        generic.read_any_maps(path)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 1), ("lat", 10**5), ("lon", 10**5)):
            file.createDimension(name, size)
            values = file.createVariable(name, "f8", (name,))
            values[:] = 10 + 5e-4 * np.arange(size)
        file["time"].units = "days since 2012-10-01"
        height = file.createVariable("ssh", "f4", ("time", "lat", "lon"), chunksizes=(1, 100, 100))
        height.units = "m"
    with pytest.raises(DataError, match=r"daily ssh .* needs .* GiB, .* GiB are free; choose"):
        generic.read_any_maps(path)


def test_packing_that_keeps_no_value_is_refused(tmp_path):
    for key, value, message in (
        ("scale_factor", 0.0, "all values are lost"),
        ("scale_factor", "twice", "expected one number"),
        ("add_offset", np.array([1.0, 2.0]), "expected one number"),
        ("add_offset", np.nan, "expected one number"),
    ):
        path = save(sea(), tmp_path)
        with netCDF4.Dataset(path, "a") as file:
            file["ssh"].setncattr(key, value)
        with pytest.raises(DataError, match=f"{key} of ssh .*{message}"):
            generic.read_any_maps(path)


def test_cells_missing_now_and_then_become_land_and_zeros_are_noticed(tmp_path, caplog):
    data = sea()
    data["ssh"].values[1, 3, 4] = np.nan
    data["ssh"].values[:, 0, 0] = np.nan
    maps = generic.read_any_maps(save(data, tmp_path))
    assert maps.grid.land.sum() == 2 and maps.grid.land[3, 4] and maps.grid.land[0, 0]
    assert "1 cells missing on some days are taken as land" in caplog.text
    data["ssh"].values[:, :2] = 0.0
    generic.read_any_maps(save(data, tmp_path))
    assert "cells are exactly 0 on every day: land without a fill value?" in caplog.text


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    save(sea(days=1), tmp_path, "a.nc")
    save(sea(days=1, step=1.0), tmp_path, "b.nc")
    with pytest.raises(DataError, match=r"lat axis \(11 nodes, 33 to 43\) is not that of a.nc"):
        generic.read_any_maps(tmp_path)
    save(sea(days=1, name="zos"), tmp_path, "b.nc")
    with pytest.raises(DataError, match=r"holds zos, a\.nc ssh"):
        generic.read_any_maps(tmp_path)


# the data sets


def reference_day(folder, day: int) -> None:
    data = hourly(1).rename(ssh="sossheig")
    data = data.assign_coords(time=data["time"] + day * DAY)
    data["sossheig"] = data["sossheig"] + day
    data["sossheig"].attrs = {}
    encoding = {"dtype": "f4", "_FillValue": np.float32(0)}
    name = f"NATL60-CJM165_GULFSTREAM_y2012m10d{22 + day}.1h_SSH.nc"
    save(data, folder, name, sossheig=encoding)


def test_the_reference_of_2020a_is_averaged_to_days(tmp_path):
    for day in (0, 1, 2):
        reference_day(tmp_path, day)
    (tmp_path / "README.nc").write_text("not one of them")
    maps = dc2020a.read_reference(tmp_path, every=2)
    one = hourly(1)["ssh"].values.mean(axis=0)
    assert days_of(maps) == ["2012-10-22", "2012-10-23", "2012-10-24"]
    assert maps.height == pytest.approx(one[::2, ::2] + np.arange(3)[:, None, None], abs=1e-6)
    assert maps.grid.resolution == pytest.approx((2.0, 2.0))
    file = next(tmp_path.glob("*d22*"))
    assert sniff(file) == "dc2020a_reference"
    with pytest.raises(ValueError, match="every must be 1 or more"):
        dc2020a.read_reference(tmp_path, every=0)


def test_maps_of_methods_of_both_challenges(tmp_path):
    data = sea(hour=0).rename(ssh="gssh").drop_attrs()
    path = save(data, tmp_path, "2020a_SSH_mapping_NATL60_DUACS_en_j1_tpn_g2.nc")
    assert sniff(path) == "dc2020a_maps"
    maps = dc2020a.read_maps_of_method(path)
    assert maps.quantity == "ssh" and days_of(maps)[0] == "2012-10-22"
    assert dc2020a.read_maps_of_method(path, midnight="instant").time.size == 3
    data = sea(hour=0).assign_coords(lon=sea()["lon"].values + 360)
    path = save(data, tmp_path, "OSE_ssh_mapping_MIOST.nc")
    assert sniff(path) == "dc2021a_maps"
    maps = dc2021a.read_maps_of_method(path)
    assert maps.quantity == "adt" and maps.grid.lon[0] == -65.0


def test_oceanbench_tells_the_units_of_time_by_its_step(tmp_path):
    data = sea(days=3).drop_attrs(deep=True)
    seconds = (data["time"].values - np.datetime64("2012-10-01")) / np.timedelta64(1, "s")
    path = save(data.assign_coords(time=seconds), tmp_path, "gf_mod_ssh_daily.nc")
    assert sniff(path) == "oceanbench_truth"
    assert days_of(oceanbench.read_truth(path)) == ["2012-10-22", "2012-10-23", "2012-10-24"]
    one = save(data.assign_coords(time=seconds).isel(time=[1]), tmp_path, "gf_mod_ssh_daily.nc")
    assert days_of(oceanbench.read_truth(one)) == ["2012-10-23"]
    odd = save(data.assign_coords(time=np.arange(3) * 7.0), tmp_path, "gf_mod_ssh_daily.nc")
    with pytest.raises(DataError, match="step of 7 is neither one day nor 86400"):
        oceanbench.read_truth(odd)


def observation_grid() -> xr.Dataset:
    data = sea(days=6, hour=0).rename(ssh="ssh_mod").drop_attrs(deep=True)
    seen = np.random.default_rng(0).random(data["ssh_mod"].shape) < 0.1
    seen[2] = False
    data["ssh_mod"] = data["ssh_mod"].where(seen)
    data["lag"] = data["ssh_mod"] * 0
    return data.assign_coords(time=np.arange(21.0, 27.0))


def test_holes_of_gridded_observations_become_the_mask(tmp_path):
    data = observation_grid()
    path = save(data, tmp_path, "gf_obs_nadir.nc")
    assert sniff(path) == "oceanbench_observations"
    cells = oceanbench.read_observations(path, error_m=0.04)
    assert np.array_equal(cells.observed, np.isfinite(data["ssh_mod"].values))
    assert not cells.observed[2].any()  # a day without observation stays
    assert np.all(cells.height[~cells.observed] == 0) and np.all(np.isinf(cells.error[2]))
    assert np.all(cells.error[cells.observed] == np.float32(0.04))
    assert days_of(cells)[0] == "2012-10-22"
    with pytest.raises(ValueError, match="error_m must be positive"):
        oceanbench.read_observations(path, error_m=0.0)
    full = sea(days=6, hour=0).rename(ssh="ssh_mod")
    with pytest.raises(DataError, match="these are maps, not observations"):
        oceanbench.read_observations(save(full, tmp_path, "gf_obs_nadir.nc"))


def test_the_starter_file_holds_both(tmp_path):
    data = observation_grid().rename(ssh_mod="nadir_obs").drop_vars("lag")
    data["ssh"] = sea(days=6)["ssh"].drop_vars("time")
    data["time"] = sea(days=6, hour=0)["time"]
    path = save(data, tmp_path, "natl_gf_w_5nadirs.nc")
    assert sniff(path) == "starter"
    truth, cells = starter.read_truth(path), starter.read_observations(path)
    assert np.array_equal(truth.time, cells.time) and truth.grid.same_axes(cells.grid)
    assert cells.observed.sum() == np.isfinite(data["nadir_obs"].values).sum()


def level4() -> xr.Dataset:
    """Two maps of the layout of DUACS: scaled integers, 0 to 360, land missing."""
    data = sea(days=2, hour=0, name="adt").rename(lat="latitude", lon="longitude")
    data = data.assign_coords(longitude=data["longitude"].values + 360)
    data["adt"].values[:, 0, :3] = np.nan
    data["adt"].attrs |= {"standard_name": "sea_surface_height_above_geoid", "grid_mapping": "crs"}
    data["sla"] = (data["adt"] - 0.3).assign_attrs(
        units="m", standard_name="sea_surface_height_above_sea_level"
    )
    data["err_sla"] = (abs(data["adt"]) * 0.05).assign_attrs(units="m")
    data["crs"] = np.int32(1)
    title = "DT merged all satellites Global Ocean Gridded SSALTO/DUACS Sea Surface Height L4"
    return data.assign_attrs(title=title, institution="CLS, CNES", Conventions="CF-1.6")


def packed(*names) -> dict:
    options = {"dtype": "i4", "scale_factor": 1e-4, "_FillValue": -2147483647}
    return dict.fromkeys(names, options)


def test_level_4_gives_anomalies_topography_and_mapping_error(tmp_path, caplog):
    data = level4()
    encoding = packed("adt", "sla", "err_sla")
    path = save(data, tmp_path, "dt_global_allsat_phy_l4_20121022.nc", **encoding)
    assert sniff(path) == "duacs_l4"
    both = duacs_l4.read(path, with_error=True)
    assert both.quantity == "adt" and both.grid.land.sum() == 3 and both.grid.lon[0] == -65
    sea_cells = both.grid.ocean
    assert both.height[:, sea_cells] == pytest.approx(data["adt"].values[:, sea_cells], abs=6e-5)
    assert both.std is not None and both.std[0, 5, 5] == pytest.approx(
        data["err_sla"].values[0, 5, 5], abs=6e-5
    )
    anomaly = duacs_l4.read(path, quantity="sla")
    assert anomaly.quantity == "sla"
    assert (both.height - anomaly.height)[:, sea_cells] == pytest.approx(0.3, abs=2e-4)
    assert "half a day off" not in caplog.text
    centred = data.isel(time=[1]).assign_attrs(time_coverage_start="2012-10-22T12:00:00Z")
    duacs_l4.read(save(centred, tmp_path))
    assert "half a day off" in caplog.text
    with pytest.raises(DataError, match=r"no mapping error \['err_sla', 'err'\]"):
        duacs_l4.read(save(data.drop_vars("err_sla"), tmp_path), with_error=True)
    with pytest.raises(ValueError, match="choose sla or adt"):
        duacs_l4.read(path, quantity="ssh")


def test_daily_means_of_enatl60(tmp_path):
    data = sea(hour=12).assign(sla=sea()["ssh"] - 0.3)
    path = save(data, tmp_path, "eNATL60-BLB002-daily-reg-1_8.nc")
    assert sniff(path) == "enatl60_daily"
    assert enatl60.read_daily(path).quantity == "ssh"
    assert enatl60.read_daily(path, quantity="sla", every=2).grid.shape == (11, 11)


def snapshots(hour: float = 0.5, days: int = 2) -> xr.Dataset:
    """Model output on curved nodes, in the layout of NEMO."""
    row, column = np.mgrid[0:12, 0:10]
    lat, lon = 33 + 0.1 * row + 0.01 * column, 295 + 0.1 * column - 0.01 * row
    time = START + np.arange(days) * DAY + np.timedelta64(int(hour * 60), "m")
    height = 0.3 + 0.2 * np.sin(lat + 2 * lon) + 0.1 * np.arange(days)[:, None, None]
    return xr.Dataset(
        {
            "sossheig": (("time_counter", "y", "x"), height.astype("f4"), {"units": "m"}),
            "nav_lat": (("y", "x"), lat, {"standard_name": "latitude"}),
            "nav_lon": (("y", "x"), lon, {"standard_name": "longitude"}),
        },
        coords={"time_counter": time},
    )


def test_snapshots_keep_their_instants_and_nodes(tmp_path):
    data = snapshots()
    for index in (1, 0):
        name = f"eNATL60GULFSTREAM-BLB002_y2012m10d2{2 + index}_hr.nc"
        save(data.isel(time_counter=[index]), tmp_path, name)
    files = sorted(tmp_path.glob("*.nc"), reverse=True)
    assert sniff(files[0]) == "enatl60_snapshots"
    read = enatl60.read_snapshots(files)
    assert np.array_equal(read["time"].values, data["time_counter"].values)
    assert read["ssh"].dims == ("time", "y", "x") and read.attrs["quantity"] == "ssh"
    assert read["ssh"].values == pytest.approx(data["sossheig"].values)
    assert read["lon"].values == pytest.approx(data["nav_lon"].values - 360)
    with pytest.raises(DataError, match="an instant is given twice"):
        enatl60.read_snapshots([files[0], files[0]])
    with pytest.raises(DataError, match="nav_lat has 2 dimensions"):
        generic.read_any_maps(files[0])


def test_a_snapshot_without_time_is_dated_by_its_name_or_the_caller(tmp_path):
    data = snapshots(days=1).isel(time_counter=0, drop=True)
    path = save(data, tmp_path, "eNATL60MED_y2009m08d15.nc")
    assert enatl60.read_snapshots(path)["time"].values[0] == np.datetime64("2009-08-15T12:00")
    path = save(data, tmp_path, "eNATL60MED.nc")
    with pytest.raises(DataError, match="no time, and no date"):
        enatl60.read_snapshots(path)
    given_time = enatl60.read_snapshots(path, instant="2009-08-15T00:30")
    assert given_time["time"].values[0] == np.datetime64("2009-08-15T00:30")
    path = save(data, tmp_path, "eNATL60MED_y2009m13d15.nc")
    with pytest.raises(DataError, match="in the name is no date"):
        enatl60.read_snapshots(path)


def test_a_further_dimension_is_chosen_by_index(tmp_path):
    data = xr.concat([sea(), sea() + 1], "config")
    data["ssh"].attrs["units"] = "m"
    path = save(data, tmp_path)
    assert generic.read_any_maps(path, place={"config": 1}).height[0, 0, 0] == pytest.approx(
        data["ssh"].values[1, 0, 0, 0]
    )
    with pytest.raises(DataError, match="config has 2 entries, not 5"):
        generic.read_any_maps(path, place={"config": 5})


def test_an_anomaly_is_known_by_its_long_name(tmp_path):
    data = sea()
    data["ssh"].attrs["long_name"] = "sea surface height relative to mean_sea_surface"
    assert generic.read_any_maps(save(data, tmp_path)).quantity == "sla"
    assert generic.read_any_maps(tmp_path / "maps.nc", variable="ssh", quantity="adt")


def test_what_belongs_to_no_data_set_is_none_of_them(tmp_path):
    data = sea().rename(ssh="temperature")
    assert sniff(save(data, tmp_path)) is None
    assert sniff(save(sea(), tmp_path)) == "maps"
    assert SOURCES["maps"].read(tmp_path / "maps.nc").quantity == "ssh"
    with pytest.raises(FileNotFoundError):
        sniff(tmp_path / "nothing.nc")


def test_logging_stays_quiet_for_a_sound_file(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        generic.read_any_maps(save(sea(), tmp_path))
    assert not caplog.records
