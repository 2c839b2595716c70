"""The stationary law of the first day, so that a window has its full variance from the start.

With frozen coefficients, k = dt K^(α/2) (advection left out), A = 1 + θk, B = A − k and noise
N⁻¹, the exact stationary law of commuting operators is, for uncorrelated noise,

    Q₀ = T⁻¹Gᵀ D k (A + B) G T⁻¹ / dt

and for noise of correlation ρ the pair of first day and first increment (x₀, e₁): with
x̃ = A⁻¹(B x₀ + e₁) (the second day if there were no advection), s, d = (x₀ ± x̃)/√2 are
independent with precisions

    (1 − ρ) T⁻¹Gᵀ D (A − ρB) k G T⁻¹ / dt     and     (1 + ρ) T⁻¹Gᵀ D (A − ρB)(A + B) G T⁻¹ / dt.

Every factor is a polynomial of K, symmetric and positive definite in the metric D.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline_spde.spde.dynamics import Dynamics
from pipeline_spde.spde.large import is_large
from pipeline_spde.spde.noise import Noise, standard_normal
from pipeline_spde.spde.operator import Mesh
from pipeline_spde.spde.polynomial import Polynomial

KEEP_BYTES = 1e9
"""Factors of the start on a large grid are kept for the next draw up to this size."""


class StationaryStart:
    """Law of x₀ (ρ = 0) or of the pair (x₀, e₁) (ρ > 0).

    Args:
        diffusion: stencil of K on the first day, (batch, 9, ny, nx).
        noise: the noise; its first day is used.
        dynamics: scheme, order and ρ.
        mesh: metric of the grid.
    """

    def __init__(self, diffusion: Tensor, noise: Noise, dynamics: Dynamics, mesh: Mesh) -> None:
        self.noise, self.mesh, self.rho = noise, mesh, dynamics.rho
        self.tau = noise.tau[:, 0]
        implicit = dynamics.implicit

        def polynomial(p: float, q: float) -> Polynomial:
            return Polynomial(p, q * dynamics.dt, diffusion, dynamics.power, mesh)

        self.rate = polynomial(0.0, 1.0)
        self.sum = polynomial(2.0, 2 * implicit - 1)
        self.left = polynomial(1.0, implicit)
        self.right = polynomial(1.0, implicit - 1)
        self.memory = polynomial(1 - self.rho, implicit + self.rho * (1 - implicit))  # A − ρB

    def energy(self, x0: Tensor, e1: Tensor | None) -> Tensor:
        """Return the quadratic form of (x₀, e₁), shape (..., batch)."""
        if self.rho == 0:
            return self._quadratic(x0, self.rate, self.sum)
        assert e1 is not None
        x1 = self.left.solve(self.right.times(x0) + e1)
        mean, change = (x0 + x1) / math.sqrt(2), (x0 - x1) / math.sqrt(2)
        slow = self._quadratic(mean, self.rate, self.memory)
        fast = self._quadratic(change, self.memory, self.sum)
        return (1 - self.rho) * slow + (1 + self.rho) * fast

    def _quadratic(self, x: Tensor, first: Polynomial, second: Polynomial) -> Tensor:
        white = self.noise.whiten(x, self.tau)
        weight = self.mesh.area / self.noise.dt
        return (weight * white * second.times(first.times(white))).sum(dim=(-2, -1))

    def determinants(self) -> list[tuple[Polynomial, float]]:
        """Return matrices and weights whose log-determinants make up most of `log_det`."""
        if self.rho == 0:
            return [(self.rate, 1.0), (self.sum, 1.0)]
        return [(self.rate, 1.0), (self.memory, 2.0), (self.sum, 1.0), (self.left, -2.0)]

    def log_det_of_noise(self) -> Tensor:
        """Return the rest of the log-determinant of the precision of (x₀, e₁), (batch,)."""
        noise = self.noise.log_det(self.tau)
        if self.rho == 0:
            return noise
        return 2 * noise + self.mesh.count * math.log(1 - self.rho**2)

    def sample(self, n: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        """Return draws of x₀ and e₁ (None without ρ), each (n, batch, ny, nx)."""
        if self.rho == 0:
            x0 = self._draw(n, self.rate, self.sum, generator)
            self._release_if_large()
            return x0, None
        mean = self._draw(n, self.rate, self.memory, generator) / math.sqrt(1 - self.rho)
        self._release_if_large()
        change = self._draw(n, self.memory, self.sum, generator) / math.sqrt(1 + self.rho)
        self._release_if_large()
        x0, x1 = (mean + change) / math.sqrt(2), (mean - change) / math.sqrt(2)
        return x0, self.left.times(x1) - self.right.times(x0)

    def _draw(
        self, n: int, first: Polynomial, second: Polynomial, generator: torch.Generator | None
    ) -> Tensor:
        """Draw with precision T⁻¹Gᵀ D P₁P₂ G T⁻¹/dt, where P₂ = c₁ + c₂ P₁ with c ≥ 0.

        P₂⁻¹(√c₁ y + √c₂ D^(−1/2) ξ) with y ~ N(0, (D P₁)⁻¹) has the covariance P₂⁻¹P₁⁻¹D⁻¹.
        """
        shape = (n, *self.tau.shape)
        c2 = second.q / first.q
        c1 = second.p - c2 * first.p
        y = math.sqrt(c1) * self._draw_inverse(n, first, generator)
        if c2 > 0:
            white = standard_normal(shape, self.tau, generator) / self.mesh.area.sqrt()
            y = y + math.sqrt(c2) * white
        x = self.noise.colour(second.solve(y) * math.sqrt(self.noise.dt), self.tau)
        return torch.where(self.mesh.ocean, x, 0)

    def _draw_inverse(
        self, n: int, matrix: Polynomial, generator: torch.Generator | None
    ) -> Tensor:
        """Return draws of N(0, (D P)⁻¹), shape (n, batch, ny, nx)."""
        shape = (n, *self.tau.shape)
        white = standard_normal(shape, self.tau, generator)
        root_area = self.mesh.area.sqrt()
        if matrix.power == 1:
            return matrix.sample(white, lambda size: standard_normal(size, self.tau, generator))
        if matrix.p == 0:
            single = Polynomial(0.0, 1.0, matrix.matrix, 1, self.mesh)
            return single.solve(white / root_area) / math.sqrt(matrix.q)
        other = standard_normal(shape, self.tau, generator)
        once = Polynomial(0.0, math.sqrt(matrix.q), matrix.matrix, 1, self.mesh)
        return matrix.solve(math.sqrt(matrix.p) * white / root_area + once.times(other / root_area))

    def covariance_times(self, u0: Tensor, u1: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the covariance of (x₀, e₁) times (u₀, u₁)."""
        if self.rho == 0:
            x0 = self._inverse(u0, self.rate, self.sum)
            self._release_if_large()
            return x0, None
        assert u1 is not None
        at_x0 = u0 - self.right.times(u1, transpose=True)
        at_x1 = self.left.times(u1, transpose=True)
        mean = self._inverse(at_x0 + at_x1, self.rate, self.memory) / (2 * (1 - self.rho))
        change = self._inverse(at_x0 - at_x1, self.memory, self.sum) / (2 * (1 + self.rho))
        self._release_if_large()
        x0, x1 = mean + change, mean - change
        return x0, self.left.times(x1) - self.right.times(x0)

    def _release_if_large(self) -> None:
        """Forget factors too big to wait for the next use: the days need the memory."""
        if not is_large(self.tau.shape):
            return
        matrices = [self.rate, self.memory, self.sum]
        if sum(m.factor_bytes() for m in matrices) * self.tau.shape[0] > KEEP_BYTES:
            for matrix in matrices:
                matrix.release()

    def _inverse(self, u: Tensor, first: Polynomial, second: Polynomial) -> Tensor:
        """Return dt T G⁻¹ P₂⁻¹ P₁⁻¹ D⁻¹ G⁻ᵀ T u."""
        inner = self.noise.smooth(self.tau * u, transpose=True) / self.mesh.area
        solved = second.solve(first.solve(inner))
        x = self.noise.colour(solved * self.noise.dt, self.tau)
        return torch.where(self.mesh.ocean, x, 0)
