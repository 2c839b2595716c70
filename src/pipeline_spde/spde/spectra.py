"""Stationary space-time covariance of the prior on a plane: what its parameters mean as moments.

For constant isotropic H and m = 0 every Fourier mode is a scalar process a x_t = b x_{t−1} + e_t,
e_t = ρ e_{t−1} + ξ_t, an AR(2) with roots φ = b/a and ρ (see `variance.py` for a, b and P). With
h = κ² range² / 8 and λ = κ² + h k²,

    C(r, n dt) = τ²/2π ∫ P(λ) (1 + ℓ²k²)^(−2·order) f_n(φ(λ)) J₀(kr) k dk
    f_0 = 1,  f_1 = (φ + ρ)/(1 + φρ),  f_n = (φ + ρ) f_{n−1} − φρ f_{n−2}

The recursion is stable, for both roots lie inside the unit circle, and holds without a special case
where they meet, unlike the closed form [φⁿ⁺¹(1−ρ²) − ρⁿ⁺¹(1−φ²)] / [(φ−ρ)(1+φρ)].

The integral is done by composite Gauss–Legendre: panels that grow in proportion to k until J₀ at
the largest distance turns over within one, and stay as wide from there.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pipeline_spde.spde.dynamics import Coloured, Dynamics
from pipeline_spde.spde.variance import NO_LIMIT, log_upper, power_of_mode, unbounded

NODES = 16
"""Gauss–Legendre nodes per panel."""
_GROWTH = 1.7  # of panels, in proportion to k
_PHASE = 4 * math.pi  # largest change of kr within a panel
_TAIL_SHARE = 1e-5  # of the variance beyond the last wavenumber
_CHUNK_NUMBERS = 4_000_000  # values of J₀ held at once


def covariance_per_unit_tau(
    distance_km: Tensor,
    lag_days: Tensor,
    *,
    decorrelation_time: Tensor | float,
    range_km: Tensor | float,
    dynamics: Dynamics,
    cell_km: tuple[float, float] | None = None,
) -> Tensor:
    """Return the stationary covariance C(r, lag) / τ², shape (distances, lags).

    It agrees with `variance_per_unit_tau` at r = 0 and lag 0, and is differentiable in the
    decorrelation time and the range. Computed in float64, returned in the dtype of `distance_km`.

    Args:
        distance_km: distances r ≥ 0, km, shape (distances,).
        lag_days: lags, days, multiples of dt (the sign does not matter), shape (lags,).
        decorrelation_time: T = κ^−α, days, a number or a tensor of one value.
        range_km: √8 √(h/κ²), km, likewise.
        dynamics: order, scheme, noise, ρ; sub-steps do not matter without advection.
        cell_km: (dy, dx); wavenumbers that the grid cannot carry are left out. On the grid itself
            the operators are finite volumes, whose symbol is below κ² + hk² at the scale of the
            cells: the covariance of a prior differs by O((cell/ℓ)²) there.

    Raises:
        ValueError: shapes, signs or lags are not as above, or the covariance has no limit on a
            continuous plane and no cell size was given.
    """
    steps = _whole_steps(distance_km, lag_days, dynamics.dt)
    if cell_km is None and unbounded(dynamics):
        raise ValueError(NO_LIMIT)
    kappa, h = _kappa_and_h(decorrelation_time, range_km, dynamics, distance_km.device)
    r = distance_km.to(torch.float64)
    with torch.no_grad():
        k, weight = _quadrature(kappa, h, dynamics, cell_km, float(r.max()))
    rate = kappa.square() + h * k.square()
    density = weight * k * _spectrum(k, rate, dynamics) / (2 * math.pi)
    spectra = density[:, None] * _lag_factors(rate, dynamics, steps)
    size = max(1, _CHUNK_NUMBERS // k.numel())
    parts = [torch.special.bessel_j0(part[:, None] * k) @ spectra for part in r.split(size)]
    return torch.cat(parts).to(distance_km.dtype)


def correlation_function(
    distance_km: Tensor,
    lag_days: Tensor,
    *,
    decorrelation_time: Tensor | float,
    range_km: Tensor | float,
    dynamics: Dynamics,
    cell_km: tuple[float, float] | None = None,
) -> Tensor:
    """Return the stationary correlation C(r, lag) / C(0, 0), shape (distances, lags).

    Arguments and errors are those of `covariance_per_unit_tau`; the error is below 1e-4 (tested).
    """
    with_origin = torch.cat([torch.zeros_like(distance_km[:1]), distance_km])
    lags = torch.cat([torch.zeros_like(lag_days[:1]), lag_days])
    covariance = covariance_per_unit_tau(
        with_origin.to(torch.float64),
        lags,
        decorrelation_time=decorrelation_time,
        range_km=range_km,
        dynamics=dynamics,
        cell_km=cell_km,
    )
    return (covariance[1:, 1:] / covariance[0, 0]).to(distance_km.dtype)


def _whole_steps(distance_km: Tensor, lag_days: Tensor, dt: float) -> Tensor:
    """Return |lags| as numbers of steps, after a check of distances and lags."""
    if distance_km.ndim != 1 or lag_days.ndim != 1 or not distance_km.numel() * lag_days.numel():
        raise ValueError(
            "distances and lags must be non-empty and 1-D, got shapes "
            f"{tuple(distance_km.shape)} and {tuple(lag_days.shape)}"
        )
    if not bool((distance_km >= 0).all() and distance_km.isfinite().all()):
        raise ValueError("distances must be finite and ≥ 0 km")
    exact = lag_days.to(device=distance_km.device, dtype=torch.float64).abs() / dt
    steps = exact.round()
    if not bool((exact - steps).abs().max() < 1e-6):
        raise ValueError(f"lags must be multiples of dt = {dt} days, got {lag_days.tolist()}")
    return steps.to(torch.int64)


def _kappa_and_h(
    decorrelation_time: Tensor | float,
    range_km: Tensor | float,
    dynamics: Dynamics,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Return κ (day^-1/2) and h (km²/day) as float64 scalars."""
    values = [
        torch.as_tensor(v, dtype=torch.float64, device=device)
        for v in (decorrelation_time, range_km)
    ]
    for name, value in zip(("decorrelation_time", "range_km"), values, strict=True):
        if value.numel() != 1 or not bool((value > 0).all() and value.isfinite().all()):
            raise ValueError(f"{name} must be one positive number, got {value.tolist()}")
    time, length = (value.reshape(()) for value in values)
    kappa = time ** (-1 / dynamics.alpha)
    return kappa, (kappa * length).square() / 8


def _spectrum(k: Tensor, rate: Tensor, dynamics: Dynamics) -> Tensor:
    """Return P(λ) times the squared noise filter, the variance of a mode for τ = 1."""
    power = power_of_mode(rate, dynamics)
    if isinstance(dynamics.noise, Coloured):
        power = power / (1 + (dynamics.noise.length_km * k).square()) ** (2 * dynamics.noise.order)
    return power


def _lag_factors(rate: Tensor, dynamics: Dynamics, steps: Tensor) -> Tensor:
    """Return f_n(φ), shape (wavenumbers, lags)."""
    change = dynamics.dt * rate**dynamics.power
    a = 1 + dynamics.implicit * change
    root, rho = (a - change) / a, dynamics.rho
    factors = [torch.ones_like(rate), (root + rho) / (1 + root * rho)]
    for _ in range(2, int(steps.max()) + 1):
        factors.append((root + rho) * factors[-1] - root * rho * factors[-2])
    return torch.stack(factors, dim=-1)[:, steps]


def _quadrature(
    kappa: Tensor,
    h: Tensor,
    dynamics: Dynamics,
    cell_km: tuple[float, float] | None,
    largest_km: float,
) -> tuple[Tensor, Tensor]:
    """Return wavenumbers (rad/km) and weights of ∫ … dk."""
    top = _last_wavenumber(kappa, h, dynamics, cell_km)
    edges = [0.0, min(0.5 * float(kappa / h.sqrt()), top)]
    widest = _PHASE / max(largest_km, 1e-9)
    edges[1] = min(edges[1], widest)
    while edges[-1] < top:
        edges.append(min(edges[-1] * _GROWTH, edges[-1] + widest, top))
    nodes, weights = (
        torch.as_tensor(v, dtype=h.dtype, device=h.device)
        for v in np.polynomial.legendre.leggauss(NODES)
    )
    ends = torch.tensor(edges, dtype=h.dtype, device=h.device)
    middle, half = 0.5 * (ends[1:] + ends[:-1]), 0.5 * ends.diff()
    return (middle[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


def _last_wavenumber(
    kappa: Tensor, h: Tensor, dynamics: Dynamics, cell_km: tuple[float, float] | None
) -> float:
    """Return the wavenumber beyond which a share of _TAIL_SHARE of the variance lies."""
    end = ((log_upper(kappa, h.square(), dynamics, cell_km).exp() - kappa.square()) / h).sqrt()
    low = float((1e-2 * kappa / h.sqrt()).log10())
    # per unit of log k
    k = torch.logspace(low, float(end.log10()), 400, dtype=h.dtype, device=h.device)
    density = k.square() * _spectrum(k, kappa.square() + h * k.square(), dynamics)
    beyond = density.flip(0).cumsum(0).flip(0)
    kept = int((beyond > _TAIL_SHARE * beyond[0]).sum())
    return float(k[min(kept, k.numel() - 1)])
