from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.baselines.covariance import gaussian_modes, plane_axes_km, product_modes
from pipeline_spde.grids import KM_PER_DEGREE, Grid


@settings(max_examples=25, deadline=None)
@given(length=st.floats(0.3, 30.0), span=st.floats(0.0, 12.0), seed=st.integers(0, 99))
def test_modes_reproduce_the_gaussian_off_their_nodes(length, span, seed):
    nodes = np.linspace(3.0, 3.0 + span, 200)
    points = np.random.default_rng(seed).uniform(3.0, 3.0 + span, 15)
    features = gaussian_modes(nodes, length)(points)
    exact = np.exp(-(((points[:, None] - points) / length) ** 2))
    # images of the periodic series are e^-25 away; the rest is the dropped 1e-12
    np.testing.assert_allclose(features @ features.T, exact, atol=1e-5)


def test_modes_are_exact_at_their_nodes():
    nodes = np.arange(15.0)
    features = gaussian_modes(nodes, 8.0, tolerance=1e-14)(nodes)
    exact = np.exp(-(((nodes[:, None] - nodes) / 8.0) ** 2))
    np.testing.assert_allclose(features @ features.T, exact, atol=1e-9)


def test_periodic_axis_joins_its_ends():
    nodes = np.arange(0.0, 360.0, 5.0)
    features = gaussian_modes(nodes, 20.0, circle=360.0)(nodes)
    distance = np.abs(nodes[:, None] - nodes)
    exact = np.exp(-((np.minimum(distance, 360.0 - distance) / 20.0) ** 2))
    np.testing.assert_allclose(features @ features.T, exact, atol=1e-9)


@pytest.mark.parametrize("length", [0.0, -1.0, np.nan])
def test_impossible_length_is_refused(length):
    with pytest.raises(ValueError, match="correlation length must be positive"):
        gaussian_modes(np.arange(5.0), length)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_product_neglects_no_more_than_asked_and_no_mode_can_be_spared(tolerance):
    axes = [gaussian_modes(np.linspace(0, span, 50), 1.0, 1e-10) for span in (3.0, 5.0, 6.0)]
    modes = product_modes(*axes, tolerance)
    assert modes.neglected <= tolerance
    every = np.einsum("a,b,c->abc", *(axis.shares for axis in axes)).ravel()
    kept = np.sort(every)[::-1][: modes.size]
    assert 1.0 - kept[:-1].sum() > tolerance
    np.testing.assert_allclose(1.0 - kept.sum(), modes.neglected, atol=1e-12)
    assert np.all(np.diff(modes.prefix) <= 0)


def test_product_features_reproduce_the_plane_covariance():
    axis = gaussian_modes(np.linspace(0, 3, 40), 1.0)
    modes = product_modes(axis, axis, axis, 1e-11)
    y, x = np.array([0.1, 2.2, 1.7]), np.array([0.3, 0.4, 2.9])
    exact = np.exp(-((y[:, None] - y) ** 2) - (x[:, None] - x) ** 2)
    features = modes.points(y, x)
    np.testing.assert_allclose(features @ features.T, exact, atol=1e-6)
    grid = modes.nodes(y, x)
    np.testing.assert_allclose(grid.reshape(3, 3, -1)[[0, 1, 2], [0, 1, 2]], features)


def test_zonal_kilometres_shrink_with_latitude():
    grid = Grid.from_bounds((55.0, 65.0), (0.0, 10.0), 0.5)
    y, x, circle = plane_axes_km(grid)
    assert circle is None
    np.testing.assert_allclose(np.diff(y), 0.5 * KM_PER_DEGREE)
    np.testing.assert_allclose(np.diff(x), 0.5 * KM_PER_DEGREE * 0.5)
