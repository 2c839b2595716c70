"""What is exported to a public layout comes back through the reader of that layout."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from pipeline_spde.config import ObservationConfig
from pipeline_spde.data import export, observe
from pipeline_spde.data.sources import SOURCES, dc2020a, oceanbench, sniff, starter
from pipeline_spde.fields import GriddedObservations, Maps, Tracks, daily_stamps
from pipeline_spde.grids import Grid

MISSIONS = ("swot_karin", "jason1", "swot_nadir")


@pytest.fixture(scope="module")
def truth() -> Maps:
    """Six days of a smooth sea of half-degree cells, with one cell of land."""
    grid = Grid.from_bounds((33.0, 43.0), (-65.0, -55.0), 0.5)
    land = np.zeros(grid.shape, bool)
    land[0, 0] = True
    grid = Grid.latlon(grid.lat, grid.lon, land)
    time = daily_stamps("2012-10-22", "2012-10-27")
    day = np.arange(6)[:, None, None]
    height = 0.3 + 0.5 * np.sin(grid.lat[None, :, None] + 0.2 * day + 0.4 * grid.lon)
    height[:, land] = np.nan
    return Maps(time, grid, height.astype(np.float32), "ssh")


@pytest.fixture(scope="module")
def tracks(truth) -> Tracks:
    return observe.simulate_tracks(truth, MISSIONS, ObservationConfig(), seed=3)


@pytest.fixture(scope="module")
def cells(truth, tracks) -> GriddedObservations:
    return observe.bin_to_grid(tracks, truth.grid, truth.time, 0.02)


def test_a_truth_comes_back_from_the_hourly_reference_bit_by_bit(truth, tmp_path):
    files = export.write_dc2020a_reference(truth, tmp_path)
    assert [path.name for path in files][:1] == ["NATL60-CJM165_GULFSTREAM_y2012m10d22.1h_SSH.nc"]
    with xr.open_dataset(files[0]) as day:
        assert day["sossheig"].dims == ("time", "lat", "lon") and day.sizes["time"] == 24
        assert day["time"].values[0] == np.datetime64("2012-10-22T00:30")
        assert day["time"].values[-1] == np.datetime64("2012-10-22T23:30")
    assert sniff(files[0]) == "dc2020a_reference"
    back = dc2020a.read_reference(tmp_path)
    assert np.array_equal(back.height, truth.height, equal_nan=True)
    assert np.array_equal(back.time, truth.time)
    assert back.grid.same_axes(truth.grid) and np.array_equal(back.grid.land, truth.grid.land)
    part = dc2020a.read_reference(tmp_path, (35, 40), (295, 300), ("2012-10-23", "2012-10-24"))
    assert part.grid.bounds == pytest.approx((35, 40, -65, -60)) and part.time.size == 2


def test_samples_come_back_from_one_file_per_mission(tracks, tmp_path):
    files = export.write_dc2020a_observations(tracks, tmp_path)
    assert {sniff(path) for path in files} == {"dc2020a_observations"}
    assert files[0].name == "2020a_SSH_mapping_NATL60_karin_swot.nc"
    with xr.open_dataset(files[0]) as swath:
        assert swath["ssh_model"].dims == ("time", "nC") and swath["x_ac"].dims == ("nC",)
        assert swath.sizes["nC"] == 20  # 10 to 60 km on both sides, 5 km each
    back = dc2020a.read_observations(tmp_path, MISSIONS)
    assert back.missions == MISSIONS and len(back) == len(tracks)
    ours, theirs = (np.lexsort((t.cross_track, t.mission, t.time)) for t in (tracks, back))
    for name in ("time", "lat", "lon", "height", "mission", "cross_track"):
        assert np.array_equal(getattr(tracks, name)[ours], getattr(back, name)[theirs]), name
    for index in range(3):
        member = tracks.mission[ours] == index
        pairs = np.stack([tracks.pass_id[ours][member], back.pass_id[theirs][member]])
        distinct = np.unique(pairs, axis=1).shape[1]
        assert distinct == np.unique(pairs[0]).size == np.unique(pairs[1]).size


def test_truth_and_observations_come_back_from_oceanbench(truth, cells, tmp_path):
    path = export.write_oceanbench_truth(truth, tmp_path / "gf_mod_ssh_daily.nc")
    with xr.open_dataset(path, decode_times=False) as raw:
        assert "units" not in raw["time"].attrs and raw["ssh"].dtype == np.float64
        assert raw["time"].values[0] == 21.5 * 86400
    back = oceanbench.read_truth(path)
    assert np.array_equal(back.height, truth.height, equal_nan=True)
    assert np.array_equal(back.time, truth.time) and sniff(path) == "oceanbench_truth"

    path = export.write_oceanbench_observations(cells, tmp_path / "gf_obs_nadirswot.nc")
    with xr.open_dataset(path, decode_times=False) as raw:
        assert raw["time"].values.tolist() == [21, 22, 23, 24, 25, 26]
    seen = oceanbench.read_observations(path, error_m=0.05)
    assert sniff(path) == "oceanbench_observations"
    assert np.array_equal(seen.observed, cells.observed)
    assert np.array_equal(seen.height, cells.height) and np.array_equal(seen.time, cells.time)
    assert np.all(seen.error[seen.observed] == np.float32(0.05))

    path = export.write_oceanbench_result(truth, tmp_path / "ours.nc")
    result = oceanbench.read_result(path)
    assert np.array_equal(result.height, truth.height, equal_nan=True)
    assert np.array_equal(result.time, truth.time)


def test_both_come_back_from_the_one_file_of_the_starter(truth, cells, tmp_path):
    path = export.write_starter(truth, cells, tmp_path / "natl_gf_w_5nadirs.nc")
    assert sniff(path) == "starter"
    assert np.array_equal(starter.read_truth(path).height, truth.height, equal_nan=True)
    seen = starter.read_observations(path, period=("2012-10-23", "2012-10-25"))
    assert np.array_equal(seen.observed, cells.observed[1:4])
    assert SOURCES["starter"].read(path).quantity == "ssh"


def test_what_a_layout_cannot_hold_is_refused(truth, tracks, cells, tmp_path):
    anomalies = Maps(truth.time, truth.grid, truth.height, "sla")
    with pytest.raises(ValueError, match="for model SSH, these heights are sla"):
        export.write_oceanbench_truth(anomalies, tmp_path / "truth.nc")
    with pytest.raises(ValueError, match="these heights are sla"):
        export.write_dc2020a_reference(anomalies, tmp_path)
    strange = observe.simulate_tracks(truth, ("saral",), ObservationConfig(), seed=0)
    with pytest.raises(ValueError, match=r"has no mission \['saral'\]"):
        export.write_dc2020a_observations(strange, tmp_path)
    nothing = tracks.select(tracks.mission != 1)
    with pytest.raises(ValueError, match=r"\['jason1'\]: no sample"):
        export.write_dc2020a_observations(nothing, tmp_path)
    with pytest.raises(ValueError, match="same days and nodes"):
        export.write_starter(truth.between("2012-10-22", "2012-10-24"), cells, tmp_path / "x.nc")
    assert not list(tmp_path.iterdir())
