"""Nine-point stencils as linear maps: product, transposed product and solve-free derivatives.

A stencil C of shape (..., 9, ny, nx) is the sparse matrix

    (C u)[j, i] = Σ_k C[k, j, i] · u[j + Δj_k, i + Δi_k],      (Δj_k, Δi_k) = OFFSETS[k]

with u = 0 beyond the walls, or u periodic along longitude. Leading dimensions broadcast. The two
products below are autograd functions whose adjoints are written by hand in terms of each other, so
they save nothing but their arguments and can be differentiated any number of times.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

OFFSETS = tuple((dj, di) for dj in (-1, 0, 1) for di in (-1, 0, 1))
"""(Δj, Δi) of the nine planes: rows to the north and columns to the east."""
CENTRE = 4
INDEX = {offset: k for k, offset in enumerate(OFFSETS)}


def shift(field: Tensor, dj: int, di: int, periodic: bool) -> Tensor:
    """Return v with v[j, i] = field[j + dj, i + di], zero where that lies beyond a wall."""
    if periodic and di:
        field, di = torch.roll(field, -di, dims=-1), 0
    if dj == 0 and di == 0:
        return field
    ny, nx = field.shape[-2:]
    inner = field[..., max(0, dj) : ny + min(0, dj), max(0, di) : nx + min(0, di)]
    return F.pad(inner, (max(0, -di), max(0, di), max(0, -dj), max(0, dj)))


def _pad(field: Tensor, periodic: bool) -> Tensor:
    """Return the field with one ring of cells: zeros, or the far columns of a periodic grid."""
    if periodic:
        field = torch.cat([field[..., -1:], field, field[..., :1]], dim=-1)
        return F.pad(field, (0, 0, 1, 1))
    return F.pad(field, (1, 1, 1, 1))


def _window(padded: Tensor, k: int) -> Tensor:
    """Return the view of a padded field that plane k of a stencil multiplies."""
    dj, di = OFFSETS[k]
    ny, nx = padded.shape[-2] - 2, padded.shape[-1] - 2
    return padded[..., 1 + dj : 1 + dj + ny, 1 + di : 1 + di + nx]


def _product(stencil: Tensor, field: Tensor, periodic: bool) -> Tensor:
    padded = _pad(field, periodic)
    out = stencil[..., CENTRE, :, :] * field
    for k in range(9):
        if k != CENTRE:
            out.addcmul_(stencil[..., k, :, :], _window(padded, k))
    return out


def _transposed_product(stencil: Tensor, field: Tensor, periodic: bool) -> Tensor:
    first = stencil[..., CENTRE, :, :] * field
    nx = first.shape[-1]
    out = F.pad(first, (1, 1, 1, 1))
    for k in range(9):
        if k != CENTRE:
            _window(out, k).addcmul_(stencil[..., k, :, :], field)
    if periodic:
        out[..., nx] += out[..., 0]
        out[..., 1] += out[..., nx + 1]
    return out[..., 1:-1, 1:-1]


def outer(left: Tensor, right: Tensor, periodic: bool) -> Tensor:
    """Return the stencil G[k, p] = left[p] · right[p + k]: the derivative of left'·C·right to C."""
    padded = _pad(right, periodic)
    return torch.stack([left * _window(padded, k) for k in range(9)], dim=-3)


class _Product(torch.autograd.Function):
    """C u, differentiable any number of times in C and u."""

    @staticmethod
    def forward(ctx: Any, stencil: Tensor, field: Tensor, periodic: bool) -> Tensor:
        ctx.save_for_backward(stencil, field)
        ctx.periodic = periodic
        return _product(stencil, field, periodic)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        stencil, field = ctx.saved_tensors
        (grad,) = grads
        to_stencil = to_field = None
        if ctx.needs_input_grad[0]:
            to_stencil = outer(grad, field, ctx.periodic).sum_to_size(stencil.shape)
        if ctx.needs_input_grad[1]:
            to_field = transposed_product(stencil, grad, ctx.periodic).sum_to_size(field.shape)
        return to_stencil, to_field, None


class _TransposedProduct(torch.autograd.Function):
    """C' u, differentiable any number of times in C and u."""

    @staticmethod
    def forward(ctx: Any, stencil: Tensor, field: Tensor, periodic: bool) -> Tensor:
        ctx.save_for_backward(stencil, field)
        ctx.periodic = periodic
        return _transposed_product(stencil, field, periodic)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        stencil, field = ctx.saved_tensors
        (grad,) = grads
        to_stencil = to_field = None
        if ctx.needs_input_grad[0]:
            to_stencil = outer(field, grad, ctx.periodic).sum_to_size(stencil.shape)
        if ctx.needs_input_grad[1]:
            to_field = product(stencil, grad, ctx.periodic).sum_to_size(field.shape)
        return to_stencil, to_field, None


def product(stencil: Tensor, field: Tensor, periodic: bool = False) -> Tensor:
    """Return C u for a stencil (..., 9, ny, nx) and a field (..., ny, nx)."""
    out: Tensor = _Product.apply(stencil, field, periodic)
    return out


def transposed_product(stencil: Tensor, field: Tensor, periodic: bool = False) -> Tensor:
    """Return C' u for a stencil (..., 9, ny, nx) and a field (..., ny, nx)."""
    out: Tensor = _TransposedProduct.apply(stencil, field, periodic)
    return out
