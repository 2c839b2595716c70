"""Solves on large grids: overlapping tiles factored in one batch, inside an iteration.

A factorisation of the whole grid needs index tables of 3.5 GB per million cells, and half a minute
to build them. Here the grid is cut into tiles of one shape, each widened by a halo, so that one
small table serves all of them. With R_i the restriction to the widened tile i, C_i = R_i C R_iᵀ and
R̃_i the restriction to the tile without its halo, the approximate inverse is

    M⁻¹ = Σ_i R̃_iᵀ C_i⁻¹ R_i                                  (restricted additive Schwarz)

C⁻¹ decays as exp(−cells/ℓ), so M⁻¹C differs from I by about exp(−halo/ℓ): used alone it would leave
seams of that size. It preconditions a minimal-residual iteration on the whole grid (truncated
generalised conjugate residuals) instead, which ends when

    ‖b − C x‖ ≤ TOLERANCE ‖b‖      for every right-hand side b,

checked with the true residual; anything else is a `ConvergenceError`. The error of x is at most
‖C⁻¹‖ times as large, and ‖C⁻¹‖ ≤ 1 in the metric of the cells for the A of a time step and for the
noise filter, 1/(dt κ²) for the rate of the start. Tiles work in single precision; products,
residuals and solutions in double.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from pipeline_spde.spde import strips
from pipeline_spde.spde.conjugate import Convergence, ConvergenceError
from pipeline_spde.spde.dissection import dissection
from pipeline_spde.spde.factor import CHUNK_BYTES, Factor
from pipeline_spde.spde.stencil import product, transposed_product

LOGGER = logging.getLogger(__name__)
TILE = 96
"""Cells along one side of a tile without its halo, at most; larger ones cost more per cell."""
HALO = (4, 24)
"""Least and largest halo; two decay lengths in between."""
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}
"""Relative residual by precision of the matrix."""
MAX_ITERATIONS = 200
_KEPT_DIRECTIONS = 10
_WORK_BYTES = 1.2e9  # directions of the right-hand sides solved for together
_SINGLE = {torch.complex64: torch.complex64, torch.complex128: torch.complex64}
_DOUBLE = {torch.complex64: torch.complex128, torch.complex128: torch.complex128}

_Operator = Callable[[Tensor], Tensor]


def is_large(shape: torch.Size) -> bool:
    """Return True for grids (..., ny, nx) of more than `strips.LARGE` cells."""
    return shape[-2] * shape[-1] > strips.LARGE


def factorise(stencil: Tensor, periodic: bool) -> Factor:
    """Return factors to solve with: exact up to `strips.LARGE` cells, tiles beyond.

    Args:
        stencil: nine-point matrices (batch, 9, ny, nx).
        periodic: the columns form a circle.
    """
    return (TiledFactor if is_large(stencil.shape) else Factor)(stencil, periodic)


def factor_bytes(stencil: Tensor, periodic: bool) -> int:
    """Return the memory of the factors of one matrix of a batch (batch, 9, ny, nx)."""
    ny, nx = stencil.shape[-2:]
    if not is_large(stencil.shape):
        kept = dissection(ny, nx, periodic, stencil.device).kept_entries
        return kept * stencil.element_size()
    tiles = _tiling_of(stencil, periodic)
    width = torch.empty((), dtype=_SINGLE.get(stencil.dtype, torch.float32)).element_size()
    return tiles.plan_entries(stencil.device) * tiles.count * width


@dataclass(frozen=True, eq=False)
class Tiling:
    """Equal tiles that cover a grid.

    Attributes:
        height, width: cells of a tile with its halo.
        periodic: a tile is the whole circle of longitudes.
        gather: cells of each tile with its halo, (tiles, height · width).
        scatter: for each cell, where the tile that owns it holds it, (ny · nx,).
    """

    height: int
    width: int
    periodic: bool
    gather: Tensor
    scatter: Tensor

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.gather.shape[0]

    def plan_entries(self, device: torch.device) -> int:
        """Return the numbers kept by the factors of one tile."""
        return dissection(self.height, self.width, self.periodic, device).kept_entries


def _cut(n: int, tile: int, halo: int, circular: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cells of each piece of an axis, and each cell's piece and place in it."""
    pieces = max(1, math.ceil(n / tile))
    core = math.ceil(n / pieces)
    length = core + 2 * halo
    if length >= n or pieces == 1:
        cells = torch.arange(n)
        return cells[None], torch.zeros_like(cells), cells
    owner = torch.arange(n) // core
    first = torch.arange(int(owner[-1]) + 1) * core - halo
    if not circular:
        first = first.clamp(0, n - length)
    place = torch.arange(n) - first[owner]
    return (first[:, None] + torch.arange(length)) % n, owner, place


@lru_cache(maxsize=8)
def tiling(ny: int, nx: int, tile: int, halo: int, periodic: bool, device: torch.device) -> Tiling:
    """Return the cached tiles of a grid.

    Args:
        ny: rows.
        nx: columns.
        tile: largest side of a tile without its halo, cells.
        halo: cells added on every side that is not a wall.
        periodic: the columns form a circle.
        device: where the tables are kept.
    """
    rows, row_owner, row_place = _cut(ny, tile, halo, False)
    columns, column_owner, column_place = _cut(nx, tile, halo, periodic)
    gather = rows[:, None, :, None] * nx + columns[None, :, None, :]
    height, width = rows.shape[1], columns.shape[1]
    tile_of = row_owner[:, None] * columns.shape[0] + column_owner[None, :]
    scatter = (tile_of * height + row_place[:, None]) * width + column_place[None, :]
    return Tiling(
        height=height,
        width=width,
        periodic=periodic and columns.shape[0] == 1,
        gather=gather.reshape(-1, height * width).to(device),
        scatter=scatter.flatten().to(device),
    )


def _tiling_of(stencil: Tensor, periodic: bool) -> Tiling:
    """Return tiles whose halo suits the decay of the inverse of some matrices."""
    halo = min(max(math.ceil(2 * strips.reach(stencil)), HALO[0]), HALO[1])
    return tiling(*stencil.shape[-2:], TILE, halo, periodic, stencil.device)


@dataclass(frozen=True)
class _Frame:
    """What the derivative of a solve needs to know of the grid."""

    periodic: bool


class TiledFactor(Factor):
    """Factors of the tiles of large nine-point matrices; solves by iteration, to a tolerance.

    Args:
        stencil: (batch, 9, ny, nx), real or complex; its gradient is not followed.
        periodic: the columns form a circle.

    Attributes:
        convergence: what the latest solve took; None before the first.
    """

    def __init__(self, stencil: Tensor, periodic: bool = False) -> None:
        self.stencil = stencil.detach()
        self.batch, _, self.ny, self.nx = stencil.shape
        self.plan = _Frame(periodic)  # type: ignore[assignment]
        self.tiles = _tiling_of(self.stencil, periodic)
        self.convergence: Convergence | None = None
        self.parts = [self._factor_tiles(matrix) for matrix in self.stencil]
        LOGGER.debug(
            "%d x %d cells: %d tiles of %d x %d cells with their halo",
            *(self.ny, self.nx, self.tiles.count, self.tiles.height, self.tiles.width),
        )

    def _factor_tiles(self, matrix: Tensor) -> list[Factor]:
        """Return the factors of all tiles of one matrix (9, ny, nx), in chunks of tiles."""
        tiles, flat = self.tiles, matrix.flatten(1).to(_SINGLE.get(matrix.dtype, torch.float32))
        entry = flat.element_size() * tiles.plan_entries(flat.device)
        chunk = max(1, int(CHUNK_BYTES / (2 * entry)))
        factors = []
        for cells in tiles.gather.split(chunk):
            shape = (9, cells.shape[0], tiles.height, tiles.width)
            block = flat.index_select(1, cells.flatten()).view(shape).transpose(0, 1)
            factors.append(Factor(block.contiguous(), tiles.periodic))
        return factors

    def part(self, rows: slice) -> TiledFactor:
        """Return the factors of some of the matrices; nothing is copied."""
        out = object.__new__(TiledFactor)
        out.ny, out.nx, out.plan, out.tiles = self.ny, self.nx, self.plan, self.tiles
        out.stencil, out.parts, out.convergence = self.stencil[rows], self.parts[rows], None
        out.batch = len(out.parts)
        return out

    def solve(self, rhs: Tensor, transpose: bool = False) -> Tensor:
        """Return C⁻¹ b, or C⁻ᵀ b, for many right-hand sides, both of shape (batch, ny·nx, n).

        Raises:
            ConvergenceError: a residual did not fall below the tolerance.
        """
        double = _DOUBLE.get(rhs.dtype, torch.float64)
        vectors = 2 * (_KEPT_DIRECTIONS + 3)
        size = vectors * self.ny * self.nx * (16 if rhs.dtype.is_complex else 8)
        columns = max(1, int(_WORK_BYTES / size))
        out = torch.empty_like(rhs)
        for number in range(self.batch):
            matrix = self.stencil[number].to(double)
            for begin in range(0, rhs.shape[-1], columns):
                part = slice(begin, begin + columns)
                fields = rhs[number, :, part].T.reshape(-1, self.ny, self.nx).to(double)
                solution = self._iterate(number, matrix, fields, transpose)
                out[number, :, part] = solution.flatten(1).T.to(rhs.dtype)
        return out

    def sample(self, white: Tensor) -> Tensor:
        """Refuse: factors of tiles have no square root; see `strips.sample_by_strips`."""
        raise TypeError("factors of tiles cannot draw samples; use strips.sample_by_strips")

    def inverse_entries(self) -> Tensor:
        """Refuse: factors of tiles hold no entries; see `strips.log_abs_det_by_strips`."""
        raise TypeError("factors of tiles cannot differentiate; use strips.log_abs_det_by_strips")

    def _iterate(self, number: int, matrix: Tensor, rhs: Tensor, transpose: bool) -> Tensor:
        multiply = transposed_product if transpose else product
        precision = torch.empty((), dtype=self.stencil.dtype).real.dtype
        with torch.no_grad():
            x, self.convergence = conjugate_residuals(
                lambda v: multiply(matrix, v, self.plan.periodic),
                rhs,
                lambda r: self._by_tiles(number, r, transpose),
                TOLERANCE[precision],
            )
        return x

    def _by_tiles(self, number: int, residual: Tensor, transpose: bool) -> Tensor:
        """Return M⁻¹ r, or its counterpart for the transposed matrix, for r (n, ny, nx)."""
        tiles = self.tiles
        # residuals shrink below what single precision holds: solve for one of unit size
        scale = _norm(residual).clamp(min=torch.finfo(torch.float64).tiny)
        columns = (residual / scale).flatten(1).T.to(self.parts[number][0].blocks[0][0].dtype)
        solved = []
        begin = 0
        for factor in self.parts[number]:
            cells = tiles.gather[begin : begin + factor.batch]
            begin += factor.batch
            inside = columns.index_select(0, cells.flatten()).view(*cells.shape, -1)
            solved.append(factor.solve(inside, transpose).flatten(0, 1))
        owned = torch.cat(solved).index_select(0, tiles.scatter)
        return owned.T.reshape(residual.shape).to(residual.dtype) * scale


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return Σ conj(a) b over the cells of each field, (n, 1, 1)."""
    return (a.conj() * b).sum(dim=(-2, -1), keepdim=True)


def _norm(a: Tensor) -> Tensor:
    return torch.linalg.vector_norm(a, dim=(-2, -1), keepdim=True)


def conjugate_residuals(
    operator: _Operator, rhs: Tensor, precondition: _Operator, tolerance: float
) -> tuple[Tensor, Convergence]:
    """Return x with ‖b − C x‖ ≤ tolerance · ‖b‖ for every field (n, ny, nx), and what it took.

    Each step minimises the residual over the newest direction; images of directions are orthogonal
    to the latest `_KEPT_DIRECTIONS` ones.

    Args:
        operator: x → C x, any matrix.
        rhs: b, double precision.
        precondition: an approximation of C⁻¹.
        tolerance: relative residual.

    Raises:
        ConvergenceError: MAX_ITERATIONS were not enough, or rounding stopped the iteration.
    """
    goal = tolerance * _norm(rhs)
    x, residual = torch.zeros_like(rhs), rhs.clone()
    kept: list[tuple[Tensor, Tensor]] = []
    count = 0
    while count < MAX_ITERATIONS and bool((_norm(residual) > goal).any()):
        direction = precondition(residual)
        image = operator(direction)
        for old_direction, old_image in kept:
            overlap = _dot(old_image, image)
            image -= overlap * old_image
            direction -= overlap * old_direction
        size = _norm(image)
        inverse = torch.where(size > 0, 1 / size, 0)  # zero for right-hand sides that are done
        image *= inverse
        direction *= inverse
        step = _dot(image, residual)
        x += step * direction
        residual -= step * image
        kept = [*kept[-_KEPT_DIRECTIONS + 1 :], (direction, image)]
        count += 1
    size = torch.where(goal > 0, _norm(rhs - operator(x)) / goal, 0) * tolerance
    result = Convergence("tiles", count, float(size.max()), tolerance)
    LOGGER.debug("solve by tiles: %s", result)
    if not result.residual <= 1.01 * tolerance:
        raise ConvergenceError(
            f"the solve by tiles reached a relative residual of {result.residual:.2e} in {count} "
            f"iterations; {tolerance:.0e} was asked for. Larger tiles and halos (large.TILE, "
            "large.HALO) converge faster; a larger strips.LARGE factors the whole grid"
        )
    return x, result
