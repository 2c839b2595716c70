"""Preconditioned conjugate gradients for many symmetric positive definite systems at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LOGGER = logging.getLogger(__name__)
Operator = Callable[[Tensor], Tensor]
_RESTARTS = 4


class ConvergenceError(RuntimeError):
    """The iteration stopped before the residual was small enough."""


@dataclass(frozen=True)
class Convergence:
    """What a solve took: the largest true relative residual over all systems, and the cost."""

    preconditioner: str
    iterations: int
    residual: float
    tolerance: float


def conjugate_gradients(
    operator: Operator,
    rhs: Tensor,
    precondition: Operator,
    tolerance: float,
    max_iterations: int,
    name: str = "",
) -> tuple[Tensor, Convergence]:
    """Return x with ‖b − M x‖ ≤ tolerance · ‖b‖ for every system, and how it was reached.

    The recursive residual drifts from the true one in low precision, so the iteration restarts from
    the true residual until that has converged too.

    Args:
        operator: x → M x on fields (..., batch, time, lat, lon), one system per leading index.
        rhs: b, of that shape.
        precondition: an approximation of M⁻¹, symmetric and positive definite.
        tolerance: relative residual.
        max_iterations: limit of the iterations of all restarts together.
        name: name of the preconditioner, for messages.

    Raises:
        ConvergenceError: the limit was reached, or the residual stopped falling.
    """
    goal = tolerance * _norm(rhs)
    x, residual, used = torch.zeros_like(rhs), rhs.clone(), 0
    for _ in range(_RESTARTS + 1):
        step, count = _run(operator, residual, precondition, goal, max_iterations - used)
        used += count
        x = x + step
        residual = rhs - operator(x)
        if bool((_norm(residual) <= 1.01 * goal).all()) or used >= max_iterations:
            break
    size = torch.where(goal > 0, _norm(residual) / goal, 0) * tolerance
    result = Convergence(name, used, float(size.max()), tolerance)
    LOGGER.debug("conjugate gradients: %s", result)
    if not result.residual <= 1.01 * tolerance:
        raise ConvergenceError(
            f"conjugate gradients reached a relative residual of {result.residual:.2e} in {used} "
            f"iterations with the {name or 'given'} preconditioner; {tolerance:.0e} was asked for. "
            "Allow more iterations, choose another preconditioner, or a larger tolerance"
        )
    return x, result


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner products of fields, (..., batch, 1, 1, 1)."""
    return (a * b).sum(dim=(-3, -2, -1), keepdim=True)


def _norm(a: Tensor) -> Tensor:
    return _dot(a, a).sqrt()


def _run(
    operator: Operator, rhs: Tensor, precondition: Operator, goal: Tensor, limit: int
) -> tuple[Tensor, int]:
    """Iterate from zero until every recursive residual meets its goal, or up to the limit."""
    x, residual = torch.zeros_like(rhs), rhs.clone()
    z = precondition(residual)
    direction, rz = z.clone(), _dot(residual, z)
    for count in range(limit):
        active = _norm(residual) > goal
        if not bool(active.any()):
            return x, count
        image = operator(direction)
        # systems that are done keep their solution: 0/0 must not spoil them
        alpha = torch.where(active, rz / _dot(direction, image), 0)
        x += alpha * direction
        residual -= alpha * image
        z = precondition(residual)
        fresh = _dot(residual, z)
        direction = z + torch.where(active, fresh / rz, 0) * direction
        rz = fresh
    return x, limit
