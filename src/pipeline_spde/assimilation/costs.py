"""Terms of the variational cost: masked, error-weighted observations and the learned prior.

    J(x) = ½ λ Σ w (x − y)² + ½ Σ (x − Φ(x))²,     w = (σ₀/σ)² where observed, 0 elsewhere

in normalised units (heights divided by the training standard deviation), with σ the error of each
observation, σ₀ a reference error and λ > 0 learned. The mask enters through w alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REFERENCE_ERROR = 0.1
"""σ₀: a typical error of an observed cell over the standard deviation of the anomalies."""
LARGEST_WEIGHT = 4.0
"""Errors below σ₀/2 count as σ₀/2: a gradient step along one very precise cell stays stable."""


def observation_weight(error: Tensor, observed: Tensor) -> Tensor:
    """Return w = min((σ₀/σ)², LARGEST_WEIGHT) where observed and exactly 0 elsewhere.

    Args:
        error: σ, normalised, > 0 where observed; anything (NaN, +inf) elsewhere,
            shape (batch, time, lat, lon).
        observed: boolean mask of the same shape.
    """
    safe = torch.where(observed, error, torch.inf)
    return (REFERENCE_ERROR / safe).square().clamp(max=LARGEST_WEIGHT)


def masked_heights(heights: Tensor, observed: Tensor) -> Tensor:
    """Return the heights with whatever lies outside the mask replaced by 0 (whose weight is 0)."""
    return torch.where(
        observed, heights, torch.zeros((), dtype=heights.dtype, device=heights.device)
    )


def observation_cost(state: Tensor, heights: Tensor, weight: Tensor) -> Tensor:
    """Return ½ Σ w (x − y)² per sample, shape (batch,); all arguments (batch, time, lat, lon)."""
    return 0.5 * (weight * (state - heights).square()).sum(dim=(1, 2, 3))


def prior_cost(state: Tensor, prior: nn.Module) -> Tensor:
    """Return ½ Σ (x − Φ(x))² per sample, shape (batch,), for a state (batch, time, lat, lon)."""
    return 0.5 * (state - prior(state)).square().sum(dim=(1, 2, 3))


class BilinearPrior(nn.Module):
    """Φ, a convolutional autoencoder with a bilinear branch, on average-pooled states.

        z = ReLU(A P x),   Φ(x) = Pᵀ O [B z, (C z) ⊙ (D z)]

    P is average pooling and Pᵀ bilinear interpolation back; A, B, C, D, O are 3x3 convolutions over
    space with the days of the window as channels. The products let Φ follow the quadratic
    (advective) terms of the dynamics.

    Args:
        days: length of the window.
        hidden: channels of z.
        pooling: factor of P (1: none).
    """

    def __init__(self, days: int, hidden: int, pooling: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.encode = nn.Conv2d(days, hidden, 3, padding=1)
        self.branches = nn.Conv2d(hidden, 3 * hidden, 3, padding=1)
        self.decode = nn.Conv2d(2 * hidden, days, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        """Return Φ(x) for x of shape (batch, time, lat, lon); same shape."""
        pooled = F.avg_pool2d(state, self.pooling) if self.pooling > 1 else state
        code = F.relu(self.encode(pooled))
        linear, left, right = self.branches(code).chunk(3, dim=1)
        decoded = self.decode(torch.cat([linear, left * right], dim=1))
        return upsample(decoded, self.pooling)


def upsample(values: Tensor, factor: int) -> Tensor:
    """Return the fields interpolated bilinearly to a grid `factor` times finer."""
    if factor == 1:
        return values
    return F.interpolate(values, scale_factor=factor, mode="bilinear", align_corners=False)
