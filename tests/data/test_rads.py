"""The RADS reader: real extract, and every kind of file that must be mended or refused."""

from __future__ import annotations

import logging
import zlib

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_spde.config import DomainConfig
from pipeline_spde.data.orbits import MISSIONS
from pipeline_spde.data.sources import number_passes, rads, sorted_without_duplicates
from pipeline_spde.files import DataError

BOX = ((33.0, 43.0), (-65.0, -55.0))
PERIOD = ("2022-01-22", "2022-01-31")
MISSION_NAMES = ("cryosat2", "jason3", "saral", "sentinel3a")


def clean_file(seed: int = 0, size: int = 80) -> xr.Dataset:
    """Samples of four missions over ten days in and around the box, in the layout of RADS."""
    generator = np.random.default_rng(seed)
    seconds = np.sort(generator.choice(10 * 86400, size, replace=False))
    return xr.Dataset(
        {
            "sla": ("time", generator.normal(0, 0.2, size), {"units": "m"}),
            "lat": ("time", generator.uniform(31, 45, size), {"units": "degrees_north"}),
            "lon": ("time", generator.uniform(-67, -53, size), {"units": "degrees_east"}),
            "mission": (
                "time",
                generator.integers(0, 4, size).astype(np.int8),
                {"flag_meanings": "CryoSat-2 Jason-3 SARAL-AltiKa Sentinel-3A"},
            ),
        },
        coords={"time": np.datetime64("2022-01-22", "ns") + seconds.astype("timedelta64[s]")},
    )


def save(data: xr.Dataset, folder):
    path = folder / "tracks.nc"
    data.to_netcdf(path)
    return path


def read(path, missions=MISSION_NAMES, lat=BOX[0], lon=BOX[1], period=PERIOD, **options):
    return rads.read(path, missions, lat, lon, period, **options)


def same(first, second) -> bool:
    names = ("time", "lat", "lon", "height", "error", "mission", "pass_id")
    return all(np.array_equal(getattr(first, n), getattr(second, n)) for n in names)


def test_a_clean_file_is_read_as_it_stands(tmp_path):
    data = clean_file()
    tracks = read(save(data, tmp_path), missions=("saral", "jason3"), error_m=0.025)
    wanted = np.isin(data["mission"].values, [1, 2])
    wanted &= (data["lat"].values >= 33) & (data["lat"].values <= 43)
    wanted &= (data["lon"].values >= -65) & (data["lon"].values <= -55)
    assert np.array_equal(tracks.time, data["time"].values[wanted])
    assert tracks.height == pytest.approx(data["sla"].values[wanted], abs=1e-6)
    assert tracks.lon == pytest.approx(data["lon"].values[wanted], abs=1e-12)
    assert tracks.missions == ("saral", "jason3")
    assert np.array_equal(tracks.mission == 0, data["mission"].values[wanted] == 2)
    assert np.all(tracks.error == np.float32(0.025)) and np.all(tracks.cross_track == 0)
    assert tracks.quantity == "sla"


@given(
    seed=st.integers(0, 10**6),
    permuted=st.booleans(),
    duplicated=st.integers(0, 20),
    circle=st.sampled_from([0, 360]),
    units=st.sampled_from(["m", "cm", "millimeters"]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_order_duplicates_circle_and_units_do_not_matter(
    tmp_path, seed, permuted, duplicated, circle, units
):
    data = clean_file(seed)
    expected = read(save(data, tmp_path))
    generator = np.random.default_rng(seed)
    index = np.concatenate([np.arange(80), generator.integers(0, 80, duplicated)])
    if permuted:
        index = generator.permutation(index)
    changed = data.isel(time=index)
    # west longitudes move to the other circle, as in files of 0 to 360
    changed["lon"] = changed["lon"] + circle
    factor = {"m": 1, "cm": 100, "millimeters": 1000}[units]
    changed["sla"] = (changed["sla"] * factor).assign_attrs(units=units)
    tracks = read(save(changed, tmp_path))
    assert np.array_equal(tracks.time, expected.time)
    assert np.array_equal(tracks.mission, expected.mission)
    assert np.array_equal(tracks.pass_id, expected.pass_id)
    assert tracks.lon == pytest.approx(expected.lon, abs=1e-10)
    assert tracks.height == pytest.approx(expected.height, abs=1e-6)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 79), min_size=1, max_size=40))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_samples_with_holes_are_dropped_and_the_others_kept(tmp_path, seed, holes):
    data = clean_file(seed)
    for number, name in enumerate(("sla", "lat", "lon")):
        data[name].values[holes[number::3]] = np.nan
    complete = data.isel(time=np.setdiff1d(np.arange(80), holes))
    (tmp_path / "complete").mkdir(exist_ok=True)
    expected = read(save(complete, tmp_path / "complete"))
    assert same(read(save(data, tmp_path)), expected)


def test_what_was_mended_is_logged(tmp_path, caplog):
    data = clean_file()
    data["sla"].values[:3] = np.nan
    index = np.concatenate([np.arange(80)[::-1], [10, 11]])
    with caplog.at_level(logging.INFO):
        read(save(data.isel(time=index), tmp_path))
    assert "3 samples without time, place or height dropped" in caplog.text
    assert "sorted by time, 2 exact duplicates dropped" in caplog.text


def test_a_mission_without_samples_is_named_in_a_warning(tmp_path, caplog):
    data = clean_file()
    data = data.isel(time=data["mission"].values != 1)
    tracks = read(save(data, tmp_path))
    assert "no sample of jason3" in caplog.text
    assert tracks.missions == MISSION_NAMES and not np.any(tracks.mission == 1)


def test_missing_truncated_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read(tmp_path / "nothing.nc")
    path = save(clean_file(), tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="empty"):
        read(path)
    path = save(clean_file().rename(sla="ssh"), tmp_path)
    with pytest.raises(DataError, match=r"variable \['sla'\] not found"):
        read(path)


def _units(data, units):
    data["sla"].attrs = {} if units is None else {"units": units}


def _all_nan(data):
    data["sla"].values[:] = np.nan


def _mislabelled(data):
    data["sla"].values[:] *= 100


def _too_small(data):
    data["sla"].attrs["units"] = "mm"


def _plain_time(data):
    data["time"] = np.arange(80.0)


def _swapped(data):
    lat = data["lat"].values.copy()
    data["lat"].values[:] = data["lon"].values + 360
    data["lon"].values[:] = lat


def _no_position(data):
    data["lat"].values[:] = np.nan


def _other_codes(data):
    data["mission"].attrs["flag_meanings"] = "Jason-3 CryoSat-2 SARAL Sentinel-3A"


def _no_mission(data):
    data["mission"].values[:] = 7


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: _units(data, None), "units 'missing', expected m, cm or mm"),
        (lambda data: _units(data, "feet"), "units 'feet'"),
        (_mislabelled, "said to be in m, but one absolute value in a hundred exceeds"),
        (_too_small, "said to be in mm"),
        (_all_nan, "sla holds no finite value"),
        (_plain_time, "not a date"),
        (_swapped, "coordinates swapped or scaled"),
        (_no_position, "lat holds no finite value"),
        (_other_codes, "flag_meanings"),
        (_no_mission, "the file holds codes"),
    ],
)
def test_unusable_content_is_refused_with_the_reason(tmp_path, spoil, message):
    data = clean_file()
    spoil(data)
    with pytest.raises(DataError, match=message):
        read(save(data, tmp_path))


def test_a_box_or_period_outside_the_data_names_both_ranges(tmp_path):
    path = save(clean_file(), tmp_path)
    with pytest.raises(DataError, match=r"2023-01-01 to 2023-02-01; the file holds 2022-01-22"):
        read(path, period=("2023-01-01", "2023-02-01"))
    with pytest.raises(DataError, match=r"latitudes -5 to 5, .*span latitudes 3\d"):
        read(path, lat=(-5, 5))
    with pytest.raises(DataError, match=r"longitudes 10 to 20; .*longitudes -6\d"):
        read(path, lon=(10, 20))


def test_the_box_may_be_given_on_the_other_circle(tmp_path):
    path = save(clean_file(), tmp_path)
    assert same(read(path), read(path, lon=(295.0, 305.0)))


def test_wrong_requests_are_refused_before_reading(tmp_path):
    missing = tmp_path / "nothing.nc"
    with pytest.raises(ValueError, match=r"\['envisat'\] are not in files of this layout"):
        read(missing, missions=("envisat",))
    with pytest.raises(ValueError, match="at most once"):
        read(missing, missions=("saral", "saral"))
    with pytest.raises(ValueError, match="at most once"):
        read(missing, missions=())
    with pytest.raises(ValueError, match="error_m must be positive"):
        read(missing, error_m=0.0)


def domain(**changes) -> DomainConfig:
    """A domain that `clean_file` can serve: ten days, the second half for validation."""
    periods = {
        "available": PERIOD,
        "evaluation": ("2022-01-22", "2022-01-26"),
        "validation": ("2022-01-27", "2022-01-31"),
        "embargo": None,
        "train": None,
    }
    tree = {
        "source": "rads",
        "tracks_file": "tracks.nc",
        "lat": BOX[0],
        "lon": BOX[1],
        "missions": ("saral", "sentinel3a"),
        "withheld": ("cryosat2",),
        "model_from": "twin",
        "periods": periods | changes.pop("periods", {}),
    }
    return DomainConfig.model_validate(tree | changes)


def without(data: xr.Dataset, code: int, first: str, last: str) -> xr.Dataset:
    """Remove the samples of one mission on some days."""
    days = data["time"].values.astype("datetime64[D]")
    gone = (days >= np.datetime64(first)) & (days <= np.datetime64(last))
    return data.isel(time=~(gone & (data["mission"].values == code)))


def test_a_file_that_serves_a_domain_passes_the_check(tmp_path):
    rads.check(save(clean_file(size=400), tmp_path), domain())
    assert rads.check(tmp_path / "tracks.nc", domain(lon=(295.0, 305.0))) is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: _units(data, "feet"), "units 'feet'"),
        (_mislabelled, "said to be in m"),
        (_plain_time, "not a date"),
        (_swapped, "coordinates swapped or scaled"),
        (_other_codes, "flag_meanings"),
    ],
)
def test_the_check_sees_what_reading_would(tmp_path, spoil, message):
    data = clean_file()
    spoil(data)
    with pytest.raises(DataError, match=message):
        rads.check(save(data, tmp_path), domain())


def test_the_check_finds_a_body_that_is_damaged_behind_a_sound_header(tmp_path):
    data = clean_file(size=4000)
    path = tmp_path / "tracks.nc"
    data.to_netcdf(path, encoding={"sla": {"zlib": True}})
    content = bytearray(path.read_bytes())
    middle = compressed_block(content, data["sla"].nbytes) + 2000
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    with xr.open_dataset(path) as damaged:
        assert damaged["sla"].size == 4000
    with pytest.raises(DataError, match="the data cannot be read"):
        rads.check(path, domain())


def compressed_block(content: bytes, size: int) -> int:
    """Return where the zlib stream begins that unpacks to a number of bytes."""
    for place in range(len(content)):
        if content[place] == 0x78:  # as every zlib stream begins
            try:
                if len(zlib.decompressobj().decompress(content[place:])) == size:
                    return place
            except zlib.error:
                continue
    raise AssertionError("no compressed block found")


def test_the_check_names_years_and_boxes_that_do_not_meet(tmp_path):
    data = clean_file(size=400)
    path = save(data.assign_coords(time=data["time"] - np.timedelta64(365, "D")), tmp_path)
    with pytest.raises(DataError, match="2022-01-22 to 2022-01-31; the file holds 2021-01-22 to"):
        rads.check(path, domain())
    path = save(data, tmp_path)
    with pytest.raises(DataError, match=r"longitudes 10\.0 to 20\.0; .*longitudes -6\d"):
        rads.check(path, domain(lon=(10.0, 20.0)))


@pytest.mark.parametrize(
    ("code", "first", "last", "message"),
    [
        (
            2,
            "2022-01-22",
            "2022-01-31",
            r"no sample of saral in .* periods.available .*none at all",
        ),
        (
            0,
            "2022-01-22",
            "2022-01-26",
            r"no sample of cryosat2 in .* periods.evaluation .*only from",
        ),
    ],
)
def test_the_check_names_the_mission_that_has_no_sample_where_it_is_needed(
    tmp_path, code, first, last, message
):
    data = without(clean_file(size=400), code, first, last)
    with pytest.raises(DataError, match=message):
        rads.check(save(data, tmp_path), domain())


def test_the_check_wants_the_mapped_missions_over_whole_periods(tmp_path):
    long = {"available": ("2022-01-12", "2022-02-10"), "validation": ("2022-01-27", "2022-02-10")}
    path = save(clean_file(size=400), tmp_path)
    with pytest.raises(DataError, match=r"run from 2022-01-27 to 2022-01-31 only, periods.valid"):
        rads.check(path, domain(periods=long))
    early = {"available": ("2022-01-12", "2022-02-10"), "evaluation": ("2022-01-12", "2022-01-26")}
    with pytest.raises(DataError, match=r"periods.evaluation is 2022-01-12 … 2022-01-26: get"):
        rads.check(path, domain(periods=early))
    # a few days without a pass are no reason to stop
    short = {"available": ("2022-01-18", "2022-02-02"), "validation": ("2022-01-27", "2022-02-02")}
    rads.check(path, domain(periods=short))


def test_passes_end_where_latitudes_turn_or_samples_stop():
    minute = np.timedelta64(60, "s")
    time = np.datetime64("2022-01-01", "ns") + np.array([0, 1, 2, 3, 4, 14, 15, 60, 61]) * minute
    lat = np.array([10.0, 14, 18, 18, 14, -26, -30, 20, 24])
    # up 10-18, down 18 to -30 over land (a gap of ten minutes), then a long silence
    assert number_passes(time, lat).tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert number_passes(time[:1], lat[:1]).tolist() == [0]
    assert number_passes(time[:0], lat[:0]).size == 0


@pytest.mark.parametrize("mission", ["jason3", "sentinel3a", "cryosat2"])
def test_derived_passes_are_the_half_orbits(mission):
    orbit = MISSIONS[mission]
    start = np.datetime64("2022-01-01", "ns")
    time = start + np.arange(3 * 86400) * np.timedelta64(1, "s")
    lat, lon = orbit.track(orbit.seconds(time))
    seen = (lat > 15) & (lat < 60) & (lon > -85) & (lon < 0)
    seen &= ~((lat > 30) & (lat < 40) & (lon < -60))  # "land"
    derived = number_passes(time[seen], lat[seen])
    true = orbit.pass_number(orbit.seconds(time[seen]))
    assert np.array_equal(derived, np.unique(true, return_inverse=True)[1])


def test_nothing_to_sort_stays_as_it_is(tmp_path):
    columns = {"time": np.zeros(0, "datetime64[ns]"), "sla": np.zeros(0)}
    assert sorted_without_duplicates(columns, tmp_path)["sla"].size == 0


@pytest.mark.realdata
@pytest.mark.slow
def test_the_real_extract_is_read(real_data):
    path = real_data / "rads_alongtrack_natl_2022.nc"
    tracks = read(path, period=("2022-01-22", "2022-11-04"))
    assert len(tracks) == pytest.approx(68746, abs=10)  # as counted when the extract was made
    assert 0.2 < tracks.height.std() < 0.3
    for index in range(4):
        own = tracks.mission == index
        lat, number, time = tracks.lat[own], tracks.pass_id[own], tracks.time[own]
        for each in np.unique(number)[:60]:
            member = number == each
            climb = np.diff(lat[member])
            assert np.all(climb > 0) or np.all(climb < 0)
            assert np.ptp(time[member]) < np.timedelta64(5, "m")  # a box of 10 degrees
