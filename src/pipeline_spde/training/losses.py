"""The loss of the networks: weighted errors of heights and of their slopes, and prior costs.

    L = a ⟨w e²⟩ + b (⟨w (δ_x e)²⟩ + ⟨w (δ_y e)²⟩) + c (⟨(x − Φx)²⟩ + ⟨(x₀ − Φx₀)²⟩)

with e = x − x₀ the error in normalised units, δ first differences between neighbouring cells, w
weights over the days of the window (mean one) and ⟨⟩ means over ocean cells (both cells of a
difference being ocean). A network without Φ (the UNet) has no last term.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_spde.config import LossConfig
from pipeline_spde.periods import Task


def time_weights(task: Task, window_days: int) -> Tensor:
    """Return weights of the days of a window, mean one, shape (window_days,).

    A Hann window for mapping (its centre is kept); for nrt and forecasts its rising half, so that
    the last day, which is kept, weighs most.
    """
    days = np.arange(window_days) + 1.0
    if task.lead is None:
        weights = np.sin(np.pi * days / (window_days + 1)) ** 2
    else:
        weights = np.sin(np.pi / 2 * days / window_days) ** 2
    return torch.from_numpy(weights / weights.mean()).float()


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return Σ w v / Σ w (0 where nothing weighs); `weight` is expanded to the shape of values."""
    weight = weight.expand_as(values)
    return (weight * values).sum() / weight.sum().clamp(min=1e-12)


def state_loss(
    state: Tensor,
    truth: Tensor,
    ocean: Tensor,
    prior: nn.Module | None,
    weights: Tensor,
    config: LossConfig,
) -> Tensor:
    """Return the loss, a scalar.

    Args:
        state: the network's output, shape (batch, time, lat, lon).
        truth: same shape; anything finite on land.
        ocean: boolean, shape (batch, lat, lon).
        prior: Φ, or None.
        weights: of the days, shape (time,).
        config: a, b, c = `mse`, `gradient`, `prior`.
    """
    sea = ocean[:, None]
    day = weights.to(state)[None, :, None, None]
    error = torch.where(sea, state - truth, torch.zeros_like(state))
    loss = config.mse * weighted_mean(error.square(), day * sea)
    if config.gradient:
        east = (error[..., 1:] - error[..., :-1]).square()
        north = (error[..., 1:, :] - error[..., :-1, :]).square()
        slopes = weighted_mean(east, day * (sea[..., 1:] & sea[..., :-1]))
        slopes = slopes + weighted_mean(north, day * (sea[..., 1:, :] & sea[..., :-1, :]))
        loss = loss + config.gradient * slopes
    if config.prior and prior is not None:
        # Φ sees over the coast: on land the truth is continued by the state
        continued = torch.where(sea, truth, state.detach())
        for field in (state, continued):
            cost = weighted_mean((field - prior(field)).square(), sea.to(state.dtype))
            loss = loss + config.prior * cost
    return loss
