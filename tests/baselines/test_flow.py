"""Currents of a low-passed height: geostrophy in closed form, coasts, equator, largest speed."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline_spde.baselines.flow import (
    GRAVITY,
    LARGEST_SPEED,
    LEAST_LATITUDE,
    ROTATION,
    currents,
    low_pass,
)
from pipeline_spde.grids import Grid

SHARP = 1e-3  # km: a low-pass that leaves every cell as it is


def box(south: float, land: np.ndarray | None = None, ny: int = 14, nx: int = 16) -> Grid:
    return Grid.latlon(south + 0.25 * np.arange(ny), -60 + 0.25 * np.arange(nx), land)


def undamped(east: np.ndarray, north: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the bound on the speed off: |u| = v / √(1 + v²/c²) solved for v."""
    root = np.sqrt(1 - (east**2 + north**2) / LARGEST_SPEED**2)
    return east / root, north / root


def km_per_day(slope_m_per_km: float, latitude: np.ndarray) -> np.ndarray:
    """g/f times a slope, by way of m/s."""
    coriolis = 2 * ROTATION * np.sin(np.radians(latitude))
    return GRAVITY / coriolis * (slope_m_per_km / 1000) * 86400 / 1000


@pytest.mark.parametrize("south", [38.0, -42.0])
def test_a_slope_to_the_north_drives_the_current_of_geostrophy(south):
    grid = box(south)
    slope = 2e-4  # m/km
    height = np.repeat(slope * grid.dy_km * np.arange(14)[:, None], 16, axis=1)
    east, north = undamped(*currents(height, grid, SHARP))
    np.testing.assert_allclose(east, -km_per_day(slope, grid.lat)[:, None] * np.ones(16), rtol=1e-9)
    np.testing.assert_allclose(north, 0, atol=1e-12)
    # high water to the north: westward in the northern hemisphere, eastward in the southern
    assert np.all(np.sign(east) == -np.sign(south))


@pytest.mark.parametrize("south", [38.0, -42.0])
def test_a_slope_to_the_east_drives_the_current_of_geostrophy(south):
    grid = box(south)
    slope = 2e-4
    height = slope * grid.dx_km[:, None] * np.arange(16)
    height -= height.mean(axis=1, keepdims=True)
    east, north = undamped(*currents(height, grid, SHARP))
    np.testing.assert_allclose(north, km_per_day(slope, grid.lat)[:, None] * np.ones(16), rtol=1e-9)
    assert np.abs(east).max() < 0.05 * np.abs(north).max()  # cells narrow to the pole


@pytest.mark.parametrize("south", [38.0, -42.0])
def test_water_turns_around_a_high_as_the_hemisphere_has_it(south):
    grid = box(south, ny=21, nx=21)
    y, x = np.meshgrid(np.arange(21) - 10, np.arange(21) - 10, indexing="ij")
    east, north = currents(0.05 * np.exp(-(x**2 + y**2) / 18), grid, SHARP)
    turning = x * north - y * east  # > 0: counter-clockwise
    inside = (np.hypot(x, y) > 1) & (np.hypot(x, y) < 6)
    assert np.all(turning[inside] * south < 0)


def test_no_current_crosses_the_lines_of_equal_height():
    grid = box(-42.0, ny=24, nx=24)
    wave = 0.1 * np.sin(2 * np.pi * (np.arange(24)[:, None] / 16 + np.arange(24) / 20))
    east, north = currents(wave, grid, SHARP)
    south_north, west_east = np.gradient(wave, grid.dy_km, 1.0)
    along = east * west_east / grid.dx_km[:, None] + north * south_north
    size = np.hypot(east, north) * np.hypot(west_east / grid.dx_km[:, None], south_north)
    assert np.abs(along[1:-1, 1:-1]).max() < 1e-12 * size.max()


def test_a_plane_wave_keeps_the_share_that_a_gaussian_passes():
    grid = Grid.latlon(np.arange(-40, -19, 0.25), np.arange(-180, 180, 2.0), periodic=True)
    dx = grid.dx_km.mean()
    circle, width = dx * 180, 700.0
    waves, deviation = 15, width / np.sqrt(8 * np.log(2))
    wave = np.cos(2 * np.pi * waves * np.arange(180) / 180) * np.ones((84, 1))
    passed = np.exp(-0.5 * (2 * np.pi * waves / circle * deviation) ** 2)
    np.testing.assert_allclose(low_pass(wave, grid, width), passed * wave, atol=2e-3)
    assert 0.2 < passed < 0.8


def test_low_pass_keeps_a_constant_up_to_coasts_and_walls_and_reads_no_land():
    land = np.zeros((14, 16), bool)
    land[:5, :4] = land[9, 9] = True
    grid = box(30.0, land)
    height = np.where(land, np.nan, 0.7)
    smooth = low_pass(height, grid, 190.0)
    np.testing.assert_allclose(smooth[~land], 0.7, rtol=1e-12)
    assert not smooth[land].any()


def test_low_pass_wraps_around_a_circle_only():
    lat, lon = np.arange(30, 36, 1.0), np.arange(0, 360, 5.0)
    height = np.zeros((6, 72))
    height[:, -1] = 1.0
    for periodic in (True, False):
        smooth = low_pass(height, Grid.latlon(lat, lon, periodic=periodic), 1500.0)
        assert (smooth[:, 0] > 0.05).all() == periodic


def test_a_slope_goes_on_across_the_seam_of_a_circle():
    lat, lon = np.arange(-36, -30, 1.0), np.arange(0, 360, 5.0)
    grid = Grid.latlon(lat, lon, periodic=True)
    height = 0.2 * np.sin(np.radians(3 * lon)) * np.ones((6, 1))
    _, north = currents(height, grid, SHARP)
    _, rolled = currents(np.roll(height, 17, axis=1), grid, SHARP)
    np.testing.assert_allclose(np.roll(north, 17, axis=1), rolled, rtol=1e-12, atol=1e-15)


def test_differences_stay_in_the_water():
    land = np.zeros((14, 16), bool)
    land[6:9, 7] = True
    land[0, 0] = land[1, 1] = True
    land[0, 2] = land[1, 0] = True
    land[0, 1] = False  # a pond of one cell, land on all sides
    grid = box(38.0, land)
    slope = 1e-4
    plane = slope * grid.dy_km * np.arange(14)[:, None] * np.ones(16)
    results = [
        currents(np.where(land, on_land, plane), grid, SHARP) for on_land in (np.nan, 0.0, 1e6)
    ]
    for east, north in results:
        np.testing.assert_array_equal(east, results[0][0])
        np.testing.assert_array_equal(north, results[0][1])
        assert not east[land].any() and not north[land].any()
        assert east[0, 1] == 0 and north[0, 1] == 0
    east, north = undamped(*results[0])
    expected = np.broadcast_to(-km_per_day(slope, grid.lat)[:, None], grid.shape)
    wet = ~land
    wet[0, 1] = False
    np.testing.assert_allclose(east[wet], expected[wet], rtol=1e-9)
    np.testing.assert_allclose(north[wet], 0, atol=1e-9)


def test_near_the_equator_the_coriolis_parameter_stops_falling():
    grid = Grid.latlon(np.arange(-7, 7.1, 0.5), -60 + 0.5 * np.arange(8))
    slope = 1e-5
    height = slope * grid.dy_km * np.arange(29)[:, None] * np.ones(8)
    east, _ = undamped(*currents(height, grid, SHARP))
    used = np.where(np.abs(grid.lat) < LEAST_LATITUDE, LEAST_LATITUDE, np.abs(grid.lat))
    expected = km_per_day(slope, used)[:, None] * np.ones(8)
    np.testing.assert_allclose(np.abs(east), expected, rtol=1e-9)
    assert np.all(east[grid.lat > 0] < 0) and np.all(east[grid.lat < 0] > 0)
    assert np.isfinite(east).all()


def test_speeds_stay_below_the_bound_and_small_ones_are_untouched():
    grid = box(20.0)
    rng = np.random.default_rng(0)
    rough = rng.standard_normal(grid.shape)
    for size in (1e-6, 0.1, 100.0):
        east, north = currents(size * rough, grid, SHARP)
        speed = np.hypot(east, north)
        assert speed.max() <= LARGEST_SPEED
        if size == 1e-6:
            twice = np.hypot(*currents(2 * size * rough, grid, SHARP))
            np.testing.assert_allclose(twice, 2 * speed, rtol=1e-5)
    assert speed.max() > 0.99 * LARGEST_SPEED
    direction = np.arctan2(*currents(0.1 * rough, grid, SHARP))
    np.testing.assert_allclose(np.arctan2(east, north), direction, atol=1e-9)


def test_a_plane_grid_has_no_latitudes_to_turn_with():
    with pytest.raises(ValueError, match="latlon"):
        currents(np.zeros((4, 5)), Grid.cartesian(4, 5, 20.0, 20.0), 190.0)
