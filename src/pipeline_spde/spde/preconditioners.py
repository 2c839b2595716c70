"""Approximate inverses of Q + R⁻¹ for the conjugate gradients of the posterior."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from pipeline_spde.spde.dynamics import Coloured
from pipeline_spde.spde.polynomial import Polynomial
from pipeline_spde.spde.stencil import CENTRE

if TYPE_CHECKING:
    from pipeline_spde.spde.prior import SpdePrior

Preconditioner = Literal["jacobi", "time_block", "prior"]
NAMES: tuple[Preconditioner, ...] = ("jacobi", "time_block", "prior")
MILD = 2.0
"""Largest dt·(h_ee/dx² + h_nn/dy²) for which Jacobi beats factors (measured)."""


def choose(prior: SpdePrior) -> Preconditioner:
    """Return the preconditioner expected to be fastest, from the stiffness of the prior."""
    dynamics, theta, mesh = prior.dynamics, prior.theta, prior.mesh
    if isinstance(dynamics.noise, Coloured) or dynamics.power > 1 or dynamics.rho > 0:
        return "prior"
    rate = theta.h_ee.detach() / mesh.dx.square() + theta.h_nn.detach() / mesh.dy**2
    stiffness = float((rate * mesh.ocean).sum() / (mesh.count * prior.batch * prior.days))
    return "jacobi" if dynamics.dt * stiffness <= MILD else "time_block"


def build(prior: SpdePrior, name: Preconditioner, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Return r → M⁻¹ r with M ≈ Q + diag(weight), symmetric positive definite.

    Args:
        prior: the prior.
        name: "jacobi": diag(Q + R⁻¹); "time_block": the diagonal blocks of Q in time, each as
            BᵀN B with B = A_t and a raised diagonal; "prior": Q itself, scaled by observations.
        weight: R⁻¹, (batch, time, lat, lon), zero where not observed.
    """
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
    """All days at once: (BᵀN B)⁻¹ with B = A_t raised for the next day and the observations."""

    def __init__(self, prior: SpdePrior, weight: Tensor) -> None:
        dynamics, mesh = prior.dynamics, prior.mesh
        self.prior, self.shape = prior, prior.shape
        self.tau = prior.noise.tau.detach()
        noise = mesh.area / (dynamics.dt * self.tau.square())
        rho = dynamics.rho
        self.strength = 1 + rho**2
        following = torch.ones_like(noise)
        following[:, :-1] = noise[:, 1:] / noise[:, :-1]
        following[:, -1] = 0
        if rho == 0:
            following[:, 0] = 0  # Q₀ + BᵀNB is AᵀNA already
        observed = weight / (noise * self.strength)
        raised = following * (1 + 2 * rho / self.strength) + observed
        matrix = prior.diffusion.detach()
        if prior.advection is not None:
            matrix = matrix + prior.advection.detach()
        share = dynamics.implicit * dynamics.dt
        if dynamics.power == 1:
            stencil = Polynomial(1.0, share, matrix, 1, mesh).nine_point().clone()
            centre = stencil[:, :, CENTRE]
            stencil[:, :, CENTRE] = torch.where(
                mesh.ocean, (centre.square() + raised).sqrt(), centre
            )
            block = Polynomial(0.0, 1.0, stencil, 1, mesh)
            self.scale = torch.ones_like(raised)
        else:
            constant = math.sqrt(1 + float(following.mean()))
            block = Polynomial(constant, share, prior.diffusion.detach(), 2, mesh)
            diagonal = prior.precision_diagonal()
            self.scale = (diagonal / (diagonal + weight)).sqrt()
        self.block = replace(block, matrix=block.matrix.flatten(0, 1))

    def __call__(self, residual: Tensor) -> Tensor:
        lead = residual.shape[:-4]
        flat = (self.scale * residual).reshape(-1, self.shape[0] * self.shape[1], *self.shape[2:])
        with torch.no_grad():
            up = self.block.solve(flat, transpose=True).view(*lead, *self.shape)
            mid = self.prior.noise.covariance_times(up, self.tau) / self.strength
            down = self.block.solve(mid.view(flat.shape)).view(*lead, *self.shape)
        return torch.where(self.prior.ocean, self.scale * down, 0)
