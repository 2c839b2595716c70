"""The state solver (4DVarNet): unrolled learned descent of the variational cost.

    x ← x − LSTM(g)/(k+1) − s (k+1)/K g,     k = 0 … K−1,

from a start made of the observations alone. `gradient: exact` (Fablet et al. 2021) takes for g the
gradient of J (`costs`), divided by its RMS at the first iteration; `gradient: split` hands the
residuals w (x − y) and x − Φ(x) to the LSTM as two groups and takes their sum for g, which drops
the transposed Jacobian of Φ: no double backward, and more accuracy per minute of training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline_spde.assimilation.costs import (
    BilinearPrior,
    masked_heights,
    observation_cost,
    observation_weight,
    prior_cost,
)
from pipeline_spde.assimilation.gradient_net import GradientNet
from pipeline_spde.assimilation.start import first_guess
from pipeline_spde.config import StateModelConfig

RESIDUAL_SCALE = 3.0
"""Factor on the observation residual given to the LSTM: near the size of the prior's residual."""
_LEAST_RMS = 1e-6


class StateSolver(nn.Module):
    """Reconstruct windows of height anomalies from masked observations.

    Land cells are cells that are never observed: the state continues smoothly over them, so that
    coasts are no walls, and what it holds there is to be ignored.

    Args:
        config: the architecture.
        spacing_km: (dy, dx) of the cells the solver is made for, for the start.
    """

    def __init__(self, config: StateModelConfig, spacing_km: tuple[float, float]) -> None:
        super().__init__()
        self.config = config
        self.spacing_km = spacing_km
        days = config.window_days
        groups = 2 if config.gradient == "split" else 1
        self.prior = BilinearPrior(days, config.prior_hidden, config.prior_pooling)
        self.gradient_net = GradientNet(
            groups * days, days, config.hidden, config.pooling, config.dropout
        )
        self.observation_log_weight = nn.Parameter(torch.tensor(0.0))
        self.gradient_step = nn.Parameter(torch.tensor(config.gradient_step))

    def forward(
        self,
        height_anomaly: Tensor,
        observed: Tensor,
        error: Tensor,
        ocean: Tensor,
        spacing_km: tuple[float, float] | None = None,
    ) -> Tensor:
        """Return the state (batch, time, lat, lon), normalised.

        Args:
            height_anomaly: normalised heights; read only where observed, (batch, time, lat, lon).
            observed: boolean mask, same shape.
            error: normalised standard deviation of the observations; read only where observed.
            ocean: True where there is water, shape (batch, lat, lon) or (lat, lon).
            spacing_km: (dy, dx) of these cells when they differ from those of the constructor.

        Raises:
            ValueError: shapes or types that do not fit the model.
        """
        self._check(height_anomaly, observed, error, ocean)
        observed = observed & (ocean if ocean.ndim == 2 else ocean[:, None])
        weight = observation_weight(error, observed)
        heights = masked_heights(height_anomaly, observed)
        state = first_guess(heights, weight, self.config, spacing_km or self.spacing_km)
        if heights.is_cuda:  # on a CPU of two threads this layout is seven times slower
            heights, weight, state = (
                tensor.contiguous(memory_format=torch.channels_last)
                for tensor in (heights, weight, state)
            )
        descend = self._split if self.config.gradient == "split" else self._exact
        return descend(state, heights, weight)

    def _split(self, state: Tensor, heights: Tensor, weight: Tensor) -> Tensor:
        """Descend along the residual groups."""
        scale = self.observation_log_weight.exp()
        memory = None
        for k in range(self.config.iterations):
            misfit = scale * weight * (state - heights)
            deviation = state - self.prior(state)
            groups = torch.cat([RESIDUAL_SCALE * misfit, deviation], dim=1)
            update, memory = self.gradient_net(groups, memory)
            state = self._step(state, update, misfit + deviation, k)
        return state

    def _exact(self, state: Tensor, heights: Tensor, weight: Tensor) -> Tensor:
        """Descend along the gradient of the cost, scaled by its first RMS per sample."""
        scale = self.observation_log_weight.exp()
        learning = torch.is_grad_enabled()
        memory, rms = None, None
        for k in range(self.config.iterations):
            with torch.enable_grad():
                position = state if state.requires_grad else state.detach().requires_grad_()
                cost = scale * observation_cost(position, heights, weight)
                cost = (cost + prior_cost(position, self.prior)).sum()
                (gradient,) = torch.autograd.grad(cost, position, create_graph=learning)
            if rms is None:
                square = gradient.detach().square().mean(dim=(1, 2, 3), keepdim=True)
                rms = square.sqrt().clamp(min=_LEAST_RMS)
            gradient = gradient / rms
            update, memory = self.gradient_net(gradient, memory)
            state = self._step(state, update, gradient, k)
        return state

    def _step(self, state: Tensor, update: Tensor, gradient: Tensor, k: int) -> Tensor:
        share = (k + 1) / self.config.iterations
        return state - update / (k + 1) - self.gradient_step * share * gradient

    def _check(self, heights: Tensor, observed: Tensor, error: Tensor, ocean: Tensor) -> None:
        """Raise ValueError where the arguments do not fit the model or each other."""
        if heights.ndim != 4 or heights.shape[1] != self.config.window_days:
            raise ValueError(
                f"height_anomaly has shape {tuple(heights.shape)}; expected (batch, "
                f"{self.config.window_days}, lat, lon), {self.config.window_days} being the "
                "window_days of the model"
            )
        for name, tensor in (("observed", observed), ("error", error)):
            if tensor.shape != heights.shape:
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}, height_anomaly has "
                    f"{tuple(heights.shape)}; they must agree"
                )
        for name, tensor in (("observed", observed), ("ocean", ocean)):
            if tensor.dtype != torch.bool:
                raise ValueError(f"{name} must be a boolean mask, got {tensor.dtype}")
        if ocean.shape[-2:] != heights.shape[-2:]:
            raise ValueError(
                f"ocean has shape {tuple(ocean.shape)}, the fields are "
                f"{tuple(heights.shape[-2:])} cells"
            )
        for axis, size in zip(("lat", "lon"), heights.shape[-2:], strict=True):
            for key in ("pooling", "prior_pooling"):
                factor = getattr(self.config, key)
                if size % factor:
                    raise ValueError(
                        f"{size} cells along {axis} are not divisible by the model's {key} of "
                        f"{factor}; choose a patch size (patches.{axis}) that is"
                    )
