"""Parameters: physical meaning, bounds, positive definiteness, variance in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad

from pipeline_spde.grids import Grid
from pipeline_spde.spde import RAW_CHANNELS, Bounds, Coloured, Dynamics, SpdeParameters, SpdePrior
from pipeline_spde.spde.variance import variance_per_unit_tau

BOUNDS = Bounds()


def one(value):
    return torch.full((1, 1, 1, 1), float(value), dtype=torch.float64)


def test_variance_has_the_closed_form_of_white_noise_order_two():
    """σ² = τ² ln(1 + 2/(dt κ²)) / (8π √det H), backward Euler."""
    kappa, h_ee, h_en, h_nn, dt = 0.26, 180.0, 40.0, 120.0, 0.7
    value = variance_per_unit_tau(*map(one, (kappa, h_ee, h_en, h_nn)), Dynamics(dt=dt))
    expected = math.log(1 + 2 / (dt * kappa**2)) / (8 * math.pi * math.sqrt(h_ee * h_nn - h_en**2))
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_variance_of_order_four_tends_to_the_matern_one():
    """σ² → τ² / (8π √det H κ²) as dt → 0, with an error of the order κ² √dt."""
    kappa, h = 0.6, 500.0
    for dt in (1e-3, 1e-6):
        value = variance_per_unit_tau(*map(one, (kappa, h, 0, h)), Dynamics(dt=dt, alpha=4))
        missing = 1 - float(value) * 8 * math.pi * h * kappa**2
        assert 0 < missing < 1.2 * kappa**2 * dt**0.5


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("rho", [0.0, 0.45])
@pytest.mark.parametrize("scheme", ["backward_euler", "crank_nicolson"])
def test_variance_of_coloured_noise_equals_a_plane_integral(order, rho, scheme):
    """Direct quadrature over wavenumbers of the AR(2) variance, modes one by one."""
    dynamics = Dynamics(scheme=scheme, noise=Coloured(30.0, order), rho=rho)
    kappa, h_ee, h_en, h_nn = 0.26, 250.0, 60.0, 120.0
    share = dynamics.implicit

    def density(log_k, angle):
        k = math.exp(log_k)
        c, s = math.cos(angle), math.sin(angle)
        rate = kappa**2 + k**2 * (h_ee * c * c + 2 * h_en * s * c + h_nn * s * s)
        a, b = 1 + share * rate, 1 - (1 - share) * rate
        g = b / a
        # AR(2) with roots g and ρ: variance of x for unit variance of ξ/a
        var = (1 + g * rho) / ((1 - g * rho) * (1 - g * g) * (1 - rho * rho)) / a**2
        return var * (1 + 900 * k * k) ** (-2 * order) * k * k / (4 * math.pi**2)

    expected = 2 * dblquad(density, 0, math.pi, -14, 3, epsrel=1e-6)[0]
    value = variance_per_unit_tau(*map(one, (kappa, h_ee, h_en, h_nn)), dynamics)
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_a_variance_without_limit_is_refused():
    dynamics = Dynamics(scheme="crank_nicolson")
    with pytest.raises(ValueError, match="give cell_km"):
        variance_per_unit_tau(*map(one, (0.3, 100, 0, 100)), dynamics)
    assert torch.isfinite(
        variance_per_unit_tau(*map(one, (0.3, 100, 0, 100)), dynamics, (10.0, 10.0))
    )


@pytest.mark.parametrize("alpha", [2, 4])
@pytest.mark.parametrize("scheme", ["backward_euler", "crank_nicolson"])
@pytest.mark.parametrize("noise", ["white", Coloured(5.0), Coloured(45.0), Coloured(150.0, 2)])
@pytest.mark.parametrize("rho", [0.0, 0.45, 0.95])
def test_single_precision_gives_the_same_tau_and_derivatives(alpha, scheme, noise, rho):
    """At λ² ~ 1e9, where a ≈ −b with Crank–Nicolson, a + b must not be taken as a difference."""
    dynamics = Dynamics(alpha=alpha, scheme=scheme, noise=noise, rho=rho)
    cell = (5.0, 5.0) if noise == "white" else None
    results = []
    for dtype in (torch.float32, torch.float64):
        length = torch.tensor([60.0, 150.0, 600.0], dtype=dtype, requires_grad=True)
        time = torch.tensor([[2.0], [14.0], [60.0]], dtype=dtype, requires_grad=True)
        sigma = torch.full((1, 1, 1, 1), 0.2, dtype=dtype)
        theta = SpdeParameters.from_physical(
            sigma, length, length / 3, 30.0, time, dynamics=dynamics, cell_km=cell
        )
        grads = torch.autograd.grad(theta.tau.log().sum(), [length, time])
        results.append([v.detach().double() for v in (theta.tau, *grads)])
    for single, double in zip(*results, strict=True):
        torch.testing.assert_close(single, double, rtol=1e-4, atol=0)


def matern(alpha, dt, cell, n, days=2, **settings):
    """Centre of a grid with constant parameters: T = 10 days, ranges 120 km, σ = 0.2 m."""
    grid = Grid.cartesian(n, n, cell, cell)
    dynamics = Dynamics(dt=dt, alpha=alpha, **settings)
    full = torch.full((1, days, n, n), 0.2, dtype=torch.float64)
    theta = SpdeParameters.from_physical(
        full, 120.0, 120.0, 0.0, 10.0, dynamics=dynamics, cell_km=(cell, cell)
    )
    return grid, theta, SpdePrior(grid, theta, dt=dt, alpha=alpha, **settings)


@pytest.mark.parametrize(
    ("alpha", "settings"),
    [(4, {}), (2, {"noise": Coloured(30.0)}), (2, {"noise": Coloured(30.0), "rho": 0.45})],
)
def test_sigma_is_the_standard_deviation_of_the_prior(alpha, settings):
    _, _, prior = matern(alpha, 1.0, 12.0, 41, **settings)
    std = prior.covariance((0, 20, 20))[0, 0, 20, 20].sqrt()
    # differences instead of derivatives, and walls 250 km away
    assert float(std) == pytest.approx(0.2, rel=0.03)


def test_sigma_of_white_noise_of_order_two_is_met_within_a_tenth():
    """Its variance sits at the grid scale, where the grid carries a square and not a circle."""
    _, _, prior = matern(2, 1.0, 12.0, 41)
    std = prior.covariance((0, 20, 20))[0, 0, 20, 20].sqrt()
    assert float(std) == pytest.approx(0.2, rel=0.1)


def test_order_four_correlation_is_matern_with_the_stated_range():
    """Small dt: C(r)/C(0) = s K₁(s) with s = √8 r / range; 0.14 at the range (pitfall 7)."""
    from scipy.special import k1

    _, _, prior = matern(4, 1e-4, 6.0, 65)
    covariance = prior.covariance((0, 32, 32))[0, 0, 32]
    distance = 6.0 * np.arange(1, 25)
    s = math.sqrt(8) * distance / 120
    ours = (covariance[33:57] / covariance[32]).numpy()
    np.testing.assert_allclose(ours, s * k1(s), atol=0.012)
    assert ours[19] == pytest.approx(0.14, abs=0.01)  # 120 km


@pytest.mark.parametrize(
    ("alpha", "dt", "settings"), [(4, 0.02, {}), (2, 0.5, {"noise": Coloured(40.0, 2)})]
)
def test_std_and_range_survive_refinement_of_grid_and_step(alpha, dt, settings):
    """Halving cells and steps of the same τ, κ, H moves neither std nor correlation (pitfall 7)."""
    coarse, fine = (
        matern(alpha, dt, 10.0, 37, **settings),
        matern(alpha, dt / 2, 5.0, 73, **settings),
    )
    a = coarse[2].covariance((0, 18, 18))[0, 0, 18]
    same = SpdeParameters(
        *(
            torch.full_like(fine[1].kappa, float(v.flatten()[0])) if v is not None else None
            for v in (
                coarse[1].kappa,
                None,
                None,
                coarse[1].h_ee,
                coarse[1].h_en,
                coarse[1].h_nn,
                coarse[1].tau,
            )
        )
    )
    prior = SpdePrior(fine[0], same, dt=dt / 2, alpha=alpha, **settings)
    b = prior.covariance((0, 36, 36))[0, 0, 36]
    assert float(b[36].sqrt() / a[18].sqrt()) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose((b[::2] / b[36]).numpy(), (a / a[18]).numpy(), atol=0.03)


def test_lag_correlation_decays_at_the_stated_time():
    """Largest scales: e-folding T; a long wave in a wide basin without flux walls."""
    grid = Grid.cartesian(3, 3, 5000.0, 5000.0)  # every mode is a large scale
    full = torch.full((1, 12, 3, 3), 0.2, dtype=torch.float64)
    theta = SpdeParameters.from_physical(full, 120.0, 120.0, 0.0, 10.0, dynamics=Dynamics(dt=0.1))
    covariance = SpdePrior(grid, theta, dt=0.1, robin=0.0).covariance((0, 1, 1))[0, :, 1, 1]
    assert float(covariance[10] / covariance[0]) == pytest.approx(math.exp(-0.1), rel=2e-3)


@given(
    sigma=st.floats(0.02, 1),
    major=st.floats(80, 400),
    ratio=st.floats(1.0, 4.0),
    angle=st.floats(-89, 89),
    time=st.floats(3, 60),
    alpha=st.sampled_from([2, 4]),
)
@settings(max_examples=40, deadline=None)
def test_physical_parameters_come_back(sigma, major, ratio, angle, time, alpha):
    dynamics = Dynamics(alpha=alpha, noise=Coloured(30.0))
    theta = SpdeParameters.from_physical(
        one(sigma),
        one(major),
        one(major / ratio),
        one(angle),
        one(time),
        one(3),
        one(-2),
        dynamics=dynamics,
    )
    back = theta.physical(dynamics=dynamics)
    assert float(back.sigma) == pytest.approx(sigma, rel=1e-9)
    assert float(back.range_major) == pytest.approx(major, rel=1e-6)
    assert float(back.range_minor) == pytest.approx(major / ratio, rel=1e-6)
    assert float(back.decorrelation_time) == pytest.approx(time, rel=1e-9)
    if ratio > 1.01:
        assert float(back.angle) == pytest.approx(angle, abs=1e-4)


def test_the_major_axis_points_where_the_angle_says():
    theta = SpdeParameters.from_physical(one(0.1), one(300.0), one(100.0), one(30.0), one(10.0))
    axis = torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6)], dtype=torch.float64)
    h = torch.stack([theta.h_ee, theta.h_en, theta.h_en, theta.h_nn]).view(2, 2)
    torch.testing.assert_close(h @ axis, axis * 300.0**2 / 8 / 10, rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 1000), size=st.sampled_from([0.1, 1.0, 5.0, 50.0]))
@settings(max_examples=40, deadline=None)
def test_any_raw_numbers_give_valid_bounded_parameters(seed, size):
    generator = torch.Generator().manual_seed(seed)
    raw = size * torch.randn(2, 7, 2, 3, 4, dtype=torch.float64, generator=generator)
    dynamics = Dynamics(noise=Coloured(40.0))
    theta = SpdeParameters.from_unconstrained(raw, BOUNDS, dynamics=dynamics)
    p = theta.on(torch.ones(3, 4, dtype=torch.bool)).physical(dynamics=dynamics)
    slack = 1 + 1e-6
    assert float(p.sigma.min()) >= 0.02 / slack and float(p.sigma.max()) <= 0.6 * slack
    mean_range = (p.range_major * p.range_minor).sqrt()
    assert float(mean_range.min()) >= 60 / slack and float(mean_range.max()) <= 400 * slack
    assert float((p.range_major / p.range_minor).max()) <= 3 * slack
    assert float((theta.m_east**2 + theta.m_north**2).sqrt().max()) <= 50 * slack
    if size <= 1:
        back = theta.to_unconstrained(BOUNDS, dynamics=dynamics)
        torch.testing.assert_close(back, raw, rtol=1e-5, atol=1e-5)


def test_the_raw_map_is_differentiable_twice_also_at_isotropy():
    raw = torch.zeros(1, len(RAW_CHANNELS), 1, 1, 1, dtype=torch.float64)
    raw = torch.cat([raw, raw + 0.3], dim=-1).requires_grad_()

    def stacked(r):
        theta = SpdeParameters.from_unconstrained(r, BOUNDS)
        return torch.stack([v for _, v in theta.items()])

    assert torch.autograd.gradcheck(stacked, (raw,), atol=1e-4)
    (first,) = torch.autograd.grad(stacked(raw).sum(), raw, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), raw)
    assert torch.isfinite(second).all()


def test_messages_name_the_field_and_the_rule(oracle):
    grid = oracle.grids["odd"]
    theta = oracle.random_theta(grid)
    bad = SpdeParameters(**{**dict(theta.items()), "kappa": -theta.kappa})
    with pytest.raises(ValueError, match=r"kappa must be > 0 \(fails in 105 cells\)"):
        SpdePrior(grid, bad)
    tau = theta.tau.clone()
    tau[0, 0, 2, 2] = math.nan
    with pytest.raises(ValueError, match="tau must be finite"):
        SpdePrior(grid, SpdeParameters(**{**dict(theta.items()), "tau": tau}))
    with pytest.raises(ValueError, match="make them equal"):
        SpdeParameters(**{**dict(theta.items()), "tau": tau[:, :2]})
    with pytest.raises(ValueError, match="the grid has"):
        SpdePrior(oracle.grids["tall"], theta)
    for wrong in (
        {"rho": 1.0},
        {"alpha": 3},
        {"dt": 0.0},
        {"scheme": "euler"},
        {"noise": "red"},
        {"substeps": 0},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SpdePrior(grid, theta, **wrong)
    with pytest.raises(ValueError, match="at least 2 days"):
        SpdePrior(grid, theta.at(slice(0, 1)), rho=0.4)


def two_days(**dynamics):
    """Parameters of a 3 x 4 grid, made for some dynamics or for none in particular."""
    sigma = torch.full((1, 2, 3, 4), 0.2, dtype=torch.float64)
    settings = {"dynamics": Dynamics(**dynamics)} if dynamics else {}
    return SpdeParameters.from_physical(sigma, 80.0, 80.0, 0.0, 10.0, **settings)


def test_a_prior_of_another_order_refuses_parameters_made_from_physical_ones():
    grid = Grid.cartesian(3, 4, 20.0, 20.0)
    with pytest.raises(ValueError, match=r"made .* for alpha=2, the prior has alpha=4: κ .* give"):
        SpdePrior(grid, two_days(), alpha=4)
    with pytest.raises(ValueError, match="for alpha=4, the prior has alpha=2"):
        SpdePrior(grid, two_days(alpha=4).detach().at(slice(0, 2)).to(torch.float32))
    raw = SpdeParameters.from_unconstrained(torch.zeros(1, 7, 2, 3, 4), BOUNDS)
    with pytest.raises(ValueError, match="alpha=4"):
        SpdePrior(grid, raw, alpha=4)
    assert SpdePrior(grid, two_days(alpha=4), alpha=4).theta.dynamics == Dynamics(alpha=4)


def test_parameters_given_as_they_are_fit_a_prior_of_any_order():
    grid = Grid.cartesian(3, 4, 20.0, 20.0)
    k, east, north, ee, en, nn, tau = torch.ones(7, 1, 2, 3, 4, dtype=torch.float64)
    theta = SpdeParameters(k, east, north, 900 * ee, 0 * en, 900 * nn, tau)
    assert theta.dynamics is None and len(theta.items()) == 7
    for alpha in (2, 4):
        assert torch.isfinite(SpdePrior(grid, theta, alpha=alpha).logdet()).all()


def test_other_noise_than_the_parameters_were_made_for_is_told(caplog):
    grid = Grid.cartesian(3, 4, 20.0, 20.0)
    SpdePrior(grid, two_days(rho=0.4), rho=0.4)
    SpdePrior(grid, two_days(rho=0.4), rho=0.4**0.5, dt=0.5)  # the same memory in finer steps
    assert not caplog.records
    SpdePrior(grid, two_days(), noise=Coloured(20.0))
    SpdePrior(grid, two_days(rho=0.4))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "standard deviation is not their sigma" in caplog.text


def test_the_meaning_is_that_of_the_dynamics_they_were_made_for():
    theta = two_days(alpha=4, noise=Coloured(20.0), rho=0.3)
    assert float(theta.physical().sigma[0, 0, 0, 0]) == pytest.approx(0.2, rel=1e-9)
    assert float(theta.physical().decorrelation_time[0, 0, 0, 0]) == pytest.approx(10)
    raw = theta.to_unconstrained(BOUNDS)
    back = SpdeParameters.from_unconstrained(raw, BOUNDS, dynamics=theta.dynamics)
    torch.testing.assert_close(back.tau, theta.tau, rtol=1e-4, atol=0)
