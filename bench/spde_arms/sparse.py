"""What a careful user of scipy.sparse would write: the same matrices assembled and factored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray

from pipeline_spde.spde import SpdePrior
from pipeline_spde.spde.stencil import OFFSETS

Array = NDArray[np.float64]
NESTED_DISSECTION = "geometric nested dissection"
ORDERINGS = ("MMD_AT_PLUS_A", "COLAMD", "MMD_ATA", "NATURAL", NESTED_DISSECTION)
_LEAF_NODES = 60
WIDTHS = (1, 2, 2)
"""Planes of a separator across (time, lat, lon): how far Q couples nodes."""


@lru_cache(maxsize=16)
def pattern(ny: int, nx: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return rows, columns and positions in a flattened (9, ny, nx) stencil of its entries."""
    row, column = np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")
    node = row * nx + column
    rows, columns, positions = [], [], []
    for k, (dj, di) in enumerate(OFFSETS):
        inside = (row + dj >= 0) & (row + dj < ny) & (column + di >= 0) & (column + di < nx)
        rows.append(node[inside])
        columns.append(node[inside] + dj * nx + di)
        positions.append(k * ny * nx + node[inside])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(positions)


def from_stencil(stencil: Array) -> sp.csc_matrix:
    """Return a stencil (9, ny, nx) without periodicity as a sparse matrix."""
    rows, columns, positions = pattern(*stencil.shape[-2:])
    size = stencil.shape[-1] * stencil.shape[-2]
    values = stencil.reshape(-1)[positions]
    return sp.csc_matrix((values, (rows, columns)), shape=(size, size))


@dataclass(frozen=True)
class Blocks:
    """The pieces of Q of one window: A_t and diag N_t for t ≥ 1, and the start.

    Attributes:
        steps: A_t, days − 1 of them.
        weights: the diagonal of N_t, (cells,) each.
        rate: dt K of the first day; Q₀ = T⁻¹ D rate (2I + rate) T⁻¹ / dt.
        start_scale: 1 / τ of the first day.
        area: cell areas.
        dt: time step.
    """

    steps: list[sp.csc_matrix]
    weights: list[Array]
    rate: sp.csc_matrix
    start_scale: Array
    area: Array
    dt: float

    @property
    def start_precision(self) -> sp.csc_matrix:
        twice = 2 * sp.identity(self.area.size, format="csc")
        scale = sp.diags_array(self.start_scale)
        middle = sp.diags_array(self.area / self.dt) @ self.rate @ (twice + self.rate)
        return (scale @ middle @ scale).tocsc()


def blocks_of(prior: SpdePrior, entry: int = 0) -> Blocks:
    """Return the pieces of Q of one batch entry, from the stencils of the core, in its dtype."""
    dt, area = prior.dynamics.dt, prior.mesh.area.cpu().numpy().reshape(-1)
    diffusion = prior.diffusion[entry].detach().cpu().numpy()
    advection = 0 if prior.advection is None else prior.advection[entry].detach().cpu().numpy()
    tau = prior.noise.tau[entry].detach().cpu().numpy().reshape(diffusion.shape[0], -1)
    identity = sp.identity(area.size, dtype=area.dtype, format="csc")
    steps = [identity + from_stencil(c) for c in (dt * (diffusion + advection))[1:]]
    weights = [area / (dt * t**2) for t in tau[1:]]
    return Blocks(steps, weights, from_stencil(dt * diffusion[0]), 1 / tau[0], area, dt)


def precision(blocks: Blocks) -> sp.csc_matrix:
    """Return Q: block tridiagonal with A'NA + N₊ on the diagonal and −N₊A₊ beside it."""
    days = len(blocks.steps) + 1
    table: list[list[Any]] = [[None] * days for _ in range(days)]
    table[0][0] = blocks.start_precision
    for t, (step, weight) in enumerate(zip(blocks.steps, blocks.weights, strict=True), 1):
        n = sp.diags_array(weight)
        table[t][t] = step.T @ n @ step
        table[t - 1][t - 1] = table[t - 1][t - 1] + n
        table[t - 1][t] = -(n @ step)
        table[t][t - 1] = table[t - 1][t].T
    return sp.block_array(table, format="csc")


def dissection_order(shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the nodes of a (time, lat, lon) box in nested-dissection order.

    Stands for METIS, which scipy does not have: cuts are one plane wide in time, where Q couples
    neighbouring days, and two rows wide in space, where it couples second neighbours.
    """
    numbers = np.arange(np.prod(shape)).reshape(shape)
    parts: list[NDArray[np.int64]] = []

    def cut(box: NDArray[np.int64]) -> None:
        if box.size <= _LEAF_NODES or max(box.shape) < 4:
            parts.append(box.reshape(-1))
            return
        # the separator of an axis: its thickness times the size of the other two
        costs = [
            w * box.size / s if s > 2 * w else np.inf
            for s, w in zip(box.shape, WIDTHS, strict=True)
        ]
        axis = int(np.argmin(costs))
        width, middle = WIDTHS[axis], box.shape[axis] // 2
        low, separator, high = np.split(
            box, [middle - width // 2, middle - width // 2 + width], axis
        )
        cut(low)
        cut(high)
        parts.append(separator.reshape(-1))

    cut(numbers)
    return np.concatenate(parts)


class Factored:
    """SuperLU of a sparse matrix without pivoting, in a chosen ordering.

    Args:
        matrix: square, with a positive definite symmetric part.
        ordering: one of ORDERINGS.
        shape: (time, lat, lon), for nested dissection.
    """

    def __init__(
        self, matrix: sp.csc_matrix, ordering: str, shape: tuple[int, int, int] | None = None
    ) -> None:
        self.order: NDArray[np.int64] | None = None
        specification = ordering
        if ordering == NESTED_DISSECTION:
            assert shape is not None
            self.order = dissection_order(shape)
            matrix, specification = matrix[self.order][:, self.order], "NATURAL"
        self.lu = sla.splu(
            matrix.tocsc(),
            permc_spec=specification,
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )

    @property
    def log_abs_det(self) -> float:
        return float(np.log(np.abs(self.lu.U.diagonal().astype(np.float64))).sum())

    @property
    def entries(self) -> int:
        """Numbers in L and U."""
        return int(self.lu.nnz)

    def solve(self, rhs: Array, transpose: bool = False) -> Array:
        """Return M⁻¹ b or M⁻ᵀ b for columns b."""
        mode = "T" if transpose else "N"
        if self.order is None:
            return self.lu.solve(np.ascontiguousarray(rhs), mode)
        out = np.empty(rhs.shape, dtype=rhs.dtype)
        out[self.order] = self.lu.solve(np.ascontiguousarray(rhs[self.order]), mode)
        return out

    def root_times(self, white: Array) -> Array:
        """Return P'L√D z, of covariance M, for a symmetric positive definite M = P'L D L'P.

        Raises:
            ValueError: rows were exchanged, so the factors are not those of a symmetric matrix.
        """
        if self.order is not None or not np.array_equal(self.lu.perm_r, self.lu.perm_c):
            raise ValueError(
                "the row and column orders of SuperLU differ; a symmetric root needs equal ones: "
                "use one of SuperLU's own orderings on a positive definite matrix"
            )
        pivots = self.lu.U.diagonal()
        return (self.lu.L @ (np.sqrt(pivots)[:, None] * white))[self.lu.perm_r]


def supernodal_cholesky(matrix: sp.csc_matrix) -> Any:
    """Return CHOLMOD's supernodal factor in METIS order: call it to solve, `logdet()` for log|M|.

    Written for the interface of scikit-sparse 0.4 (`sksparse.cholmod.cholesky`).
    """
    cholmod = import_module("sksparse.cholmod")
    return cholmod.cholesky(matrix.tocsc(), mode="supernodal", ordering_method="metis")
