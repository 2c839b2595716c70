"""The stationary covariance by quadrature, against closed forms and the prior on grids."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import k0

from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, Dynamics, SpdeParameters, SpdePrior
from pipeline_spde.spde.spectra import correlation_function, covariance_per_unit_tau
from pipeline_spde.spde.variance import variance_per_unit_tau

CASES = {
    "coloured_1": {"noise": Coloured(22.0)},
    "coloured_1_memory": {"noise": Coloured(22.0), "rho": 0.5},
    "coloured_2": {"noise": Coloured(18.0, 2)},
    "coloured_2_memory": {"noise": Coloured(18.0, 2), "rho": 0.5},
    "fourth_order": {"alpha": 4},
    "fourth_order_memory": {"alpha": 4, "rho": 0.5},
    "crank_nicolson": {"noise": Coloured(18.0, 2), "rho": 0.5, "scheme": "crank_nicolson"},
}
LAGS = torch.arange(4)


def parameters(dynamics, time, length):
    """κ and h as tensors of one value."""
    kappa = torch.tensor([time ** (-1 / dynamics.alpha)], dtype=torch.float64)
    return kappa, (kappa * length).square() / 8


def covariance_on_grid(cell_km, settings, time, length):
    """Covariance with the middle cell every 24 km along a row, far from the walls, by lag."""
    half = round(240 / cell_km)
    grid = Grid.cartesian(2 * half + 1, 2 * half + 1, cell_km, cell_km)
    shape = (1, LAGS.numel(), *grid.shape)
    kappa, h = (v.expand(shape) for v in parameters(Dynamics(**settings), time, length))
    theta = SpdeParameters(kappa, None, None, h, 0 * h, h, torch.ones_like(h))
    covariance = SpdePrior(grid, theta, **settings).covariance((0, half, half))[0]
    return covariance[:, half, half + torch.arange(5) * round(24 / cell_km)].T


SLOW = set(CASES) - {"coloured_1_memory"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES]
)
def test_correlation_is_that_of_the_prior_far_from_walls(name):
    """Finite volumes err by c₂h² + c₄h⁴ + …: three cell sizes give the limit to h⁶."""
    time, length = 6.0, 60.0
    cells = torch.tensor([8.0, 6.0, 4.0], dtype=torch.float64)
    grids = torch.stack([covariance_on_grid(float(c), CASES[name], time, length) for c in cells])
    weights = [math.prod(float(o**2 / (o**2 - c**2)) for o in cells if o != c) for c in cells]
    limit = torch.einsum("c,crl->rl", torch.tensor(weights, dtype=torch.float64), grids)
    got = covariance_per_unit_tau(
        24.0 * torch.arange(5, dtype=torch.float64),
        LAGS,
        decorrelation_time=time,
        range_km=length,
        dynamics=Dynamics(**CASES[name]),
    )
    origin = float(got[0, 0])
    np.testing.assert_allclose(got / origin, limit / origin, rtol=0, atol=1e-4)
    assert (grids[-1] - limit).abs().max() / origin > 1e-3  # the extrapolation matters


@pytest.mark.parametrize("name", [*CASES, "white"])
def test_origin_is_the_variance_of_the_prior(name):
    settings = CASES.get(name, {})
    for time, length in ((3.0, 60.0), (12.0, 200.0), (60.0, 500.0)):
        dynamics = Dynamics(**settings)
        kappa, h = parameters(dynamics, time, length)
        for cell in (None, (12.0, 9.0)):
            expected = variance_per_unit_tau(kappa, h, 0 * h, h, dynamics, cell)
            got = covariance_per_unit_tau(
                torch.zeros(1, dtype=torch.float64),
                torch.zeros(1),
                decorrelation_time=time,
                range_km=length,
                dynamics=dynamics,
                cell_km=cell,
            )
            torch.testing.assert_close(got[0], expected, rtol=5e-5, atol=0)


@pytest.mark.parametrize("reach", [5.0, 300.0, 3000.0])
def test_white_noise_has_the_closed_form_of_bessel_functions(reach):
    """1/(c(2+c)) and its quotients by 1 + c, c = dt h (k² + p²), are sums of simple fractions."""
    time, length = 12.0, 160.0
    _, h = parameters(Dynamics(), time, length)
    r = np.linspace(reach / 20, reach, 20)
    p0, p1, p2 = (np.sqrt(8 / length**2 + n / float(h)) for n in range(3))
    today = k0(p0 * r) - k0(p2 * r)
    tomorrow = k0(p0 * r) - 2 * k0(p1 * r) + k0(p2 * r)
    got = correlation_function(
        torch.as_tensor(r),
        torch.tensor([0, 1]),
        decorrelation_time=time,
        range_km=length,
        dynamics=Dynamics(),
    )
    expected = np.stack([today, tomorrow], axis=1) / np.log(p2 / p0)
    np.testing.assert_allclose(got, expected, atol=3e-5)


def test_lags_follow_the_two_roots_and_their_double_root():
    """A field of hardly any structure has one mode: κ² alone sets the root φ = 1/(1 + κ²)."""
    rho, lags = 0.4, torch.arange(9)
    n = lags.numpy()
    for root in (0.7, 0.4, 0.0999):
        got = correlation_function(
            torch.zeros(1, dtype=torch.float64),
            lags,
            decorrelation_time=root / (1 - root),
            range_km=1e-3,  # the spectrum ends at 1/ℓ, where hk² is 1e-9 of κ²
            dynamics=Dynamics(noise=Coloured(30.0, 2), rho=rho),
        )[0]
        if root == rho:
            expected = root**n * (1 + n * (1 - root**2) / (1 + root**2))
        else:
            top = root ** (n + 1) * (1 - rho**2) - rho ** (n + 1) * (1 - root**2)
            expected = top / ((root - rho) * (1 + root * rho))
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_wavenumbers_beyond_the_cell_are_left_out():
    """With white noise on coarse cells the correlation is longer than on a plane."""
    r = torch.tensor([0.0, 20.0, 60.0], dtype=torch.float64)
    common = {"decorrelation_time": 12.0, "range_km": 160.0, "dynamics": Dynamics()}
    plane = correlation_function(r, torch.arange(2), **common)
    cells = correlation_function(r, torch.arange(2), **common, cell_km=(20.0, 20.0))
    assert (cells[1:] > plane[1:]).all()
    assert cells[0, 1] > plane[0, 1]
    nearly = correlation_function(r, torch.arange(2), **common, cell_km=(0.5, 0.5))
    torch.testing.assert_close(nearly, plane, rtol=0, atol=3e-3)


def test_it_is_differentiable_and_keeps_dtype():
    time = torch.tensor(9.0, dtype=torch.float64, requires_grad=True)
    length = torch.tensor(150.0, dtype=torch.float64, requires_grad=True)
    r = torch.tensor([0.0, 40.0, 120.0], dtype=torch.float64)

    def correlation(t, s):
        dynamics = Dynamics(noise=Coloured(30.0), rho=0.45)
        return correlation_function(
            r, torch.arange(4), decorrelation_time=t, range_km=s, dynamics=dynamics
        )

    # the last wavenumber moves with the parameters and leaves out 1e-5 of the variance
    assert torch.autograd.gradcheck(correlation, (time, length), eps=1e-2, atol=1e-5, rtol=1e-3)
    single = correlation_function(
        r.float(),
        -torch.arange(4),
        decorrelation_time=9.0,
        range_km=150.0,
        dynamics=Dynamics(noise=Coloured(30.0), rho=0.45),
    )
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), correlation(time, length), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance_km": torch.tensor([-1.0])}, "≥ 0 km"),
        ({"distance_km": torch.zeros(2, 2)}, "1-D"),
        ({"lag_days": torch.tensor([0.5])}, "multiples of dt"),
        ({"range_km": 0.0}, "range_km must be one positive"),
        ({"decorrelation_time": torch.ones(3)}, "decorrelation_time must be one"),
        ({"dynamics": Dynamics(scheme="crank_nicolson")}, "give cell_km"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "distance_km": torch.zeros(1),
        "lag_days": torch.zeros(1),
        "decorrelation_time": 10.0,
        "range_km": 150.0,
        "dynamics": Dynamics(),
    } | change
    with pytest.raises(ValueError, match=message):
        correlation_function(arguments.pop("distance_km"), arguments.pop("lag_days"), **arguments)
