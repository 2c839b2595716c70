"""Matrices p·I + q·M and p·I + q·M² of a nine-point stencil M: product, determinant, solve.

The square is never formed. For p, q > 0 and M symmetric in the metric of the cells,

    p I + q M² = (√p I + i√q M)(√p I − i√q M)
    log det(p I + q M²) = 2 log|det(√p I + i√q M)|
    (p I + q M²)⁻¹ b = Re[(√p I + i√q M)⁻¹ b] / √p                          (b and M real)

so one complex nine-point factorisation does what a real 25-point one would. Rows of land are rows
of the identity. Grids of more than `strips.LARGE` cells go by tiles and strips (`large`, `strips`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from pipeline_spde.spde.factor import Factor, solve
from pipeline_spde.spde.large import factor_bytes, factorise
from pipeline_spde.spde.operator import Mesh
from pipeline_spde.spde.stencil import CENTRE, product, transposed_product
from pipeline_spde.spde.strips import log_abs_det_any_size, sample_any_size


@dataclass(eq=False)
class Polynomial:
    """p·I + q·M^power for a batch of matrices.

    Attributes:
        p: constant, ≥ 0.
        q: coefficient; negative ones allow products only.
        matrix: stencil of M, (..., 9, ny, nx), zero rows on land.
        power: 1 or 2.
        mesh: metric of the grid.
    """

    p: float
    q: float
    matrix: Tensor
    power: int
    mesh: Mesh
    _factor: Factor | None = field(default=None, repr=False)
    _combined: Tensor | None = field(default=None, repr=False)

    @property
    def shift_free(self) -> bool:
        """True for a bare power q·M^power, whose factors are those of M."""
        return self.p == 0

    def times(self, x: Tensor, transpose: bool = False) -> Tensor:
        """Return (p I + q M^power) x, or its transpose times x, for x (..., ny, nx)."""
        periodic = self.mesh.periodic
        if self.q == 0:
            return self.p * x
        multiply = transposed_product if transpose else product
        if self.power == 1:
            return multiply(self.nine_point(), x, periodic)
        inner = multiply(self.matrix, multiply(self.matrix, x, periodic), periodic)
        return self.p * x + self.q * inner

    def nine_point(self) -> Tensor:
        """Return the stencil to factor: p I + q M, M, or √p I + i√q M."""
        if self._combined is None:
            self._combined = self._combine()
        return self._combined

    def _combine(self) -> Tensor:
        constant: float | complex = self.p
        factor: float | complex = self.q
        if self.power == 2:
            constant, factor = (
                (0.0, 1.0) if self.shift_free else (math.sqrt(self.p), 1j * math.sqrt(self.q))
            )
        ocean = self.mesh.ocean.to(self.matrix.dtype)
        centre = constant * ocean + (1 - ocean)
        identity = torch.zeros(9, *ocean.shape, dtype=centre.dtype, device=ocean.device)
        identity[CENTRE] = centre
        if isinstance(factor, float):
            return torch.add(identity, self.matrix, alpha=factor)
        return identity + factor * self.matrix

    def log_det(self) -> Tensor:
        """Return log|det| over ocean cells, float64, shape of the leading dimensions."""
        return log_dets([self])[0]

    def solve(self, rhs: Tensor, transpose: bool = False) -> Tensor:
        """Return (p I + q M^power)⁻¹ b for b (..., batch, ny, nx); factors once, differentiable.

        `matrix` must have the shape (batch, 9, ny, nx).
        """
        if self.q == 0:
            return rhs / self.p
        stencil = self.nine_point()
        factor = self.factor()
        if self.power == 1:
            return solve(stencil, rhs, factor, transpose)
        if self.shift_free:
            once = solve(stencil, rhs, factor, transpose)
            return solve(stencil, once, factor, transpose) / self.q
        solution = solve(stencil, rhs.to(stencil.dtype), factor, transpose)
        return solution.real / math.sqrt(self.p)

    def sample(
        self, white: Tensor, more: Callable[[tuple[int, ...]], Tensor] | None = None
    ) -> Tensor:
        """Return draws of N(0, (D (p I + q M))⁻¹), for power 1 and M symmetric in the metric D.

        Args:
            white: standard normal numbers, (n, batch, ny, nx).
            more: gives more of them, of a shape; large grids need some. By default those of the
                global generator.
        """
        if more is None:
            more = partial(torch.randn, dtype=white.dtype, device=white.device)
        precision = self.nine_point() * self.mesh.area
        return sample_any_size(precision, white, more, self.mesh.periodic)

    def factor(self) -> Factor:
        """Return the factors of the nine-point stencil, computed once."""
        if self._factor is None:
            self._factor = factorise(self.nine_point(), self.mesh.periodic)
        return self._factor

    def release(self) -> None:
        """Forget the factors and the stencil that was factored."""
        self._factor = self._combined = None

    def factor_bytes(self) -> int:
        """Memory of the factors of one matrix."""
        first = self.matrix[(0,) * (self.matrix.ndim - 3)][None]
        stencil = replace(self, matrix=first, _factor=None, _combined=None).nine_point()
        return factor_bytes(stencil, self.mesh.periodic)

    def flattened(self, times: slice) -> Polynomial:
        """Return the matrices of some times as one batch, time first.

        `matrix` must have the shape (batch, time, 9, ny, nx).
        """
        matrix = self.matrix[:, times].transpose(0, 1).flatten(0, 1)
        return replace(self, matrix=matrix, _factor=None, _combined=None)

    def part(self, rows: slice) -> Polynomial:
        """Return some matrices of a batch with the factors already computed."""
        return replace(
            self,
            matrix=self.matrix[rows],
            _combined=self.nine_point()[rows],
            _factor=self.factor().part(rows),
        )


def log_dets(matrices: list[Polynomial]) -> list[Tensor]:
    """Return log|det| of each entry, float64; all of one dtype are factored as one batch.

    The shape of each result is that of the leading dimensions of its `matrix`.
    """
    results: dict[int, Tensor] = {}
    batches: dict[torch.dtype, list[int]] = {}
    for k, m in enumerate(matrices):
        if m.q == 0:
            value = m.mesh.count * math.log(m.p)
            results[k] = torch.full(
                m.matrix.shape[:-3], value, dtype=torch.float64, device=m.matrix.device
            )
        else:
            batches.setdefault(m.nine_point().dtype, []).append(k)
    for members in batches.values():
        stencils = [matrices[k].nine_point().flatten(0, -4) for k in members]
        values = log_abs_det_any_size(torch.cat(stencils), matrices[members[0]].mesh.periodic)
        for k, value in zip(members, values.split([s.shape[0] for s in stencils]), strict=True):
            m = matrices[k]
            bare = m.power == 2 and m.shift_free
            constant = m.mesh.count * math.log(m.q) if bare else 0.0
            results[k] = m.power * value.view(m.matrix.shape[:-3]) + constant
    return [results[k] for k in range(len(matrices))]
