"""Interpolation without extrapolation, and Laplace filling."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import RegularGridInterpolator

from pipeline_spde.scores.collocation import collocate
from pipeline_spde.scores.regrid import as_cube, fill_laplace, inside_margin, to_grid, to_points

DAY = np.timedelta64(86400, "s")


@pytest.fixture
def source(rng, maps):
    return maps(rng.standard_normal((5, 8, 9)), step=0.5)


def reference(source):
    seconds = (source["time"].values - source["time"].values[0]) / DAY
    axes = (seconds, source["lat"].values, source["lon"].values)
    return RegularGridInterpolator(axes, source.values, bounds_error=False)


def test_points_agree_with_scipy(source, rng):
    days = rng.uniform(-0.5, 4.5, 500)
    lat, lon = rng.uniform(33.0, 37.0, 500), rng.uniform(-65.0, -60.5, 500)
    time = source["time"].values[0] + (days * 86400e3).astype("timedelta64[ms]")
    exact_days = (time - source["time"].values[0]) / DAY
    expected = reference(source)(np.stack([exact_days, lat, lon], axis=1))
    found = to_points(source, time, lat, lon)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(to_points(source, time, lat, lon + 360), expected, atol=1e-10)


def test_grids_agree_with_scipy(source):
    times = source["time"].values[:4] + np.timedelta64(6, "h")
    lat, lon = np.linspace(33.3, 36.6, 7), np.linspace(-64.7, -60.8, 6)
    mesh = np.meshgrid(np.arange(4) + 0.25, lat, lon, indexing="ij")
    expected = reference(source)(np.stack(mesh, axis=-1))
    np.testing.assert_allclose(to_grid(source, times, lat, lon), expected, rtol=1e-10, atol=1e-12)


def test_nothing_is_extrapolated(source):
    lat = source["lat"].values
    found = to_grid(source, source["time"].values, np.append(lat, lat[-1] + 0.1), source["lon"])
    assert np.isfinite(found[:, :-1]).all()
    assert np.isnan(found[:, -1]).all()


def test_the_same_grid_returns_the_same_values_beside_missing_ones(source):
    holed = source.copy()
    holed[1, 3, 4] = np.nan
    lat32 = holed["lat"].values.astype(np.float32).astype(np.float64)
    lon32 = holed["lon"].values.astype(np.float32).astype(np.float64) + 360.0
    found = to_grid(holed, holed["time"].values, lat32, lon32)
    assert np.isnan(found).sum() == 1
    np.testing.assert_allclose(found, holed.values, atol=1e-4)


def test_a_missing_node_takes_its_neighbourhood_with_it(source):
    holed = source.copy()
    holed[1, 3, 4] = np.nan
    lat = source["lat"].values[:-1] + 0.25
    found = to_grid(holed, holed["time"].values, lat, holed["lon"].values)
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 2, 4], [1, 3, 4]]


def test_maps_of_the_whole_circle_have_no_seam(maps):
    lon = np.arange(0.5, 360, 1.0)
    data = maps(np.zeros((2, 3, 360)), step=1.0, west=0.0)
    data = data + np.cos(np.radians(data["lon"]))
    near_seam = to_grid(data, data["time"].values, data["lat"].values, np.linspace(-2, 2, 9))
    expected = np.interp(np.linspace(-2, 2, 9) + 360, [*lon.tolist(), 360.5, 361.5, 362.5],
                         np.cos(np.radians([*lon, 0.5, 1.5, 2.5])))  # fmt: skip
    np.testing.assert_allclose(near_seam[0, 0], expected, atol=1e-12)
    at_seam = to_points(data, data["time"].values[:1], np.array([34.0]), np.array([-0.25]))
    np.testing.assert_allclose(at_seam, np.cos(np.radians(0.5)), atol=1e-12)


def test_one_map_serves_its_own_time_only(source):
    one = source.isel(time=[2])
    times = source["time"].values
    found = to_grid(one, times, source["lat"].values, source["lon"].values)
    assert np.isfinite(found).all(axis=(1, 2)).tolist() == [False, False, True, False, False]


def test_axes_are_put_in_order(source):
    shuffled = source.isel(lat=slice(None, None, -1)).transpose("lon", "time", "lat")
    assert as_cube(shuffled, "estimate").equals(source)
    with pytest.raises(ValueError, match="dimensions"):
        as_cube(source.rename(lat="latitude"), "estimate")
    with pytest.raises(ValueError, match="twice"):
        as_cube(xr.concat([source, source], "time"), "estimate")


def test_margin_counts_from_the_cell_edge():
    axis = 32.0 + 0.2 * (np.arange(60) + 0.5)
    assert axis[inside_margin(axis, 1.0)].size == 50
    assert inside_margin(axis, 0.0) == slice(0, 60)
    with pytest.raises(ValueError, match="leaves nothing"):
        inside_margin(axis, 6.5)


def gauss_seidel(field, missing):
    """Sweeps to convergence with mirrored edges, started from the mean."""
    field = np.where(missing, np.nanmean(field[~missing]), field)
    ny, nx = field.shape
    for _ in range(20_000):
        change = 0.0
        for j, i in np.argwhere(missing):
            south, north = (1 if j == 0 else j - 1), (ny - 2 if j == ny - 1 else j + 1)
            west, east = (1 if i == 0 else i - 1), (nx - 2 if i == nx - 1 else i + 1)
            value = (field[south, i] + field[north, i] + field[j, west] + field[j, east]) / 4
            change = max(change, abs(value - field[j, i]))
            field[j, i] = value
        if change < 1e-13:
            return field
    raise AssertionError("the reference did not converge")


def test_filling_is_the_fixed_point_of_gauss_seidel(rng):
    field = rng.standard_normal((3, 7, 9))
    missing = np.zeros((3, 7, 9), bool)
    missing[0, :2] = True  # outer rows, the published case
    missing[1:, 3:5, 4:7] = True
    missing[1:, 6, 8] = missing[1:, 0, 0] = True
    filled = fill_laplace(np.where(missing, np.nan, field), missing)
    np.testing.assert_array_equal(filled[~missing], field[~missing])
    for day in range(3):
        np.testing.assert_allclose(filled[day], gauss_seidel(field[day], missing[day]), atol=1e-10)


def test_filling_restores_a_harmonic_field():
    y, x = np.meshgrid(np.arange(8.0), np.arange(9.0), indexing="ij")
    harmonic = (0.3 * x - 0.7 * y + 0.05 * (x**2 - y**2))[None]
    missing = np.zeros((1, 8, 9), bool)
    missing[0, 2:6, 3:7] = True
    np.testing.assert_allclose(
        fill_laplace(np.where(missing, 0, harmonic), missing), harmonic, atol=1e-12
    )


def test_a_day_without_any_value_cannot_be_filled():
    missing = np.zeros((2, 3, 3), bool)
    missing[1] = True
    with pytest.raises(ValueError, match=r"days \[1\]"):
        fill_laplace(np.zeros((2, 3, 3)), missing)


def test_collocation_by_calendar_day_ignores_the_hour(source, maps):
    midnight = source.assign_coords(time=source["time"] - np.timedelta64(12, "h"))
    by_day = collocate(truth=source, estimate=midnight, margin_degrees=0, times="calendar day")
    np.testing.assert_array_equal(by_day.estimate, source.values)
    linear = collocate(truth=source, estimate=midnight, margin_degrees=0)
    assert linear.missing_days == 1  # the last noon lies beyond the last midnight
    np.testing.assert_allclose(linear.estimate, (source.values[:-1] + source.values[1:]) / 2)
