"""The discrete operators: against loops, against calculus, stability, walls (pitfalls 4, 5, 9)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline_spde.grids import Grid
from pipeline_spde.spde import SpdeParameters, SpdePrior
from pipeline_spde.spde.operator import advection, diffusion, mesh
from pipeline_spde.spde.stencil import product


def matrix(stencil, grid):
    """Columns of the stencil of a single field, as numpy."""
    n = grid.land.size
    unit = torch.eye(n, dtype=stencil.dtype).view(n, *grid.shape)
    return product(stencil, unit, grid.periodic).view(n, n).T.numpy()


def test_operators_equal_loops_over_quadrants_and_faces(grid, oracle):
    theta = oracle.random_theta(grid, days=1, seed=4)
    f = {name: v[0, 0] for name, v in theta.items()}
    m = mesh(grid, torch.float64, torch.device("cpu"))
    theta = theta.on(m.ocean)
    k = diffusion(m, theta.kappa[0, 0], theta.h_ee[0, 0], theta.h_en[0, 0], theta.h_nn[0, 0])
    fields = (f[n].numpy() for n in ("kappa", "h_ee", "h_en", "h_nn"))
    np.testing.assert_allclose(matrix(k, grid), oracle.diffusion_matrix(grid, *fields), atol=1e-12)
    s = advection(m, theta.m_east[0, 0], theta.m_north[0, 0])
    expected = oracle.advection_matrix(grid, f["m_east"].numpy(), f["m_north"].numpy())
    np.testing.assert_allclose(matrix(s, grid), expected, atol=1e-12)


def test_diffusion_is_symmetric_positive_and_advection_skew(grid, oracle):
    theta = oracle.random_theta(grid, days=1, seed=5, scale=20.0)
    m = mesh(grid, torch.float64, torch.device("cpu"))
    theta = theta.on(m.ocean)
    area, wet = grid.area_km2.ravel()[:, None], grid.ocean.ravel()
    k = area * matrix(
        diffusion(m, 0 * theta.kappa[0, 0], theta.h_ee[0, 0], theta.h_en[0, 0], theta.h_nn[0, 0]),
        grid,
    )
    np.testing.assert_allclose(k, k.T, atol=1e-12 * abs(k).max())
    assert np.linalg.eigvalsh(k[np.ix_(wet, wet)]).min() > -1e-12 * abs(k).max()
    np.testing.assert_allclose(k.sum(axis=1), 0, atol=1e-11 * abs(k).max())  # no flux at coasts
    s = area * matrix(advection(m, theta.m_east[0, 0], theta.m_north[0, 0]), grid)
    np.testing.assert_allclose(s, -s.T, atol=1e-14 * abs(s).max())


def test_truncation_error_falls_as_the_square_of_the_cell():
    """Variable anisotropic H, variable m, rectangular cells; calculus by hand."""
    errors = []
    for n in (32, 64, 128):
        ny, nx = n, (3 * n) // 2
        grid = Grid.cartesian(ny, nx, 1.0 / ny, 1.2 / nx)
        y, x = (torch.as_tensor(a) for a in np.meshgrid(grid.lat, grid.lon, indexing="ij"))
        h_ee, h_en, h_nn = 1 + 0.3 * x * y, 0.3 + 0.1 * x + 0.05 * y, 1.5 - 0.4 * y
        u, first = torch.sin(2 * x + y), torch.cos(2 * x + y)
        m_east, m_north = 1 + y - x, 2 - 2 * x + y  # divergence −1 + 1 = 0
        kappa = 1 + 0.2 * x
        expected = kappa**2 * u + m_east * 2 * first + m_north * first
        expected -= -(4 * h_ee + 4 * h_en + h_nn) * u
        expected -= (0.3 * y + 0.05) * 2 * first + (0.1 - 0.4) * first
        metric = mesh(grid, torch.float64, torch.device("cpu"))
        stencil = diffusion(metric, kappa, h_ee, h_en, h_nn) + advection(metric, m_east, m_north)
        errors.append(float((product(stencil, u) - expected)[2:-2, 2:-2].abs().max()))
    rates = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert (rates > 1.9).all(), (errors, rates)


def test_truncation_error_on_the_sphere_is_second_order():
    """Laplace–Beltrami of sin φ is −2 sin φ / R²; m·∇ of it is m_north cos φ / R."""
    errors = []
    for n in (30, 60, 120):
        step = 60.0 / n
        lat, lon = 5 + step * np.arange(n), step * np.arange(n)
        grid = Grid.latlon(lat, lon)
        radius = 6371.0
        sine = torch.as_tensor(np.sin(np.radians(lat)))[:, None].expand(n, n).contiguous()
        cosine = (1 - sine**2).sqrt()
        one = torch.ones_like(sine)
        metric = mesh(grid, torch.float64, torch.device("cpu"))
        k = diffusion(metric, 0 * one, radius**2 * one, 0 * one, radius**2 * one)
        m_north = radius / cosine  # no divergence: m_north cos φ is constant
        s = advection(metric, 0 * one, m_north)
        error = product(k + s, sine) - (2 * sine + m_north * cosine / radius)
        errors.append(float(error[2:-2, 2:-2].abs().max()))
    rates = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert (rates > 1.9).all(), (errors, rates)


@pytest.mark.parametrize(
    "name", ["plain", "crank_nicolson", "fourth_order", "fourth_order_cn", "substeps"]
)
def test_no_mode_grows_however_strong_the_current(name, oracle):
    """Courant numbers up to 50: the step A⁻¹B has spectral radius below one."""
    grid = oracle.grids["masked"]
    theta = oracle.random_theta(grid, days=2, seed=6, speed=50 * grid.dy_km)
    settings = oracle.settings[name]
    share = 0.5 if settings.get("scheme") == "crank_nicolson" else 1.0
    dense = oracle.dense_prior(grid, theta, **settings)
    transition = np.linalg.solve(dense.step(1, share), dense.step(1, share - 1))
    assert np.abs(np.linalg.eigvals(transition)).max() < 1
    if settings.get("alpha", 2) == 2:
        # no field at all grows, in the metric of the cells: ‖A⁻¹B‖ < 1
        root = np.sqrt(grid.area_km2[grid.ocean])
        assert np.linalg.norm(root[:, None] * transition / root, ord=2) < 1
    prior = SpdePrior(grid, theta, **settings)
    assert torch.isfinite(prior.logdet()).all()
    unit = torch.eye(dense.n, dtype=torch.float64)
    fields = torch.zeros(dense.n, 1, *grid.shape, dtype=torch.float64)
    fields[:, 0, torch.as_tensor(grid.ocean)] = unit
    step = prior.propagator.solve_at(0, prior.propagator.right_times_at(0, fields))
    ours = step[:, 0, prior.ocean].T.numpy()
    np.testing.assert_allclose(ours, transition, atol=1e-9)


@pytest.mark.parametrize(
    ("robin", "wall", "corner"), [(1.0, (0.97, 1.06), (0.98, 1.13)), (0.0, (1.2, 1.4), (1.5, 1.9))]
)
def test_radiating_walls_keep_the_variance_of_the_interior(robin, wall, corner):
    """κ = 0.33, H = 1 cell²: doubled variance at walls without flux, within a few % with Robin."""
    n = 25
    grid = Grid.cartesian(n, n, 1.0, 1.0)
    one = torch.ones(1, 1, n, n, dtype=torch.float64)
    theta = SpdeParameters(0.33 * one, None, None, one, 0 * one, one, one)
    std = SpdePrior(grid, theta, robin=robin).marginal_std(None)[0, 0]
    centre = std[n // 2, n // 2]
    assert wall[0] < float(std[0, n // 2] / centre) < wall[1]
    assert corner[0] < float(std[0, 0] / centre) < corner[1]
    assert abs(float(std[4, n // 2] / centre) - 1) < (0.015 if robin else 0.1)


def test_the_seam_of_a_circle_is_like_any_other_column(oracle):
    grid = oracle.grids["periodic"]
    theta = oracle.random_theta(grid, days=2, seed=8)
    turned = SpdeParameters(**{name: v.roll(2, dims=-1) for name, v in theta.items()})
    x = torch.randn(
        1, 2, *grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    a, b = SpdePrior(grid, theta, rho=0.4), SpdePrior(grid, turned, rho=0.4)
    torch.testing.assert_close(a.energy(x), b.energy(x.roll(2, dims=-1)))
    torch.testing.assert_close(a.logdet(), b.logdet())
