"""Files of one's own as truth and tracks: on the domain's cells and days, or refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline_spde.config import DomainConfig, ObservationConfig
from pipeline_spde.data import export, observe, own_files
from pipeline_spde.fields import Maps, daily_stamps
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid
from pipeline_spde.paths import find_files
from pipeline_spde.periods import Period

MISSIONS = ("jason1", "envisat")
BOX = {"lat": (33.0, 43.0), "lon": (-65.0, -55.0), "resolution": 0.5}
DAYS = ("2012-10-22", "2012-11-02")


def smooth_sea(first: str, last: str, offset_east: float = 0.0) -> Maps:
    """Days of a sea that is linear in latitude and in time, in m."""
    grid = Grid.from_bounds((31.0, 45.0), (-67.0 + offset_east, -53.0 + offset_east), 0.5)
    time = daily_stamps(first, last)
    height = 0.05 * (grid.lat[None, :, None] - 38.0) + 0.01 * np.arange(time.size)[:, None, None]
    height = np.broadcast_to(height, (time.size, *grid.shape)).astype(np.float32)
    return Maps(time, grid, height.copy(), "ssh")


def period(first: str, last: str) -> Period:
    return Period.model_validate([first, last])


def domain(**changes) -> DomainConfig:
    """A domain of the twelve days that the files hold."""
    calendar = {"available": DAYS, "evaluation": DAYS}
    calendar |= {"train": None, "validation": None, "embargo": None}
    tree = {"source": "files", "truth_file": "truth.nc", "tracks_file": "tracks", **BOX}
    return DomainConfig.model_validate(
        tree | {"missions": MISSIONS, "periods": calendar, "evaluation_margin": 1.0} | changes
    )


def with_days(**periods) -> DomainConfig:
    tree = {"available": DAYS, "evaluation": DAYS, "train": None, "validation": None}
    return domain(periods=tree | {"embargo": None} | periods)


@pytest.fixture(scope="module")
def truth_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    return export.write_oceanbench_truth(smooth_sea(*DAYS), folder / "gf_mod_ssh_daily.nc")


@pytest.fixture(scope="module")
def tracks_files(tmp_path_factory) -> list[Path]:
    tracks = observe.simulate_tracks(smooth_sea(*DAYS), MISSIONS, ObservationConfig(), seed=3)
    return export.write_dc2020a_observations(tracks, tmp_path_factory.mktemp("tracks"))


def cells(resolution: float = 0.5) -> Grid:
    return Grid.from_bounds(BOX["lat"], BOX["lon"], resolution)


def test_nodes_that_agree_are_left_as_they_are(truth_file):
    found = own_files.read_truth([truth_file], cells(), period(*DAYS))
    rows = np.isin(smooth_sea(*DAYS).grid.lat, found.grid.lat)
    wanted = smooth_sea(*DAYS).height[:, rows, :1]
    assert np.array_equal(found.height, np.broadcast_to(wanted, found.height.shape))
    assert found.quantity == "ssh" and found.grid.ocean.all()


@pytest.mark.parametrize("resolution", [1.0, 0.25])
def test_larger_cells_get_means_and_smaller_ones_lie_between(truth_file, resolution):
    found = own_files.read_truth([truth_file], cells(resolution), period(*DAYS))
    expected = 0.05 * (found.grid.lat[None, :, None] - 38.0)
    expected = expected + 0.01 * np.arange(12)[:, None, None]
    assert np.allclose(found.height, expected, atol=1e-6)


def test_land_of_the_file_is_land_of_the_domain(tmp_path):
    sea = smooth_sea(*DAYS)
    land = np.zeros(sea.grid.shape, bool)
    land[:, :8] = True
    height = np.where(land, np.float32(np.nan), sea.height)
    coast = Maps(sea.time, Grid.latlon(sea.grid.lat, sea.grid.lon, land), height, "ssh")
    path = export.write_oceanbench_truth(coast, tmp_path / "gf_mod_ssh_daily.nc")
    found = own_files.read_truth([path], cells(), period(*DAYS))
    assert np.array_equal(found.grid.land, np.broadcast_to(found.grid.lon < -63.0, (20, 20)))


def weekly(path: Path, every: int) -> Path:
    """Write a map every few days, with CF times."""
    export.write_oceanbench_result(smooth_sea("2012-10-15", "2012-11-12"), path)
    with xr.open_dataset(path) as whole:
        few = whole.isel(time=slice(None, None, every)).load()
    few.to_netcdf(path)
    return path


def test_weekly_maps_are_interpolated_in_time(tmp_path):
    path = weekly(tmp_path / "maps.nc", 7)
    found = own_files.read_truth([path], cells(), period(*DAYS))
    expected = 0.05 * (found.grid.lat[None, :, None] - 38.0)
    expected = expected + 0.01 * np.arange(7, 19)[:, None, None]
    assert np.allclose(found.height, expected, atol=1e-6)


def test_a_gap_that_is_too_long_is_named(tmp_path):
    path = weekly(tmp_path / "maps.nc", 14)
    with pytest.raises(DataError, match="no map between 2012-10-15 and 2012-10-29; gaps of up to"):
        own_files.read_truth([path], cells(), period("2012-10-22", "2012-10-28"))


def test_days_that_the_truth_lacks_are_named(truth_file):
    with pytest.raises(DataError, match=r"gf_mod_ssh_daily.nc.*2012-11-0"):
        own_files.check_truth([truth_file], with_days(available=(DAYS[0], "2012-11-09")))
    with pytest.raises(DataError, match=r"gf_mod_ssh_daily.nc"):
        own_files.check_truth([truth_file], with_days(available=("2012-10-01", DAYS[1])))
    own_files.check_truth([truth_file], domain())


def test_a_box_elsewhere_is_refused_with_both_boxes(truth_file):
    with pytest.raises(DataError, match=r"gf_mod_ssh_daily.nc.*lat"):
        own_files.check_truth([truth_file], domain(lat=(0.0, 10.0)))
    partly = domain(lat=(33.0, 43.0), lon=(-5.0, 5.0))
    with pytest.raises(DataError, match=r"gf_mod_ssh_daily.nc.*lon"):
        own_files.check_truth([truth_file], partly)


def test_tracks_are_no_truth_and_maps_are_no_tracks(truth_file, tracks_files):
    with pytest.raises(DataError, match=r"2020a challenge.*gives no maps; layouts that do are"):
        own_files.check_truth(tracks_files, domain())
    with pytest.raises(DataError, match=r"OceanBench.*gives no tracks; layouts that do are"):
        own_files.check_tracks([truth_file], domain())


def test_a_file_of_no_known_layout_is_named_with_the_known_ones(tmp_path):
    path = tmp_path / "other.nc"
    xr.Dataset({"wind": ("x", np.arange(3.0))}).to_netcdf(path)
    with pytest.raises(DataError, match=r"other.nc: not a layout that is known.*oceanbench_truth"):
        own_files.check_truth([path], domain())


def test_files_of_several_layouts_are_not_mixed(truth_file, tracks_files):
    with pytest.raises(DataError, match="several layouts"):
        own_files.check_truth([truth_file, tracks_files[0]], domain())


def test_tracks_that_serve_the_domain_come_as_they_were_written(tracks_files):
    own_files.check_tracks(tracks_files, domain())
    found = own_files.read_tracks(
        tracks_files, MISSIONS, BOX["lat"], BOX["lon"], period(*DAYS), "ssh"
    )
    assert set(found.missions) == set(MISSIONS) and found.quantity == "ssh" and len(found) > 500


def test_a_mission_that_is_not_there_is_named(tracks_files):
    with pytest.raises((DataError, FileNotFoundError), match="geosat_follow_on"):
        own_files.check_tracks(tracks_files, domain(missions=(*MISSIONS, "geosat_follow_on")))


def test_track_days_that_are_not_there_are_named_with_the_key(tracks_files):
    days = {"available": ("2012-10-22", "2013-01-31"), "evaluation": DAYS}
    late = with_days(**days, train=("2012-12-20", "2013-01-31"))
    with pytest.raises(DataError, match=r"periods\.train"):
        own_files.check_tracks(tracks_files, late)
    long = with_days(**days | {"evaluation": ("2012-10-22", "2012-11-20")})
    with pytest.raises(DataError, match=r"run from .* only, periods\.evaluation is"):
        own_files.check_tracks(tracks_files, long)


def test_heights_of_another_kind_are_refused(tracks_files):
    with pytest.raises(DataError, match=r"its heights are ssh, the domain wants sla \(quantity\)"):
        own_files.check_tracks(tracks_files, domain(quantity="sla"))


def test_paths_are_looked_up_below_the_data_folder(truth_file, tracks_files, monkeypatch):
    monkeypatch.setenv("PIPELINE_SPDE_DATA", str(truth_file.parent))
    assert find_files(Path("gf_mod_ssh_daily.nc")) == [truth_file]
    assert find_files(Path("*.nc")) == [truth_file]
    missing = truth_file.parent / "nothing.nc"
    assert find_files(Path("nothing.nc")) == [missing]  # named, so that the workflow can say it
    monkeypatch.setenv("PIPELINE_SPDE_DATA", str(tracks_files[0].parent.parent))
    assert find_files(Path(tracks_files[0].parent.name)) == sorted(tracks_files)
