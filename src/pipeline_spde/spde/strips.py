"""Log-determinants and draws on grids too large for one factorisation: strips of rows.

    log|det C| ≈ Σ_s [ log|det C(strip_s and `halo` rows before it)| − log|det C(those rows)| ]

The inverse of C decays as exp(−|rows| / ℓ); what a strip does not see of the rows beyond its halo
enters twice, so the error per strip is of the order exp(−2 halo / ℓ). The derivative is that of the
approximation, by autograd.

A draw of N(0, P⁻¹) with a symmetric nine-point precision P goes strip by strip from the south. By
the Markov property a strip s, given all rows before it, depends on the last of them, r, only:

    x_s | x_r ~ N(−S⁻¹ P_sr x_r, S⁻¹),    S = P_ss − P_sf P_ff⁻¹ P_fs    (f: all rows to the north)

Drawing s together with `halo` rows to the north and dropping the latter replaces f by these rows,
which leaves out a part exp(−2 halo / ℓ) of what f adds to S. Every strip continues the one before
it, so the draw has no seams, and its law differs from N(0, P⁻¹) by that part only.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline_spde.spde.factor import Factor, from_columns, log_abs_det, to_columns
from pipeline_spde.spde.stencil import INDEX, product, shift

LOGGER = logging.getLogger(__name__)
LARGE = 500_000
"""Number of cells above which `log_abs_det_any_size` goes by strips."""
STRIP_CELLS = 150_000
"""Cells of a strip, at least as many rows as the halo."""
ACCURACY = 1e-7
"""Bound of exp(−2 halo / ℓ), from which the halo follows: 8 ℓ."""
DRAW_ACCURACY = 1e-5
"""The same for draws: 5.8 ℓ, a relative error of the variance far below that of any estimate."""
DRAW_ROWS = 64
"""Blocks of draws have a multiple of this many rows, so that most draws share one set of tables."""


def _decay_rates(stencil: Tensor, dj: int, di: int) -> tuple[Tensor, Tensor]:
    """Return how fast the inverse decays from cell to cell towards (dj, di) and back.

    For constant coefficients a (towards), c (back) and s (all others) the inverse goes as the
    powers of both roots of a z² + s z + c = 0. Couplings across enter s by their symmetric part:
    flow along a coast must not look like damping. Cells with a neighbour on one side only are left
    out; both results have one entry for each other cell.
    """
    ahead, behind = stencil[:, INDEX[dj, di]], stencil[:, INDEX[-dj, -di]]
    centre = stencil[:, INDEX[0, 0]]
    coupled = torch.minimum(ahead.abs(), behind.abs()) > 1e-6 * centre.abs()
    others = centre.clone()
    for offset, k in INDEX.items():
        if offset not in ((0, 0), (dj, di), (-dj, -di)):
            opposite = stencil[:, INDEX[-offset[0], -offset[1]]]
            others += 0.5 * (stencil[:, k] + shift(opposite, *offset, periodic=False))
    a, c, s = (v[coupled].to(torch.complex128) for v in (ahead, behind, others))
    root = (s.square() - 4 * a * c).sqrt()
    larger = (torch.stack([s + root, s - root]) / 2).abs().amax(dim=0)
    return (larger / a.abs()).log().abs(), (larger / c.abs()).log().abs()


def decay_length(stencil: Tensor) -> float:
    """Return ℓ, in rows: the longest decay length of the inverse towards north and back south.

    That round trip is what an error beyond a halo makes. The slowest cell counts.
    """
    with torch.no_grad():
        north, south = _decay_rates(stencil, 1, 0)
        if north.numel() == 0:
            return 0.0
        return 2 / max(float((north + south).min()), 2e-6)


def reach(stencil: Tensor) -> float:
    """Return the decay length of the inverse in cells, in the slowest of the four directions.

    One cell in twenty may be slower: this is for halos of solves whose error is checked.
    """
    with torch.no_grad():
        lengths = [0.0]
        for direction in ((1, 0), (0, 1)):
            for rates in _decay_rates(stencil, *direction):
                if rates.numel():
                    few = rates[:: math.ceil(rates.numel() / 1e6)]
                    lengths.append(1 / max(float(few.quantile(0.05)), 1e-6))
        return max(lengths)


def halo_rows(length: float, accuracy: float) -> int:
    """Return the rows of overlap for which exp(−2 halo / ℓ) ≤ accuracy, at least one."""
    return max(1, math.ceil(0.5 * length * math.log(1 / accuracy)))


def log_abs_det_by_strips(stencil: Tensor, rows: int, halo: int, periodic: bool) -> Tensor:
    """Return log|det C|, float64, (batch,), from strips of `rows` rows with `halo` rows before.

    Args:
        stencil: nine-point matrices (batch, 9, ny, nx).
        rows: rows per strip, at least `halo`.
        halo: rows of overlap, at least 1.
        periodic: the columns form a circle.
    """
    if not 1 <= halo <= rows:
        raise ValueError(f"need 1 <= halo <= rows, got halo={halo} and rows={rows}")
    total = log_abs_det(stencil[:, :, :rows], periodic)
    for first in range(rows, stencil.shape[2], rows):
        before = first - halo
        total = total + log_abs_det(stencil[:, :, before : first + rows], periodic)
        total = total - log_abs_det(stencil[:, :, before:first], periodic)
    return total


def log_abs_det_any_size(stencil: Tensor, periodic: bool) -> Tensor:
    """Return log|det C|: exact up to LARGE cells, by strips beyond if they are worth it."""
    ny, nx = stencil.shape[-2:]
    if ny * nx <= LARGE:
        return log_abs_det(stencil, periodic)
    length = decay_length(stencil)
    halo = halo_rows(length, ACCURACY)
    rows = max(halo, STRIP_CELLS // nx)
    if 2 * rows >= ny:
        return log_abs_det(stencil, periodic)
    LOGGER.info(
        "log-determinant of %d x %d cells by strips of %d rows, halo %d, relative error about %.0e",
        *(ny, nx, rows, halo, math.exp(-2 * halo / max(length, 1e-6))),
    )
    return log_abs_det_by_strips(stencil, rows, halo, periodic)


def _blocks(ny: int, height: int, halo: int) -> list[tuple[int, int, int]]:
    """Return (first row, first row of the next strip, end) of blocks that overlap by `halo`."""
    count = 1 + math.ceil((ny - height) / (height - halo))
    first = [k * (ny - height) // max(1, count - 1) for k in range(count)]
    return [(a, b, a + height) for a, b in zip(first, [*first[1:], ny], strict=True)]


def sample_by_strips(
    precision: Tensor,
    white: Tensor,
    more: Callable[[tuple[int, ...]], Tensor],
    height: int,
    halo: int,
    periodic: bool,
) -> Tensor:
    """Return draws of N(0, P⁻¹), (n, batch, ny, nx), strip by strip.

    Args:
        precision: symmetric positive definite nine-point matrices P, (batch, 9, ny, nx).
        white: standard normal numbers, (n, batch, ny, nx).
        more: gives more of them, of a shape, for the rows that are dropped.
        height: rows drawn at once, halo included, at most ny.
        halo: rows drawn beyond a strip and dropped, at least 1.
        periodic: the columns form a circle.
    """
    ny = white.shape[-2]
    if not 1 <= halo < height <= ny:
        raise ValueError(f"need 1 <= halo < height <= {ny}, got halo={halo} and height={height}")
    out = torch.empty_like(white)
    for first, following, end in _blocks(ny, height, halo):
        factor = Factor(precision[:, :, first:end], periodic)
        spare = more((*white.shape[:2], end - following, white.shape[-1]))
        block = torch.cat([white[..., first:following, :], spare], dim=-2)
        draw = from_columns(factor.sample(to_columns(block)), block.shape)
        if first > 0:
            edge = out[..., first - 1 : first, :]
            pair = torch.cat([edge, torch.zeros_like(edge)], dim=-2)
            rhs = torch.zeros_like(block)
            rhs[..., 0, :] = -product(precision[:, :, first - 1 : first + 1], pair, periodic)[
                ..., 1, :
            ]
            draw += from_columns(factor.solve(to_columns(rhs)), rhs.shape)
        out[..., first:following, :] = draw[..., : following - first, :]
    return out


def sample_any_size(
    precision: Tensor,
    white: Tensor,
    more: Callable[[tuple[int, ...]], Tensor],
    periodic: bool,
) -> Tensor:
    """Return draws of N(0, P⁻¹): exact up to LARGE cells, by strips beyond if they are worth it.

    Arguments as for `sample_by_strips`.
    """
    ny, nx = precision.shape[-2:]
    length = decay_length(precision) if ny * nx > LARGE else 0.0
    halo = halo_rows(length, DRAW_ACCURACY)
    height = DRAW_ROWS * math.ceil(max(2 * halo / DRAW_ROWS, 1))
    if ny * nx <= LARGE or 2 * height > ny:
        factor = Factor(precision, periodic)
        return from_columns(factor.sample(to_columns(white)), white.shape)
    LOGGER.info(
        "draw on %d x %d cells by blocks of %d rows, halo %d, relative error about %.0e",
        *(ny, nx, height, halo, math.exp(-2 * halo / max(length, 1e-6))),
    )
    return sample_by_strips(precision, white, more, height, halo, periodic)
