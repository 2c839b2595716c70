"""Diagonals of Q and of its inverse, and Q itself for inspection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pipeline_spde.spde.prior import SpdePrior

ASSEMBLY_LIMIT = 20_000
"""Largest number of unknowns for which Q is assembled."""
_CHUNK_NUMBERS = 4e6  # numbers in the unit columns worked on at once


def _chunks(columns: int, size: int) -> Iterator[range]:
    step = max(1, int(_CHUNK_NUMBERS / max(size, 1)))
    for begin in range(0, columns, step):
        yield range(begin, min(begin + step, columns))


def _unit_columns(prior: SpdePrior, numbers: range) -> Tensor:
    """Return unit vectors of the flattened window, (n, batch, time, lat, lon)."""
    size = prior.days * prior.mesh.ocean.numel()
    area = prior.mesh.area
    columns = torch.zeros(len(numbers), 1, size, dtype=area.dtype, device=area.device)
    columns[range(len(numbers)), 0, numbers] = 1
    columns = columns.expand(-1, prior.batch, -1)
    return columns.reshape(len(numbers), *prior.shape)


def exact_variance(prior: SpdePrior) -> Tensor:
    """Return diag Q⁻¹, (batch, time, lat, lon), zero on land: one solve per cell and day."""
    size = prior.days * prior.mesh.ocean.numel()
    parts = []
    for numbers in _chunks(size, size * prior.batch):
        unit = _unit_columns(prior, numbers)
        parts.append((prior.covariance_times(unit) * unit).sum(dim=(-3, -2, -1)))
    return torch.cat(parts).T.reshape(prior.shape)


def squared_innovation(
    draws: Tensor, precision_times: Callable[[Tensor], Tensor], diagonal: Tensor
) -> Tensor:
    """Return Σ (x_i − (Qx)_i / d_i)² over centred draws (n, ...); see `sampled_variance`."""
    total = torch.zeros_like(diagonal)
    for numbers in _chunks(draws.shape[0], diagonal.numel()):
        part = draws[numbers.start : numbers.stop]
        total += (part - precision_times(part) / diagonal).square().sum(dim=0)
    return total


def sampled_variance(
    draws: Tensor, precision_times: Callable[[Tensor], Tensor], diagonal: Tensor
) -> Tensor:
    """Return Rao-Blackwell estimates of the variance from centred draws (n, ...).

    With d = Q_ii, Var x_i = 1/d + E[(x_i − (Qx)_i / d)²]: the variance given all other cells is
    known, only that of the conditional mean is estimated.
    """
    return 1 / diagonal + squared_innovation(draws, precision_times, diagonal) / draws.shape[0]


def precision_diagonal(prior: SpdePrior) -> Tensor:
    """Return diag Q by products with combs whose columns of Q do not overlap.

    Exact for ρ = 0. For ρ > 0 the first two days hold a solve: their rows of Q decay over a cell or
    two instead of ending, which leaves a relative error below one percent there.
    """
    dynamics = prior.dynamics
    reach = dynamics.power + dynamics.colour_order
    if prior.advection is not None and (dynamics.power > 1 or dynamics.substeps > 1):
        reach += dynamics.substeps
    spacing = 2 * reach + 1 + (6 if dynamics.rho > 0 else 0)
    area = prior.mesh.area
    day, row, column = (torch.arange(n, device=area.device) for n in prior.shape[1:])
    row, day = row % spacing, day % (3 if dynamics.rho > 0 else 2)
    whole = column.numel() - column.numel() % spacing
    wraps = prior.mesh.periodic and whole > 0
    # columns left over on a circle would meet the first ones: each gets a comb of its own
    column = (
        torch.where(column < whole, column % spacing, column - whole + spacing)
        if wraps
        else (column % spacing)
    )
    colour = (day[:, None, None] * (int(row.max()) + 1) + row[:, None]) * (int(column.max()) + 1)
    colour = colour + column
    result = torch.ones(prior.shape, dtype=area.dtype, device=area.device)
    count = int(colour.max()) + 1
    for numbers in _chunks(count, result.numel()):
        combs = torch.stack([(colour == k) & prior.ocean for k in numbers])[:, None]
        probes = combs.to(area.dtype).expand(-1, prior.batch, -1, -1, -1)
        products = prior.precision_times(probes.contiguous())
        result = torch.where(combs.any(dim=0), (products * probes).sum(dim=0), result)
    return result


def assembled_precision(prior: SpdePrior) -> list[Any]:
    """Return Q of each batch entry as a scipy.sparse CSC matrix, identity rows on land.

    Raises:
        ValueError: the window has more than ASSEMBLY_LIMIT unknowns.
    """
    import scipy.sparse

    cells = prior.mesh.ocean.numel()
    size = prior.days * cells
    if size > ASSEMBLY_LIMIT:
        raise ValueError(
            f"Q would have {size} rows; it is assembled up to {ASSEMBLY_LIMIT} for inspection. "
            "Use energy, precision_times, covariance_times or sample on larger grids"
        )
    land = ~prior.ocean.reshape(-1).repeat(prior.days).cpu().numpy()
    columns: list[list[Any]] = [[] for _ in range(prior.batch)]
    for numbers in _chunks(size, size * prior.batch):
        products = prior.precision_times(_unit_columns(prior, numbers)).cpu()
        for entry, part in zip(columns, products.unbind(dim=1), strict=True):
            entry.append(scipy.sparse.csc_matrix(part.reshape(len(numbers), size).numpy().T))
    identity = scipy.sparse.diags_array(land.astype(float), format="csc")
    return [scipy.sparse.hstack(entry, format="csc") + identity for entry in columns]
