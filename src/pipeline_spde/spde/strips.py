"""Log-determinants of grids too large for one factorisation: overlapping strips of rows.

    log|det C| ≈ Σ_s [ log|det C(strip_s and `halo` rows before it)| − log|det C(those rows)| ]

The inverse of C decays as exp(−|rows| / ℓ); what a strip does not see of the rows beyond its halo
enters twice, so the error per strip is of the order exp(−2 halo / ℓ). The derivative is that of the
approximation, by autograd.
"""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from pipeline_spde.spde.factor import log_abs_det
from pipeline_spde.spde.stencil import INDEX

LOGGER = logging.getLogger(__name__)
LARGE = 500_000
"""Number of cells above which `log_abs_det_any_size` goes by strips."""
STRIP_CELLS = 150_000
"""Cells of a strip, at least as many rows as the halo."""
ACCURACY = 1e-7
"""Bound of exp(−2 halo / ℓ), from which the halo follows: 8 ℓ."""


def decay_length(stencil: Tensor) -> float:
    """Return ℓ, in rows: the longest decay length of the inverse towards north or south.

    For constant coefficients the inverse goes as exp(−μ |rows|) with
    cosh μ = 1 − (sum of the row of C) / (2 C_north); the slowest cell counts.
    """
    with torch.no_grad():
        along = 0.5 * (stencil[:, INDEX[1, 0]] + stencil[:, INDEX[-1, 0]])
        coupled = along.abs() > 1e-6 * stencil[:, INDEX[0, 0]].abs()
        if not bool(coupled.any()):
            return 0.0
        ratio = 1 - stencil.sum(dim=1)[coupled] / (2 * along[coupled])
        rate = torch.acosh(ratio.to(torch.complex128)).real.abs()
        return 1 / max(float(rate.min()), 1e-6)


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
    halo = max(1, math.ceil(0.5 * length * math.log(1 / ACCURACY)))
    rows = max(halo, STRIP_CELLS // nx)
    if 2 * rows >= ny:
        return log_abs_det(stencil, periodic)
    LOGGER.info(
        "log-determinant of %d x %d cells by strips of %d rows, halo %d, relative error about %.0e",
        *(ny, nx, rows, halo, math.exp(-2 * halo / max(length, 1e-6))),
    )
    return log_abs_det_by_strips(stencil, rows, halo, periodic)
