"""Stationary variance of the dynamics for constant parameters: the bridge between τ and σ.

For m = 0 every Fourier mode is an AR(2) process with λ(k) = κ² + k'Hk, and

    σ²/τ² = 1/(4π²) ∫ P(λ(k)) |c(k)|² d²k = 1/(4π √det H) ∫ P(λ) C(λ) dλ,     λ from κ²
    P(λ)  = dt/(1−ρ²) · (a + ρb) / ((a² − b²)(a − ρb)),   a = 1 + θ dt λ^(α/2),  b = a − dt λ^(α/2)

with C the mean over directions of the squared noise filter (1 + ℓ²k²)^(−2·order), which has a
closed form for any H. The integral over log λ is done by Gauss–Legendre.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pipeline_spde.spde.dynamics import Coloured, Dynamics

NODES = 24
"""Relative error below 1e-5 over the range of parameters in use (tested)."""
NO_LIMIT = (
    "alpha=2 with white noise and Crank–Nicolson has no finite variance without a grid: "
    "give cell_km, or use coloured noise"
)
"""What to say where `unbounded` holds and no cell size was given."""
_LATTICE_NODES = 16  # wavenumbers per axis
_TAIL = 1e5  # the integral stops where dt·λ^(α/2) or (ℓk)² reaches this


def variance_per_unit_tau(
    kappa: Tensor,
    h_ee: Tensor,
    h_en: Tensor,
    h_nn: Tensor,
    dynamics: Dynamics,
    cell_km: tuple[float, float] | None = None,
) -> Tensor:
    """Return σ²/τ² in the units of SpdeParameters, of the shape of the arguments.

    Args:
        kappa: κ, day^-1/2.
        h_ee: east-east component of H, km²/day.
        h_en: east-north component.
        h_nn: north-north component.
        dynamics: order, scheme, noise.
        cell_km: (dy, dx); wavenumbers that the grid cannot carry are left out. Needed for white
            noise with α = 2, whose variance otherwise grows without bound as the grid is refined.

    Raises:
        ValueError: the variance has no limit on a continuous plane and no cell size was given.
    """
    if cell_km is None and unbounded(dynamics):
        raise ValueError(NO_LIMIT)
    det = h_ee * h_nn - h_en.square()
    trace_of_inverse = (h_ee + h_nn) / det
    low = kappa.square().log()
    span = log_upper(kappa, det, dynamics, cell_km) - low
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    total = torch.zeros_like(kappa)
    for node, weight in zip(nodes, weights, strict=True):
        rate = torch.exp(low + span * float(0.5 * (node + 1)))
        density = power_of_mode(rate, dynamics) * rate
        if isinstance(dynamics.noise, Coloured):
            q2 = rate - kappa.square()
            density = density * _mean_filter(q2, det, trace_of_inverse, dynamics.noise)
        total = total + float(0.5 * weight) * density
    return total * span / (4 * math.pi * det.sqrt())


def lattice_variance_per_unit_tau(
    kappa: Tensor,
    h_ee: Tensor,
    h_en: Tensor,
    h_nn: Tensor,
    dynamics: Dynamics,
    cell_km: tuple[Tensor | float, Tensor | float],
) -> Tensor:
    """Return σ²/τ² of white noise on a lattice of cells, of the shape of the arguments.

    The mean over the wavenumbers of an endless lattice with the symbol of the five- or nine-point
    operator of the prior in place of κ² + k'Hk,

        λ(θ) = κ² + h_ee (2 − 2 cos θ_x)/dx² + h_nn (2 − 2 cos θ_y)/dy²
                  + 2 h_en sin θ_x sin θ_y/(dx dy)

    is exact where `variance_per_unit_tau`, of a continuous plane, is off: for ranges of few cells.

    Args:
        kappa: κ, day^-1/2.
        h_ee: east-east component of H, km²/day.
        h_en: east-north component.
        h_nn: north-north component.
        dynamics: order, scheme, ρ; white noise.
        cell_km: (dy, dx), numbers or tensors that broadcast.

    Raises:
        ValueError: coloured noise, whose filter has no place here.
    """
    if isinstance(dynamics.noise, Coloured):
        raise ValueError("the variance on a lattice is worked out for white noise only")
    dy, dx = cell_km
    nodes, weights = np.polynomial.legendre.leggauss(_LATTICE_NODES)
    places = 0.5 * (nodes + 1)  # θ = π s³: most nodes lie at the long waves, which hold the power
    waves = list(
        zip((math.pi * places**3).tolist(), (1.5 * places**2 * weights).tolist(), strict=True)
    )
    total = torch.zeros_like(kappa)
    for x, share_x in waves:
        for y, share_y in waves:
            along = h_ee * (2 - 2 * math.cos(x)) / dx**2 + h_nn * (2 - 2 * math.cos(y)) / dy**2
            mixed = 2 * h_en * math.sin(x) * math.sin(y) / (dx * dy)
            for sign in (1, -1):  # θ_y and −θ_y; θ_x and −θ_x are the same two
                power = power_of_mode(kappa.square() + along + sign * mixed, dynamics)
                total = total + 0.5 * share_x * share_y * power
    return total / (dx * dy)


def unbounded(dynamics: Dynamics) -> bool:
    """Return True for the one combination whose variance has no limit on a continuous plane."""
    white = not isinstance(dynamics.noise, Coloured)
    return white and dynamics.alpha == 2 and dynamics.scheme == "crank_nicolson"


def log_upper(
    kappa: Tensor, det: Tensor, dynamics: Dynamics, cell_km: tuple[float, float] | None
) -> Tensor:
    """Return log λ at the end of the spectrum, of the shape of κ.

    Args:
        kappa: κ, day^-1/2.
        det: determinant of H, km⁴/day².
        dynamics: order, scheme, noise; white noise with α = 2 and Crank–Nicolson needs a cell size.
        cell_km: (dy, dx), or None for a continuous plane.
    """
    if cell_km is not None:
        # the circle that holds as many wavenumbers as the grid
        top = 4 * math.pi / (cell_km[0] * cell_km[1]) * det.sqrt()
        return torch.log(kappa.square() + top)
    ends = torch.full_like(det, (_TAIL / dynamics.dt) ** (1 / dynamics.power))
    if isinstance(dynamics.noise, Coloured):
        filtered = _TAIL * det.sqrt() / dynamics.noise.length_km**2
        ends = torch.minimum(ends, filtered) if dynamics.implicit == 1 else filtered
    return torch.log(kappa.square() * 2 + ends)


def power_of_mode(rate: Tensor, dynamics: Dynamics) -> Tensor:
    """Return P(λ), days, the variance of a mode for unit noise per day.

    With c = dt λ^(α/2) the sums of a = 1 + θc and b = a − c are written out: c reaches 1e9, and
    a + b = 2 + (2θ − 1) c, which is 2 for Crank–Nicolson, would be lost as a difference in float32.

    Args:
        rate: λ ≥ κ², day^-1.
        dynamics: dt, order, scheme, ρ.
    """
    change = dynamics.dt * rate**dynamics.power
    rho, share = dynamics.rho, dynamics.implicit
    both = 2 + (2 * share - 1) * change
    ahead = (1 + rho) + (share - rho * (1 - share)) * change
    behind = (1 - rho) + (share + rho * (1 - share)) * change
    # a quotient at a time: the product of all three may be beyond float32
    return dynamics.dt / (1 - rho**2) / change * (ahead / behind) / both


def _mean_filter(q2: Tensor, det: Tensor, trace_of_inverse: Tensor, noise: Coloured) -> Tensor:
    """Return the mean over directions of (1 + ℓ²k²)^(−2·order) on the ellipse k'Hk = q²."""
    stretched = noise.length_km**2 * q2
    mean = 1 + 0.5 * stretched * trace_of_inverse
    product = 1 + stretched * trace_of_inverse + stretched.square() / det
    if noise.order == 1:
        return mean / product**1.5
    return mean * (5 * mean.square() - 3 * product) / (2 * product**3.5)
