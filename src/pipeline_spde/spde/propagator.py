"""One step of the dynamics, A_t x_t = B_t x_{t−1} + e_t, for all steps of a window at once."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from pipeline_spde.spde.dynamics import Dynamics
from pipeline_spde.spde.operator import Mesh
from pipeline_spde.spde.polynomial import Polynomial

KEEP_BYTES = 1.5e9
"""Factors of a window are kept together up to this size; beyond, one chunk of days at a time."""
_CHUNK_BYTES = 4e8


class Propagator:
    """A_t and B_t for the steps t = 1 … m−1 as products of polynomials of stencils.

    Args:
        diffusion: stencils of K for t ≥ 1, (batch, steps, 9, ny, nx).
        advection: stencils of S, or None.
        dynamics: order, scheme, sub-steps.
        mesh: metric of the grid.
    """

    def __init__(
        self, diffusion: Tensor, advection: Tensor | None, dynamics: Dynamics, mesh: Mesh
    ) -> None:
        self.mesh = mesh
        self.steps = diffusion.shape[1]
        implicit, dt = dynamics.implicit, dynamics.dt
        together = dynamics.power == 1 and dynamics.substeps == 1
        if advection is not None and together:
            diffusion, advection = diffusion + advection, None

        def factors(share: float) -> list[tuple[Polynomial, int]]:
            out = [(Polynomial(1.0, share * dt, diffusion, dynamics.power, mesh), 1)]
            if advection is not None:
                small = share * dt / dynamics.substeps
                out.append((Polynomial(1.0, small, advection, 1, mesh), dynamics.substeps))
            return out

        self.left = factors(implicit)
        self.right = factors(implicit - 1) if implicit < 1 else []
        self._kept: dict[int, list[Polynomial]] = {}

    def left_times(self, x: Tensor) -> Tensor:
        """Return A_t x_t for x of shape (..., batch, steps, ny, nx)."""
        return _apply(self.left, x)

    def right_times(self, x: Tensor) -> Tensor:
        """Return B_t x_{t−1} for x (the earlier days) of shape (..., batch, steps, ny, nx)."""
        return _apply(self.right, x)

    def right_times_at(self, step: int, x: Tensor, transpose: bool = False) -> Tensor:
        """Return B_t x, or B_tᵀ x, of one step for x of shape (..., batch, ny, nx)."""
        chain = [
            (Polynomial(f.p, f.q, f.matrix[:, step], f.power, self.mesh), n) for f, n in self.right
        ]
        return _apply(chain[::-1] if transpose else chain, x, transpose)

    def solve_at(self, step: int, rhs: Tensor, transpose: bool = False) -> Tensor:
        """Return A_t⁻¹ b, or A_t⁻ᵀ b, of one step for b of shape (..., batch, ny, nx)."""
        chain = list(zip(self._factored(step), (n for _, n in self.left), strict=True))
        for factor, repeats in chain if transpose else chain[::-1]:
            for _ in range(repeats):
                rhs = factor.solve(rhs, transpose)
        return rhs

    def _factored(self, step: int) -> list[Polynomial]:
        """Return the factors of one step; a chunk of steps is factored in one batch."""
        batch = self.left[0][0].matrix.shape[0]
        length = self._chunk_length(_CHUNK_BYTES)
        chunk, place = divmod(step, length)
        if chunk not in self._kept:
            if self._chunk_length(KEEP_BYTES) < self.steps:
                self._kept.clear()
            times = slice(chunk * length, (chunk + 1) * length)
            self._kept[chunk] = [f.flattened(times) for f, _ in self.left]
        rows = slice(place * batch, (place + 1) * batch)
        return [f.part(rows) for f in self._kept[chunk]]

    def _chunk_length(self, budget: float) -> int:
        """Return how many steps of factors fit a budget in bytes (at least one)."""
        return max(1, min(self.steps, int(budget / self._step_bytes)))

    @cached_property
    def _step_bytes(self) -> int:
        """Memory of the factors of one step."""
        return sum(f.factor_bytes() for f, _ in self.left) * self.left[0][0].matrix.shape[0]


def _apply(chain: list[tuple[Polynomial, int]], x: Tensor, transpose: bool = False) -> Tensor:
    for factor, repeats in chain:
        for _ in range(repeats):
            x = factor.times(x, transpose)
    return x
