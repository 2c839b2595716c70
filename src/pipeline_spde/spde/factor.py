"""Batched LU of nine-point matrices by nested dissection: determinant, inverse entries, solves.

No pivoting across fronts is needed: the matrices of this package have a positive definite symmetric
part (after scaling rows by cell areas), which every Schur complement inherits. Hence the
factorisation cannot fail for valid parameters. Complex matrices I + iβK with symmetric K share that
property. The derivative of the log-determinant is exact,

    ∂ log|det C| / ∂ C[k, p] = (C⁻¹)[p + k, p],

nine diagonals of the inverse, which one sweep down the tree gives at two to three times the cost
of the determinant itself.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pipeline_spde.spde.dissection import Group, dissection
from pipeline_spde.spde.stencil import outer

CHUNK_BYTES = 3e8
"""Memory of the factors worked on at once; larger batches are split."""

_Blocks = tuple[Tensor, Tensor, Tensor]


class Factor:
    """LU factors of a batch of nine-point matrices.

    Args:
        stencil: (batch, 9, ny, nx), real or complex; its gradient is not followed.
        periodic: the columns form a circle.
        keep: keep the blocks for solves, inverse entries and samples (else the determinant only).

    Attributes:
        log_abs_det: log|det C|, float64 whatever the input, shape (batch,).
    """

    def __init__(self, stencil: Tensor, periodic: bool = False, keep: bool = True) -> None:
        self.batch, _, self.ny, self.nx = stencil.shape
        self.plan = dissection(self.ny, self.nx, periodic, stencil.device)
        self.blocks: list[_Blocks] = []
        with torch.no_grad():
            self.log_abs_det = self._eliminate(stencil.detach(), keep)

    def _eliminate(self, stencil: Tensor, keep: bool) -> Tensor:
        """Go up the tree; return log|det| and fill `blocks` when asked to."""
        flat = stencil.reshape(self.batch, -1)
        total = torch.zeros(self.batch, dtype=torch.float64, device=flat.device)
        below, level = flat.new_zeros(self.batch, 1), _Level()
        for group in self.plan.groups:
            if group.depth != level.depth:
                below, level = level.buffer(below), _Level(group.depth)
            front = _assemble(group, flat, below)
            n = group.n_eliminated
            lu, pivots, _ = torch.linalg.lu_factor_ex(front[..., :n, :n])
            diagonal = lu.diagonal(dim1=-2, dim2=-1).abs().to(torch.float64)
            total += diagonal.log().sum(dim=(-1, -2))
            coupling, upper = front[..., n:, :n], front[..., :n, n:]
            if keep:
                eye = torch.eye(n, dtype=flat.dtype, device=flat.device)
                inverse = torch.linalg.lu_solve(lu, pivots, eye.expand_as(lu))
                right = inverse @ upper
                self.blocks.append((inverse, right, coupling @ inverse))
            else:
                right = torch.linalg.lu_solve(lu, pivots, upper)
            level.add(_minus_product(front[..., n:, n:], coupling, right))
        return total

    def inverse_entries(self) -> Tensor:
        """Return D with D[k, p] = (C⁻¹)[p + k, p], the derivative of log|det C|; uses up blocks.

        Shape (batch, 9, ny, nx), of the dtype of the matrices.
        """
        dtype, device = self.blocks[0][0].dtype, self.blocks[0][0].device
        entries = torch.zeros(self.batch, 9 * self.ny * self.nx, dtype=dtype, device=device)
        above, level = entries.new_zeros(self.batch, 1), _Level()
        for group in reversed(self.plan.groups):
            if group.depth != level.depth:
                above, level = level.buffer(above, reverse=True), _Level(group.depth)
            full = self._inverse_of_front(group, self.blocks.pop(), above)
            flat = full.reshape(self.batch, -1)
            level.add(full)
            transposed = _transposed_positions(group)
            entries[:, group.sources] = flat[:, transposed]
        return entries.view(self.batch, 9, self.ny, self.nx)

    def _inverse_of_front(self, group: Group, blocks: _Blocks, above: Tensor) -> Tensor:
        """Return C⁻¹ on the nodes of each front, (batch, fronts, size, size)."""
        inverse, right, left = blocks
        if group.n_ring == 0:
            return inverse
        n, size = group.n_eliminated, group.size
        full = inverse.new_empty(self.batch, group.count, size, size)
        shape = (self.batch, group.count, group.n_ring, group.n_ring)
        ring = above.index_select(1, group.parent).view(shape)
        below_left = ring @ left
        full[..., n:, n:] = ring
        full[..., n:, :n] = -below_left
        full[..., :n, n:] = -(right @ ring)
        full[..., :n, :n] = inverse + right @ below_left
        return full

    def part(self, rows: slice) -> Factor:
        """Return the factors of some of the matrices; nothing is copied."""
        out = object.__new__(Factor)
        out.ny, out.nx, out.plan = self.ny, self.nx, self.plan
        out.blocks = [(a[rows], b[rows], c[rows]) for a, b, c in self.blocks]
        out.log_abs_det = self.log_abs_det[rows]
        out.batch = out.log_abs_det.shape[0]
        return out

    def solve(self, rhs: Tensor, transpose: bool = False) -> Tensor:
        """Return C⁻¹ b, or C⁻ᵀ b, for many right-hand sides, both of shape (batch, ny·nx, n)."""
        y = self._with_dump(rhs)
        for group, (_, right, left) in zip(self.plan.groups, self.blocks, strict=True):
            if group.n_ring:
                lower = right.mT if transpose else left
                change = lower @ self._gather(y, group.eliminated)
                y.index_add_(1, group.ring.reshape(-1), change.flatten(1, 2), alpha=-1)
                y[:, -1] = 0
        return self._descend(y, transpose, None)

    def sample(self, white: Tensor) -> Tensor:
        """Return draws of N(0, M⁻¹) for real symmetric positive definite matrices M.

        Down the tree, x_E | x_R ~ N(−X₁₂ x_R, M_EE.R⁻¹) with the blocks already at hand.

        Args:
            white: independent standard normal numbers, (batch, ny·nx, n).
        """
        return self._descend(self._with_dump(torch.zeros_like(white)), False, white)

    def _descend(self, y: Tensor, transpose: bool, white: Tensor | None) -> Tensor:
        noise = None if white is None else self._with_dump(white)
        for group, (inverse, right, left) in zip(
            reversed(self.plan.groups), reversed(self.blocks), strict=True
        ):
            if noise is None:
                diagonal = inverse.mT if transpose else inverse
                x = diagonal @ self._gather(y, group.eliminated)
            else:
                root = torch.linalg.cholesky(0.5 * (inverse + inverse.mT))
                x = root @ self._gather(noise, group.eliminated)
            if group.n_ring:
                x = x - (left.mT if transpose else right) @ self._gather(y, group.ring)
            y[:, group.eliminated.reshape(-1)] = x.flatten(1, 2)
            y[:, -1] = 0
        return y[:, :-1]

    @staticmethod
    def _with_dump(columns: Tensor) -> Tensor:
        """Return a copy with one more row, the target of padded nodes."""
        return torch.cat([columns, columns.new_zeros(columns.shape[0], 1, columns.shape[2])], 1)

    def _gather(self, columns: Tensor, nodes: Tensor) -> Tensor:
        """Return the rows of the nodes of a group, (batch, fronts, nodes, n)."""
        rows = columns.index_select(1, nodes.reshape(-1))
        return rows.view(self.batch, *nodes.shape, columns.shape[-1])


class _Level:
    """Matrices of the groups of one depth, to be read by the next level as one flat buffer."""

    def __init__(self, depth: int = -1) -> None:
        self.depth = depth
        self.parts: list[Tensor] = []

    def add(self, matrices: Tensor) -> None:
        self.parts.append(matrices.flatten(1))

    def buffer(self, like: Tensor, reverse: bool = False) -> Tensor:
        """Return the matrices in the order of the groups and a last column of zeros."""
        parts = self.parts[::-1] if reverse else self.parts
        return torch.cat([*parts, like.new_zeros(like.shape[0], 1)], dim=1)


def _assemble(group: Group, flat: Tensor, below: Tensor) -> Tensor:
    """Return the front matrices: entries of the stencil plus Schur terms of the children."""
    batch, size = flat.shape[0], group.size
    if group.children:
        front = below.index_select(1, group.children[0])
        for table in group.children[1:]:
            front += below.index_select(1, table)
    else:
        front = flat.new_zeros(batch, group.count * size * size)
    front[:, group.entries] += flat.index_select(1, group.sources)
    front[:, group.padding] += 1
    return front.view(batch, group.count, size, size)


def _minus_product(base: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return base − left·right for batches of matrices of shape (batch, fronts, ., .)."""
    merged = torch.baddbmm(
        base.flatten(0, 1), left.flatten(0, 1), right.flatten(0, 1), beta=1, alpha=-1
    )
    return merged.view(base.shape)


def _transposed_positions(group: Group) -> Tensor:
    """Return the positions of the transposed entries in the flat front matrices."""
    size = group.size
    front, inside = group.entries // (size * size), group.entries % (size * size)
    return front * size * size + (inside % size) * size + inside // size


def _chunk(stencil: Tensor, periodic: bool) -> int:
    """Return how many matrices to factor at once."""
    _, _, ny, nx = stencil.shape
    kept = dissection(ny, nx, periodic, stencil.device).kept_entries
    return max(1, math.floor(CHUNK_BYTES / (2 * kept * stencil.element_size())))


class _LogAbsDet(torch.autograd.Function):
    """log|det C| with the exact first derivative, computed together with the value.

    The derivative is a constant to autograd: differentiating it again in C gives zero.
    """

    @staticmethod
    def forward(ctx: Any, stencil: Tensor, periodic: bool) -> Tensor:
        need = ctx.needs_input_grad[0]
        values, derivatives = [], []
        for part in stencil.split(_chunk(stencil, periodic)):
            factor = Factor(part, periodic, keep=need)
            values.append(factor.log_abs_det)
            if need:
                derivatives.append(factor.inverse_entries())
        if need:
            ctx.save_for_backward(torch.cat(derivatives))
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (derivative,) = ctx.saved_tensors
        scale = grads[0].to(derivative.real.dtype).view(-1, 1, 1, 1)
        return scale * derivative.conj().resolve_conj(), None


def log_abs_det(stencil: Tensor, periodic: bool = False) -> Tensor:
    """Return log|det C|, float64, of nine-point matrices (batch, 9, ny, nx); shape (batch,).

    The first derivative is exact and enters further derivatives as a value: its own dependence on
    the matrices, which would need the whole inverse, is left out.
    """
    out: Tensor = _LogAbsDet.apply(stencil, periodic)
    return out


def to_columns(fields: Tensor) -> Tensor:
    """Return fields (..., batch, ny, nx) as columns (batch, ny·nx, n)."""
    *_, batch, ny, nx = fields.shape
    return fields.reshape(-1, batch, ny * nx).permute(1, 2, 0).contiguous()


def from_columns(columns: Tensor, shape: torch.Size) -> Tensor:
    """Return the fields of the given shape from columns (batch, ny·nx, n)."""
    return columns.permute(2, 0, 1).reshape(shape)


class _Solve(torch.autograd.Function):
    """C⁻¹ b (or C⁻ᵀ b) by factors at hand, differentiable any number of times in C and b."""

    @staticmethod
    def forward(ctx: Any, stencil: Tensor, rhs: Tensor, factor: Factor, transpose: bool) -> Tensor:
        solution = from_columns(factor.solve(to_columns(rhs), transpose), rhs.shape)
        ctx.save_for_backward(stencil, solution)
        ctx.factor, ctx.transpose = factor, transpose
        return solution

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        stencil, solution = ctx.saved_tensors
        to_rhs = solve(stencil, grads[0].conj(), ctx.factor, not ctx.transpose).conj()
        to_stencil = None
        if ctx.needs_input_grad[0]:
            left, right = to_rhs, solution.conj()
            if ctx.transpose:
                left, right = right, left
            to_stencil = -outer(left, right, ctx.factor.plan.periodic).sum_to_size(stencil.shape)
        return to_stencil, to_rhs, None, None


def solve(stencil: Tensor, rhs: Tensor, factor: Factor, transpose: bool = False) -> Tensor:
    """Return C⁻¹ b (or C⁻ᵀ b) for b of shape (..., batch, ny, nx).

    Args:
        stencil: the matrices C (batch, 9, ny, nx), to which the gradient flows.
        rhs: right-hand sides; leading dimensions are columns of one batched solve.
        factor: factors of the same matrices.
        transpose: solve with Cᵀ.
    """
    out: Tensor = _Solve.apply(stencil, rhs, factor, transpose)
    return out
