"""Readers on real pieces of the public data sets, with what is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline_spde.data.sources import (
    SOURCES,
    cmems_l3,
    dc2021a,
    duacs_l4,
    enatl60,
    generic,
    sniff,
    swot_l3,
)
from pipeline_spde.files import DataError

pytestmark = pytest.mark.realdata

KNOWN = {
    "aviso_l4_global_sla_weekly_19921014_19921202.nc": "duacs_l4",
    "cmems_l3_global_saral_20170402.nc": "cmems_l3",
    "cmems_l3_wmed_2021q1_alg.nc": "cmems_l3",
    "cmems_mdt_wmed_1-24deg.nc": None,
    "duacs_l4_global_adt_20181231_20190103.nc": "duacs_l4",
    "duacs_l4_med_sla_err_20140221.nc": "duacs_l4",
    "enatl60_gulfstream_snapshots_1-20deg.nc": "enatl60_snapshots",
    "enatl60_gulfstream_snapshots_native.nc": "enatl60_snapshots",
    "enatl60_swot_karin_med_cycle13.nc": "swot_simulator",
    "enatl60_wmed_daily_20090815.nc": "enatl60_snapshots",
    "landmask_global_1-20deg.nc": None,
    "nasa_ssh_refmission_global_20220101_10.nc": "tracks",
    "nemo_orca1_global_ssh_monthly_2017.nc": "curvilinear",
    "oi_ose_gulfstream_201701.nc": "maps",
    "rads_alongtrack_natl_2022.nc": "rads",
    "sentinel6_l2_global_20231217.nc": "tracks",
    "swot_ephemeris_science.nc": None,
    "swot_l3_karin_wmed_pass003.nc": "swot_l3",
}


@pytest.mark.parametrize("name", KNOWN)
def test_every_piece_is_known_for_what_it_is(real_data, name):
    assert sniff(real_data / name) == KNOWN[name]


def test_level_3_of_the_mediterranean(real_data):
    files = [real_data / f"cmems_l3_wmed_2021q1_{code}.nc" for code in ("alg", "j3", "s3a", "s3b")]
    tracks = cmems_l3.read(files, ("jason3", "saral", "sentinel3a", "sentinel3b"))
    assert tracks.missions[:2] == ("jason3", "saral")
    assert len(tracks) == 17466 + 16176 + 16474 + 16655
    assert tracks.time[0] == np.datetime64("2021-01-01T04:44:24.343755776")
    anomalies = cmems_l3.read(files[0], quantity="sla")
    assert 0.06 < anomalies.height.std() < 0.1 < cmems_l3.read(files[0]).height.std()
    # the correction that the 2021a challenge takes off is centimetres, not metres
    apart = dc2021a.read_observations(files[0]).height - cmems_l3.read(files[0]).height
    assert 0.005 < np.abs(apart).mean() < 0.05


def test_one_global_day_of_saral_has_its_half_orbits(real_data):
    tracks = cmems_l3.read(real_data / "cmems_l3_global_saral_20170402.nc")
    assert tracks.missions == ("saral",) and tracks.quantity == "adt"
    assert -180 <= tracks.lon.min() < -179.9 < 179.9 < tracks.lon.max() < 180
    assert 27 <= np.unique(tracks.pass_id).size <= 30  # 14.3 orbits a day
    derived = generic.read_any_tracks(
        real_data / "cmems_l3_global_saral_20170402.nc", variable="adt_unfiltered"
    )
    assert abs(np.unique(derived.pass_id).size - np.unique(tracks.pass_id).size) <= 2


def test_level_4_of_the_globe_and_of_the_mediterranean(real_data, caplog):
    globe = duacs_l4.read(real_data / "duacs_l4_global_adt_20181231_20190103.nc")
    assert globe.grid.periodic and globe.grid.lon[0] == -179.875 and globe.time.size == 4
    box = duacs_l4.read(
        real_data / "duacs_l4_global_adt_20181231_20190103.nc", (33, 43), (-65, -55)
    )
    rows, columns = np.isin(globe.grid.lat, box.grid.lat), np.isin(globe.grid.lon, box.grid.lon)
    assert np.array_equal(globe.height[:, rows][:, :, columns], box.height)
    sea = duacs_l4.read(real_data / "duacs_l4_med_sla_err_20140221.nc", with_error=True)
    assert "half a day off" in caplog.text  # this version states its centre
    assert sea.quantity == "sla" and sea.grid.bounds == pytest.approx((30, 46, -6, 37), abs=1e-4)
    assert sea.std is not None and 0.001 < np.nanmean(sea.std) < 0.02
    both = real_data / "duacs_l4_med_sla_adt_20160515.nc"
    topography, anomaly = (duacs_l4.read(both, quantity=q) for q in ("adt", "sla"))
    mean = topography.height[0] - anomaly.height[0]
    assert -0.3 < np.nanmin(mean) < np.nanmax(mean) < 0.2  # the mean dynamic topography


def test_two_months_of_the_mediterranean_by_label_and_by_instant(real_data):
    path = real_data / "duacs_l4_med_adt_daily_20050401_20050531.nc"
    label, instant = duacs_l4.read(path), duacs_l4.read(path, midnight="instant")
    assert label.time.size == 61 and instant.time.size == 60
    both = ~(label.grid.land | instant.grid.land)
    expected = (label.height[:-1][:, both] + label.height[1:][:, both]) / 2
    assert np.allclose(instant.height[:, both], expected, rtol=0, atol=1e-6)


def test_oi_maps_of_four_settings(real_data):
    path = real_data / "oi_osse_natl60_gulfstream_20121022_20121201.nc"
    with pytest.raises(DataError, match=r"choose one index of \['config'\]"):
        generic.read_any_maps(path)
    mapping = generic.read_any_maps(path, place={"config": 0})
    assert mapping.time.size == 41 and mapping.grid.resolution == pytest.approx((0.1, 0.1))
    assert 0.35 < mapping.height.std() < 0.42


def test_snapshots_of_enatl60_on_native_nodes(real_data):
    native = enatl60.read_snapshots(real_data / "enatl60_gulfstream_snapshots_native.nc")
    assert [str(t)[:16] for t in native["time"].values] == ["2009-07-01T00:30", "2010-01-01T00:30"]
    assert native["ssh"].shape == (2, 385, 306) and 0.4 < float(native["ssh"].std()) < 0.45
    regular = enatl60.read_snapshots(real_data / "enatl60_gulfstream_snapshots_1-20deg.nc")
    assert float(regular["ssh"].mean()) == pytest.approx(float(native["ssh"].mean()), abs=0.03)
    sea = enatl60.read_snapshots(real_data / "enatl60_wmed_daily_20090815.nc")
    assert sea["time"].values[0] == np.datetime64("2009-08-15T12:00")


def test_swaths_real_and_simulated(real_data):
    real = real_data / "swot_l3_karin_wmed_pass003.nc"
    with pytest.raises(DataError, match="its pass lasted from 2023-03-28T23:44:17Z"):
        swot_l3.read(real)
    tracks = swot_l3.read(real, instant="2023-03-29T00:10")
    assert tracks.quantity == "sla" and 0.01 < tracks.height.std() < 0.05
    assert np.abs(tracks.cross_track).min() >= 10 and np.abs(tracks.cross_track).max() <= 60
    simulated = swot_l3.read_simulated(real_data / "enatl60_swot_karin_med_cycle13.nc")
    assert np.unique(simulated.pass_id).size == 30  # as the file's own list of passes
    assert np.all(np.diff(simulated.time) >= np.timedelta64(0, "ns"))


def test_the_reference_mission_is_an_anomaly_although_it_is_called_ssh(real_data):
    path = real_data / "nasa_ssh_refmission_global_20220101_10.nc"
    tracks = generic.read_any_tracks(path, ("jason3",), period=("2022-01-01", "2022-01-02"))
    assert tracks.quantity == "sla" and tracks.missions == ("jason3",)
    assert np.abs(tracks.lat).max() == pytest.approx(66.15, abs=0.05)


def test_the_registry_reads_what_it_knows(real_data):
    for name in ("cmems_l3_wmed_2021q1_j3.nc", "duacs_l4_med_adt_daily_20050401_20050531.nc"):
        source = SOURCES[sniff(real_data / name)]
        found = source.read(real_data / name, lat=(36, 44), lon=(0, 15))
        kinds = {"tracks": "Tracks", "maps": "Maps"}
        assert type(found).__name__ == kinds[source.gives]
