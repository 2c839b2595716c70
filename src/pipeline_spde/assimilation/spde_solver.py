"""The augmented solver (4DVarNet-SPDE): the state x and the parameters Θ of its prior together.

    J(x, Θ) = ½‖y − Hx‖²_R + ½ [(x − μ)ᵀQ(Θ)(x − μ) − log|Q(Θ)|]

All terms are in the same unit (nats of a window). The state descends as in `state_solver`, with the
gradient of the prior energy as one more group; every `theta_every`-th iteration a second ConvLSTM
turns ∂J/∂δ into a step of Θ = start + δ (`theta`):

    δ ← δ − LSTM_Θ(∂J/∂δ, δ)/(j+1),     each field of the gradient over its first RMS.

In training the gradient of the energy is differentiated through; the exact gradient of log|Q|
enters as a value, without its own derivative. μ, start and weights are made of observations alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline_spde.assimilation.costs import REFERENCE_ERROR, observation_cost
from pipeline_spde.assimilation.gradient_net import GradientNet, Memory
from pipeline_spde.assimilation.state_solver import Problem, StateSolver, Step, first_rms
from pipeline_spde.assimilation.theta import COUNT, ThetaProblem, channels_of, full
from pipeline_spde.config import AugmentedModelConfig
from pipeline_spde.first_guess import Guess
from pipeline_spde.spde import SpdePrior

_LEAST_RMS = 1e-9


class Augmented(NamedTuple):
    """What the augmented solver finds.

    Attributes:
        state: x, normalised, shape (batch, time, lat, lon).
        delta: δ on its coarse grid, shape (batch, 7, rows, columns).
        problems: what δ stands for at the nodes of the solver: one for the whole batch, or, where
            coasts differ, one for each sample.
    """

    state: Tensor
    delta: Tensor
    problems: tuple[ThetaProblem, ...]

    def nll(self, truth: Tensor, lags: tuple[int, ...]) -> Tensor:
        """Return −log p(truth | Θ) per node and day, (batch,); see `ThetaProblem.nll`."""
        if len(self.problems) == 1:
            return self.problems[0].nll(self.delta, truth, lags)
        pairs = zip(self.problems, self.delta.split(1), truth.split(1), strict=True)
        return torch.cat([problem.nll(delta, some, lags) for problem, delta, some in pairs])


class SpdeSolver(StateSolver):
    """Reconstruct windows and estimate the parameters of their prior.

    Args:
        config: the architecture; in mode `frozen` the state is that of stage 1.
        spacing_km: (dy, dx) of the cells the solver is made for.
    """

    def __init__(self, config: AugmentedModelConfig, spacing_km: tuple[float, float]) -> None:
        self.joint = config.spde.mode == "joint"
        super().__init__(config, spacing_km, extra_groups=1 if self.joint else 0)
        self.settings = config.spde
        self.channels = channels_of(config.spde)
        count = len(self.channels)
        self.theta_net = GradientNet(2 * count, count, config.spde.theta_hidden, pooling=1)
        if not self.joint:
            for name, parameter in self.named_parameters():
                parameter.requires_grad_(name.startswith("theta_net"))

    def train(self, mode: bool = True) -> SpdeSolver:
        """Set training or evaluation; a frozen state solver stays in evaluation (no dropout)."""
        super().train(mode)
        if not self.joint:
            self.gradient_net.eval()
            self.prior.eval()
        return self

    def forward(
        self,
        height_anomaly: Tensor,
        observed: Tensor,
        error: Tensor,
        ocean: Tensor,
        spacing_km: tuple[float, float] | None = None,
        guess: Guess | None = None,
    ) -> Tensor:
        """Return the state (batch, time, lat, lon), normalised; arguments as in `augmented`."""
        return self.augmented(height_anomaly, observed, error, ocean, spacing_km, guess).state

    def augmented(
        self,
        height_anomaly: Tensor,
        observed: Tensor,
        error: Tensor,
        ocean: Tensor,
        spacing_km: tuple[float, float] | None = None,
        guess: Guess | None = None,
    ) -> Augmented:
        """Return state and parameters.

        Args:
            height_anomaly: normalised heights; read only where observed, (batch, time, lat, lon).
            observed: boolean mask, same shape.
            error: normalised standard deviation of the observations; read only where observed.
            ocean: True where there is water, shape (batch, lat, lon) or (lat, lon).
            spacing_km: (dy, dx) of these cells when they differ from those of the constructor.
            guess: first guess and prior of the windows; always needed.

        Raises:
            ValueError: no guess, or shapes and types that do not fit the model.
        """
        if guess is None:
            raise ValueError("4dvarnet_spde needs the first guess of its windows (first_guess)")
        spacing = spacing_km or self.spacing_km
        shores = ocean[None] if ocean.ndim == 2 else ocean
        fields = (height_anomaly, observed, error)
        if bool((shores == shores[:1]).all()):
            return self._together(shores[0], *fields, spacing, guess)
        # samples with different coasts have different priors
        parts = []
        for i in range(height_anomaly.shape[0]):
            one, seen, spread = (field[i : i + 1] for field in fields)
            parts.append(self._together(shores[i], one, seen, spread, spacing, guess.sample(i)))
        states, deltas, problems = zip(*parts, strict=True)
        return Augmented(torch.cat(states), torch.cat(deltas), tuple(p for (p,) in problems))

    def _together(
        self,
        shore: Tensor,
        height_anomaly: Tensor,
        observed: Tensor,
        error: Tensor,
        spacing_km: tuple[float, float],
        guess: Guess,
    ) -> Augmented:
        """Return state and parameters of windows with one coast."""
        problem = self.problem(height_anomaly, observed, error, shore, spacing_km, guess)
        with torch.autocast(height_anomaly.device.type, enabled=False):
            theta = ThetaProblem.of(guess, shore, spacing_km, self.settings, self.settings.pooling)
        descend = self._joint if self.joint else self._frozen
        state, delta = descend(problem, theta)
        return Augmented(state, delta, (theta,))

    def _joint(self, problem: Problem, theta: ThetaProblem) -> tuple[Tensor, Tensor]:
        """Descend in x and Θ."""
        step, descent = Step(problem.start), _ThetaDescent(self, theta)
        for k in range(self.config.iterations):
            if k % self.settings.theta_every == 0:
                descent.advance(step.state, with_state=True)
            step = self.iterate(problem, step, k, descent.pull)
        return step.state, descent.delta

    def _frozen(self, problem: Problem, theta: ThetaProblem) -> tuple[Tensor, Tensor]:
        """Descend in x as stage 1 does, then in Θ."""
        with torch.no_grad():
            state = self.descend(problem)
        descent = _ThetaDescent(self, theta)
        for _ in range(0, self.config.iterations, self.settings.theta_every):
            descent.advance(state, with_state=False)
        return state, descent.delta

    def cost(self, problem: Problem, theta: ThetaProblem, state: Tensor, delta: Tensor) -> Tensor:
        """Return J(x, Θ) up to a constant, nats, shape (batch,)."""
        prior = theta.prior(theta.parameters(delta))
        observations = observation_cost(state, problem.heights, problem.weight)
        half = 0.5 * (prior.energy(theta.anomaly(state)) - prior.logdet())
        return observations / REFERENCE_ERROR**2 + half


class _ThetaDescent:
    """The iterations of Θ within one call of the solver.

    Attributes:
        delta: δ, shape (batch, 7, rows, columns).
        pull: ∂(energy/2)/∂x over its first RMS, (batch, time, lat, lon), after `advance`.
    """

    def __init__(self, solver: SpdeSolver, theta: ThetaProblem) -> None:
        self.solver, self.theta = solver, theta
        factor = solver.settings.theta_pooling
        rows, columns = (-(-size // factor) for size in theta.grid.shape)
        batch = theta.still.shape[0]
        self.delta = theta.still.new_zeros(batch, COUNT, rows, columns)
        self.pull: Tensor | None = None
        self._memory: Memory | None = None
        self._scales: tuple[Tensor | None, Tensor] | None = None
        self._count = 0

    def advance(self, state: Tensor, with_state: bool) -> None:
        """Take one step of Θ at a state, and keep the pull of the prior on the state.

        Raises:
            FloatingPointError: δ is not finite any more.
        """
        with torch.autocast(state.device.type, enabled=False):
            pull, slope = self._gradients(state, with_state)
            if self._scales is None:
                per_field = slope.detach().square().mean(dim=(2, 3), keepdim=True).sqrt()
                first = None if pull is None else first_rms(pull)
                self._scales = (first, per_field.clamp(min=_LEAST_RMS))
            if pull is not None and self._scales[0] is not None:
                self.pull = pull / self._scales[0]
            slope = slope / self._scales[1]
        chosen = self.solver.channels
        seen = torch.cat([slope[:, chosen], self.delta[:, chosen]], dim=1)
        update, self._memory = self.solver.theta_net(seen, self._memory)
        self._count += 1
        change = torch.zeros_like(self.delta)
        change[:, chosen] = update.to(change.dtype)
        self.delta = self.delta - change / self._count
        if not bool(self.delta.isfinite().all()):
            raise FloatingPointError(
                f"the parameters of the prior are not finite after {self._count} steps of Θ; "
                "weights or inputs of the solver are not"
            )

    def _gradients(self, state: Tensor, with_state: bool) -> tuple[Tensor | None, Tensor]:
        """Return ∂J/∂x of the prior energy (or None) and ∂J/∂δ."""
        learning = torch.is_grad_enabled()
        with torch.enable_grad():
            delta = _position(self.delta)
            x = _position(state) if with_state else state.detach()
            prior = self.theta.prior(self.theta.parameters(delta))
            energy = 0.5 * prior.energy(self.theta.anomaly(x)).sum()
            wanted = (x, delta) if with_state else (delta,)
            found = torch.autograd.grad(energy, wanted, create_graph=learning, retain_graph=True)
            width = _width(prior, delta, retain_graph=learning)
        pull = full(found[0]) if with_state else None
        return pull, found[-1] - 0.5 * width.to(found[-1])


def _width(prior: SpdePrior, delta: Tensor, retain_graph: bool) -> Tensor:
    """Return ∂ log|Q| / ∂δ, exact, without a derivative of its own."""
    (slope,) = torch.autograd.grad(prior.logdet().sum(), delta, retain_graph=retain_graph)
    return slope


def expanded_weights(solver: SpdeSolver, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a stage-1 state solver as those of an untrained augmented solver.

    What the state solver does not have, the columns of the LSTM for the prior's pull and the net of
    Θ, starts as in `solver`, the columns at zero: the state begins where stage 1 ended.
    """
    own = {name: tensor.detach().clone() for name, tensor in solver.state_dict().items()}
    name = "gradient_net.gates.weight"
    if solver.joint and name in weights:
        hidden = solver.config.hidden
        before = weights[name]
        known = before.shape[1] - hidden
        wide = torch.zeros_like(own[name])
        if wide.shape[1] == known + solver.config.window_days + hidden:
            wide[:, :known], wide[:, -hidden:] = before[:, :known], before[:, known:]
            weights = weights | {name: wide}
    return own | weights


def _position(tensor: Tensor) -> Tensor:
    """Return a tensor that a gradient can be taken at."""
    return tensor if tensor.requires_grad else tensor.detach().requires_grad_()
