"""Approximate inverses of Q + R⁻¹ for the conjugate gradients of the posterior."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from pipeline_spde.spde.large import is_large
from pipeline_spde.spde.operator import Mesh
from pipeline_spde.spde.polynomial import Polynomial
from pipeline_spde.spde.stencil import CENTRE

if TYPE_CHECKING:
    from pipeline_spde.spde.prior import SpdePrior

Preconditioner = Literal["jacobi", "time_block", "prior"]
NAMES: tuple[Preconditioner, ...] = ("jacobi", "time_block", "prior")
MILD = 8.0
"""Largest dt·(h_ee/dx² + h_nn/dy²) for which Jacobi takes about as long as factors, or less.

Measured on 50 x 50 cells (docs/spde.md): the two take equally long near 40 for precise observations
and near 5 for ones as imprecise as the field is variable, where Jacobi takes a fifth longer at 8.
"""
_ROUNDING = 1e-4  # a stiffness of MILD itself counts as mild in any precision


def choose(prior: SpdePrior) -> Preconditioner:
    """Return the preconditioner measured to be fastest, or close to it (docs/spde.md).

    Beyond `strips.LARGE` cells it is never `time_block`, which holds factors of all days at once:
    Jacobi, or `prior` for coloured noise and α = 4, where Jacobi hardly converges.
    """
    dynamics, theta, mesh = prior.dynamics, prior.theta, prior.mesh
    steep = prior.noise.filter is not None or dynamics.power > 1
    if is_large(mesh.area.shape):
        return "prior" if steep else "jacobi"
    if steep or dynamics.rho > 0:
        return "time_block"
    rate = theta.h_ee.detach() / mesh.dx.square() + theta.h_nn.detach() / mesh.dy**2
    total = float((rate * mesh.ocean).sum(dtype=torch.float64))
    stiffness = dynamics.dt * total / (mesh.count * prior.batch * prior.days)
    return "jacobi" if stiffness <= MILD * (1 + _ROUNDING) else "time_block"


def build(prior: SpdePrior, name: str, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Return r → M⁻¹ r with M ≈ Q + diag(weight), symmetric positive definite.

    Args:
        prior: the prior.
        name: "jacobi": diag(Q + R⁻¹); "time_block": the diagonal blocks of Q in time, each as
            BᵀN B with B = A_t and a raised diagonal; "prior": Q itself, scaled by observations.
        weight: R⁻¹, (batch, time, lat, lon), zero where not observed.
    """
    if name in ("time_block", "prior") and weight.dtype == torch.float64:
        # an approximation does not need more than single precision, and costs half
        single = build(prior.to(torch.float32), name, weight.float())
        return lambda r: single(r.float()).double()
    if name == "time_block":
        return _TimeBlocks(prior, weight)
    if name not in NAMES:
        raise ValueError(f"unknown preconditioner {name!r}; choose one of {', '.join(NAMES)}")
    diagonal = prior.precision_diagonal()
    if name == "jacobi":
        total = diagonal + weight
        return lambda r: r / total
    scale = (diagonal / (diagonal + weight)).sqrt()
    return lambda r: scale * prior.covariance_times(scale * r)


class _TimeBlocks:
    """All days at once, (BᵀM B)⁻¹ with B ≈ A_t raised for the next day, M ≈ N_t.

    With white noise and α = 2 the observations raise the diagonal of B too; with coloured noise of
    order 1 that of the filter in M, because the noise precision at small scales must not multiply
    them. In steeper spectra no diagonal of a factor stands for them, and they are left out.
    """

    def __init__(self, prior: SpdePrior, weight: Tensor) -> None:
        self.prior, self.shape = prior, prior.shape
        self.tau = prior.noise.tau.detach()
        self.strength = 1 + prior.dynamics.rho**2
        noise = prior.mesh.area / (prior.dynamics.dt * self.tau.square())
        next_day = self._next_day(noise)
        ratio = weight / (noise * self.strength)
        self.filter = None
        if prior.noise.order == 1:
            self.filter = _raised_filter(prior, ratio / (1 + next_day))
        if prior.noise.order > 0 or prior.dynamics.power == 2:
            ratio = torch.zeros_like(ratio)
        self.block = self._blocks(next_day, ratio)

    def _next_day(self, noise: Tensor) -> Tensor:
        """Return what N_{t+1} adds to the diagonal of day t, relative to N_t."""
        rho = self.prior.dynamics.rho
        out = torch.zeros_like(noise)
        out[:, :-1] = noise[:, 1:] / noise[:, :-1] * (1 + 2 * rho / self.strength)
        if rho == 0:
            out[:, 0] = 0  # the start and the first step together are AᵀNA already
        return out

    def _blocks(self, next_day: Tensor, ratio: Tensor) -> Polynomial:
        """Return B for all days as one batch."""
        prior, mesh = self.prior, self.prior.mesh
        share = prior.dynamics.implicit * prior.dynamics.dt
        matrix = prior.diffusion.detach()
        if prior.dynamics.power == 2:
            constant = math.sqrt(1 + float(next_day.mean()))
            return Polynomial(constant, share, matrix.flatten(0, 1), 2, mesh)
        if prior.advection is not None:
            matrix = matrix + prior.advection.detach()
        stencil = Polynomial(1.0, share, matrix, 1, mesh).nine_point().clone()
        centre = stencil[:, :, CENTRE]
        raised = (centre.square() + next_day + ratio).sqrt()
        stencil[:, :, CENTRE] = torch.where(mesh.ocean, raised, 1)
        return _bare(stencil, mesh)

    def __call__(self, residual: Tensor) -> Tensor:
        lead = residual.shape[:-4]
        flat = residual.reshape(-1, self.shape[0] * self.shape[1], *self.shape[2:])
        with torch.no_grad():
            up = self.block.solve(flat, transpose=True).view(*lead, *self.shape)
            mid = self._noise_covariance(up) / self.strength
            down = self.block.solve(mid.reshape(flat.shape)).view(*lead, *self.shape)
        return torch.where(self.prior.ocean, down, 0)

    def _noise_covariance(self, u: Tensor) -> Tensor:
        """Return M⁻¹ u."""
        noise, shape = self.prior.noise, u.shape
        if self.filter is None:
            return noise.covariance_times(u, self.tau)
        flat = (-1, self.shape[0] * self.shape[1], *self.shape[2:])
        u = self.filter.solve((self.tau * u).reshape(flat), transpose=True)
        u = self.filter.solve(u * (noise.dt / noise.mesh.area))
        return self.tau * u.view(shape)


def _bare(stencil: Tensor, mesh: Mesh) -> Polynomial:
    """Return stencils (batch, time, 9, ny, nx), with unit rows on land, as one batch to solve."""
    flat = stencil.flatten(0, 1)
    ready = Polynomial(0.0, 1.0, flat, 1, mesh)
    return replace(ready, _combined=flat)


def _raised_filter(prior: SpdePrior, ratio: Tensor) -> Polynomial:
    """Return G + diag(δ) per day, with δ the exact answer to one isolated observation.

    det(G + δ e e')² = det(G'G + c² e e')  ⟹  (1 + δ s₁)² = 1 + c² s₂,   c² = ratio,
    s₁ = (G⁻¹)_pp and s₂ = (G⁻¹G⁻ᵀ)_pp taken at the middle of the ocean.
    """
    single = prior.noise.filter
    assert single is not None
    ocean = prior.mesh.ocean
    cells = ocean.nonzero()
    j, i = cells[cells.shape[0] // 2].tolist()
    impulse = torch.zeros_like(prior.mesh.area)[None]
    impulse[0, j, i] = 1
    with torch.no_grad():
        response = single.solve(impulse)
        s1, s2 = float(response[0, j, i]), float(response.square().sum())
    delta = ((1 + ratio * s2).sqrt() - 1) / s1
    stencil = single.nine_point().detach().repeat(*ratio.shape[:2], 1, 1, 1)
    stencil[:, :, CENTRE] += torch.where(ocean, delta, 0)
    return _bare(stencil, prior.mesh)
