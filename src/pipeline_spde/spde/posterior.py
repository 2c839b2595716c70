"""The exact Gaussian posterior given masked observations: mean, members, standard deviation.

    p(x | y) ∝ exp(−½ (x−μ)'Q(x−μ) − ½ (y−Hx)'R⁻¹(y−Hx)),   (Q + HᵀR⁻¹H)(x̂ − μ) = HᵀR⁻¹(y − Hμ)

with R diagonal. Members perturb and solve: a draw x_s of the prior plus the mean of its own
misfit, x_s + (Q + HᵀR⁻¹H)⁻¹ HᵀR⁻¹ (y − H x_s − ε), which is exact up to the solver's tolerance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline_spde.spde.conjugate import Convergence, conjugate_gradients
from pipeline_spde.spde.diagnostics import squared_innovation
from pipeline_spde.spde.noise import standard_normal
from pipeline_spde.spde.preconditioners import Preconditioner, build, choose

if TYPE_CHECKING:
    from pipeline_spde.spde.prior import SpdePrior

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-8}
"""Default relative residual by dtype."""
_MEMBERS_AT_ONCE = 2e7  # numbers of the states solved for together


class Posterior:
    """N(x̂, (Q + HᵀR⁻¹H)⁻¹) for one window.

    Args:
        prior: the prior.
        y: observations (batch, time, lat, lon); anything where not observed.
        observed: boolean mask of that shape; observations on land are ignored.
        noise_std: standard deviation of the observation noise, a number or a field.
        mean: prior mean μ of that shape, or None for zero.
        preconditioner: "jacobi", "time_block", "prior", or "auto".
        tolerance: relative residual of the solves; by dtype when omitted.
        max_iterations: limit per solve.

    Attributes:
        convergence: what the latest solve took; None before the first.

    Raises:
        ValueError: shapes or dtypes do not fit, or an observation or its error is not usable.
    """

    def __init__(
        self,
        prior: SpdePrior,
        y: Tensor,
        observed: Tensor,
        noise_std: float | Tensor,
        mean: Tensor | None = None,
        *,
        preconditioner: Preconditioner | str = "auto",
        tolerance: float | None = None,
        max_iterations: int = 3000,
    ) -> None:
        _check(prior, y, observed, mean)
        self.prior, self.prior_mean = prior, mean
        self.observed = observed & prior.ocean
        std = torch.as_tensor(noise_std, dtype=y.dtype, device=y.device).expand(y.shape)
        self.noise_std = torch.where(self.observed, std, 1)
        self.y = torch.where(self.observed, y, 0)
        if not bool((self.noise_std > 0).all() and self.noise_std.isfinite().all()):
            raise ValueError(
                "noise_std must be positive and finite wherever there is an observation"
            )
        if not bool(self.y.isfinite().all()):
            bad = int((~self.y.isfinite()).sum())
            raise ValueError(f"{bad} observed values are not finite; leave them out of `observed`")
        self.weight = torch.where(self.observed, self.noise_std.square().reciprocal(), 0)
        self.name = choose(prior) if preconditioner == "auto" else preconditioner
        self.tolerance = TOLERANCE[y.dtype] if tolerance is None else tolerance
        self.max_iterations = max_iterations
        self.convergence: Convergence | None = None
        self._exact: SpdePrior | None = None
        self._precondition: Any = None
        self._mean: Tensor | None = None

    def precision_times(self, x: Tensor) -> Tensor:
        """Return (Q + HᵀR⁻¹H) x for states (..., batch, time, lat, lon)."""
        return self.prior.precision_times(x) + self.weight.detach() * x

    def solve(self, rhs: Tensor) -> Tensor:
        """Return (Q + HᵀR⁻¹H)⁻¹ b for b (..., batch, time, lat, lon); no history.

        Residuals are always taken in float64: with coloured noise the condition number is beyond
        what float32 can resolve. The preconditioner works in float32.

        Raises:
            ConvergenceError: the iteration did not reach the tolerance.
        """
        dtype, double = rhs.dtype, torch.float64
        if self._exact is None:
            self._exact = self.prior if dtype == double else self.prior.to(double)
            self._precondition = build(self.prior, self.name, self.weight.detach())
        exact, weight = self._exact, self.weight.detach().to(double)
        with torch.no_grad():
            x, self.convergence = conjugate_gradients(
                lambda v: exact.precision_times(v) + weight * v,
                rhs.detach().to(double),
                lambda r: self._precondition(r.to(dtype)).to(double),
                self.tolerance,
                self.max_iterations,
                self.name,
            )
        return x.to(dtype)

    def mean(self) -> Tensor:
        """Return x̂, (batch, time, lat, lon); the prior mean (or zero) on land.

        Differentiable once in y, noise_std, the prior mean and the parameters: the derivative of
        the solve is one more solve.
        """
        if self._mean is None:
            misfit = self.y if self.prior_mean is None else self.y - self._at_data(self.prior_mean)
            rhs = self.weight * misfit
            increment = self.solve(rhs)
            differentiable = [rhs, *(v for _, v in self.prior.theta.items())]
            if torch.is_grad_enabled() and any(v.requires_grad for v in differentiable):
                residual = rhs - self.weight * increment - self._tracked_product(increment)
                correction: Tensor = _ImplicitSolve.apply(residual, self)
                increment = increment + correction
            self._mean = increment if self.prior_mean is None else self.prior_mean + increment
        return self._mean

    def _at_data(self, field: Tensor) -> Tensor:
        return torch.where(self.observed, field, 0)

    def _tracked_product(self, x: Tensor) -> Tensor:
        """Return Q x with its dependence on the parameters."""
        state = x.detach().requires_grad_(True)
        half = 0.5 * self.prior.energy(state).sum()
        (product,) = torch.autograd.grad(half, state, create_graph=True)
        return product

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Return n members of the posterior, (n, batch, time, lat, lon)."""
        with torch.no_grad():
            mean = self.mean()
            return mean + torch.cat([self._anomalies(k, generator) for k in self._batches(n)])

    def std(self, n_samples: int = 100, generator: torch.Generator | None = None) -> Tensor:
        """Return the posterior standard deviation, (batch, time, lat, lon), zero on land.

        Members enter through running moments only. With d the diagonal of Q + R⁻¹ the variance is
        1/d + E[(x_i − (Q_post x)_i / d)²] (Rao–Blackwell): where the neighbours leave little
        freedom this is far more precise than the spread of the same members.

        Args:
            n_samples: number of members; the relative error is about 0.5 / √n_samples.
            generator: source of randomness.
        """
        diagonal = self.prior.precision_diagonal() + self.weight.detach()
        total = torch.zeros_like(diagonal)
        with torch.no_grad():
            for k in self._batches(n_samples):
                draws = self._anomalies(k, generator)
                total += squared_innovation(draws, self.precision_times, diagonal)
        variance = 1 / diagonal + total / n_samples
        return torch.where(self.prior.ocean, variance, 0).sqrt()

    def _batches(self, n: int) -> list[int]:
        if n < 1:
            raise ValueError(f"the number of members must be at least 1, got {n}")
        most = max(1, int(_MEMBERS_AT_ONCE / self.y.numel()))
        return [min(most, n - begin) for begin in range(0, n, most)]

    def _anomalies(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Return n draws of the posterior about its mean."""
        draws = self.prior.sample(n, generator)
        noise = standard_normal(tuple(draws.shape), draws, generator) * self.noise_std
        return draws - self.solve(self.weight * (draws + noise))


class _ImplicitSolve(torch.autograd.Function):
    """Zero in value, P⁻¹ in derivative: turns a residual into the derivative of a solution."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, posterior: Posterior) -> Tensor:
        ctx.posterior = posterior
        return torch.zeros_like(residual)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.posterior.solve(torch.where(ctx.posterior.prior.ocean, grads[0], 0)), None


def _check(prior: SpdePrior, y: Tensor, observed: Tensor, mean: Tensor | None) -> None:
    expected = (torch.Size(prior.shape), prior.theta.kappa.dtype, prior.theta.kappa.device)
    for name, value in (("y", y), ("mean", mean)):
        if value is not None and (value.shape, value.dtype, value.device) != expected:
            raise ValueError(
                f"{name} is {tuple(value.shape)}, {value.dtype} on {value.device}; the prior "
                f"expects {tuple(expected[0])}, {expected[1]} on {expected[2]}"
            )
    if observed.dtype != torch.bool or observed.shape != expected[0]:
        raise ValueError(
            f"observed must be a boolean mask of shape {tuple(expected[0])}, got {observed.dtype} "
            f"of shape {tuple(observed.shape)}"
        )
