"""The state solver (4DVarNet): unrolled learned descent of the variational cost.

    x ← x − LSTM(g)/(k+1) − s (k+1)/K g,     k = 0 … K−1,

from a start made of the observations alone. `gradient: exact` (Fablet et al. 2021) takes for g the
gradient of J (`costs`), divided by its RMS at the first iteration; `gradient: split` hands the
residuals w (x − y) and x − Φ(x) to the LSTM as two groups and takes their sum for g, which drops
the transposed Jacobian of Φ: no double backward, and more accuracy per minute of training.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline_spde.assimilation.costs import (
    BilinearPrior,
    masked_heights,
    observation_cost,
    observation_weight,
    prior_cost,
)
from pipeline_spde.assimilation.gradient_net import GradientNet, Memory
from pipeline_spde.assimilation.inputs import check_inputs
from pipeline_spde.assimilation.start import first_guess
from pipeline_spde.config import StateModelConfig
from pipeline_spde.first_guess import Guess

RESIDUAL_SCALE = 3.0
"""Factor on the observation residual given to the LSTM: near the size of the prior's residual."""
_LEAST_RMS = 1e-6


class Problem(NamedTuple):
    """What a descent works on, each (batch, time, lat, lon): start, heights y and weights w."""

    start: Tensor
    heights: Tensor
    weight: Tensor


class Step(NamedTuple):
    """What an iteration leaves: the state, the LSTM's memory, the first RMS of the gradient."""

    state: Tensor
    memory: Memory | None = None
    rms: Tensor | None = None


def first_rms(gradient: Tensor) -> Tensor:
    """Return the RMS of each sample of a gradient (batch, …), shape (batch, 1…), no history."""
    others = tuple(range(1, gradient.ndim))
    return gradient.detach().square().mean(dim=others, keepdim=True).sqrt().clamp(min=_LEAST_RMS)


class StateSolver(nn.Module):
    """Reconstruct windows of height anomalies from masked observations.

    Land cells are cells that are never observed: the state continues smoothly over them, so that
    coasts are no walls, and what it holds there is to be ignored.

    Args:
        config: the architecture.
        spacing_km: (dy, dx) of the cells the solver is made for, for the start.
        extra_groups: further groups of residuals that `iterate` is given.
    """

    def __init__(
        self, config: StateModelConfig, spacing_km: tuple[float, float], extra_groups: int = 0
    ) -> None:
        super().__init__()
        self.config = config
        self.spacing_km = spacing_km
        days = config.window_days
        groups = (2 if config.gradient == "split" else 1) + extra_groups
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
        problem = self.problem(height_anomaly, observed, error, ocean, spacing_km, guess)
        return self.descend(problem)

    def problem(
        self,
        height_anomaly: Tensor,
        observed: Tensor,
        error: Tensor,
        ocean: Tensor,
        spacing_km: tuple[float, float] | None = None,
        guess: Guess | None = None,
    ) -> Problem:
        """Return what the descent works on, from the arguments of `forward`."""
        self._check(height_anomaly, observed, error, ocean)
        observed = observed & (ocean if ocean.ndim == 2 else ocean[:, None])
        weight = observation_weight(error, observed)
        heights = masked_heights(height_anomaly, observed)
        start = first_guess(heights, weight, self.config, spacing_km or self.spacing_km, guess)
        if heights.is_cuda:  # on a CPU of two threads this layout is seven times slower
            start, heights, weight = (
                tensor.contiguous(memory_format=torch.channels_last)
                for tensor in (start, heights, weight)
            )
        return Problem(start, heights, weight)

    def descend(self, problem: Problem) -> Tensor:
        """Return the state after all iterations."""
        step = Step(problem.start)
        for k in range(self.config.iterations):
            step = self.iterate(problem, step, k)
        return step.state

    def iterate(self, problem: Problem, step: Step, k: int, extra: Tensor | None = None) -> Step:
        """Return the state after iteration k.

        Args:
            problem: observations and weights.
            step: what the iteration before left.
            k: number of the iteration, from 0.
            extra: one more group for the LSTM, (batch, time, lat, lon); the plain step along the
                gradient leaves it out.
        """
        split = self.config.gradient == "split"
        groups, plain, rms = self._split(problem, step) if split else self._exact(problem, step)
        if extra is not None:
            groups = torch.cat([groups, extra], dim=1)
        update, memory = self.gradient_net(groups, step.memory)
        share = (k + 1) / self.config.iterations
        state = step.state - update / (k + 1) - self.gradient_step * share * plain
        return Step(state, memory, rms)

    def _split(self, problem: Problem, step: Step) -> tuple[Tensor, Tensor, None]:
        """Return the residual groups and their sum."""
        scale = self.observation_log_weight.exp()
        misfit = scale * problem.weight * (step.state - problem.heights)
        deviation = step.state - self.prior(step.state)
        groups = torch.cat([RESIDUAL_SCALE * misfit, deviation], dim=1)
        return groups, misfit + deviation, None

    def _exact(self, problem: Problem, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradient of the cost, scaled by its first RMS per sample, and that RMS."""
        scale = self.observation_log_weight.exp()
        learning = torch.is_grad_enabled()
        with torch.enable_grad():
            state = step.state
            position = state if state.requires_grad else state.detach().requires_grad_()
            cost = scale * observation_cost(position, problem.heights, problem.weight)
            cost = (cost + prior_cost(position, self.prior)).sum()
            (gradient,) = torch.autograd.grad(cost, position, create_graph=learning)
        rms = first_rms(gradient) if step.rms is None else step.rms
        return gradient / rms, gradient / rms, rms

    def _check(self, heights: Tensor, observed: Tensor, error: Tensor, ocean: Tensor) -> None:
        """Raise ValueError where the arguments do not fit the model or each other."""
        check_inputs(heights, observed, error, ocean, self.config.window_days)
        for axis, size in zip(("lat", "lon"), heights.shape[-2:], strict=True):
            for key in ("pooling", "prior_pooling"):
                factor = getattr(self.config, key)
                if size % factor:
                    raise ValueError(
                        f"{size} cells along {axis} are not divisible by the model's {key} of "
                        f"{factor}; choose a patch size (patches.{axis}) that is"
                    )
