"""Direct inversion by a UNet: the correction of a first guess in one pass, without a cost.

    x = x₀ + U[m y, m, w, w (y − x₀), x₀]

with x₀ the first guess (`assimilation.start`), y the heights, m the mask, w the weight of each
observation (`assimilation.costs`) and U a network of convolutions on several levels (Ronneberger
et al. 2015), the days of the window being its channels. What the 4DVarNet finds in K steps along a
cost, U has to find at once. Same data, loss and budget: `pipeline_spde.training`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_spde.assimilation.costs import (
    LARGEST_WEIGHT,
    masked_heights,
    observation_weight,
)
from pipeline_spde.assimilation.inputs import check_inputs
from pipeline_spde.assimilation.start import first_guess
from pipeline_spde.config import UNetConfig
from pipeline_spde.first_guess import Guess

GROUPS = 5
"""Fields given to the network: m y, m, w, w (y − x₀), x₀."""


class UNet(nn.Module):
    """Reconstruct windows of height anomalies from masked observations in one pass.

    The last convolution starts at zero: an untrained network returns its first guess. Fields are
    padded to a multiple of 2^(levels − 1) cells, with unobserved cells under a continued first
    guess. Land cells are cells that are never observed.

    Args:
        config: the architecture.
        spacing_km: (dy, dx) of the cells the network is made for, for the first guess.
    """

    prior = None
    """No Φ: the training loss has no prior cost."""

    def __init__(self, config: UNetConfig, spacing_km: tuple[float, float]) -> None:
        super().__init__()
        self.config = config
        self.spacing_km = spacing_km
        widths = [config.channels * 2**level for level in range(config.levels)]
        self.down = nn.ModuleList(
            _block(before, width)
            for before, width in zip([GROUPS * config.window_days, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(_block(coarse + fine, fine) for fine, coarse in pairwise(widths))
        self.residual = nn.Conv2d(config.channels, config.window_days, 3, padding=1)
        nn.init.zeros_(self.residual.weight)
        assert self.residual.bias is not None
        nn.init.zeros_(self.residual.bias)

    def forward(
        self,
        height_anomaly: Tensor,
        observed: Tensor,
        error: Tensor,
        ocean: Tensor,
        spacing_km: tuple[float, float] | None = None,
        guess: Guess | None = None,
    ) -> Tensor:
        """Return the state (batch, time, lat, lon), normalised.

        Args:
            height_anomaly: normalised heights; read only where observed, (batch, time, lat, lon).
            observed: boolean mask, same shape.
            error: normalised standard deviation of the observations; read only where observed.
            ocean: True where there is water, shape (batch, lat, lon) or (lat, lon).
            spacing_km: (dy, dx) of these cells when they differ from those of the constructor.
            guess: the exact analysis, for `start: spde_oi`.

        Raises:
            ValueError: shapes or types that do not fit the model.
        """
        check_inputs(height_anomaly, observed, error, ocean, self.config.window_days)
        observed = observed & (ocean if ocean.ndim == 2 else ocean[:, None])
        weight = observation_weight(error, observed)
        heights = masked_heights(height_anomaly, observed)
        spacing_km = spacing_km or self.spacing_km
        start = first_guess(heights, weight, self.config, spacing_km, guess)
        rows, columns = start.shape[2:]
        fields = self._padded(heights, observed, weight, start)
        if fields.is_cuda:  # on a CPU of two threads this layout is seven times slower
            fields = fields.contiguous(memory_format=torch.channels_last)
        return start + self._correction(fields)[..., :rows, :columns]

    def _padded(self, heights: Tensor, observed: Tensor, weight: Tensor, guess: Tensor) -> Tensor:
        """Return the groups (batch, GROUPS · time, lat, lon), padded for the coarsest level."""
        share = weight / LARGEST_WEIGHT
        groups = [heights, observed.to(heights.dtype), share, share * (heights - guess)]
        factor = 2 ** (self.config.levels - 1)
        rows, columns = guess.shape[2:]
        margin = (0, -columns % factor, 0, -rows % factor)
        unobserved = F.pad(torch.cat(groups, dim=1), margin)
        return torch.cat([unobserved, F.pad(guess, margin, mode="replicate")], dim=1)

    def _correction(self, fields: Tensor) -> Tensor:
        """Return U of the groups, shape (batch, time, lat, lon)."""
        levels: list[Tensor] = []
        for block in self.down:
            fields = block(F.avg_pool2d(fields, 2) if levels else fields)
            levels.append(fields)
        fields = levels.pop()
        for block in reversed(self.up):
            finer = F.interpolate(fields, scale_factor=2, mode="bilinear", align_corners=False)
            fields = block(torch.cat([finer, levels.pop()], dim=1))
        correction: Tensor = self.residual(fields)
        return correction


def _block(channels: int, width: int) -> nn.Sequential:
    """Return two 3x3 convolutions, each normalised in groups of four channels, then ReLU."""
    groups = width // 4
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1), nn.GroupNorm(groups, width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(groups, width), nn.ReLU(),
    )  # fmt: skip
