"""Readers of tracks and swaths: every layout as its data set has it, what is mended or refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_spde.data.sources import (
    cmems_l3,
    dc2020a,
    dc2021a,
    generic,
    samples,
    sniff,
    swot_l3,
)
from pipeline_spde.files import DataError

START = np.datetime64("2017-01-01T06:00", "ns")
SECOND = np.timedelta64(1, "s")


def altimeter(size: int = 60, seed: int = 0, name: str = "sla_unfiltered") -> xr.Dataset:
    """Two passes over the Gulf Stream, up and down, in the layout of level 3."""
    generator = np.random.default_rng(seed)
    half = size // 2
    lat = np.concatenate([np.linspace(34, 42, half), np.linspace(42, 34, size - half)])
    lon = np.concatenate([np.linspace(296, 299, half), np.linspace(300, 303, size - half)])
    seconds = np.concatenate([np.arange(half), 50_000 + np.arange(size - half)])
    metres = {"units": "m"}
    return xr.Dataset(
        {
            name: ("time", generator.normal(0, 0.2, size), metres),
            "mdt": ("time", generator.normal(0.4, 0.1, size), metres),
            "lwe": ("time", generator.normal(0, 0.02, size), metres),
            "cycle": ("time", np.full(size, 107, np.int16)),
            "track": ("time", np.repeat([12, 26], [half, size - half]).astype(np.int16)),
            "latitude": ("time", lat, {"units": "degrees_north"}),
            "longitude": ("time", lon, {"units": "degrees_east"}),
        },
        coords={"time": START + seconds * SECOND},
    )


def packed() -> dict:
    height = {"dtype": "i2", "scale_factor": 1e-3, "_FillValue": 32767}
    place = {"dtype": "i4", "scale_factor": 1e-6, "_FillValue": 2**31 - 1}
    heights = dict.fromkeys(("sla_unfiltered", "mdt", "lwe"), height)
    return heights | {"latitude": place, "longitude": place}


def save(data: xr.Dataset, folder, name: str = "dt_global_alg_phy_l3_20170101.nc", encoding=None):
    path = folder / name
    path.unlink(missing_ok=True)
    data.to_netcdf(path, encoding=encoding or {})
    return path


def same(first, second) -> bool:
    names = ("time", "lat", "lon", "height", "error", "mission", "pass_id", "cross_track")
    return all(np.array_equal(getattr(first, n), getattr(second, n)) for n in names)


def test_level_3_gives_anomalies_and_topography(tmp_path):
    data = altimeter()
    path = save(data, tmp_path)
    assert sniff(path) == "cmems_l3"
    tracks = cmems_l3.read(path)
    assert tracks.quantity == "adt" and tracks.missions == ("saral",)
    assert tracks.height == pytest.approx((data["sla_unfiltered"] + data["mdt"]).values, abs=1e-6)
    assert tracks.lon == pytest.approx(data["longitude"].values - 360)
    assert np.array_equal(tracks.time, data["time"].values)
    assert np.array_equal(tracks.pass_id, 1070000 + data["track"].values.astype(int))
    assert np.all(tracks.error == np.float32(0.03)) and np.all(tracks.cross_track == 0)
    anomalies = cmems_l3.read(path, quantity="sla", error_m=0.02)
    assert anomalies.quantity == "sla" and anomalies.error[0] == np.float32(0.02)
    assert anomalies.height == pytest.approx(data["sla_unfiltered"].values, abs=1e-6)
    raw = cmems_l3.read(path, quantity="sla", without_lwe=True)
    assert raw.height == pytest.approx((data["sla_unfiltered"] - data["lwe"]).values, abs=1e-6)


def test_scaled_integers_are_unpacked_and_fills_dropped(tmp_path, caplog):
    data = altimeter()
    data["sla_unfiltered"].values[5:8] = np.nan
    with caplog.at_level(logging.INFO):
        tracks = cmems_l3.read(save(data, tmp_path, encoding=packed()), quantity="sla")
    assert "3 of 60 samples without time, place or height dropped" in caplog.text
    kept = np.delete(data["sla_unfiltered"].values, [5, 6, 7])
    assert tracks.height == pytest.approx(kept, abs=6e-4) and len(tracks) == 57


def test_topography_comes_from_where_the_file_has_it(tmp_path):
    data = altimeter().rename(sla_unfiltered="adt_unfiltered").drop_vars(["mdt", "lwe"])
    path = save(data, tmp_path)
    assert cmems_l3.read(path).height == pytest.approx(data["adt_unfiltered"].values, abs=1e-6)
    with pytest.raises(DataError, match=r"variable \['sla_unfiltered'\] not found; the file holds"):
        cmems_l3.read(path, quantity="sla")
    only = altimeter().drop_vars("mdt")
    with pytest.raises(DataError, match="needs sla_unfiltered and mdt, or adt_unfiltered"):
        cmems_l3.read(save(only, tmp_path))
    with pytest.raises(DataError, match="sla_filtered"):
        cmems_l3.read(save(altimeter(), tmp_path), quantity="sla", filtering="filtered")


def test_missions_come_in_the_order_wanted_from_all_their_files(tmp_path, caplog):
    for code, seed in (("alg", 1), ("j3", 2), ("s3a", 3)):
        for day in range(2):
            data = altimeter(seed=seed)
            data["time"] = data["time"] + np.timedelta64(day, "D")
            save(data, tmp_path, f"dt_gulfstream_{code}_phy_l3_2017010{day + 1}.nc")
    tracks = cmems_l3.read(tmp_path, ("sentinel3a", "saral"))
    assert tracks.missions == ("sentinel3a", "saral") and len(tracks) == 240
    assert np.all(np.diff(tracks.time) >= 0 * SECOND)
    own = tracks.of_missions(["saral"])
    expected = (altimeter(seed=1)["sla_unfiltered"] + altimeter(seed=1)["mdt"]).values
    assert own.between("2017-01-01", "2017-01-01").height == pytest.approx(expected, abs=1e-6)
    everything = cmems_l3.read(tmp_path)
    assert set(everything.missions) == {"saral", "jason3", "sentinel3a"}
    errors = {"sentinel3a": 0.02, "saral": 0.04}
    told = cmems_l3.read(tmp_path, ("sentinel3a", "saral"), error_m=errors)
    assert np.all(told.error[told.mission == 1] == np.float32(0.04))
    with pytest.raises(DataError, match=r"no file of \['cryosat2'\].*'jason3', 'saral'"):
        cmems_l3.read(tmp_path, ("cryosat2",))
    with pytest.raises(ValueError, match="each once"):
        cmems_l3.read(tmp_path, ("saral", "saral"))
    with pytest.raises(ValueError, match="error_m of jason3 must be positive, got None"):
        cmems_l3.read(tmp_path, ("jason3",), error_m=errors)


@pytest.mark.parametrize(
    ("name", "mission"),
    [
        ("dt_global_alg_phy_l3_20161201-20180131_285-315_23-53.nc", "saral"),
        ("gf_2017_l3_c2.nc", "cryosat2"),
        ("dt_gulfstream_j2g_phy_l3_20161201-20180131.nc", "jason2_geodetic"),
        ("dt_global_s3a_phy_l3_1hz_20170402_20210603.nc", "sentinel3a"),
        ("cmems_obs_jason3.nc", "jason3"),
        ("somewhere.nc", None),
    ],
)
def test_the_name_of_a_file_tells_its_mission(tmp_path, name, mission):
    assert samples.mission_of_file(
        tmp_path / name, samples.MISSION_CODES | {"jason3": "jason3"}
    ) == (mission)


def test_a_file_whose_name_tells_no_mission_takes_the_one_wanted(tmp_path):
    path = save(altimeter(), tmp_path, "my tracks (2).nc")
    assert cmems_l3.read(path, ("saral",)).missions == ("saral",)
    assert cmems_l3.read(path).missions == ("my_tracks_2_",)


@given(
    seed=st.integers(0, 10**6),
    permuted=st.booleans(),
    repeated=st.integers(0, 20),
    holes=st.lists(st.integers(0, 59), max_size=20),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_order_repeats_and_holes_do_not_matter(tmp_path, seed, permuted, repeated, holes):
    data = altimeter(seed=seed)
    complete = np.setdiff1d(np.arange(60), holes)
    (tmp_path / "sound").mkdir(exist_ok=True)
    expected = cmems_l3.read(save(data.isel(time=complete), tmp_path / "sound"))
    generator = np.random.default_rng(seed)
    for index, name in zip(holes, ("mdt", "latitude", "sla_unfiltered") * 7, strict=False):
        data[name].values[index] = np.nan
    order = np.concatenate([np.arange(60), generator.integers(0, 60, repeated)])
    order = generator.permutation(order) if permuted else np.sort(order)
    assert same(cmems_l3.read(save(data.isel(time=order), tmp_path)), expected)


def test_what_was_mended_is_said(tmp_path, caplog):
    data = altimeter()
    cmems_l3.read(save(data.isel(time=[*range(59, -1, -1), 3, 4]), tmp_path))
    assert "samples sorted by time, 2 exact duplicates dropped" in caplog.text
    time = data["time"].values.copy()
    time[1] = time[0]
    data = data.assign_coords(time=time)
    cmems_l3.read(save(data, tmp_path))
    assert "1 samples share their instant with another one of the same altimeter" in caplog.text


def test_passes_are_derived_where_the_file_does_not_number_them(tmp_path):
    data = altimeter()
    tracks = cmems_l3.read(save(data.drop_vars("cycle"), tmp_path))
    assert np.array_equal(tracks.pass_id, np.repeat([0, 1], 30))


def test_box_and_period_and_what_is_held_instead(tmp_path, caplog):
    path = save(altimeter(), tmp_path)
    box = cmems_l3.read(path, lat=(36, 40), lon=(-65, -61.5))
    assert box.lat.min() >= 36 and box.lon.max() <= -61.5 and len(box) < 30
    with pytest.raises(DataError, match=r"saral: 2017-01-01 to 2017-01-01, latitudes 34"):
        cmems_l3.read(path, period=("2018-01-01", "2018-02-01"))
    with pytest.raises(DataError, match=r"longitudes -64.00 to -57.00"):
        cmems_l3.read(path, lon=(0, 20))
    save(altimeter(), tmp_path, "dt_global_j3_phy_l3_20170101.nc")
    data = altimeter().assign_coords(time=altimeter()["time"] + np.timedelta64(30, "D"))
    save(data, tmp_path, "dt_global_alg_phy_l3_20170101.nc")
    one = cmems_l3.read(tmp_path, ("jason3", "saral"), period=("2017-01-01", "2017-01-02"))
    assert one.missions == ("jason3", "saral") and not np.any(one.mission == 1)
    assert "no sample of saral in 2017-01-01 to 2017-01-02" in caplog.text


def _drop(name):
    return lambda data: data.drop_vars(name)


def _attr(name, **attrs):
    def change(data):
        data[name].attrs = attrs
        return data

    return change


def _all(name, value):
    def change(data):
        data[name].values[:] = value
        return data

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_drop("latitude"), r"variable \['latitude'\] not found; the file holds"),
        (_drop("time"), r"variable \['time'\] not found"),
        (_attr("sla_unfiltered"), "sla_unfiltered has units 'missing'"),
        (_attr("mdt", units="km"), "mdt has units 'km'"),
        (_all("sla_unfiltered", np.nan), "every sample misses time, place or height"),
        (_all("mdt", 40.0), "one absolute value in a hundred"),
        (_all("latitude", 300.0), "latitudes run from 300 to 300.*swapped or scaled"),
        (_all("longitude", 1e6), "longitudes run from 1e"),
        (lambda data: data.isel(time=[]), "holds no sample"),
        (lambda data: data.assign(latitude=("other", np.arange(5.0))), "found shapes"),
        (lambda data: data.assign_coords(time=np.arange(60.0)), "units 'missing', not a date"),
    ],
)
def test_unusable_content_is_refused_with_the_reason(tmp_path, spoil, message):
    path = save(spoil(altimeter()), tmp_path)
    with pytest.raises(DataError, match=message) as refusal:
        cmems_l3.read(path)
    assert str(path) in str(refusal.value)


def test_one_sample_is_enough(tmp_path):
    tracks = cmems_l3.read(save(altimeter().isel(time=[3]), tmp_path))
    assert len(tracks) == 1 and tracks.pass_id[0] == 1070012


def test_the_observation_of_2021a_takes_the_correction_off(tmp_path):
    data = altimeter()
    for code in ("c2", "h2g", "alg"):
        save(data, tmp_path, f"dt_gulfstream_{code}_phy_l3_20161201-20180131_285-315_23-53.nc")
    assert sniff(next(tmp_path.glob("*c2*"))) == "dc2021a_observations"
    expected = (data["sla_unfiltered"] + data["mdt"] - data["lwe"]).values
    tracks = dc2021a.read_observations(tmp_path, ("saral", "haiyang2a_geodetic"))
    assert tracks.missions == ("saral", "haiyang2a_geodetic") and tracks.quantity == "adt"
    assert tracks.of_missions(["saral"]).height == pytest.approx(expected, abs=1e-6)
    check = dc2021a.read_observations(tmp_path, (dc2021a.VERIFICATION,))
    assert check.missions == ("cryosat2",)


# 2020a


def nadir_2020a() -> xr.Dataset:
    data = altimeter(name="ssh_model").rename(latitude="lat", longitude="lon")
    data["ssh_model"] = data["ssh_model"] + 0.3
    return data[["ssh_model", "lat", "lon"]].drop_attrs(deep=True)


def swath_2020a(lines: int = 40, pixels: int = 7) -> xr.Dataset:
    """An ascending and a descending KaRIn pass; pixels outside the box are missing."""
    across = np.linspace(-60, 60, pixels)
    half = lines // 2
    centre = np.concatenate([np.linspace(32, 44, half), np.linspace(44, 32, lines - half)])
    slant = np.where(np.arange(lines) < half, 1, -1)[:, None] * 0.3
    lat = centre[:, None] + across / 111 * slant
    start = np.where(np.arange(lines) < half, -62, -58)[:, None]
    lon = start + across / 88 + 0.2 * (centre[:, None] - 38) * np.sign(slant)
    height = 0.3 + 0.4 * np.sin(lat + lon)
    outside = (lat < 33) | (lat > 43)
    seconds = np.concatenate([np.arange(half), 40_000 + np.arange(lines - half)])
    dims = ("time", "nC")
    hole = np.where(outside, np.nan, 1.0)
    return xr.Dataset(
        {
            "ssh_model": (dims, height * hole, {"units": "m"}),
            "lat": (dims, lat * hole),
            "lon": (dims, lon * hole),
            "x_ac": ("nC", across),
        },
        coords={"time": np.datetime64("2012-10-22", "ns") + seconds * SECOND},
    )


def test_nadir_and_karin_of_2020a(tmp_path):
    nadir, swath = nadir_2020a(), swath_2020a()
    save(nadir, tmp_path, "2020a_SSH_mapping_NATL60_topex-poseidon_interleaved.nc")
    save(nadir, tmp_path, "2020a_SSH_mapping_NATL60_nadir_swot.nc")
    save(swath, tmp_path, "2020a_SSH_mapping_NATL60_karin_swot.nc")
    wanted = ("swot_karin", "topex_interleaved", "swot_nadir")
    tracks = dc2020a.read_observations(tmp_path, wanted)
    assert tracks.missions == wanted and tracks.quantity == "ssh"
    karin = tracks.of_missions(["swot_karin"])
    seen = np.isfinite(swath["ssh_model"].values)
    assert len(karin) == seen.sum()
    assert np.sort(karin.height) == pytest.approx(np.sort(swath["ssh_model"].values[seen]))
    assert set(np.unique(karin.cross_track)) <= set(swath["x_ac"].values.astype(np.float32))
    assert len(np.unique(karin.pass_id)) == 2
    at_nadir = karin.select(karin.cross_track == 0)
    assert np.array_equal(np.unique(at_nadir.pass_id, return_counts=True)[0], [0, 1])
    assert np.all(np.diff(karin.time) >= 0 * SECOND)


def test_lines_that_lack_other_pixels_than_their_neighbours_do_not_split_a_pass(tmp_path):
    swath = swath_2020a(lines=480, pixels=21)
    missing = np.random.default_rng(0).random(swath["lat"].shape) < 0.6
    for name in ("ssh_model", "lat", "lon"):
        swath[name] = swath[name].where(~missing)
    path = save(swath, tmp_path, "2020a_SSH_mapping_NATL60_karin_swot.nc")
    tracks = dc2020a.read_observations(path)
    ascending = tracks.time < np.datetime64("2012-10-22T06:00")
    assert np.unique(tracks.pass_id[ascending]).size == 1
    assert np.unique(tracks.pass_id[~ascending]).size == 1
    assert np.unique(tracks.pass_id).size == 2


def test_files_under_the_name_of_another_mission_are_noticed(tmp_path):
    save(nadir_2020a(), tmp_path, "2020a_SSH_mapping_NATL60_karin_swot.nc")
    with pytest.raises(DataError, match=r"the name says KaRIn, but ssh_model is on \{'time': 60\}"):
        dc2020a.read_observations(tmp_path)
    swath = swath_2020a().drop_vars("x_ac")
    path = save(swath, tmp_path, "2020a_SSH_mapping_NATL60_karin_swot.nc")
    with pytest.raises(DataError, match="no x_ac"):
        dc2020a.read_observations(path)
    transposed = swath_2020a().transpose("nC", "time")
    path = save(transposed, tmp_path, "2020a_SSH_mapping_NATL60_karin_swot.nc")
    with pytest.raises(DataError, match="a swath has lines and pixels; found time"):
        dc2020a.read_observations(path)


# SWOT


def swath_l3(pixels: int = 9) -> xr.Dataset:
    data = swath_2020a(pixels=pixels).rename(time="num_lines", nC="num_pixels")
    dims = ("num_lines", "num_pixels")
    units = {"units": "m"}
    height = data["ssh_model"].values
    across = np.broadcast_to(data["x_ac"], height.shape)
    return xr.Dataset(
        {
            "time": ("num_lines", data["num_lines"].values),
            "ssha_filtered": (dims, height - 0.3, units),
            "ssha_unfiltered": (dims, height - 0.29, units),
            "mdt": (dims, np.full(height.shape, 0.5), units),
            "cross_track_distance": (dims, across, {"units": "km"}),
            "latitude": (dims, data["lat"].values, {"units": "degrees_north"}),
            "longitude": (dims, data["lon"].values % 360, {"units": "degrees_east"}),
        }
    )


def test_swot_level_3_gives_anomalies_or_topography(tmp_path):
    data = swath_l3()
    path = save(data, tmp_path, "SWOT_L3_LR_SSH_Expert_478_003_20230328T234417_v2.0.1.nc")
    assert sniff(path) == "swot_l3"
    tracks = swot_l3.read(path)
    seen = np.isfinite(data["ssha_filtered"].values)
    assert tracks.missions == ("swot_karin",) and tracks.quantity == "sla"
    assert np.sort(tracks.height) == pytest.approx(np.sort(data["ssha_filtered"].values[seen]))
    assert tracks.lon.max() < 0
    topography = swot_l3.read(path, quantity="adt", filtering="unfiltered")
    assert topography.height - tracks.height == pytest.approx(0.51, abs=1e-6)
    box = swot_l3.read(path, lat=(36, 40), error_m=0.01)
    assert box.lat.min() >= 36 and np.all(box.error == np.float32(0.01))


def test_passes_go_on_from_file_to_file(tmp_path):
    data = swath_l3()
    later = data.assign(time=data["time"] + np.timedelta64(1, "D"))
    save(later, tmp_path, "a.nc")
    save(data, tmp_path, "b.nc")
    tracks = swot_l3.read(tmp_path)
    assert np.unique(tracks.pass_id).tolist() == [0, 1, 2, 3]
    first = tracks.time < np.datetime64("2012-10-23")
    assert set(tracks.pass_id[first]) == {0, 1}


def test_a_swath_without_time_needs_an_instant(tmp_path):
    data = swath_l3().drop_vars("time").assign_attrs(time_coverage_start="2023-03-28T23:44:17Z")
    path = save(data.isel(num_lines=slice(0, 20)), tmp_path, "swot.nc")
    with pytest.raises(DataError, match=r"'time'\] not found.*from 2023-03-28T23:44:17Z"):
        swot_l3.read(path)
    tracks = swot_l3.read(path, instant="2023-03-29T00:10")
    assert np.all(tracks.time == np.datetime64("2023-03-29T00:10"))
    assert len(np.unique(tracks.pass_id)) == 1


def test_swath_pixels_given_twice_are_dropped(tmp_path, caplog):
    data = swath_l3()
    expected = swot_l3.read(save(data, tmp_path, "swot.nc"))
    twice = data.isel(num_lines=[*range(40), 12])
    assert same(swot_l3.read(save(twice, tmp_path, "swot.nc")), expected)
    assert "pixels given twice, dropped" in caplog.text


def test_simulated_swaths_know_their_distance_from_nadir(tmp_path):
    data = swath_l3().rename(ssha_filtered="ssh_karin", ssha_unfiltered="ssh_true")
    data = data.drop_vars("cross_track_distance")
    path = save(data, tmp_path, "input_ssh_karin_013_003.nc")
    assert sniff(path) == "swot_simulator"
    tracks = swot_l3.read_simulated(path, height="ssh_true")
    assert tracks.quantity == "ssh"
    assert np.unique(tracks.cross_track).tolist() == [-8, -6, -4, -2, 0, 2, 4, 6, 8]
    even = swath_l3(pixels=8).rename(ssha_filtered="ssh_karin").drop_vars("cross_track_distance")
    with pytest.raises(DataError, match="has no middle pixel"):
        swot_l3.read_simulated(save(even, tmp_path, "even.nc"))


# anything else


def test_other_tracks_are_found_by_names_and_attributes(tmp_path):
    data = altimeter(name="sla").drop_vars(["mdt", "lwe", "cycle", "track"])
    path = save(data, tmp_path, "mine_j3.nc")
    assert sniff(path) == "tracks"
    tracks = generic.read_any_tracks(path)
    assert tracks.quantity == "sla" and tracks.missions == ("jason3",)
    assert tracks.height == pytest.approx(data["sla"].values, abs=1e-6)
    odd = data.rename(sla="surface")
    path = save(odd, tmp_path, "mine_j3.nc")
    with pytest.raises(DataError, match="Found none; the file holds"):
        generic.read_any_tracks(path)
    with pytest.raises(DataError, match="what is surface: ssh, sla or adt"):
        generic.read_any_tracks(path, variable="surface")
    assert generic.read_any_tracks(path, variable="surface", quantity="adt").quantity == "adt"
    both = data.assign(adt=data["sla"])
    with pytest.raises(DataError, match=r"several: \['adt', 'sla'\]"):
        generic.read_any_tracks(save(both, tmp_path, "mine_j3.nc"))
