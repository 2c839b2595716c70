"""The offline land mask: known places, geometry against brute force, an independent mask."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.land import CELLS_PER_DEGREE, _interval_means, is_land, land_mask

PLACES = {
    "Paris": (48.85, 2.35, True),
    "Sahara": (23.0, 10.0, True),
    "South Pole": (-90.0, 0.0, True),
    "North Pole": (90.0, 0.0, False),
    "Siberia by the date line": (67.0, 180.0, True),
    "Fiji's Viti Levu": (-17.8, 178.0, True),
    "Gulf Stream": (38.0, -60.0, False),
    "Nova Scotia": (44.8, -64.0, True),
    "date line in the Pacific": (0.0, 180.0, False),
    "western Mediterranean": (40.0, 5.0, False),
    "Majorca": (39.65, 3.0, True),
    "Black Sea": (43.0, 34.0, False),
    "Baltic": (58.0, 20.0, False),
    "Red Sea": (20.0, 38.5, False),
    "Caspian counts as land": (41.7, 50.8, True),
    "Lake Superior counts as land": (47.7, -88.0, True),
    "Ross ice shelf south of 79 S": (-80.0, -175.0, True),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("turn", [-360.0, 0.0, 360.0])
def test_known_places_in_every_longitude_convention(place: str, turn: float) -> None:
    lat, lon, expected = PLACES[place]
    assert bool(is_land(lat, lon + turn)) is expected


def test_points_broadcast() -> None:
    assert is_land(np.zeros((3, 1)), np.zeros(4)).shape == (3, 4)


@pytest.mark.slow
def test_the_share_of_land_is_that_of_the_earth() -> None:
    lat = np.arange(-89.5, 90, 1.0)
    land = land_mask(lat, np.arange(-179.5, 180, 1.0))
    share = np.average(land.mean(axis=1), weights=np.cos(np.radians(lat)))
    # 29.2 % of the Earth is land; ice shelves and lakes count in part
    assert share == pytest.approx(0.292, abs=0.01)


@settings(deadline=None, max_examples=30)
@given(
    south=st.integers(-1700, 1600),
    west=st.integers(-9000, 9000),
    size=st.integers(1, 9),
    count=st.integers(2, 8),
)
def test_cells_made_of_whole_mask_cells_follow_the_majority(
    south: int, west: int, size: int, count: int
) -> None:
    step = size / CELLS_PER_DEGREE
    centres = step * (np.arange(count) + 0.5)
    lat, lon = south / CELLS_PER_DEGREE + centres, west / CELLS_PER_DEGREE + centres
    fine = (np.arange(count * size) + 0.5) / CELLS_PER_DEGREE
    points = is_land(
        (south / CELLS_PER_DEGREE + fine)[:, None], (west / CELLS_PER_DEGREE + fine)[None, :]
    )
    share = points.reshape(count, size, count, size).mean(axis=(1, 3))
    np.testing.assert_array_equal(land_mask(lat, lon), share >= 0.5)


def test_cells_finer_than_the_mask_take_the_value_of_their_place() -> None:
    lat, lon = 39.0 + 0.01 * (np.arange(100) + 0.5), 2.0 + 0.01 * (np.arange(150) + 0.5)
    np.testing.assert_array_equal(land_mask(lat, lon), is_land(lat[:, None], lon[None, :]))


def test_a_grid_may_cross_the_date_line_and_use_any_convention() -> None:
    lat, lon = np.arange(60.1, 72, 0.2), np.arange(170.1, 200, 0.2)
    land = land_mask(lat, lon)
    assert land.any()
    assert not land.all()
    np.testing.assert_array_equal(land, land_mask(lat, lon - 360))
    np.testing.assert_array_equal(land[:, lon > 180], land_mask(lat, lon[lon > 180] - 360))


def test_interval_means_equal_the_integral() -> None:
    values = np.array([[1.0], [3.0], [5.0]])
    means = _interval_means(values, np.array([0.5, 1.0, 2.5, 3.0]))
    np.testing.assert_allclose(means[:, 0], [1.0, (3 + 2.5) / 1.5, 5.0])


@pytest.mark.parametrize(
    ("lat", "lon", "message"),
    [
        ([0.0, 91.0], [0.0, 1.0], "90"),
        ([1.0, 0.0], [0.0, 1.0], "increasing"),
        ([0.0], [0.0, 1.0], "at least 2"),
        ([0.0, 1.0], [0.0, np.nan], "finite"),
        ([0.0, 1.0], [0.0, 180.0, 360.0], "at most 360"),
    ],
)
def test_unusable_axes_are_refused(lat: list, lon: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        land_mask(lat, lon)


def test_the_file_is_small() -> None:
    size = len((files("pipeline_spde") / "resources" / "land_1-20deg.npz").read_bytes())
    assert size <= 150_000


@pytest.mark.realdata
def test_agreement_with_an_independent_mask(real_data) -> None:
    with xr.open_dataset(real_data / "landmask_global_1-20deg.nc") as data:
        other = data["land"].values.astype(bool)
        lat, lon = data["lat"].values.astype(float), data["lon"].values.astype(float)
    # its axes are labelled a sixth of a cell off the cell centres
    ours = is_land(lat[:, None], lon[None, :])
    agree = ours == other
    assert np.average(agree.mean(axis=1), weights=np.cos(np.radians(lat))) >= 0.99
    assert agree.mean() >= 0.98
    mid_latitudes = np.abs(lat) < 35
    assert agree[mid_latitudes].mean() >= 0.994
