"""Grids: metric sizes, axes, cells and longitudes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_spde.grids import KM_PER_DEGREE, Grid, great_circle_km, wrap_longitude


def test_a_box_is_filled_with_whole_cells():
    grid = Grid.from_bounds((32.0, 44.0), (-66.0, -54.0), 0.2)
    assert grid.shape == (60, 60)
    np.testing.assert_allclose(grid.bounds, (32, 44, -66, -54))
    with pytest.raises(ValueError, match="whole number"):
        Grid.from_bounds((32.0, 44.0), (-66.0, -54.0), 0.17)


def test_metric_sizes_follow_the_sphere():
    grid = Grid.from_bounds((0.0, 80.0), (0.0, 10.0), 1.0)
    np.testing.assert_allclose(grid.dy_km, KM_PER_DEGREE)
    np.testing.assert_allclose(grid.dx_km, KM_PER_DEGREE * np.cos(np.radians(grid.lat)))
    sphere = 4 * np.pi * 6371.0**2
    globe = Grid.from_bounds((-90.0, 90.0), (-180.0, 180.0), 1.0)
    assert globe.periodic
    assert globe.area_km2.sum() == pytest.approx(sphere, rel=1e-4)


def test_great_circle_quarter_and_small_distances():
    assert great_circle_km(0, 0, 0, 90) == pytest.approx(np.pi / 2 * 6371.0)
    assert great_circle_km(38, -60, 38, -59.99) == pytest.approx(
        0.01 * KM_PER_DEGREE * np.cos(np.radians(38)), rel=1e-6
    )


@given(st.floats(-1e4, 1e4), st.floats(-360, 360))
def test_wrapping_keeps_the_direction(lon, west):
    wrapped = float(wrap_longitude(lon, west))
    assert west <= wrapped < west + 360.0
    np.testing.assert_allclose(
        np.exp(1j * np.radians(wrapped)), np.exp(1j * np.radians(lon)), atol=1e-9
    )


@given(st.integers(2, 20), st.integers(2, 20), st.floats(0.05, 2.0))
def test_every_node_is_in_its_own_cell_whatever_the_longitude_convention(ny, nx, step):
    grid = Grid.latlon(10 + step * np.arange(ny), -60 + step * np.arange(nx))
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    row, column, inside = grid.cell_index(lat, lon + 360.0)
    assert inside.all()
    np.testing.assert_array_equal(row, np.arange(ny)[:, None] + 0 * row)
    np.testing.assert_array_equal(column, np.arange(nx)[None, :] + 0 * column)


def test_points_outside_are_outside():
    grid = Grid.from_bounds((32.0, 44.0), (-66.0, -54.0), 0.2)
    _, _, inside = grid.cell_index([31.9, 32.1, 38.0], [-60.0, -60.0, -53.9])
    assert inside.tolist() == [False, True, False]


def test_the_inside_of_a_box():
    grid = Grid.from_bounds((32.0, 44.0), (-66.0, -54.0), 0.2)
    inner = grid.crop(*grid.inside(1.0))
    assert inner.shape == (50, 50)
    np.testing.assert_allclose(inner.bounds, (33, 43, -65, -55))
    with pytest.raises(ValueError, match="leaves nothing"):
        grid.inside(7.0)


@pytest.mark.parametrize(
    ("lat", "expected"),
    [
        ([1.0, 2.0, 4.0], "evenly spaced"),
        ([2.0, 1.0], "must increase"),
        ([1.0, np.nan], "NaN"),
        ([1.0], "at least 2"),
        ([89.0, 91.0], r"\[-90, 90\]"),
    ],
)
def test_axes_that_cannot_be_are_refused(lat, expected):
    with pytest.raises(ValueError, match=expected):
        Grid.latlon(lat, [0.0, 1.0])


def test_land_must_fit_and_a_periodic_grid_must_close():
    with pytest.raises(ValueError, match="land has shape"):
        Grid.latlon([0.0, 1.0], [0.0, 1.0], np.zeros((3, 2), bool))
    with pytest.raises(ValueError, match="360"):
        Grid.latlon([0.0, 1.0], [0.0, 1.0], periodic=True)


def test_cartesian_grids_are_in_kilometres():
    grid = Grid.cartesian(ny=3, nx=4, dy=10.0, dx=8.5)
    assert grid.dy_km == 10.0
    np.testing.assert_allclose(grid.dx_km, 8.5)
    assert grid.area_km2.sum() == pytest.approx(12 * 85.0)
