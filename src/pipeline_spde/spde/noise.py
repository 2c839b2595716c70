"""The driving noise ξ_t ~ N(0, N_t⁻¹), N_t = T_t⁻¹ Gᵀ D G T_t⁻¹ / dt, and random numbers.

D holds the cell areas, T_t = diag(τ_t), and G = (1 − ℓ²∇²)^order is the identity for white noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline_spde.spde.dynamics import Coloured, Dynamics
from pipeline_spde.spde.operator import Mesh, noise_filter
from pipeline_spde.spde.polynomial import Polynomial


def standard_normal(
    shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Return standard normal numbers of the dtype and device of `like`.

    They are drawn on the device of the generator, so a CPU generator gives the same numbers
    wherever the computation runs.
    """
    device = like.device if generator is None else generator.device
    numbers = torch.randn(shape, generator=generator, dtype=like.dtype, device=device)
    return numbers.to(like.device)


class Noise:
    """The noise of all steps.

    Args:
        tau: τ, m day^-1/2 km for white noise, shape (batch, time, ny, nx).
        dynamics: dt and the kind of noise.
        mesh: metric of the grid.
    """

    def __init__(self, tau: Tensor, dynamics: Dynamics, mesh: Mesh) -> None:
        self.tau, self.mesh, self.dt = tau, mesh, dynamics.dt
        self.order = dynamics.colour_order
        self.filter: Polynomial | None = None
        if isinstance(dynamics.noise, Coloured):
            matrix = noise_filter(mesh, dynamics.noise.length_km)
            self.filter = Polynomial(1.0, 1.0, matrix, 1, mesh)

    def whiten(self, e: Tensor, tau: Tensor) -> Tensor:
        """Return G T⁻¹ e."""
        e = e / tau
        for _ in range(self.order):
            assert self.filter is not None
            e = self.filter.times(e)
        return e

    def colour(self, white: Tensor, tau: Tensor) -> Tensor:
        """Return T G⁻¹ w for fields (..., ny, nx)."""
        return tau * self.smooth(white)

    def smooth(self, field: Tensor, transpose: bool = False) -> Tensor:
        """Return G⁻¹ w, or G⁻ᵀ w."""
        for _ in range(self.order):
            assert self.filter is not None
            flat = field.reshape(-1, 1, *field.shape[-2:])
            field = self.filter.solve(flat, transpose).view(field.shape)
        return field

    def draw(self, white: Tensor, tau: Tensor) -> Tensor:
        """Return ξ from standard normal numbers of the same shape."""
        return self.colour(white * torch.sqrt(self.dt / self.mesh.area), tau)

    def covariance_times(self, u: Tensor, tau: Tensor) -> Tensor:
        """Return N⁻¹ u = dt T G⁻¹ D⁻¹ G⁻ᵀ T u."""
        smooth = self.smooth(tau * u, transpose=True)
        return self.colour(smooth * (self.dt / self.mesh.area), tau)

    def log_det(self, tau: Tensor) -> Tensor:
        """Return log det N over ocean cells of the last two dimensions, float64."""
        ocean = self.mesh.ocean
        terms = self.mesh.area.log() - math.log(self.dt) - 2 * tau.log()
        total = torch.where(ocean, terms, 0).to(torch.float64).sum(dim=(-2, -1))
        if self.filter is not None:
            total = total + 2 * self.order * self.filter.log_det()
        return total
